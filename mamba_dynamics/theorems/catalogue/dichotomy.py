"""The sign of mu, and of s x_l0, decide the scenario (the paper's main theorem; theory 3.1)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..dichotomy import predict_scenario
from ..pools import ANY, scalar_case
from ..steps import Derivative, Inequality, Limit
from ..symbols import SOFTPLUS, S, a, b, g, mu, t, w, x


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    scenario = predict_scenario(ScalarSystem.of(layer, x0)).scenario
    return (Expected("scenario", scenario.value, relation=Relation.EQUAL),)


_m = sp.Symbol("m", positive=True)

STEPS = (
    Inequality(
        says="mu < 0: x_l^2 is pushed down at least by its own term, as g_l >= x_l^2 Delta(x_l).",
        smaller=x**2 * SOFTPLUS(b - S * x),
        larger=x**2 * SOFTPLUS(b - S * x) + sp.exp(-a * SOFTPLUS(b - S * x)) * g,
    ),
    Limit(
        says="|x_l| shrinks, so Delta stays above some m > 0, and x_l^2 <= x_0^2 / (1 + 2 |mu| m x_0^2 t) tends to 0.",
        expression=x**2 / (1 + 2 * mu * _m * x**2 * t),
        variable=t,
        point=sp.oo,
        value=sp.Integer(0),
    ),
    Limit(
        says="mu > 0, s x_l < 0: a token's own term is bounded, for it vanishes where the token is large ...",
        expression=x**2 * SOFTPLUS(b - x),
        variable=x,
        point=sp.oo,
        value=sp.Integer(0),
        decades=(0.5, 1.5, 2.5, 3.0),
    ),
    Inequality(
        says="... and the earlier tokens' drive reaches it weakened: d ln|x_l| / dt <= mu (bound + g_{l-1}); by "
        "induction ln|x_l| grows at most linearly in t, and no token blows up.",
        smaller=sp.exp(-a * SOFTPLUS(b - S * x)) * g,
        larger=g,
        rises_from=(a, sp.Integer(0)),
    ),
    Inequality(
        says="It does not stop either: at any finite size c > 0 its speed is at least its own term, which is positive.",
        smaller=sp.Integer(0),
        larger=mu * x**3 * SOFTPLUS(b - S * x),
        strict=True,
    ),
    Inequality(
        says="mu > 0, s x_l > 0: Delta(x) >= S x + b, so far out dx/dt >= mu x^3 (S x + b).",
        smaller=S * x + b,
        larger=SOFTPLUS(S * x + b),
        gap=sp.log(1 + sp.exp(-S * x - b)),
    ),
    Derivative(
        says="With S x + b >= S x / 2 beyond some size, dt <= 2 dx / (mu S x^4), whose antiderivative is elementary "
        "...",
        function=-2 / (3 * mu * S * x**3),
        variable=x,
        equals=2 / (mu * S * x**4),
    ),
    Limit(
        says="... and has a limit: infinity is reached in finite time.",
        expression=-2 / (3 * mu * S * w**3) + 2 / (3 * mu * S * x**3),
        variable=w,
        point=sp.oo,
        value=2 / (3 * mu * S * x**3),
    ),
)

THEOREM = Theorem(
    name="dichotomy",
    title="The dichotomy of one-dimensional tokens",
    origin=Origin.PAPER,
    section="3.1",
    statement=(
        r"$\mu < 0$: every token tends to zero. $\mu > 0$: tokens diverge, at infinite time if $s\,x_{l0} < 0$ for "
        r"every non-zero token (slow divergence), and some token in finite time if $s\,x_{l0} > 0$ for some token "
        r"(fast divergence)."
    ),
    pool=ANY,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel,
        hypotheses.one_rate,
        hypotheses.mu_not_zero,
        hypotheses.slope_not_zero,
        hypotheses.some_active_token,
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "one decay rate a": scalar_case([3.0, -2.0], -1.0, [1.0, 2.0], 0.0, [1.0, 0.5, 0.3, 0.2]),
        "mu != 0": scalar_case(0.0, 1.0, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
        "s != 0": scalar_case(1.0, 0.0, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
        "some token is non-zero": scalar_case(1.0, 1.0, 1.0, 0.0, [0.0, 0.0, 0.0, 0.0]),
    },
    weaker=(
        WeakerClaim(
            claim="mu > 0 alone decides how fast tokens diverge",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, -1.0, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
            expected=(Expected("scenario", "fast_divergence", relation=Relation.EQUAL),),
            because="where s x_l0 < 0 for every token, growing tokens shut their own step sizes",
        ),
    ),
)
