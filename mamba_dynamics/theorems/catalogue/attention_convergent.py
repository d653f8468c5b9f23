"""Hidden attention of convergent tokens: t P_lj has limits (theory 3.2)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import convergent
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import CONVERGENT, scalar_case
from ..steps import Identity, Limit
from ..symbols import SOFTPLUS, b, mu, q, s, t, x
from .convergent_constants import THEOREM as CONSTANTS

ATTENTION = "t P_lj"


def limits(system: ScalarSystem) -> FloatArray:
    """lim t P_lj = sign(mu x_l x_j) sqrt(kappa_l kappa_j) q^(l - j) / 2, (L, L)."""
    kappa, _ = convergent.kappa(system)
    place = np.arange(len(kappa))
    kept = np.tril(np.exp(-system.a[0] * system.delta_0 * np.maximum(place[:, None] - place, 0)))
    sign = np.sign(system.mu_bar) * np.sign(np.outer(system.x0, system.x0))
    return 0.5 * sign * np.sqrt(np.outer(kappa, kappa)) * kept


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    rows = limits(ScalarSystem.of(layer, x0))
    return tuple(Expected(ATTENTION, row[: token + 1], token) for token, row in enumerate(rows))


_kl, _kj, _d, _n = sp.symbols("k_l k_j d n", positive=True)
_xl, _xj = sp.symbols("x_l x_j", positive=True)

STEPS = (
    Limit(
        says="The step sizes tend to delta_0, so the decay between j and l tends to q^{l - j}.",
        expression=SOFTPLUS(s * x + b),
        variable=x,
        point=sp.Integer(0),
        value=SOFTPLUS(b),
    ),
    Identity(
        says="With x_l = (kappa_l / (2 |mu| delta_0 t))^(1/2): t |mu| x_l x_j delta_0 = (kappa_l kappa_j)^(1/2) / 2.",
        left=t * mu * _xl * _xj * _d,
        where={_xl: sp.sqrt(_kl / (2 * mu * _d * t)), _xj: sp.sqrt(_kj / (2 * mu * _d * t))},
        right=sp.sqrt(_kl * _kj) / 2,
    ),
    Identity(
        says="Row l of |P| sums to (kappa_l^(1/2) / 2t) (sum_j kappa_j^(1/2) q^{l-j}): for l = 2 the share of token 1 "
        "is q / (q + (1 - q)^(1/2)), strictly between 0 and 1: no token is a sink.",
        left=q * sp.sqrt(1 - q) / (q * sp.sqrt(1 - q) + (1 - q)),
        right=q / (q + sp.sqrt(1 - q)),
        domain={q: (0.1, 0.9)},
    ),
)

THEOREM = Theorem(
    name="attention_convergent",
    title="Hidden attention under convergence",
    origin=Origin.SHARP,
    section="3.2",
    statement=(
        r"For $\mu < 0$ and non-zero tokens $t\,P_{lj} \to \tfrac12\,\mathrm{sgn}(\mu x_l "
        r"x_j)\sqrt{\kappa_l\kappa_j}\, e^{-a\delta_0(l-j)}$."
    ),
    pool=CONVERGENT,
    hypotheses=CONSTANTS.hypotheses,
    conclusion=conclusion,
    steps=STEPS,
    breaks=CONSTANTS.breaks,
    weaker=(
        WeakerClaim(
            claim="the attention becomes diagonal: each token attends to itself alone",
            origin=Origin.NAIVE,
            case=scalar_case(-1.0, 0.5, 1.0, 0.0, [1.0, 0.5]),
            expected=(Expected("share of token 1 in row l", 1e-3, 1, Relation.AT_MOST),),
            because="the decay between tokens tends to e^{-a delta_0} per step, not to zero",
        ),
    ),
)
