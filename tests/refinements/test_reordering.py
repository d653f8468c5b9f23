"""SoftSort, importance scores, and what a reordering does to a selection and a mixer."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamba_dynamics import (
    HypothesisError,
    ImportanceReordering,
    LayerShapeError,
    S6Layer,
    hard_order,
    importance_scores,
    load_model,
    sample_path,
    soft_sort,
    with_reordering,
)

SCORES = np.array([0.3, -1.2, 2.5, 0.1, 0.9])
POWERS = pytest.mark.parametrize("p", [1, 2])


def soft_sort_by_definition(scores, tau, p):
    """The formula of the paper, entry by entry: sort_desc of the negated scores."""
    v = [-float(score) for score in scores]
    rows = []
    for entry in sorted(v, reverse=True):
        weights = [np.exp(-(abs(entry - other) ** p) / tau) for other in v]
        rows.append([weight / sum(weights) for weight in weights])
    return np.array(rows)


@POWERS
@pytest.mark.parametrize("tau", [0.1, 1.0, 7.0])
def test_soft_sort_is_its_definition(p, tau, x64):
    np.testing.assert_allclose(soft_sort(SCORES, tau=tau, p=p), soft_sort_by_definition(SCORES, tau, p), rtol=1e-13)


@POWERS
def test_soft_sort_tends_to_the_permutation_that_sorts(p, x64):
    expected = np.eye(5)[np.argsort(SCORES)]
    gap = min(abs(a - b) for a, b in itertools.combinations(SCORES, 2))
    for tau in (0.03, 0.01, 0.003):
        error = np.abs(np.asarray(soft_sort(SCORES, tau=tau, p=p)) - expected).max()
        assert error <= 5 * np.exp(-(gap**p) / tau)
    limit = np.asarray(soft_sort(SCORES, tau=1e-5, p=p))
    np.testing.assert_array_equal(limit, expected)
    np.testing.assert_array_equal(limit @ SCORES, np.sort(SCORES))


@POWERS
def test_the_hard_version_is_a_permutation_with_the_soft_gradient(p, x64):
    weights = np.random.default_rng(0).normal(size=(5, 5))
    hard = soft_sort(SCORES, p=p, hard=True)
    np.testing.assert_array_equal(hard, np.eye(5)[np.argsort(SCORES)])
    gradients = [
        jax.grad(lambda v, hard=hard: jnp.sum(weights * soft_sort(v, p=p, hard=hard)))(SCORES) for hard in (True, False)
    ]
    np.testing.assert_array_equal(*gradients)
    assert np.abs(gradients[0]).max() > 0.01


def test_equal_scores_keep_their_order_and_make_no_nan(x64):
    scores = np.array([1.0, 0.0, 1.0, 0.0])
    assert hard_order(scores).tolist() == [1, 3, 0, 2]
    np.testing.assert_array_equal(np.asarray(soft_sort(scores, hard=True)) @ np.arange(4), [1, 3, 0, 2])
    gradient = jax.grad(lambda v: soft_sort(v)[0, 1])(scores)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("options", [dict(tau=0.0), dict(tau=-1.0), dict(tau=float("nan")), dict(p=3)])
def test_unusable_options_are_refused(options):
    with pytest.raises(ValueError, match="should be"):
        soft_sort(SCORES, **options)
    with pytest.raises(ValueError, match="should be"):
        ImportanceReordering(K=np.ones(3), **options)
    with pytest.raises(ValueError, match="restored"):
        ImportanceReordering(K=np.ones(3), mode="y")


def test_permuting_and_its_inverse_return_the_tokens(x64):
    tokens = np.random.default_rng(1).normal(size=(5, 3))
    P = np.asarray(soft_sort(SCORES, hard=True))
    np.testing.assert_array_equal(P.T @ (P @ tokens), tokens)
    np.testing.assert_array_equal(P @ tokens, tokens[np.asarray(hard_order(SCORES))])
    soft = np.asarray(soft_sort(SCORES))
    assert np.abs(soft.T @ (soft @ tokens) - tokens).max() > 0.1, "the relaxed matrix has no such inverse"


def test_scores_are_the_papers_formula_for_layers_and_models(x64):
    rng = np.random.default_rng(2)
    x, K = rng.normal(size=(4, 6)), rng.normal(size=6)
    S_Delta, b = rng.normal(size=(6, 6)), rng.normal(size=6)
    layer = S6Layer.from_matrices(S_B=np.ones((2, 6)), S_C=np.ones((2, 6)), S_Delta=S_Delta, a=1.0, dt_bias=b)
    np.testing.assert_allclose(importance_scores(layer, x, K), [K @ (S_Delta @ one + b) for one in x], rtol=1e-12)
    selection = load_model(sample_path(), dtype="float64").blocks[0].mixer.selection
    x, K = rng.normal(size=(4, 192)), rng.normal(size=192)
    S_Delta = np.asarray(selection.dt_up) @ np.asarray(selection.dt_down)
    expected = [K @ (S_Delta @ one + np.asarray(selection.dt_bias)) for one in x]
    np.testing.assert_allclose(importance_scores(selection, x, K), expected, rtol=1e-10)


def test_scores_need_one_group():
    rng = np.random.default_rng(0)
    arrays = {"S_B": (2, 3, 4), "S_C": (2, 3, 4), "dt_down": (2, 4, 4), "dt_bias": (2, 4), "a": (2, 4, 1)}
    layer = S6Layer(dt_up=None, **{name: np.exp(rng.normal(size=shape)) for name, shape in arrays.items()})
    with pytest.raises(LayerShapeError, match="one group"):
        importance_scores(layer, np.ones((2, 4)), np.ones(4))
    assert importance_scores(layer.group(1), np.ones((2, 4)), np.ones(4)).shape == (2,)


# In a mixer.

TEXT = np.frombuffer(b"for name in names:", np.uint8)


@pytest.fixture(scope="module")
def mixer_and_input():
    with jax.enable_x64(True):
        model = load_model(sample_path(), dtype="float64")
        return model, model.blocks[1].norm(model.states(TEXT)[1])


def K_of(seed=0):
    return np.random.default_rng(seed).normal(size=192)


def in_mixer(model, **options):
    return with_reordering(model, K_of(), hard=True, **options).blocks[1].mixer


def test_the_papers_mode_scans_the_sorted_tokens_and_leaves_the_rest(mixer_and_input, x64):
    model, u = mixer_and_input
    plain, found = model.blocks[1].mixer.stages(u), in_mixer(model).stages(u)
    selection = model.blocks[1].mixer.selection
    order = np.argsort(importance_scores(selection, plain.x, K_of()))
    assert not np.array_equal(order, np.arange(len(TEXT)))
    np.testing.assert_array_equal(found.x, np.asarray(plain.x)[order])
    for name in ("B", "C", "delta"):
        np.testing.assert_allclose(getattr(found, name), np.asarray(getattr(plain, name))[order], rtol=1e-12)
    np.testing.assert_array_equal(found.gate, plain.gate)
    attention = np.asarray(in_mixer(model).hidden_attention(found, 7))
    np.testing.assert_allclose(attention @ np.asarray(found.x)[:, 7], np.asarray(found.scan)[:, 7], atol=1e-9)
    gated = (np.asarray(found.scan) + np.asarray(selection.D_skip) * found.x) * jax.nn.silu(plain.gate)
    np.testing.assert_allclose(found.gated, gated, rtol=1e-12)


def test_restoring_the_output_is_moving_the_gate_along_and_back(mixer_and_input, x64):
    model, u = mixer_and_input
    moved, restored = in_mixer(model, mode="x_and_gate").stages(u), in_mixer(model, mode="restored").stages(u)
    np.testing.assert_allclose(np.asarray(moved.order).T @ moved.out, restored.out, atol=1e-12)
    assert np.abs(np.asarray(in_mixer(model).stages(u).out - restored.out)).max() > 0.01
    assert np.abs(np.asarray(moved.out - restored.out)).max() > 0.01


def test_scores_in_the_order_of_the_text_change_nothing(mixer_and_input, x64):
    """A reordering by a score that happens to ascend is the identity, in every mode."""
    model, u = mixer_and_input
    mixer, u = model.blocks[1].mixer, u[:6]  # S_Delta has rank 6: more tokens cannot be given any scores
    raw = np.asarray(mixer.selection.raw_step_sizes(mixer.selection.projected(mixer.stages(u).x)[0]))
    K = np.linalg.lstsq(raw, np.arange(6.0), rcond=None)[0]
    for mode in ("x", "x_and_gate", "restored"):
        found = with_reordering(model, K, hard=True, mode=mode).blocks[1].mixer(u)
        np.testing.assert_allclose(found, mixer(u), rtol=1e-12)


@pytest.mark.parametrize("hard", [True, False])
def test_reordering_breaks_causality(hard):
    """Changing the last token changes the logits of earlier ones; without the reordering it does not."""
    model = load_model(sample_path())
    other = TEXT.copy()
    other[-1] = ord("!")

    def seen(model):
        return np.abs(np.asarray(model(TEXT) - model(other)))[:-1].max()

    assert seen(model) == 0
    assert seen(with_reordering(model, K_of(), hard=hard)) > 0.1


def test_mamba2_has_no_such_reordering():
    from pathlib import Path

    model = load_model(Path(__file__).parents[1] / "fixtures" / "mamba2")
    with pytest.raises(HypothesisError, match="Mamba-2"):
        with_reordering(model, np.ones(8))
    mixer = model.blocks[0].mixer
    with pytest.raises(HypothesisError, match="Mamba-2"):
        mixer.selection(np.ones((2, 4)), np.ones((2, 8)), True, ImportanceReordering(K=np.ones(8)))
