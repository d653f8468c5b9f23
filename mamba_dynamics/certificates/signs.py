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

from .._linalg import FloatArray, scaled
from .counts import SignCounts
from .rounding import positive_definite, product, signs_by_discs, sum_of_columns

#: Ball arithmetic is done up to this size: four times as many states as any layer has take hours.
BALL_SIZE = 512


def channel_signs(B_map: FloatArray, C_map: FloatArray) -> np.ndarray:
    """The exact sign of mu_d = sum_n S_C[n, d] S_B[n, d] for every channel, int (D,)."""
    B, C = scaled(B_map)[0], scaled(C_map)[0]
    value, error = sum_of_columns(B * C)
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
    enclosed = product(scaled(left)[0], scaled(right)[0].T)
    found = signs_by_discs(*enclosed)
    if found is None:
        from . import exact

        found = exact.signs_by_discs(*enclosed) or exact.product_signs(left, right)
    return None if found is None else _pad(found, channels)


def symmetric_signs(S_B: FloatArray, S_C: FloatArray) -> SignCounts | None:
    """The inertia of sym(M), structural zeros included, or None if undecided."""
    states, channels = S_B.shape
    if not S_B.any() or not S_C.any():
        return SignCounts(0, 0, channels)
    if min(2 * states, channels) > BALL_SIZE:
        return None
    if 2 * states <= channels and _full_rank(np.vstack([scaled(S_C)[0], scaled(S_B)[0]])):
        return SignCounts(states, states, channels - 2 * states)
    from . import exact

    if 2 * states <= channels:
        found = exact.low_rank_inertia(S_B, S_C)
    else:
        found = exact.inertia_by_discs(scaled(S_B)[0], scaled(S_C)[0])
        found = found or exact.symmetric_product_signs(S_C.T, S_B.T)
    return None if found is None else _pad(found, channels)


def independent_rows(matrix: FloatArray) -> bool:
    """Whether the rows of a matrix (rows, D) are linearly independent, decided exactly."""
    if len(matrix) > matrix.shape[1]:
        return False
    if _full_rank(scaled(matrix)[0]):
        return True
    from . import exact

    return exact.rank(matrix) == len(matrix)


def _pad(found: SignCounts, size: int) -> SignCounts:
    return SignCounts(found.positive, found.negative, size - found.positive - found.negative)


def _full_rank(W: FloatArray) -> bool:
    """Whether W (rows, D) is proved to have full row rank: D^-1 W W^T D^-1 is positive definite, or not singular."""
    norms = np.linalg.norm(W, axis=1)
    if not norms.all():
        return False
    scale = np.exp2(-np.round(np.log2(norms)))
    value, error = (scale[:, None] * one * scale for one in product(W, W.T))
    if positive_definite(value, error):
        return True
    from . import exact

    return exact.is_nonsingular(value, error)
