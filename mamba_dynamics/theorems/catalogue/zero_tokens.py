"""Zero tokens stay zero, but still weaken what passes them: convergent constants (theory 3.2)."""

import sympy as sp

from ..._layer import S6Layer
from .. import convergent, hypotheses
from ..base import FloatArray, ScalarSystem
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import CONVERGENT_WITH_ZEROS, scalar_case
from ..steps import Identity, Inequality
from ..symbols import SOFTPLUS, a, b, g, mu, s, x
from .convergent_constants import KAPPA

STILL = "|x| at the end"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    system = ScalarSystem.of(layer, x0)
    limits, _ = convergent.kappa(system)
    zeros = [Expected(STILL, 0.0, int(l), Relation.EQUAL, 0.0) for l in (x0 == 0).nonzero()[0]]  # noqa: E741
    return (*zeros, *(Expected(KAPPA, float(limits[l]), int(l)) for l in (x0 != 0).nonzero()[0]))  # noqa: E741


_q = sp.Symbol("q", positive=True)
_driven = x**2 * SOFTPLUS(s * x + b) + sp.exp(-a * SOFTPLUS(s * x + b)) * g

STEPS = (
    Identity(
        says="A zero token does not move.",
        left=mu * x * _driven,
        where={x: sp.Integer(0)},
        right=sp.Integer(0),
    ),
    Identity(
        says="It passes on the drive of the earlier tokens weakened by e^{-a Delta(0)} = (1 + e^b)^{-a} = q.",
        left=_driven,
        where={x: sp.Integer(0)},
        right=g * (1 + sp.exp(b)) ** (-a),
    ),
    Inequality(
        says="Weakened, not shut out: q > 0.",
        smaller=sp.Integer(0),
        larger=(1 + sp.exp(b)) ** (-a),
        strict=True,
    ),
    Identity(
        says="Token 1 active, token 2 zero: K_3 = q^2, so kappa_3 = 1 - q^2. The next active token has K_4 = q "
        "kappa_3 + q^3 = q, and kappa_4 = 1 - q again: one step behind an active token the constant is the usual one.",
        left=_q * (1 - _q**2) + _q**3,
        right=_q,
    ),
)

THEOREM = Theorem(
    name="zero_tokens",
    title="Zero tokens",
    origin=Origin.SHARP,
    section="3.2",
    statement=(
        r"A token with $x_{l0} = 0$ stays zero. For $\mu < 0$ the constants of the others obey $\kappa_l = \max(0, 1 - "
        r"\sum_{j<l} \kappa_j q^{l-j})$ with $q = e^{-a\delta_0}$ and $\kappa_j = 0$ for a zero token."
    ),
    pool=CONVERGENT_WITH_ZEROS,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel, hypotheses.one_rate, hypotheses.mu_negative, hypotheses.some_zero_token
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "one decay rate a": scalar_case([-1.0, -0.5], 0.5, [0.2, 3.0], 0.0, [1.0, 0.0, 0.3, 0.2]),
        "mu < 0": scalar_case(1.0, -0.5, 1.0, 0.0, [1.0, 0.0, 0.3, 0.2]),
        "some token is zero, some is not": scalar_case(-1.0, -0.5, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
    },
    weaker=(
        WeakerClaim(
            claim="a zero token has no influence: the tokens after it behave as if it were not there",
            origin=Origin.NAIVE,
            case=scalar_case(-1.0, 0.5, 1.0, 0.0, [1.0, 0.0, 1.0, 0.5]),
            expected=(Expected(KAPPA, 0.5, 2),),
            because="it still weakens the drive by e^{-a delta_0}: kappa_3 is 1 - q^2 = 3/4, not 1 - q = 1/2",
        ),
    ),
)
