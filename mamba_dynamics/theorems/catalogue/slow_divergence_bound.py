"""Slowly diverging tokens are O((ln t)^l): the paper's bound, attained by the first token only (theory 3.3)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import SLOW, scalar_case
from ..steps import Derivative, Inequality, Limit
from ..symbols import SOFTPLUS, S, a, b, g, mu, w, x

SLOPE = "slope of ln|x| in ln ln t"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return tuple(Expected(SLOPE, token + 1.0, token, Relation.AT_MOST) for token in range(len(x0)))


_z, _T = sp.symbols("z T", positive=True)

STEPS = (
    Inequality(
        says="Where s x < 0 the step size is exponentially small: softplus(b - z) <= e^{b - z}, z = |s x|.",
        smaller=sp.log(1 + w),
        larger=w,
        rises_from=(w, sp.Integer(0)),
    ),
    Derivative(
        says="So z' <= c z^3 e^{-z} for token 1; of z = 2 ln(T) with T = w + t, the derivative is 2 / T ...",
        function=2 * sp.log(_T),
        variable=_T,
        equals=2 / _T,
    ),
    Limit(
        says="... which for large T exceeds c z^3 e^{-z} = c (2 ln T)^3 / T^2: 2 ln T is an upper solution, z = O(ln "
        "t).",
        expression=(8 * sp.log(_T) ** 3 / _T**2) / (2 / _T),
        variable=_T,
        point=sp.oo,
        value=sp.Integer(0),
    ),
    Inequality(
        says="A later token is driven by its own vanishing term and at most mu g_{l-1} = d ln|x_{l-1}| / dt ...",
        smaller=mu * (x**2 * SOFTPLUS(b - S * x) + sp.exp(-a * SOFTPLUS(b - S * x)) * g),
        larger=mu * (x**2 * SOFTPLUS(b - S * x) + g),
        rises_from=(a, sp.Integer(0)),
    ),
    Limit(
        says="... of which a power of ln t is again an upper solution: multiplying x_{l-1} = O((ln t)^{l-1}) by ln t "
        "beats its own term c z^3 e^{-z} at z = 2 ln T.",
        expression=(8 * sp.log(_T) ** 3 / _T**2) / (1 / (_T * sp.log(_T))),
        variable=_T,
        point=sp.oo,
        value=sp.Integer(0),
    ),
)

SYSTEM = scalar_case(1.0, -1.0, 1.0, 0.0, [1.0, 1.0, 1.0, 1.0])


def _attained(token: int) -> WeakerClaim:
    return WeakerClaim(
        claim=f"the bound (ln t)^l is attained for l = {token + 1}",
        origin=Origin.PAPER,
        case=SYSTEM,
        expected=(Expected(SLOPE, token + 1.0, token),),
        because="every token is Theta(ln t): the slope of ln|x_l| in ln ln t tends to 1, not to l",
    )


THEOREM = Theorem(
    name="slow_divergence_bound",
    title="Upper bound on slowly diverging tokens",
    origin=Origin.PAPER,
    section="3.3",
    statement=r"If $\mu > 0$ and $s\,x_{l0} < 0$ for every token then $x_l(t) = O((\ln t)^l)$.",
    pool=SLOW,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel,
        hypotheses.one_rate,
        hypotheses.mu_positive,
        hypotheses.no_zero_tokens,
        hypotheses.all_driven_down,
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "one decay rate a": scalar_case([1.0, 2.0], -0.5, [0.2, 3.0], 0.0, [1.0, 0.5, 0.3, 0.2]),
        "mu > 0": scalar_case(-1.0, -0.5, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
        "every token is non-zero": scalar_case(1.0, -0.5, 1.0, 0.0, [1.0, 0.0, 0.3, 0.2]),
        "s x_l0 < 0 for every non-zero token": scalar_case(1.0, -0.5, 1.0, 0.0, [1.0, 0.5, -0.3, 0.2]),
    },
    weaker=(_attained(1), _attained(2), _attained(3)),
)
