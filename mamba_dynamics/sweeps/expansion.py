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
from .elementary import exponential, exponential_in_parts, in_order, kept, log1p_over, logarithm, times_power_of_two
from .multiderivative import KNOWN

Series = list[Any]

#: Orders in which the field and the clock's rate are expanded at the end of a step, as many as the next one needs.
ORDER = KNOWN - 1
#: The scan over so many tokens is written out; more are gone through in a loop, which takes less of the compiler, and
#: starts several kernels a turn.
WRITTEN_OUT = 8


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
    h, _, total = _states(systems, drive.weight[:, None], drive.decay)
    return _found(systems, drive, h, total)


def _found(systems: Systems, drive: "_Drive", h, total) -> Rates:
    rate, bound = (_over_states(weights, h) for weights in (systems.mu, jnp.abs(systems.mu)))
    active = systems.sign != 0
    velocity = jnp.where(active, rate * (1.0 / total), 0.0)
    restlessness = jnp.where(active, jnp.where(bound > 0, jnp.abs(rate) / bound, 1.0), 0.0)
    return Rates(velocity, restlessness, drive.scale + logarithm(total))


def _over_states(weights: Float[AnyArray, "N W"], h: Float[Array, "L N W"]) -> Float[Array, "L W"]:
    """sum_n weights_n h_ln."""
    return in_order(weights[n] * h[:, n] for n in range(h.shape[1]))


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
    step = jnp.where(positive, z, 0.0) + small * quotient
    u_mantissa = mantissa * mantissa * jnp.where(positive, step, quotient * closed)
    u_power = jnp.where(systems.sign == 0, -jnp.inf, 2 * power + jnp.where(positive, 0.0, closed_power))
    largest = jnp.max(u_power, axis=0)
    opening = jnp.where(positive, 1.0, small) / (1.0 + small)
    # Kept once, and in this shape: others would each be a copy.
    weight, decay = kept(
        systems.never, times_power_of_two(u_mantissa, u_power - largest), exponential(-systems.a * step[:, None])
    )
    return _Drive(
        x=x,
        opening=opening,
        step=step,
        log_slope=jnp.where(positive, opening / step, 1.0 / ((1.0 + small) * quotient)),
        weight=weight,
        decay=decay,
        scale=largest * math.log(2.0),
    )


def _states(systems: Systems, own: Float[Array, "L _ W"], decay: Float[Array, "L N W"]):
    """(h_l and h_{l-1} for h_l = own_l + decay_l h_{l-1}, the sum of |mu_n| h_ln over states and tokens but zeros)."""

    def following(before, token):
        own, decay = token
        h = own + decay * before
        return h, h

    states = [jnp.zeros_like(decay[0])]
    if len(own) <= WRITTEN_OUT:
        for token in zip(own, decay, strict=True):
            states.append(following(states[-1], token)[0])
        states = jnp.stack(states)
    else:
        states = jnp.concatenate([states[0][None], jax.lax.scan(following, states[0], (own, decay))[1]])
    (states,) = kept(systems.never, states)
    h = states[1:]
    bound = jnp.where(systems.sign != 0, _over_states(jnp.abs(systems.mu), h), 0.0)
    return h, states[:-1], jnp.sum(bound, axis=0)


def expand(systems: Systems, y: Float[AnyArray, "L W"]) -> tuple[Rates, Series, Float[Array, "K W"]]:
    """(the rates at y, Taylor coefficients 0..ORDER of dy/ds and of f = -ln rho along the orbit)."""
    drive = _drive(systems, y)
    series = _Series(systems, drive, y)
    h, before, total = _states(systems, drive.weight[:, None], drive.decay)
    found = _found(systems, drive, h, total)
    states = [before]
    per_total = 1.0 / total
    totals, velocities, slopes = [total], [found.velocity], [total]
    f = [-found.log_rate]
    for k in range(1, ORDER + 1):
        series.extend(velocities)
        own = series.weight[k][:, None] + in_order(series.decay[j] * states[k - j] for j in range(1, k + 1))
        (own,) = kept(systems.never, own)
        h, before, total = _states(systems, own, drive.decay)
        rate = _over_states(systems.mu, h)
        states.append(before)
        totals.append(total)
        drawn = in_order(totals[j] * velocities[k - j] for j in range(1, k + 1))
        velocities += kept(systems.never, jnp.where(systems.sign != 0, (rate - drawn) * per_total, 0.0))
        # The slope of ln(total), order k - 1.
        known = [slopes[j] * totals[k - j] for j in range(1, k)]
        slopes.append((k * total - in_order(known) if known else total) * per_total)
        f.append(-(series.scale[k] + slopes[k] / k))
    return found, velocities, jnp.stack(kept(systems.never, *f))


class _Series:
    """The tokens' series, one order at a time: values, and slopes along the orbit (x' = dx/ds), whose order is less."""

    def __init__(self, systems: Systems, drive: _Drive, y):
        self.systems = systems
        z = systems.s * drive.x + systems.b
        # Beyond the tail Delta is e^z to rounding, and the rounding error of d ln Delta / dz - 1 would be multiplied
        # by powers of z: there it is 1 exactly.
        self.tail = z < TAIL
        self.largest = _first_largest(jnp.where(systems.sign == 0, -jnp.inf, 2 * y + jnp.minimum(z, 0.0)))
        # With the dot for d/dz: opening. = opening (1 - opening), log_slope. = log_slope (1 - opening - log_slope).
        self.x, self.opening, self.weight, self.decay = [drive.x], [drive.opening], [drive.weight], [drive.decay]
        self.log_slope = [jnp.where(self.tail, 1.0, drive.log_slope)]
        self.closing = [1.0 - drive.opening]
        self.bend = [jnp.where(self.tail, 0.0, self.closing[0] - drive.log_slope)]
        self.scale = [drive.scale]
        self.z_slope: Series = []
        self.step_slope: Series = []
        self.exponent_slope: Series = []
        self.opened: Series = []
        self.bent: Series = []

    def extend(self, velocities: Series):
        """Add order k = len(velocities), given dy/ds below it."""
        k, systems = len(velocities), self.systems
        (x_slope,) = kept(systems.never, _product(velocities, self.x))
        self.z_slope.append(systems.s * x_slope)
        self.x.append(x_slope / k)
        exponent = 2 * velocities[-1] + _product(self.z_slope, self.log_slope)
        step_slope, exponent = kept(systems.never, _product(self.z_slope, self.opening), exponent)
        self.step_slope.append(step_slope)
        scale = jnp.sum(jnp.where(self.largest, exponent, 0.0), axis=0)
        self.scale.append(scale / k)
        self.exponent_slope.append(exponent - scale)
        self.weight.append(_product(self.exponent_slope, self.weight) / k)
        # Along the states, from here on.
        decay_slope = in_order(
            one[:, None] * other for one, other in zip(self.step_slope, reversed(self.decay), strict=True)
        )
        self.decay.append(-systems.a / k * decay_slope)
        self.opened.append(_product(self.opening, self.closing))
        self.bent.append(_product(self.log_slope, self.bend))
        self.opening.append(_product(self.z_slope, self.opened) / k)
        self.closing.append(-self.opening[k])
        self.log_slope.append(_product(self.z_slope, self.bent) / k)
        self.bend.append(jnp.where(self.tail, 0.0, self.closing[k] - self.log_slope[k]))


def _product(one: Series, other: Series):
    """The highest coefficient that two series of one length tell of their product."""
    return in_order(p * q for p, q in zip(one, reversed(other), strict=True))


def _first_largest(power: Float[Array, "L W"]):
    """A mask of the first token with the largest power, (L, W)."""
    return jnp.arange(power.shape[0])[:, None] == jnp.argmax(power, axis=0)
