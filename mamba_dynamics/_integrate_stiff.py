"""Chunks of an integration through a stiff stretch: Rosenbrock steps in plain time, re-scaled at every step.

A token that slides along the null cone q(x) = x^T M x = 0 is bound to it by a force that grows like its size to the
third power, and a channel with a large step size relaxes fast where q < 0. An explicit method must resolve these
times, up to 1e9 times shorter than those on which anything changes. `mamba_dynamics._rosenbrock` steps over them;
the chart of each step (`mamba_dynamics.dynamics.frozen`) keeps every token's relative precision.

Within a step time is linear, so the clock needs no quadrature. A step counts as one unit of s.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._integrate import CHUNK, MIN_STEP, Chunk, Point, observe
from ._rosenbrock import EMBEDDED_ORDER, STAGES, Step, interpolate, rosenbrock_step
from .dynamics.clocks import constant_rates
from .dynamics.frozen import FrozenTokens
from .dynamics.tokens import TokenLogDynamics

#: Step size control: aim for this share of the step that would meet the tolerance, change it within these factors.
SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
#: The longest step in the growth clock: beyond it the shift of the Jacobian drowns in rounding.
MAX_STEP = 1e40
#: A step's cost in evaluations of the field: its stages, as many solves of about the same work, the Jacobian.
EVALUATIONS = 2 * STAGES + 4


class Record(NamedTuple):
    """Accepted steps, padded to S: amplitudes y and lifted tokens (v, q) at the start, ln of the time, the step."""

    y: Float[Array, "S L"]
    start: Float[Array, "S L Q"]
    log_dt: Float[Array, " S"]
    step: Step


class StiffPath(eqx.Module):
    """The accepted steps of a stiff chunk as a path, one unit of s each from s0 on."""

    dynamics: TokenLogDynamics
    s0: Float[Array, ""]
    record: Record

    def evaluate(self, s):
        """The state (y, v) at s; v is not of unit length within a step."""
        index = jnp.clip(jnp.ceil(s - self.s0 - 1e-3).astype(int) - 1, 0, CHUNK - 1)
        one: Record = jax.tree.map(lambda leaf: leaf[index], self.record)
        chart = FrozenTokens.at(self.dynamics, (one.y, one.start[:, :-1]))
        lifted = interpolate(one.start, one.step, s - self.s0 - index)
        return one.y, chart.settle(lifted, jnp.exp(one.log_dt + chart.log_scale))


class _Carry(NamedTuple):
    state: tuple[Array, Array]
    log_dt: Array
    grow: Array
    tried: Array
    accepted: Array
    failed: Array
    record: Record


def integrate_stiff_chunk(dynamics: TokenLogDynamics, start: Point, rtol: float, atol: float) -> Chunk:
    """Try up to CHUNK Rosenbrock steps; `start.dt` is the first, in the growth clock at the start."""
    values = (jnp.asarray(value, dtype=float) for value in (start.dt, rtol, atol))
    carry, last_dt = _integrate(dynamics, start.state, *values)
    accepted, tried, failed = int(carry.accepted), int(carry.tried), bool(carry.failed)
    path = StiffPath(dynamics, jnp.asarray(start.s), carry.record)
    evaluations = tried * EVALUATIONS
    if accepted == 0:
        return Chunk(Point(start.s, start.state, float(last_dt)), None, None, path, tried, evaluations, failed)
    edges = start.s + np.arange(accepted + 1.0)
    clock = constant_rates(edges, np.asarray(carry.record.log_dt)[:accepted])
    observed = observe(dynamics, path, edges[1:])
    end = Point(float(edges[-1]), carry.state, float(last_dt))
    return Chunk(end, clock, observed, path, tried, evaluations + accepted, failed)


@eqx.filter_jit
def _integrate(dynamics: TokenLogDynamics, state, dt, rtol, atol):
    L, D = state[1].shape

    def attempt(carry: _Carry) -> _Carry:
        log_rate = dynamics.log_rate(carry.state)
        log_dt = jnp.minimum(carry.log_dt, jnp.log(MAX_STEP) - log_rate)
        chart = FrozenTokens.at(dynamics, carry.state)
        duration = jnp.exp(log_dt + chart.log_scale)
        start = chart.lift(carry.state[1])
        step = rosenbrock_step(chart.velocity, chart.shifted_solver, start, duration)
        error = _norm(step.error, start, step.end, dynamics.active, rtol, atol)
        accept = error <= 1
        factor = SAFETY * error ** (-1 / (EMBEDDED_ORDER + 1))
        factor = jnp.where(jnp.isfinite(error), jnp.clip(factor, SHRINK, carry.grow), SHRINK)
        k = carry.accepted
        one = Record(chart.y, start, log_dt, step)
        record = jax.tree.map(lambda whole, part: whole.at[k].set(part), carry.record, one)
        kept = carry._replace(state=_unit(chart.y, chart.settle(step.end, duration)), accepted=k + 1, record=record)
        carry = jax.tree.map(lambda new, old: jnp.where(accept, new, old), kept, carry)
        return carry._replace(
            tried=carry.tried + 1,
            log_dt=log_dt + jnp.log(factor),
            # No growth right after a rejection.
            grow=jnp.where(accept, GROW, 1.0),
            failed=log_dt + log_rate < jnp.log(MIN_STEP),
        )

    state = _unit(*state)
    lifted = jnp.zeros((CHUNK, L, D + 1))
    record = Record(
        jnp.zeros((CHUNK, L)), lifted, jnp.zeros(CHUNK), Step(lifted, lifted, jnp.zeros((CHUNK, 3, L, D + 1)))
    )
    none, log_dt = jnp.asarray(0), jnp.log(dt) - dynamics.log_rate(state)
    carry = _Carry(state, log_dt, jnp.asarray(GROW), none, none, jnp.asarray(False), record)
    carry = jax.lax.while_loop(lambda carry: (carry.tried < CHUNK) & ~carry.failed, attempt, carry)
    return carry, jnp.exp(carry.log_dt + dynamics.log_rate(carry.state))


def _unit(y, v):
    """The same tokens with directions of unit length."""
    norm = jnp.linalg.norm(v, axis=1)
    norm = jnp.where(norm > 0, norm, 1.0)
    return y + jnp.log(norm), v / norm[:, None]


def _norm(error, before, after, active, rtol, atol):
    """Root mean square of the tokens' error over the tolerance, zero tokens left out.

    q is left out too: where it is bound to v it forgets its error at once, elsewhere it is computed anew.
    """
    scale = atol + rtol * jnp.maximum(jnp.abs(before), jnp.abs(after))
    squares = jnp.where(jnp.asarray(active)[:, None], (error / scale)[:, :-1] ** 2, 0.0)
    return jnp.sqrt(jnp.sum(squares) / (jnp.sum(active) * squares.shape[1]))
