"""Certificates never contradict exact arithmetic, and are not empty."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mamba_dynamics._linalg import Factors
from mamba_dynamics.certificates import (
    SignCounts,
    channel_signs,
    eigenvalue_signs,
    exact,
    form_sign,
    rounding,
    signs,
    symmetric_signs,
)


def exact_inertia(S):
    """By sympy, over the rationals: signs of the real roots of the characteristic polynomial."""
    t = sympy.symbols("t")
    polynomial = sympy.Poly(S.charpoly(t).as_expr(), t)
    roots = [(root, m) for factor, m in polynomial.factor_list()[1] for root in sympy.Poly(factor, t).real_roots()]
    return tuple(sum(m for root, m in roots if test(root)) for test in (lambda r: r > 0, lambda r: r < 0))


small = st.integers(-3, 3)


def matrices(N, D):
    return st.lists(small, min_size=2 * N * D, max_size=2 * N * D).map(lambda v: np.array(v, float).reshape(2, N, D))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([(1, 1), (1, 3), (2, 3), (2, 5), (3, 3)]).flatmap(lambda shape: matrices(*shape)))
@example(np.array([[[1.0, 1.0], [1.0, 1.0]], [[1.0, -1.0], [1.0, -1.0]]]))
@example(np.zeros((2, 2, 4)))
def test_inertia_is_exact(pair):
    """Small integers: ties, zero eigenvalues and rank deficiency abound."""
    B, C = pair
    found = symmetric_signs(B, C)
    S = sympy.Matrix((C.T @ B + B.T @ C).astype(int).tolist())
    assert found is not None
    assert (found.positive, found.negative) == exact_inertia(S)
    assert found.positive + found.negative + found.zero == B.shape[1]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([(1, 1), (1, 3), (2, 3), (3, 3)]).flatmap(lambda shape: matrices(*shape)))
def test_eigenvalue_signs_are_exact(pair):
    B, C = pair
    found = eigenvalue_signs(B, C)
    K = sympy.Matrix((B @ C.T).astype(int).tolist())
    t = sympy.symbols("t")
    polynomial = sympy.Poly(K.charpoly(t).as_expr(), t)
    roots = [
        complex(root) for factor, m in polynomial.factor_list()[1] for root in sympy.Poly(factor, t).nroots(30) * m
    ]
    if found is None:
        assert any(abs(z.real) < 1e-12 for z in roots), "only an eigenvalue on the imaginary axis may go undecided"
        return
    assert found.positive == sum(z.real > 1e-12 for z in roots)
    assert found.negative == sum(z.real < -1e-12 for z in roots)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4)), min_size=1, max_size=6))
@example([(0.1, 1.0), (0.2, 1.0), (0.3, -1.0)])
@example([(1e-200, 1e-200), (-1e-200, 1e-200)])
@example([(5e-324, 1.0), (1.0, -5e-324), (1e-300, 1e-300)])
def test_channel_signs_are_exact(pairs):
    from fractions import Fraction

    B, C = np.array(pairs).T[:, :, None]
    exact = sum(Fraction(b) * Fraction(c) for b, c in pairs)
    assert channel_signs(B, C)[0] == (exact > 0) - (exact < 0)


@pytest.mark.parametrize(("N", "D"), [(16, 1536), (8, 64), (16, 20)])
def test_generic_layers_are_decided(N, D):
    """Theory 4.7: N positive and N negative eigenvalues of sym(M) whenever 2N <= D."""
    B, C = np.random.default_rng(0).normal(size=(2, N, D))
    found, spectrum = symmetric_signs(B, C), eigenvalue_signs(B, C)
    assert found is not None
    assert spectrum is not None
    dense = np.linalg.eigvalsh(C.T @ B + B.T @ C)
    assert (found.positive, found.negative) == (np.sum(dense > 1e-8), np.sum(dense < -1e-8))
    if 2 * N <= D:
        assert (found.positive, found.negative, found.zero) == (N, N, D - 2 * N)
    assert spectrum.positive == np.sum(np.linalg.eigvals(B @ C.T).real > 0)


def test_a_definite_parametrisation_is_certified_semidefinite():
    """S_B = diag(lambda) S_C (theory 7) with float32 weights and lambda a power of two: exact rank N."""
    U = np.float32(np.random.default_rng(1).normal(size=(6, 30))).astype(float)
    assert symmetric_signs(-2.0 * U, U) == SignCounts(0, 6, 24)
    assert symmetric_signs(-2.0 * U, U).definiteness == "negative_semidefinite"
    nudged = -2.0 * U
    nudged[0, 0] = np.nextafter(nudged[0, 0], 1.0)
    assert symmetric_signs(nudged, U).definiteness == "indefinite", "one unit in the last place breaks it, provably"


@pytest.mark.parametrize(
    ("M", "definiteness"),
    [
        ([[-1, 10], [0, -1]], "indefinite"),
        ([[0.1, -10], [0, 0.1]], "indefinite"),
        ([[-1, 1], [-1, -1]], "negative_definite"),
        ([[2, 1], [1, 0.5]], "positive_semidefinite"),
        ([[0, 1], [-1, 0]], "zero"),
    ],
)
def test_definiteness(M, definiteness):
    assert symmetric_signs(np.array(M, float), np.eye(2)).definiteness == definiteness


def test_rounding_bound_encloses_the_exact_product():
    from fractions import Fraction

    A, B = np.random.default_rng(2).normal(size=(2, 3, 50)) * 10.0 ** np.random.default_rng(3).integers(
        -9, 0, (2, 3, 50)
    )
    value, error = rounding.product(A, B.T)
    for i in range(3):
        for j in range(3):
            exact = sum(Fraction(a) * Fraction(b) for a, b in zip(A[i], B[j], strict=True))
            assert abs(Fraction(value[i, j]) - exact) <= Fraction(error[i, j])
    assert np.all(error < 1e-12 * (np.abs(A) @ np.abs(B).T)), "an enclosure must also be narrow"


def test_a_disc_across_the_axis_counts_for_neither_side():
    from flint import arb

    assert exact._count([arb(1), arb(-1)], [arb(0.5), arb(0.5)]) == SignCounts(1, 1, 0)
    assert exact._count([arb(1), arb(-1)], [arb(2), arb(0.5)]) is None
    assert exact._count([arb(1), arb(-1)], [arb(0.5), arb(2)]) is None


def test_precision_is_put_back():
    import flint

    before = flint.ctx.prec
    symmetric_signs(np.eye(3), np.eye(3))
    assert flint.ctx.prec == before


@pytest.mark.parametrize("seed", range(6))
def test_the_sign_of_a_quadratic_form_is_that_of_exact_rationals(seed):
    rng = np.random.default_rng(seed)
    B, C = rng.normal(size=(2, 3, 5)) * 2.0 ** rng.integers(-60, 60, (2, 3, 5))
    x = rng.normal(size=5)
    exact = sum(
        sum(Fraction(c) * Fraction(v) for c, v in zip(row_C, x, strict=True))
        * sum(Fraction(b) * Fraction(v) for b, v in zip(row_B, x, strict=True))
        for row_B, row_C in zip(B, C, strict=True)
    )
    assert form_sign(B, C, x) == (exact > 0) - (exact < 0)


@pytest.mark.parametrize(("second", "sign"), [(1.0, 0), (np.nextafter(1, 2), -1), (np.nextafter(1, 0), 1)])
def test_the_null_cone_is_told_from_its_neighbours(second, sign):
    # x^T diag(1, -1) x, of which float64 sees the last bit only.
    assert form_sign(np.eye(2), np.diag([1.0, -1.0]), np.array([1.0, second])) == sign


def test_a_form_whose_numbers_lie_too_far_apart_has_no_sign():
    assert form_sign(np.eye(2), np.eye(2), np.array([1e200, 1e-200])) is None


def smallest_eigenvalue(value):
    """By 60-digit arithmetic."""
    with mpmath.workdps(60):
        return min(mpmath.eigsy(mpmath.matrix(value.tolist()), eigvals_only=True))


@pytest.mark.parametrize("spread", [0, 9, 250, 300])
def test_rounding_bound_encloses_the_exact_gram_matrix(spread):
    """Rows whose squares underflow among them."""
    rng = np.random.default_rng(9)
    B, C = rng.normal(size=(2, 3, 60)) * 10.0 ** -np.linspace(0, spread, 3)[:, None]
    factors = Factors.of(B, C)
    value, error = rounding.gram(factors)
    rows = [[Fraction(x) for x in row] for row in factors.W.tolist()]
    for i, left in enumerate(rows):
        for j, right in enumerate(rows):
            off = abs(sum(a * b for a, b in zip(left, right, strict=True)) - Fraction(value[i, j]))
            assert off <= Fraction(error[i, j])
    assert np.all(error >= 0.5 * rounding.product(factors.W, factors.W.T)[1])


def test_rows_of_very_different_sizes_need_no_exact_arithmetic(monkeypatch):
    monkeypatch.setattr(exact, "is_nonsingular", lambda *given: pytest.fail("left open by rounding bounds"))
    B, C = np.random.default_rng(10).normal(size=(2, 4, 40)) * 10.0 ** -np.arange(0, 80, 20)[:, None]
    assert symmetric_signs(B, C) == SignCounts(4, 4, 32)


def test_states_without_a_common_channel_are_decided_beside_tiny_ones():
    """M is -1e-16 or -1 on blocks: beside the products of norms the tiny ones are rounding, but the zeros are exact."""
    own = np.kron(np.eye(64), np.ones((1, 16)))
    size = np.where(np.arange(64) % 2, 1.0, 1e-16)[:, None]
    assert eigenvalue_signs(own, -own * size) == SignCounts(0, 64, 960)


def test_signs_are_found_where_floating_point_finds_no_eigenvalues(monkeypatch):
    def fails(matrix):
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    B, C = np.random.default_rng(0).normal(size=(2, 3, 20))
    found = eigenvalue_signs(B, C)
    monkeypatch.setattr(np.linalg, "eig", fails)
    assert found is not None
    assert eigenvalue_signs(B, C) == found


def test_channels_of_zeros_are_not_computed_exactly(monkeypatch):
    """A pruned layer has thousands of them."""
    asked = []
    monkeypatch.setattr(signs, "Fraction", lambda *given: asked.append(given) or Fraction(*given))
    B, C = np.zeros((2, 4, 500))
    B[:, ::2], C[:, 1::2] = 1.0, 1.0
    B[:2, 4], C[:2, 4] = (1.0, 1.0), (1.0, -1.0)
    assert not channel_signs(B, C).any()
    assert 0 < len(asked) < 20


@pytest.mark.parametrize("gap", [2.0**-k for k in range(0, 56, 5)])
def test_positive_definite_is_said_only_where_it_is(gap):
    """A matrix with the smallest eigenvalue about `gap`, and all within an error too large or small enough for it."""
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    value = turn @ np.diag([gap, *rng.uniform(0.5, 1.0, 11)]) @ turn.T
    value = (value + value.T) / 2
    smallest = smallest_eigenvalue(value)
    for share, definite in ((0.0, smallest > 0), (0.4 / 12, smallest > 0), (1.01, False)):
        proved = rounding.positive_definite(value, np.full_like(value, share * abs(float(smallest))))
        assert definite or not proved
        assert proved or not definite or gap < 1e-12


def test_a_matrix_that_is_not_positive_definite_is_never_proved_to_be():
    """Rank 11 of 12, moved by the rounding of its entries: some are indefinite by less than that."""
    rng = np.random.default_rng(4)
    smallest = []
    for _ in range(100):
        factor = rng.normal(size=(12, 11))
        value = factor @ factor.T
        value = (value + value.T) / 2
        smallest.append(smallest_eigenvalue(value))
        assert smallest[-1] > 0 or not rounding.positive_definite(value, np.zeros_like(value))
    assert min(smallest) < 0 < max(smallest)


def real_parts(value):
    """Of the eigenvalues of a stored matrix, by 80-digit arithmetic."""
    with mpmath.workdps(80):
        return [mpmath.re(one) for one in mpmath.eig(mpmath.matrix(value.tolist()), left=False, right=False)]


def near_the_axis(rng, size, gap, shear):
    """With an eigenvalue of real part about `gap`, and eigenvectors the more parallel the larger `shear` is."""
    turn = np.eye(size) + shear * np.triu(rng.normal(size=(size, size)), 1)
    blocks = np.diag(rng.choice([-1.0, 1.0], size) * rng.uniform(0.5, 1.0, size))
    blocks[:2, :2] = [[gap, 0.7], [-0.7, gap]]
    return turn @ blocks @ np.linalg.inv(turn)


@pytest.mark.parametrize("shear", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("gap", [0.1, 1e-4, 1e-8, *(10.0**-k for k in range(11, 18))])
def test_discs_count_as_80_digits_do(gap, shear):
    rng = np.random.default_rng(int(-np.log10(gap)))
    for sign in (-1, 1, -1, 1, -1, 1):
        value = near_the_axis(rng, 5, sign * gap, shear)
        parts = real_parts(value)
        found = rounding.signs_by_discs(value, np.zeros_like(value))
        assert found in (None, SignCounts(sum(p > 0 for p in parts), sum(p < 0 for p in parts), 0))
        assert found is not None or gap < 1e-4 * max(1.0, shear)


@pytest.mark.parametrize("gap", [0.1, 1e-3, 1e-6])
def test_discs_hold_for_every_matrix_within_the_error(gap):
    """Moved along the diagonal by its real part, an eigenvalue comes to lie on the axis."""
    rng = np.random.default_rng(7)
    value = near_the_axis(rng, 5, gap, 1.0)
    part = min(abs(float(p)) for p in real_parts(value))
    for share, decided in ((0.99, True), (1.0001, False)):
        assert (rounding.signs_by_discs(value, share * part * np.diag([1, 1, 0, 0, 0])) is not None) <= decided
        assert (rounding.signs_by_discs(value, share * part / 100 * np.eye(5)) is not None) >= decided
    plain = np.diag([gap, -1.0])
    assert rounding.signs_by_discs(plain, 0.99 * gap * np.diag([1, 0])) == SignCounts(1, 1, 0)
    assert rounding.signs_by_discs(plain, 1.01 * gap * np.diag([1, 0])) is None
    normal = np.array([[gap, 0.7], [-0.7, gap]])
    assert rounding.signs_by_discs(normal, 0.49 * gap * np.eye(2)) == SignCounts(2, 0, 0)
    assert rounding.signs_by_discs(normal, 1.01 * gap * np.eye(2)) is None


@pytest.mark.parametrize("part", [1e-2, 1e-5, 1e-8, 1e-11])
def test_discs_of_a_nearly_defective_matrix(part):
    """Four equal eigenvalues with one eigenvector, moved by rounding to the fourth root of it."""
    turn = np.linalg.qr(np.random.default_rng(8).normal(size=(4, 4)))[0]
    value = turn @ (part * np.eye(4) + np.diag([1.0, 1.0, 1.0], 1)) @ turn.T
    parts = real_parts(value)
    found = rounding.signs_by_discs(value, np.zeros((4, 4)))
    assert found in (None, SignCounts(sum(p > 0 for p in parts), sum(p < 0 for p in parts), 0))


def test_discs_of_what_is_not_finite_are_none():
    assert rounding.signs_by_discs(np.eye(3), np.full((3, 3), np.inf)) is None


def test_discs_trust_neither_eigenvectors_nor_inverses(monkeypatch):
    """They may be anything: what is proved of them is what counts."""
    zero, delta = np.zeros((2, 2)), 0.01
    turning = np.array([[-delta, 1.0], [-1.0, -delta]])
    assert rounding.signs_by_discs(turning, zero) == SignCounts(0, 2, 0)
    inverse = np.linalg.inv
    factor = (1j + delta) / (1j - delta)
    for falsified in (-np.eye(2), np.diag([factor, np.conj(factor)])):
        # S has the diagonal of a matrix whose eigenvalues lie on the other side.
        with monkeypatch.context() as patch:
            patch.setattr(np.linalg, "inv", lambda V, falsified=falsified: falsified @ inverse(V))
            assert np.linalg.eigvals(turning)[0].imag > 0
            assert rounding.signs_by_discs(turning, zero) is None
    monkeypatch.setattr(np.linalg, "eig", lambda K: (np.diagonal(K), np.eye(2)))
    assert rounding.signs_by_discs(np.array([[1.0, 0.5], [0.5, 1.0]]), zero) == SignCounts(2, 0, 0)
    assert rounding.signs_by_discs(np.array([[1.0, 10.0], [10.0, 1.0]]), zero) is None
