"""Convergent tokens are O(t^-1/2), and their hidden attention O(1/t) (the paper; theory 3.2)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray, ScalarSystem, log_step_size
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import CONVERGENT, scalar_case
from ..steps import Derivative, Identity, Inequality
from ..symbols import SOFTPLUS, a, b, mu, s, t, w, x

EXPONENT, SIZE, ATTENTION = "slope of ln|x| in ln t", "ln x^2 along ln t", "largest ln|P_lj| in row l along ln t"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    """O(.) with the constants of the proof, so that it can be checked at every t and not only far out."""
    system = ScalarSystem.of(layer, x0)
    # Logarithms: the step size of a token far out underflows.
    log_steps = np.stack(np.broadcast_arrays(log_step_size(system.b), log_step_size(system.s * system.x0 + system.b)))
    least, most = log_steps.min(axis=0), log_steps.max(axis=0)
    log_rate = np.log(2 * abs(system.mu_bar))
    found: list[Expected] = []
    for token in range(len(system.x0)):
        seen = slice(token + 1)
        attention = float(most[seen].max() - least[seen].min()) - np.log(2)
        found.append(Expected(SIZE, _over_t(-log_rate - float(least[token])), token, Relation.AT_MOST))
        found.append(Expected(ATTENTION, _over_t(attention), token, Relation.AT_MOST))
    return tuple(found)


def _over_t(log_constant: float):
    """ln(constant / t) as a function of ln t."""
    return lambda log_t: log_constant - log_t


_m, _d, _D, _y, _z = sp.symbols("m d D y z", positive=True)

STEPS = (
    Derivative(
        says="The step size is monotone in x: between 0 and x_0 it is at least m = min(Delta(0), Delta(x_0)) > 0.",
        function=SOFTPLUS(s * x + b),
        variable=x,
        equals=s / (1 + sp.exp(-s * x - b)),
    ),
    Derivative(
        says="y' = -2 |mu| m y^2, which y = x_l^2 stays below, has the solution y_0 / (1 + 2 |mu| m y_0 t).",
        function=w / (1 + 2 * mu * _m * w * t),
        variable=t,
        equals=-2 * mu * _m * (w / (1 + 2 * mu * _m * w * t)) ** 2,
    ),
    Inequality(
        says="So t x_l^2 never exceeds 1 / (2 |mu| m): x_l = O(t^-1/2) with a constant for all times.",
        smaller=t * w / (1 + 2 * mu * _m * w * t),
        larger=1 / (2 * mu * _m),
        gap=1 / (2 * mu * _m * (1 + 2 * mu * _m * w * t)),
    ),
    Inequality(
        says="|P_lj| = |mu x_l x_j| Delta_j e^{-a ...} is at most |mu| Delta_j (x_l^2 + x_j^2) / 2 ...",
        smaller=x * w * sp.exp(-a * _d),
        larger=(x**2 + w**2) / 2,
        rises_from=(a, sp.Integer(0)),
    ),
    Identity(
        says="... and Delta_j at most D = max(Delta(0), Delta(x_j0)), by the same monotony: with x_l^2 and x_j^2 at "
        "most 1 / (2 |mu| m t), |P_lj| is at most (D / 2 m) / t = O(1/t).",
        left=mu * _D * (_y + _z) / 2,
        where={_y: 1 / (2 * mu * _m * t), _z: 1 / (2 * mu * _m * t)},
        right=_D / (2 * _m * t),
    ),
)

THEOREM = Theorem(
    name="convergent_rate",
    title="Rate of convergent tokens",
    origin=Origin.PAPER,
    section="3.2",
    statement=r"If $\mu < 0$ then $x_l(t) = O(t^{-1/2})$ and $P_{lj}(t) = O(t^{-1})$.",
    pool=CONVERGENT,
    hypotheses=hypotheses.all_of(hypotheses.one_channel, hypotheses.one_rate, hypotheses.mu_negative),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "one decay rate a": scalar_case([-1.0, -0.5], 0.5, [0.2, 3.0], 0.0, [1.0, 0.5, 0.3, 0.2]),
        "mu < 0": scalar_case(1.0, -0.5, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
    },
    weaker=(
        WeakerClaim(
            claim="convergent tokens decay exponentially, so faster than any power of t",
            origin=Origin.NAIVE,
            case=scalar_case(-1.0, 1.0, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
            expected=(Expected(EXPONENT, -2.0, 0, Relation.AT_MOST),),
            because="the field is cubic at zero: the rate mu g_l vanishes with the tokens",
        ),
    ),
)
