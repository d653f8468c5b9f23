"""Bounds on the blow-up time of any number of tokens, by those of single ones (theory 3.4)."""

import sympy as sp

from ..._layer import S6Layer
from ...certificates import blow_up_bound, elementary_blow_up_bound
from .. import hypotheses
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import FAST, scalar_case
from ..steps import Derivative, Inequality, Limit
from ..symbols import SOFTPLUS, S, a, b, g, mu, w, x

TIME = "T*"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    system = ScalarSystem.of(layer, x0)
    numbers = (system.mu_bar, system.s, system.b, system.x0.tolist())
    integral, elementary = blow_up_bound(*numbers), elementary_blow_up_bound(*numbers)
    assert integral is not None, "the hypotheses include a token that blows up alone"
    bound = float(integral)
    found = [Expected(TIME, bound, relation=Relation.AT_MOST, tolerance=1e-9 * bound)]
    if elementary is not None:
        found.append(Expected(TIME, float(elementary), relation=Relation.AT_MOST, tolerance=1e-9 * bound))
    return tuple(found)


STEPS = (
    Inequality(
        says="Earlier tokens only push: dx_l/dt >= mu x_l^3 Delta(x_l), with equality for token 1. Where s x_l > 0 "
        "token l is ahead of the same token alone.",
        smaller=mu * x**3 * SOFTPLUS(S * x + b),
        larger=mu * x * (x**2 * SOFTPLUS(S * x + b) + sp.exp(-a * SOFTPLUS(S * x + b)) * g),
    ),
    Inequality(
        says="Alone it separates: dt = du / (mu u^3 softplus(S u + b)), and softplus(S u + b) >= S u + b makes the "
        "integral over (|x_0|, infinity) converge, ...",
        smaller=S * x + b,
        larger=SOFTPLUS(S * x + b),
        gap=sp.log(1 + sp.exp(-S * x - b)),
    ),
    Inequality(
        says="... for b >= 0 (here b = w) to at most the integral of 1 / (mu S u^4), ...",
        smaller=S * x,
        larger=SOFTPLUS(S * x + w),
        gap=w + sp.log(1 + sp.exp(-S * x - w)),
    ),
    Derivative(
        says="... whose antiderivative is -1 / (3 mu S u^3): ...",
        function=-1 / (3 * mu * S * x**3),
        variable=x,
        equals=1 / (mu * S * x**4),
    ),
    Limit(
        says="... T* <= 1 / (3 mu S |x_0|^3).",
        expression=1 / (3 * mu * S * x**3) - 1 / (3 * mu * S * w**3),
        variable=w,
        point=sp.oo,
        value=1 / (3 * mu * S * x**3),
    ),
)

_EARLIER = scalar_case(1.0, 1.0, 1.0, 0.0, [0.8, 1.0])

THEOREM = Theorem(
    name="blow_up_bounds",
    title="Bounds on the blow-up time",
    origin=Origin.SHARP,
    section="3.4",
    statement=(
        r"If $\mu > 0$ and $s\,x_{l0} > 0$ for some $l$, then $T^* \le \min_l \int_{|x_{l0}|}^\infty "
        r"\frac{du}{\mu u^3 \mathrm{softplus}(|s|u + b)}$ over these $l$, and for $b \ge 0$ "
        r"$T^* \le \min_l \frac{1}{3\mu|s||x_{l0}|^3}$."
    ),
    pool=FAST,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel,
        hypotheses.one_rate,
        hypotheses.mu_positive,
        hypotheses.slope_not_zero,
        hypotheses.some_driven_up,
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "one decay rate a": scalar_case([3.0, -1.0], 1.0, [0.2, 3.0], 0.0, [1.0]),
        "mu > 0": scalar_case(-1.0, 1.0, 1.0, 0.0, [1.0]),
        "s != 0": scalar_case(1.0, 0.0, 1.0, 0.0, [1.0]),
        "s x_l0 > 0 for some token": scalar_case(1.0, 1.0, 1.0, 0.0, [-1.0]),
    },
    weaker=(
        WeakerClaim(
            claim="T* is the least blow-up time of a token alone, for any number of tokens",
            origin=Origin.NAIVE,
            case=_EARLIER,
            expected=(
                Expected(
                    TIME,
                    float(blow_up_bound(1.0, 1.0, 0.0, [0.8, 1.0]) or 0.0),
                    relation=Relation.EQUAL,
                    tolerance=1e-6,
                ),
            ),
            because="earlier tokens push the later ones: T* is smaller, 0.2626 instead of 0.2830",
        ),
        WeakerClaim(
            claim="T* <= 1 / (3 mu |s| |x_0|^3) for every bias",
            origin=Origin.NAIVE,
            case=scalar_case(1.0, 1.0, 1.0, -2.0, [1.0]),
            expected=(Expected(TIME, 1 / 3, relation=Relation.AT_MOST, tolerance=1e-9),),
            because="a negative bias narrows the step size: T* is larger",
        ),
    ),
)
