"""Random systems that satisfy the hypotheses of the one-dimensional theorems.

Parameters span about a decade around one: by the scaling symmetry only a, b, the sign pattern and the rescaled tokens
matter. Lengths are fixed within a pool, so that its simulations share one compilation.
"""

import numpy as np

from .._layer import S6Layer
from . import convergent
from .base import FloatArray, ScalarSystem
from .contract import Case, Pool

LENGTH = 4


def scalar_case(mu, s: float, a, b: float, x0) -> Case:
    """One one-dimensional system; `mu` and `a` may be lists of equal length."""
    return Case(S6Layer.scalar(mu=mu, S_Delta=s, a=a, dt_bias=b), np.asarray(x0, float))


def spread(rng: np.random.Generator, low: float, high: float, size=None):
    """Log-uniform numbers."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def signs(rng: np.random.Generator, size=None):
    return rng.choice([-1.0, 1.0], size)


def _tokens(rng: np.random.Generator) -> FloatArray:
    return signs(rng, LENGTH) * spread(rng, 0.1, 3.0, LENGTH)


def _common(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """(|mu|, s, a, b)."""
    mu, a = spread(rng, 0.2, 3.0), spread(rng, 0.2, 2.0)
    return float(mu), float(signs(rng) * spread(rng, 0.1, 2.0)), float(a), float(rng.uniform(-1.5, 1.5))


def _convergent(rng: np.random.Generator) -> Case:
    mu, s, a, b = _common(rng)
    return scalar_case(-mu, s, a, b, _tokens(rng))


def _convergent_with_zeros(rng: np.random.Generator) -> Case:
    mu, s, a, b = _common(rng)
    x0 = _tokens(rng)
    x0[rng.choice(LENGTH, rng.integers(1, LENGTH), replace=False)] = 0.0
    return scalar_case(-mu, s, a, b, x0)


def _slow(rng: np.random.Generator) -> Case:
    mu, s, a, b = _common(rng)
    return scalar_case(mu, s, a, b, -np.sign(s) * np.abs(_tokens(rng)))


def _fast(rng: np.random.Generator) -> Case:
    mu, s, a, b = _common(rng)
    x0 = _tokens(rng)
    lucky = rng.integers(LENGTH)
    x0[lucky] = np.sign(s) * abs(x0[lucky])
    return scalar_case(mu, s, a, b, x0)


def _fast_single(rng: np.random.Generator) -> Case:
    mu, s, a, b = _common(rng)
    return scalar_case(mu, s, a, b, np.sign(s) * spread(rng, 0.1, 3.0, 1))


def _fast_later(rng: np.random.Generator) -> Case:
    """The third token blows up first: the others are small or driven down."""
    mu, s, a, b = _common(rng)
    x0 = signs(rng, LENGTH) * spread(rng, 0.1, 0.5, LENGTH)
    x0[2] = np.sign(s) * spread(rng, 2.0, 4.0)
    return scalar_case(mu, s, a, b, x0)


def _fast_followed(rng: np.random.Generator) -> Case:
    """The first token blows up, the others are driven down."""
    mu, s, a, b = _common(rng)
    x0 = -np.sign(s) * spread(rng, 0.1, 3.0, LENGTH)
    x0[0] = np.sign(s) * spread(rng, 0.5, 3.0)
    return scalar_case(mu, s, a, b, x0)


def _fast_hierarchy(rng: np.random.Generator) -> Case:
    """The first token is large, so it blows up first; the others are of either sign."""
    mu, s, a, b = _common(rng)
    x0 = signs(rng, LENGTH) * spread(rng, 0.1, 1.0, LENGTH)
    x0[0] = np.sign(s) * spread(rng, 2.0, 4.0)
    return scalar_case(mu, s, a, b, x0)


def _fast_with_zeros(rng: np.random.Generator) -> Case:
    """As the hierarchy, with the second or third token zero."""
    case = _fast_hierarchy(rng)
    case.x0[1 + rng.integers(2)] = 0.0
    return case


def _constant_step(rng: np.random.Generator) -> Case:
    mu, _, a, b = _common(rng)
    return scalar_case(signs(rng) * mu, 0.0, a, b, _tokens(rng)[:2])


def _any(rng: np.random.Generator) -> Case:
    return (_convergent, _slow, _fast)[rng.integers(3)](rng)


def _motionless(rng: np.random.Generator) -> Case:
    _, s, a, b = _common(rng)
    return scalar_case(0.0, s, a, b, _tokens(rng))


def _rates_apart(case: Case) -> bool:
    """No K_l close to one, where decay exponents are reached only like a power of ln t."""
    sums = convergent.kappa(ScalarSystem.of(case.layer, case.x0))[1]
    return bool(np.all(np.abs(sums - 1.0) > 0.05))


def _general_rates(rng: np.random.Generator) -> Case:
    """Three decay rates, mu_n of any signs with a negative sum that does not nearly cancel."""
    while True:
        mu, rates = signs(rng, 3) * spread(rng, 0.2, 2.0, 3), spread(rng, 0.05, 3.0, 3)
        s, b = float(signs(rng) * spread(rng, 0.1, 2.0)), float(rng.uniform(-1, 1))
        case = scalar_case(mu, s, rates, b, _tokens(rng))
        if mu.sum() < -0.2 * np.abs(mu).sum() and _rates_apart(case):
            return case


CONVERGENT = Pool("convergent", _convergent)
CONVERGENT_WITH_ZEROS = Pool("convergent_with_zeros", _convergent_with_zeros)
SLOW = Pool("slow_divergence", _slow)
FAST = Pool("fast_divergence", _fast)
FAST_SINGLE = Pool("fast_single", _fast_single)
FAST_LATER = Pool("fast_later", _fast_later)
FAST_FOLLOWED = Pool("fast_followed", _fast_followed)
FAST_HIERARCHY = Pool("fast_hierarchy", _fast_hierarchy)
FAST_WITH_ZEROS = Pool("fast_with_zeros", _fast_with_zeros)
CONSTANT_STEP = Pool("constant_step", _constant_step)
ANY = Pool("any_scalar", _any)
MOTIONLESS = Pool("motionless", _motionless)
GENERAL_RATES = Pool("general_rates", _general_rates)
