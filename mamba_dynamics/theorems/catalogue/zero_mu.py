"""mu = 0: nothing moves (theory 3.1)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import MOTIONLESS, scalar_case
from ..steps import Identity
from ..symbols import SOFTPLUS, a, b, g, s

SPEED = "largest |dx_l/dt|"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (
        Expected(SPEED, 0.0, relation=Relation.EQUAL, tolerance=0.0),
        Expected("scenario", "constant", relation=Relation.EQUAL),
    )


_x, _m, _C, _B, _in, _out = sp.symbols("x m C B i o", real=True)

STEPS = (
    Identity(
        says="Every entry of the hidden attention has the factor mu = S_C S_B: P_lj = (C x_l) (B x_j) Delta_j "
        "e^{-...}.",
        left=_out * _in * SOFTPLUS(s * _m + b) * sp.exp(-a),
        where={_out: _C * _x, _in: _B * _m},
        right=(_C * _B) * _x * _m * SOFTPLUS(s * _m + b) * sp.exp(-a),
    ),
    Identity(
        says="So with mu = 0 the field vanishes at every point.",
        left=_m * _x * (_x**2 * SOFTPLUS(s * _x + b) + sp.exp(-a * SOFTPLUS(s * _x + b)) * g),
        where={_m: sp.Integer(0)},
        right=sp.Integer(0),
    ),
    Identity(
        says="With several rates that needs mu_n = 0 for each n: mu_1 = -mu_2 = m leaves m g (e^{-a} - e^{-2a}) at a "
        "token that itself is small (g the drive after unit steps).",
        left=_m * g * sp.exp(-a) - _m * g * sp.exp(-2 * a),
        right=_m * g * sp.exp(-2 * a) * (sp.exp(a) - 1),
    ),
)

THEOREM = Theorem(
    name="zero_mu",
    title="The degenerate case mu = 0",
    origin=Origin.SHARP,
    section="3.1",
    statement=r"If $\mu = 0$ (one decay rate) every token is constant.",
    pool=MOTIONLESS,
    hypotheses=hypotheses.all_of(hypotheses.one_channel, hypotheses.one_rate, hypotheses.mu_zero),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "one decay rate a": scalar_case([1.0, -1.0], 0.5, [0.2, 3.0], 0.0, [1.0, 0.5, 0.3, 0.2]),
        "mu = 0": scalar_case(1e-300, 0.5, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
    },
    weaker=(
        WeakerClaim(
            claim="with several decay rates it suffices that the sum of mu_n is zero",
            origin=Origin.NAIVE,
            case=scalar_case([1.0, -1.0], 0.5, [0.2, 3.0], 0.0, [1.0, 0.5, 0.3, 0.2]),
            expected=(Expected(SPEED, 0.0, relation=Relation.EQUAL, tolerance=0.0),),
            because="token 1 does not move, but later tokens receive states that have decayed at different rates",
        ),
    ),
)
