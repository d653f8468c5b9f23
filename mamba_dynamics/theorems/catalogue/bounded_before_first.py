"""Tokens before the first to blow up have finite limits at the blow-up time (theory 3.4)."""

import sympy as sp

from ..._layer import S6Layer
from ..base import FloatArray
from ..contract import Expected, Origin, Theorem, Told, WeakerClaim
from ..pools import FAST_LATER, scalar_case
from ..steps import Derivative, Identity, Limit
from ..symbols import SOFTPLUS, a, b, delta, g, mu, s, t, w, x, y
from .fast_divergence_existence import BREAKS, HYPOTHESES, POWER


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return tuple(Expected(POWER, 0.0, token) for token in range(told.first_token or 0))


_field = mu * x * (x**2 * SOFTPLUS(s * x + b) + sp.exp(-a * SOFTPLUS(s * x + b)) * g)
_r = sp.Symbol("r", positive=True)

STEPS = (
    Derivative(
        says="The first l* - 1 tokens form a closed system: a later token y does not enter their fields.",
        function=_field,
        variable=y,
        equals=sp.Integer(0),
    ),
    Identity(
        says="That system has its own maximal time of existence, T_1 = w / (2 mu delta) for one token with constant "
        "step size delta and w = x_0^-2; by the definition of l* it exceeds T*: here x^-2 = w - 2 mu delta t vanishes "
        "at T_1.",
        left=2 * mu * delta * t,
        where={t: w / (2 * mu * delta)},
        right=w,
    ),
    Limit(
        says="On the closed interval up to T* = T_1 - r it is continuous, so bounded: x^-2 tends to 2 mu delta r > 0.",
        expression=2 * mu * delta * (_r + y),
        variable=y,
        point=sp.Integer(0),
        value=2 * mu * delta * _r,
    ),
    Derivative(
        says="Near T* such a token moves at a bounded speed, so ln|x| changes by O(T* - t): with x = w + g y, y = T* "
        "- t, the derivative of ln x in y is g / (w + g y) ...",
        function=sp.log(w + g * y),
        variable=y,
        equals=g / (w + g * y),
    ),
    Limit(
        says="... and against ln y the slope is y g / (w + g y), which vanishes: no power of T* - t.",
        expression=y * g / (w + g * y),
        variable=y,
        point=sp.Integer(0),
        value=sp.Integer(0),
    ),
)

THEOREM = Theorem(
    name="bounded_before_first",
    title="Tokens before the first blow-up stay bounded",
    origin=Origin.SHARP,
    section="3.4",
    statement=r"Every token $l < l^*$ is bounded on $[0, T^*]$: its own, later, blow-up lies beyond $T^*$.",
    pool=FAST_LATER,
    hypotheses=HYPOTHESES,
    conclusion=conclusion,
    steps=STEPS,
    breaks=BREAKS,
    weaker=(
        WeakerClaim(
            claim="every token with s x_l0 > 0 is infinite at T*",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [1.0, 1.0, 1.0, 1.0]),
            expected=(Expected(POWER, -1 / 3, 2),),
            because="token 4 blows up first, and tokens 1 to 3 do not depend on it",
        ),
    ),
)
