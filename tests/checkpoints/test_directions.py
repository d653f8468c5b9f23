"""Scans under tags, and what of a block was not understood: named, and then nothing is decided."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file
from small_checkpoints import (
    D_MODEL,
    FIXTURES,
    E,
    N,
    R,
    arrays_of,
    directions,
    mamba1,
    mamba2,
    message,
    vmamba,
    write,
    zamba,
)

from mamba_dynamics import classify_checkpoint
from mamba_dynamics._errors import CheckpointError, MissingTensor, SweepError, UnsafeFile, UnsupportedArchitecture
from mamba_dynamics.checkpoints import open_checkpoint
from mamba_dynamics.cli import app
from mamba_dynamics.sweeps.channels import read_channels

RNG = np.random.default_rng(11)


def exit_code(path, *options):
    return CliRunner().invoke(app, ["classify", str(path), *options]).exit_code


# --- directions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tags", [("b",), ("s",), ("c",), ("b", "s"), ("b", "c", "c_b"), ("r_rev", "a_fwd", "a_rev")])
def test_every_tag_is_a_scan_of_its_own(tmp_path, tags):
    folder = write(tmp_path, {"m.": directions(*tags)})
    checkpoint = open_checkpoint(folder)
    slot, layer = checkpoint.layers[0], checkpoint.layer(0)
    assert (slot.kind, slot.groups, slot.left_out, layer.group_axis) == ("vim", 1 + len(tags), (), "direction")
    for k, tag in enumerate(["", *sorted(tags, key=lambda tag: (tag != "b", tag))]):
        stored = mamba1(0 if not tag else 1 + tags.index(tag))
        np.testing.assert_array_equal(layer.S_B[k], stored["x_proj.weight"][R : R + N])
        np.testing.assert_array_equal(layer.S_C[k], stored["x_proj.weight"][R + N :])
        np.testing.assert_array_equal(layer.S_Delta(k), stored["dt_proj.weight"] @ stored["x_proj.weight"][:R])
        np.testing.assert_array_equal(layer.dt_bias[k], stored["dt_proj.bias"])
        np.testing.assert_array_equal(layer.a[k], np.exp(stored["A_log"]))
        np.testing.assert_array_equal(layer.D_skip[k], stored["D"])
    said = [warning for warning in layer.warnings if warning.startswith("direction")]
    assert len(said) == len(tags)
    assert ("direction 1 sees the tokens in reverse order" in said) == ("b" in tags)
    assert all(f"A_{tag}_log" in " ".join(said) for tag in tags if tag != "b")
    assert len(classify_checkpoint(folder).layers[0].weights.groups) == 1 + len(tags)


def test_a_tag_may_stand_at_the_end(tmp_path):
    layer = directions("s")
    layer["A_log_s"] = layer.pop("A_s_log")
    read = open_checkpoint(write(tmp_path / "", {"m.": layer})).layer(0)
    assert read.groups == 2
    np.testing.assert_array_equal(read.S_C[1], mamba1(1)["x_proj.weight"][R + N :])


@pytest.mark.parametrize("name", ["A_s_log", "A_log_s"])
def test_a_tag_without_projections_shares_the_forward_ones(tmp_path, name):
    layer = mamba1() | {name: RNG.standard_normal((E, N))}
    read = open_checkpoint(write(tmp_path, {"m.": layer})).layer(0)
    assert read.groups == 2
    np.testing.assert_array_equal(read.S_B[0], read.S_B[1])
    np.testing.assert_array_equal(read.D_skip[0], read.D_skip[1])
    np.testing.assert_array_equal(read.a[1], np.exp(layer[name]))


def test_a_direction_with_half_of_its_projections(tmp_path):
    layer = directions("s")
    del layer["dt_proj_s.weight"]
    assert "dt_proj_s.weight" in message(MissingTensor, write(tmp_path, {"m.": layer}))


@pytest.mark.parametrize(("tensor", "shape"), [("A_s_log", (E, N + 1)), ("D_s", (E + 1,)), ("x_proj_s.weight", (R, E))])
def test_shapes_of_a_direction_are_checked(tmp_path, tensor, shape):
    text = message(CheckpointError, write(tmp_path, {"m.": directions("b", "s") | {tensor: np.ones(shape)}}))
    assert f"{tensor} should have shape" in text


# --- nothing is dropped in silence ------------------------------------------------------------------

PROJECTION = np.ones((R + 2 * N, E))
LEFT_OUT = [
    (mamba1, "A_log_orig", np.ones((E, N))),
    (mamba1, "A_log_ema", np.ones((E, N))),
    (mamba1, "x_proj_s.weight", PROJECTION),
    (mamba1, "x_proj.lora_A", np.ones((2, E))),
    (mamba1, "x_proj.lora_B.default.weight", np.ones((R + 2 * N, 2))),
    (mamba1, "x_proj.weight_mask", PROJECTION),
    (mamba1, "x_proj.conv.weight", PROJECTION),
    (mamba1, "x_proj2.weight", PROJECTION),
    (mamba1, "dt_proj.adapter.weight", np.ones((2, 2))),
    (mamba1, "dt_projT.weight", np.ones((E, R))),
    (mamba1, "D_b", np.ones(E)),
    (mamba1, "B_bias", np.ones(N)),
    (mamba1, "C_norm.weight", np.ones(N)),
    (mamba1, "b_norm.weight", np.ones(N)),
    (mamba1, "direction_Bs", np.ones((9, N))),
    (mamba1, "some_gain", np.ones(3)),
    (mamba1, "inner.x_proj.weight", PROJECTION),
    (mamba2, "in_proj.lora_A.weight", np.ones((2, 4))),
    (mamba2, "init_states", np.ones((2, 4, 3))),
    (mamba2, "A_b_log", np.ones(2)),
    (mamba2, "dt_proj.weight", np.ones((2, 2))),
    (zamba, "x_proj_weight_2", PROJECTION),
    (vmamba, "A_log_1", np.ones((E, N))),
    (vmamba, "Ds_2", np.ones(4 * E)),
    (vmamba, "A_log", np.ones((E, N))),
]


@pytest.mark.parametrize(("make", "name", "value"), LEFT_OUT, ids=[name for _, name, _ in LEFT_OUT])
def test_what_resembles_a_scan_is_named_and_nothing_is_decided(tmp_path, make, name, value):
    options = {"groups": 2} if make is mamba2 else {}
    alone = open_checkpoint(write(tmp_path, {"layers.0.": make()}), **options).layer(0)
    folder = write(tmp_path, {"layers.0.": make() | {name: value}})
    checkpoint = open_checkpoint(folder, **options)
    assert checkpoint.layers[0].left_out == (f"layers.0.{name}",)
    assert any(f"not understood: {name};" in warning for warning in checkpoint.layer(0).warnings)
    for key, array in arrays_of(alone).items():
        np.testing.assert_array_equal(arrays_of(checkpoint.layer(0))[key], array)
    report = classify_checkpoint(folder, **options)
    assert not report.layers[0].decided
    assert not report.decided
    given = ("--groups", "2") if options else ()
    assert exit_code(folder, *given) == 3
    assert exit_code(folder, *given, "--fail-on", "constant") == 3


OTHERS = [
    "self_attn.q_proj.weight",
    "attn.qkv.weight",
    "mlp.fc1.weight",
    "feed_forward.gate_proj.weight",
    "norm1.weight",
    "out_norm.weight",
    "out_proj.lora_A.weight",
    "conv1d_b.weight",
    "conv2d.bias",
    "dwconv.weight",
    "drop_path.scale",
    "linear.weight",
    "cls_token",
    "pos_embed",
    "importance.weight",
    "norm._extra_state",
]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("prefix", ["", "layers.0.mixer."])
def test_other_modules_are_no_matter_of_the_scan(tmp_path, name, prefix):
    for layer, options in ((mamba1(), {}), (mamba2(), {"groups": 2}), (vmamba(), {})):
        folder = write(tmp_path, {prefix: layer | {name: np.ones((2, 2))}})
        checkpoint = open_checkpoint(folder, **options)
        assert checkpoint.layers[0].left_out == ()
        assert classify_checkpoint(folder, **options).decided


def test_what_megatron_keeps_in_its_input_projection(tmp_path):
    layer = mamba2() | {"in_proj.layer_norm_weight": np.ones(D_MODEL), "in_proj._extra_state": np.ones(3)}
    assert open_checkpoint(write(tmp_path, {"m.": layer}), groups=2).layers[0].left_out == ()
    layer["in_proj.layer_norm_weight"] = np.ones(D_MODEL + 1)
    assert "in_proj.layer_norm_weight should have shape (4,)" in message(
        CheckpointError, write(tmp_path, {"m.": layer}), groups=2
    )


def test_index_buffers_are_no_weights(tmp_path):
    folder = write(tmp_path, {"m.": mamba1() | {"scan_order": np.arange(4), "is_causal": np.array([True])}})
    assert open_checkpoint(folder).layers[0].left_out == ()


@pytest.mark.parametrize("name", sorted(path.parent.name for path in FIXTURES.glob("*/model.safetensors")))
def test_no_false_alarms(name):
    checkpoint = open_checkpoint(FIXTURES / name)
    assert checkpoint.unread == ()
    assert all(slot.left_out == () for slot in checkpoint.layers)


def test_the_document_says_whether_a_layer_is_decided(tmp_path):
    write(tmp_path, {"m.": mamba1(), "n.": mamba1() | {"A_gain": np.ones(2)}})
    document = json.loads(CliRunner().invoke(app, ["classify", str(tmp_path), "--json"]).stdout)
    assert [layer["decided"] for layer in document["layers"]] == [True, False]
    assert document["summary"]["decided"] is False


def test_no_false_alarms_among_real_checkpoints(shared):
    for name in ("mamba-130m-one-layer", "positioning-mamba1-4layer.pt", "super-resolution-ss2d.pth"):
        checkpoint = open_checkpoint(shared / "checkpoints" / name)
        assert checkpoint.unread == ()
        assert all(slot.left_out == () for slot in checkpoint.layers)


def test_a_long_list_is_cut(tmp_path):
    extra = {f"gain_{k}": np.ones(2) for k in range(20)}
    (warning,) = [
        line for line in open_checkpoint(write(tmp_path, {"m.": mamba1() | extra})).layer(0).warnings if "gain" in line
    ]
    assert "and 14 more" in warning
    assert len(warning) < 300


# --- blocks that are not read ------------------------------------------------------------------------


def crossed():
    """A block that scans two inputs, each with projections of its own."""
    names = ("A_log", "x_proj.weight", "dt_proj.weight", "dt_proj.bias", "D")
    pairs = [(name, k) for name in names for k in (1, 2)]
    return {name.replace(".", f"_{k}.") if "." in name else f"{name}_{k}": mamba1(k)[name] for name, k in pairs}


@pytest.mark.parametrize(
    "other",
    [
        crossed(),
        {"A_f_log": np.ones((E, N)), "A_r_log": np.ones((E, N))},
        {"A_logs": np.ones(8)},
        {"A_log": np.ones((2, 2, 2, 2))},
        {"AT_log": np.ones((E, N))},
        {"A_log1": np.ones((E, N)), "A_log2": np.ones((E, N))},
        {"A_log.0": np.ones((E, N)), "x_proj.0.weight": np.ones((8, E))},
    ],
)
def test_a_block_of_no_layout_beside_layers_is_named(tmp_path, other):
    folder = write(tmp_path, {"enc.0.": mamba1(), "cross.0.": other, "cross.1.": other})
    checkpoint = open_checkpoint(folder)
    assert [slot.name for slot in checkpoint.layers] == ["enc.0"]
    assert checkpoint.unread == ("cross.0.", "cross.1.")
    (warning,) = [line for line in checkpoint.warnings if "cross.0" in line]
    assert "2 blocks" in warning
    assert next(name for name in sorted(other) if name.startswith("A")) in warning
    report = classify_checkpoint(folder)
    assert report.layers[0].decided
    assert not report.decided
    assert exit_code(folder) == 3
    assert exit_code(folder, "--fail-on", "constant") == 3


def test_blocks_of_copies_are_no_matter_of_the_copy_that_is_judged(tmp_path):
    layers = {}
    for k, root in enumerate(("model.", "ema.")):
        layers |= {f"{root}l.{i}.": mamba1(i + k) for i in range(2)} | {f"{root}cross.0.": crossed()}
    folder = write(tmp_path, layers)
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.weights, checkpoint.copies) == ("model", ("ema",))
    assert checkpoint.unread == ("model.cross.0.",)
    assert open_checkpoint(folder, weights="ema").unread == ("ema.cross.0.",)
    assert open_checkpoint(folder, weights="model.l").unread == ()


def test_projections_without_rates_beside_layers_are_named(tmp_path):
    other = {name: value for name, value in mamba1().items() if name not in ("A_log", "D")}
    checkpoint = open_checkpoint(write(tmp_path, {"a.": mamba1(), "b.": other}))
    assert checkpoint.unread == ("b.",)
    assert "a scan's projections without A_log" in checkpoint.warnings[-1]


def state_of(layer, names):
    """What an optimizer keeps for each parameter, below the parameter's name."""
    return {
        f"{parameter}.{name}": np.ones(() if name == "step" else value.shape)
        for parameter, value in layer.items()
        for name in names
    }


@pytest.mark.parametrize(
    ("root", "names"),
    [
        ("optim.state.", ("exp_avg", "exp_avg_sq", "step")),
        ("optimizer.state.", ("momentum_buffer",)),
        ("optimizer.state.", ("of_a_kind_not_known",)),
        ("state.", ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")),
        ("state.", ("square_avg", "acc_delta", "step")),
        ("param_groups.", ("lr", "betas")),
        ("", ("exp_avg", "step")),
    ],
)
def test_an_optimizers_state_by_parameter_is_no_scan(tmp_path, root, names):
    layers = {f"model.layers.{i}.": mamba1() for i in range(2)}
    state = {f"{root}layers.{i}.": state_of(mamba1(), names) for i in range(2)}
    checkpoint = open_checkpoint(write(tmp_path, layers | state))
    assert (len(checkpoint), checkpoint.unread) == (2, ())
    assert exit_code(tmp_path) == 0
    assert "list of scans" not in message(UnsupportedArchitecture, write(tmp_path, state))


@pytest.mark.parametrize("root", ["masks.", "ema.", "state_dict.fisher."])
def test_a_copy_of_some_tensors_of_a_layer_is_no_scan(tmp_path, root):
    """Masks of the projections alone: the layer they belong to is read whole."""
    part = {name: value for name, value in mamba1().items() if "proj" in name}
    checkpoint = open_checkpoint(write(tmp_path, {"model.layers.0.": mamba1(), f"{root}layers.0.": part}))
    assert ([slot.name for slot in checkpoint.layers], checkpoint.unread) == (["model.layers.0"], ())
    elsewhere = {"model.layers.0.": mamba1(), f"{root}layers.1.": part}
    assert open_checkpoint(write(tmp_path, elsewhere)).unread == (f"{root}layers.1.",)
    without_a_word = {"model.layers.0.": mamba1(), "module.layers.0.": part}
    assert open_checkpoint(write(tmp_path, without_a_word)).unread == ("module.layers.0.",)
    other = part | {"x_proj.weight": np.ones((3, 3))}
    assert open_checkpoint(write(tmp_path, {"model.layers.0.": mamba1(), f"{root}layers.0.": other})).unread


def test_adapters_apart_from_their_layers_are_named(tmp_path):
    factors = {"x_proj.lora_A.weight": np.ones((2, E)), "x_proj.lora_B.weight": np.ones((8, 2))}
    checkpoint = open_checkpoint(write(tmp_path, {"model.l.0.": mamba1(), "lora.l.0.": factors}))
    assert checkpoint.unread == ("lora.l.0.",)
    assert "adapters that lie apart" in checkpoint.warnings[-1]


@pytest.mark.parametrize("name", ["A", "log_A"])
def test_rates_of_another_name_are_named(tmp_path, name):
    layer = mamba1()
    layer[name] = layer.pop("A_log")
    assert f"if A = -exp({name}), rename it to A_log" in message(
        UnsupportedArchitecture, write(tmp_path, {"m.": layer})
    )


@pytest.mark.parametrize("name", ["attn.x_proj.weight", "decoder.proj.weight", "head.dt_projection.weight"])
def test_one_projection_alone_is_no_scan(tmp_path, name):
    assert open_checkpoint(write(tmp_path, {"a.": mamba1(), "b.": {name: np.ones((2, 2))}})).unread == ()


def test_floods_of_names_are_refused(tmp_path):
    empty = np.zeros(0)
    flood = {f"A_{k}_log": empty for k in range(101)}
    assert "at most 100 scans" in message(UnsafeFile, write(tmp_path, {"m.": mamba1() | flood}))
    flood = {f"b{k}.A_s_log": empty for k in range(2001)}
    assert "at most 2000 S6 layers" in message(UnsafeFile, write(tmp_path, {"m.": mamba1(), "": flood}))
    flood = {f"b{k}.c_orig": empty for k in range(20001)}
    assert "at most 20000 weights in pieces" in message(UnsafeFile, write(tmp_path, {"m.": mamba1(), "": flood}))


def test_channels_of_a_block_that_was_not_understood_are_not_swept(tmp_path):
    folder = write(tmp_path, {"m.": mamba1() | {"B_bias": np.ones(N)}})
    with pytest.raises(SweepError, match="tensors that were not understood"):
        read_channels({"path": str(folder)})


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (
            {"m.x_proj.weight": np.ones((8, E)), "m.dt_proj.weight": np.ones((E, R))},
            ["without A_log", "x_proj.weight (8, 6)"],
        ),
        ({"m.A_log.0": np.ones((E, N))}, ["A_log.0 (6, 3)", "a list of scans"]),
        ({"m.AL_log": np.ones((E, N)), "m.AT_log": np.ones((E, N))}, ["AL_log (6, 3)", "Mamba2D"]),
        ({f"m.{name}": value for name, value in crossed().items()}, ["A_log_1 (6, 3)", "rename"]),
        ({"m.A_log": np.ones(())}, ["A_log ()", "one axis"]),
        ({"m.A_log": np.ones((2, 2, 2, 2))}, ["A_log (2, 2, 2, 2)", "1 block with"]),
        ({"": np.ones(3)}, ["1 tensor without a name"]),
        ({"weight": np.ones(3)}, ["1 tensor, among them weight"]),
        ({"": np.ones(3), "weight": np.ones(3)}, ["2 tensors, among them weight"]),
    ],
)
def test_a_file_without_a_known_block_says_what_it_holds(tmp_path, tensors, words):
    save_file(tensors, tmp_path / "model.safetensors")
    text = message(UnsupportedArchitecture, tmp_path)
    assert all(word in text for word in words), text


def test_a_hybrid_with_another_recurrence_is_no_alarm(tmp_path):
    delta = {"A_log": np.ones(4), "in_proj_qkvz.weight": np.ones((4, 4)), "dt_bias": np.ones(4)}
    checkpoint = open_checkpoint(write(tmp_path, {"l.0.mixer.": mamba1(), "l.1.linear_attn.": delta}))
    assert checkpoint.unread == ()
    assert len(checkpoint) == 1
