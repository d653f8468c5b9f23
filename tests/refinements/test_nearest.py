"""The nearest definite M, against dense linear algebra, random competitors, and the first-order conditions."""

import jax
import numpy as np
import pytest
from scipy.linalg import eigh

from mamba_dynamics import DefiniteProjection, HypothesisError, LayerShapeError, nearest_definite

SIGNS = pytest.mark.parametrize("sign", ["positive", "negative", "mixed"])
SHAPES = pytest.mark.parametrize(("states", "channels"), [(1, 1), (2, 2), (3, 5), (3, 9), (4, 30)])


def random_layer(states, channels, seed=0):
    return np.random.default_rng(seed).normal(size=(2, states, channels)) / np.sqrt(3 * channels)


def dense(projection: DefiniteProjection):
    with jax.enable_x64(True):
        return np.asarray(projection.S_C).T @ np.asarray(projection.S_B)


def closest_by_eigenvalues(M, sign, states):
    """The closest symmetric matrix with so many eigenvalues of each sign at most, from scipy's dense eigh."""
    values, vectors = eigh((M + M.T) / 2)
    positive = {"positive": states, "negative": 0, "mixed": states // 2}[sign]
    kept = np.zeros_like(values)
    ranks = np.argsort(values)
    for index in ranks[len(values) - positive :]:
        kept[index] = max(values[index], 0)
    for index in ranks[: states - positive]:
        kept[index] = min(values[index], 0)
    return vectors * kept @ vectors.T


@SIGNS
@SHAPES
def test_without_a_threshold_it_is_the_dense_eigenvalue_truncation(sign, states, channels):
    S_B, S_C = random_layer(states, channels)
    M = S_C.T @ S_B
    expected = closest_by_eigenvalues(M, sign, states)
    found = nearest_definite(S_B, S_C, sign, threshold=0.0, headroom=1e-14)
    # States that sym(M) does not have (N = D) are held at lambda = 1e-14.
    np.testing.assert_allclose(dense(found.projection), expected, atol=1e-6)
    assert found.distance == pytest.approx(np.linalg.norm(M - expected), abs=1e-6)
    assert found.lower_bound == pytest.approx(np.linalg.norm(M - expected), abs=1e-12)


@SIGNS
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_distances_and_raised_states_are_those_of_the_dense_matrices(sign, scale):
    S_B, S_C = random_layer(3, 9)
    M = S_C.T @ S_B
    found = nearest_definite(S_B, S_C, sign, threshold=0.7, scale=scale)
    assert found.distance == pytest.approx(np.linalg.norm(M - dense(found.projection)), rel=1e-12)
    assert found.relative_distance == pytest.approx(found.distance / np.linalg.norm(M), rel=1e-12)
    assert found.lower_bound <= found.distance
    below = np.abs(found.lambdas_without_threshold) < 0.7
    assert set(found.raised) == set(np.flatnonzero(below))
    with jax.enable_x64(True):
        assert np.all(np.abs(found.projection.lambdas) >= 0.7)
    assert sum(found.projection.signs) == {"positive": 3, "negative": -3, "mixed": -1}[sign]


def competitors(projection, rng, size):
    """Definite projections with the same signs and threshold, near and far."""
    with jax.enable_x64(True):
        lambdas, U = np.asarray(projection.lambdas), np.asarray(projection.U)
    for spread in (1e-4, 1e-2, 0.3, 3.0):
        for _ in range(size):
            moved = np.maximum(np.abs(lambdas) * np.exp(spread * rng.normal(size=len(lambdas))), 0.7 + 1e-3)
            free = U + spread * rng.normal(size=U.shape)
            signs = np.sign(lambdas)
            yield DefiniteProjection.from_factors(signs * moved, free, threshold=0.7, scale=projection.scale)


@SIGNS
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_no_random_competitor_is_closer(sign, scale):
    S_B, S_C = random_layer(3, 6, seed=1)
    M = S_C.T @ S_B
    found = nearest_definite(S_B, S_C, sign, threshold=0.7, scale=scale, descent_steps=5000)
    assert found.raised, "the threshold is felt, or this is the case above"
    for other in competitors(found.projection, np.random.default_rng(0), 50):
        assert np.linalg.norm(M - dense(other)) >= found.distance * (1 - 1e-7)


def test_raising_the_diagonal_alone_beats_raising_lambda_and_descent_beats_both():
    """Raising lambda with U fixed multiplies whole rows."""
    S_B, S_C = random_layer(4, 200)
    M = S_C.T @ S_B
    start = nearest_definite(S_B, S_C, "positive", threshold=0.7, descent_steps=0)
    end = nearest_definite(S_B, S_C, "positive", threshold=0.7)
    free = nearest_definite(S_B, S_C, "positive", threshold=0.0, headroom=1e-12).projection
    with jax.enable_x64(True):
        U, lambdas = np.asarray(free.U), np.asarray(free.lambdas)
    naive = np.linalg.norm(M - U.T * np.maximum(lambdas, 0.7) @ U)
    assert end.distance < 0.99 * start.distance
    assert start.distance < naive / 10


def test_a_definite_layer_is_its_own_nearest():
    with jax.enable_x64(True):
        own = DefiniteProjection.initial("negative", d_state=3, channels=7, key=jax.random.key(0), dtype=np.float64)
        S_B, S_C = np.asarray(own.S_B), np.asarray(own.S_C)
    found = nearest_definite(S_B, S_C, "negative")
    assert found.relative_distance < 1e-14
    assert found.raised == ()
    with jax.enable_x64(True):
        np.testing.assert_allclose(found.projection.U, own.U, atol=1e-12)
        np.testing.assert_allclose(found.projection.lambdas, own.lambdas, rtol=1e-12)


def test_a_layer_of_the_opposite_sign_keeps_only_the_threshold():
    """Nothing of a negative definite M is positive: what remains is the least that the threshold allows."""
    S = 10 * np.eye(2, 5)
    found = nearest_definite(-S, S, "positive")
    np.testing.assert_allclose(found.lambdas_without_threshold, 0, atol=1e-12)
    assert found.raised == (0, 1)
    np.testing.assert_allclose(dense(found.projection), np.diag([0.701, 0.701, 0, 0, 0]), atol=1e-6)


def test_impossible_cases_are_refused():
    with pytest.raises(LayerShapeError, match="N <= D"):
        nearest_definite(np.ones((3, 2)), np.ones((3, 2)), "positive")
    # sym(M) is [[0, 1], [1, 0]]: no elimination without pivoting.
    with pytest.raises(HypothesisError, match="without pivoting"):
        nearest_definite(np.eye(2)[::-1], np.eye(2), "mixed")
