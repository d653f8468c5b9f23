"""Random systems that satisfy the hypotheses of the one-dimensional theorems.

Parameters span about a decade around one: by the scaling symmetry only a, b, the sign pattern and the rescaled tokens
matter. Lengths are fixed within a pool, so that its simulations share one compilation.
"""

import numpy as np

from .._layer import S6Layer
from .base import FloatArray
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


def _constant_step(rng: np.random.Generator) -> Case:
    mu, _, a, b = _common(rng)
    return scalar_case(signs(rng) * mu, 0.0, a, b, _tokens(rng))


def _any(rng: np.random.Generator) -> Case:
    return (_convergent, _slow, _fast)[rng.integers(3)](rng)


def _motionless(rng: np.random.Generator) -> Case:
    _, s, a, b = _common(rng)
    return scalar_case(0.0, s, a, b, _tokens(rng))


def _general_rates(rng: np.random.Generator) -> Case:
    """Three decay rates, mu_n of any signs with a negative sum that does not nearly cancel."""
    while True:
        mu, rates = signs(rng, 3) * spread(rng, 0.2, 2.0, 3), spread(rng, 0.05, 3.0, 3)
        if mu.sum() < -0.2 * np.abs(mu).sum():
            return scalar_case(mu, float(signs(rng) * spread(rng, 0.1, 2.0)), rates, rng.uniform(-1, 1), _tokens(rng))


CONVERGENT = Pool("convergent", _convergent)
CONVERGENT_WITH_ZEROS = Pool("convergent_with_zeros", _convergent_with_zeros)
SLOW = Pool("slow_divergence", _slow)
FAST = Pool("fast_divergence", _fast)
CONSTANT_STEP = Pool("constant_step", _constant_step)
ANY = Pool("any_scalar", _any)
MOTIONLESS = Pool("motionless", _motionless)
GENERAL_RATES = Pool("general_rates", _general_rates)
