"""Some token with s x_l0 > 0 becomes infinite in finite time (the paper; theory 3.4)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import FAST, scalar_case
from ..steps import Derivative, Inequality, Limit
from ..symbols import SOFTPLUS, S, a, b, g, mu, w, x

SCENARIO, POWER = "scenario", "slope of ln|x| in ln(T* - t)"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (Expected(SCENARIO, "fast_divergence", relation=Relation.EQUAL),)


#: Instead of laws that need l*, where no token was found that blows up before all others.
UNTOLD = (
    Expected(SCENARIO, "fast_divergence", relation=Relation.EQUAL),
    Expected("whether l* can be told", "yes", relation=Relation.EQUAL),
)

STEPS = (
    Inequality(
        says="Earlier tokens only push: dx/dt >= mu x^3 Delta(x) for every token.",
        smaller=mu * x**3 * SOFTPLUS(S * x + b),
        larger=mu * x * (x**2 * SOFTPLUS(S * x + b) + sp.exp(-a * SOFTPLUS(S * x + b)) * g),
    ),
    Inequality(
        says="Where s x > 0, growth opens the step size: Delta(x + w) >= Delta(x) ...",
        smaller=SOFTPLUS(S * x + b),
        larger=SOFTPLUS(S * (x + w) + b),
        rises_from=(w, sp.Integer(0)),
    ),
    Derivative(
        says="... so with m = Delta(x_0), dt <= dx / (mu m x^3), whose antiderivative is -1 / (2 mu m x^2) ...",
        function=-1 / (2 * mu * g * x**2),
        variable=x,
        equals=1 / (mu * g * x**3),
    ),
    Limit(
        says="... and all of (x_0, infinity) takes at most 1 / (2 mu Delta(x_0) x_0^2): no solution lasts longer.",
        expression=1 / (2 * mu * g * x**2) - 1 / (2 * mu * g * w**2),
        variable=w,
        point=sp.oo,
        value=1 / (2 * mu * g * x**2),
    ),
)

BREAKS = {
    "D = 1": hypotheses.TWO_CHANNELS,
    "one decay rate a": scalar_case([3.0, -1.0], 1.0, [0.2, 3.0], 0.0, [1.0, 0.5, 0.3, 0.2]),
    "mu > 0": scalar_case(-1.0, 1.0, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
    "s x_l0 > 0 for some token": scalar_case(1.0, 1.0, 1.0, 0.0, [-1.0, -0.5, -0.3, -0.2]),
}

HYPOTHESES = hypotheses.all_of(
    hypotheses.one_channel, hypotheses.one_rate, hypotheses.mu_positive, hypotheses.some_driven_up
)

THEOREM = Theorem(
    name="fast_divergence_existence",
    title="Blow-up in finite time",
    origin=Origin.PAPER,
    section="3.4",
    statement=r"If $\mu > 0$ and $s\,x_{l0} > 0$ for some $l$, at least one token becomes infinite at a finite time.",
    pool=FAST,
    hypotheses=HYPOTHESES,
    conclusion=conclusion,
    steps=STEPS,
    breaks=BREAKS,
    weaker=(
        WeakerClaim(
            claim="under fast divergence all tokens diverge",
            origin=Origin.PAPER,
            case=scalar_case(1.0, 1.0, 1.0, 0.0, [0.5, 3.0, 1.5, 0.1]),
            expected=(Expected(POWER, -1 / 3, 0), Expected("ln|x| at the end", 10.0, 0, Relation.AT_LEAST)),
            because="the tokens before the first to blow up have finite limits at T*",
        ),
    ),
)
