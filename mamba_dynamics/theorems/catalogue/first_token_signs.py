"""Token 1 keeps the sign of every coordinate, and q(x) alone says whether it shrinks or grows (theory 4.1)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..steps import Derivative, Identity, Inequality
from ..symbols import SOFTPLUS, delta, t
from ..vector_hypotheses import ONE_CHANNEL
from ..vector_pools import FIRST_TOKEN, matrix_case


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (
        Expected("dx_1d/dt where x_1d = 0", 0.0, relation=Relation.EQUAL, tolerance=0.0),
        Expected("sign(q) x_1d dx_1d/dt", 0.0, relation=Relation.AT_LEAST, tolerance=1e-14),
        Expected("defect of dx_1d/dt = q Delta_d x_1d", 0.0, relation=Relation.EQUAL, tolerance=1e-11),
    )


_u, _v, _z = sp.symbols("u v z", real=True)
_velocity = sp.Symbol("f", real=True)
_SB = sp.Matrix(2, 2, [sp.Symbol(f"B_{i}", real=True) for i in range(1, 5)])
_SC = sp.Matrix(2, 2, [sp.Symbol(f"C_{i}", real=True) for i in range(1, 5)])
_X = sp.Matrix([_u, _v])
_M = _SC.T * _SB
_q = (_X.T * _M * _X)[0]

STEPS = (
    Identity(
        says="The first token sees itself only, without decay: P_11 = Delta_d (S_C x) . (S_B x) = Delta_d x^T M x, the "
        "same q(x) in every channel.",
        left=((_SC * _X).T * (_SB * _X))[0],
        right=_q,
    ),
    Identity(
        says="q depends on the symmetric part of M alone.",
        left=_q,
        right=(_X.T * ((_M + _M.T) / 2) * _X)[0],
    ),
    Derivative(
        says="dx_d/dt = q Delta_d x_d is solved by x_d = x_d0 e^I, I = int q Delta_d dt: here with a constant rate z.",
        function=_u * sp.exp(_z * t),
        variable=t,
        equals=_z * (_u * sp.exp(_z * t)),
    ),
    Inequality(
        says="An exponential is positive, so x_d keeps its sign.",
        smaller=sp.Integer(0),
        larger=sp.exp(_z * t),
        strict=True,
    ),
    Inequality(
        says="Delta_d > 0, ...",
        smaller=sp.Integer(0),
        larger=SOFTPLUS(_z),
        gap=sp.log(1 + sp.exp(_z)),
        strict=True,
    ),
    Identity(
        says="... and d x_d^2 / dt = 2 q Delta_d x_d^2: every |x_d| moves with the sign of q, all at once.",
        left=2 * _u * _velocity,
        where={_velocity: _z * delta * _u},
        right=2 * _z * delta * _u**2,
    ),
)

THEOREM = Theorem(
    name="first_token_signs",
    title="The first token keeps its orthant",
    origin=Origin.NEW,
    section="4.1",
    statement=(
        r"For $D \ge 2$ token 1 obeys $\dot x_d = q(x)\,\Delta_d(x)\,x_d$ with $q(x) = x^\top M x$: the sign of every "
        r"coordinate is invariant, and all $|x_d|$ shrink while $q < 0$ and grow while $q > 0$."
    ),
    pool=FIRST_TOKEN,
    hypotheses=hypotheses.all_of(hypotheses.several_channels),
    conclusion=conclusion,
    steps=STEPS,
    breaks={"D >= 2": ONE_CHANNEL},
    weaker=(
        WeakerClaim(
            claim="every token keeps the sign of every coordinate, as for D = 1",
            origin=Origin.NAIVE,
            case=matrix_case(-np.eye(2), np.zeros((2, 2)), 0.0, [[1.0, 1.0], [1.0, 0.05]]),
            expected=(Expected("coordinates that change sign", 0.0, 1, Relation.EQUAL),),
            because="token 1 pulls token 2 along its own direction, across the hyperplane",
        ),
    ),
)
