"""Strict copositivity, decided exactly: is v^T A v > 0 for every v >= 0 but v = 0?

Keller's criterion: a symmetric matrix is strictly copositive if and only if every principal submatrix whose last
row has only positive cofactors has a positive determinant (K. P. Hadeler, On copositive matrices, Linear Algebra
and its Applications 49, 1983). All in rational arithmetic on the exact stored floats; there are 2^D - 1 principal
submatrices, so this is for small D.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations

import flint
import numpy as np
from numpy.typing import ArrayLike

from .._errors import HypothesisError
from .._linalg import FloatArray

#: The largest matrix whose principal submatrices are all tried.
LARGEST = 12

Matrix = Sequence[Sequence[Fraction]]


def symmetric_part(S_B: FloatArray, S_C: FloatArray, signs: FloatArray | None = None) -> list[list[Fraction]]:
    """diag(signs) sym(M) diag(signs), M = S_C^T S_B, exactly; S_B and S_C of shape (N, D), signs (D,)."""
    B, C = ([[Fraction(x) for x in row] for row in matrix.tolist()] for matrix in (S_B, S_C))
    sigma = [1] * S_B.shape[1] if signs is None else [int(one) for one in np.sign(signs)]

    def entry(i: int, j: int) -> Fraction:
        products = (c[i] * b[j] + c[j] * b[i] for b, c in zip(B, C, strict=True))
        return sigma[i] * sigma[j] * sum(products, Fraction(0)) / 2

    return [[entry(i, j) for j in range(len(sigma))] for i in range(len(sigma))]


def strictly_copositive(matrix: Matrix | ArrayLike) -> bool:
    """Whether v^T A v > 0 for every v >= 0 except v = 0; floats are taken for the rational numbers that they are.

    Args:
        matrix: symmetric, at most 12 x 12; fractions, or anything numpy takes for an array of finite floats.

    Raises:
        HypothesisError: the matrix is larger, not symmetric, or not finite.
    """
    matrix = _rational(matrix)
    if len(matrix) > LARGEST:
        raise HypothesisError(
            f"expected at most {LARGEST} channels, found {len(matrix)}; copositivity is decided on all 2^D principal "
            "submatrices, so reduce to fewer channels"
        )
    return all(_passes(one) for one in _principal_submatrices(matrix))


def _rational(matrix: Matrix | ArrayLike) -> list[list[Fraction]]:
    rows = np.asarray(matrix, dtype=object)
    if not rows.size:
        return []
    square = rows.ndim == 2 and rows.shape[0] == rows.shape[1]
    if not square or not np.all(np.isfinite(rows.astype(float))) or not np.all(rows == rows.T):
        raise HypothesisError(
            "expected a symmetric matrix of finite numbers, found another; only its symmetric part (A + A^T) / 2 counts"
        )
    return [[Fraction(entry) for entry in row] for row in rows.tolist()]


def _principal_submatrices(matrix: Matrix) -> Iterator[list[list[Fraction]]]:
    size = len(matrix)
    for order in range(1, size + 1):
        for rows in combinations(range(size), order):
            yield [[matrix[i][j] for j in rows] for i in rows]


def _passes(part: Matrix) -> bool:
    """A positive determinant, or a cofactor of the last row that is not positive."""
    if _determinant(part) > 0:
        return True
    last = len(part) - 1
    return any((-1) ** (last + j) * _determinant(_minor(part, j)) <= 0 for j in range(len(part)))


def _minor(part: Matrix, column: int) -> list[list[Fraction]]:
    """`part` without its last row and one column."""
    return [[x for j, x in enumerate(row) if j != column] for row in part[:-1]]


def _determinant(matrix: Matrix) -> Fraction:
    if not matrix:
        return Fraction(1)
    entries = [[flint.fmpq(x.numerator, x.denominator) for x in row] for row in matrix]
    found = flint.fmpq_mat(entries).det()
    return Fraction(int(found.p), int(found.q))
