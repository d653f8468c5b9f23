"""The sign of all tokens and of S_Delta can be flipped together (theory 3)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import ANY, scalar_case
from ..steps import Derivative, Identity
from ..symbols import SOFTPLUS, delta, mu, s, t, x
from .scaling_symmetry import ROUNDING, field


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (Expected("defect of the flip symmetry", 0.0, relation=Relation.EQUAL, tolerance=ROUNDING),)


_u, _v = sp.symbols("u v", real=True)

STEPS = (
    Identity(
        says="The field is odd under the flip: f(-x; -s) = -f(x; s) for a token that others drive, as only s x and the "
        "squares of the others enter; so -x(t) solves the flipped system.",
        left=field(_u, _v, s, mu),
        where={_u: -_u, _v: -_v, s: -s},
        right=-field(_u, _v, s, mu),
    ),
    Derivative(
        says="A solution of one system is one of the other: -x (1 - 2 mu delta x^2 t)^(-1/2), for s = 0, has the "
        "field of -x as its speed.",
        function=-x / sp.sqrt(1 + 2 * mu * delta * x**2 * t),
        variable=t,
        equals=-mu * delta * (-x / sp.sqrt(1 + 2 * mu * delta * x**2 * t)) ** 3,
    ),
    Identity(
        says="The sign of s alone does matter: for b = 0 the field of token 1 changes by mu s x^4, since softplus(z) - "
        "softplus(-z) = z.",
        left=mu * x**3 * (SOFTPLUS(s * x) - SOFTPLUS(-s * x)),
        right=mu * s * x**4,
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
