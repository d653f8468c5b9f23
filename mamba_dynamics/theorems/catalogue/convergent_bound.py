"""A bound on convergent tokens that holds at every time, not only asymptotically (theory 3.2)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import convergent, hypotheses
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import CONVERGENT, scalar_case
from ..steps import Derivative, Identity, Inequality
from ..symbols import SOFTPLUS, S, a, b, g, mu, t, w, x

SQUARE = "ln x^2 along ln t"


def _bound(system: ScalarSystem, token: int):
    return lambda log_t: convergent.log_bound(system, token, log_t)


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    system = ScalarSystem.of(layer, x0)
    return tuple(
        Expected(SQUARE, _bound(system, token), token, Relation.AT_MOST, tolerance=1e-10) for token in range(len(x0))
    )


_m, _e = sp.symbols("m e", positive=True)
_single = scalar_case(-1.0, -1.0, 1.0, 0.0, [2.0])


def _with_delta_0(log_t: FloatArray) -> FloatArray:
    """The bound with Delta(0) in place of the minimum, for the single token above."""
    return np.log(4.0) - np.logaddexp(0.0, np.log(2 * np.log(2.0) * 4.0) + log_t)


STEPS = (
    Inequality(
        says="Earlier tokens only add to the decay: g_l >= x_l^2 Delta(x_l).",
        smaller=x**2 * SOFTPLUS(b - S * x),
        larger=x**2 * SOFTPLUS(b - S * x) + sp.exp(-a * SOFTPLUS(b - S * x)) * g,
    ),
    Derivative(
        says="Delta is monotone, falling in |x| where s x < 0, rising where s x > 0 ...",
        function=SOFTPLUS(b - S * x),
        variable=x,
        equals=-S / (1 + sp.exp(S * x - b)),
    ),
    Inequality(
        says="... and |x_l| shrinks, so Delta >= min(Delta(0), Delta(x_0)) on the way: where s x < 0, say, the size "
        "w + e >= w it has passed had the smaller step.",
        smaller=SOFTPLUS(b - S * (w + _e)),
        larger=SOFTPLUS(b - S * w),
        rises_from=(_e, sp.Integer(0)),
    ),
    Derivative(
        says="With y = x_l^2 and 1/y as the unknown, y' <= -2 |mu| m y^2 reads (1/y)' >= 2 |mu| m.",
        function=1 / w + 2 * mu * _m * t,
        variable=t,
        equals=2 * mu * _m,
    ),
    Identity(
        says="Integrated and inverted, that is the bound.",
        left=1 / (1 / w + 2 * mu * _m * t),
        right=w / (1 + 2 * mu * _m * w * t),
    ),
)

THEOREM = Theorem(
    name="convergent_bound",
    title="Non-asymptotic bound on convergent tokens",
    origin=Origin.SHARP,
    section="3.2",
    statement=(
        r"If $\mu < 0$ then for every $t \ge 0$: $x_l(t)^2 \le x_{l0}^2 / (1 + 2|\mu|\, m_l\, x_{l0}^2\, t)$ with "
        r"$m_l = \min(\Delta(0), \Delta(x_{l0}))$."
    ),
    pool=CONVERGENT,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel, hypotheses.one_rate, hypotheses.mu_negative, hypotheses.no_zero_tokens
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "one decay rate a": scalar_case([-2.0, 1.0], 0.5, [3.0, 0.1], 0.0, [3.0, 0.1, 0.1, 0.1]),
        "mu < 0": scalar_case(1.0, -0.5, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
        "every token is non-zero": scalar_case(-1.0, -0.5, 1.0, 0.0, [1.0, 0.0, 0.3, 0.2]),
    },
    weaker=(
        WeakerClaim(
            claim="the bound holds with m = Delta(0) whatever the sign of s x_0",
            origin=Origin.NAIVE,
            case=_single,
            expected=(Expected(SQUARE, _with_delta_0, 0, Relation.AT_MOST, tolerance=1e-10),),
            because="where s x_0 < 0 the step size starts below Delta(0), and the token moves more slowly at first",
        ),
    ),
)
