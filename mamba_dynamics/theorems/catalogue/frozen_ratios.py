"""Ratios of slowly diverging tokens freeze at values that depend on the initial tokens (theory 3.3)."""

import sympy as sp

from ..._layer import S6Layer
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import SLOW, scalar_case
from ..steps import Derivative, Identity, Inequality, Limit
from ..symbols import a, k, w
from .slow_divergence_bound import THEOREM as BOUND

DRIFT, RATIO = "slope of ln|x_l / x_1| in ln ln t", "|x_l / x_1|"
SHARE = "|s x| / (ln t + 3 ln ln t + ln(mu e^b / s^2))"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    if told.ratios is None:
        return (Expected("scenario", "slow_divergence", relation=Relation.EQUAL),)
    found: list[Expected] = []
    for token, ratio in enumerate(told.ratios):
        found += [
            Expected(DRIFT, 0.0, token),
            Expected(RATIO, 1.0, token, Relation.AT_LEAST, tolerance=1e-9),
            Expected(SHARE, float(ratio), token),
        ]
    return tuple(found)


_z, _own, _first, _before, _Delta, _d, _e = sp.symbols("z o f G D d e", positive=True)
_y = sp.Symbol("y", real=True)

STEPS = (
    Identity(
        says="With g_l = o + e^{-a D} G, G = g_{l-1}, f = g_1: d ln(x_l / x_1) / d ln x_1 = g_l / g_1 - 1 is the own "
        "term's share, less what the step takes away, plus the same of the token before: ...",
        left=(_own + sp.exp(-a * _Delta) * _before) / _first - 1,
        right=_own / _first - (1 - sp.exp(-a * _Delta)) * _before / _first + (_before / _first - 1),
    ),
    Inequality(
        says="... of which the second is at most a D G / f, and D <= e^{b - z_l}, z_l = |s x_l|.",
        smaller=1 - sp.exp(-a * _Delta),
        larger=a * _Delta,
        rises_from=(_Delta, sp.Integer(0)),
    ),
    Limit(
        says="A ratio 1 / (1 + d) below 1 cannot last: its own term (1 + d)^-2 e^{d z / (1 + d)} drives it up.",
        expression=(1 + _d) ** -2 * sp.exp(_d * _z / (1 + _d)),
        variable=_z,
        point=sp.oo,
        value=sp.oo,
        decades=(1.0, 2.0, 3.0, 4.0),
        domain={_d: (0.3, 0.9)},
    ),
    Inequality(
        says="Above 1, let z_l = z + d, d > 0, z = |s x_1|. Its step size is at least e^{-d} times token 1's: with w = "
        "e^{b - z} and e^{-d} = 1 / (1 + k), ln(1 + w / (1 + k)) >= ln(1 + w) / (1 + k). So o / f >= e^{-d}.",
        smaller=sp.log(1 + w) / (1 + k),
        larger=sp.log(1 + w / (1 + k)),
        rises_from=(w, sp.Integer(0)),
    ),
    Inequality(
        says="Together, and with G >= f (true of l - 1 = 1, and by induction of every l): g_l / g_1 - 1 >= e^{-d} - a "
        "D >= e^{-d} (1 - a e^{b - z}) =: e > 0 once a e^{b - z} < 1. In ln z the distance d then grows at the rate "
        "d' = (z + d) g_l / g_1 - z, which exceeds d: ...",
        smaller=_d,
        larger=(_z + _d) * (1 + _e) - _z,
        gap=_e * (_z + _d),
        strict=True,
    ),
    Derivative(
        says="... it is ahead of d_0 e^y, y = ln z - ln z_0, the solution of d' = d: d grows at least in proportion "
        "to z, so c_l = lim (1 + d / z) > 1, strictly.",
        function=_d * sp.exp(_y),
        variable=_y,
        equals=_d * sp.exp(_y),
    ),
    Limit(
        says="For a ratio 1 + k > 1 the own term's share is about (1 + k)^2 e^{-k z}, and D smaller still: every part "
        "of the first step, for l and the tokens before it, vanishes faster than any power of z.",
        expression=(1 + k) ** 2 * sp.exp(-k * _z) * _z**2,
        variable=_z,
        point=sp.oo,
        value=sp.Integer(0),
        decades=(1.0, 2.0, 3.5, 4.0),
        domain={k: (0.5, 3.0)},
    ),
    Limit(
        says="So their integral against d ln z converges (its tail beyond z is below z^{-1}), and ln(x_l / x_1) has a "
        "finite limit.",
        expression=1 / _z,
        variable=_z,
        point=sp.oo,
        value=sp.Integer(0),
    ),
)

THEOREM = Theorem(
    name="frozen_ratios",
    title="Frozen ratios",
    origin=Origin.SHARP,
    section="3.3",
    statement=(
        r"Under slow divergence with every token non-zero, $x_l/x_1 \to c_l$ with $1 < c_l < \infty$ for $l \ge 2$ "
        r"depending on the initial data, so $|s\,x_l|/\ln t \to c_l$."
    ),
    pool=SLOW,
    hypotheses=BOUND.hypotheses,
    conclusion=conclusion,
    steps=STEPS,
    breaks=BOUND.breaks,
    weaker=(
        WeakerClaim(
            claim="all tokens grow alike, c_l = 1",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, -1.0, 1.0, 0.0, [1.0, 1.0, 1.0, 1.0]),
            expected=(Expected(SHARE, 1.0, 1),),
            because="the ratio is fixed while the step sizes are still open, at 2.216 here",
        ),
        WeakerClaim(
            claim="ratios go on growing, like ln t",
            origin=Origin.PAPER,
            case=scalar_case(1.0, -1.0, 1.0, 0.0, [1.0, 1.0, 1.0, 1.0]),
            expected=(Expected(DRIFT, 1.0, 1),),
            because="once large, tokens shut their step sizes and nothing moves one against the other",
        ),
    ),
)
