"""Spectra of the input-output matrix M = S_C^T S_B without ever forming it.

M is D x D with rank at most N, and D is in the thousands where N is 16:

* its non-zero eigenvalues are those of the N x N matrix S_B S_C^T;
* with W = [S_C; S_B] (2N x D) and J = [[0, I], [I, 0]] / 2, sym(M) = (M + M^T) / 2 = W^T J W, and with
  W W^T = R^T R its non-zero eigenvalues are those of the symmetric 2N x 2N matrix R J R^T. R is W W^T's Cholesky
  factor, or where W is ill-conditioned that of W^T = Q R.

What is asked of one pair of maps shares its products (`Factors`). Weights are scaled by powers of two first, so that
denormal and huge ones neither vanish nor overflow.
Everything here is floating point: a sign closer to zero than a multiple of the rounding error counts as zero.
Certified signs are in `mamba_dynamics.certificates`.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
InexactArray = NDArray[np.inexact[Any]]  # float64 or complex128

EPS = float(np.finfo(float).eps)

#: An eigenvalue counts as zero when it is within this many times its own estimated rounding error of zero.
SAFETY = 16.0

#: Up to this condition number of W, R comes from a Cholesky factorisation: the margins grow by it.
WELL_CONDITIONED = 1e3


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
    if not matrix.size:
        return 0
    largest = max(float(matrix.max()), -float(matrix.min()))
    return math.frexp(largest)[1]


def scaled(matrix: FloatArray) -> tuple[FloatArray, int]:
    """(2^-k matrix, k) with entries of size one; entries below 2^-1022 of the largest may be rounded."""
    k = power_of_two_scale(matrix)
    return np.ldexp(matrix, -k), k


@dataclass(frozen=True, eq=False)
class Factors:
    """W = [C; B] (2N, D), where M is 2^exponent C^T B and entries are of size one; what is computed of it is kept."""

    W: FloatArray
    exponent: int

    @classmethod
    def of(cls, S_B: FloatArray, S_C: FloatArray) -> "Factors":
        """From S_B, S_C of shape (N, D)."""
        states, channels = S_B.shape
        W, kb, kc = np.empty((2 * states, channels)), power_of_two_scale(S_B), power_of_two_scale(S_C)
        np.ldexp(S_C, -kc, out=W[:states])
        np.ldexp(S_B, -kb, out=W[states:])
        return cls(W, kb + kc)

    @property
    def states(self) -> int:
        return len(self.W) // 2

    @property
    def channels(self) -> int:
        return self.W.shape[1]

    @property
    def B(self) -> FloatArray:
        return self.W[self.states :]

    @property
    def C(self) -> FloatArray:
        return self.W[: self.states]

    @cached_property
    def gram(self) -> FloatArray:
        """W W^T, (2N, 2N)."""
        return self.W @ self.W.T

    @cached_property
    def small(self) -> FloatArray:
        """The smaller of B C^T and C^T B, which have M's non-zero eigenvalues but for the scale."""
        if self.states > self.channels:
            return self.C.T @ self.B
        return self.gram[self.states :, : self.states] if "gram" in self.__dict__ else self.B @ self.C.T

    @cached_property
    def eigen(self) -> tuple[InexactArray, InexactArray, InexactArray | None]:
        """(eigenvalues, V, V^-1) of `small`; no V^-1 where V is singular."""
        return eigen(self.small)

    @cached_property
    def norms(self) -> tuple[float, float]:
        """|B| and |C|, Frobenius: zero for a zero matrix alone."""
        return float(np.linalg.norm(self.B)), float(np.linalg.norm(self.C))


def spectrum_of_M(S_B: FloatArray, S_C: FloatArray, factors: Factors | None = None) -> Spectrum:
    """Eigenvalues of M = S_C^T S_B from S_B, S_C of shape (N, D): O(D N^2) time, O(D N) memory.

    `factors`: of the same maps, where they are at hand.
    """
    factors = factors or Factors.of(S_B, S_C)
    size_B, size_C = factors.norms
    # Rounding of the product and backward error of the eigenvalue algorithm, in the Frobenius norm.
    backward = EPS * np.sqrt(factors.channels) * size_B * size_C / max(1, factors.states) ** 0.5
    backward += EPS * len(factors.small) * float(np.linalg.norm(factors.small))
    eigenvalues, right, left = factors.eigen
    margins = SAFETY * backward * _condition_numbers(right, left)
    return _spectrum(eigenvalues, margins, factors.channels, factors.exponent)


def spectrum_of_symmetric_part(S_B: FloatArray, S_C: FloatArray, factors: Factors | None = None) -> Spectrum:
    """Eigenvalues of sym(M) = (M + M^T) / 2 from S_B, S_C of shape (N, D): O(D N^2) time, O(D N) memory.

    `factors`: of the same maps, where they are at hand.
    """
    factors = factors or Factors.of(S_B, S_C)
    states, channels = factors.states, factors.channels
    size_B, size_C = factors.norms
    rounding = np.sqrt(channels) * size_B * size_C
    if 2 * states < channels:
        R, condition = _triangle(factors)
        half = 0.5 * (R[:, :states] @ R[:, states:].T)
        if condition > 1:
            rounding = condition * np.sqrt(channels) * (size_B**2 + size_C**2)
    else:
        half = 0.5 * (factors.C.T @ factors.B)
    small = half + half.T
    eigenvalues = np.linalg.eigvalsh(small)
    backward = EPS * (rounding + len(small) * np.linalg.norm(small))
    margins = np.full(len(eigenvalues), SAFETY * backward)
    return _spectrum(eigenvalues.astype(complex), margins, channels, factors.exponent)


def _triangle(factors: Factors) -> tuple[FloatArray, float]:
    """(R, how often its rounding enters an eigenvalue of R J R^T) with R^T R = W W^T.

    Rounding E of W W^T moves an eigenvalue l of R J R^T by |E| min(|l| / s^2, |W|^2 / (4 |l|)), s the smallest singular
    value of W (relatively by Ostrowski's theorem; absolutely because its eigenvector u has |R^-1 u| <= |W| / (2 |l|)),
    so by at most half of |E| times W's condition number.
    """
    try:
        lower = np.linalg.cholesky(factors.gram)
        condition = float(np.linalg.norm(lower) * np.linalg.norm(np.linalg.inv(lower)))
    except np.linalg.LinAlgError:
        pass
    else:
        if condition <= WELL_CONDITIONED:
            return np.asarray(lower.T, np.float64), condition
    return np.asarray(np.linalg.qr(factors.W.T, mode="r")), 1.0


def eigen(matrix: FloatArray) -> tuple[InexactArray, InexactArray, InexactArray | None]:
    """(eigenvalues, V, V^-1); no V^-1 where V is singular. Raises `LinAlgError` where no eigenvalues are found."""
    eigenvalues, right = np.linalg.eig(matrix)
    try:
        return eigenvalues, right, np.linalg.inv(right)
    except np.linalg.LinAlgError:
        return eigenvalues, right, None


def _condition_numbers(right: InexactArray, left: InexactArray | None) -> FloatArray:
    """1 / |cos| of the angle between left and right eigenvectors; infinite for a defective eigenvalue."""
    if left is None:
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
    # The angle does not depend on a token's length, whose square float64 may not hold.
    tokens = np.ldexp(tokens, -np.frexp(np.abs(tokens).max(axis=1, initial=0.0))[1][:, None])
    B, C = tokens @ scaled(B_map)[0].T, tokens @ scaled(C_map)[0].T
    sizes = np.linalg.norm(B, axis=1) * np.linalg.norm(C, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip(np.einsum("ln,ln->l", C, B) / sizes, -1.0, 1.0)


def channel_mu(B_map: FloatArray, C_map: FloatArray) -> FloatArray:
    """mu_d = sum_n S_C[n, d] S_B[n, d], the diagonal of M, shape (D,)."""
    return np.einsum("nd,nd->d", C_map, B_map)
