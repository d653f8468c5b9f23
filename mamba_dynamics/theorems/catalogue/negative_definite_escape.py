"""A token that diverges like a power of t though M is symmetric and negative definite (new; corrects theory 4.2)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Hypothesis, Origin, Theorem, Told, WeakerClaim
from ..hypotheses import certified, checked
from ..steps import Derivative, Identity, Inequality, Limit
from ..symbols import a, delta, t
from ..vector_hypotheses import NEGATIVE_DEFINITE as IS_NEGATIVE_DEFINITE
from ..vector_hypotheses import ONE_CHANNEL, two_channels, two_tokens
from ..vector_pools import ESCAPE, matrix_case

SLOPE = "slope of ln|x| in ln t, stiff"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (Expected(SLOPE, -0.5, 0), Expected(SLOPE, growth_exponent(layer), 1))


def growth_exponent(layer: S6Layer) -> float:
    """c / (2 (d - p - 2 c)) for M = -[[p, -(p + c)], [-(p + c), d]]."""
    along = layer.input_output_matrix().sum(axis=1)
    return float(along[0] / (-2 * along.sum()))


def shared_direction(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    """Token 1 along (1, 1), which S_Delta = sigma [[-1, 1], [1, -1]], sigma > 0, does not see; equal biases."""
    S, b = layer.S_Delta(), layer.dt_bias[0]
    holds = bool(x0[0, 0] == x0[0, 1] != 0 and b[0] == b[1] and S[0, 0] < 0)
    return certified(
        "x_1 along (1, 1), unseen by S_Delta = sigma [[-1, 1], [1, -1]]",
        holds and bool(np.array_equal(S, S[0, 0] * np.array([[1.0, -1.0], [-1.0, 1.0]]))),
    )


def drives_outward(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    """M symmetric with M (1, 1) = (c, ...), c > 0: token 1 pushes token 2's first coordinate outward."""
    M = layer.input_output_matrix()
    return certified("M is symmetric and M (1, 1) has a positive first entry", bool(M[0, 1] == M[1, 0] > -M[0, 0]))


def own_step_shut(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    """Token 2 starts at (X, 0) so far out that its own term stays below a quarter of the drive for ever.

    Bootstrap: while that holds, X grows at least like (1 + tau)^(0.7 exponent), tau = t / t_0, and the drive falls
    like 1 / (1 + tau); the ratio is largest at some tau, found on a grid in ln(1 + tau).
    """
    name = "x_2 = (X, 0), its own step size shut for ever"
    M, b = layer.input_output_matrix(), float(layer.dt_bias[0, 0])
    sigma, step = abs(float(layer.S_Delta()[0, 0])), float(np.logaddexp(0.0, b))
    if x0[1, 1] != 0 or x0[1, 0] <= 0:
        return certified(name, holds=False)
    passed = np.linspace(0.0, 200.0, 2001)
    log_X = np.log(x0[1, 0]) + 0.7 * abs(growth_exponent(layer)) * passed
    log_own = np.log(-M[0, 0]) + 2 * log_X + b - sigma * np.exp(log_X)
    log_drive = np.log(abs(M[0].sum()) * step * x0[0, 0] ** 2) - passed
    worst = float(np.max(log_own - log_drive))
    return checked(name, worst, -np.log(4.0) - worst)


_p, _c, _z, _X, _r, _k, _S, _K = sp.symbols("p c z X r k S K", positive=True)
_d = (_p + _c) ** 2 / _p + _z
_M = sp.Matrix([[-_p, _p + _c], [_p + _c, -_d]])
_u, _v = sp.symbols("u v", real=True)
_x, _x1, _x2 = sp.Matrix([_u, _v]), sp.Matrix([_r, _r]), sp.Matrix([_X, 0])
_b = sp.Symbol("b", real=True)
_size = (1 + 2 * delta * _k * t) ** sp.Rational(-1, 2)

STEPS = (
    Inequality(
        says="M = -[[p, -(p + c)], [-(p + c), d]] with p d > (p + c)^2: trace negative, and determinant positive, so M "
        "is symmetric negative definite.",
        smaller=sp.Integer(0),
        larger=sp.expand(_M.det()),
        gap=_p * _z,
        strict=True,
    ),
    Identity(
        says="S_Delta does not see (1, 1): both step sizes of token 1 stay delta, and it keeps its direction.",
        left=(_S * sp.Matrix([[-1, 1], [1, -1]]) * _x)[0],
        where={_u: _r, _v: _r},
        right=sp.Integer(0),
    ),
    Derivative(
        says="So x_1 = r (1, 1) with r' = -k delta r^3, k = d - p - 2 c: r^2 = r_0^2 / (1 + 2 delta k r_0^2 t), ...",
        function=_size,
        variable=t,
        equals=-_k * delta * _size**3,
    ),
    Limit(
        says="... that is, delta r^2 ~ 1 / (2 k t).",
        expression=t * delta * _size**2,
        variable=t,
        point=sp.oo,
        value=1 / (2 * _k),
    ),
    Identity(
        says="Token 2 at (X, 0) is aligned against token 1: x_2^T M x_1 = c X r > 0, though q < 0 everywhere, ...",
        left=(_x2.T * _M * _x1)[0],
        right=_c * _X * _r,
    ),
    Identity(
        says="... so X' / X = c delta r^2 e^{-a Delta_1(x_2)} - p X^2 Delta_1(x_2): the drive against its own term, "
        "...",
        left=(_c * _X * _r * delta * sp.exp(-a * _K) * _r + (_x2.T * _M * _x2)[0] * _K * _X) / _X,
        right=_c * delta * _r**2 * sp.exp(-a * _K) - _p * _X**2 * _K,
    ),
    Limit(
        says="... whose step size Delta_1(x_2) = softplus(b - S X) shuts exponentially: the own term vanishes even "
        "against a power, ...",
        expression=_X ** sp.Integer(8) * sp.log(1 + sp.exp(_b - _X)),
        variable=_X,
        point=sp.oo,
        value=sp.Integer(0),
        decades=(1.5, 2.0, 2.5, 3.0),
    ),
    Derivative(
        says="... leaving X' / X = c / (2 k t): X is a power of t with the exponent c / (2 k).",
        function=t ** (_c / (2 * _k)),
        variable=t,
        equals=_c / (2 * _k * t) * t ** (_c / (2 * _k)),
    ),
)

_GOOD = [[-2.0, 3.0], [3.0, -5.0]]
_SHUT = np.array([[-1.0, 1.0], [1.0, -1.0]])
_FAR = [[1.0, 1.0], [30.0, 0.0]]

THEOREM = Theorem(
    name="negative_definite_escape",
    title="A token that escapes a negative definite matrix",
    origin=Origin.NEW,
    section="4.2",
    statement=(
        r"Let $M = -\begin{pmatrix} p & -(p+c) \\ -(p+c) & d \end{pmatrix}$, $p, c > 0$, $pd > (p+c)^2$, symmetric and "
        r"negative definite, $S_\Delta = \sigma\begin{pmatrix} -1 & 1 \\ 1 & -1 \end{pmatrix}$, $\sigma > 0$, equal "
        r"biases, $x_1(0) \parallel (1,1)$ and $x_2(0) = (X, 0)$ with $X$ large. Then $|x_1| \sim t^{-1/2}$, but "
        r"$|x_2| \sim t^{c/(2(d-p-2c))} \to \infty$."
    ),
    pool=ESCAPE,
    hypotheses=hypotheses.all_of(
        two_channels, two_tokens, IS_NEGATIVE_DEFINITE, drives_outward, shared_direction, own_step_shut
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 2": ONE_CHANNEL,
        "L = 2": matrix_case(_GOOD, _SHUT, 0.0, [1.0, 1.0]),
        "sym(M) is negative definite": matrix_case([[-2.0, 3.0], [3.0, -4.4]], _SHUT, 0.0, _FAR),
        "M is symmetric and M (1, 1) has a positive first entry": matrix_case(
            [[-2.0, 1.0], [1.0, -5.0]], _SHUT, 0.0, _FAR
        ),
        "x_1 along (1, 1), unseen by S_Delta = sigma [[-1, 1], [1, -1]]": matrix_case(_GOOD, -_SHUT, 0.0, _FAR),
        "x_2 = (X, 0), its own step size shut for ever": matrix_case(_GOOD, _SHUT, 0.0, [[1.0, 1.0], [3.0, 0.0]]),
    },
    weaker=(
        WeakerClaim(
            claim="a token that diverges without blowing up grows like ln t",
            origin=Origin.NAIVE,
            case=matrix_case(_GOOD, _SHUT, 0.0, _FAR),
            expected=(Expected(SLOPE, 0.0, 1),),
            because="for D >= 2 it can be driven by a token that converges: here |x_2| ~ t^(1/2)",
        ),
    ),
)
