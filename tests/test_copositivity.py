"""Strict copositivity against known matrices and a search over the simplex."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from mamba_dynamics import HypothesisError
from mamba_dynamics.certificates import independent_rows, strictly_copositive, symmetric_part

#: Horn's matrix is copositive, but not strictly: v = (1, 1, 0, 0, 0) has v^T H v = 0.
HORN = [[1, -1, 1, 1, -1], [-1, 1, -1, 1, 1], [1, -1, 1, -1, 1], [1, 1, -1, 1, -1], [-1, 1, 1, -1, 1]]


def exact(matrix, shift=0):
    return [[Fraction(x) + (shift if i == j else 0) for j, x in enumerate(row)] for i, row in enumerate(matrix)]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1]], True),
        ([[0]], False),
        ([[0, 1], [1, 0]], False),
        ([[1, 5], [5, 1]], True),
        ([[1, -1], [-1, 1]], False),
        ([[Fraction(2), Fraction(-1)], [Fraction(-1), 1]], True),
        (HORN, False),
    ],
)
def test_known_matrices(matrix, expected):
    assert strictly_copositive(exact(matrix)) is expected


def test_horn_on_either_side_of_the_edge():
    tiny = Fraction(1, 10**30)
    assert strictly_copositive(exact(HORN, tiny))
    assert not strictly_copositive(exact(HORN, -tiny))


def simplex(size, steps):
    for counts in product(range(steps + 1), repeat=size - 1):
        if sum(counts) <= steps:
            yield np.array([*counts, steps - sum(counts)]) / steps


def test_random_matrices_against_a_search():
    """Where the least value on a fine grid of the simplex is clearly positive or negative, the answer is known."""
    rng, seen = np.random.default_rng(0), set()
    grid = np.array(list(simplex(4, 24)))
    for _ in range(60):
        A = rng.normal(size=(4, 4))
        A = A + A.T + np.diag(rng.uniform(0, 4, 4))
        least = float(np.min(np.einsum("vi,ij,vj->v", grid, A, grid)))
        if abs(least) > 0.05:
            assert strictly_copositive(exact(A.tolist())) is (least > 0)
            seen.add(least > 0)
    assert seen == {True, False}


def test_symmetric_part_is_exact():
    B, C = np.random.default_rng(1).normal(size=(2, 2, 3))
    found = symmetric_part(B, C, np.array([1.0, -2.0, 1.0]))
    M = C.T @ B
    signs = np.diag([1.0, -1.0, 1.0])
    np.testing.assert_allclose(np.array(found, float), signs @ (M + M.T) @ signs / 2, rtol=1e-14)
    assert (
        found[0][1]
        == -sum((Fraction(C[n, 0]) * Fraction(B[n, 1]) + Fraction(C[n, 1]) * Fraction(B[n, 0])) for n in range(2)) / 2
    )


def test_floats_are_the_rational_numbers_they_are():
    assert strictly_copositive(np.array([[1.0, -0.5], [-0.5, 1.0]]))
    assert not strictly_copositive([[1, -1], [-1, 1]])
    # 0.1 + 0.2 is not 0.3: the determinant is 2^-54 and a little more away from zero.
    assert strictly_copositive([[0.1 + 0.2, -0.3], [-0.3, 0.3]])
    assert not strictly_copositive([[0.3, -0.3], [-0.3, 0.3]])


@pytest.mark.parametrize("matrix", [[[1, 2], [3, 1]], [[1, 2]], [[np.nan]], [[np.inf]]])
def test_what_is_no_symmetric_matrix_is_refused(matrix):
    with pytest.raises(HypothesisError, match="expected a symmetric matrix"):
        strictly_copositive(matrix)


def test_too_large_a_matrix_is_refused():
    with pytest.raises(HypothesisError, match="13"):
        strictly_copositive(exact(np.eye(13).tolist()))


def test_independence_is_decided_exactly():
    rows = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0 + 2.0**-48]])
    assert independent_rows(rows)
    assert not independent_rows(rows[[0, 0]])
    assert not independent_rows(np.eye(3)[:, :2])
