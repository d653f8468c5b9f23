"""Every slowly diverging token is Theta(ln t), the first with a known second-order expansion (theory 3.3)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from ..base import FloatArray
from ..contract import Expected, Origin, Theorem, Told, WeakerClaim
from ..pools import SLOW, scalar_case
from ..steps import Derivative, Identity, Limit
from ..symbols import SOFTPLUS, S, b, mu, w, x
from .slow_divergence_bound import SLOPE
from .slow_divergence_bound import THEOREM as BOUND

REMAINDER = "|s x| - (ln t + 3 ln ln t + ln(mu e^b / s^2))"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    first = (Expected(REMAINDER, 0.0, 0), Expected(f"slope of {REMAINDER} in ln ln t", 0.0, 0))
    return (*first, *(Expected(SLOPE, 1.0, token) for token in range(len(x0))))


_z, _y = sp.symbols("z y", positive=True)
_C = sp.Symbol("C", real=True)

STEPS = (
    Identity(
        says="z = |s x_1| obeys z' = (mu / s^2) z^3 softplus(b - z).",
        left=S * (mu * x**3 * SOFTPLUS(b - S * x)),
        where={x: _z / S},
        right=mu / S**2 * _z**3 * SOFTPLUS(b - _z),
    ),
    Limit(
        says="softplus(b - z) ~ e^{b - z}, so t ~ (s^2 / mu) e^{-b} int e^z z^{-3} dz.",
        expression=sp.log(1 + w) / w,
        variable=w,
        point=sp.Integer(0),
        value=sp.Integer(1),
    ),
    Derivative(
        says="The integral is e^z z^{-3} to leading order: that has the derivative e^z z^{-3} (1 - 3 / z) ...",
        function=sp.exp(_z) * _z**-3,
        variable=_z,
        equals=sp.exp(_z) * _z**-3 * (1 - 3 / _z),
    ),
    Limit(
        says="... whose last factor tends to 1. Hence ln t = z - 3 ln z - ln(mu e^b / s^2) + o(1).",
        expression=1 - 3 / _z,
        variable=_z,
        point=sp.oo,
        value=sp.Integer(1),
    ),
    Limit(
        says="z = y + 3 ln y + C solves y = z - 3 ln z - C up to o(1), y = ln t: the expansion.",
        expression=3 * sp.log(_y) - 3 * sp.log(_y + 3 * sp.log(_y) + _C),
        variable=_y,
        point=sp.oo,
        value=sp.Integer(0),
    ),
    Limit(
        says="So d ln z / d ln ln t tends to 1: token 1 is Theta(ln t); the others keep a finite ratio to it (see "
        "there).",
        expression=_y * (1 + 3 / _y) / (_y + 3 * sp.log(_y) + _C),
        variable=_y,
        point=sp.oo,
        value=sp.Integer(1),
    ),
)

THEOREM = Theorem(
    name="slow_divergence_law",
    title="Slow divergence is logarithmic",
    origin=Origin.SHARP,
    section="3.3",
    statement=(
        r"If $\mu > 0$ and $s\,x_{l0} < 0$ for every token, then every token is $\Theta(\ln t)$, and "
        r"$|s\,x_1| = \ln t + 3\ln\ln t + \ln(\mu e^b/s^2) + o(1)$."
    ),
    pool=SLOW,
    hypotheses=BOUND.hypotheses,
    conclusion=conclusion,
    steps=STEPS,
    breaks=BOUND.breaks,
    weaker=(
        WeakerClaim(
            claim="|s x_1| = ln t + O(1)",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, -1.0, 1.0, 0.0, np.ones(4)),
            expected=(Expected("slope of |s x| - ln t in ln ln t", 0.0, 0),),
            because="the cube in z^3 e^{-z} adds 3 ln ln t",
        ),
    ),
)
