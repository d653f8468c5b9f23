"""Signs proved in floating point: every bound on rounding is an upper one, whatever order a library sums in.

A float64 sum of n products differs from the exact one by at most gamma_n sum |terms|, gamma_n = n u / (1 - n u),
u = 2^-53, with or without fused multiply-adds (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
What is returned holds for every matrix within the given error of the given one.
"""

import numpy as np

from .._linalg import Factors, FloatArray, InexactArray, eigen
from .counts import SignCounts

UNIT = 2.0**-53
#: Products that underflow are off by less than this, for entries of size one and any n in reach.
UNDERFLOW = 1e-290
#: Bounds are sums of numbers that are not negative: this covers their own rounding.
_SLACK = 1.0001


def gamma(terms: int) -> float:
    """The relative error of a sum of so many products, and two roundings more."""
    return (terms + 2) * UNIT / (1 - (terms + 2) * UNIT)


def product(A: FloatArray, B: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(A B, bound on its error)."""
    return A @ B, _SLACK * gamma(A.shape[1]) * (np.abs(A) @ np.abs(B)) + UNDERFLOW


def gram(factors: Factors) -> tuple[FloatArray, FloatArray]:
    """(W W^T, bound on its error): the sums of |terms| are at most the products of the rows' norms (Cauchy-Schwarz)."""
    norms = np.sqrt(_SLACK * np.diagonal(factors.gram) + UNDERFLOW)
    return factors.gram, _SLACK * gamma(factors.channels) * np.outer(norms, norms) + UNDERFLOW


def sum_of_columns(products: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(the sums of the columns of A * B, bound on their errors), given the rounded A * B."""
    return products.sum(axis=0), _SLACK * gamma(len(products)) * np.abs(products).sum(axis=0) + UNDERFLOW


def positive_definite(value: FloatArray, error: FloatArray) -> bool:
    """Whether every symmetric matrix within `error` of `value` is proved positive definite.

    If a Cholesky factorisation of A - c in floating point ends, A's eigenvalues are at least c - gamma_(n+2) trace(A)
    (Rump, Verification of positive definiteness, BIT 2006).
    """
    n = len(value)
    rounding = gamma(n + 1) * float(np.trace(value)) + UNDERFLOW
    # Twice, for the rounding of the bounds themselves and of the shift.
    shift = 2.0 * (float(np.maximum(error, error.T).sum(axis=1).max()) + rounding)
    try:
        factor = np.linalg.cholesky(value - shift * np.eye(n))
    except np.linalg.LinAlgError:
        return False
    return bool(np.all(np.isfinite(factor)))


def signs_by_discs(
    value: FloatArray, error: FloatArray, eigenvectors: tuple[InexactArray, InexactArray | None] | None = None
) -> SignCounts | None:
    """Signs of the real parts of the eigenvalues of every matrix K within `error` of `value`, or None if undecided.

    With V approximate eigenvectors, X about V^-1 and R = 1 - X V, V^-1 K V = (1 - R)^-1 X K V has K's eigenvalues and
    is nearly diagonal: it differs from S = X K V by at most |R| |S| / (1 - |R|) in the maximum norm, so Gershgorin
    discs about S's diagonal, made larger by that, contain the eigenvalues. Those that avoid the imaginary axis count
    them by side. Complex matrices are written as real ones, [Re; Im], so that nothing is asked of complex arithmetic.

    `eigenvectors`: V and X, where they are at hand; no X means that V is singular.
    """
    n = len(value)
    try:
        vectors, inverse = eigen(value)[1:] if eigenvectors is None else eigenvectors
    except np.linalg.LinAlgError:
        return None
    if inverse is None:
        return None
    V = np.concatenate([vectors.real, vectors.imag])
    X = np.empty((2 * n, 2 * n))
    X[:n, :n] = X[n:, n:] = inverse.real
    X[n:, :n] = inverse.imag
    np.negative(inverse.imag, out=X[:n, n:])
    with np.errstate(over="ignore", invalid="ignore"):
        residual, residual_error = product(X, V)
        residual.reshape(-1)[: n * n : n + 1] -= 1.0
        off = _norm(np.abs(residual) * (1 + UNIT) + residual_error)
        if not off < 0.5:
            return None
        beside = _beside(V)  # value V and error |V| for Re V and Im V at once
        KV, KV_error = product(value, beside)
        KV_error += error @ np.abs(beside)
        S, S_error = product(X, _below(KV))
        S_error += np.abs(X) @ _below(KV_error)
        centres = S.reshape(-1)[: n * n : n + 1]
        sizes = np.abs(S) + S_error
        spread = off / (1 - off) * _norm(sizes)
        # The diagonal itself is no part of a disc's radius, its error is.
        sizes.reshape(-1)[: n * n : n + 1] = S_error.reshape(-1)[: n * n : n + 1]
        sizes.reshape(-1)[n * n :: n + 1] = S_error.reshape(-1)[n * n :: n + 1]
        radii = _SLACK * (sizes[:n].sum(axis=1) + sizes[n:].sum(axis=1) + spread)
    positive, negative = int(np.sum(centres > radii)), int(np.sum(centres < -radii))
    return SignCounts(positive, negative, 0) if positive + negative == n else None


def _beside(parts: FloatArray) -> FloatArray:
    """[Re, Im] from [Re; Im]."""
    n = parts.shape[1]
    return np.concatenate([parts[:n], parts[n:]], axis=1)


def _below(parts: FloatArray) -> FloatArray:
    """[Re; Im] from [Re, Im]."""
    n = len(parts)
    return np.concatenate([parts[:, :n], parts[:, n:]])


def _norm(parts: FloatArray) -> float:
    """A bound on the maximum norm of the complex matrix whose real and imaginary parts are bounded by [Re; Im]."""
    n = len(parts) // 2
    return _SLACK * float((parts[:n] + parts[n:]).sum(axis=1).max())
