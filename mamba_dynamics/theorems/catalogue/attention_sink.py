"""Under slow divergence every token comes to attend to token 1 alone: an attention sink (theory 3.3)."""

import sympy as sp

from ..._layer import S6Layer
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import SLOW, scalar_case
from ..steps import Identity, Limit
from ..symbols import SOFTPLUS, S, a, b, k, mu, x
from .slow_divergence_bound import THEOREM as BOUND

SHARE, CONSTANT, DIAGONAL = "share of token 1 in row l", "|P_l1| t ln t", "slope of ln|P_ll| in ln t"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    if told.ratios is None:
        return (Expected("scenario", "slow_divergence", relation=Relation.EQUAL),)
    found: list[Expected] = []
    for token, ratio in enumerate(told.ratios):
        found.append(Expected(CONSTANT, float(ratio), token))
        found.append(Expected(SHARE, 1.0, token, Relation.EQUAL, 1e-6))
        if token:
            found.append(Expected(DIAGONAL, -float(ratio), token))
    return tuple(found)


_z, _y = sp.symbols("z y", positive=True)
_velocity, _first, _passed = sp.symbols("v Delta_1 D", positive=True)

STEPS = (
    Identity(
        says="P_11 = mu x_1^2 Delta(x_1) is the speed of ln x_1 itself.",
        left=_velocity / x,
        where={_velocity: mu * x**3 * SOFTPLUS(b - S * x)},
        right=mu * x**2 * SOFTPLUS(b - S * x),
    ),
    Limit(
        says="x_1 grows like ln t, y = ln t: d ln ln t / dt = 1 / (t ln t), so P_11 t ln t tends to 1 (with z = y + 3 "
        "ln y, t P_11 = z'(y) / z).",
        expression=_y * (1 + 3 / _y) / (_y + 3 * sp.log(_y)),
        variable=_y,
        point=sp.oo,
        value=sp.Integer(1),
        decades=(2.0, 6.0, 12.0, 24.0),
    ),
    Limit(
        says="P_l1 = mu x_l x_1 Delta_1 e^{-a D}, D the step sizes passed since, which tend to zero: P_l1 / P_11 "
        "tends to x_l / x_1 = c_l.",
        expression=(mu * k * x * x * _first * sp.exp(-a * _passed)) / (mu * x * x * _first),
        variable=_passed,
        point=sp.Integer(0),
        value=k,
    ),
    Limit(
        says="A later column j has Delta_j ~ e^{b - c_j z} instead: against Delta_1 ~ e^{b - z} it vanishes, as c_j > "
        "1 (frozen_ratios).",
        expression=(1 + k) * sp.exp(-(1 + k) * _z) / sp.exp(-_z),
        variable=_z,
        point=sp.oo,
        value=sp.Integer(0),
        decades=(0.5, 1.0, 2.0, 3.0),
        domain={k: (0.3, 2.0)},
    ),
)

THEOREM = Theorem(
    name="attention_sink",
    title="The attention sink of slow divergence",
    origin=Origin.NEW,
    section="3.3",
    statement=(
        r"Under slow divergence with every token non-zero, $P_{l1} \sim c_l/(t\ln t)$ and $P_{lj} = t^{-c_j}$ up to "
        r"logarithms for $j \ge 2$, $c_j = \lim x_j/x_1$: row-normalised, every row concentrates on token 1."
    ),
    pool=SLOW,
    hypotheses=BOUND.hypotheses,
    conclusion=conclusion,
    steps=STEPS,
    breaks=BOUND.breaks,
    weaker=(
        WeakerClaim(
            claim="the attention of a row is spread evenly over the tokens it sees",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, -1.0, 1.0, 0.0, [1.0, 1.0, 1.0, 1.0]),
            expected=(Expected(SHARE, 0.25, 3, Relation.EQUAL, 1e-2),),
            because="all of it goes to token 1, whose step size closes most slowly",
        ),
    ),
)
