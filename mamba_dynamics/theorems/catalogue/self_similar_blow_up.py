"""The profile of a blow-up in several dimensions: the same power -1/3, with a constant of its own (theory 4.8)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..steps import Derivative, Identity, Inequality, Limit
from ..symbols import SOFTPLUS, S, w, x
from ..vector_hypotheses import ONE_CHANNEL, POSITIVE_DEFINITE, own_steps_open
from ..vector_pools import SELF_SIMILAR, matrix_case
from .fast_divergence_existence import POWER

CONSTANT = "3 q(v) c (T* - t) |x_1|^3"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (
        Expected("scenario", "fast_divergence", relation=Relation.EQUAL),
        Expected(POWER, -1 / 3, 0),
        Expected(CONSTANT, 1.0),
    )


_q, _c, _tau, _m = sp.symbols("q c tau m", positive=True)
_v, _b, _s2 = sp.symbols("v b s_2", real=True)
_profile = (3 * _q * _c * _tau) ** sp.Rational(-1, 3)
_B, _f1 = sp.symbols("B f_1", real=True)

STEPS = (
    Limit(
        says="Where (S_Delta x)_d is large and positive, Delta_d is (S_Delta x)_d to leading order, ...",
        expression=SOFTPLUS(w) / w,
        variable=w,
        point=sp.oo,
        value=sp.Integer(1),
        decades=(1.0, 2.0, 3.0),
    ),
    Identity(
        says="... and the field q(x) (S_Delta x)_d x_d is homogeneous of degree 4.",
        left=_q * x**2 * _c * x * x,
        where={x: w * x},
        right=w**4 * (_q * x**2 * _c * x * x),
    ),
    Derivative(
        says="With (S_Delta v)_d = c on the support of v, x = r v has r' = q(v) c r^4: r = (3 q(v) c (T* - t))^(-1/3), "
        "tau = T* - t.",
        function=_profile,
        variable=_tau,
        equals=-_q * _c * _profile**4,
    ),
    Inequality(
        says="Where every step is open, Delta_d >= s_d x_d + b_d (sizes), so with q >= m |x|^2 some coordinate blows "
        "up in finite time by comparison with x' = m x^3 (S x + b) (see the one-dimensional theorem).",
        smaller=S * x + _b,
        larger=SOFTPLUS(S * x + _b),
        gap=sp.log(1 + sp.exp(-S * x - _b)),
    ),
    Derivative(
        says="Of two channels with Delta_d = S_d x_d the difference of 1 / (S_d x_d) is 1 / (S_1 x_1) - 1 / (S_2 x_2), "
        "whose parts change by the same -q dt: d(1 / (S x)) / dx = -1 / (S x^2), times q S x^2 ...",
        function=1 / (S * x),
        variable=x,
        equals=-1 / (S * x**2),
    ),
    Identity(
        says="... = -q in both channels, so the difference is constant: both tend to zero together only if it is "
        "zero. Else the channel with the larger S_d x_d runs away alone and v = e_d.",
        left=_f1 / (S * x**2),
        where={_f1: _q * S * x**2},
        right=_q,
    ),
)

_ZERO = np.zeros((2, 2))

THEOREM = Theorem(
    name="self_similar_blow_up",
    title="Self-similar blow-up of the first token",
    origin=Origin.NEW,
    section="4.8",
    statement=(
        r"Let $\mathrm{sym}(M)$ be positive definite and $S_\Delta = \mathrm{diag}(s_d)$ with $s_d x_{d0} > 0$. Then "
        r"token 1 blows up in finite time with $|x_1| \sim (3\,q(v)\,c\,(T^*-t))^{-1/3}$, $v$ the limit of "
        r"$x_1/|x_1|$ and $c = \max_d (S_\Delta v)_d$."
    ),
    pool=SELF_SIMILAR,
    hypotheses=hypotheses.all_of(hypotheses.several_channels, hypotheses.one_token, POSITIVE_DEFINITE, own_steps_open),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D >= 2": ONE_CHANNEL,
        "L = 1": matrix_case(np.eye(2), np.eye(2), 0.0, np.ones((2, 2))),
        "sym(M) is positive definite": matrix_case(np.diag([1.0, -1.0]), np.eye(2), 0.0, [1.0, 1.0]),
        "S_Delta is diagonal and opens every step: s_d x_d0 > 0": matrix_case(np.eye(2), -np.eye(2), 0.0, [1.0, 1.0]),
    },
    weaker=(
        WeakerClaim(
            claim="a positive definite M makes tokens blow up like (T* - t)^(-1/2), as a cubic field would",
            origin=Origin.NAIVE,
            case=matrix_case(np.eye(2), np.eye(2), 0.0, [1.0, 0.5]),
            expected=(Expected(POWER, -1 / 2, 0),),
            because="step sizes grow with the token and make the field quartic",
        ),
    ),
)
