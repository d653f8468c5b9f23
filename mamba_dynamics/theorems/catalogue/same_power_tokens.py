"""Tokens with s x_l < 0 right after the first blow-up share its power (theory 3.4)."""

import sympy as sp

from ..._layer import S6Layer
from .. import fast_divergence, hypotheses
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Theorem, Told, WeakerClaim
from ..pools import FAST_FOLLOWED, scalar_case
from ..steps import Derivative, Inequality, Limit
from ..symbols import SOFTPLUS, S, a, b, x
from .fast_divergence_existence import POWER


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    power = fast_divergence.power(ScalarSystem.of(layer, x0))
    return tuple(Expected(POWER, power, token) for token in range(len(x0)))


_D = sp.Symbol("D", positive=True)

STEPS = (
    Inequality(
        says="Such a token receives all but a vanishing part of the drive: 1 - e^{-a D} <= a D ...",
        smaller=1 - sp.exp(-a * _D),
        larger=a * _D,
        rises_from=(_D, sp.Integer(0)),
    ),
    Limit(
        says="... since its step size D = softplus(b - S x) vanishes as it grows ...",
        expression=SOFTPLUS(b - S * x),
        variable=x,
        point=sp.oo,
        value=sp.Integer(0),
        decades=(0.5, 1.5, 2.5, 3.0),
        domain={S: (0.5, 4.0)},
    ),
    Limit(
        says="... together with its own term.",
        expression=x**2 * SOFTPLUS(b - S * x),
        variable=x,
        point=sp.oo,
        value=sp.Integer(0),
        decades=(0.5, 1.5, 2.5, 3.0),
        domain={S: (0.5, 4.0)},
    ),
    Derivative(
        says="F(u) = int e^{a D(u)} du / u has the derivative e^{a D} / u: dF/dt = mu (e^{a D} x^2 D + g_{l-1}), and "
        "mu g_{l-1} is the speed of ln|x_{l-1}|; for large u, F = ln u up to a convergent integral.",
        function=sp.log(x),
        variable=x,
        equals=1 / x,
    ),
    Limit(
        says="Its correction e^{a D} - 1 is of order D, so integrable against du / u.",
        expression=(sp.exp(a * _D) - 1) / _D,
        variable=_D,
        point=sp.Integer(0),
        value=a,
    ),
)

THEOREM = Theorem(
    name="same_power_tokens",
    title="Tokens that share the power of the first blow-up",
    origin=Origin.SHARP,
    section="3.4",
    statement=(
        r"A token $l > l^*$ with $s\,x_l < 0$, all tokens between $l^*$ and $l$ being of that kind and non-zero, keeps "
        r"a constant ratio to $x_{l^*}$ in the limit: $|x_l| \sim c\,(T^*-t)^{-1/3}$."
    ),
    pool=FAST_FOLLOWED,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel,
        hypotheses.one_rate,
        hypotheses.mu_positive,
        hypotheses.no_zero_tokens,
        hypotheses.only_first_driven_up,
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "one decay rate a": scalar_case([3.0, -1.0], 1.0, [0.2, 3.0], 0.0, [1.0, -0.5, -0.3, -0.2]),
        "mu > 0": scalar_case(-1.0, 1.0, 1.0, 0.0, [1.0, -0.5, -0.3, -0.2]),
        "every token is non-zero": scalar_case(1.0, 1.0, 1.0, 0.0, [1.0, 0.0, -0.5, -0.3]),
        "s x_l0 > 0 for token 1 only": scalar_case(1.0, 1.0, 1.0, 0.0, [1.0, 0.5, -0.5, -0.3]),
    },
    weaker=(
        WeakerClaim(
            claim="later tokens share the power whatever the sign of s x_l",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [3.0, 0.5, 0.1, 0.1]),
            expected=(Expected(POWER, -1 / 3, 1),),
            because="a token with s x_l > 0 enlarges its own step size, which shuts out the drive it lives on",
        ),
    ),
)
