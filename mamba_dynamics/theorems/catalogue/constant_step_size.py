"""With S_Delta = 0 the first two tokens have closed forms (theory 3.5)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray, ScalarSystem
from ..constant_step import ConstantStep
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..pools import CONSTANT_STEP, scalar_case
from ..steps import Derivative, Identity
from ..symbols import delta, mu, t, w, x
from .fast_divergence_existence import POWER, UNTOLD

EXACT = 1e-8


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    system = ScalarSystem.of(layer, x0)
    exact = ConstantStep.of(system)
    tokens = range(min(2, len(x0)))
    if system.sign_of_mu > 0 and told.first_token is None:
        return UNTOLD
    # Where a later token blows up first, these two are still on their way.
    if system.sign_of_mu < 0 or (told.first_token or 0) > 1:
        return tuple(Expected("ln x^2 along ln t", _at(exact, token), token, Relation.EQUAL, EXACT) for token in tokens)
    time = exact.blow_up_time
    return (
        Expected("T*", time, relation=Relation.EQUAL, tolerance=1e-9 * time),
        *(Expected("ln x^2 along ln(T* - t)", _before(exact, k), k, Relation.EQUAL, EXACT) for k in tokens),
    )


def _at(exact: ConstantStep, token: int):
    return lambda log_t: exact.log_square(token, log_t)


def _before(exact: ConstantStep, token: int):
    return lambda log_remaining: exact.log_square_before(token, np.exp(log_remaining))


_v, _p, _K, _m, _z = sp.symbols("v p K m z", positive=True)
_u = _v / (1 - _p) + _K * _v**_p

STEPS = (
    Derivative(
        says="v = 1 / x_1^2 falls at the constant rate 2 mu delta: with v = w + 2 |mu| delta t (mu < 0), x_1 = "
        "v^(-1/2).",
        function=(w + 2 * mu * delta * t) ** sp.Rational(-1, 2),
        variable=t,
        equals=-mu * delta * ((w + 2 * mu * delta * t) ** sp.Rational(-1, 2)) ** 3,
    ),
    Identity(
        says="Token 2: u = x_2^-2 has u' = -2 x_2^-3 x_2' = -2 mu delta (1 + p u / v): a Bernoulli equation made "
        "linear.",
        left=-2 / x**3 * (mu * x * delta * (x**2 + _p / _v)),
        right=-2 * mu * delta * (1 + _p * x**-2 / _v),
    ),
    Derivative(
        says="In v, with dv = -2 mu delta dt, it reads du/dv = 1 + p u / v, solved by v / (1 - p) + K v^p.",
        function=_u,
        variable=_v,
        equals=1 + _p * _u / _v,
        domain={_p: (0.1, 0.9)},
    ),
    Identity(
        says="For K < 0, u vanishes where v^(1 - p) = |K| (1 - p): there token 2 blows up, before token 1 does. With "
        "m = 1 - p and z = |K| m, v = z^(1 / m) makes v / m equal to |K| v^(1 - m).",
        left=_z ** (1 / _m) / _m,
        right=_z / _m * (_z ** (1 / _m)) ** (1 - _m),
        domain={_m: (0.1, 0.9)},
    ),
)

THEOREM = Theorem(
    name="constant_step_size",
    title="Closed forms for a constant step size",
    origin=Origin.SHARP,
    section="3.5",
    statement=(
        r"For $s = 0$, $a > 0$, $\delta = \mathrm{softplus}(b)$, $p = e^{-a\delta}$: $x_1^{-2} = v = x_{10}^{-2} - "
        r"2\mu\delta t$ and $x_2^{-2} = v/(1-p) + K v^p$ with $K$ fixed by $x_{20}$, up to the first blow-up ($\mu > "
        r"0$) or for all times."
    ),
    pool=CONSTANT_STEP,
    hypotheses=hypotheses.all_of(
        hypotheses.one_channel,
        hypotheses.one_rate,
        hypotheses.mu_not_zero,
        hypotheses.slope_zero,
        hypotheses.rate_positive,
        hypotheses.no_zero_tokens,
    ),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "one decay rate a": scalar_case([1.0, 0.5], 0.0, [0.2, 3.0], 0.0, [1.0, 0.5]),
        "mu != 0": scalar_case(0.0, 0.0, 1.0, 0.0, [1.0, 0.5]),
        "s = 0": scalar_case(1.0, 0.5, 1.0, 0.0, [1.0, 0.5]),
        "a > 0": scalar_case(1.0, 0.0, 0.0, 0.0, [1.0, 0.5]),
        "every token is non-zero": scalar_case(1.0, 0.0, 1.0, 0.0, [1.0, 0.0]),
    },
    weaker=(
        WeakerClaim(
            claim="every blow-up has the power -1/3",
            origin=Origin.PAPER,
            case=scalar_case(1.0, 0.0, 1.0, 0.0, [1.0, 0.5]),
            expected=(Expected(POWER, -1 / 3, 0),),
            because="with a constant step size the field is cubic: the power is -1/2",
        ),
    ),
)
