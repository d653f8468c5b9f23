"""Convergence with a bias of each channel's own: one exponent per coordinate (theory 4.6)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Theorem, Told, WeakerClaim
from ..steps import Derivative, Identity, Inequality, Limit
from ..symbols import delta, t, w, x, y
from ..vector_hypotheses import NEGATIVE_DEFINITE, ONE_CHANNEL, no_zero_coordinate, one_smallest_bias
from ..vector_pools import UNEQUAL_BIASES, matrix_case

EXPONENT, CONSTANT = "slope of ln|x_1d| in ln t", "2 |M_dd| delta_d t x_1d^2"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    step = np.logaddexp(0.0, layer.dt_bias[0])
    slowest = int(np.argmin(step))
    exponents = -step / (2 * step[slowest])
    return (
        *(Expected(EXPONENT, float(one), d) for d, one in enumerate(exponents)),
        Expected(CONSTANT, 1.0, slowest),
    )


_m, _u0, _z = sp.symbols("m u_0 z", positive=True)
_b, _log_e = sp.symbols("b l_e", real=True)
_size = (2 * _m * delta * t) ** sp.Rational(-1, 2)
_M_11, _M_12, _M_21, _M_22 = sp.symbols("M_11 M_12 M_21 M_22", real=True)
_M = sp.Matrix([[_M_11, _M_12], [_M_21, _M_22]])

STEPS = (
    Derivative(
        says="d ln|x_d| = q Delta_d dt for every d: with x_e = e^{y Q}, Q = int q dt, x_d is the power x / y of x_e "
        "for constant step sizes x and y: d ln|x_d| / d ln|x_e| = Delta_d / Delta_e. (By 4.2 x_1 tends to zero, so "
        "that Delta_d -> delta_d.)",
        function=sp.log(w * sp.exp(_log_e) ** (x / y)),
        variable=_log_e,
        equals=x / y,
    ),
    Limit(
        says="Delta_d(x) - delta_d = O(|x|), ...",
        expression=(sp.log(1 + sp.exp(_b + w)) - sp.log(1 + sp.exp(_b))) / w,
        variable=w,
        point=sp.Integer(0),
        value=1 / (1 + sp.exp(-_b)),
        domain={_b: (-2.0, 2.0)},
    ),
    Inequality(
        says="... and |x| q dt is integrable, being |x| d ln|x|: so |x_d| is exactly of the order of |x_d*|^{delta_d / "
        "delta_d*}, a higher power where delta_d > delta_d*. With |x_d*| = e^-z < 1 those coordinates vanish first:",
        smaller=sp.exp(-_z * (1 + w)),
        larger=sp.exp(-_z),
        rises_from=(w, sp.Integer(0)),
    ),
    Limit(
        says="... so q = x^T M x is M_d*d* x_d*^2 to leading order: here with x = (1, w).",
        expression=(sp.Matrix([[1, w]]) * _M * sp.Matrix([1, w]))[0],
        variable=w,
        point=sp.Integer(0),
        value=_M_11,
    ),
    Derivative(
        says="So x_d*' = -|M_d*d*| delta_d* x_d*^3 (1 + o(1)), solved by (2 |M_d*d*| delta_d* t)^(-1/2) ...",
        function=_size,
        variable=t,
        equals=-_m * delta * _size**3,
    ),
    Identity(
        says="... and x_d is of the order of t^(-delta_d / (2 delta_d*)).",
        left=sp.log((t ** sp.Rational(-1, 2)) ** (w / delta)),
        right=-w / (2 * delta) * sp.log(t),
    ),
)

_M0, _ZERO = -np.eye(3), np.zeros((3, 3))
_BIASES = np.array([0.0, -1.0, 1.0])

THEOREM = Theorem(
    name="unequal_biases",
    title="Unequal biases: one exponent per coordinate",
    origin=Origin.NEW,
    section="4.6",
    statement=(
        r"Let $\mathrm{sym}(M)$ be negative definite, $\delta_d = \mathrm{softplus}(b_d)$ and $d^*$ the only channel "
        r"with the smallest bias. Then token 1 has $|x_d| \sim C_d\,t^{-\delta_d/(2\delta_{d^*})}$, and "
        r"$2|M_{d^*d^*}|\delta_{d^*}\,t\,x_{d^*}^2 \to 1$."
    ),
    pool=UNEQUAL_BIASES,
    hypotheses=hypotheses.all_of(
        hypotheses.several_channels, hypotheses.one_token, NEGATIVE_DEFINITE, one_smallest_bias, no_zero_coordinate
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D >= 2": ONE_CHANNEL,
        "L = 1": matrix_case(_M0, _ZERO, _BIASES, np.ones((2, 3))),
        "sym(M) is negative definite": matrix_case(np.diag([-1.0, 1.0, -1.0]), _ZERO, _BIASES, [1.0, 1.0, 1.0]),
        "one channel alone has the smallest bias": matrix_case(_M0, _ZERO, np.array([-1.0, -1.0, 1.0]), np.ones(3)),
        "no coordinate of x_0 is zero": matrix_case(_M0, _ZERO, _BIASES, [1.0, 0.0, 1.0]),
    },
    weaker=(
        WeakerClaim(
            claim="every coordinate decays like t^-1/2",
            origin=Origin.PAPER,
            case=matrix_case(_M0, _ZERO, _BIASES, [1.0, 1.0, 1.0]),
            expected=(Expected(EXPONENT, -0.5, 0), Expected(EXPONENT, -0.5, 2)),
            because="O(t^-1/2) holds, but only the channel with the smallest step size attains it",
        ),
    ),
)
