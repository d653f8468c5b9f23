"""Signs proved in floating point: every bound on rounding is an upper one, whatever order a library sums in.

A float64 sum of n products differs from the exact one by at most gamma_n sum |terms|, gamma_n = n u / (1 - n u),
u = 2^-53, with or without fused multiply-adds (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
What is returned holds for every matrix within the given error of the given one.
"""

import numpy as np

from .._linalg import FloatArray
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


def signs_by_discs(value: FloatArray, error: FloatArray) -> SignCounts | None:
    """Signs of the real parts of the eigenvalues of every matrix K within `error` of `value`, or None if undecided.

    With V approximate eigenvectors, X about V^-1 and R = 1 - X V, V^-1 K V = (1 - R)^-1 X K V has K's eigenvalues and
    is nearly diagonal: it differs from S = X K V by at most |R| |S| / (1 - |R|) in the maximum norm, so Gershgorin
    discs about S's diagonal, made larger by that, contain the eigenvalues. Those that avoid the imaginary axis count
    them by side. Complex matrices are written as real ones, [Re; Im], so that nothing is asked of complex arithmetic.
    """
    n = len(value)
    try:
        vectors = np.linalg.eig(value)[1]
        inverse = np.linalg.inv(vectors)
    except np.linalg.LinAlgError:
        return None
    V = np.vstack([np.real(vectors), np.imag(vectors)])
    real, imag = np.real(inverse), np.imag(inverse)
    X = np.block([[real, -imag], [imag, real]])
    with np.errstate(over="ignore", invalid="ignore"):
        residual, residual_error = product(X, V)
        residual[:n] -= np.eye(n)
        off = _norm(np.abs(residual) * (1 + UNIT) + residual_error)
        if not off < 0.5:
            return None
        KV, KV_error = (np.vstack(both) for both in zip(product(value, V[:n]), product(value, V[n:]), strict=True))
        KV_error += np.vstack([error @ np.abs(V[:n]), error @ np.abs(V[n:])])
        S, S_error = product(X, KV)
        S_error = S_error + np.abs(X) @ KV_error
        beside = np.where(np.vstack([np.eye(n, dtype=bool)] * 2), 0.0, np.abs(S)) + S_error
        radii = beside[:n].sum(axis=1) + beside[n:].sum(axis=1) + off / (1 - off) * _norm(np.abs(S) + S_error)
        centres, radii = np.diagonal(S[:n]), _SLACK * radii
    positive, negative = int(np.sum(centres > radii)), int(np.sum(centres < -radii))
    return SignCounts(positive, negative, 0) if positive + negative == n else None


def _norm(parts: FloatArray) -> float:
    """A bound on the maximum norm of the complex matrix whose real and imaginary parts are bounded by [Re; Im]."""
    n = len(parts) // 2
    return _SLACK * float((parts[:n] + parts[n:]).sum(axis=1).max())
