"""Where the step size is constant token 1 is solved exactly, and q(x_0) decides, not the eigenvalues (theory 4.3)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..steps import Derivative, Identity, Limit
from ..symbols import delta, t
from ..vector_hypotheses import ONE_CHANNEL, constant_step, equal_biases, exact_q, off_the_cone
from ..vector_pools import CONSTANT_STEP_VECTORS, matrix_case

GOES = "where the tokens go"
_ZERO = np.zeros((2, 2))


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    q = float(exact_q(layer, x0[0])) * abs(layer.gain)
    if q < 0:
        return (Expected(GOES, "zero", relation=Relation.EQUAL), Expected("2 |q(v)| delta t |x_1|^2", 1.0))
    time = 1 / (2 * float(np.logaddexp(0.0, layer.dt_bias[0, 0])) * q)
    return (
        Expected("scenario", "fast_divergence", relation=Relation.EQUAL),
        Expected("T*", time, relation=Relation.EQUAL, tolerance=1e-9 * time),
    )


_k = sp.Symbol("k", positive=True)
_r = (1 + 2 * delta * _k * t) ** sp.Rational(-1, 2)
_v1, _v2, _p, _w = sp.symbols("v_1 v_2 p w", real=True)
_lambda = sp.Symbol("lambda", real=True)


_A = sp.Matrix(2, 2, sp.symbols("M_11 M_12 M_21 M_22", real=True))
_v = sp.Matrix([_v1, _v2])
_ray = _v * (1 - 2 * delta * (_v.T * _A * _v)[0] * t) ** sp.Rational(-1, 2)


def _q_of(matrix: sp.Matrix) -> sp.Expr:
    return (_v.T * matrix * _v)[0]


STEPS = (
    Derivative(
        says="Token 1 keeps its direction: x = r v, r = (1 - 2 delta q(v) t)^(-1/2), solves dx_d/dt = q(x) delta x_d "
        "in every channel, as q(r v) = r^2 q(v). Here the first of two.",
        function=_ray[0],
        variable=t,
        equals=(_ray.T * _A * _ray)[0] * delta * _ray[0],
        domain={t: (1e-4, 5e-3), _v1: (-1.0, 1.0), _v2: (-1.0, 1.0)},
    ),
    Derivative(
        says="So r' = q(x_0) delta r^3. For q(x_0) = -k: r = (1 + 2 delta k t)^(-1/2).",
        function=_r,
        variable=t,
        equals=-_k * delta * _r**3,
    ),
    Limit(
        says="So 2 delta k t r^2 -> 1, ...",
        expression=2 * delta * _k * t * _r**2,
        variable=t,
        point=sp.oo,
        value=sp.Integer(1),
    ),
    Identity(
        says="... and for q(x_0) = k > 0, r^-2 = 1 - 2 delta k t reaches zero at T* = 1 / (2 delta k).",
        left=2 * delta * _k * t,
        where={t: 1 / (2 * delta * _k)},
        right=sp.Integer(1),
    ),
    Identity(
        says="The eigenvalues of [[p, w], [0, p]] are p twice, whatever w ...",
        left=(_lambda * sp.eye(2) - sp.Matrix([[_p, _w], [0, _p]])).det(),
        right=(_lambda - _p) ** 2,
    ),
    Identity(
        says="... but q(1, 1) = 2 p + w takes either sign.",
        left=_q_of(sp.Matrix([[_p, _w], [0, _p]])),
        where={_v1: sp.Integer(1), _v2: sp.Integer(1)},
        right=2 * _p + _w,
    ),
)

THEOREM = Theorem(
    name="eigenvalue_rule",
    title="The eigenvalue rule fails for non-normal matrices",
    origin=Origin.NEW,
    section="4.3",
    statement=(
        r"For $S_\Delta = 0$ and equal biases token 1 keeps its direction; it tends to zero like "
        r"$(2\delta|q(x_0)|t)^{-1/2}x_0$ if $q(x_0) < 0$ and blows up at $T^* = 1/(2\delta q(x_0))$ if $q(x_0) > 0$, "
        r"whatever the eigenvalues of $M$."
    ),
    pool=CONSTANT_STEP_VECTORS,
    hypotheses=hypotheses.all_of(
        hypotheses.several_channels, hypotheses.one_token, constant_step, equal_biases, off_the_cone
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D >= 2": ONE_CHANNEL,
        "L = 1": matrix_case(np.eye(2), _ZERO, 0.0, np.ones((2, 2))),
        "S_Delta = 0": matrix_case(np.eye(2), np.diag([1.0, 0.5]), 0.0, [1.0, 1.0]),
        "equal biases": matrix_case(np.diag([1.0, 2.0]), _ZERO, np.array([0.0, -1.0]), [1.0, 1.0]),
        "q(x_0) != 0": matrix_case(np.diag([1.0, -1.0]), _ZERO, 0.0, [1.0, 1.0]),
    },
    weaker=(
        WeakerClaim(
            claim="all eigenvalues of M negative: tokens converge to zero",
            origin=Origin.PAPER,
            case=matrix_case([[-1.0, 10.0], [0.0, -1.0]], _ZERO, 0.0, [1.0, 1.0]),
            expected=(Expected(GOES, "zero", relation=Relation.EQUAL),),
            because="M = [[-1, 10], [0, -1]] is not normal: q(1, 1) = 8 > 0, and token 1 blows up",
        ),
        WeakerClaim(
            claim="some eigenvalue of M positive: tokens diverge",
            origin=Origin.PAPER,
            case=matrix_case([[0.1, -10.0], [0.0, 0.1]], _ZERO, 0.0, [1.0, 1.0]),
            expected=(Expected(GOES, "infinity", relation=Relation.EQUAL),),
            because="both eigenvalues are 0.1, but q(1, 1) = -9.8 < 0, and token 1 converges to zero",
        ),
    ),
)
