"""The definite parametrisation: its signs, its round trips, its size at the start, and the tokens it moves."""

from itertools import pairwise

import flint
import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq

from mamba_dynamics import (
    DefiniteProjection,
    LayerShapeError,
    Outcome,
    S6Layer,
    Scenario,
    paper_threshold,
    solve,
    token_dynamics,
    weights_verdict,
)
from mamba_dynamics.checkpoints.definite import effective_x_proj
from mamba_dynamics.refinements.definite import sign_pattern

SIGNS = pytest.mark.parametrize("sign", ["positive", "negative", "mixed"])


def random_projection(sign, states=4, channels=11, seed=0, **options):
    with jax.enable_x64(True):
        return DefiniteProjection.initial(
            sign, d_state=states, channels=channels, key=jax.random.key(seed), dtype=np.float64, **options
        )


def factors(projection):
    with jax.enable_x64(True):
        return np.asarray(projection.S_B), np.asarray(projection.S_C)


def layer_of(S_B, S_C, **options):
    return S6Layer.from_matrices(S_B=S_B, S_C=S_C, **({"S_Delta": np.zeros((S_B.shape[1],) * 2), "a": 1.0} | options))


@SIGNS
def test_it_is_the_papers_map_from_stored_parameters(sign):
    """The official checkpoints' raw parameter, decoded by the numpy reader, against the same numbers in the module."""
    rank, states, channels = 2, 5, 9
    X = np.random.default_rng(0).normal(size=(rank + 2 * states, channels))
    expected = effective_x_proj(X, rank, states, sign)
    free = X[rank : rank + states][np.triu_indices(states, 1, channels)]
    with jax.enable_x64(True):
        projection = DefiniteProjection(
            X[rank + states :, 0], free, channels, sign_pattern(sign, states), paper_threshold(sign)
        )
        np.testing.assert_allclose(projection.x_proj(X[:rank]), expected, rtol=1e-15)


@SIGNS
def test_the_eigenvalues_of_M_have_the_signs_of_lambda(sign):
    S_B, S_C = factors(random_projection(sign))
    eigenvalues = np.linalg.eigvalsh(S_C.T @ S_B)
    nonzero = eigenvalues[np.abs(eigenvalues) > 1e-12]
    expected = {"positive": (4, 0), "negative": (0, 4), "mixed": (2, 2)}[sign]
    assert (int(np.sum(nonzero > 0)), int(np.sum(nonzero < 0))) == expected
    np.testing.assert_allclose(S_C.T @ S_B, (S_C.T @ S_B).T, atol=1e-15)


def exact_inertia(lambdas, U):
    """(positive, negative, zero) of U^T diag(lambda) U over the rationals, by Descartes' rule: all roots are real."""
    U = [[flint.fmpq(*float(x).as_integer_ratio()) for x in row] for row in U]
    lambdas = [flint.fmpq(*float(x).as_integer_ratio()) for x in lambdas]
    scaled = flint.fmpq_mat([[value * x for x in row] for value, row in zip(lambdas, U, strict=True)])
    coefficients = list((flint.fmpq_mat(U).transpose() * scaled).charpoly().coeffs())
    zero = next(k for k, c in enumerate(coefficients) if c)
    changes = []
    for flip in (1, -1):
        signs = [c * flip**k > 0 for k, c in enumerate(coefficients) if c]
        changes.append(sum(a != b for a, b in pairwise(signs)))
    return (*changes, zero)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["positive", "negative", "mixed"]),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(0, 2**31),
    st.floats(-12, 12),
)
@example("mixed", 1, 0, 0, 0.0)
@example("positive", 4, 0, 3, 12.0)
def test_signs_are_certified_for_random_parameters(sign, states, more, seed, log_size):
    """Free entries of any size: the certificate against the characteristic polynomial over the rationals."""
    channels, rng = states + more, np.random.default_rng(seed)
    with jax.enable_x64(True):
        count = states * channels - states * (states + 1) // 2
        projection = DefiniteProjection(
            rng.normal(scale=10, size=states),
            np.exp(log_size) * rng.normal(size=count),
            channels,
            sign_pattern(sign, states),
            paper_threshold(sign),
        )
        found = projection.certificate()
        expected = exact_inertia(np.asarray(projection.lambdas), np.asarray(projection.U))
        B, C = projection.exact_factors(np.float64)
    assert (found.inertia.positive, found.inertia.negative, found.inertia.zero) == expected
    # Rounding B and C apart may make a tiny lambda's sign undecidable in S_C^T S_B, but never wrong in the exact pair.
    verdict = weights_verdict(layer_of(B, C)).groups[0].symmetric_part
    assert (verdict.positive, verdict.negative, verdict.zero) == expected


@SIGNS
def test_parameters_and_matrices_determine_each_other(sign):
    projection = random_projection(sign, threshold=0.7)
    with jax.enable_x64(True):
        U, lambdas = np.asarray(projection.U), np.asarray(projection.lambdas)
        again = DefiniteProjection.from_factors(lambdas, U, threshold=0.7)
    assert again.signs == projection.signs
    np.testing.assert_array_equal(again.free, projection.free)
    # lambda - threshold has lost the digits of the threshold: eps (|lambda| + threshold) times d raw / d lambda.
    np.testing.assert_allclose(again.raw, projection.raw, rtol=0, atol=1e-14)


def test_M_determines_lambda_and_U():
    """The leading block's elimination without pivoting gives them back: the parametrisation is injective."""
    projection = random_projection("mixed", threshold=0.7)
    S_B, S_C = factors(projection)
    M, lambdas = S_C.T @ S_B, []
    for n in range(4):
        lambdas.append(M[n, n])
        np.testing.assert_allclose(M[n] / M[n, n], S_C[n], atol=1e-12)
        M = M - np.outer(M[:, n], M[n]) / M[n, n]
    with jax.enable_x64(True):
        np.testing.assert_allclose(lambdas, projection.lambdas, rtol=1e-12)
    np.testing.assert_allclose(M, 0, atol=1e-12)


def test_the_threshold_bounds_lambda_and_mixed_has_none_in_the_paper():
    raw = np.full(4, -30.0)
    for sign, least in (("positive", 0.7), ("negative", 0.7), ("mixed", 0.0)):
        assert paper_threshold(sign) == least
    for threshold in (0.0, 0.7):
        found = DefiniteProjection(raw, np.zeros(10), 5, sign_pattern("mixed", 4), threshold)
        np.testing.assert_allclose(np.abs(found.lambdas), threshold, atol=1e-6)
        assert np.sign(found.lambdas).tolist() == [1, 1, -1, -1], "above the threshold however small raw is"


def test_negated_parameters_give_minus_M():
    projection = random_projection("mixed")
    (B, C), (negative_B, negative_C) = factors(projection), factors(projection.negated())
    np.testing.assert_array_equal(negative_C.T @ negative_B, -(C.T @ B))
    np.testing.assert_array_equal(negative_C, C)


# What rounding S_B does to the certificate.


def test_stored_factors_are_definite_only_when_their_products_are_exact():
    """float32 products are rounded: sym(M) has N tiny eigenvalues of the wrong sign, and a verdict sees them."""
    projection = DefiniteProjection.initial("positive", d_state=8, channels=40, key=jax.random.key(1))
    rounded = weights_verdict(layer_of(np.asarray(projection.S_B), np.asarray(projection.S_C))).groups[0]
    assert not projection.certificate().symmetric
    assert (rounded.symmetric_part.positive, rounded.symmetric_part.negative) == (8, 8)
    eigenvalues = rounded.symmetric_part.spectrum.eigenvalues.real
    assert -1e-6 < eigenvalues.min() < 0
    assert rounded.spectral is Scenario.DIVERGENT, "the eigenvalues of M itself are all positive"
    B, C = projection.exact_factors(np.float32)
    assert B.dtype == C.dtype == np.float32
    exact = weights_verdict(layer_of(B, C)).groups[0]
    assert exact.definiteness == "positive_semidefinite"
    assert (exact.symmetric_part.positive, exact.symmetric_part.negative) == (8, 0)
    np.testing.assert_allclose(C, projection.S_C, rtol=2.0**-11)
    np.testing.assert_allclose(B, projection.S_B, rtol=2.0**-10)
    assert np.all(B[np.arange(8), np.arange(8)] >= np.float32(0.7))


# The size at the start.


@SIGNS
@pytest.mark.parametrize("scale", [1.0, 256**-0.5])
def test_entries_start_with_a_standard_layers_size(sign, scale):
    """std(S_B) std(S_C) = 1 / (3 D) per state; a sample of n uniform numbers knows its variance to 0.9 / sqrt(n)."""
    states, channels = 16, 256
    S_B, S_C = factors(random_projection(sign, states, channels, scale=scale, seed=3))
    rows = np.triu_indices(states, 1, channels)[0]
    above = np.triu(np.ones((states, channels), bool), 1)
    product = np.bincount(rows, (S_B * S_C)[above]) / np.bincount(rows)
    pooled = np.mean(np.abs(product)) * 3 * channels
    assert abs(pooled - 1) < 4 * 0.9 / np.sqrt(above.sum())
    assert np.all(np.abs(np.abs(product) * 3 * channels - 1) < 4 * 0.9 / np.sqrt(np.bincount(rows)))


def test_the_diagonal_of_ones_outweighs_the_rest_unless_it_is_scaled():
    """Mean square of C_n over white tokens: 1/3 in a standard layer, 1 + 1/(3 |lambda|) here, 1/D + ... with scale."""
    channels, states = 256, 16
    sizes = {}
    for scale in (1.0, channels**-0.5):
        _, S_C = factors(random_projection("positive", states, channels, scale=scale, seed=5))
        sizes[scale] = float(np.mean(np.sum(S_C**2, axis=1)))
    # lambda = 0.7 + ln 2 at the start, up to raw's own spread.
    rest = 1 / (3 * (0.7 + np.log(2)))
    assert sizes[1.0] == pytest.approx(1 + rest, rel=0.05)
    assert sizes[channels**-0.5] == pytest.approx(1 / channels + rest, rel=0.1)


# The tokens that such a layer moves (theory 4.1).


@pytest.mark.parametrize(("sign", "grows"), [("positive", 1), ("negative", -1)])
def test_every_coordinate_of_the_first_token_grows_or_shrinks(sign, grows):
    rng = np.random.default_rng(2)
    S_B, S_C = factors(random_projection(sign, states=3, channels=3))
    layer = layer_of(S_B, S_C, S_Delta=rng.normal(size=(3, 3)), a=np.ones((3, 3)))
    trajectory = solve(token_dynamics(layer), rng.normal(size=(1, 3)), max_steps=400, throw=False)
    moved = grows * np.diff(trajectory.log_abs[:, 0], axis=0)
    assert np.all(moved >= -1e-12)
    assert np.all(grows * (trajectory.log_abs[-1, 0] - trajectory.log_abs[0, 0]) > 0)
    if sign == "negative":
        assert trajectory.outcome is Outcome.CONVERGED_TO_ZERO


@pytest.mark.parametrize(("sign", "x0"), [("positive", [2.0, 0.5]), ("negative", [0.5, 2.0])])
def test_with_fewer_states_than_channels_a_token_may_come_to_rest(sign, x0):
    """U = (1, -1): q = lambda (x_1 - x_2)^2 vanishes on the diagonal, where one coordinate catches up with the other.

    With S_Delta = 0 and the clock dc = |q| dt, ln|x_d| = ln|x_d0| +- delta_d c: they meet at a finite c, but only as
    t = int dc / |q| goes to infinity. Neither divergence nor convergence to zero, for tokens in an open set.
    """
    with jax.enable_x64(True):
        projection = DefiniteProjection(np.zeros(1), np.array([-1.0]), 2, sign_pattern(sign, 1), 0.7)
    S_B, S_C = factors(projection)
    bias, grows = np.array([-1.0, 1.0]), {"positive": 1, "negative": -1}[sign]
    delta, size = np.logaddexp(0, bias), 0.7 + np.log(2)

    def tokens(c):
        return np.array(x0) * np.exp(grows * delta * c)

    def elapsed(c):
        return quad(lambda s: 1 / (size * np.subtract(*tokens(s)) ** 2), 0, c, epsabs=0, epsrel=1e-10, limit=400)[0]

    meeting = abs(np.log(x0[0] / x0[1])) / (delta[1] - delta[0])
    # Rounding carries a token across much later on, and it moves off again: rest is stable from one side only.
    until = 300.0
    reached = brentq(lambda c: elapsed(c) - until, 0.5 * meeting, meeting * (1 - 1e-4), xtol=1e-13)
    trajectory = solve(token_dynamics(layer_of(S_B, S_C, dt_bias=bias)), [x0], until=until)
    np.testing.assert_allclose(trajectory.x[-1, 0], tokens(reached), rtol=1e-7)
    np.testing.assert_allclose(tokens(reached), tokens(meeting), rtol=0.05)
    assert tokens(meeting)[0] == pytest.approx(tokens(meeting)[1])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (dict(channels=2, signs=(1, 1, 1), threshold=0.7), "N <= D"),
        (dict(channels=4, signs=(1, 0, 1), threshold=0.7), "1 or -1"),
        (dict(channels=4, signs=(1, 1, 1), threshold=-0.1), "threshold >= 0"),
        (dict(channels=4, signs=(1, 1, 1), threshold=0.7, scale=0.0), "scale > 0"),
    ],
)
def test_impossible_parameters_are_refused(fields, words):
    with pytest.raises(LayerShapeError, match=words):
        DefiniteProjection(np.zeros(3), np.zeros(6), **fields)
    with pytest.raises(LayerShapeError, match="positive, negative, mixed"):
        paper_threshold("upwards")
    with pytest.raises(LayerShapeError, match="above the threshold"):
        DefiniteProjection.from_factors([0.7], np.ones((1, 2)), threshold=0.7)
    with pytest.raises(LayerShapeError, match="found"):
        DefiniteProjection.from_factors([0.7], np.ones((2, 2)), threshold=0.1)
