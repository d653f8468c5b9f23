"""Ratios of slowly diverging tokens freeze at values that depend on the initial tokens (theory 3.3)."""

import sympy as sp

from ..._layer import S6Layer
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import SLOW, scalar_case
from ..steps import Identity, Inequality, Limit
from ..symbols import a, k
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


_z, _own, _first, _Delta, _d = sp.symbols("z o f D d", positive=True)

STEPS = (
    Identity(
        says="With g_2 = o + e^{-a D} f, f = g_1: d ln(x_2 / x_1) / d ln x_1 = g_2 / g_1 - 1 = o / f - (1 - e^{-a D}).",
        left=(_own + sp.exp(-a * _Delta) * _first) / _first - 1,
        right=_own / _first - (1 - sp.exp(-a * _Delta)),
    ),
    Inequality(
        says="The second part is at most a D, and D <= e^{b - |s x_2|} ...",
        smaller=1 - sp.exp(-a * _Delta),
        larger=a * _Delta,
        rises_from=(_Delta, sp.Integer(0)),
    ),
    Limit(
        says="... and for a ratio x_2 / x_1 = 1 + k > 1 the first part is about (1 + k)^2 e^{-k z}: both vanish "
        "faster than any power of z = |s x_1|.",
        expression=(1 + k) ** 2 * sp.exp(-k * _z) * _z**2,
        variable=_z,
        point=sp.oo,
        value=sp.Integer(0),
        decades=(1.0, 2.0, 3.5, 4.0),
        domain={k: (0.5, 3.0)},
    ),
    Limit(
        says="So their integral against d ln z converges (its tail beyond z is below z^{-1}), and ln(x_2 / x_1) has a "
        "finite limit.",
        expression=1 / _z,
        variable=_z,
        point=sp.oo,
        value=sp.Integer(0),
    ),
    Limit(
        says="A ratio 1 / (1 + d) below 1 cannot last: its own term (1 + d)^-2 e^{d z / (1 + d)} drives it up. Hence "
        "c_l >= 1.",
        expression=(1 + _d) ** -2 * sp.exp(_d * _z / (1 + _d)),
        variable=_z,
        point=sp.oo,
        value=sp.oo,
        decades=(1.0, 2.0, 3.0, 4.0),
        domain={_d: (0.3, 0.9)},
    ),
)

THEOREM = Theorem(
    name="frozen_ratios",
    title="Frozen ratios",
    origin=Origin.SHARP,
    section="3.3",
    statement=(
        r"Under slow divergence with every token non-zero, $x_l/x_1 \to c_l$ with $1 \le c_l < \infty$ depending on "
        r"the initial data, so $|s\,x_l|/\ln t \to c_l$."
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
