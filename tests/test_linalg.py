"""Spectra through small matrices, against the dense D x D ones."""

import mpmath
import numpy as np
import pytest

from mamba_dynamics._linalg import alignment, channel_mu, quadratic_form, spectrum_of_M, spectrum_of_symmetric_part

# (N, D): D >> N, 2N > D > N, N > D, and one of each.
SHAPES = [(2, 9), (4, 40), (5, 7), (6, 3), (1, 1), (1, 5)]


def weights(N, D, seed=0):
    return np.random.default_rng(seed).normal(size=(2, N, D))


@pytest.mark.parametrize(("N", "D"), SHAPES)
def test_eigenvalues_are_those_of_the_dense_matrix(N, D):
    B, C = weights(N, D)
    found = spectrum_of_M(B, C)
    dense = np.linalg.eigvals(C.T @ B)
    largest = dense[np.argsort(-np.abs(dense))][: min(N, D)]
    key = lambda z: (round(z.real, 8), round(z.imag, 8))  # noqa: E731
    np.testing.assert_allclose(sorted(found.eigenvalues, key=key), sorted(largest, key=key), atol=1e-10)
    assert found.positive + found.negative + found.zero == D
    assert found.positive == np.sum(largest.real > 0)


@pytest.mark.parametrize(("N", "D"), SHAPES)
def test_symmetric_part(N, D):
    B, C = weights(N, D, 1)
    found = spectrum_of_symmetric_part(B, C)
    dense = np.linalg.eigvalsh(0.5 * (C.T @ B + B.T @ C))
    assert (found.positive, found.negative) == (np.sum(dense > 1e-10), np.sum(dense < -1e-10))
    assert found.largest == pytest.approx(dense.max(), abs=1e-12)
    assert found.smallest == pytest.approx(dense.min(), abs=1e-12)
    assert found.positive + found.negative + found.zero == D


@pytest.mark.parametrize("exponent", [-1060, -500, 500])
def test_denormal_and_huge_weights(exponent):
    B, C = weights(3, 8, 2)
    plain, far = spectrum_of_symmetric_part(B, C), spectrum_of_symmetric_part(np.ldexp(B, exponent), np.ldexp(C, 20))
    assert (far.positive, far.negative) == (plain.positive, plain.negative) == (3, 3)
    assert spectrum_of_M(np.ldexp(B, exponent), C).positive == spectrum_of_M(B, C).positive


def test_a_defective_matrix_is_not_given_signs_it_may_not_have():
    """A Jordan block's eigenvalues move by eps^(1/n): float64 cannot tell their sign, and must not claim to."""
    n = 12
    jordan = np.diag(np.full(n, 1e-3)) + np.diag(np.ones(n - 1), 1)
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(n, n)))[0]
    found = spectrum_of_M(rotation @ jordan @ rotation.T, np.eye(n))
    assert found.negative == 0
    assert found.zero >= found.positive


def test_margins_cover_the_true_error():
    """Against 50-digit eigenvalues of a badly conditioned, non-normal product."""
    rng = np.random.default_rng(4)
    V = rng.normal(size=(6, 6)) @ np.diag(10.0 ** -np.arange(6))
    B = V @ np.diag(rng.normal(size=6)) @ np.linalg.inv(V)
    C = rng.normal(size=(6, 6))
    found = spectrum_of_M(B, C)
    with mpmath.workdps(50):
        exact = mpmath.eig(mpmath.matrix(B.tolist()) * mpmath.matrix(C.tolist()).T, left=False, right=False)
    exact = np.array([complex(z) for z in exact])
    for value, margin in zip(found.eigenvalues, found.margins, strict=True):
        assert np.abs(exact - value).min() <= margin


def test_token_quantities():
    B, C = weights(3, 6, 5)
    x = np.random.default_rng(6).normal(size=(4, 6))
    M = C.T @ B
    np.testing.assert_allclose(quadratic_form(B, C, x), [v @ M @ v for v in x], rtol=1e-12)
    cosine = [(C @ v) @ (B @ v) / np.linalg.norm(C @ v) / np.linalg.norm(B @ v) for v in x]
    np.testing.assert_allclose(alignment(B, C, x), cosine, rtol=1e-12)
    np.testing.assert_allclose(channel_mu(B, C), np.diag(M), rtol=1e-12)
    assert np.isnan(alignment(B, C, np.zeros((1, 6)))[0])
    np.testing.assert_allclose(alignment(np.ldexp(B, -1000), C, x), cosine, rtol=1e-12)
