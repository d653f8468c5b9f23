"""Every token moves one way for ever: away from zero if mu > 0, towards it if mu < 0 (theory 3)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import ANY, scalar_case
from ..steps import Derivative, Inequality
from ..symbols import SOFTPLUS, a, b, g, mu, s, t, x

SPEED = "sign(mu) x_l dx_l/dt"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (
        Expected(SPEED, 0.0, relation=Relation.AT_LEAST, tolerance=0.0),
        Expected("step of ln|x| against the sign of mu", 0.0, relation=Relation.EQUAL, tolerance=1e-12),
    )


_own, _drive = x**2 * SOFTPLUS(s * x + b), sp.exp(-a * SOFTPLUS(s * x + b)) * g
_real = sp.Symbol("u", real=True)

STEPS = (
    Inequality(
        says="A step size is positive.",
        smaller=sp.Integer(0),
        larger=SOFTPLUS(_real),
        strict=True,
    ),
    Inequality(
        says="So g_l is positive if g_{l-1} is not negative, for a non-zero token: by induction on l, every g_l is.",
        smaller=sp.Integer(0),
        larger=_own + _drive,
        strict=True,
    ),
    Inequality(
        says="A zero token passes on a drive that is not negative either.",
        smaller=sp.Integer(0),
        larger=sp.exp(-a * SOFTPLUS(b)) * g,
    ),
    Derivative(
        says="Along x = x_0 exp(mu G), G the integral of g_l (here over a piece where it is constant), ln|x| changes "
        "at the rate mu g_l, whose sign is that of mu.",
        function=sp.log(x * sp.exp(mu * g * t)),
        variable=t,
        equals=mu * g,
    ),
)

THEOREM = Theorem(
    name="monotonicity",
    title="Monotone tokens",
    origin=Origin.SHARP,
    section="3",
    statement=(
        r"For $D = 1$ and one decay rate $g_l \ge 0$, so $\frac{d}{dt}\ln|x_l| = \mu g_l$ has the sign of $\mu$: every "
        r"$|x_l|$ is non-increasing if $\mu \le 0$ and non-decreasing if $\mu \ge 0$."
    ),
    pool=ANY,
    hypotheses=hypotheses.all_of(hypotheses.one_channel, hypotheses.mu_one_signed),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "all mu_n of one sign": scalar_case([0.9, -1.0], 0.5, [2.0, 0.05], 0.0, [2.0, 0.1, 0.2, 0.1]),
    },
    weaker=(
        WeakerClaim(
            claim="monotone for several decay rates too, whatever the signs of mu_n",
            origin=Origin.NAIVE,
            case=scalar_case([-1.0, 0.9], 0.5, [2.0, 0.05], 0.0, [2.0, 0.1, 0.2, 0.1]),
            expected=(Expected(SPEED, 0.0, relation=Relation.AT_LEAST, tolerance=0.0),),
            because="the slower-decaying state has the other sign, so a later token is first pushed away from zero",
        ),
    ),
)
