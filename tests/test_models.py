"""The language models against golden arrays of another library, real activations, and the definition itself."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from small_text import HELD_OUT

from mamba_dynamics import (
    HypothesisError,
    LayerShapeError,
    MissingTensor,
    UnsupportedArchitecture,
    load_model,
    open_checkpoint,
    sample_path,
    walk,
)
from mamba_dynamics._selective_scan import selective_scan, state_space_dual
from mamba_dynamics._selective_scan.state_space_duality import CHUNK
from mamba_dynamics.checkpoints.language_model import read_convolution
from mamba_dynamics.models import Block, radial_rates
from mamba_dynamics.models.language_model import block_update
from mamba_dynamics.models.loading import load_mamba1_selection

FIXTURES = Path(__file__).parent / "fixtures"
FOLDERS = {name: FIXTURES / name for name in ("mamba", "falcon_mamba", "mamba2")} | {"sample": sample_path()}
EVERY = pytest.mark.parametrize("name", FOLDERS)
#: Absolute tolerance of a float32 forward pass against another one.
FLOAT32 = 1e-4


def golden(name):
    with np.load(FIXTURES / name / "language_model.npz") as arrays:
        return dict(arrays)


def lengths(arrays):
    return sorted(int(key.removeprefix("ids_")) for key in arrays if key.startswith("ids_"))


@EVERY
def test_logits_and_states_equal_the_reference_implementation(name):
    arrays, model = golden(name), load_model(FOLDERS[name])
    taps = open_checkpoint(FOLDERS[name]).config["conv_kernel"]
    assert lengths(arrays) == [1, 2, taps - 1, taps, 257]
    for length in lengths(arrays):
        ids = arrays[f"ids_{length}"]
        np.testing.assert_allclose(model(ids), arrays[f"logits_{length}"], rtol=0, atol=FLOAT32)
        np.testing.assert_allclose(model.states(ids), arrays[f"states_{length}"], rtol=0, atol=FLOAT32)


@EVERY
def test_a_walk_sees_the_states_of_the_whole_model(name):
    ids = golden(name)["ids_257"]
    states = load_model(FOLDERS[name]).states(ids)
    for visit in walk(FOLDERS[name], ids):
        np.testing.assert_array_equal(visit.residual, states[visit.index])
        np.testing.assert_array_equal(visit.after, states[visit.index + 1])


@EVERY
def test_double_precision_stays_double_and_close(name):
    ids = golden(name)["ids_257"]
    single, double = load_model(FOLDERS[name]), load_model(FOLDERS[name], dtype="float64")
    assert double(ids).dtype == np.float64
    assert single(ids).dtype == np.float32
    np.testing.assert_allclose(single(ids), double(ids), atol=FLOAT32)
    assert not jax.config.jax_enable_x64, "the flag is left as it was"
    (*_, last) = walk(FOLDERS[name], ids, dtype="float64")
    np.testing.assert_allclose(last.after, double.states(ids)[-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rename", [("backbone.embeddings", "backbone.embedding"), ("backbone.", "")])
def test_other_namings_give_the_same_model(rename, tmp_path):
    """mamba_ssm says `embedding`; a bare model saves without `backbone.`."""
    tensors = load_file(FIXTURES / "mamba" / "model.safetensors")
    save_file({name.replace(*rename): value for name, value in tensors.items()}, tmp_path / "model.safetensors")
    config = json.loads((FIXTURES / "mamba" / "config.json").read_text())
    if rename[1]:
        sizes = {"d_state": config["state_size"], "dt_rank": config["time_step_rank"]}
        config = {"d_model": config["hidden_size"], "n_layer": config["num_hidden_layers"], "ssm_cfg": sizes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    arrays = golden("mamba")
    np.testing.assert_allclose(load_model(tmp_path)(arrays["ids_257"]), arrays["logits_257"], rtol=0, atol=FLOAT32)


def test_the_sample_predicts_text_better_than_byte_pairs():
    """By a full bit, on text no model was trained on; the byte pairs are counted in the standard library."""
    model, text = load_model(sample_path()), np.frombuffer(HELD_OUT.encode(), np.uint8)
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    training = np.frombuffer(b"".join(path.read_bytes() for path in library), np.uint8)
    pairs = np.ones((256, 256))
    np.add.at(pairs, (training[:-1], training[1:]), 1)
    bigram = -np.mean(np.log2(pairs / pairs.sum(axis=1, keepdims=True))[text[:-1], text[1:]])
    assert model.bits_per_token(text) < bigram - 1.0
    shuffled = np.random.default_rng(0).permutation(text)
    assert model.bits_per_token(shuffled) > bigram, "and not whatever it is given"


# The stages of a real layer, stored while the 130M-parameter model read ten real tokens.


@pytest.fixture(scope="module")
def real_mixer(shared):
    """(its selective part, everything stored) in float64."""
    folder = shared / "checkpoints" / "mamba-130m-one-layer"
    checkpoint = open_checkpoint(folder)
    layer = checkpoint.layer(0)
    convolution = read_convolution(checkpoint._found[0].tensors, layer.channels)
    with np.load(folder / "reference.npz") as reference:
        arrays = {key: value.astype(np.float64) for key, value in reference.items()}
    return load_mamba1_selection(layer, convolution, "float64"), arrays


def test_each_stage_of_a_real_layer_from_the_one_before(real_mixer, x64):
    """What was stored in float32 is a few roundings away: half a last place is 4.8e-7 at 11.6 and 1.2e-4 at 2818."""
    selection, stored = real_mixer
    low, B, C = selection.projected(stored["x_conv"])
    rates = np.asarray(selection.a)
    gate = stored["gate"]
    stages = {
        "x_conv": (selection.conv(stored["x_preconv"]), 5.5e-7),
        "x_dbl": (np.concatenate([low, B, C], axis=1), 4e-6),
        "dt": (selection.step_sizes(stored["x_dbl"][:, :48]), 2e-6),
        "scan_out": (selective_scan(stored["x_conv"], stored["dt"], rates, stored["B"], stored["C"]), 6e-4),
        "scan_out_D": (stored["scan_out"] + selection.D_skip * stored["x_conv"], 6.5e-5),
        "gated": (stored["scan_out_D"] * np.asarray(jax.nn.silu(gate)), 1.3e-4),
    }
    for name, (found, tolerance) in stages.items():
        np.testing.assert_allclose(found, stored[name], rtol=0, atol=tolerance, err_msg=name)


def test_the_stages_of_a_real_layer_together(real_mixer, x64):
    selection, stored = real_mixer
    found = selection(stored["mixer_input"], stored["x_preconv"], True)
    scale = np.abs(stored["scan_out"]).max()
    np.testing.assert_allclose(found.scan, stored["scan_out"], rtol=0, atol=1e-6 * scale)


def test_one_step_of_a_real_mamba2_layer(shared):
    """Its recurrence from a stored state, in float16: the state enters as one earlier token per state."""
    with np.load(shared / "checkpoints" / "mamba2-130m-layer0-step" / "step.npz") as step:
        given = {key: value.astype(np.float64) for key, value in step.items()}
    delta = np.logaddexp(0, given["ref.dt_raw"] + given["mixer.dt_bias"])
    a, state = np.exp(given["mixer.A_log"]), given["ref.state_in"]
    heads, _, states = state.shape
    # Earlier tokens with step size 1 and B = e_n write the state column by column; the last of them must not decay it,
    # so their rate is undone: h = sum_n e_n x_n exp(-a (N - 1 - n)).
    undo = np.exp(np.outer(a, np.arange(states - 1, -1, -1.0)))
    x = np.concatenate([np.einsum("hpn,hn->nhp", state, undo), given["ref.x"][None]])
    B = np.concatenate([np.eye(states), given["ref.B"][None]])[:, None]
    C = np.repeat(given["ref.C"][None], states + 1, axis=0)[:, None]
    steps = np.concatenate([np.ones((states, heads)), delta[None]])
    with jax.enable_x64(True):
        slow = a * (states - 1) < 300  # exp(a N) of the fastest head leaves no digits
        y = np.array(state_space_dual(x[:, slow], steps[:, slow], a[slow], B, C))[-1]
    y += given["mixer.D"][slow, None] * given["ref.x"][slow]
    assert slow.sum() >= heads // 2
    # The stored result was summed in float16: at most N roundings of the sum of the terms' sizes, typically sqrt(N).
    h = np.exp(-a * delta)[:, None, None] * state + (delta[:, None] * given["ref.x"])[:, :, None] * given["ref.B"]
    sizes = np.abs(h * given["ref.C"]).sum(axis=2) + np.abs(given["mixer.D"][:, None] * given["ref.x"])
    rounding = 2.0**-11 * sizes[slow]
    error = np.abs(y - given["ref.y_python"][slow])
    assert np.all(error <= states * rounding)
    assert np.mean(error <= np.sqrt(states) * rounding) > 0.95
    assert np.sqrt(states) * np.median(rounding) < 0.02 * np.median(np.abs(y)), "and that is a narrow bound"


# The scans by definition.


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_the_chunked_scan_is_the_recurrence(length, x64):
    rng = np.random.default_rng(length)
    heads, width, groups, states = 6, 3, 2, 5
    x, delta = rng.normal(size=(length, heads, width)), np.exp(rng.normal(size=(length, heads)))
    a, B, C = np.exp(rng.normal(size=heads)), *rng.normal(size=(2, length, groups, states))
    found = state_space_dual(x, delta, a, B, C)
    h, expected = np.zeros((heads, width, states)), []
    for t in range(length):
        b, c = (np.repeat(one[t], heads // groups, axis=0) for one in (B, C))
        h = np.exp(-a * delta[t])[:, None, None] * h + (delta[t][:, None] * x[t])[:, :, None] * b[:, None]
        expected.append(np.einsum("hpn,hn->hp", h, c))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


def test_no_array_of_length_times_channels_times_states(x64):
    """Doubling the states must not double the memory of the scan: O(L D + D N)."""
    length, channels = 512, 256

    def memory(states):
        shapes = [(length, channels), (length, channels), (channels, states), (length, states), (length, states)]
        compiled = (
            jax.jit(selective_scan).lower(*(jax.ShapeDtypeStruct(shape, np.float64) for shape in shapes)).compile()
        )
        return compiled.memory_analysis().temp_size_in_bytes

    assert memory(32) < length * channels * 32 * 8 / 4


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_a_walk_of_a_published_shape_fits_a_laptop(tmp_path):
    """24 layers of the 130M shape in float32 (517 MB) over 512 tokens, in a process of its own: under 1.2 GB."""
    script = Path(__file__).resolve().parents[1] / "scripts" / "make_shaped_checkpoint.py"
    subprocess.run([sys.executable, script, tmp_path, "--dense"], check=True, timeout=300)
    # Not ru_maxrss: it survives exec, and so begins with the size of the process that runs the tests.
    code = f"""
import re
from mamba_dynamics import walk
last = [visit.after for visit in walk({str(tmp_path)!r}, range(512))][-1]
assert last.shape == (512, 768) and abs(last).max() < 1e6
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 1.2e6, "kilobytes"


@EVERY
def test_hidden_attention_times_the_input_is_the_scan(name):
    ids = golden(name)["ids_257"][:40]
    for visit in walk(FOLDERS[name], ids, dtype="float64"):
        stages = visit.stages
        width = stages.x.shape[1] // stages.delta.shape[1]
        for index in (0, stages.delta.shape[1] - 1):
            P = np.asarray(visit.hidden_attention(index))
            channels = slice(index * width, (index + 1) * width)
            x, scan = np.asarray(stages.x)[:, channels], np.asarray(stages.scan)[:, channels]
            np.testing.assert_allclose(P @ x, scan, rtol=1e-9, atol=1e-9)
            assert np.all(np.triu(P, 1) == 0)


# What is left out, and what a change of sign leaves as it is.


@EVERY
@pytest.mark.parametrize("part", ["norm", "conv", "gate", "skip"])
def test_each_part_can_be_left_out_and_matters(name, part):
    ids = golden(name)["ids_257"][:20]
    for with_all, without in zip(walk(FOLDERS[name], ids), walk(FOLDERS[name], ids, without=(part,)), strict=True):
        assert not np.allclose(with_all.stages.out, without.stages.out, rtol=1e-3)
        break
    stages = without.stages
    if part == "gate":
        np.testing.assert_array_equal(stages.gated, stages.skipped)
    if part == "skip":
        np.testing.assert_array_equal(stages.skipped, stages.scan)
    if part == "conv":
        np.testing.assert_array_equal(stages.x, stages.signal)
    if part == "norm":
        np.testing.assert_array_equal(stages.u, without.residual)


def test_unknown_parts_are_refused():
    with pytest.raises(ValueError, match="frobnicate"):
        next(walk(sample_path(), [1, 2], without=("frobnicate",)))


@pytest.mark.parametrize("name", ["mamba", "falcon_mamba", "sample"])
def test_the_gauge_leaves_the_block_and_its_radial_rates_as_they_are(name):
    """Theory section 8: the scenario of the S6-only ODE flips, the block's function does not, to the last bit."""
    for visit in walk(FOLDERS[name], golden(name)["ids_257"]):
        flipped: Block = visit.block.flipped()
        update = block_update(flipped, visit.residual)
        np.testing.assert_array_equal(update, block_update(visit.block, visit.residual))
        np.testing.assert_allclose(radial_rates(visit.residual, update), visit.radial_rates, rtol=1e-4, atol=1e-6)
        before, after = visit.block.mixer.selection, flipped.mixer.selection
        np.testing.assert_array_equal(after.S_C, -before.S_C)
        np.testing.assert_array_equal(after.D_skip, -before.D_skip)
        assert np.any(before.S_C != 0)


def test_mamba2_has_no_such_gauge():
    """C passes SiLU: flipping its rows, D and out_proj changes the block, so the package refuses to."""
    import equinox as eqx

    for visit in walk(FOLDERS["mamba2"], golden("mamba2")["ids_257"]):
        with pytest.raises(HypothesisError, match="SiLU"):
            visit.block.flipped()
        mixer = visit.block.mixer

        def signs(one):
            C = one.selection
            return C.C_proj.weight, C.conv_C.bias, C.D_skip, one.out_proj.weight

        flipped = eqx.tree_at(signs, mixer, [-value for value in signs(mixer)])
        assert np.abs(flipped(visit.stages.u) - visit.stages.out).max() > 0.1 * np.abs(visit.stages.out).max()


def test_radial_rates_are_those_of_the_definition():
    u, update = np.random.default_rng(0).normal(size=(2, 5, 7))
    expected = [float(np.dot(a, b) / np.dot(a, a)) for a, b in zip(u, update, strict=True)]
    np.testing.assert_allclose(radial_rates(u, update), expected, rtol=1e-5)


def test_a_cycled_walk_begins_again():
    ids = golden("sample")["ids_4"]
    visits = list(walk(FOLDERS["sample"], ids, depth=6))
    assert [visit.index for visit in visits] == [0, 1, 2, 3, 0, 1]
    assert [visit.position for visit in visits] == list(range(6))
    np.testing.assert_array_equal(visits[4].residual, visits[3].after)
    first, third, again = (visits[i].block.mixer.selection.S_B for i in (0, 3, 4))
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(again, third)


# Bad input.


def test_ids_outside_the_vocabulary_are_refused():
    for ids in ([0, 256], [-1], [], [[1, 2]], [0.5]):
        with pytest.raises(LayerShapeError, match="token ids"):
            next(walk(sample_path(), ids))


def test_models_whose_forward_pass_is_unknown_are_refused(shared):
    with pytest.raises(UnsupportedArchitecture, match="--tokens"):
        load_model(FIXTURES / "jamba")
    with pytest.raises(MissingTensor, match="embedding"):
        load_model(shared / "checkpoints" / "mamba-130m-one-layer")


@pytest.mark.parametrize(
    ("extra", "match"), [("backbone.layers.0.norm2.weight", "norm2"), ("backbone.layers.0.mlp.fc1.weight", "fc1")]
)
def test_a_tensor_beyond_the_known_ones_makes_it_another_model(extra, match, tmp_path):
    tensors = load_file(FIXTURES / "mamba" / "model.safetensors")
    save_file({**tensors, extra: np.ones(16, np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((FIXTURES / "mamba" / "config.json").read_text())
    with pytest.raises(UnsupportedArchitecture, match=match):
        load_model(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("hidden_act", "gelu"), ("rms_norm", False)])
def test_another_activation_or_norm_is_refused(key, value, tmp_path):
    config = json.loads((FIXTURES / "mamba" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    (tmp_path / "model.safetensors").write_bytes((FIXTURES / "mamba" / "model.safetensors").read_bytes())
    with pytest.raises(UnsupportedArchitecture, match=key):
        load_model(tmp_path)


def test_norm_before_gate_is_refused_in_mamba_ssm_and_changes_nothing_in_transformers(tmp_path):
    """mamba_ssm's Mamba2 computes norm(y) SiLU(z) with it; transformers gates first, whatever the config says."""
    weights = (FIXTURES / "mamba_ssm_mamba2" / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    config = json.loads((FIXTURES / "mamba_ssm_mamba2" / "config.json").read_text())
    inner = config["ssm_cfg"] | {"norm_before_gate": True}
    (tmp_path / "config.json").write_text(json.dumps(config | {"ssm_cfg": inner}))
    with pytest.raises(UnsupportedArchitecture, match="norm_before_gate = False, found True in ssm_cfg"):
        load_model(tmp_path)
    config = json.loads((FIXTURES / "mamba2" / "config.json").read_text()) | {"norm_before_gate": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((FIXTURES / "mamba2" / "model.safetensors").read_bytes())
    arrays = golden("mamba2")
    np.testing.assert_allclose(load_model(tmp_path)(arrays["ids_257"]), arrays["logits_257"], rtol=0, atol=FLOAT32)
