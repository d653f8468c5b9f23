"""Tokens are uniquely determined, keep their signs, and never see later tokens (theory 3)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import ANY, scalar_case
from ..steps import Derivative, Identity, Inequality
from ..symbols import SOFTPLUS, a, b, g, m, mu, s, x, y


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (
        Expected("dx_l/dt where x_l = 0", 0.0, relation=Relation.EQUAL, tolerance=0.0),
        Expected("change of dx_l/dt by later tokens", 0.0, relation=Relation.EQUAL, tolerance=0.0),
        Expected("gap between logarithmic and plain integration", 0.0, relation=Relation.EQUAL, tolerance=1e-9),
    )


_z = sp.Symbol("z", real=True)
_own = mu * x**3 * SOFTPLUS(s * x + b)
_driven = mu * x * (x**2 * SOFTPLUS(s * x + b) + sp.exp(-a * SOFTPLUS(s * x + b)) * g)

_step = SOFTPLUS(s * y + b)


def masked_field(first: sp.Expr, later: sp.Expr, mask: sp.Expr) -> sp.Expr:
    """dx_1/dt of two tokens by the dense formula, `mask` the entry of the mask above the diagonal."""
    elapsed = -SOFTPLUS(s * later + b)
    seen = mask * mu * first * later * SOFTPLUS(s * later + b) * sp.exp(-a * elapsed)
    return mu * first**2 * SOFTPLUS(s * first + b) * first + seen * later


STEPS = (
    Derivative(
        says="softplus has the logistic function as its derivative, so the vector field is real-analytic.",
        function=SOFTPLUS(_z),
        variable=_z,
        equals=1 / (1 + sp.exp(-_z)),
    ),
    Inequality(
        says="The logistic function stays below 1: the step size is Lipschitz with constant |s|, and the field "
        "locally Lipschitz, so that a solution is unique until some token leaves every bounded set.",
        smaller=1 / (1 + sp.exp(-_z)),
        larger=sp.Integer(1),
        gap=sp.exp(-_z) / (1 + sp.exp(-_z)),
        strict=True,
    ),
    Identity(
        says="On the hyperplane x_l = 0 the field of token l vanishes whatever the drive g of the earlier tokens, so "
        "the hyperplane is invariant and by uniqueness no solution crosses it: signs are kept, zeros stay.",
        left=_driven,
        where={x: sp.Integer(0)},
        right=sp.Integer(0),
    ),
    Derivative(
        says="A later token y would enter the field of token x through P_12 = m mu x y Delta(y) e^{-a (tau_1 - "
        "tau_2)}, tau_l the step sizes up to l, and through nothing else: the derivative in y has the mask's entry m "
        "as a factor, and m = 0 above the diagonal.",
        function=masked_field(x, y, m),
        variable=y,
        equals=m * mu * x * y * sp.exp(a * _step) * (2 * _step + y * s * (1 + a * _step) / (1 + sp.exp(-s * y - b))),
    ),
    Identity(
        says="Token 1 is a scalar equation: its field is the driven field with g = 0.",
        left=_driven,
        where={g: sp.Integer(0)},
        right=_own,
    ),
)

THEOREM = Theorem(
    name="well_posedness",
    title="Well-posedness, causality and invariant signs",
    origin=Origin.SHARP,
    section="3",
    statement=(
        r"For $D = 1$ the token ODE $\dot x_l = \mu x_l g_l$, $g_l = x_l^2\Delta(x_l) + e^{-a\Delta(x_l)} g_{l-1}$, "
        r"has a unique solution until some token becomes infinite. The sign of every token is invariant, a zero token "
        r"stays zero, and token $l$ does not depend on later tokens."
    ),
    pool=ANY,
    hypotheses=hypotheses.all_of(hypotheses.one_channel),
    conclusion=conclusion,
    steps=STEPS,
    breaks={"D = 1": hypotheses.TWO_CHANNELS},
    weaker=(
        WeakerClaim(
            claim="tokens interact both ways, as under attention without a mask",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
            expected=(Expected("change of dx_l/dt by later tokens", 1e-6, relation=Relation.AT_LEAST, tolerance=0.0),),
            because="the hidden attention is lower triangular",
        ),
    ),
)
