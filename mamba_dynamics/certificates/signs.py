"""Signs proved from the exact stored weights.

Floats are exact rationals, so a sign question about M = S_C^T S_B has a definite answer. It is sought in three
ways, cheapest first, and what none of them proves is said to be undecided: bounds on the rounding of floating point
(`rounding`), ball arithmetic and exact integers (`exact`, loaded when first needed).

Inertia of sym(M) needs no eigenvalues when W = [S_C; S_B] has full row rank 2N: sym(M) = W^T J W then has the inertia
of J, N positive and N negative, the rest zero. The rank is proved by W W^T being positive definite, or by
det(W W^T) != 0.
"""

from fractions import Fraction

import numpy as np

from .._linalg import Factors, FloatArray, scaled
from .counts import SignCounts
from .rounding import gram, positive_definite, product, signs_by_discs, sum_of_columns

#: Ball arithmetic is done up to this size: four times as many states as any layer has take hours.
BALL_SIZE = 512


def channel_signs(B_map: FloatArray, C_map: FloatArray, factors: Factors | None = None) -> np.ndarray:
    """The exact sign of mu_d = sum_n S_C[n, d] S_B[n, d] for every channel, int (D,).

    `factors`, here and below: of the same maps, where they are at hand.
    """
    factors = factors or Factors.of(B_map, C_map)
    value, error = sum_of_columns(factors.B * factors.C)
    signs = np.sign(value).astype(int)
    unclear = np.flatnonzero(np.abs(value) <= error)
    # A sum of zeros is zero: most channels of a pruned layer.
    for d in unclear[((B_map[:, unclear] != 0) & (C_map[:, unclear] != 0)).any(axis=0)]:
        exact = sum((Fraction(b) * Fraction(c) for b, c in zip(B_map[:, d], C_map[:, d], strict=True)), Fraction(0))
        signs[d] = (exact > 0) - (exact < 0)
    return signs


def eigenvalue_signs(S_B: FloatArray, S_C: FloatArray, factors: Factors | None = None) -> SignCounts | None:
    """Eigenvalues of M by the sign of their real part (structural zeros included), or None if undecided."""
    states, channels = S_B.shape
    factors = factors or Factors.of(S_B, S_C)
    if not all(factors.norms):
        return SignCounts(0, 0, channels)
    if min(states, channels) > BALL_SIZE:
        return None
    if states <= channels:
        value, error = (one[states:, :states] for one in gram(factors))
    else:
        value, error = product(factors.C.T, factors.B)
    try:
        found = signs_by_discs(value, error, factors.eigen[1:])
    except np.linalg.LinAlgError:  # no eigenvalues in floating point
        found = None
    if found is None:
        from . import exact

        left, right = (S_B, S_C) if states <= channels else (S_C.T, S_B.T)
        if states <= channels:
            # Entry by entry: a zero between maps that share no channel is exact, which norms do not know.
            value, error = product(factors.B, factors.C.T)
        found = exact.signs_by_discs(value, error) or exact.product_signs(left, right)
    return None if found is None else _pad(found, channels)


def symmetric_signs(S_B: FloatArray, S_C: FloatArray, factors: Factors | None = None) -> SignCounts | None:
    """The inertia of sym(M), structural zeros included, or None if undecided."""
    states, channels = S_B.shape
    factors = factors or Factors.of(S_B, S_C)
    if not all(factors.norms):
        return SignCounts(0, 0, channels)
    if min(2 * states, channels) > BALL_SIZE:
        return None
    if 2 * states <= channels and _full_rank(*gram(factors)):
        return SignCounts(states, states, channels - 2 * states)
    from . import exact

    if 2 * states <= channels:
        found = exact.low_rank_inertia(S_B, S_C)
    else:
        found = exact.inertia_by_discs(factors.B, factors.C)
        found = found or exact.symmetric_product_signs(S_C.T, S_B.T)
    return None if found is None else _pad(found, channels)


def independent_rows(matrix: FloatArray) -> bool:
    """Whether the rows of a matrix (rows, D) are linearly independent, decided exactly."""
    if len(matrix) > matrix.shape[1]:
        return False
    rows = scaled(matrix)[0]
    if _full_rank(*product(rows, rows.T)):
        return True
    from . import exact

    return exact.rank(matrix) == len(matrix)


def _pad(found: SignCounts, size: int) -> SignCounts:
    return SignCounts(found.positive, found.negative, size - found.positive - found.negative)


def _full_rank(value: FloatArray, error: FloatArray) -> bool:
    """Whether W has full row rank, proved from W W^T within `error` of `value`.

    With D the rows' norms, D^-1 W W^T D^-1 is positive definite, or not singular.
    """
    squares = np.diagonal(value)
    if not squares.all():
        return False
    scale = np.exp2(-np.round(0.5 * np.log2(squares)))
    value, error = (scale[:, None] * one * scale for one in (value, error))
    if positive_definite(value, error):
        return True
    from . import exact

    return exact.is_nonsingular(value, error)
