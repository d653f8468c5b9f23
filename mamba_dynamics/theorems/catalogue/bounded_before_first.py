"""Tokens before the first to blow up have finite limits at the blow-up time (theory 3.4)."""

import sympy as sp

from ..._layer import S6Layer
from ..base import FloatArray
from ..contract import Expected, Origin, Theorem, Told, WeakerClaim
from ..pools import FAST_LATER, scalar_case
from ..steps import Derivative, Inequality, Limit
from ..symbols import SOFTPLUS, S, a, b, g, m, mu, s, w, x, y
from .fast_divergence_existence import BREAKS, HYPOTHESES, POWER
from .well_posedness import masked_field


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return tuple(Expected(POWER, 0.0, token) for token in range(told.first_token or 0))


_field = mu * x * (x**2 * SOFTPLUS(s * x + b) + sp.exp(-a * SOFTPLUS(s * x + b)) * g)

STEPS = (
    Derivative(
        says="The first l* - 1 tokens form a closed system: a later token y would enter their fields with the mask's "
        "entry m = 0 as a factor.",
        function=masked_field(x, y, m),
        variable=y,
        equals=m * sp.diff(masked_field(x, y, sp.Integer(1)), y),
    ),
    Inequality(
        says="As mu > 0 every |x_l| rises: dx/dt >= 0 for the size x of a token of either sign of s x. So it has a "
        "limit at T*, finite or infinite; for l < l* it is not infinite, as l* is the first index that becomes "
        "infinite.",
        smaller=sp.Integer(0),
        larger=_field,
    ),
    Inequality(
        says="With finite limits the drives are bounded up to T*: where s x > 0 a token's own term is at most that at "
        "its limit x + w, ...",
        smaller=x**2 * SOFTPLUS(S * x + b),
        larger=(x + w) ** 2 * SOFTPLUS(S * (x + w) + b),
        rises_from=(w, sp.Integer(0)),
    ),
    Inequality(
        says="... where s x < 0 at most (x + w)^2 Delta(0) ...",
        smaller=x**2 * SOFTPLUS(b - S * x),
        larger=(x + w) ** 2 * SOFTPLUS(b),
        rises_from=(S, sp.Integer(0)),
    ),
    Inequality(
        says="... and a token passes on at most what it has received: by induction g_l is at most the sum of these "
        "bounds.",
        smaller=sp.exp(-a * w) * g,
        larger=g,
        rises_from=(a, sp.Integer(0)),
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
