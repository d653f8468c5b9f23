"""Behind a zero token the hierarchy at a blow-up has a smaller slope (new; completes theory 3.4)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Theorem, Told, WeakerClaim
from ..pools import FAST_WITH_ZEROS, scalar_case
from ..steps import Derivative, Identity
from ..symbols import SOFTPLUS, S, a, b, g, mu, x
from .iterated_logarithms import SLOPE
from .iterated_logarithms import conclusion as hierarchy


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return hierarchy(layer, x0, told)


_Delta = SOFTPLUS(S * x + b)
_q, _n = sp.Symbol("q", positive=True), sp.Symbol("n", integer=True, positive=True)

STEPS = (
    Identity(
        says="A zero token passes on e^{-a Delta(0)} of the drive: with drive q g, e^{a Delta} / x dx/dt is mu q g + "
        "mu e^{a Delta} x^2 Delta.",
        left=sp.exp(a * _Delta) / x * mu * x * (x**2 * _Delta + sp.exp(-a * _Delta) * _q * g),
        right=_q * mu * g + mu * sp.exp(a * _Delta) * x**2 * _Delta,
    ),
    Derivative(
        says="So F(|x_l|) - q ln|x_k| has an integrable derivative: ln|x_k|, x_k = e^{mu g t}, has the speed mu g, "
        "and q times it the speed q mu g.",
        function=_q * sp.log(sp.exp(mu * g * x)),
        variable=x,
        equals=_q * mu * g,
    ),
    Identity(
        says="Z zero tokens in a row weaken it Z times: e^{-a Delta(0) Z} = ((1 + e^b)^{-a})^Z.",
        left=sp.exp(-a * SOFTPLUS(b) * _n),
        right=((1 + sp.exp(b)) ** (-a)) ** _n,
    ),
)

THEOREM = Theorem(
    name="zero_tokens_at_blow_up",
    title="Zero tokens in the hierarchy",
    origin=Origin.NEW,
    section="3.4",
    statement=(
        r"If $Z$ zero tokens lie between token $l > l^*$ and the last non-zero token $k$ before it, then $F_l(|x_l|) = "
        r"e^{-a\delta_0 Z}\ln|x_k| + C + o(1)$ as $t \to T^*$."
    ),
    pool=FAST_WITH_ZEROS,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel,
        hypotheses.one_rate,
        hypotheses.mu_positive,
        hypotheses.some_driven_up,
        hypotheses.some_zero_token,
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "one decay rate a": scalar_case([3.0, -1.0], 1.0, [0.2, 3.0], 0.0, [1.0, 0.0, -0.3, 0.2]),
        "mu > 0": scalar_case(-1.0, 1.0, 1.0, 0.0, [1.0, 0.0, -0.3, 0.2]),
        "s x_l0 > 0 for some token": scalar_case(1.0, 1.0, 1.0, 0.0, [-1.0, 0.0, -0.3, -0.2]),
        "some token is zero, some is not": scalar_case(1.0, 1.0, 1.0, 0.0, [1.0, 0.5, -0.5, -0.3]),
    },
    weaker=(
        WeakerClaim(
            claim="the law of 3.4 holds across a zero token unchanged, with slope 1",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 0.5, 0.0, [3.0, 0.0, -0.5, 0.2]),
            expected=(Expected(SLOPE, 1.0, 2),),
            because="the zero token passes on e^{-a delta_0} = 0.7071 of the drive",
        ),
    ),
)
