"""Both refinements in whole models: gradients, gauge, and what is left as it was."""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from mamba_dynamics import (
    DefiniteProjection,
    ImportanceReordering,
    LayerShapeError,
    S6Layer,
    load_model,
    nearest_definite,
    sample_path,
    soft_sort,
    weights_verdict,
    with_definite,
    with_reordering,
)
from mamba_dynamics._selective_scan import selective_scan
from mamba_dynamics.models import Block
from mamba_dynamics.models.mixers import Mamba1Selection, Mixer
from mamba_dynamics.models.primitives import CausalConvolution, Linear
from mamba_dynamics.refinements.definite import sign_pattern
from mamba_dynamics.refinements.surgery import DefiniteSelection

TEXT = np.frombuffer(b"for name in names:", np.uint8)
#: Step of a central difference in float64: its error, step^2 and eps / step, is least near eps^(1/3).
STEP = 1e-5


def assert_gradient(function, parameters):
    """Reverse-mode derivatives against central differences along every entry of the parameters."""
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)

    def value(vector):
        return function(unravel(vector))

    gradient = np.asarray(jax.jit(jax.grad(value))(flat))
    steps = STEP * np.eye(len(flat))
    above, below = jax.jit(jax.vmap(value))(np.concatenate([flat + steps, flat - steps])).reshape(2, -1)
    assert np.abs(gradient).max() > 1e-3, "something flows"
    np.testing.assert_allclose(gradient, (above - below) / (2 * STEP), rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


def small_mixer(seed=0, width=4, channels=6, states=3, rank=2):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape) / np.sqrt(shape[-1]))  # noqa: E731
    selection = Mamba1Selection(
        conv=CausalConvolution(draw(channels, 3), draw(channels)),
        S_B=draw(states, channels),
        S_C=draw(states, channels),
        dt_down=draw(rank, channels),
        dt_up=draw(channels, rank),
        dt_bias=draw(channels),
        a=jnp.exp(draw(channels, states)),
        D_skip=draw(channels),
    )
    projections = {"in_x": draw(channels, width), "in_z": draw(channels, width), "out_proj": draw(width, channels)}
    return Mixer(selection=selection, **{name: Linear(weight) for name, weight in projections.items()}), draw(5, width)


# Gradients.


def test_gradients_of_the_scan(x64):
    rng = np.random.default_rng(0)
    length, channels, states = 6, 3, 2
    shapes = [(length, channels), (length, channels), (channels, states), (length, states), (length, states)]
    x, delta, a, B, C = (jnp.asarray(rng.normal(size=shape)) for shape in shapes)
    weights = rng.normal(size=(length, channels))
    assert_gradient(lambda args: jnp.sum(weights * selective_scan(*args)), (x, jnp.exp(delta), jnp.exp(a), B, C))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("tau", [0.3, 1.0])
def test_gradients_of_soft_sort(p, tau, x64):
    weights = np.random.default_rng(0).normal(size=(5, 5))
    scores = jnp.asarray([0.3, -1.2, 2.5, 0.1, 0.9])
    assert_gradient(lambda v: jnp.sum(weights * soft_sort(v, tau=tau, p=p)), scores)


@pytest.mark.parametrize("sign", ["positive", "negative", "mixed"])
def test_gradients_of_the_definite_projection(sign, x64):
    weights = np.random.default_rng(0).normal(size=(2, 3, 6))

    def value(parameters):
        projection = DefiniteProjection(*parameters, 6, sign_pattern(sign, 3), 0.7, 0.5)
        return jnp.sum(weights[0] * projection.S_B) + jnp.sum(weights[1] * projection.S_C**2)

    rng = np.random.default_rng(1)
    assert_gradient(value, (jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal(size=12))))


@pytest.mark.parametrize(
    ("mode", "definite"),
    [
        ("x", True),
        ("x", False),
        ("restored", True),
        pytest.param("x_and_gate", True, marks=pytest.mark.long),
        pytest.param(None, True, marks=pytest.mark.long),
    ],
)
def test_gradients_of_a_refined_mixer(mode, definite, x64):
    """Every parameter, K and the tokens."""
    mixer, u = small_mixer()
    if definite:
        projection = DefiniteProjection.initial("mixed", d_state=3, channels=6, key=jax.random.key(0), dtype=np.float64)
        mixer = eqx.tree_at(lambda one: one.selection, mixer, DefiniteSelection.around(mixer.selection, projection))
    if mode is not None:
        K = jnp.asarray(np.random.default_rng(5).normal(size=6))
        reordering = ImportanceReordering(K=K, tau=0.7, mode=mode)
        mixer = eqx.tree_at(lambda one: one.reordering, mixer, reordering, is_leaf=lambda leaf: leaf is None)
    weights = np.random.default_rng(3).normal(size=u.shape)
    assert_gradient(lambda both: jnp.sum(weights * both[0](both[1])), (mixer, u))


def test_gradients_reach_the_refinements_of_a_language_model():
    model = with_reordering(with_definite(load_model(sample_path()), "positive"), np.full(192, 1 / 192))

    @eqx.filter_grad
    def gradient(model):
        log_probability = jax.nn.log_softmax(model(TEXT[:-1]))
        return -jnp.mean(log_probability[jnp.arange(len(TEXT) - 1), TEXT[1:]])

    found = gradient(model)
    for block in found.blocks:
        selection = block.mixer.selection
        for leaf in (selection.definite.raw, selection.definite.free, block.mixer.reordering.K, selection.dt_up):
            assert np.all(np.isfinite(leaf))
            assert np.abs(leaf).max() > 0


# Surgery.


def test_a_definite_model_computes_with_the_projection_s_weights():
    model = load_model(sample_path())
    refined = with_definite(model, "mixed", key=jax.random.key(2), blocks=[1, 3])
    assert isinstance(model.blocks[1].mixer.selection, Mamba1Selection), "the given model is as it was"
    assert refined.blocks[0].mixer.selection.S_B is model.blocks[0].mixer.selection.S_B
    selections = [refined.blocks[index].mixer.selection for index in (1, 3)]
    assert np.abs(selections[0].definite.free - selections[1].definite.free).max() > 0, "blocks start differently"
    selection = selections[0]
    u = np.random.default_rng(0).normal(size=(7, 96)).astype(np.float32)
    plain = eqx.tree_at(
        lambda mixer: (mixer.selection.S_B, mixer.selection.S_C),
        model.blocks[1].mixer,
        (selection.definite.S_B, selection.definite.S_C),
    )
    np.testing.assert_array_equal(refined.blocks[1].mixer(u), plain(u))
    stages = refined.blocks[1].mixer.stages(u)
    np.testing.assert_array_equal(
        refined.blocks[1].mixer.hidden_attention(stages, 3), plain.hidden_attention(plain.stages(u), 3)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_a_key_the_layers_own_nearest_is_taken(dtype):
    model = load_model(sample_path(), dtype=dtype)
    refined = with_definite(model, "negative", scale=192**-0.5)
    for before, after in zip(model.blocks, refined.blocks, strict=True):
        selection = before.mixer.selection
        found = after.mixer.selection.definite
        assert found.raw.dtype == found.free.dtype == dtype
        expected = nearest_definite(selection.S_B, selection.S_C, "negative", scale=192**-0.5).projection
        np.testing.assert_allclose(found.raw, expected.raw, rtol=1e-6)
    assert refined(TEXT).dtype == dtype


def test_refinements_go_on_refined_models():
    """In either order, and again: a definite model can be projected once more, a reordering replaced."""
    model, K = load_model(sample_path()), np.full(192, 1 / 192)
    one = with_reordering(with_definite(model, "positive"), K)
    other = with_definite(with_reordering(model, K), "positive")
    np.testing.assert_array_equal(one(TEXT), other(TEXT))
    np.testing.assert_allclose(with_definite(one, "positive")(TEXT), one(TEXT), rtol=0, atol=1e-2)
    hard = with_reordering(one, np.zeros(192), hard=True)
    np.testing.assert_array_equal(hard(TEXT), with_definite(model, "positive")(TEXT), "equal scores: the text's order")
    for part in ("conv", "gate", "skip"):
        block = one.blocks[0].left_out(part)
        assert block.mixer.reordering is not None
        assert np.all(np.isfinite(block(np.ones((3, 96), np.float32))))


def test_unfit_blocks_and_scores_are_refused():
    model = load_model(sample_path())
    with pytest.raises(LayerShapeError, match=r"0\.\.3"):
        with_definite(model, "positive", blocks=[4])
    with pytest.raises(LayerShapeError, match=r"\(192,\) or \(4, 192\)"):
        with_reordering(model, np.ones((3, 192)))
    per_block = with_reordering(model, np.arange(4 * 192.0).reshape(4, 192), blocks=[3, 1, 0, 2])
    assert per_block.blocks[3].mixer.reordering.K[0] == 0
    assert per_block.blocks[1].mixer.reordering.K[0] == 192


# Gauge (theory section 8).


@pytest.mark.parametrize("skip", [True, False])
def test_positive_and_negative_are_the_same_block_in_another_gauge(skip, x64):
    """(signs, D, W_out) -> minus itself leaves the function as it is; without a skip, (signs, W_out) does."""
    mixer, u = small_mixer()
    projection = DefiniteProjection.initial("positive", d_state=3, channels=6, key=jax.random.key(0), dtype=np.float64)
    selection = DefiniteSelection.around(mixer.selection, projection)
    mixer = eqx.tree_at(lambda one: one.selection, mixer, selection)
    block = Block(None, mixer) if skip else Block(None, mixer).left_out("skip")
    flipped = block.flipped()
    negative = flipped.mixer.selection.definite
    assert negative.signs == (-1, -1, -1)
    np.testing.assert_array_equal(negative.raw, projection.raw)
    np.testing.assert_array_equal(flipped(u), block(u))
    # The same verdict pair that a user would see.
    for one, sign in ((block, 1), (flipped, -1)):
        B, C = one.mixer.selection.definite.exact_factors(np.float64)
        verdict = weights_verdict(S6Layer.from_matrices(S_B=B, S_C=C, S_Delta=np.zeros((6, 6)), a=1.0))
        part = verdict.groups[0].symmetric_part
        assert (part.positive, part.negative) == ((3, 0) if sign > 0 else (0, 3))
    # Keeping D fixed is what breaks the tie, as long as there is a skip.
    kept = eqx.tree_at(lambda one: one.mixer.selection.D_skip, flipped, selection.D_skip)
    same = np.array_equal(kept(u), block(u))
    assert same is not skip
