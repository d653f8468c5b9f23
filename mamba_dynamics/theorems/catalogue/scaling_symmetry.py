"""Tokens, S_Delta and mu can be rescaled together, and |mu| is only a unit of time (theory 3)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import ANY, scalar_case
from ..steps import Identity
from ..symbols import SOFTPLUS, a, b, c, mu, s

ROUNDING = 1e-12


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (
        Expected("defect of the scaling symmetry", 0.0, relation=Relation.EQUAL, tolerance=ROUNDING),
        Expected("defect of the time scale 1 / |mu|", 0.0, relation=Relation.EQUAL, tolerance=ROUNDING),
    )


def field(first: sp.Expr, second: sp.Expr, s: sp.Expr, mu: sp.Expr) -> sp.Expr:
    """dx_2/dt of two tokens."""
    own, earlier = SOFTPLUS(s * second + b), SOFTPLUS(s * first + b)
    return mu * second * (second**2 * own + sp.exp(-a * own) * first**2 * earlier)


_u, _v, _rate = sp.symbols("u v r", real=True)

STEPS = (
    Identity(
        says="The field of a driven token scales like the token itself: f(c x; s / c, mu / c^2) = c f(x; s, mu).",
        left=field(c * _u, c * _v, s / c, mu / c**2),
        right=c * field(_u, _v, s, mu),
    ),
    Identity(
        says="The field is linear in mu, so t mu is a unit of time.",
        left=_rate / mu,
        where={_rate: field(_u, _v, s, mu)},
        right=field(_u, _v, s, sp.Integer(1)),
    ),
    Identity(
        says="Choosing c = |s| leaves s = 1 (or -1): only s x_0, a, b and mu / s^2, the unit of time, remain.",
        left=field(c * _u, c * _v, sp.Integer(1), mu / c**2),
        right=c * field(_u, _v, c, mu),
    ),
)

THEOREM = Theorem(
    name="scaling_symmetry",
    title="Scaling symmetry",
    origin=Origin.SHARP,
    section="3",
    statement=(
        r"For $D = 1$ and $\mu \neq 0$ the ODE is invariant under $(x, s, \mu) \to (c\,x, s/c, \mu/c^2)$, and $\mu \to "
        r"\mu/|\mu|$ only rescales time by $|\mu|$: the dynamics depend on $a$, $b$, the sign of $\mu$ and the "
        r"rescaled tokens $s\,x_0$."
    ),
    pool=ANY,
    hypotheses=hypotheses.all_of(hypotheses.one_channel, hypotheses.mu_not_zero),
    conclusion=conclusion,
    steps=STEPS,
    breaks={"D = 1": hypotheses.TWO_CHANNELS, "mu != 0": scalar_case(0.0, 1.0, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2])},
    weaker=(
        WeakerClaim(
            claim="the sign of s does not matter",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
            expected=(Expected("defect of s -> -s alone", 0.0, relation=Relation.EQUAL, tolerance=ROUNDING),),
            because="s x > 0 enlarges the step size of a growing token, s x < 0 shrinks it",
        ),
    ),
)
