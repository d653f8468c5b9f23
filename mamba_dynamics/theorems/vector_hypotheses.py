"""Hypotheses of section 4 (D > 1), decided on the exact stored floats; see `theorems.hypotheses`."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from .._layer import S6Layer
from .._outcomes import KnownBy, Truth
from ..certificates import independent_rows, strictly_copositive, symmetric_part, symmetric_signs
from .base import FloatArray
from .contract import Case, Hypothesis
from .hypotheses import certified

#: A layer with D = 1, to break D >= 2.
ONE_CHANNEL = Case(S6Layer.scalar(mu=1.0, S_Delta=1.0, a=1.0), np.ones((1, 1)))


def two_channels(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    return certified("D = 2", layer.channels == 2, layer.channels)


def two_tokens(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    return certified("L = 2", len(x0) == 2, len(x0))


def constant_step(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    largest = float(np.abs(layer.S_Delta()).max())
    return certified("S_Delta = 0", largest == 0, largest)


def steps_constant(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    """L = 1 needs no bound of its own, for |x_1| shrinks."""
    return certified("S_Delta = 0, or L = 1", len(x0) == 1 or not layer.S_Delta().any())


def equal_biases(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    spread = float(np.ptp(layer.dt_bias))
    return certified("equal biases", spread == 0, spread)


def some_active_coordinate(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    return certified("x_0 is not zero", bool(x0.any()), float(np.abs(x0).max()))


def no_zero_coordinate(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    smallest = float(np.abs(x0).min())
    return certified("no coordinate of x_0 is zero", smallest > 0, smallest)


def exact_q(layer: S6Layer, x: FloatArray) -> Fraction:
    """q(x) = (S_C x) . (S_B x) of one token (D,), exactly."""
    S = symmetric_part(layer.B_map(), layer.C_map())
    v = [Fraction(one) for one in x.tolist()]
    total = sum((v[i] * S[i][j] * v[j] for i in range(len(v)) for j in range(len(v))), Fraction(0))
    return total if layer.gain > 0 else -total


def off_the_cone(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    q = exact_q(layer, x0[0])
    return certified("q(x_0) != 0", q != 0, float(q))


def q_positive(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    q = exact_q(layer, x0[0])
    return certified("q(x_0) > 0", q > 0, float(q))


def definite(name: str, definiteness: str) -> Callable[[S6Layer, FloatArray], Hypothesis]:
    """The hypothesis that sym(M) has a definiteness, certified by `certificates.symmetric_signs`."""

    def hypothesis(layer: S6Layer, x0: FloatArray) -> Hypothesis:
        found = symmetric_signs(np.sign(layer.gain) * layer.B_map(), layer.C_map())
        if found is None:
            return Hypothesis(name, Truth.UNDECIDED, KnownBy.CERTIFIED)
        return certified(name, found.definiteness == definiteness)

    return hypothesis


NEGATIVE_DEFINITE = definite("sym(M) is negative definite", "negative_definite")
POSITIVE_DEFINITE = definite("sym(M) is positive definite", "positive_definite")


def copositive_sign(layer: S6Layer, x0: FloatArray) -> int:
    """+1 or -1 if diag(sigma) sym(M) diag(sigma), or its negative, is strictly copositive on x_0's orthant, else 0.

    Coordinates where x_0 is zero stay zero and are left out.
    """
    active = x0[0] != 0
    sign = 1 if layer.gain > 0 else -1
    matrix = symmetric_part(sign * layer.B_map()[:, active], layer.C_map()[:, active], x0[0][active])
    if strictly_copositive(matrix):
        return 1
    return -1 if strictly_copositive([[-entry for entry in row] for row in matrix]) else 0


def one_signed_orthant(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    sign = copositive_sign(layer, x0)
    return certified("q has one sign on the orthant of x_0 (strict copositivity)", sign != 0, sign)


def one_smallest_bias(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    smallest = np.sort(layer.dt_bias[0])[:2]
    gap = float(smallest[-1] - smallest[0])
    return certified("one channel alone has the smallest bias", gap > 0, gap)


def saddle(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    M = layer.input_output_matrix()
    holds = bool(M[0, 1] == M[1, 0] == 0 and M[0, 0] > 0 > M[1, 1])
    return certified("M = diag(p, -r) with p, r > 0", holds)


def opposed_steps(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    S, b = layer.S_Delta(), layer.dt_bias[0]
    holds = bool(S[0, 1] == S[1, 0] == 0 and S[0, 0] < 0 < S[1, 1] and b[0] <= b[1])
    return certified("S_Delta = diag(-alpha, beta) with alpha, beta > 0, and b_1 <= b_2", holds)


def positive_quadrant(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    return certified("x_0 > 0", bool(np.all(x0 > 0)), float(x0.min()))


def own_steps_open(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    S = layer.S_Delta()
    diagonal = np.diag(S)
    holds = bool(np.array_equal(S, np.diag(diagonal)) and np.all(diagonal * x0[0] > 0))
    return certified("S_Delta is diagonal and opens every step: s_d x_d0 > 0", holds)


def wide(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    return certified("D >= 2 N", layer.channels >= 2 * layer.d_state, layer.channels - 2 * layer.d_state)


def rows_independent(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    stacked = np.vstack([layer.B_map(), layer.C_map()])
    return certified("the 2 N rows of S_B and S_C are independent", independent_rows(stacked))
