"""Golden outputs of whole mixers: what a reference implementation computes, against what the package reads.

The fixtures hold, for seven tokens (six pixels for VMamba), the output of one mixer of every architecture: `out` by a
sequential float64 reference that was written from the reference implementation's source (scripts/reference_mixers.py,
scripts/reference_vision.py), and `library`, what transformers computes in float32, where it has the architecture. Here
both are compared with the package's own selective part on the `S6Layer` that it reads (`whole_mixers`).

Each golden is then shown to be able to fail: every fault of `FAULTS` (a bias taken once or twice, a norm left out, rows
in another order, ...) is put into the layer that was read, or into what lies around it, and must move the output by
more than `FAULT` times the tolerance that the right reading keeps.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from test_fixtures import EXPECTED
from whole_mixers import FIXTURES, Reading, read, silu

from mamba_dynamics._layer import Multipliers
from mamba_dynamics.checkpoints import open_checkpoint
from mamba_dynamics.checkpoints.language_model import language_model_weights
from mamba_dynamics.models.loading import in_precision, load_block

#: rtol and atol: goldens are float32 of order one, `library` was computed in float32.
TOLERANCE = 1e-5
#: How many tolerances a fault must move the output by.
FAULT = 100
TRANSFORMERS = ("mamba", "falcon_mamba", "jamba", "zamba", "mamba2", "zamba2", "bamba", "granitemoehybrid")
TRANSFORMERS += ("falcon_h1", "nemotron_h")
#: How often each model adds the bias of the step size before softplus, where that is not once.
BIAS_TIMES = {"mamba_vision": 2}

_read: dict[str, Reading] = {}


def reading_of(name) -> Reading:
    return _read.setdefault(name, read(name))


def tolerances(found, golden) -> float:
    """The largest difference, in units of the tolerance."""
    return float((np.abs(found - golden) / (TOLERANCE * (1 + np.abs(golden)))).max())


@pytest.mark.parametrize("name", EXPECTED)
def test_the_mixer_computes_what_its_reference_does(name):
    """The package's scan on its own reading against `out`, and against `library` where there is one."""
    reading = reading_of(name)
    found = reading.out()
    assert tolerances(found, reading.golden["out"]) < 1
    assert ("library" in reading.golden) == (name in TRANSFORMERS)
    if name in TRANSFORMERS:
        assert tolerances(found, reading.golden["library"]) < 1


@pytest.mark.parametrize("name", ["mamba", "falcon_mamba", "mamba2"])
def test_the_forward_pass_of_a_language_model_computes_it_too(name):
    """`load_block` on the weights that the package itself reads, all of the mixer, against `library`."""
    block = load_block(language_model_weights(open_checkpoint(FIXTURES / name)).block(0), "float64")
    golden = reading_of(name).golden
    with in_precision("float64"):
        assert tolerances(np.asarray(block.mixer(golden["u"].astype(float))), golden["library"]) < 1


def test_a_mixer_with_D_per_channel_runs_with_that_D(tmp_path):
    """A language model from mamba_ssm's Mamba-2 fixture without its feed-forward branch, which is added to the output
    before that is compared with `out`."""
    reading = reading_of("mamba_ssm_mamba2")
    stored = load_file(FIXTURES / reading.name / "model.safetensors")
    tensors = {"backbone.norm_f.weight": np.ones(16, np.float32)} | stored
    for layer in ("backbone.layers.0.", "backbone.layers.1."):
        tensors[layer + "norm.weight"] = np.ones(16, np.float32)
        in_proj, out_proj = (stored[f"{layer}mixer.{one}_proj.weight"] for one in ("in", "out"))
        tensors[layer + "mixer.in_proj.weight"] = in_proj[16:]
        tensors[layer + "mixer.out_proj.weight"] = np.ascontiguousarray(out_proj[:, 8:])
    save_file(tensors, tmp_path / "model.safetensors")
    inner = reading.config["ssm_cfg"] | {"expand": 1.5}
    (tmp_path / "config.json").write_text(json.dumps(reading.config | {"ssm_cfg": inner}))
    block = load_block(language_model_weights(open_checkpoint(tmp_path)).block(0), "float64")
    u = reading.golden["u"].astype(float)
    z0, x0 = np.split(u @ reading.tensors["in_proj.weight"][:16].T, 2, axis=1)
    branch = (silu(z0) * x0) @ reading.tensors["out_proj.weight"][:, :8].T
    with in_precision("float64"):
        assert tolerances(np.asarray(block.mixer(u)) + branch, reading.golden["out"]) < 1


def test_vims_first_version_shares_all_but_the_rates_between_its_directions(tmp_path):
    """The vim fixture without the second direction's own tensors, against `first.out`."""
    stored = load_file(FIXTURES / "vim" / "model.safetensors")
    shared = {name: value for name, value in stored.items() if "_b." not in name and not name.endswith("D_b")}
    save_file(shared, tmp_path / "model.safetensors")
    reading = read("vim", tmp_path)
    golden = reading.golden["first.out"]
    assert tolerances(reading.out(), golden) < 1
    same_rates = np.stack([reading.layer.a[0]] * 2)
    assert tolerances(reading.with_layer(a=same_rates).out(), golden) > FAULT


def test_the_bias_of_mamba_vision_is_told():
    """The layer says that its bias is not the stored one."""
    reading = reading_of("mamba_vision")
    np.testing.assert_array_equal(reading.layer.dt_bias[0], 2 * reading.tensors["dt_proj.bias"])
    assert reading.layer.warnings == ("dt_bias is 2 x dt_proj.bias: the model adds that bias 2 times",)


class Fault(NamedTuple):
    """A wrong way to read: `concerns` says which readings have what it breaks, `broken` breaks it."""

    concerns: Callable[[Reading], bool]
    broken: Callable[[Reading], Reading]


def always(reading) -> bool:
    return True


def selects_from_u(reading) -> bool:
    return reading.layer.acts_on == "u"


def kind(*kinds):
    return lambda reading: reading.layer.kind in kinds


def named(*names):
    return lambda reading: reading.name in names


# The layer itself.


def bias_taken(times):
    def broken(reading):
        right = BIAS_TIMES.get(reading.name, 1)
        return reading.with_layer(dt_bias=times / right * reading.layer.dt_bias)

    return Fault(lambda reading: BIAS_TIMES.get(reading.name, 1) != times, broken)


def rows_in_another_order(reading):
    """[B; C; dt] where the file has [dt; B; C] (Mamba-1), the other way round where it has [B | C | dt] (Mamba-2)."""
    layer = reading.layer
    down, B, C = layer.dt_down, layer.S_B, layer.S_C
    if selects_from_u(reading):
        d, states, heads = layer.channels, B.shape[0] * B.shape[1], layer.heads
        rows = np.concatenate([part.reshape(-1, d) for part in (B, C, down)])
        down, B, C = np.split(rows, [heads, heads + states])
    else:
        N = layer.d_state
        B, C, down = np.split(np.concatenate([down, B, C], axis=1), [N, 2 * N], axis=1)
    shaped = {"dt_down": layer.dt_down.shape, "S_B": layer.S_B.shape, "S_C": layer.S_C.shape}
    return reading.with_layer(
        **{key: part.reshape(shaped[key]) for key, part in zip(shaped, (down, B, C), strict=True)}
    )


def groups_turned(reading):
    """Every group gets the projections of the next one."""
    parts = {key: np.roll(getattr(reading.layer, key), 1, axis=0) for key in ("S_B", "S_C")}
    return reading.with_layer(**parts)


def norm_left_out(axis):
    def broken(reading):
        return reading.with_layer(norms=replace(reading.layer.norms, **{axis: None}))

    return Fault(lambda reading: getattr(reading.layer.norms, axis) is not None, broken)


def norms_with(**facts):
    def broken(reading):
        norms = reading.layer.norms
        return reading.with_layer(
            norms=replace(norms, **{axis: replace(getattr(norms, axis), **facts) for axis in ("B", "C", "dt")})
        )

    return broken


def multiplier_left_out(part):
    def broken(reading):
        return reading.with_layer(multipliers=replace(reading.layer.multipliers, **{part: 1.0}))

    return Fault(lambda reading: reading.layer.multipliers != Multipliers(), broken)


def projection_bias_of_dt(times):
    """in_proj's own bias for dt, `times` instead of the factor 1.125 of the rows of dt."""

    def broken(reading):
        layer = reading.layer
        own = reading.tensors["in_proj.bias"][-layer.heads :].reshape(layer.dt_bias.shape)
        return reading.with_layer(dt_bias=layer.dt_bias + (times - 1.125) * own)

    return Fault(lambda reading: "in_proj.bias" in reading.tensors, broken)


# What lies around it.


def around(concerns, **choices):
    return Fault(concerns, lambda reading: reading.with_around(**choices))


def heads_read_groups_in_turn(reading):
    """Head h reads group h % G; right is h // (H / G)."""
    layer = reading.layer
    return reading.with_around(group_of_head=[h % layer.groups for h in range(layer.heads)])


def has_gate_norm(reading) -> bool:
    return selects_from_u(reading) and "norm.weight" in reading.tensors


def D_of_a_channel_is_its_heads_mean(reading):
    tensors = {key: value for key, value in reading.tensors.items() if key != "D"}
    return replace(reading, tensors=tensors | {"D": reading.layer.D_skip.ravel()})


def factors_of_the_gate_left_out(reading):
    return reading.with_around(row_factors=[1.0, *reading.config["ssm_multipliers"][1:]])


FAULTS = {
    "bias of the step size left out": bias_taken(0),
    "bias of the step size taken once": bias_taken(1),
    "bias of the step size taken twice": bias_taken(2),
    "bias of the step size taken three times": bias_taken(3),
    "sign of A": Fault(always, lambda reading: reading.with_layer(a=-reading.layer.a)),
    "A_log taken as A": Fault(always, lambda reading: reading.with_layer(a=-np.log(reading.layer.a))),
    "sign of A_log": Fault(always, lambda reading: reading.with_layer(a=1 / reading.layer.a)),
    "B and C swapped": Fault(always, lambda reading: reading.with_layer(S_B=reading.layer.S_C, S_C=reading.layer.S_B)),
    "rows of dt, B, C in another order": Fault(always, rows_in_another_order),
    "D left out": Fault(
        lambda reading: reading.name != "mamba_ssm_mamba2",
        lambda reading: reading.with_layer(D_skip=np.zeros_like(reading.layer.D_skip)),
    ),
    "D averaged over a head": Fault(named("mamba_ssm_mamba2"), D_of_a_channel_is_its_heads_mean),
    "groups turned": Fault(lambda reading: reading.layer.groups > 1, groups_turned),
    "norm of B left out": norm_left_out("B"),
    "norm of C left out": norm_left_out("C"),
    "norm of dt left out": norm_left_out("dt"),
    "weights of the norms left out": Fault(named("jamba"), norms_with(weight=None)),
    "epsilon of the norms by default": Fault(named("jamba", "falcon_mamba"), norms_with(eps=1e-6)),
    "clamp of the step size left out": Fault(
        named("mamba2", "mamba_ssm_mamba2"), lambda reading: reading.with_layer(dt_limit=(0.0, np.inf))
    ),
    "factor of x left out": multiplier_left_out("x"),
    "factor of B left out": multiplier_left_out("B"),
    "factor of C left out": multiplier_left_out("C"),
    "factor of dt left out": multiplier_left_out("dt"),
    "factor of the gate left out": Fault(named("falcon_h1"), factors_of_the_gate_left_out),
    "in_proj's bias of dt left out": projection_bias_of_dt(0),
    "in_proj's bias of dt without its factor": projection_bias_of_dt(1),
    "in_proj's bias of dt with the input's factor": projection_bias_of_dt(1.25 * 1.125),
    "heads read groups in turn": Fault(selects_from_u, heads_read_groups_in_turn),
    "gated norm left out": around(has_gate_norm, gate_norm=lambda norm: None),
    "gated norm without weights": around(has_gate_norm, gate_norm=lambda norm: replace(norm, weight=None)),
    "gated norm over the whole width": around(has_gate_norm, gate_groups=1),
    "gate after the norm": around(has_gate_norm, gate_after_norm=True),
    "epsilon of the gated norm by default": around(named("mamba2"), gate_norm=lambda norm: replace(norm, eps=1e-5)),
    "x and z in halves": around(kind("zamba"), in_halves=True),
    "second direction not reversed": around(kind("vim"), directions=[0, 0]),
    "directions swapped": around(kind("vim"), directions=[1, 0]),
    "directions added, not halved": around(kind("vim"), divided_by=1),
    "columns read as rows": around(kind("vmamba"), directions=[0, 0, 2, 2]),
    "backward directions not reversed": around(kind("vmamba"), directions=[0, 1, 0, 1]),
    "order of the four directions": around(kind("vmamba"), directions=[0, 2, 1, 3]),
    "LayerNorm of the merge left out": around(kind("vmamba"), layer_norm=False),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_golden_fails_for_every_fault_that_concerns_it(name):
    """Each fault alone, put into the right reading, moves the output far beyond what the comparison above allows."""
    reading = reading_of(name)
    shifts = {
        fault: tolerances(one.broken(reading).out(), reading.golden["out"])
        for fault, one in FAULTS.items()
        if one.concerns(reading)
    }
    assert len(shifts) >= 8
    assert not {fault: shift for fault, shift in shifts.items() if not shift > FAULT}


def test_every_fault_concerns_some_golden():
    readings = [reading_of(name) for name in EXPECTED]
    assert not [fault for fault, one in FAULTS.items() if not any(one.concerns(reading) for reading in readings)]
