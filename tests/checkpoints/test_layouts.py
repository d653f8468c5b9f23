"""Finding layers, what files cannot tell, broken layers and refusals: small files written by hand."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_checkpoints import D_MODEL, FIXTURES, E, N, R, mamba1, mamba2, message, write

from mamba_dynamics._errors import (
    CheckpointError,
    CorruptFile,
    MissingTensor,
    UnsupportedArchitecture,
)
from mamba_dynamics.checkpoints import open_checkpoint
from mamba_dynamics.checkpoints.layouts import natural

# --- finding layers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix", ["", "module.", "blocks.0.mixer.", "encoder.blocks.0.mamba.", "model.layers.0.mamba_decoder.mamba."]
)
def test_a_layer_is_found_under_any_prefix(tmp_path, prefix):
    checkpoint = open_checkpoint(write(tmp_path, {prefix: mamba1()}))
    assert [slot.name for slot in checkpoint.layers] == [prefix.rstrip(".") or "(top level)"]
    np.testing.assert_array_equal(checkpoint.layer(0).S_B[0], mamba1()["x_proj.weight"][R : R + N])
    assert set(checkpoint.layers[0].tensors) == {
        prefix + name for name in ("A_log", "D", "x_proj.weight", "dt_proj.weight", "dt_proj.bias")
    }


def test_layers_come_in_natural_order(tmp_path):
    numbers = [10, 2, 0, 100, 11]
    checkpoint = open_checkpoint(write(tmp_path, {f"layers.{k}.mixer.": mamba1(seed=k) for k in numbers}))
    assert [slot.name for slot in checkpoint.layers] == [f"layers.{k}.mixer" for k in sorted(numbers)]
    for index, k in enumerate(sorted(numbers)):
        np.testing.assert_array_equal(checkpoint.layer(index).dt_bias[0], mamba1(seed=k)["dt_proj.bias"])


def test_natural_order_survives_hostile_numbers():
    names = ["a.9", "a." + "9" * 5000, "a.1" + "0" * 4999, "a.10"]
    assert sorted(names, key=natural) == ["a.9", "a.10", names[2], names[1]]


def test_one_checkpoint_may_mix_kinds(tmp_path):
    checkpoint = open_checkpoint(write(tmp_path, {"l.0.": mamba1(), "l.1.": mamba2()}), groups=2)
    assert [slot.kind for slot in checkpoint.layers] == ["mamba1", "mamba2"]
    assert checkpoint.layer(0).acts_on == "x"
    assert checkpoint.layer(1).acts_on == "u"
    assert len(checkpoint) == 2


@pytest.mark.parametrize("inner", ["", "conv."])
def test_projections_may_be_1x1_convolutions(tmp_path, inner):
    plain = mamba1()
    layer = {name: value for name, value in plain.items() if "x_proj" not in name and "dt_proj" not in name}
    layer[f"x_proj.{inner}weight"] = plain["x_proj.weight"][:, :, None]
    layer[f"dt_proj.{inner}weight"] = plain["dt_proj.weight"][:, :, None, None]
    layer[f"dt_proj.{inner}bias"] = plain["dt_proj.bias"]
    read = open_checkpoint(write(tmp_path, {"m.": layer})).layer(0)
    np.testing.assert_array_equal(read.S_C[0], plain["x_proj.weight"][R + N :])
    assert read.dt_up is not None
    np.testing.assert_array_equal(read.dt_up[0], plain["dt_proj.weight"])


def test_layer_positions(tmp_path):
    checkpoint = open_checkpoint(write(tmp_path, {"m.": mamba1()}))
    for index in (-1, 1):
        with pytest.raises(IndexError, match="S6 layers 0 to 0"):
            checkpoint.layer(index)


# --- biases, which shift the step sizes ---------------------------------------------------------


def test_bias_of_x_proj_reaches_the_step_size(tmp_path):
    layer, x = mamba1(), np.random.default_rng(5).standard_normal(E)
    bias = np.random.default_rng(6).standard_normal(R + 2 * N)
    read = open_checkpoint(write(tmp_path, {"m.": layer | {"x_proj.bias": bias}})).layer(0)
    low_rank = (layer["x_proj.weight"] @ x + bias)[:R]
    by_definition = layer["dt_proj.weight"] @ low_rank + layer["dt_proj.bias"]
    np.testing.assert_allclose(read.S_Delta() @ x + read.dt_bias[0], by_definition, rtol=1e-13)
    assert any("x_proj.bias" in warning for warning in read.warnings)


def test_bias_of_stacked_projections_reaches_the_step_size(tmp_path):
    rng, K = np.random.default_rng(7), 2
    layer = {"A_logs": rng.standard_normal((K * E, N)), "x_proj_weight": rng.standard_normal((K, R + 2 * N, E))}
    layer |= {"dt_projs_weight": rng.standard_normal((K, E, R)), "dt_projs_bias": rng.standard_normal((K, E))}
    layer["x_proj_bias"], x = rng.standard_normal((K, R + 2 * N)), rng.standard_normal(E)
    read = open_checkpoint(write(tmp_path, {"m.": layer})).layer(0)
    for k in range(K):
        low_rank = (layer["x_proj_weight"][k] @ x + layer["x_proj_bias"][k])[:R]
        by_definition = layer["dt_projs_weight"][k] @ low_rank + layer["dt_projs_bias"][k]
        np.testing.assert_allclose(read.S_Delta(k) @ x + read.dt_bias[k], by_definition, rtol=1e-13)
    assert any("x_proj_bias" in warning for warning in read.warnings)


def test_bias_of_in_proj_reaches_the_step_size(tmp_path):
    layer = mamba2()
    bias = np.random.default_rng(6).standard_normal(len(layer["in_proj.weight"]))
    read = open_checkpoint(write(tmp_path, {"m.": layer | {"in_proj.bias": bias}}), groups=2).layer(0)
    np.testing.assert_array_equal(read.dt_bias.ravel(), layer["dt_bias"] + bias[-2:])
    assert any("in_proj.bias" in warning for warning in read.warnings)


def test_falcon_h1_scales_the_bias_without_the_input_factor(tmp_path):
    tensors = mamba2(heads=4, width=8)
    bias = np.random.default_rng(6).standard_normal(len(tensors["in_proj.weight"]))
    config = {"model_type": "falcon_h1", "mamba_n_groups": 2, "ssm_in_multiplier": 3.0}
    config["ssm_multipliers"] = [1.0, 1.0, 1.0, 1.0, 0.5]
    read = open_checkpoint(write(tmp_path, {"m.": tensors | {"in_proj.bias": bias}}, config)).layer(0)
    np.testing.assert_array_equal(read.dt_bias.ravel(), tensors["dt_bias"] + 0.5 * bias[-4:])
    assert read.multipliers.dt == 1.5


# --- what cannot be told from the file ----------------------------------------------------------


@pytest.mark.parametrize("name", ["mamba", "falcon_mamba"])
def test_without_config_the_norms_are_unknown(tmp_path, name):
    shutil.copy(FIXTURES / name / "model.safetensors", tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.architecture == "mamba"
    assert checkpoint.config is None
    assert any("norms unknown" in warning and "falcon_mamba" in warning for warning in checkpoint.warnings)
    layer = checkpoint.layer(0)
    assert not layer.norms.known
    assert any("norms unknown" in warning for warning in layer.warnings)


@pytest.mark.parametrize("name", ["jamba", "mamba_ssm", "zamba", "mamba_vision"])
def test_without_config_tensors_may_still_tell_the_architecture(tmp_path, name):
    shutil.copy(FIXTURES / name / "model.safetensors", tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.architecture == name
    assert not checkpoint.warnings
    assert checkpoint.layer(0).norms.known


def test_without_config_the_groups_must_be_given(tmp_path):
    shutil.copy(FIXTURES / "mamba2" / "model.safetensors", tmp_path)
    text = message(CheckpointError, tmp_path)
    assert "--groups" in text
    assert "G * N = 12" in text
    assert "backbone.layers.0.mixer" in text
    given, known = open_checkpoint(tmp_path, groups=2), open_checkpoint(FIXTURES / "mamba2")
    np.testing.assert_array_equal(given.layer(1).S_C, known.layer(1).S_C)
    assert open_checkpoint(tmp_path, groups=1).layer(0).S_B.shape == (1, 12, 16)
    assert "3 groups" in message(CheckpointError, tmp_path, groups=3)  # 4 heads
    assert "found 0" in message(CheckpointError, tmp_path, groups=0)


def test_the_number_of_states_tells_the_groups_too(tmp_path):
    folder = write(tmp_path, {"m.": mamba2()}, {"model_type": "mamba2", "state_size": N})
    assert open_checkpoint(folder).layers[0].groups == 2
    folder = write(tmp_path, {"m.": mamba2()}, {"model_type": "mamba2", "state_size": 4})
    text = message(CheckpointError, folder)
    assert "G * N = 6" in text
    assert "d_state = 4" in text


def test_groups_must_divide_heads_and_states(tmp_path):
    folder = write(tmp_path, {"m.": mamba2(heads=4)})  # G * N = 6
    for groups in (3, 4):
        assert f"{groups} groups by the number given should divide" in message(CheckpointError, folder, groups=groups)


def test_groups_that_contradict_or_do_not_apply(tmp_path):
    text = message(CheckpointError, FIXTURES / "mamba2", groups=4)
    assert "4 as given" in text
    assert "2 by n_groups in config.json" in text
    assert open_checkpoint(FIXTURES / "mamba2", groups=2).layers[0].groups == 2
    assert "no layer here is a Mamba-2 layer" in message(CheckpointError, FIXTURES / "mamba", groups=2)


@pytest.mark.parametrize("missing", [(), ("conv1d.weight",), ("out_proj.weight",)])
def test_mamba2_width_from_whatever_shapes_there_are(tmp_path, missing):
    tensors = {name: value for name, value in mamba2().items() if name not in missing}
    slot = open_checkpoint(write(tmp_path, {"m.": tensors}), groups=2).layers[0]
    assert (slot.d_inner, slot.d_state, slot.heads, slot.d_model) == (8, N, 2, D_MODEL)


def test_vim_version_1_shares_all_but_the_decay(tmp_path):
    layer = mamba1() | {"A_b_log": np.random.default_rng(9).standard_normal((E, N))}
    read = open_checkpoint(write(tmp_path, {"m.": layer})).layer(0)
    assert read.groups == 2
    assert read.kind == "vim"
    np.testing.assert_array_equal(read.S_B[0], read.S_B[1])
    np.testing.assert_array_equal(read.a[1], np.exp(layer["A_b_log"]))
    np.testing.assert_array_equal(read.a[0], np.exp(layer["A_log"]))


# --- broken layers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "missing"),
    [
        (mamba1(), "x_proj.weight"),
        (mamba1(), "dt_proj.weight"),
        (mamba1(), "dt_proj.bias"),
        (mamba2(), "in_proj.weight"),
        (mamba2(), "dt_bias"),
    ],
)
def test_a_missing_tensor_is_named_with_its_neighbours(tmp_path, layer, missing):
    del layer[missing]
    text = message(MissingTensor, write(tmp_path, {"layers.3.mixer.": layer}), groups=None)
    assert "layers.3.mixer:" in text
    assert missing in text
    assert "found only A_log" in text
    assert "out_proj.weight" in text


def test_a_missing_D_is_no_obstacle(tmp_path):
    layer = mamba1()
    del layer["D"]
    assert open_checkpoint(write(tmp_path, {"m.": layer})).layer(0).D_skip is None


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        ("x_proj.weight", (R + 2 * N + 1, E)),
        ("x_proj.weight", (R + 2 * N, E - 1)),
        ("dt_proj.weight", (E + 1, R)),
        ("dt_proj.bias", (E - 1,)),
        ("D", (1,)),
        ("dt_proj.weight", (E,)),
    ],
)
def test_shapes_that_contradict_each_other(tmp_path, tensor, shape):
    text = message(CheckpointError, write(tmp_path, {"m.": mamba1() | {tensor: np.zeros(shape)}}))
    assert tensor in text
    assert str(shape) in text


@pytest.mark.parametrize(
    "change",
    [
        {"in_proj.weight": np.zeros((31, D_MODEL))},
        {"dt_bias": np.zeros(3)},
        {"D": np.zeros(5)},
        {"norm.weight": np.zeros(7)},
        {"A_log": np.zeros(3), "dt_bias": np.zeros(3)},
    ],
)
def test_mamba2_shapes_that_contradict_each_other(tmp_path, change):
    folder = write(tmp_path, {"m.": mamba2() | change})
    assert str(next(iter(change.values())).shape[0]) in message(CheckpointError, folder, groups=2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(tmp_path, value):
    broken = mamba1(1)
    broken["x_proj.weight"][1, 2:4] = value
    checkpoint = open_checkpoint(write(tmp_path, {"layers.0.": mamba1(0), "layers.1.": broken, "layers.2.": mamba1(2)}))
    with pytest.raises(CorruptFile, match=r"layers\.1: x_proj\.weight .* 2 NaN or infinite of 48"):
        checkpoint.layer(1)
    np.testing.assert_array_equal(checkpoint.layer(2).dt_bias[0], mamba1(2)["dt_proj.bias"])
    checkpoint.layer(0)


def test_rates_that_overflow(tmp_path):
    layer = mamba1()
    layer["A_log"][0, 0] = 710.0
    with pytest.raises(CorruptFile, match=r"m: A_log should stay below 709"):
        open_checkpoint(write(tmp_path, {"m.": layer})).layer(0)


def test_quantised_weights(tmp_path):
    layer = mamba1()
    layer["x_proj.weight"] = np.zeros((R + 2 * N, E), np.int8)
    checkpoint = open_checkpoint(write(tmp_path, {"m.": layer}))
    with pytest.raises(CheckpointError, match=r"m: x_proj\.weight .*found I8 .*quantised"):
        checkpoint.layer(0)


# --- no S6 layers at all --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            [f"model.layers.{k}.self_attn.{p}_proj.weight" for k in range(24) for p in "qkv"],
            r"attention, as in a transformer \(in 24 layers",
        ),
        (["rwkv.blocks.0.att.time_decay", "rwkv.blocks.1.att.time_decay"], "RWKV .*in 2 layers"),
        (["layers.0.mixer.B_bias", "layers.0.mixer.C_bias", "layers.0.mixer.dt_bias"], r"Mamba-3 .*in 1 layer\)"),
        (["l.0.linear_attn.A_log", "l.0.linear_attn.in_proj_qkvz.weight"], r"gated delta rule layers \(1\)"),
        (["l.0.self_attn.A_log", "l.0.self_attn.q_proj.weight"], "gated delta rule"),
        (["l.0.mixer.A_log", "l.0.mixer.bcdt_proj.weight", "l.0.mixer.in_proj.weight"], "PLaMo-2"),
        (["conv\n1.weight", "b"], r"2 tensors, among them b, conv\\n1\.weight"),
    ],
)
def test_a_checkpoint_without_s6_layers_says_what_it_holds(tmp_path, names, words):
    save_file({name: np.zeros(3, np.float32) for name in names}, tmp_path / "model.safetensors")
    text = message(UnsupportedArchitecture, tmp_path)
    assert re.search(words, text), text


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (["mixer.A_log", "mixer.D", "ref.B"], MissingTensor, "in_proj.weight"),
        (["mixer.A_log", "mixer.in_proj.weight"], UnsupportedArchitecture, "numpy archive"),
        (["x"], UnsupportedArchitecture, "numpy archive"),
    ],
)
def test_a_numpy_archive_is_no_checkpoint(tmp_path, names, error, words):
    np.savez(tmp_path / "step.npz", **{name: np.zeros(2) for name in names})
    assert words in message(error, tmp_path / "step.npz")


# --- the paper's reparametrised models ------------------------------------------------------------


def reparametrised(tmp_path):
    layer = mamba1(3)
    layer["x_proj.parametrizations.weight.original"] = layer.pop("x_proj.weight")
    return layer, write(tmp_path, {"backbone.layers.0.mixer.": layer})


@pytest.mark.parametrize("variant", ["positive", "negative", "mixed"])
def test_reparametrised_x_proj(tmp_path, variant):
    layer, folder = reparametrised(tmp_path)
    raw = layer["x_proj.parametrizations.weight.original"]
    read = open_checkpoint(folder, variant=variant).layer(0)
    signs = {"positive": [1, 1, 1], "negative": [-1, -1, -1], "mixed": [1, -1, -1]}[variant]
    for n in range(N):
        row = [0.0 if d < n else 1.0 if d == n else raw[R + n, d] for d in range(E)]
        magnitude = np.log1p(np.exp(raw[R + N + n, 0])) + (0.0 if variant == "mixed" else 0.7)
        np.testing.assert_array_equal(read.S_C[0, n], row)
        np.testing.assert_allclose(read.S_B[0, n], signs[n] * magnitude * np.array(row), rtol=1e-14)
    np.testing.assert_array_equal(read.dt_down[0], raw[:R])
    M = read.input_output_matrix()
    np.testing.assert_allclose(M, M.T, atol=1e-12)
    eigenvalues = np.linalg.eigvalsh(M)
    assert ((eigenvalues > 1e-9).sum(), (eigenvalues < -1e-9).sum()) == (signs.count(1), signs.count(-1))


def test_reparametrised_x_proj_needs_the_variant(tmp_path):
    _, folder = reparametrised(tmp_path)
    assert "variant=positive or negative or mixed" in message(UnsupportedArchitecture, folder)
    assert "found 'neutral'" in message(CheckpointError, folder, variant="neutral")


# --- the package around it ------------------------------------------------------------------------


def test_opening_checkpoints_imports_neither_jax_nor_torch():
    code = (
        "import sys; from mamba_dynamics.checkpoints import open_checkpoint;"
        f"open_checkpoint({str(FIXTURES / 'mamba')!r}).layer(0);"
        "print([m for m in ('jax', 'torch', 'equinox') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_real_mamba_130m_layer(shared):
    checkpoint = open_checkpoint(shared / "checkpoints" / "mamba-130m-one-layer")
    slot, layer = checkpoint.layers[0], checkpoint.layer(0)
    assert (checkpoint.architecture, slot.d_inner, slot.d_state, layer.dt_down.shape[1]) == ("mamba", 1536, 16, 48)
    assert not checkpoint.warnings
    assert checkpoint.bytes_read < checkpoint.bytes_total
    # The listed eigenvalues are rounded to five digits after the point.
    listed = [-2.56548, -1.94101, -0.83998 + 1.07386j, -0.83998 - 1.07386j, -0.53050 + 0.32800j, -0.53050 - 0.32800j]
    listed += [-0.41737, -0.15966, 0.07822, 0.10871 + 0.41218j, 0.10871 - 0.41218j, 0.16705 + 0.93725j]
    listed += [0.16705 - 0.93725j, 0.27874, 1.15739, 4.90298]
    found = np.linalg.eigvals(layer.S_B[0] @ layer.S_C[0].T)
    distances = np.abs(found[:, None] - np.array(listed))
    assert len(listed) == 16
    assert distances.min(axis=0).max() < 1e-5
    assert distances.min(axis=1).max() < 1e-5
    assert int((np.einsum("nd,nd->d", layer.S_C[0], layer.S_B[0]) < 0).sum()) == 905


def test_real_step_dump_is_refused(shared):
    text = message(MissingTensor, shared / "checkpoints" / "mamba2-130m-layer0-step" / "step.npz")
    assert "in_proj.weight" in text
    assert "numpy archive" in text


def test_real_torch_checkpoint_of_mamba1(shared):
    torch = pytest.importorskip("torch")
    path = shared / "checkpoints" / "positioning-mamba1-4layer.pt"
    checkpoint = open_checkpoint(path)
    stored = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    assert len(checkpoint) == 4
    assert checkpoint.bytes_read < checkpoint.bytes_total / 10
    layer = checkpoint.layer(2)
    weight = stored["backbone.blocks.2.x_proj.weight"].numpy()
    np.testing.assert_array_equal(np.concatenate([layer.dt_down[0], layer.S_B[0], layer.S_C[0]]), weight)
    assert layer.name.endswith("backbone.blocks.2")
    assert layer.d_inner == 256
    assert layer.d_state == 16


def test_real_torch_checkpoint_of_vmamba(shared):
    torch = pytest.importorskip("torch")
    path = shared / "checkpoints" / "super-resolution-ss2d.pth"
    checkpoint = open_checkpoint(path)
    stored = torch.load(path, weights_only=True, map_location="cpu")
    assert (checkpoint.architecture, len(checkpoint)) == ("vmamba", 8)
    layer, prefix = checkpoint.layer(3), "layers.1.residual_group.blocks.1.self_attention."
    assert layer.name + "." == prefix
    assert layer.groups == 4
    for k in range(4):
        np.testing.assert_array_equal(layer.S_C[k], stored[prefix + "x_proj_weight"][k, 20:].numpy())
        A = -np.exp(stored[prefix + "A_logs"].double().numpy())[90 * k : 90 * (k + 1)]
        np.testing.assert_allclose(-layer.a[k], A, rtol=1e-14)
