"""Spectra through small matrices, against the dense D x D ones."""

import mpmath
import numpy as np
import pytest

from mamba_dynamics import _linalg
from mamba_dynamics._linalg import (
    Factors,
    alignment,
    channel_mu,
    quadratic_form,
    spectrum_of_M,
    spectrum_of_symmetric_part,
)
from mamba_dynamics.certificates import eigenvalue_signs

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


def eigenvalues_of_the_symmetric_part(B, C):
    """The 2N that may be non-zero, ascending: those of J W W^T, with 50 digits."""
    N = len(B)
    with mpmath.workdps(50):
        W, J = mpmath.matrix(np.vstack([C, B]).tolist()), mpmath.zeros(2 * N)
        for n in range(N):
            J[n, N + n] = J[N + n, n] = mpmath.mpf(1) / 2
        return np.array(sorted(float(mpmath.re(z)) for z in mpmath.eig(J * (W * W.T), left=False, right=False)))


@pytest.mark.parametrize("smallest", [1.0, 0.1, 1e-2, 1e-6, 1e-12, 0.0])
def test_margins_of_the_symmetric_part_cover_the_true_error(smallest, monkeypatch):
    """Against 50 digits, W well and badly conditioned: R from W W^T, and from W itself where that would not do."""
    rng = np.random.default_rng(5)
    N, D = 3, 20
    left, right = np.linalg.qr(rng.normal(size=(2 * N, 2 * N)))[0], np.linalg.qr(rng.normal(size=(D, 2 * N)))[0]
    W = left @ np.diag([smallest, *rng.uniform(0.5, 1.0, 2 * N - 1)]) @ right.T
    C, B = W[:N], W[N:]
    decomposed = []
    qr = np.linalg.qr
    monkeypatch.setattr(_linalg.np.linalg, "qr", lambda *a, **k: decomposed.append(1) or qr(*a, **k))
    found = spectrum_of_symmetric_part(B, C)
    assert bool(decomposed) == (smallest < 1e-3)
    exact = eigenvalues_of_the_symmetric_part(B, C)
    np.testing.assert_array_less(np.abs(found.eigenvalues.real - exact), found.margins)
    assert found.margins.max() < 1e-10


def test_a_badly_conditioned_W_moves_eigenvalues_by_more_and_margins_know(monkeypatch):
    """Rows of B that are parallel but for 1.4e-3, and an eigenvalue as small as that: W W^T loses two digits of it."""
    D, s, errors = 6, 1.4e-3, []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        Q, turn = np.linalg.qr(rng.normal(size=(D, D)))[0], rng.uniform(0, 2 * np.pi)
        X = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        C, B = X @ Q[:2], X @ (Q[2:4] * [[s], [1.0]])
        monkeypatch.setattr(_linalg, "WELL_CONDITIONED", np.inf)
        found = spectrum_of_symmetric_part(B, C)
        errors.append(np.abs(found.eigenvalues.real - eigenvalues_of_the_symmetric_part(B, C)))
        assert np.all(errors[-1] <= found.margins)
        monkeypatch.setattr(_linalg, "WELL_CONDITIONED", 0.0)
        by_qr = spectrum_of_symmetric_part(B, C)
        assert found.margins.max() > 0.5 / s * by_qr.margins.max()
    assert np.max(errors) > by_qr.margins.max() / _linalg.SAFETY


def test_the_products_of_one_pair_are_computed_once(monkeypatch):
    B, C = weights(4, 40)
    factors, calls = Factors.of(B, C), []
    eig = np.linalg.eig
    monkeypatch.setattr(_linalg.np.linalg, "eig", lambda matrix: calls.append(1) or eig(matrix))
    spectrum = spectrum_of_M(B, C, factors)
    assert eigenvalue_signs(B, C, factors).positive == spectrum.positive
    assert len(calls) == 1


@pytest.mark.parametrize(("N", "D"), SHAPES)
@pytest.mark.parametrize("exponents", [(0, 0), (-1060, 20), (900, -900)])
def test_factors_are_the_maps_but_for_a_power_of_two(N, D, exponents):
    B, C = (np.ldexp(one, k) for one, k in zip(np.float32(weights(N, D)).astype(float), exponents, strict=True))
    factors = Factors.of(B, C)
    sizes = [float(np.abs(one).max()) for one in (factors.B, factors.C)]
    assert all(0.5 <= size < 1 for size in sizes)
    k = int(np.frexp(np.abs(B).max())[1])
    assert np.array_equal(np.ldexp(factors.B, k), B)
    assert np.array_equal(np.ldexp(factors.C, factors.exponent - k), C)
    np.testing.assert_allclose(
        factors.small, factors.B @ factors.C.T if N <= D else factors.C.T @ factors.B, atol=1e-14
    )


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


@pytest.mark.parametrize("size", [1e308, 1e160, 1e-200, 5e-324])
def test_the_alignment_does_not_depend_on_a_token_s_length(size):
    tokens = np.array([[1.0, 1.0], [1.0, 0.0], [-1.0, 1.0]])
    B_map, C_map = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, -1.0]])
    with np.errstate(all="raise", under="ignore"):
        found = alignment(B_map, C_map, size * tokens)
    np.testing.assert_allclose(found, [0.0, 1.0, 0.0], atol=1e-15)
