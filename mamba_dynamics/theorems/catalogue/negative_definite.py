"""A negative definite symmetric part: no blow-up, and decay where step sizes are constant (theory 4.2)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Case, Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..steps import Derivative, Identity, Inequality, Limit
from ..symbols import c, delta, k, t, w, x, y
from ..vector_hypotheses import NEGATIVE_DEFINITE as IS_NEGATIVE_DEFINITE
from ..vector_hypotheses import ONE_CHANNEL, steps_constant
from ..vector_pools import NEGATIVE_DEFINITE, matrix_case

SIZE = "limsup of t |x|^2"

_SHUT = np.array([[-1.0, 1.0], [1.0, -1.0]])
#: M symmetric with eigenvalues -6.85 and -0.15; token 2's first step size is shut.
ESCAPING = matrix_case([[-2.0, 3.0], [3.0, -5.0]], _SHUT, 0.0, [[1.0, 1.0], [30.0, 0.0]])


#: M = -1: the last two states, decaying at rates 0.01 and 20, cancel in M but not along the run.
CANCELLING = Case(
    S6Layer.from_matrices(
        S_B=[[-1.0, 0.0], [0.0, -1.0], [0.0, 6.0], [0.0, 6.0]],
        S_C=[[1.0, 0.0], [0.0, 1.0], [6.0, 0.0], [-6.0, 0.0]],
        S_Delta=np.zeros((2, 2)),
        a=np.tile([1.0, 1.0, 0.01, 20.0], (2, 1)),
    ),
    np.ones((2, 2)),
)


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return tuple(Expected(SIZE, bound, token, Relation.AT_MOST) for token, bound in enumerate(size_bounds(layer, x0)))


def size_bounds(layer: S6Layer, x0: FloatArray) -> list[float]:
    """c_l with limsup t |x_l|^2 <= c_l: c_l = (1 + K_l) / (2 lambda delta), K_l = 2 G max_d delta_d sum_{j<l} c_j."""
    M = layer.input_output_matrix()
    least = -float(np.linalg.eigvalsh((M + M.T) / 2)[-1])
    steps, coupling = np.logaddexp(0.0, layer.dt_bias[0]), coupling_of(layer)
    bounds: list[float] = []
    for _ in x0:
        K = 2 * coupling * float(steps.max()) * sum(bounds)
        bounds.append((1 + K) / (2 * least * float(steps.min())))
    return bounds


def coupling_of(layer: S6Layer) -> float:
    """G with |sum_n w_n (S_C x)_n (S_B y)_n| <= G |x| |y|, w_n in [0, 1] what is left of state n.

    |M| if each channel has one decay rate, so that all w_n are equal. Else sum_n |S_C[n]| |S_B[n]|: states that cancel
    in M need not do so once they have decayed at different rates.
    """
    if np.all(layer.a[0] == layer.a[0][:, :1]):
        return float(np.linalg.norm(layer.input_output_matrix(), 2))
    sizes = np.linalg.norm(layer.C_map(), axis=1) * np.linalg.norm(layer.B_map(), axis=1)
    return abs(layer.gain) * float(sizes.sum())


_lambda, _K, _u0 = sp.symbols("lambda K u_0", positive=True)
_a, _b, _d, _e = sp.symbols("a b d e", real=True)
_C = sp.Symbol("C", real=True)
_B1, _B2, _C1, _C2 = sp.symbols("B_1 B_2 C_1 C_2", positive=True)
_v = 2 * _lambda * delta * t / (1 + _K) + _C * t**-_K

STEPS = (
    Inequality(
        says="With -lambda the largest eigenvalue of sym(M), the others below it by c and so on: q(x) <= -lambda "
        "|x|^2.",
        smaller=-_lambda * x**2 - (_lambda + c) * y**2,
        larger=-_lambda * (x**2 + y**2),
    ),
    Inequality(
        says="With delta the smallest step size: sum_d Delta_d x_d^2 >= delta |x|^2. So u = |x_l|^2 feels its own term "
        "as u' <= -2 lambda delta u^2.",
        smaller=delta * (x**2 + y**2),
        larger=delta * x**2 + (delta + k) * y**2,
    ),
    Derivative(
        says="Token 1 has no other term, and |x_1| shrinks, so its step sizes are bounded below by themselves: |x_1|^2 "
        "is at most u_0 / (1 + 2 lambda delta u_0 t), the solution of u' = -2 lambda delta u^2.",
        function=_u0 / (1 + 2 * _lambda * delta * _u0 * t),
        variable=t,
        equals=-2 * _lambda * delta * (_u0 / (1 + 2 * _lambda * delta * _u0 * t)) ** 2,
    ),
    Limit(
        says="That is O(1/t).",
        expression=t * _u0 / (1 + 2 * _lambda * delta * _u0 * t),
        variable=t,
        point=sp.oo,
        value=1 / (2 * _lambda * delta),
    ),
    Inequality(
        says="A later token is also driven, by at most (K / t) u with earlier tokens O(t^-1/2): twice Cauchy-Schwarz, "
        "(x . y)^2 <= |x|^2 |y|^2. As this is linear in u, no token blows up.",
        smaller=(_a * _d + _b * _e) ** 2,
        larger=(_a**2 + _b**2) * (_d**2 + _e**2),
        gap=(_a * _e - _b * _d) ** 2,
    ),
    Inequality(
        says="K = 2 G delta_max c: what is left of each state, w_n in [0, 1], may differ, so the states' products are "
        "bounded one by one, |sum_n w_n C_n B_n| <= sum_n |C_n| |B_n|. (For equal w_n they may cancel first: |x . M y| "
        "<= |M| |x| |y|.) Here for two states of sizes |C_n|, |B_n|, w_1 = 1 / (1 + k), w_2 = 1 / (1 + c).",
        smaller=_C1 * _B1 / (1 + k) + _C2 * _B2 / (1 + c),
        larger=_C1 * _B1 + _C2 * _B2,
        gap=_C1 * _B1 * k / (1 + k) + _C2 * _B2 * c / (1 + c),
    ),
    Identity(
        says="For v = 1 / u, u' <= -2 lambda delta u^2 + (K / t) u reads v' >= 2 lambda delta - (K / t) v.",
        left=-(-2 * _lambda * delta * w**2 + _K / t * w) / w**2,
        right=2 * _lambda * delta - _K / t * (1 / w),
    ),
    Derivative(
        says="Equality is solved by v = 2 lambda delta t / (1 + K) + C t^-K, ...",
        function=_v,
        variable=t,
        equals=2 * _lambda * delta - _K / t * _v,
    ),
    Limit(
        says="... which grows like t: limsup t u <= (1 + K) / (2 lambda delta), and the induction goes on.",
        expression=_v / t,
        variable=t,
        point=sp.oo,
        value=2 * _lambda * delta / (1 + _K),
    ),
)

_M = [[-1.0, 2.0], [-2.0, -1.0]]
_ZERO = np.zeros((2, 2))

THEOREM = Theorem(
    name="negative_definite",
    title="Negative definite symmetric part",
    origin=Origin.NEW,
    section="4.2",
    statement=(
        r"If $\mathrm{sym}(M)$ is negative definite, no token becomes infinite in finite time, and $|x_1| = "
        r"O(t^{-1/2})$. If moreover the step sizes are constant ($S_\Delta = 0$), every token is $O(t^{-1/2})$: "
        r"$\limsup t|x_l|^2 \le c_l = (1+K_l)/(2\lambda\delta)$, $K_l = 2G\,\delta_{\max}\sum_{j<l} c_j$, with "
        r"$-\lambda$ the largest eigenvalue of $\mathrm{sym}(M)$, $\delta$, $\delta_{\max}$ the smallest and largest "
        r"step size, and $G = \|M\|$ if each channel has one decay rate, else $G = \sum_n |S_C[n]|\,|S_B[n]|$. Where "
        r"step sizes are not bounded below a later token may diverge."
    ),
    pool=NEGATIVE_DEFINITE,
    hypotheses=hypotheses.all_of(hypotheses.several_channels, IS_NEGATIVE_DEFINITE, steps_constant),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D >= 2": ONE_CHANNEL,
        "sym(M) is negative definite": matrix_case([[-1.0, 4.0], [0.0, -1.0]], _ZERO, 0.0, np.ones((2, 2))),
        "S_Delta = 0, or L = 1": matrix_case(_M, _SHUT, 0.0, np.ones((2, 2))),
    },
    weaker=(
        WeakerClaim(
            claim="G = |M| for any decay rates (as this theorem had it)",
            origin=Origin.NEW,
            case=CANCELLING,
            expected=(Expected(SIZE, float(1 / np.log(2)), 1, Relation.AT_MOST),),
            because="S_B and S_C have two states that cancel in M = -1 but decay at rates 0.01 and 20: limsup t "
            "|x_2|^2 is 13.3",
        ),
        WeakerClaim(
            claim="sym(M) negative definite: every token tends to zero, whatever S_Delta (as theory 4.2 had it)",
            origin=Origin.NEW,
            case=ESCAPING,
            expected=(Expected("slope of ln|x| in ln t, stiff", -0.5, 1, Relation.AT_MOST, 1e-3),),
            because="token 2 shuts the step size that would damp it, and token 1 keeps driving it: |x_2| ~ t^(1/2)",
        ),
        WeakerClaim(
            claim="M symmetric with all eigenvalues negative: tokens converge to zero",
            origin=Origin.PAPER,
            case=ESCAPING,
            expected=(Expected("slope of ln|x| in ln t, stiff", -0.5, 1),),
            because="M = [[-2, 3], [3, -5]] is symmetric, its eigenvalues are -6.85 and -0.15, and |x_2| ~ t^(1/2)",
        ),
        WeakerClaim(
            claim="t |x_l|^2 has a limit for every token, as for D = 1",
            origin=Origin.NAIVE,
            case=NEGATIVE_DEFINITE.case(0, 15),
            expected=(Expected("range of ln(t |x|^2) at late times", 0.0, 2, Relation.EQUAL, 1e-2),),
            because="with a skew part token 3 turns in the plane across token 1's direction for ever, log-periodically",
        ),
    ),
)
