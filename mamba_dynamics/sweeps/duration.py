"""How long a step takes: t = int ds / rho over it, for many lanes at once, in logarithms.

f = -ln rho is known at both ends of a step with its first derivatives, so it is replaced by the polynomial of degree 9
that has them (Hermite's). exp(f) may vary over the step by e^(10^4); its mass then lies at the end where f is larger.
The polynomial is written in the distance v from that end, and integrated by a Gauss-Legendre rule as far as there is
mass. The polynomial with one derivative less tells the error.
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..dynamics.base import AnyArray
from .elementary import exponential, horner, in_order, kept, logarithm
from .expansion import ORDER

#: The rule ends where f would have fallen by so much, if it fell on as it begins to; what lies beyond is left out. Its
#: points integrate e^-cv over [0, 1] to 3e-14 for every c up to 60.
REACH, POINTS = 40.0, 24


def _rule() -> tuple[np.ndarray, np.ndarray]:
    """(places in [0, 1], weights)."""
    x, w = np.polynomial.legendre.leggauss(POINTS)
    return (x + 1) / 2, w / 2


PLACES, WEIGHTS = _rule()


def _per_mean(m: int) -> tuple[float, list[float]]:
    """(its value for c = 0, coefficients 1..m of that over the mean of v^m (1 - v)^m for a density e^-cv on [0, 1]).

    Exact to second order for small c and in the two highest ones for large c; between them within a fifth, for m = 4.
    """
    at_rest = math.factorial(m) ** 2 / math.factorial(2 * m + 1)
    coefficients = [0.0] * m
    coefficients[1] = (1 / 12 - 1 / (8 * m + 12)) / 2
    coefficients[m - 2], coefficients[m - 1] = (m * (m + 1) * at_rest / math.factorial(m), at_rest / math.factorial(m))
    return at_rest, coefficients


_MEAN_AT_REST, _PER_MEAN = _per_mean(ORDER)


def _matching(order: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, S): coefficients order+1..2 order+1 are S (far - T near), for Taylor coefficients 0..order at v = 0 and 1."""
    binomial = np.array([[_choose(n, k) for n in range(2 * order + 2)] for k in range(order + 1)], float)
    return binomial[:, : order + 1], np.linalg.inv(binomial[:, order + 1 :])


def _choose(n: int, k: int) -> int:
    return 0 if k > n else int(np.prod([(n - i) / (i + 1) for i in range(k)]).round())


_MATCHING = _matching(ORDER)


def log_duration(
    before: Float[AnyArray, "K W"],
    after: Float[AnyArray, "K W"],
    h: Float[AnyArray, " W"],
    never: Bool[AnyArray, ""],
) -> tuple[Float[Array, " W"], Float[Array, " W"]]:
    """(ln of the time that steps h take, its error) from the Taylor coefficients of f at their ends."""
    backwards = after[0] > before[0]
    direction = jnp.where(backwards, -h, h)
    near = _scaled(jnp.where(backwards, after, before), direction)
    far = _scaled(jnp.where(backwards, before, after), direction)
    coefficients = kept(never, *_through(near, far))
    width = jnp.minimum(1.0, REACH / jnp.maximum(-near[1], 1e-300))
    densities = []
    for place, weight in zip(PLACES.tolist(), WEIGHTS.tolist(), strict=True):
        v = place * width
        densities.append(weight * exponential(v * horner(coefficients, v)))
    (total,) = kept(never, in_order(densities))
    # A polynomial with one derivative less differs by v^m (1 - v)^m (p + q v): here by its mean for a density e^-cv.
    *_, high, q = coefficients
    p = high + ORDER * q
    c = jnp.maximum(jnp.minimum(near[0] - far[0], -near[1]), 0.0)
    center = (ORDER + 1) / (2 * ORDER + 2 + c)
    moved = (jnp.abs(p) * (1.0 - center) + jnp.abs(p + q) * center) / (1.0 + c * horner(_PER_MEAN, c)) * _MEAN_AT_REST
    return near[0] + logarithm(width * h * total), moved


def _scaled(series, h) -> list[Array]:
    scaled, power = [], jnp.ones_like(h)
    for coefficient in series:
        scaled.append(coefficient * power)
        power = power * h
    return scaled


def _through(near: list[Array], far: list[Array]) -> list[Any]:
    """Coefficients 1, 2, ... of the polynomial with these derivatives at v = 0 and 1."""
    order, (onto, back) = ORDER, _MATCHING
    left = [far[k] - sum(onto[k, j] * near[j] for j in range(k, order + 1)) for k in range(order + 1)]
    high = [sum(back[i, k] * left[k] for k in range(order + 1)) for i in range(order + 1)]
    return [*near[1 : order + 1], *high]


def log_tail(f: Float[AnyArray, "K W"]) -> Float[Array, " W"]:
    """ln of the time still to come if rho goes on growing as it does here (`LogClock.log_tail`); inf if it does not."""
    f1, f2, f3 = f[1], 2 * f[2], 6 * f[3]
    grows = f1 < 0
    f1 = jnp.where(grows, f1, -1.0)
    return jnp.where(grows, f[0] + logarithm(-1 / f1 - f2 / f1**3 - (3 * f2**2 - f1 * f3) / f1**5), jnp.inf)


def clock_until(log_time: Float[Array, " W"], f: Float[Array, "K W"], sign: Float[Array, " W"]) -> Float[Array, " W"]:
    """About how far the clock runs in the time e^log_time: int_0^s exp(f + f' s) ds = sign e^log_time, nan if never."""
    growth = sign * f[1] * exponential(log_time - f[0])
    linear = jnp.where(jnp.abs(growth) < 1e-8, 1.0 - growth / 2, jnp.log1p(growth) / growth)
    return sign * exponential(log_time - f[0]) * linear
