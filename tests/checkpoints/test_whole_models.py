"""The tensors of a whole language model around its scans: layouts that it is run from, and shapes that it refuses."""

import numpy as np
import pytest
from numpy_mamba import NumpyMamba
from small_checkpoints import D_MODEL, E, N, R, mamba1, write

from mamba_dynamics import CheckpointError, MissingTensor, load_model
from mamba_dynamics.refinements import load_refined, save_model

VOCABULARY, LENGTH = 8, 9
IDS = np.arange(LENGTH) % VOCABULARY
CONFIG = {"model_type": "mamba", "hidden_size": D_MODEL, "intermediate_size": E, "state_size": N, "vocab_size": 8}
CONFIG |= {"num_hidden_layers": 2, "layer_norm_epsilon": 1e-5, "conv_kernel": 4}


def layer(seed):
    rng = np.random.default_rng(seed)
    return mamba1(seed) | {
        "conv1d.weight": rng.standard_normal((E, 1, 4)),
        "conv1d.bias": rng.standard_normal(E),
        "dt_proj.bias": rng.standard_normal(E) - 3,
    }


def model(folder, change=lambda one: one, rank=R, **others):
    """A language model of two layers, each changed before it is written."""
    rng = np.random.default_rng(5)
    around = {
        "backbone.embeddings.weight": rng.standard_normal((VOCABULARY, D_MODEL)),
        "backbone.norm_f.weight": rng.standard_normal(D_MODEL),
    }
    around |= {f"backbone.layers.{k}.norm.weight": rng.standard_normal(D_MODEL) for k in range(2)}
    folder.mkdir(exist_ok=True)
    layers = {f"backbone.layers.{k}.mixer.": change(layer(k)) for k in range(2)}
    return write(folder, layers, CONFIG | {"time_step_rank": rank}, around | others)


def full_rank(one):
    dense = one["dt_proj.weight"] @ one["x_proj.weight"][:R]
    return one | {"dt_proj.weight": dense, "x_proj.weight": one["x_proj.weight"][R:]}


def test_a_step_size_of_full_rank_is_run_and_saved(tmp_path):
    """S_Delta = dt_up dt_down stored as one matrix is the same model."""
    wanted = NumpyMamba(model(tmp_path / "factors")).logits(IDS)
    dense = load_model(model(tmp_path / "dense", full_rank))
    assert dense.blocks[0].mixer.selection.dt_up is None
    np.testing.assert_allclose(dense(IDS), wanted, rtol=0, atol=1e-4)
    save_model(dense, tmp_path / "saved")
    np.testing.assert_allclose(NumpyMamba(tmp_path / "saved").logits(IDS), wanted, rtol=0, atol=1e-4)
    np.testing.assert_allclose(load_refined(tmp_path / "saved")(IDS), wanted, rtol=0, atol=1e-4)


def test_convolutions_with_their_taps_before_the_one(tmp_path):
    wanted = NumpyMamba(model(tmp_path / "torch")).logits(IDS)
    other = model(tmp_path / "mlx", lambda one: one | {"conv1d.weight": one["conv1d.weight"].transpose(0, 2, 1)})
    np.testing.assert_allclose(load_model(other)(IDS), wanted, rtol=0, atol=1e-4)


def test_without_D_there_is_no_model_to_run(tmp_path):
    folder = model(tmp_path, lambda one: {name: value for name, value in one.items() if name != "D"})
    with pytest.raises(MissingTensor, match=r"layers\.0\.mixer: expected D beside A_log"):
        load_model(folder)


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        ("backbone.embeddings.weight", (0, D_MODEL)),
        ("backbone.embeddings.weight", (VOCABULARY,)),
        ("backbone.norm_f.weight", (D_MODEL + 1,)),
        ("backbone.norm_f.weight", ()),
        ("backbone.layers.1.norm.weight", (D_MODEL, 1)),
        ("lm_head.weight", (VOCABULARY, D_MODEL + 1)),
        ("lm_head.weight", (0, D_MODEL)),
        ("lm_head.weight", ()),
    ],
)
def test_shapes_around_the_layers(tmp_path, tensor, shape):
    with pytest.raises(CheckpointError, match="shape") as caught:
        load_model(model(tmp_path, **{tensor: np.ones(shape)}))
    assert tensor in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        ("conv1d.weight", (E, E, 4)),
        ("conv1d.weight", (E + 1, 1, 4)),
        ("conv1d.bias", (E + 1,)),
        ("conv1d.bias", ()),
        ("in_proj.weight", (2 * E + 1, D_MODEL)),
        ("in_proj.bias", (E,)),
        ("out_proj.weight", (D_MODEL, E + 1)),
        ("out_proj.bias", (D_MODEL + 1,)),
        ("importance.weight", (2, E)),
    ],
)
def test_shapes_beside_a_scan(tmp_path, tensor, shape):
    folder = model(tmp_path, lambda one: one | {tensor: np.ones(shape)})
    with pytest.raises(CheckpointError) as caught:
        load_refined(folder)(IDS)
    assert tensor.removesuffix(".weight") in str(caught.value)
    assert "\n" not in str(caught.value)
