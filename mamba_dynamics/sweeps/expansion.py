"""The vector field of many one-dimensional systems at once, and its Taylor expansion along the orbits.

Symbols as in `dynamics.scalar`, every array with one more axis, the last: the W lanes, one system each. In the growth
clock, with y_l = ln|x_l|, z_l = s x_l + b, Delta = softplus(z),

    dy_l/ds = r_l / rho,    r_l = sum_n mu_n h_ln,    h_ln = u_l + exp(-a_n Delta_l) h_{l-1,n},    u_l = x_l^2 Delta_l.

Exponentials are carried in two parts, m 2^p, so that the largest power of two can be taken out of all u_l and none
underflows that counts, without a logarithm of Delta:

    Delta = max(z, 0) + e^-|z| Q,     Q = ln(1 + e^-|z|) / e^-|z|;     below 0 Delta = e^z Q, and e^z has its own power.

A series along an orbit is the list of its Taylor coefficients in the clock, lowest first.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..dynamics.base import AnyArray
from ..dynamics.step_size import TAIL
from .elementary import exponential, exponential_in_parts, kept, log1p_over, logarithm, times_power_of_two

Series = list[Any]

#: Orders in which the clock's rate is expanded at the end of a step.
ORDER = 4


class Systems(NamedTuple):
    """The weights and signs of W systems of L tokens and N states."""

    mu: Float[AnyArray, "N W"]
    a: Float[AnyArray, "N W"]
    s: Float[AnyArray, " W"]
    b: Float[AnyArray, " W"]
    sign: Float[AnyArray, "L W"]

    @property
    def never(self) -> Bool[Array, ""]:
        """False: no decay rate is negative (`elementary.kept`)."""
        return self.a[0, 0] < 0


class Rates(NamedTuple):
    """dy/ds, |r_l| over its own bound (both 0 for a zero token), and ln rho."""

    velocity: Float[Array, "L W"]
    restlessness: Float[Array, "L W"]
    log_rate: Float[Array, " W"]


class _Drive(NamedTuple):
    """What the tokens put into the scan: u / e^scale, exp(-a Delta), and what their derivatives are made of."""

    x: Float[AnyArray, "L W"]
    opening: Float[Array, "L W"]  # sigma(z)
    step: Float[Array, "L W"]  # Delta
    log_slope: Float[Array, "L W"]  # d ln Delta / dz
    weight: Float[Array, "L W"]  # u / e^scale
    decay: Float[Array, "L N W"]
    scale: Float[Array, " W"]


def rates(systems: Systems, y: Float[AnyArray, "L W"]) -> Rates:
    """The field at y = ln|x|."""
    drive = _drive(systems, y)
    _, rate, bound, total = _scan(systems, [drive.weight], [drive.decay], [])
    return _found(systems, drive, rate, bound, total)


def _found(systems: Systems, drive: "_Drive", rate, bound, total) -> Rates:
    active = systems.sign != 0
    velocity = jnp.where(active, rate / total, 0.0)
    restlessness = jnp.where(active, jnp.where(bound > 0, jnp.abs(rate) / bound, 1.0), 0.0)
    return Rates(velocity, restlessness, drive.scale + logarithm(total))


def _drive(systems: Systems, y) -> _Drive:
    mantissa, power = exponential_in_parts(y)
    (mantissa,) = kept(systems.never, mantissa)
    x = systems.sign * times_power_of_two(mantissa, power)
    (z,) = kept(systems.never, systems.s * x + systems.b)
    closed, closed_power = exponential_in_parts(-jnp.abs(z))
    (closed,) = kept(systems.never, closed)
    small = times_power_of_two(closed, closed_power)
    (quotient,) = kept(systems.never, log1p_over(small))
    positive = z > 0
    step = jnp.maximum(z, 0.0) + small * quotient
    u_mantissa = mantissa * mantissa * jnp.where(positive, step, quotient * closed)
    u_power = jnp.where(systems.sign == 0, -jnp.inf, 2 * power + jnp.where(positive, 0.0, closed_power))
    largest = jnp.max(u_power, axis=0)
    opening = jnp.where(positive, 1.0, small) / (1.0 + small)
    return _Drive(
        x=x,
        opening=opening,
        step=step,
        log_slope=jnp.where(positive, opening / step, 1.0 / ((1.0 + small) * quotient)),
        weight=times_power_of_two(u_mantissa, u_power - largest),
        decay=exponential(-systems.a * step[:, None]),
        scale=largest * math.log(2.0),
    )


def _scan(systems: Systems, weight: Series, decay: Series, states: Series):
    """(h_k, r_k, its bound, the sum of the bounds) of the highest order k that `weight` has, given h of those below.

        h_l,k = u_l,k + sum_{j <= k} decay_l,j h_{l-1,k-j}

    A loop over the tokens, not written out: a compiler that fuses what is written out computes it anew for every token.
    """
    k = len(weight) - 1

    def step(carry, token):
        before, total = carry
        own, decays, lower, active = token
        h = own + _in_order(decays[j] * before[k - j] for j in range(k + 1))
        rate = _in_order(systems.mu * h)
        bound = _in_order(jnp.abs(systems.mu) * h)
        return ([*lower, h], total + jnp.where(active, bound, 0.0)), (h, rate, bound)

    nothing = jnp.zeros_like(systems.mu)
    tokens = (weight[k], decay[: k + 1], states, systems.sign != 0)
    start = ([nothing] * (k + 1), jnp.zeros_like(systems.s))
    (_, total), (h, rate, bound) = jax.lax.scan(step, start, tokens)
    return h, rate, bound, total


def _in_order(terms):
    """A sum whose order is that of its terms, whatever the compiler would rather do."""
    total, *rest = terms
    for term in rest:
        total = total + term
    return total


def expand(systems: Systems, y: Float[AnyArray, "L W"]) -> tuple[Rates, Float[Array, "K W"]]:
    """(the rates at y, Taylor coefficients 0..ORDER of f = -ln rho along the orbit)."""
    drive = _drive(systems, y)
    series = _Series(systems, drive, y)
    h, rate, bound, total = _scan(systems, series.weight, series.decay, [])
    found = _found(systems, drive, rate, bound, total)
    states, totals, velocities, log_total = [h], [total], [found.velocity], [logarithm(total)]
    for k in range(1, ORDER + 1):
        series.extend(velocities[-1] / k)
        h, rate, _, total = _scan(systems, series.weight, series.decay, states)
        states.append(h)
        totals.append(total)
        drawn = _in_order(totals[j] * velocities[k - j] for j in range(1, k + 1))
        velocities.append(jnp.where(systems.sign != 0, (rate - drawn) / totals[0], 0.0))
        known = [(j / k) * log_total[j] * totals[k - j] for j in range(1, k)]
        log_total.append((total - _in_order(known) if known else total) / totals[0])
    scales = [drive.scale, *series.scale[1:]]
    return found, jnp.stack([-(scale + one) for scale, one in zip(scales, log_total, strict=True)])


class _Series:
    """The tokens' series, one order at a time."""

    def __init__(self, systems: Systems, drive: _Drive, y):
        self.systems = systems
        z = systems.s * drive.x + systems.b
        # Beyond the tail Delta is e^z to rounding, and the rounding error of d ln Delta / dz - 1 would be multiplied
        # by powers of z: there it is 1 exactly.
        self.tail = z < TAIL
        self.y, self.x, self.z = [y], [drive.x], [z]
        self.opening, self.step, self.weight, self.decay = [drive.opening], [drive.step], [drive.weight], [drive.decay]
        self.log_slope = [jnp.where(self.tail, 1.0, drive.log_slope)]
        # With the dot for d/dz: opening. = opening (1 - opening), log_slope. = log_slope (1 - opening - log_slope).
        self.closing = [1.0 - drive.opening]
        self.bend = [jnp.where(self.tail, 0.0, self.closing[0] - drive.log_slope)]
        self.opened: Series = []
        self.bent: Series = []
        self.largest = _first_largest(jnp.where(systems.sign == 0, -jnp.inf, 2 * y + jnp.minimum(z, 0.0)))
        # Order 0 of the logarithm of `weight` enters nowhere.
        self.scale, self.exponent = [drive.scale], [y]

    def extend(self, y):
        """Add order k = len(self.y), given y_k."""
        k, systems = len(self.y), self.systems
        self.opened.append(_convolved(k - 1, self.opening, self.closing))
        self.bent.append(_convolved(k - 1, self.log_slope, self.bend))
        self.y.append(y)
        self.x.append(_integral(k, self.y, self.x))
        self.z.append(systems.s * self.x[k])
        self.step.append(_integral(k, self.z, self.opening))
        exponent = 2 * self.y[k] + _integral(k, self.z, self.log_slope)
        self.scale.append(jnp.sum(jnp.where(self.largest, exponent, 0.0), axis=0))
        self.exponent.append(exponent - self.scale[k])
        self.weight.append(_integral(k, self.exponent, self.weight))
        self.decay.append(_integral(k, [-systems.a * one[:, None] for one in self.step], self.decay))
        self.opening.append(_integral(k, self.z, self.opened))
        self.closing.append(-self.opening[k])
        self.log_slope.append(_integral(k, self.z, self.bent))
        self.bend.append(jnp.where(self.tail, 0.0, self.closing[k] - self.log_slope[k]))


def _integral(k: int, inner: Series, outer: Series):
    """Coefficient k of the integral of outer d(inner): sum_j (j / k) inner_j outer_{k-j}."""
    return _in_order((j / k) * inner[j] * outer[k - j] for j in range(1, k + 1))


def _convolved(k: int, one: Series, other: Series):
    return _in_order(one[j] * other[k - j] for j in range(k + 1))


def _first_largest(power: Float[Array, "L W"]):
    """A mask of the first token with the largest power, (L, W)."""
    return jnp.arange(power.shape[0])[:, None] == jnp.argmax(power, axis=0)
