"""Weights stored in pieces: LoRA, pruning, weight normalisation, against torch or the formula written out."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file
from small_checkpoints import D_MODEL, E, N, R, arrays_of, mamba1, mamba2, message, write

from mamba_dynamics import classify_checkpoint
from mamba_dynamics._errors import CheckpointError, CorruptFile, MissingTensor, UnsafeFile, UnsupportedArchitecture
from mamba_dynamics.checkpoints import open_checkpoint
from mamba_dynamics.checkpoints.archives import open_archive
from mamba_dynamics.checkpoints.beside import with_adapter
from mamba_dynamics.checkpoints.folder import LocalFolder
from mamba_dynamics.checkpoints.pieces import put_together
from mamba_dynamics.cli import app

ROWS = R + 2 * N
PREFIX = "backbone.layers.0.mixer."


def factors(rank=3, out=ROWS, into=E, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rank, into)), rng.standard_normal((out, rank))


def adapter(folder, **config):
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 3, "lora_alpha": 16} | config))


def without(layer, *names):
    return {name: value for name, value in layer.items() if name not in names}


def x_proj(checkpoint):
    """The rows [dt; B; C] that a layer was read from."""
    layer = checkpoint.layer(0)
    return np.concatenate([layer.dt_down[0], layer.S_B[0], layer.S_C[0]])


# --- LoRA -------------------------------------------------------------------------------------------

SPELLINGS = {
    "plain": ("x_proj.weight", "x_proj.lora_A", "x_proj.lora_B"),
    "modules": ("x_proj.weight", "x_proj.lora_A.weight", "x_proj.lora_B.weight"),
    "peft": ("x_proj.base_layer.weight", "x_proj.lora_A.default.weight", "x_proj.lora_B.default.weight"),
}


@pytest.mark.parametrize("names", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize(("config", "divisor"), [({}, 3), ({"use_rslora": True}, math.sqrt(3))])
def test_an_adapter_with_a_known_scale_is_part_of_the_weight(tmp_path, names, config, divisor):
    layer, (A, B) = mamba1(), factors()
    stored = without(layer, "x_proj.weight") | {names[0]: layer["x_proj.weight"], names[1]: A, names[2]: B}
    adapter(tmp_path, **config)
    checkpoint = open_checkpoint(write(tmp_path, {PREFIX: stored}))
    np.testing.assert_allclose(x_proj(checkpoint), layer["x_proj.weight"] + 16 / divisor * (B @ A), rtol=1e-13)
    assert checkpoint.layers[0].left_out == ()
    assert f"{PREFIX}x_proj.weight" in checkpoint.layers[0].tensors
    (said,) = [line for line in checkpoint.layer(0).warnings if "LoRA" in line]
    assert "x_proj.weight includes" in said
    assert "16 / " in said
    assert classify_checkpoint(tmp_path).decided


@pytest.mark.parametrize("names", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize(
    "config",
    [
        None,
        {"use_dora": True},
        {"fan_in_fan_out": True},
        {"alpha_pattern": {"x_proj": 3}},
        {"lora_alpha": None},
        {"r": 8},
    ],
    ids=str,
)
def test_an_adapter_of_unknown_scale_is_named_and_nothing_decided(tmp_path, names, config):
    layer, (A, B) = mamba1(), factors()
    stored = without(layer, "x_proj.weight") | {names[0]: layer["x_proj.weight"], names[1]: A, names[2]: B}
    if config is not None:
        adapter(tmp_path, **config)
    checkpoint = open_checkpoint(write(tmp_path, {PREFIX: stored}))
    np.testing.assert_array_equal(x_proj(checkpoint), layer["x_proj.weight"])
    assert checkpoint.layers[0].left_out == (PREFIX + names[1], PREFIX + names[2])
    assert any("adapter_config.json" in line for line in checkpoint.layer(0).warnings)
    assert CliRunner().invoke(app, ["classify", str(tmp_path)]).exit_code == 3


@pytest.mark.parametrize("alpha", [1e400, -1e400, "high", True, 10**400])
def test_an_adapter_s_scale_that_is_none_is_refused_by_its_name(tmp_path, alpha):
    layer, (A, B) = mamba1(), factors()
    adapter(tmp_path, lora_alpha=alpha)
    write(tmp_path, {PREFIX: layer | {"x_proj.lora_A.weight": A, "x_proj.lora_B.weight": B}})
    with pytest.raises(CorruptFile, match=r"adapter_config.json: lora_alpha should be a number"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        {"x_proj.lora_A.other.weight": np.ones((3, E)), "x_proj.lora_B.other.weight": np.ones((ROWS, 3))},
        {"x_proj.lora_magnitude_vector.default.weight": np.ones(ROWS)},
        {"x_proj.lora_B.default.bias": np.ones(ROWS)},
        {"x_proj.lora_A.default.weight": np.ones((3, E + 1))},
        {"x_proj.lora_A.default.weight": np.ones((2, E))},
        {"x_proj.lora_A.default.weight": np.ones(E)},
        {"x_proj.lora_A.default.weight": np.ones(())},
        {"x_proj.lora_A.default.weight": np.ones((0, E)), "x_proj.lora_B.default.weight": np.ones((ROWS, 0))},
    ],
    ids=lambda more: " ".join(more) + str([value.shape for value in more.values()]),
)
def test_factors_that_mean_something_else_stay_apart(tmp_path, more):
    layer, (A, B) = mamba1(), factors()
    stored = without(layer, "x_proj.weight") | {"x_proj.base_layer.weight": layer["x_proj.weight"]}
    stored |= {"x_proj.lora_A.default.weight": A, "x_proj.lora_B.default.weight": B} | more
    adapter(tmp_path)
    checkpoint = open_checkpoint(write(tmp_path, {PREFIX: stored}))
    np.testing.assert_array_equal(x_proj(checkpoint), layer["x_proj.weight"])
    assert {f"{PREFIX}{name}" for name in more} <= set(checkpoint.layers[0].left_out)
    assert not classify_checkpoint(tmp_path).decided


def test_an_adapter_of_mamba2_is_read_by_rows(tmp_path):
    layer = mamba2()
    A, B = factors(out=len(layer["in_proj.weight"]), into=D_MODEL)
    stored = layer | {"in_proj.lora_A": A, "in_proj.lora_B": B}
    adapter(tmp_path, lora_alpha=6)
    read = open_checkpoint(write(tmp_path, {"m.": stored}), groups=2).layer(0)
    merged = layer["in_proj.weight"] + 2 * (B @ A)
    np.testing.assert_allclose(read.S_B.reshape(-1, D_MODEL), merged[16 : 16 + 2 * N], rtol=1e-13)
    np.testing.assert_allclose(read.dt_down.reshape(-1, D_MODEL), merged[-2:], rtol=1e-13)


def test_an_adapter_around_the_scan_is_no_alarm(tmp_path):
    A, B = factors(out=2 * E, into=D_MODEL)
    layer = mamba1()
    stored = without(layer, "in_proj.weight") | {"in_proj.base_layer.weight": layer["in_proj.weight"]}
    stored |= {"in_proj.lora_A.default.weight": A, "in_proj.lora_B.default.weight": B}
    checkpoint = open_checkpoint(write(tmp_path, {"m.": stored}))
    assert checkpoint.layers[0].left_out == ()
    assert checkpoint.layers[0].d_model == D_MODEL


def test_a_broken_adapter_config_is_refused(tmp_path):
    layer, (A, B) = mamba1(), factors()
    write(tmp_path, {"m.": layer | {"x_proj.lora_A": A, "x_proj.lora_B": B}})
    (tmp_path / "adapter_config.json").write_text("{")
    assert "adapter_config.json" in message(CorruptFile, tmp_path)
    adapter(tmp_path, lora_alpha="sixteen")
    assert "lora_alpha should be a number" in message(CorruptFile, tmp_path)
    write(tmp_path, {"m.": layer})
    assert len(open_checkpoint(tmp_path)) == 1, "without factors nobody asks for it"


def test_peft_itself(tmp_path):
    peft, torch = pytest.importorskip("peft"), pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"x_proj": torch.nn.Linear(E, ROWS, bias=False)}).double()
    config = peft.LoraConfig(r=2, lora_alpha=5, target_modules=["x_proj"], init_lora_weights=False)
    wrapped = peft.inject_adapter_in_model(config, model)
    stored = {name: value.detach().numpy() for name, value in wrapped.state_dict().items()}
    adapter(tmp_path, lora_alpha=5, r=2)
    checkpoint = open_checkpoint(write(tmp_path, {"m.": without(mamba1(), "x_proj.weight") | stored}))
    x = torch.randn(7, E, dtype=torch.float64)
    np.testing.assert_allclose(x.numpy() @ x_proj(checkpoint).T, wrapped["x_proj"](x).detach().numpy(), rtol=1e-12)


# --- pruning and weight normalisation, by torch -------------------------------------------------------


def torch_layer(change):
    """A Mamba-1 state dict whose x_proj is a Linear that `change` wrapped, and the weight torch then computes with."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    linear = torch.nn.Linear(E, ROWS, bias=False).double()
    linear = change(torch, linear) or linear
    stored = {f"x_proj.{name}": value.detach().numpy() for name, value in linear.state_dict().items()}
    effective = linear(torch.eye(E, dtype=torch.float64)).detach().numpy().T
    return without(mamba1(), "x_proj.weight") | stored, effective


def pruned(torch, linear):
    from torch.nn.utils import prune

    prune.l1_unstructured(linear, "weight", amount=0.5)


def normed_by_hooks(dim):
    def change(torch, linear):
        with torch.no_grad():
            wrapped = torch.nn.utils.weight_norm(linear, dim=dim)
            wrapped.weight_g *= 1.7
        return wrapped

    return change


def normed_by_parametrization(dim):
    def change(torch, linear):
        wrapped = torch.nn.utils.parametrizations.weight_norm(linear, dim=dim)
        with torch.no_grad():
            wrapped.parametrizations.weight.original0 *= 0.3
        return wrapped

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (pruned, "pruned"),
        (normed_by_hooks(0), "weight normalisation"),
        (normed_by_hooks(1), "weight normalisation"),
        (normed_by_parametrization(0), "weight normalisation"),
        (normed_by_parametrization(1), "weight normalisation"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_torch_computes(tmp_path, change, words):
    stored, effective = torch_layer(change)
    assert "x_proj.weight" not in stored
    checkpoint = open_checkpoint(write(tmp_path, {"m.": stored}))
    np.testing.assert_allclose(x_proj(checkpoint), effective, rtol=1e-12)
    assert checkpoint.layers[0].left_out == ()
    assert any(words in line for line in checkpoint.layer(0).warnings)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["hooks", "parametrization"])
def test_spectral_normalisation_is_named(tmp_path, kind):
    def change(torch, linear):
        old = kind == "hooks"
        return (torch.nn.utils.spectral_norm if old else torch.nn.utils.parametrizations.spectral_norm)(linear)

    stored, _ = torch_layer(change)
    text = message(MissingTensor, write(tmp_path, {"m.": stored}))
    assert "normalised by its spectrum" in text


# --- pieces by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ({"x_proj.weight_orig": np.ones((ROWS, E))}, "the other one is missing"),
        (
            {"x_proj.weight_orig": np.ones((ROWS, E)), "x_proj.weight_mask": np.ones((ROWS, 1))},
            "the other one is missing",
        ),
        ({"x_proj.weight_v": np.ones((ROWS, E)), "x_proj.weight_g": np.ones(ROWS)}, "the other one is missing"),
        ({"x_proj.weight_v": np.ones((ROWS, E)), "x_proj.weight_g": np.ones(())}, "the other one is missing"),
        ({"x_proj.absmax": np.ones(2)}, "quantised"),
        ({"x_proj.lora_A.weight": np.ones((2, E)), "x_proj.lora_B.weight": np.ones((ROWS, 2))}, "merge them"),
    ],
)
def test_pieces_that_do_not_make_a_weight(tmp_path, pieces, words):
    text = message(MissingTensor, write(tmp_path, {"m.": without(mamba1(), "x_proj.weight") | pieces}))
    assert words in text
    assert next(iter(pieces)) in text


@pytest.mark.parametrize("wrapper", ["base_layer", "_orig_mod", "_fsdp_wrapped_module", "modules_to_save.default"])
def test_wrappers_are_taken_off(tmp_path, wrapper):
    layer = mamba1()
    stored = {name.replace("proj.", f"proj.{wrapper}."): value for name, value in layer.items()}
    assert f"x_proj.{wrapper}.weight" in stored
    if "save" in wrapper:  # PEFT keeps the module that was replaced beside the one that it trained
        stored |= {"x_proj.original_module.weight": np.zeros((ROWS, E))}
    checkpoint = open_checkpoint(write(tmp_path, {"m.": stored}))
    np.testing.assert_array_equal(x_proj(checkpoint), layer["x_proj.weight"])
    np.testing.assert_array_equal(checkpoint.layer(0).dt_bias[0], layer["dt_proj.bias"])
    assert checkpoint.layers[0].left_out == ()
    assert checkpoint.layers[0].d_model == D_MODEL


def test_two_saved_modules_are_not_chosen_from(tmp_path):
    stored = without(mamba1(), "x_proj.weight")
    stored |= {f"x_proj.modules_to_save.{name}.weight": np.ones((ROWS, E)) for name in ("one", "two")}
    assert "expected x_proj.weight" in message(MissingTensor, write(tmp_path, {"m.": stored}))


def test_other_tensors_may_be_in_pieces_too(tmp_path):
    layer, mask = mamba1(), np.random.default_rng(1).integers(0, 2, (E, N)).astype(float)
    stored = without(layer, "A_log", "dt_proj.bias") | {"A_log_orig": layer["A_log"], "A_log_mask": mask}
    stored |= {"dt_proj.bias_orig": layer["dt_proj.bias"], "dt_proj.bias_mask": np.zeros(E)}
    checkpoint = open_checkpoint(write(tmp_path, {"m.": stored}))
    np.testing.assert_array_equal(checkpoint.layer(0).a[0], np.exp(layer["A_log"] * mask))
    np.testing.assert_array_equal(checkpoint.layer(0).dt_bias, np.zeros((1, E)))


def test_a_direction_of_length_zero_is_no_number(tmp_path):
    pieces = {"x_proj.weight_v": np.zeros((ROWS, E)), "x_proj.weight_g": np.ones((ROWS, 1))}
    checkpoint = open_checkpoint(write(tmp_path, {"m.": without(mamba1(), "x_proj.weight") | pieces}))
    with pytest.raises(CorruptFile, match=r"x_proj\.weight should hold finite numbers"):
        checkpoint.layer(0)


def test_quantised_pieces_are_refused(tmp_path):
    pieces = {"x_proj.weight_orig": np.ones((ROWS, E), np.int8), "x_proj.weight_mask": np.ones((ROWS, E))}
    checkpoint = open_checkpoint(write(tmp_path, {"m.": without(mamba1(), "x_proj.weight") | pieces}))
    with pytest.raises(CheckpointError, match="found I8"):
        checkpoint.layer(0)


def test_an_archive_in_pieces_behaves_like_one(tmp_path):
    layer = without(mamba1(), "x_proj.weight")
    pieces = {"x_proj.weight_orig": np.full((ROWS, E), 2.0), "x_proj.weight_mask": np.full((ROWS, E), 3.0)}
    save_file(layer | pieces, tmp_path / "model.safetensors")
    stored = open_archive(tmp_path)
    archive = put_together(stored, lambda: None)
    assert archive.names == tuple(sorted([*layer, "x_proj.weight"]))
    assert "x_proj.weight" in archive
    assert "x_proj.weight_orig" not in archive
    assert archive.shape("x_proj.weight") == (ROWS, E)
    assert archive.dtype("x_proj.weight") == "F64"
    np.testing.assert_array_equal(archive.read("x_proj.weight", slice(1, 3)), np.full((2, E), 6.0))
    assert archive.bytes_read == stored.bytes_read > 0
    assert put_together(open_archive(write(tmp_path, {"": mamba1()})), lambda: None).names == tuple(sorted(mamba1()))


def test_the_forward_pass_sees_the_merged_weight(tmp_path):
    """A language model with an adapter computes what the merged one computes."""
    jax = pytest.importorskip("jax")
    assert jax
    from mamba_dynamics import load_model

    merged, apart = tmp_path / "merged", tmp_path / "apart"
    rng = np.random.default_rng(2)
    around = {
        "backbone.embeddings.weight": rng.standard_normal((8, D_MODEL)),
        "backbone.norm_f.weight": np.ones(D_MODEL),
    }
    around["backbone.layers.0.norm.weight"] = np.ones(D_MODEL)
    layer = mamba1() | {"conv1d.weight": rng.standard_normal((E, 4, 1)), "conv1d.bias": np.zeros(E)}
    config = {"model_type": "mamba", "hidden_size": D_MODEL, "state_size": N, "num_hidden_layers": 1, "vocab_size": 8}
    A, B = factors()
    for folder, weights in (
        (
            merged,
            layer
            | {
                "x_proj.weight": layer["x_proj.weight"] + 2 * B @ A,
                "conv1d.weight": layer["conv1d.weight"].reshape(E, 1, 4),
            },
        ),
        (
            apart,
            without(layer, "x_proj.weight")
            | {
                "x_proj.base_layer.weight": layer["x_proj.weight"],
                "x_proj.lora_A.default.weight": A,
                "x_proj.lora_B.default.weight": B,
            },
        ),
    ):
        folder.mkdir()
        write(folder, {PREFIX: weights}, config, around)
    adapter(apart, lora_alpha=6)
    ids = np.arange(7)
    np.testing.assert_allclose(load_model(apart)(ids), load_model(merged)(ids), rtol=1e-5, atol=1e-5)
    assert arrays_of(open_checkpoint(apart).layer(0))["S_B"].shape == (1, N, E)


# --- an adapter's file beside the weights -----------------------------------------------------------


def beside(folder, tensors, base="backbone.layers.0.mixer.", **config):
    """A model of one layer whose names begin with `base`, and an adapter's file with its config."""
    layer = mamba1()
    write(folder, {base: layer})
    save_file(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "adapter_model.safetensors"
    )
    adapter(folder, **config)
    return layer


def named(A, B, module=f"base_model.model.{PREFIX}x_proj"):
    return {f"{module}.lora_A.weight": A, f"{module}.lora_B.weight": B}


@pytest.mark.parametrize(
    "base",
    ["backbone.layers.0.mixer.", "layers.0.mixer.", "model.backbone.layers.0.mixer."],
    ids=["the same names", "a part less", "a part more"],
)
def test_an_adapter_beside_its_model_is_part_of_the_weight(tmp_path, base):
    A, B = factors()
    layer = beside(tmp_path, named(A, B), base)
    checkpoint = open_checkpoint(tmp_path)
    np.testing.assert_allclose(x_proj(checkpoint), layer["x_proj.weight"] + 16 / 3 * (B @ A), rtol=1e-13)
    assert any("adapter_model.safetensors" in line for line in checkpoint.warnings)
    assert checkpoint.unread == ()
    assert classify_checkpoint(tmp_path).decided


def test_the_model_s_own_file_is_read_without_the_adapter_and_that_is_said(tmp_path):
    layer = beside(tmp_path, named(*factors()))
    checkpoint = open_checkpoint(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(x_proj(checkpoint), layer["x_proj.weight"])
    assert any("without the adapter adapter_model.safetensors" in line for line in checkpoint.warnings)
    text = message(UnsupportedArchitecture, tmp_path / "adapter_model.safetensors")
    assert f"open the folder {str(tmp_path)!a}" in text


def test_a_module_that_was_trained_whole_takes_the_model_s_place(tmp_path):
    layer, whole = mamba1(), np.full((ROWS, E), 0.25)
    beside(tmp_path, {f"base_model.model.{PREFIX}x_proj.weight": whole, f"base_model.model.{PREFIX}D": layer["D"] + 1})
    checkpoint = open_checkpoint(tmp_path)
    np.testing.assert_array_equal(x_proj(checkpoint), whole)
    assert any("2 in place of the model's own" in line for line in checkpoint.warnings)


OTHER_PLACES = f"base_model.model.{PREFIX.replace('0', '7')}x_proj"


@pytest.mark.parametrize(
    ("tensors", "config", "words"),
    [
        (named(*factors(), module=OTHER_PLACES), {}, "fit the model's names in no way"),
        (named(*factors()), {"init_lora_weights": "pissa"}, "init_lora_weights 'pissa'"),
        ({f"base_model.model.{PREFIX}x_proj.weight": np.ones((ROWS, E + 1))}, {}, "another shape"),
        (named(*factors()), {"use_dora": True}, "not understood"),
        (named(*factors()), {"peft_type": "ADALORA"}, "not understood"),
        (named(*factors(into=E + 1)), {}, "not understood"),
        ({f"base_model.model.{PREFIX}x_proj.ia3_l": np.ones((1, E))}, {"peft_type": "IA3"}, "not understood"),
    ],
    ids=["another layer", "PiSSA", "another shape", "DoRA", "AdaLoRA", "factors that do not fit", "IA3"],
)
def test_an_adapter_that_cannot_be_put_in_is_named_and_nothing_decided(tmp_path, tensors, config, words):
    layer = beside(tmp_path, tensors, **config)
    np.testing.assert_array_equal(x_proj(open_checkpoint(tmp_path)), layer["x_proj.weight"])
    result = CliRunner().invoke(app, ["classify", str(tmp_path)])
    assert result.exit_code == 3
    assert "adapter_model.safetensors" in result.output
    assert words in " ".join(result.output.split())


def test_an_adapter_of_two_copies_is_not_placed(tmp_path):
    write(tmp_path, {"net.layers.0.mixer.": mamba1(), "ema.layers.0.mixer.": mamba1(1)})
    save_file(
        named(*factors(), module="base_model.model.layers.0.mixer.x_proj"), tmp_path / "adapter_model.safetensors"
    )
    adapter(tmp_path)
    assert "adapter_model.safetensors" in open_checkpoint(tmp_path).unread


def test_prompts_before_the_text_change_no_weight(tmp_path):
    layer = beside(tmp_path, {"prompt_embeddings": np.ones((4, D_MODEL))}, peft_type="PROMPT_TUNING")
    checkpoint = open_checkpoint(tmp_path)
    np.testing.assert_array_equal(x_proj(checkpoint), layer["x_proj.weight"])
    assert any("changes none of them" in line for line in checkpoint.warnings)
    assert checkpoint.unread == ()


def test_an_adapter_beside_torch_weights_is_not_taken_for_them(tmp_path):
    layer, (A, B) = mamba1(), factors()
    torch = pytest.importorskip("torch")
    weights = {PREFIX + name: torch.tensor(np.asarray(value)) for name, value in layer.items()}
    torch.save(weights, tmp_path / "pytorch_model.bin")
    save_file(named(A, B), tmp_path / "adapter_model.safetensors")
    adapter(tmp_path)
    np.testing.assert_allclose(x_proj(open_checkpoint(tmp_path)), layer["x_proj.weight"] + 16 / 3 * (B @ A), rtol=1e-13)


def test_an_adapter_that_is_a_link_out_or_damaged_is_refused(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    beside(folder, named(*factors()))
    file = folder / "adapter_model.safetensors"
    file.rename(tmp_path / "elsewhere.safetensors")
    file.symlink_to(tmp_path / "elsewhere.safetensors")
    assert "link out of" in message(UnsafeFile, folder)
    file.unlink()
    file.write_bytes((tmp_path / "elsewhere.safetensors").read_bytes()[:-8])
    assert "adapter_model.safetensors" in message(CorruptFile, folder)


def test_an_adapter_of_very_many_tensors_is_refused(tmp_path):
    beside(tmp_path, {f"{i}.lora_A": np.zeros(1, np.float32) for i in range(20_001)})
    assert "expected at most 20000 tensors of an adapter" in message(UnsafeFile, tmp_path)


def test_a_model_with_its_adapter_behaves_like_an_archive(tmp_path):
    beside(tmp_path, named(*factors()))
    archive = with_adapter(open_archive(tmp_path), LocalFolder(tmp_path), alone=False).archive
    factor = f"{PREFIX}x_proj.lora_A.weight"
    assert factor in archive
    assert f"{PREFIX}x_proj.weight" in archive
    assert archive.shape(factor) == (3, E)
    assert archive.dtype(factor) == archive.dtype(f"{PREFIX}D") == "F64"
    np.testing.assert_array_equal(archive.read(factor, slice(1, 2)), factors()[0][1:2])
    assert archive.bytes_total == sum(file.stat().st_size for file in tmp_path.glob("*.safetensors"))
    assert "absent" not in archive
    with pytest.raises(MissingTensor):
        archive.read("absent")
