"""The sign of all tokens and of S_Delta can be flipped together (theory 3)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import ANY, scalar_case
from ..steps import Identity
from ..symbols import SOFTPLUS, b, mu, s
from .scaling_symmetry import ROUNDING, field


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (Expected("defect of the flip symmetry", 0.0, relation=Relation.EQUAL, tolerance=ROUNDING),)


_u, _v = sp.symbols("u v", real=True)

STEPS = (
    Identity(
        says="The step size depends on s x alone, which the flip leaves as it is.",
        left=SOFTPLUS(s * _u + b),
        where={_u: -_u, s: -s},
        right=SOFTPLUS(s * _u + b),
    ),
    Identity(
        says="What a token receives is even in the earlier tokens: only their squares and step sizes enter.",
        left=field(_u, _v, sp.Integer(0), mu),
        where={_u: -_u},
        right=field(_u, _v, sp.Integer(0), mu),
    ),
    Identity(
        says="So the field is odd under the flip: f(-x; -s) = -f(x; s), and -x(t) solves the flipped system.",
        left=field(_u, _v, s, mu),
        where={_u: -_u, _v: -_v, s: -s},
        right=-field(_u, _v, s, mu),
    ),
)

THEOREM = Theorem(
    name="flip_symmetry",
    title="Flip symmetry",
    origin=Origin.SHARP,
    section="3",
    statement=r"For $D = 1$ the ODE is invariant under $(x, s) \to (-x, -s)$: only the signs of $s\,x_{l0}$ matter.",
    pool=ANY,
    hypotheses=hypotheses.all_of(hypotheses.one_channel),
    conclusion=conclusion,
    steps=STEPS,
    breaks={"D = 1": hypotheses.TWO_CHANNELS},
    weaker=(
        WeakerClaim(
            claim="the sign of the tokens alone does not matter",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
            expected=(Expected("defect of s -> -s alone", 0.0, relation=Relation.EQUAL, tolerance=ROUNDING),),
            because="flipping the tokens without S_Delta turns fast divergence into slow divergence",
        ),
    ),
)
