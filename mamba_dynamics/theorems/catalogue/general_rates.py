"""Several decay rates: the sum of mu_n decides convergence, and exponents -K_l / 2 appear (theory 3.6)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import convergent, hypotheses
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import GENERAL_RATES, scalar_case
from ..steps import Derivative, Identity, Inequality, Limit
from ..symbols import a, b, g, k, x
from .convergent_constants import EXPONENT, KAPPA


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    found: list[Expected] = []
    for token, law in enumerate(convergent.laws(ScalarSystem.of(layer, x0))):
        if law.exponent is not None:
            found.append(Expected(EXPONENT, law.exponent, token))
            found.append(Expected(EXPONENT, -0.5, token, Relation.AT_MOST))
        if law.constant:
            found.append(Expected(KAPPA, law.constant, token))
    return tuple(found)


_m1, _m2 = sp.symbols("m_1 m_2", real=True)
_tau = sp.Symbol("tau", real=True)
_r, _T, _K, _eps = sp.symbols("r T K eps", positive=True)
_fast = _r / (k * sp.exp(_r * _tau) - 1)

STEPS = (
    Identity(
        says="A token's own states have not decayed: its own term is x^2 Delta times the sum of mu_n, so token 1 is "
        "governed by that sum alone.",
        left=_m1 * x**2 * b + _m2 * x**2 * b,
        right=(_m1 + _m2) * x**2 * b,
    ),
    Identity(
        says="An earlier token's share, after an elapsed step size g, is phi(g) = sum mu_n e^{-a_n g} / sum mu_n: 1 "
        "at g = 0.",
        left=(_m1 * sp.exp(-a * g) + _m2 * sp.exp(-k * g)) / (_m1 + _m2),
        where={g: sp.Integer(0)},
        right=sp.Integer(1),
        domain={_m1: (0.2, 2.0), _m2: (0.2, 2.0)},
    ),
    Derivative(
        says="As for one rate, u = T x_l^2 obeys du/dtau = u (1 - K_l - u), tau = ln T, K_l = sum kappa_j phi(delta_0 "
        "(l - j)). If K_l = 1 + r > 1 the solutions are r / (k e^{r tau} - 1) ...",
        function=_fast,
        variable=_tau,
        equals=-_fast * (_r + _fast),
        domain={k: (2.0, 4.0), _tau: (0.0, 2.0)},
    ),
    Limit(
        says="... which vanish like e^{-r tau}: kappa_l = 0 ...",
        expression=_fast * sp.exp(_r * _tau),
        variable=_tau,
        point=sp.oo,
        value=_r / k,
        decades=(0.0, 1.0, 2.0, 3.0),
        domain={k: (2.0, 4.0)},
    ),
    Inequality(
        says="(K_l is a limit: where K(t) is within eps of it, K(t) = K_l + eps / (1 + k) say, u stays between the "
        "solutions for K_l - eps and K_l + eps, whose exponents are as near as one likes.)",
        smaller=-x * (_r + _eps + x),
        larger=-x * (_r + _eps / (1 + k) + x),
        gap=x * _eps * k / (1 + k),
        strict=True,
    ),
    Identity(
        says="... and x_l = (u / T)^(1/2) with u ~ T^(1 - K) decays like T^(-K / 2).",
        left=sp.sqrt(_T ** (1 - _K) / _T),
        right=_T ** (-_K / 2),
    ),
)

MIXED_SIGNS = scalar_case([0.9, -1.0], 0.5, [2.0, 0.05], 0.0, np.ones(4))
#: phi(delta_0) = -0.93: behind the zero token the large token 3, its step size shut, is driven outwards.
ESCAPING = scalar_case([-2.0, 1.0], -1.0, [5.0, 0.01], 0.0, [1.0, 0.0, 30.0])

THEOREM = Theorem(
    name="general_rates",
    title="Several decay rates",
    origin=Origin.NEW,
    section="3.6",
    statement=(
        r"If $\bar\mu = \sum_n \mu_n < 0$ and every token is non-zero, every token is $O(t^{-1/2})$, whatever the "
        r"single signs. With $\varphi(\tau) = \sum_n \mu_n e^{-a_n\tau}/\bar\mu$ and $K_l = "
        r"\sum_{j<l}\kappa_j\varphi(\delta_0(l-j))$: if $K_l < 1$ then $2|\bar\mu|\delta_0 t x_l^2 \to \kappa_l = 1 - "
        r"K_l$; if $K_l > 1$ then $\kappa_l = 0$ and $x_l$ decays like $t^{-K_l/2}$. Behind a zero token a token with "
        r"$s\,x_l < 0$ need not tend to zero."
    ),
    pool=GENERAL_RATES,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel, hypotheses.mu_negative, hypotheses.no_zero_tokens, hypotheses.drives_apart
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "mu < 0": scalar_case([3.0, -2.0], -0.5, [1.0, 3.0], 0.0, [1.0, 0.5, 0.3, 0.2]),
        "every token is non-zero": scalar_case([-1.0, -0.5], 0.5, [0.2, 3.0], 0.0, [1.0, 0.0, 0.3, 0.2]),
        "no K_l equals 1": scalar_case([-1.0, -0.5], 0.5, [0.0, 0.0], 0.0, [1.0, 0.5, 0.3, 0.2]),
    },
    weaker=(
        WeakerClaim(
            claim="every convergent token decays exactly like t^(-1/2)",
            origin=Origin.PAPER,
            case=MIXED_SIGNS,
            expected=(Expected(EXPONENT, -0.5, 1),),
            because="the slow state has the larger |mu_n| of the other sign, K_2 = 7.41 > 1: the exponent is -3.7047",
        ),
        WeakerClaim(
            claim="a negative sum of mu_n makes every token O(t^-1/2), zero tokens or not (as theory 3.6 had it)",
            origin=Origin.NEW,
            case=ESCAPING,
            expected=(Expected(EXPONENT, -0.5, 2, Relation.AT_MOST),),
            because="token 2 is zero: token 3, large and with its step size shut, receives phi(delta_0) < 0 of token "
            "1's drive and grows like t^(|phi(delta_0)| / 2)",
        ),
        WeakerClaim(
            claim="kappa_l = 1 - e^{-a delta_0} with the mean rate",
            origin=Origin.NAIVE,
            case=scalar_case([-1.0, -0.5], 0.5, [0.2, 3.0], 0.0, np.ones(4)),
            expected=(Expected(KAPPA, float(1 - np.exp(-1.6 * np.log(2))), 1),),
            because="each state decays at its own rate: kappa_2 = 1 - phi(delta_0) = 0.378",
        ),
    ),
    remarks=(
        "Every token does tend to zero: in a bounded part away from zero its own term outweighs what it receives, O(1 "
        "/ t), and far out with s x_l < 0, its own step size shut, it receives K_{l-1} + kappa_{l-1} = max(1, "
        "K_{l-1}) > 0 in units of 1 / (2 t). Behind a zero token that is K_{l-1} alone, of any sign.",
    ),
)
