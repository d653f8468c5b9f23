"""Spectra of the input-output matrix M = S_C^T S_B without ever forming it.

M is D x D with rank at most N, and D is in the thousands where N is 16:

* its non-zero eigenvalues are those of the N x N matrix S_B S_C^T;
* with W = [S_C; S_B] (2N x D) and J = [[0, I], [I, 0]] / 2, sym(M) = (M + M^T) / 2 = W^T J W, and with
  W^T = Q R its non-zero eigenvalues are those of the symmetric 2N x 2N matrix R J R^T.

Weights are scaled by powers of two first, so that denormal and huge ones neither vanish nor overflow.
Everything here is floating point: a sign closer to zero than a multiple of the rounding error counts as zero.
Certified signs are in `mamba_dynamics.certificates`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

EPS = float(np.finfo(float).eps)

#: An eigenvalue counts as zero when it is within this many times its own estimated rounding error of zero.
SAFETY = 16.0


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues by the sign of their real part; the counts add up to D.

    `eigenvalues`: the min(N, D) (of M) or min(2N, D) (of sym(M)) that may be non-zero, ascending by real
    part. `margins`: how close to zero each may come by rounding. `zero` includes the structural zeros.
    """

    eigenvalues: ComplexArray
    margins: FloatArray
    positive: int
    negative: int
    zero: int

    @property
    def largest(self) -> float:
        """The largest real part among all D eigenvalues."""
        return self._extreme(max)

    @property
    def smallest(self) -> float:
        """The smallest real part among all D eigenvalues."""
        return self._extreme(min)

    def scaled(self, factor: float) -> "Spectrum":
        """The spectrum of `factor` times the matrix, factor not zero."""
        order = np.arange(len(self.eigenvalues))[:: 1 if factor > 0 else -1]  # also a copy
        counts = (self.positive, self.negative) if factor > 0 else (self.negative, self.positive)
        # Part by part: an eigenvalue beyond float64's range is inf, and a complex product would make it NaN.
        eigenvalues = self.eigenvalues[order]
        eigenvalues.real *= factor
        eigenvalues.imag *= factor
        return Spectrum(eigenvalues, abs(factor) * self.margins[order], *counts, self.zero)

    def _extreme(self, of) -> float:
        total = self.positive + self.negative + self.zero
        parts = self.eigenvalues.real.tolist()
        return float(of([*parts, 0.0] if len(parts) < total else parts))


def power_of_two_scale(matrix: FloatArray) -> int:
    """The k for which the largest entry of 2^-k times the matrix lies in [1/2, 1); 0 for a zero matrix."""
    largest = float(np.max(np.abs(matrix), initial=0.0))
    return int(np.frexp(largest)[1]) if largest > 0 else 0


def scaled(matrix: FloatArray) -> tuple[FloatArray, int]:
    """(2^-k matrix, k) with entries of size one; entries below 2^-1022 of the largest may be rounded."""
    k = power_of_two_scale(matrix)
    return np.ldexp(matrix, -k), k


def spectrum_of_M(S_B: FloatArray, S_C: FloatArray) -> Spectrum:
    """Eigenvalues of M = S_C^T S_B from S_B, S_C of shape (N, D): O(D N^2) time, O(D N) memory."""
    states, channels = S_B.shape
    (B, kb), (C, kc) = scaled(S_B), scaled(S_C)
    small = B @ C.T if states <= channels else C.T @ B
    # Rounding of the product and backward error of the eigenvalue algorithm, in the Frobenius norm.
    backward = EPS * (np.sqrt(channels) * np.linalg.norm(B) * np.linalg.norm(C) / max(1, states) ** 0.5)
    backward += EPS * len(small) * float(np.linalg.norm(small))
    eigenvalues, right = np.linalg.eig(small)
    margins = SAFETY * backward * _condition_numbers(right)
    return _spectrum(eigenvalues, margins, channels, kb + kc)


def spectrum_of_symmetric_part(S_B: FloatArray, S_C: FloatArray) -> Spectrum:
    """Eigenvalues of sym(M) = (M + M^T) / 2 from S_B, S_C of shape (N, D): O(D N^2) time, O(D N) memory."""
    states, channels = S_B.shape
    (B, kb), (C, kc) = scaled(S_B), scaled(S_C)
    if 2 * states < channels:
        R = np.asarray(np.linalg.qr(np.vstack([C, B]).T, mode="r"))
        top, bottom = R[:, :states], R[:, states:]
        half = 0.5 * (top @ bottom.T)
    else:
        half = 0.5 * (C.T @ B)
    small = half + half.T
    eigenvalues = np.linalg.eigvalsh(small)
    backward = EPS * (np.sqrt(channels) * np.linalg.norm(B) * np.linalg.norm(C) + len(small) * np.linalg.norm(small))
    return _spectrum(eigenvalues.astype(complex), np.full(len(eigenvalues), SAFETY * backward), channels, kb + kc)


def _condition_numbers(right: ComplexArray) -> FloatArray:
    """1 / |cos| of the angle between left and right eigenvectors; infinite for a defective eigenvalue."""
    try:
        left = np.linalg.inv(right)
    except np.linalg.LinAlgError:
        return np.full(right.shape[1], np.inf)
    with np.errstate(over="ignore"):  # inf, as for a defective eigenvalue, which it is but for rounding
        return np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=0)


def _spectrum(eigenvalues, margins, channels: int, exponent: int) -> Spectrum:
    order = np.lexsort((eigenvalues.imag, eigenvalues.real))
    eigenvalues, margins = eigenvalues[order], margins[order]
    positive = int(np.sum(eigenvalues.real > margins))
    negative = int(np.sum(eigenvalues.real < -margins))
    with np.errstate(over="ignore", under="ignore"):
        actual = np.ldexp(eigenvalues.real, exponent) + 1j * np.ldexp(eigenvalues.imag, exponent)
        margins = np.ldexp(margins, exponent)
    return Spectrum(actual, margins, positive, negative, channels - positive - negative)


def quadratic_form(B_map: FloatArray, C_map: FloatArray, tokens: FloatArray) -> FloatArray:
    """q(x) = (S_C x) . (S_B x) for tokens (L, D), shape (L,)."""
    return np.einsum("ln,ln->l", tokens @ C_map.T, tokens @ B_map.T)


def alignment(B_map: FloatArray, C_map: FloatArray, tokens: FloatArray) -> FloatArray:
    """cos of the angle between S_C x and S_B x for tokens (L, D), shape (L,); NaN where either is zero."""
    B, C = tokens @ scaled(B_map)[0].T, tokens @ scaled(C_map)[0].T
    sizes = np.linalg.norm(B, axis=1) * np.linalg.norm(C, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip(np.einsum("ln,ln->l", C, B) / sizes, -1.0, 1.0)


def channel_mu(B_map: FloatArray, C_map: FloatArray) -> FloatArray:
    """mu_d = sum_n S_C[n, d] S_B[n, d], the diagonal of M, shape (D,)."""
    return np.einsum("nd,nd->d", C_map, B_map)
