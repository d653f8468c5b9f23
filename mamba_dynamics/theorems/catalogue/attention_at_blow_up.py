"""At a blow-up every later token comes to attend to the token that blows up (new; completes theory 3.4)."""

import sympy as sp

from ..._layer import S6Layer
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import FAST, scalar_case
from ..steps import Identity, Limit
from ..symbols import S, a, g, mu, x
from .fast_divergence_existence import BREAKS, HYPOTHESES, UNTOLD

SHARE, CONSTANT = "share of token l* in row l", "3 (T* - t) P_ll"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    first = told.first_token
    if first is None:
        return UNTOLD
    rows = [l for l in range(first, len(x0)) if x0[l] != 0]  # noqa: E741
    shares = (Expected(SHARE, 1.0, l, Relation.EQUAL, 1e-6) for l in rows)  # noqa: E741
    return (Expected(CONSTANT, 1.0, first), *shares)


_r, _u = sp.symbols("r u", positive=True)

STEPS = (
    Identity(
        says="P_l*l* = mu x^2 Delta ~ mu S x^3 with x^3 = 1 / (3 mu S r), r = T* - t: 3 r P_l*l* tends to 1.",
        left=3 * _r * mu * S * x**3,
        where={x: (3 * mu * S * _r) ** sp.Rational(-1, 3)},
        right=sp.Integer(1),
    ),
    Limit(
        says="In row l* an earlier, bounded token j receives at most mu x x_j Delta_j e^{-a Delta}, Delta ~ S x: "
        "nothing, against mu S x^3.",
        expression=g * x * sp.exp(-a * S * x) / (S * x**3),
        variable=x,
        point=sp.oo,
        value=sp.Integer(0),
        decades=(1.0, 2.0, 3.0, 4.0),
    ),
    Limit(
        says="In a later row the decay since l* is a power of ln 1/r at worst, since Delta_k there is at most an "
        "iterated logarithm: (ln 1/r)^2 against x_l* = r^(-1/3) keeps l* in front of every later column.",
        expression=_r ** sp.Rational(1, 3) * sp.log(1 / _r) ** 2,
        variable=_r,
        point=sp.Integer(0),
        value=sp.Integer(0),
    ),
)

THEOREM = Theorem(
    name="attention_at_blow_up",
    title="Hidden attention at a blow-up",
    origin=Origin.NEW,
    section="3.4",
    statement=(
        r"As $t \to T^*$, $3(T^*-t)\,P_{l^*l^*} \to 1$, and row-normalised the attention of every row $l \ge l^*$ (of "
        r"a non-zero token) concentrates on token $l^*$."
    ),
    pool=FAST,
    hypotheses=HYPOTHESES,
    conclusion=conclusion,
    steps=STEPS,
    breaks=BREAKS,
    weaker=(
        WeakerClaim(
            claim="the sink is always token 1",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [0.5, 3.0, 1.5, 0.1]),
            expected=(Expected("share of token 1 in row l", 1.0, 2, Relation.EQUAL, 1e-2),),
            because="the sink is the token that blows up first, here token 2",
        ),
    ),
)
