"""Convergent tokens shrink like t^(-1/2) with constants kappa_l that depend on a delta_0 alone (theory 3.2)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import convergent, hypotheses
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Theorem, Told, WeakerClaim
from ..pools import CONVERGENT, scalar_case
from ..steps import Derivative, Identity, Inequality, Limit

KAPPA, EXPONENT = "2 |mu| delta_0 t x^2", "slope of ln|x| in ln t"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    limits, _ = convergent.kappa(ScalarSystem.of(layer, x0))
    constants = [Expected(KAPPA, float(limit), token) for token, limit in enumerate(limits)]
    return (*constants, *(Expected(EXPONENT, -0.5, token) for token in range(len(x0))))


def _steps():
    w, q, k, T = sp.symbols("w q k T", positive=True)
    c, s, b, tau = sp.symbols("c s b tau", real=True)
    n = sp.Symbol("n", integer=True, positive=True)
    rate, eps = sp.symbols("r eps", positive=True)
    return (
        Limit(
            says="The step size of a vanishing token tends to delta_0 = softplus(b).",
            expression=sp.log(1 + sp.exp(s * c + b)),
            variable=c,
            point=sp.Integer(0),
            value=sp.log(1 + sp.exp(b)),
        ),
        Derivative(
            says="With T = 2 |mu| delta_0 t, token 1 obeys dx/dT = -x^3 / 2 up to o(x^3); this solves it.",
            function=(w + T) ** sp.Rational(-1, 2),
            variable=T,
            equals=-(((w + T) ** sp.Rational(-1, 2)) ** 3) / 2,
        ),
        Limit(
            says="So T x_1^2 tends to 1 whatever the initial value w^(-1/2): kappa_1 = 1.",
            expression=T / (w + T),
            variable=T,
            point=sp.oo,
            value=sp.Integer(1),
        ),
        Derivative(
            says="In tau = ln T, u = T x_l^2 obeys du/dtau = u (1 - K_l - u), K_l being the drive of the "
            "earlier tokens once they have settled; this logistic curve, rate r = 1 - K_l > 0, solves it.",
            function=rate / (1 + k * sp.exp(-rate * tau)),
            variable=tau,
            equals=(rate / (1 + k * sp.exp(-rate * tau))) * (rate - rate / (1 + k * sp.exp(-rate * tau))),
        ),
        Limit(
            says="Every logistic curve tends to its rate: kappa_l = 1 - K_l where K_l < 1.",
            expression=rate / (1 + k * sp.exp(-rate * tau)),
            variable=tau,
            point=sp.oo,
            value=rate,
            decades=(0.0, 1.0, 2.0, 3.0),
        ),
        Inequality(
            says="K_l is a limit itself: u' = u (1 - K(t) - u) with K(t) within eps of K_l from some time on, here "
            "K(t) = K_l + eps / (1 + k). The curve stays above that with K_l + eps (and, likewise, below that with "
            "K_l - eps), which tend to 1 - K_l - eps and 1 - K_l + eps, for every eps > 0.",
            smaller=w * (rate - eps - w),
            larger=w * (rate - eps / (1 + k) - w),
            gap=w * eps * k / (1 + k),
            strict=True,
        ),
        Identity(
            says="With q = e^{-a delta_0}, kappa_1 = 1 and kappa_j = 1 - q for 1 < j < l, the drive of token l is "
            "K_l = q^{l-1} + (1 - q)(q + ... + q^{l-2}) = q for every l: hence kappa_l = 1 - q.",
            left=q**n + k * (q - q**n) / (1 - q),
            where={k: 1 - q},
            right=q,
            domain={q: (0.05, 0.95), n: (1, 9)},
        ),
        Inequality(
            says="q = e^{-a delta_0} never exceeds 1, so kappa_l = 1 - q >= 0: no token is faster than t^(-1/2).",
            smaller=sp.exp(-k * w),
            larger=sp.Integer(1),
            rises_from=(w, sp.Integer(0)),
        ),
    )


EQUAL_TOKENS = scalar_case(-1.58, -0.17, 1.08, 0.0, np.ones(6))

THEOREM = Theorem(
    name="convergent_constants",
    title="Sharp constants of convergent tokens",
    origin=Origin.SHARP,
    section="3.2",
    statement=(
        r"Let $\mu < 0$ and let every token be non-zero. Then $2|\mu|\delta_0\, t\, x_l(t)^2 \to \kappa_l$ with "
        r"$\kappa_1 = 1$ and $\kappa_l = 1 - e^{-a\delta_0}$ for $l \ge 2$, where $\delta_0 = \mathrm{softplus}(b)$."
    ),
    pool=CONVERGENT,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel, hypotheses.one_rate, hypotheses.mu_negative, hypotheses.no_zero_tokens
    ),
    conclusion=conclusion,
    steps=_steps(),
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "mu < 0": scalar_case(1.0, -0.5, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
        "every token is non-zero": scalar_case(-1.0, 0.5, 1.0, 0.0, [1.0, 0.0, 0.3, 0.2]),
        "one decay rate a": scalar_case([-1.0, -0.5], 0.5, [0.2, 3.0], 0.0, [1.0, 0.5, 0.3, 0.2]),
    },
    weaker=(
        WeakerClaim(
            claim="every token has the same constant, kappa_l = 1",
            origin=Origin.NAIVE,
            case=EQUAL_TOKENS,
            expected=(Expected(KAPPA, 1.0, 1),),
            because="later tokens are pushed down by the earlier ones: kappa_2 = 1 - e^{-a delta_0}",
        ),
    ),
)
