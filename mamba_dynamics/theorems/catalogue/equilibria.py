"""Bounded, non-zero limits exist for D >= 2: the first token can stop on the null cone of q (theory 4.4)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..steps import Derivative, Identity, Inequality
from ..symbols import SOFTPLUS, delta, w, x, y
from ..vector_hypotheses import ONE_CHANNEL, opposed_steps, positive_quadrant, q_positive, saddle, two_channels
from ..vector_pools import SADDLE, matrix_case
from .eigenvalue_rule import GOES

AT_END = "|x_1d| at the end"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    limits = equilibrium(layer, x0[0])
    return (
        Expected("scenario", "equilibrium", relation=Relation.EQUAL),
        *(Expected(AT_END, float(limits[d]), d, Relation.EQUAL, 1e-8) for d in range(2)),
    )


def equilibrium(layer: S6Layer, x0: FloatArray) -> FloatArray:
    """Where a token (2,) stops: where the orbit, a level line of F_1(x_1) - F_2(x_2), meets sqrt(p) x_1 = sqrt(r) x_2.

    F_d(u) = int du / (u Delta_d(u)), by Gauss-Legendre quadrature; Newton's method on a convex, rising function.
    """
    M, slopes, b = layer.input_output_matrix(), np.diag(layer.S_Delta()), layer.dt_bias[0]
    ratio = float(np.sqrt(-M[0, 0] / M[1, 1]))

    def gap(log_x: float) -> float:
        ends = (log_x, log_x + np.log(ratio))
        first, second = (
            _integral(lambda v, d=d: 1 / np.logaddexp(0.0, slopes[d] * np.exp(v) + b[d]), np.log(x0[d]), ends[d])
            for d in range(2)
        )
        return first - second

    low, high = np.log(x0[0]), np.log(x0[0]) + 0.1
    while gap(high) < 0:
        low, high = high, high + 0.2
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if gap(middle) < 0 else (low, middle)
    return np.exp(low) * np.array([1.0, ratio])


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


def _integral(function, low: float, high: float, panels: int = 4) -> float:
    edges = np.linspace(low, high, panels + 1)
    half = 0.5 * np.diff(edges)[:, None]
    at = edges[:-1, None] + half * (1 + _NODES)
    return float(np.sum(half * _WEIGHTS * function(at)))


_u, _v, _p, _r, _D1, _D2, _q = sp.symbols("u v p r Delta_1 Delta_2 q", real=True)
_b = sp.Symbol("b", real=True)
_saddle = _p * _u**2 - _r * _v**2
_m12 = sp.Symbol("M_12", real=True)
_general = _p * _u**2 + 2 * _m12 * _u * _v + _r * _v**2

STEPS = (
    Identity(
        says="Along dx_d/dt = q Delta_d x_d, dq/dt = 2 q x^T sym(M) (Delta * x): q = 0 is invariant, and attracts "
        "where x^T sym(M) (Delta * x) < 0. That is the stability test.",
        left=sp.diff(_general, _u) * _q * _D1 * _u + sp.diff(_general, _v) * _q * _D2 * _v,
        right=2
        * _q
        * (sp.Matrix([[_u, _v]]) * sp.Matrix([[_p, _m12], [_m12, _r]]) * sp.Matrix([_D1 * _u, _D2 * _v]))[0],
    ),
    Identity(
        says="For M = diag(p, -r) on the cone p u^2 = r v^2 the test reads p u^2 (Delta_1 - Delta_2) < 0: where "
        "channel 2 has the larger step size.",
        left=_p * _u**2 * _D1 - _r * _v**2 * _D2,
        where={_r: _p * _u**2 / _v**2},
        right=_p * _u**2 * (_D1 - _D2),
        domain={_v: (0.1, 3.0)},
    ),
    Inequality(
        says="With S_Delta = diag(-alpha, beta) and b_1 <= b_2 that is so in the whole positive quadrant: the "
        "arguments of softplus differ by w = b_2 - b_1 + beta x_2 + alpha x_1 > 0, and softplus rises.",
        smaller=SOFTPLUS(_b),
        larger=SOFTPLUS(_b + w),
        rises_from=(w, sp.Integer(0)),
        strict=True,
    ),
    Derivative(
        says="Both coordinates rise while q > 0, x_2 faster: d ln x_2 / d ln x_1 = Delta_2 / Delta_1 > 1, so that "
        "q / x_1^2 = p - r (x_2 / x_1)^2 falls at a rate bounded away from zero, and reaches zero at a finite x_1: ...",
        function=_p - _r * sp.exp(2 * _v),
        variable=_v,
        equals=-2 * _r * sp.exp(2 * _v),
    ),
    Identity(
        says="... on the line where the first integral F_1(x_1) - F_2(x_2), F_d = int du / (u Delta_d), keeps its "
        "initial value: here for constant step sizes delta and w, where x_d = x_d0 e^{Delta_d Q} with Q = int q dt.",
        left=sp.log(x) / delta - sp.log(y) / w,
        where={x: x * sp.exp(delta * _q), y: y * sp.exp(w * _q)},
        right=sp.log(x) / delta - sp.log(y) / w,
    ),
)

_M, _S = np.diag([1.0, -1.0]), np.diag([-1.0, 1.0])

THEOREM = Theorem(
    name="equilibria",
    title="Convergence to a non-zero equilibrium",
    origin=Origin.NEW,
    section="4.4",
    statement=(
        r"Near a non-zero point with $q(x) = 0$ the null cone of $q$ attracts token 1 if $x^\top "
        r"\mathrm{sym}(M)(\Delta(x) \odot x) < 0$, and repels it if that is positive. So for $M = \mathrm{diag}(p, "
        r"-r)$, $S_\Delta = \mathrm{diag}(-\alpha, \beta)$ with $p, r, \alpha, \beta > 0$ and $b_1 \le b_2$, token 1 "
        r"from any $x_0 > 0$ with $q(x_0) > 0$ tends to a non-zero point of the null cone."
    ),
    pool=SADDLE,
    hypotheses=hypotheses.all_of(
        two_channels, hypotheses.one_token, saddle, opposed_steps, positive_quadrant, q_positive
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 2": ONE_CHANNEL,
        "L = 1": matrix_case(_M, _S, 0.0, [[1.0, 0.5], [1.0, 0.5]]),
        "M = diag(p, -r) with p, r > 0": matrix_case(np.eye(2), _S, 0.0, [1.0, 0.5]),
        "S_Delta = diag(-alpha, beta) with alpha, beta > 0, and b_1 <= b_2": matrix_case(_M, -_S, 0.0, [1.0, 0.5]),
        "x_0 > 0": matrix_case(_M, _S, 0.0, [-1.0, -0.5]),
        "q(x_0) > 0": matrix_case(_M, _S, 0.0, [0.05, 1.0]),
    },
    weaker=(
        WeakerClaim(
            claim="tokens either tend to zero or diverge: with q(x_0) > 0, diverge",
            origin=Origin.PAPER,
            case=matrix_case(_M, _S, 0.0, [1.0, 0.5]),
            expected=(
                Expected(GOES, "infinity", relation=Relation.EQUAL),
                Expected(AT_END, 1e3, 0, Relation.AT_LEAST),
            ),
            because="token 1 from (1, 0.5) tends to the finite, non-zero point (1.2465, 1.2465)",
        ),
        WeakerClaim(
            claim="tokens either tend to zero or diverge: with q(x_0) < 0, tend to zero",
            origin=Origin.PAPER,
            case=matrix_case(_M, _S, 0.0, [0.5, 1.0]),
            expected=(
                Expected(GOES, "zero", relation=Relation.EQUAL),
                Expected(AT_END, 1e-3, 0, Relation.AT_MOST),
            ),
            because="token 1 from (0.5, 1) tends to (0.2066, 0.2066): a third regime, bounded and non-zero",
        ),
    ),
)
