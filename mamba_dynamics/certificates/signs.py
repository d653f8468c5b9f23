"""Signs proved from the exact stored weights.

Floats are exact rationals, so a sign question about M = S_C^T S_B has a definite answer. It is sought in three
ways, cheapest first, and what none of them proves is said to be undecided:

* **rounding bounds**: a float64 sum of n products differs from the exact one by at most
  gamma_n sum |terms|, gamma_n = n u / (1 - n u), u = 2^-53, whatever the order of summation, with or without fused
  multiply-adds (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1);
* **ball arithmetic** (python-flint) on small matrices whose entries are enclosed that way. Eigenvalues: with V
  approximate eigenvectors, V^-1 K V is nearly diagonal and has K's eigenvalues, so Gershgorin discs that avoid the
  imaginary axis count them by side. Inertia: for any V, V^T S V has the inertia of S if it is nonsingular
  (Sylvester), and Gershgorin intervals that avoid zero prove that too;
* **exact arithmetic** (fmpz): the characteristic polynomial over the integers. Where all roots are real, Descartes'
  rule counts their signs exactly; else flint isolates the complex roots in balls.

Inertia of sym(M) needs no eigenvalues when W = [S_C; S_B] has full row rank 2N: sym(M) = W^T J W then has the inertia
of J, N positive and N negative, the rest zero. The rank is proved by W W^T being positive definite: a Cholesky
factorisation of it less its own rounding errors succeeds (Rump, Verification of positive definiteness, BIT 2006); or
by det(W W^T) != 0, in balls.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import flint
import numpy as np

from .._linalg import FloatArray, scaled

#: Precision of ball arithmetic, in bits.
PRECISION = 192
#: Exact characteristic polynomials are computed up to this size (their cost grows like its fifth power).
EXACT_SIZE = 40
#: ... and for weights whose exponents span at most this many bits, so that the integers stay moderate.
EXACT_SPAN = 400

#: Ball arithmetic is done up to this size: four times as many states as any layer has take hours.
BALL_SIZE = 512

_UNIT = 2.0**-53
# Entries are scaled to size one: products that underflow are off by less than this, for any n in reach.
_UNDERFLOW = 1e-290


@dataclass(frozen=True)
class SignCounts:
    """How many eigenvalues have positive, negative and zero real part: each proved, their sum the size."""

    positive: int
    negative: int
    zero: int

    @property
    def definiteness(self) -> str:
        """What the counts say of a symmetric matrix."""
        size = self.positive + self.negative + self.zero
        if self.positive and self.negative:
            return "indefinite"
        if not self.positive and not self.negative:
            return "zero"
        sign = "positive" if self.positive else "negative"
        return f"{sign}_definite" if not self.zero and size else f"{sign}_semidefinite"


def gram(A: FloatArray, B: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(A B^T, bound on its error), entries of A and B at most one in size."""
    n = A.shape[1]
    gamma = (n + 2) * _UNIT / (1 - (n + 2) * _UNIT)
    return A @ B.T, 1.0001 * gamma * (np.abs(A) @ np.abs(B).T) + _UNDERFLOW


def channel_signs(B_map: FloatArray, C_map: FloatArray) -> np.ndarray:
    """The exact sign of mu_d = sum_n S_C[n, d] S_B[n, d] for every channel, int (D,)."""
    B, C = scaled(B_map)[0], scaled(C_map)[0]
    products = B * C
    gamma = (len(B) + 2) * _UNIT / (1 - (len(B) + 2) * _UNIT)
    value, error = products.sum(axis=0), 1.0001 * gamma * np.abs(products).sum(axis=0) + _UNDERFLOW
    signs = np.sign(value).astype(int)
    nonzero = ((B_map != 0) & (C_map != 0)).any(axis=0)
    signs[~nonzero] = 0
    for d in np.flatnonzero(nonzero & (np.abs(value) <= error)):
        exact = sum((Fraction(b) * Fraction(c) for b, c in zip(B_map[:, d], C_map[:, d], strict=True)), Fraction(0))
        signs[d] = (exact > 0) - (exact < 0)
    return signs


def eigenvalue_signs(S_B: FloatArray, S_C: FloatArray) -> SignCounts | None:
    """Eigenvalues of M by the sign of their real part (structural zeros included), or None if undecided."""
    states, channels = S_B.shape
    if not S_B.any() or not S_C.any():
        return SignCounts(0, 0, channels)
    left, right = (S_B, S_C) if states <= channels else (S_C.T, S_B.T)
    if len(left) > BALL_SIZE:
        return None
    with _precision():
        found = _signs_by_discs(scaled(left)[0], scaled(right)[0])
        found = found or _signs_by_polynomial(_integer_product(left, right), real=False)
    return None if found is None else _pad(found, channels)


def symmetric_signs(S_B: FloatArray, S_C: FloatArray) -> SignCounts | None:
    """The inertia of sym(M), structural zeros included, or None if undecided."""
    states, channels = S_B.shape
    if not S_B.any() or not S_C.any():
        return SignCounts(0, 0, channels)
    if min(2 * states, channels) > BALL_SIZE:
        return None
    with _precision():
        if 2 * states <= channels:
            if _full_rank(np.vstack([scaled(S_C)[0], scaled(S_B)[0]])):
                return SignCounts(states, states, channels - 2 * states)
            found = _signs_by_polynomial(_twice_J_gram(S_B, S_C), real=True)
        else:
            found = _inertia_by_discs(scaled(S_B)[0], scaled(S_C)[0])
            product = _integer_product(S_C.T, S_B.T)
            twice = None if found is not None or product is None else product + product.transpose()
            found = found or _signs_by_polynomial(twice, real=True)
    return None if found is None else _pad(found, channels)


def form_sign(S_B: FloatArray, S_C: FloatArray, x: FloatArray) -> int | None:
    """The exact sign of x^T M x = (S_C x) . (S_B x), for maps (N, D) and a token (D,).

    None where the exponents of a map or of the token span so many bits that exact integers would be too long.
    """
    B, C, token = _integers(S_B), _integers(S_C), _integers(x[:, None])
    if B is None or C is None or token is None:
        return None
    value = int(((C * token).transpose() * (B * token))[0, 0])
    return (value > 0) - (value < 0)


def independent_rows(matrix: FloatArray) -> bool:
    """Whether the rows of a matrix (rows, D) are linearly independent, decided exactly."""
    if len(matrix) > matrix.shape[1]:
        return False
    with _precision():
        if _full_rank(scaled(matrix)[0]):
            return True
    rational = [[flint.fmpq(*float(x).as_integer_ratio()) for x in row] for row in matrix]
    return flint.fmpq_mat(rational).rank() == len(matrix)


def _pad(found: SignCounts, size: int) -> SignCounts:
    return SignCounts(found.positive, found.negative, size - found.positive - found.negative)


class _precision:
    """Set flint's working precision, and put it back."""

    def __enter__(self):
        self.before, flint.ctx.prec = flint.ctx.prec, PRECISION

    def __exit__(self, *_):
        flint.ctx.prec = self.before


def _balls(values: FloatArray, errors: FloatArray) -> flint.arb_mat:
    pairs = zip(values.tolist(), errors.tolist(), strict=True)
    return flint.arb_mat([[flint.arb(v, e) for v, e in zip(*row, strict=True)] for row in pairs])


def _full_rank(W: FloatArray) -> bool:
    """Whether W (rows, D) is proved to have full row rank: D^-1 W W^T D^-1 is positive definite, or not singular."""
    norms = np.linalg.norm(W, axis=1)
    if not norms.all():
        return False
    scale = np.exp2(-np.round(np.log2(norms)))
    value, error = (scale[:, None] * one * scale for one in gram(W, W))
    return _positive_definite(value, error) or not _balls(value, error).det().contains(0)


def _positive_definite(value: FloatArray, error: FloatArray) -> bool:
    """Whether every symmetric matrix within `error` of `value` is proved positive definite.

    If a Cholesky factorisation of A - c in floating point ends, A's eigenvalues are at least c - gamma_(n+2) trace(A).
    """
    n = len(value)
    rounding = (n + 3) * _UNIT / (1 - (n + 3) * _UNIT) * float(np.trace(value)) + _UNDERFLOW
    # Twice, for the rounding of the bounds themselves and of the shift.
    shift = 2.0 * (float(np.maximum(error, error.T).sum(axis=1).max()) + rounding)
    try:
        factor = np.linalg.cholesky(value - shift * np.eye(n))
    except np.linalg.LinAlgError:
        return False
    return bool(np.all(np.isfinite(factor)))


def _signs_by_discs(left: FloatArray, right: FloatArray) -> SignCounts | None:
    """Signs of the real parts of the eigenvalues of left right^T, by Gershgorin discs of V^-1 K V."""
    value, error = gram(left, right)
    vectors = np.linalg.eig(value)[1]
    V = flint.acb_mat([[flint.acb(z.real, z.imag) for z in row] for row in vectors.tolist()])
    try:
        T = V.solve(flint.acb_mat(_balls(value, error)) * V)
    except ZeroDivisionError:
        return None
    table = T.table()
    centres = [row[i].real for i, row in enumerate(table)]
    return _count(centres, [_radius(row, i) for i, row in enumerate(table)])


def _inertia_by_discs(B: FloatArray, C: FloatArray) -> SignCounts | None:
    """Inertia of C^T B + B^T C, by Gershgorin intervals of V^T S V."""
    value, error = gram(C.T, B.T)
    value, error = value + value.T, error + error.T + np.abs(value + value.T) * 2 * _UNIT
    vectors = np.linalg.eigh(value)[1]
    V = _balls(vectors, np.zeros_like(vectors))
    table = (V.transpose() * _balls(value, error) * V).table()
    return _count([row[i] for i, row in enumerate(table)], [_radius(row, i) for i, row in enumerate(table)])


def _radius(row, i: int):
    return sum((abs(entry) for j, entry in enumerate(row) if j != i), flint.arb(0))


def _count(centres, radii) -> SignCounts | None:
    positive = sum(1 for c, r in zip(centres, radii, strict=True) if c - r > 0)
    negative = sum(1 for c, r in zip(centres, radii, strict=True) if c + r < 0)
    return SignCounts(positive, negative, 0) if positive + negative == len(centres) else None


def _integers(matrix: FloatArray) -> flint.fmpz_mat | None:
    """2^k times the matrix, exactly, for some k; None where its exponents span too much."""
    mantissas, exponents = np.frexp(matrix)
    used = exponents[mantissas != 0]
    if used.size == 0 or int(used.max()) - int(used.min()) > EXACT_SPAN:
        return None
    lowest = int(used.min())
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    rows = zip(whole.tolist(), exponents.tolist(), strict=True)
    return flint.fmpz_mat([[m << (e - lowest) if m else 0 for m, e in zip(*row, strict=True)] for row in rows])


def _integer_product(left: FloatArray, right: FloatArray) -> flint.fmpz_mat | None:
    if len(left) > EXACT_SIZE:
        return None
    a, b = _integers(left), _integers(right)
    return None if a is None or b is None else a * b.transpose()


def _twice_J_gram(S_B: FloatArray, S_C: FloatArray) -> flint.fmpz_mat | None:
    """2 J W W^T up to a positive factor: similar to a symmetric matrix with the non-zero eigenvalues of sym(M)."""
    if 2 * len(S_B) > EXACT_SIZE:
        return None
    B, C = _integers(S_B), _integers(S_C)
    if B is None or C is None:
        return None
    BB, BC, CB, CC = B * B.transpose(), B * C.transpose(), C * B.transpose(), C * C.transpose()
    n = len(S_B)
    # Scaling S_B and S_C by different powers of two scales M alone, so BB and CC may carry different ones.
    top = [[*(BC[i, j] for j in range(n)), *(BB[i, j] for j in range(n))] for i in range(n)]
    bottom = [[*(CC[i, j] for j in range(n)), *(CB[i, j] for j in range(n))] for i in range(n)]
    return flint.fmpz_mat(top + bottom)


def _signs_by_polynomial(matrix: flint.fmpz_mat | None, *, real: bool) -> SignCounts | None:
    """Signs of the real parts of a small integer matrix's eigenvalues, from its characteristic polynomial."""
    if matrix is None:
        return None
    coefficients = [int(c) for c in matrix.charpoly().coeffs()]
    zero = next(k for k, c in enumerate(coefficients) if c)
    if real:
        positive = _sign_changes(coefficients)
        negative = _sign_changes([c if k % 2 == 0 else -c for k, c in enumerate(coefficients)])
        return SignCounts(positive, negative, zero)
    positive = negative = 0
    reduced = flint.fmpz_poly(coefficients[zero:])
    roots: list = reduced.complex_roots() if reduced.degree() else []
    for root, multiplicity in roots:
        part = flint.acb(root).real
        if not (part > 0 or part < 0):
            return None
        positive, negative = positive + multiplicity * (part > 0), negative + multiplicity * (part < 0)
    return SignCounts(int(positive), int(negative), zero)


def _sign_changes(coefficients: list[int]) -> int:
    signs = [c > 0 for c in coefficients if c]
    return sum(a != b for a, b in pairwise(signs))
