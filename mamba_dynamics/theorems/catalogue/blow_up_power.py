"""The first token to blow up does so like (T* - t)^(-1/3), with a known constant (theory 3.4)."""

import sympy as sp

from ..._layer import S6Layer
from .. import fast_divergence
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Theorem, Told, WeakerClaim
from ..pools import FAST, scalar_case
from ..steps import Derivative, Identity, Limit
from ..symbols import S, a, b, g, mu, w, x
from .fast_divergence_existence import BREAKS, HYPOTHESES, POWER, UNTOLD

CONSTANT = "3 mu |s| (T* - t) |x|^3"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    first = told.first_token
    if first is None:
        return UNTOLD
    return (Expected(POWER, fast_divergence.power(ScalarSystem.of(layer, x0)), first), Expected(CONSTANT, 1.0, first))


_r = sp.Symbol("r", positive=True)

STEPS = (
    Limit(
        says="Far out the step size is linear: Delta(x) / (S x) tends to 1 (in the form S x + b + ln(1 + e^{-S x - "
        "b})).",
        expression=(S * x + b + sp.log(1 + sp.exp(-S * x - b))) / (S * x),
        variable=x,
        point=sp.oo,
        value=sp.Integer(1),
    ),
    Limit(
        says="The drive of the earlier tokens, bounded by some g, drowns: e^{-a Delta} g / (x^2 Delta) tends to 0.",
        expression=sp.exp(-a * S * x) * g / (S * x**3),
        variable=x,
        point=sp.oo,
        value=sp.Integer(0),
        decades=(1.0, 2.0, 3.0, 4.0),
    ),
    Derivative(
        says="So x^-3 has the derivative -3 mu |s| (1 + o(1)); of w - 3 mu S r, r a time, it is -3 mu S exactly ...",
        function=w - 3 * mu * S * _r,
        variable=_r,
        equals=-3 * mu * S,
    ),
    Identity(
        says="... which integrated back from T*, where x^-3 = 0, gives x^-3 = 3 mu S (T* - t): with r = T* - t the "
        "profile (3 mu S r)^(-1/3) satisfies 3 mu S r x^3 = 1.",
        left=3 * mu * S * _r * x**3,
        where={x: (3 * mu * S * _r) ** sp.Rational(-1, 3)},
        right=sp.Integer(1),
    ),
    Derivative(
        says="The profile solves dx/dt = mu S x^4, that is dx/dr = -mu S x^4.",
        function=(3 * mu * S * _r) ** sp.Rational(-1, 3),
        variable=_r,
        equals=-mu * S * ((3 * mu * S * _r) ** sp.Rational(-1, 3)) ** 4,
    ),
)

THEOREM = Theorem(
    name="blow_up_power",
    title="The power of the first blow-up",
    origin=Origin.SHARP,
    section="3.4",
    statement=(
        r"Let $T^*$ be the first blow-up time and $l^*$ the first index that blows up at it ($s \neq 0$). Then "
        r"$|x_{l^*}(t)| \sim (3\mu|s|(T^*-t))^{-1/3}$."
    ),
    pool=FAST,
    hypotheses=HYPOTHESES,
    conclusion=conclusion,
    steps=STEPS,
    breaks=BREAKS,
    weaker=(
        WeakerClaim(
            claim="the blow-up is like (T* - t)^(-1/2), as for a constant step size",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [1.0, 1.0, 1.0, 1.0]),
            expected=(Expected(POWER, -0.5, 3),),
            because="the growing token enlarges its own step size, which makes the field quartic",
        ),
    ),
)
