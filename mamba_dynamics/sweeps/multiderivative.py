"""One step of order 9 from a Taylor expansion of order 5 and five evaluations of the field (Fehlberg's construction).

The expansion of y' where a step begins is known: y' = sum_k v_k s^k + O(s^K). What is left of the solution after its
Taylor polynomial begins with s^(K+1), so that a Runge-Kutta method for that remainder has few conditions of order, and
of those only the linear ones up to order 2 K + 1 (Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I,
section II.13). With nodes c, weights b and coefficients a

    Y_i = T(c_i h) + h sum_{j<i} a_ij (F(Y_j) - T'(c_j h)),     y(h) = T(h) + h sum_j b_j (F(Y_j) - T'(c_j h)),

T the Taylor polynomial. The nodes and what the conditions leave free were chosen such that what orders 10 to 12 leave
over is small.

The expansion where the step ends, needed for the next one, tells the error: Hermite's quadrature from both expansions
has order 2 K, and an error that is (2 K)! / (K!)^2 times smaller than that of a Taylor polynomial of this order.
"""

from collections.abc import Callable, Sequence
from math import factorial

import numpy as np
from jaxtyping import Array, Float

from ..dynamics.base import AnyArray
from .elementary import in_order

#: Coefficients of y' that are known, evaluations of the field, the order.
KNOWN, STAGES, METHOD_ORDER = 5, 5, 9

NODES = np.array([0.549, 0.573, 0.84, 0.902, 1.0])
WEIGHTS = np.array(
    [
        0.29772520101215258608,
        0.057771899582663878275,
        0.18170489002655666875,
        0.058628550990099406421,
        0.037252709896514704732,
    ]
)
COEFFICIENTS = np.zeros((STAGES, STAGES))
COEFFICIENTS[np.tril_indices(STAGES, -1)] = [
    0.67431720590243573641,
    0.59975116043411943834,
    0.38489577643222555821,
    -0.80014564160342378832,
    -1.0175798765886405902,
    0.48950045625327459033,
    0.89258313665939377384,
    0.38629109438066151194,
    0.010041684112812208362,
    0.15423302124840291011,
]

#: Of the coefficients that are known.
_ORDERS = np.arange(KNOWN)


def _row(node: float, weights: np.ndarray) -> np.ndarray:
    """What the moments v_k h^(k+1) and the stages h F(Y_j) are to be multiplied with for y at a node."""
    moments = node ** (_ORDERS + 1) / (_ORDERS + 1) - weights @ NODES[:, None] ** _ORDERS
    return np.concatenate([moments, weights])


_STAGE_ROWS = np.stack([_row(*each) for each in zip(NODES, COEFFICIENTS, strict=True)])
_END_ROW = _row(1.0, WEIGHTS)


def _hermite_weights() -> list[float]:
    """w with int_0^1 p = sum_k w_k (p_k + (-1)^k q_k) for Taylor coefficients p_k at 0 and q_k at 1, degree < 2 K."""
    known = factorial(KNOWN) / factorial(2 * KNOWN)
    return [known * factorial(2 * KNOWN - k - 1) / (factorial(KNOWN - k - 1) * (k + 1)) for k in range(KNOWN)]


_HERMITE = _hermite_weights()

_Series = Sequence[Float[AnyArray, "L W"]]


def step_from(
    field: Callable[[Float[Array, "L W"]], Float[Array, "L W"]],
    y: Float[AnyArray, "L W"],
    series: _Series,
    h: Float[AnyArray, " W"],
) -> Float[Array, "L W"]:
    """y after steps h, one for each lane, given the Taylor coefficients of y' where they begin."""
    powers, stages = _powers(h), []

    def at(row):
        known = [row[k] * powers[k] * series[k] for k in range(KNOWN)]
        return y + in_order([*known, *(weight * one for weight, one in zip(row[KNOWN:], stages, strict=False))])

    for row in _STAGE_ROWS.tolist():
        stages.append(h * field(at(row)))
    return at(_END_ROW.tolist())


def step_error(
    moved: Float[AnyArray, "L W"], begins: _Series, ends: _Series, h: Float[AnyArray, " W"]
) -> Float[Array, "L W"]:
    """The error of steps h that moved y by so much, given the Taylor coefficients of y' at both ends."""
    powers = _powers(h)
    weights = [_HERMITE[k] * powers[k] for k in range(KNOWN)]
    # Seen from the end, odd powers have the other sign.
    return moved - in_order(weights[k] * (begins[k] + (-1.0) ** k * ends[k]) for k in range(KNOWN))


def _powers(h: Float[AnyArray, " W"]) -> list[Float[AnyArray, " W"]]:
    """h, h^2, ..., h^K."""
    powers = [h]
    for _ in range(1, KNOWN):
        powers.append(powers[-1] * h)
    return powers
