"""Models written in the Hugging Face layout and read back, by this package and by transformers."""

import json
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from mamba_dynamics import (
    CheckpointError,
    HypothesisError,
    UnsupportedArchitecture,
    classify_checkpoint,
    load_model,
    load_refined,
    open_checkpoint,
    sample_path,
    save_model,
    walk,
    with_definite,
    with_reordering,
)

TEXT = np.frombuffer(b"for name in names:", np.uint8)
#: Absolute tolerance of a float32 forward pass against another one.
FLOAT32 = 1e-4
K = np.random.default_rng(0).normal(size=192).astype(np.float32)


def with_biases_and_head(model):
    """Nothing tied, nothing without bias."""
    draw = lambda *shape: jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)  # noqa: E731
    model = eqx.tree_at(lambda one: one.head, model, draw(256, 96), is_leaf=lambda leaf: leaf is None)
    none = lambda leaf: leaf is None  # noqa: E731
    return eqx.tree_at(
        lambda one: [one.blocks[0].mixer.in_x.bias, one.blocks[2].mixer.out_proj.bias],
        model,
        [draw(192), draw(96)],
        is_leaf=none,
    )


MODELS = {
    "as_loaded": lambda model: model,
    "positive": lambda model: with_definite(model, "positive", key=jax.random.key(0)),
    "mixed, two blocks": lambda model: with_definite(model, "mixed", blocks=[0, 2]),
    "biases and a head": with_biases_and_head,
}
EVERY = pytest.mark.parametrize("name", MODELS)


@EVERY
def test_a_saved_model_reads_back_with_the_same_logits(name, tmp_path):
    model = MODELS[name](load_model(sample_path()))
    save_model(model, tmp_path / "new")
    np.testing.assert_allclose(load_model(tmp_path / "new")(TEXT), model(TEXT), rtol=0, atol=FLOAT32)
    np.testing.assert_array_equal(load_refined(tmp_path / "new")(TEXT), load_model(tmp_path / "new")(TEXT))
    assert open_checkpoint(tmp_path / "new").architecture == "mamba"


def test_double_precision_comes_back_double(tmp_path):
    model = with_definite(load_model(sample_path(), dtype="float64"), "negative")
    save_model(model, tmp_path)
    np.testing.assert_allclose(load_model(tmp_path, dtype="float64")(TEXT), model(TEXT), rtol=1e-10, atol=1e-10)


def test_the_samples_own_files_are_reproduced(tmp_path):
    save_model(load_model(sample_path()), tmp_path)
    ours, theirs = load_file(tmp_path / "model.safetensors"), load_file(sample_path() / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-6, atol=1e-6, err_msg=name)
    config, original = (json.loads((path / "config.json").read_text()) for path in (tmp_path, sample_path()))
    assert config.items() <= original.items()


def test_a_definite_model_is_classified_from_its_file(tmp_path):
    """The signs of M's eigenvalues are those chosen; float32 products leave sym(M) indefinite by rounding alone."""
    save_model(with_definite(load_model(sample_path()), "negative", key=jax.random.key(0)), tmp_path)
    for layer in classify_checkpoint(tmp_path).layers:
        group = layer.weights.groups[0]
        assert (group.spectrum.positive, group.spectrum.negative) == (0, 16)
        eigenvalues = group.symmetric_part.spectrum.eigenvalues.real
        assert eigenvalues.max() < 1e-6 < 0.1 < -eigenvalues.min()


# Reordering.


@pytest.mark.parametrize("blocks", [None, [1, 3]])
def test_a_reordering_is_refused_unless_told(blocks, tmp_path):
    plain = load_model(sample_path())
    model = with_reordering(plain, K, blocks=blocks, hard=True, mode="restored")
    save_model(model, tmp_path)
    for read in (load_model, lambda path: next(walk(path, TEXT)), lambda path: classify_checkpoint(path, text="a")):
        with pytest.raises(UnsupportedArchitecture, match=r"load_refined.*ignore_reordering"):
            read(tmp_path)
    np.testing.assert_allclose(load_refined(tmp_path)(TEXT), model(TEXT), rtol=0, atol=FLOAT32)
    without = load_model(tmp_path, ignore_reordering=True)(TEXT)
    np.testing.assert_allclose(without, plain(TEXT), rtol=0, atol=FLOAT32)
    assert np.abs(np.asarray(model(TEXT)) - without).max() > 0.1, "which is another model"
    stored = load_file(tmp_path / "model.safetensors")["backbone.layers.3.mixer.importance.weight"]
    np.testing.assert_array_equal(stored, K[None])
    assert json.loads((tmp_path / "config.json").read_text())["importance_reordering"][3] == {
        "tau": 1.0,
        "p": 1,
        "hard": True,
        "mode": "restored",
    }
    assert classify_checkpoint(tmp_path).layers, "the weights alone are judged as ever"


@pytest.mark.parametrize(
    "settings",
    [
        None,
        [None] * 4,
        "yes",
        [{"tau": 1.0, "p": 1, "hard": False, "mode": "up"}] * 4,
        [{"tau": -1.0, "p": 1, "hard": False, "mode": "x"}] * 4,
        [{"tau": "1", "p": 1, "hard": False, "mode": "x"}] * 4,
        [{"tau": 1.0, "p": 1, "hard": False, "mode": "x", "K": 3}] * 4,
    ],
)
def test_a_config_that_does_not_fit_is_refused(settings, tmp_path):
    save_model(with_reordering(load_model(sample_path()), K), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"importance_reordering": settings}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="importance_reordering"):
        load_refined(tmp_path)
    with pytest.raises(UnsupportedArchitecture):
        load_model(tmp_path)


# What the layout cannot hold.


def test_models_that_do_not_fit_the_layout_are_refused(tmp_path):
    from pathlib import Path

    fixtures = Path(__file__).parents[1] / "fixtures"
    with pytest.raises(HypothesisError, match="Mamba-2"):
        save_model(load_model(fixtures / "mamba2"), tmp_path)
    with pytest.raises(UnsupportedArchitecture, match="norms on B"):
        save_model(load_model(fixtures / "falcon_mamba"), tmp_path)
    model = load_model(sample_path())
    for part in ("gate", "norm"):
        ablated = eqx.tree_at(lambda one: one.blocks, model, tuple(block.left_out(part) for block in model.blocks))
        with pytest.raises(UnsupportedArchitecture, match="left out"):
            save_model(ablated, tmp_path)
    underflowed = eqx.tree_at(lambda one: one.blocks[0].mixer.selection.a, model, np.zeros((192, 16), np.float32))
    with (
        pytest.raises(UnsupportedArchitecture, match="above zero"),
        pytest.warns(RuntimeWarning, match="divide by zero"),
    ):
        save_model(underflowed, tmp_path)
    assert not list(tmp_path.iterdir()), "nothing was written"


def test_an_earlier_model_is_not_overwritten_unasked(tmp_path):
    model = load_model(sample_path())
    save_model(model, tmp_path, config={"bos_token_id": 7})
    assert json.loads((tmp_path / "config.json").read_text())["bos_token_id"] == 7
    with pytest.raises(CheckpointError, match="overwrite=True"):
        save_model(model, tmp_path)
    save_model(model, tmp_path, overwrite=True)
    assert "bos_token_id" not in json.loads((tmp_path / "config.json").read_text())


@EVERY
def test_transformers_reads_the_same_model(name, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    os.environ["HF_HUB_OFFLINE"] = "1"
    model = MODELS[name](load_model(sample_path()))
    save_model(model, tmp_path)
    theirs = transformers.MambaForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        logits = theirs(torch.tensor(TEXT[None].astype(np.int64))).logits[0].numpy()
    np.testing.assert_allclose(model(TEXT), logits, rtol=0, atol=FLOAT32)
