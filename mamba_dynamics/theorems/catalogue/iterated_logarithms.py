"""Behind the first blow-up tokens grow like ln ln, ln ln ln ln, ...: straight lines in the variable F (theory 3.4)."""

import sympy as sp

from ..._layer import S6Layer
from .. import fast_divergence, hypotheses
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Theorem, Told, WeakerClaim
from ..pools import FAST_HIERARCHY, scalar_case
from ..steps import Derivative, Identity, Limit
from ..symbols import SOFTPLUS, S, a, b, g, mu, x
from .fast_divergence_existence import BREAKS, POWER

SLOPE = "slope of F(|x|) in ln|x_k|"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    if told.first_token is None:
        return ()
    laws = fast_divergence.laws(ScalarSystem.of(layer, x0), told.first_token)
    return tuple(
        Expected(SLOPE, law.exponent, token)
        for token, law in enumerate(laws)
        if law is not None and law.partner is not None and law.exponent is not None
    )


_Delta = SOFTPLUS(S * x + b)
_y, _A = sp.symbols("y A", positive=True)

STEPS = (
    Identity(
        says="For a token with drive g: e^{a Delta} / x times dx/dt is mu g + mu e^{a Delta} x^2 Delta; mu g is the "
        "speed of ln|x_k|, k the token before.",
        left=sp.exp(a * _Delta) / x * mu * x * (x**2 * _Delta + sp.exp(-a * _Delta) * g),
        right=mu * g + mu * sp.exp(a * _Delta) * x**2 * _Delta,
    ),
    Limit(
        says="The second part is e^{a Delta} x^2 Delta ~ a power of ln 1/(T* - t) at worst, as x is of the size of its "
        "logarithm; integrated up to T* it converges: (ln 1/y)^2 y tends to 0 with y = T* - t.",
        expression=_y * sp.log(1 / _y) ** 2,
        variable=_y,
        point=sp.Integer(0),
        value=sp.Integer(0),
    ),
    Derivative(
        says="So F(|x_l|) - ln|x_k| converges. F is exponential: e^{A x} / (A x), A = a |s|, has the derivative "
        "e^{A x} / x (1 - 1 / (A x)), of which the last factor tends to 1 ...",
        function=sp.exp(_A * x) / (_A * x),
        variable=x,
        equals=sp.exp(_A * x) / x * (1 - 1 / (_A * x)),
    ),
    Limit(
        says="... so F(u) ~ e^{ab} e^{A u} / (A u): ln F / u tends to A, and |x_l| ~ (1 / A) ln ln|x_k|.",
        expression=(_A * x - sp.log(_A * x)) / x,
        variable=x,
        point=sp.oo,
        value=_A,
    ),
    Limit(
        says="Applied to k = l*, ln|x_k| = (1/3) ln 1/(T* - t) + O(1): the logarithm of that over ln ln 1/(T* - t) "
        "tends to 1.",
        expression=sp.log(_y / 3 + 1) / sp.log(_y),
        variable=_y,
        point=sp.oo,
        value=sp.Integer(1),
        decades=(3.0, 30.0, 300.0, 3000.0),
    ),
)

THEOREM = Theorem(
    name="iterated_logarithms",
    title="The hierarchy of iterated logarithms",
    origin=Origin.SHARP,
    section="3.4",
    statement=(
        r"For every non-zero token $l > l^*$ with $k$ the last token before it, $F_l(|x_l|) = \ln|x_k| + C + o(1)$ as "
        r"$t \to T^*$, where $F_l(u) = \int e^{a\Delta}\,du/u$ with $\Delta = "
        r"\mathrm{softplus}(\mathrm{sign}(s\,x_l)|s|u + b)$. Hence the first token with $s\,x_l > 0$ after $l^*$ grows "
        r"like $\frac{1}{a|s|}\ln\ln\frac{1}{T^*-t}$, and each later one by two more logarithms."
    ),
    pool=FAST_HIERARCHY,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel,
        hypotheses.one_rate,
        hypotheses.mu_positive,
        hypotheses.no_zero_tokens,
        hypotheses.some_driven_up,
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        **BREAKS,
        "every token is non-zero": scalar_case(1.0, 1.0, 1.0, 0.0, [1.0, 0.0, -0.5, -0.3]),
    },
    weaker=(
        WeakerClaim(
            claim="all tokens that diverge at T* do so at the same rate",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [0.5, 3.0, 1.5, 0.1]),
            expected=(Expected(POWER, -1 / 3, 2),),
            because="token 3 obeys F(x_3) = (1/3) ln 1/(T* - t) + C, slower than any power",
        ),
        WeakerClaim(
            claim="a token behind an iterated logarithm sees T* - t itself: dF(x_4) / d ln|x_2| tends to 1",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [0.5, 3.0, 1.5, 0.1]),
            expected=(Expected("slope of F(|x|) in ln|x_l*|", 1.0, 3),),
            because="it sees only the token before it: each token adds a pair of logarithms",
        ),
    ),
    remarks=(
        "Sharper than theory 3.4 states it: one formula for both signs of s x_l. Where s x_l < 0, F(u) ~ ln u, and the "
        "constant ratio to the token before is a limit that can lie beyond the reach of any float.",
    ),
)
