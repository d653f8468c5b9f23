"""If q has one sign on the orthant of token 1, that sign decides its fate (theory 4.5)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..steps import Derivative, Identity, Inequality, Limit
from ..symbols import SOFTPLUS, c, delta, k, t, x, y
from ..vector_hypotheses import ONE_CHANNEL, copositive_sign, one_signed_orthant, some_active_coordinate
from ..vector_pools import ORTHANT, matrix_case
from .eigenvalue_rule import GOES


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (Expected(GOES, "infinity" if copositive_sign(layer, x0) > 0 else "zero", relation=Relation.EQUAL),)


_p, _r, _m, _u0, _z = sp.symbols("p r m u_0 z", positive=True)
_b = sp.Symbol("b", real=True)
_off = c - sp.sqrt(_p) * sp.sqrt(_r)
_u = _u0 / (1 + 2 * _m * delta * _u0 * t)

STEPS = (
    Identity(
        says="Strict copositivity is weaker than definiteness: on a quadrant p x^2 + 2 (c - sqrt(p r)) x y + r y^2 is "
        "a square and 2 c x y.",
        left=_p * x**2 + 2 * _off * x * y + _r * y**2,
        right=(sp.sqrt(_p) * x - sp.sqrt(_r) * y) ** 2 + 2 * c * x * y,
    ),
    Inequality(
        says="So q > 0 there for c > 0 however large c, where det = p r - (c - sqrt(p r))^2 may be negative. By "
        "compactness of the orthant's part of the sphere, q(x) >= m |x|^2 with some m > 0.",
        smaller=sp.Integer(0),
        larger=_p * x**2 + 2 * _off * x * y + _r * y**2,
        gap=(sp.sqrt(_p) * x - sp.sqrt(_r) * y) ** 2 + 2 * c * x * y,
        strict=True,
    ),
    Inequality(
        says="Token 1 never leaves its orthant (4.1), and every step size is positive, so with delta their least value "
        "so far, d|x|^2 / dt = 2 q sum_d Delta_d x_d^2 is at least 2 m delta |x|^4 ...",
        smaller=2 * _m * (x**2 + y**2) * delta * (x**2 + y**2),
        larger=2 * (_m * (x**2 + y**2) + k) * (delta * x**2 + (delta + c) * y**2),
    ),
    Inequality(
        says="... and on a bounded set that delta is positive, softplus(b - S R) on |x| <= R: |x_1| leaves every "
        "bounded set, |x_1| -> infinity.",
        smaller=sp.Integer(0),
        larger=SOFTPLUS(_b - _z),
        gap=sp.log(1 + sp.exp(_b - _z)),
        strict=True,
    ),
    Derivative(
        says="If -q >= m |x|^2 instead, |x| shrinks, delta stays bounded below, and |x|^2 is at most the solution of "
        "u' = -2 m delta u^2, ...",
        function=_u,
        variable=t,
        equals=-2 * _m * delta * _u**2,
    ),
    Limit(says="... which tends to zero.", expression=_u, variable=t, point=sp.oo, value=sp.Integer(0)),
)

_INDEFINITE = [[0.1, 2.0], [2.0, 0.1]]
_ZERO = np.zeros((2, 2))

THEOREM = Theorem(
    name="orthant_criterion",
    title="The orthant criterion",
    origin=Origin.NEW,
    section="4.5",
    statement=(
        r"Let $\sigma$ be the sign pattern of $x_{10}$. If $\mathrm{diag}(\sigma)\,\mathrm{sym}(M)\,"
        r"\mathrm{diag}(\sigma)$ is strictly copositive, $|x_1| \to \infty$; if its negative is, $x_1 \to 0$."
    ),
    pool=ORTHANT,
    hypotheses=hypotheses.all_of(
        hypotheses.several_channels, hypotheses.one_token, some_active_coordinate, one_signed_orthant
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D >= 2": ONE_CHANNEL,
        "L = 1": matrix_case(_INDEFINITE, _ZERO, 0.0, np.ones((2, 2))),
        "x_0 is not zero": matrix_case(_INDEFINITE, _ZERO, 0.0, [0.0, 0.0]),
        "q has one sign on the orthant of x_0 (strict copositivity)": matrix_case(
            _INDEFINITE, np.diag([1.0, 2.0]), 0.0, [1.0, -1.0]
        ),
    },
    weaker=(
        WeakerClaim(
            claim="without definiteness of sym(M) nothing can be said for a whole set of tokens",
            origin=Origin.NAIVE,
            case=matrix_case(_INDEFINITE, -np.eye(2), 0.0, [1.0, 0.1]),
            expected=(Expected(GOES, "zero", relation=Relation.EQUAL),),
            because="sym(M) is indefinite, but q > 0 on the positive quadrant: every token 1 from there diverges",
        ),
    ),
)
