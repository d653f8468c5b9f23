"""Signs proved by ball arithmetic and by exact integers (python-flint), where rounding bounds leave them open.

* **Balls**, for small matrices whose entries are enclosed. Eigenvalues: Gershgorin discs of V^-1 K V, as in
  `rounding`, but with 192 bits. Inertia: for any V, V^T S V has the inertia of S if it is nonsingular (Sylvester), and
  Gershgorin intervals that avoid zero prove that too.
* **Integers**: the characteristic polynomial. Where all roots are real, Descartes' rule counts their signs exactly;
  else flint isolates the complex roots in balls.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import flint
import numpy as np

from .._linalg import FloatArray
from .counts import SignCounts
from .rounding import UNIT, product

#: Precision of ball arithmetic, in bits.
PRECISION = 192
#: Exact characteristic polynomials are computed up to this size (their cost grows like its fifth power).
EXACT_SIZE = 40
#: ... and for weights whose exponents span at most this many bits, so that the integers stay moderate.
EXACT_SPAN = 400


@contextmanager
def precision() -> Iterator[None]:
    """Set flint's working precision, and put it back."""
    before, flint.ctx.prec = flint.ctx.prec, PRECISION
    try:
        yield
    finally:
        flint.ctx.prec = before


def form_sign(S_B: FloatArray, S_C: FloatArray, x: FloatArray) -> int | None:
    """The exact sign of x^T M x = (S_C x) . (S_B x), for maps (N, D) and a token (D,).

    None where the exponents of a map or of the token span so many bits that exact integers would be too long.
    """
    B, C, token = _integers(S_B), _integers(S_C), _integers(x[:, None])
    if B is None or C is None or token is None:
        return None
    value = int(((C * token).transpose() * (B * token))[0, 0])
    return (value > 0) - (value < 0)


def rank(matrix: FloatArray) -> int:
    """The exact rank of a matrix."""
    return flint.fmpq_mat([[flint.fmpq(*float(x).as_integer_ratio()) for x in row] for row in matrix]).rank()


def is_nonsingular(value: FloatArray, error: FloatArray) -> bool:
    """Whether every matrix within `error` of `value` is proved to have a determinant that is not zero."""
    with precision():
        return not _balls(value, error).det().contains(0)


def signs_by_discs(value: FloatArray, error: FloatArray) -> SignCounts | None:
    """`rounding.signs_by_discs` with balls."""
    try:
        vectors = np.linalg.eig(value)[1]
    except np.linalg.LinAlgError:
        return None
    with precision():
        V = flint.acb_mat([[flint.acb(z.real, z.imag) for z in row] for row in vectors.tolist()])
        try:
            T = V.solve(flint.acb_mat(_balls(value, error)) * V)
        except ZeroDivisionError:
            return None
        table = T.table()
        centres = [row[i].real for i, row in enumerate(table)]
        return _count(centres, [_radius(row, i) for i, row in enumerate(table)])


def inertia_by_discs(B: FloatArray, C: FloatArray) -> SignCounts | None:
    """Inertia of C^T B + B^T C, by Gershgorin intervals of V^T S V; entries of B and C at most one in size."""
    value, error = product(C.T, B)
    value, error = value + value.T, error + error.T + np.abs(value + value.T) * 2 * UNIT
    vectors = np.linalg.eigh(value)[1]
    with precision():
        V = _balls(vectors, np.zeros_like(vectors))
        table = (V.transpose() * _balls(value, error) * V).table()
        return _count([row[i] for i, row in enumerate(table)], [_radius(row, i) for i, row in enumerate(table)])


def product_signs(left: FloatArray, right: FloatArray) -> SignCounts | None:
    """Signs of the real parts of the eigenvalues of left right^T, exactly."""
    with precision():
        return _signs_by_polynomial(_integer_product(left, right), real=False)


def symmetric_product_signs(left: FloatArray, right: FloatArray) -> SignCounts | None:
    """The inertia of left right^T + right left^T, exactly."""
    product = _integer_product(left, right)
    return _signs_by_polynomial(None if product is None else product + product.transpose(), real=True)


def low_rank_inertia(S_B: FloatArray, S_C: FloatArray) -> SignCounts | None:
    """The inertia of sym(M) but for D - 2N zeros, exactly, from maps (N, D)."""
    return _signs_by_polynomial(_twice_J_gram(S_B, S_C), real=True)


def _balls(values: FloatArray, errors: FloatArray) -> flint.arb_mat:
    pairs = zip(values.tolist(), errors.tolist(), strict=True)
    return flint.arb_mat([[flint.arb(v, e) for v, e in zip(*row, strict=True)] for row in pairs])


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
