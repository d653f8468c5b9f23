"""The blow-up time of one token is an integral (theory 3.4)."""

import sympy as sp

from ..._layer import S6Layer
from ...certificates import own_blow_up_time
from .. import hypotheses
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import FAST_SINGLE, scalar_case
from ..steps import Identity, Inequality, Limit
from ..symbols import SOFTPLUS, S, a, b, g, mu, w, x

TIME = "T*"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    system = ScalarSystem.of(layer, x0)
    time = own_blow_up_time(system.mu_bar, system.s, system.b, float(system.x0[0]))
    assert time is not None, "the hypotheses include that the token blows up"
    return (Expected(TIME, float(time), relation=Relation.EQUAL, tolerance=1e-9 * float(time)),)


_z = sp.Symbol("z", real=True)
_y = sp.Symbol("y", positive=True)

STEPS = (
    Identity(
        says="Token 1 has no earlier tokens, g = 0: dx/dt = mu x^3 softplus(S x + b) in sizes, which separates.",
        left=mu * x * (x**2 * SOFTPLUS(S * x + b) + sp.exp(-a * SOFTPLUS(S * x + b)) * g),
        where={g: sp.Integer(0)},
        right=mu * x**3 * SOFTPLUS(S * x + b),
    ),
    Inequality(
        says="softplus(S u + b) >= S u + b: the integral of dt = du / (mu u^3 softplus(S u + b)) to infinity "
        "converges, ...",
        smaller=S * x + b,
        larger=SOFTPLUS(S * x + b),
        gap=sp.log(1 + sp.exp(-S * x - b)),
    ),
    Limit(
        says="... its tail being at most 1 / (3 mu S u^3) up to a factor that tends to one.",
        expression=1 / (3 * mu * S * w**3),
        variable=w,
        point=sp.oo,
        value=sp.Integer(0),
    ),
    Inequality(
        says="The tail is elementary up to e^-z: softplus(z) <= z + e^-z, for ln(1 + y) <= y with y = e^-z.",
        smaller=sp.log(1 + _y),
        larger=_y,
        rises_from=(_y, sp.Integer(0)),
    ),
    Identity(
        says="(softplus(z) = z + ln(1 + e^-z).)",
        left=SOFTPLUS(_z),
        right=_z + sp.log(1 + sp.exp(-_z)),
    ),
)

THEOREM = Theorem(
    name="blow_up_time",
    title="The blow-up time of one token",
    origin=Origin.SHARP,
    section="3.4",
    statement=(
        r"If $\mu > 0$ and $s\,x_{10} > 0$, a token alone becomes infinite at $T_1 = \int_{|x_{10}|}^\infty "
        r"\frac{du}{\mu u^3 \mathrm{softplus}(|s|u + b)}$, which ball arithmetic encloses to any number of digits."
    ),
    pool=FAST_SINGLE,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel,
        hypotheses.one_token,
        hypotheses.mu_positive,
        hypotheses.slope_not_zero,
        hypotheses.some_driven_up,
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "L = 1": scalar_case(1.0, 1.0, 1.0, 0.0, [0.8, 1.0]),
        "mu > 0": scalar_case(-1.0, 1.0, 1.0, 0.0, [1.0]),
        "s != 0": scalar_case(1.0, 0.0, 1.0, 0.0, [1.0]),
        "s x_l0 > 0 for some token": scalar_case(1.0, 1.0, 1.0, 0.0, [-1.0]),
    },
    weaker=(
        WeakerClaim(
            claim="T_1 = 1 / (3 mu |s| |x_0|^3), as if the step size were |s x|",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [1.0]),
            expected=(Expected(TIME, 1 / 3, relation=Relation.EQUAL, tolerance=1e-6),),
            because="softplus exceeds its argument: T_1 = 0.28296...",
        ),
    ),
)
