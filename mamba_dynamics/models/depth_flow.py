"""The residual stream as a flow in depth: du/dt = Block_theta(t)(u), t in [0, number of blocks].

    theta(k)            the weights of block k, which acts from t = k to k + 1
    in between          piecewise linear in the block's own parameters; decay rates a as ln a (the stored A_log)
    after the last k    constant

One Euler step per unit of depth is the model itself, to the last bit of theta: u + Block_theta(k)(u). Shorter steps and
an adaptive reference tell how far the model is from the flow. theta has kinks at whole t, so every function here covers
one unit interval, given the blocks at its two ends: no more than two need be in memory.
"""

from dataclasses import dataclass
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import UnsupportedArchitecture
from .._first_step import PIDFirstStep
from .._outcomes import Outcome
from .block import Block, radial_rates

#: A token whose size grows by e^this per unit of depth runs away: the flow has blown up for every purpose.
RUNAWAY = 1e8
#: Steps that a reference may try per unit of depth, accepted and rejected.
MAX_STEPS = 256


def interpolated(here: Block, there: Block, share: Any) -> Block:
    """The block a `share` (0 to 1) of the way from one block's weights to the next one's: `here` exactly at 0."""
    block = jax.tree.map(lambda p, q: p + share * (jnp.asarray(q) - p), here, there)
    a, b = here.mixer.selection.a, there.mixer.selection.a  # pyright: ignore[reportAttributeAccessIssue]
    rates = a * jnp.exp(share * (_log(b) - _log(a)))
    return eqx.tree_at(lambda one: one.mixer.selection.a, block, rates)


def _log(rates: Float[Array, "..."]) -> Float[Array, "..."]:
    """ln a; a rate that has underflowed to 0 counts as the least normal number."""
    return jnp.log(jnp.maximum(jnp.asarray(rates), jnp.finfo(rates.dtype).tiny))


def require_same_shape(here: Block, there: Block) -> None:
    """Raise `UnsupportedArchitecture` where there is no path from one block's weights to the next one's."""
    one, other = (jax.tree.map(np.shape, block) for block in (here, there))
    if jax.tree.structure(here) != jax.tree.structure(there) or one != other:
        raise UnsupportedArchitecture(
            "expected consecutive blocks with weights of the same shapes, found blocks that differ; their weights "
            "cannot be interpolated in depth"
        )


@eqx.filter_jit
def euler(here: Block, there: Block, residual: Float[Array, "L d"], steps: Array) -> Float[Array, "L d"]:
    """The residual stream one unit of depth on, by that many equal Euler steps; one step is the block itself."""
    # A traced number: one compilation serves all.
    step = 1 / jnp.asarray(steps, residual.dtype)

    def advance(index, u):
        return u + step * interpolated(here, there, index * step)(u)

    return jax.lax.fori_loop(0, steps, advance, residual)


@dataclass(frozen=True, eq=False)
class Followed:
    """The flow over one unit of depth: how it ended, after which part of the unit, where, and in how many steps.

    `outcome` is reached_until, blew_up (see RUNAWAY), budget_exhausted or solver_failed.
    """

    outcome: Outcome
    share: float
    residual: Float[Array, "L d"]
    steps: int


def follow(
    here: Block,
    there: Block,
    residual: Float[Array, "L d"],
    *,
    rtol: float,
    max_steps: int = MAX_STEPS,
    first_step: float = 0.05,
) -> Followed:
    """Integrate one unit of depth by an adaptive method of order 8 (Dormand and Prince, `diffrax.Dopri8`).

    Args:
        here, there: the blocks at both ends. residual: u (L, d), at the start.
        rtol: tolerance per step, relative to each entry and to the root mean square of the residual at the start.
        max_steps: budget. first_step: the first one tried, as a share of the unit.
    """
    tolerance, dt0 = (jnp.asarray(value, residual.dtype) for value in (rtol, first_step))
    end, share, result, steps = _follow(here, there, residual, tolerance, dt0, max_steps)
    if result == diffrax.RESULTS.event_occurred:
        outcome = Outcome.BLEW_UP
    elif result == diffrax.RESULTS.successful:
        outcome = Outcome.REACHED_UNTIL
    elif result == diffrax.RESULTS.max_steps_reached:
        outcome = Outcome.BUDGET_EXHAUSTED
    else:
        outcome = Outcome.SOLVER_FAILED
    return Followed(outcome, float(share), end, int(steps))


@eqx.filter_jit
def _follow(here, there, residual, rtol, dt0, max_steps):
    def runs_away(t, u, args, **_):
        rates = radial_rates(u, interpolated(here, there, t)(u))
        return jnp.max(jnp.where(jnp.isfinite(rates), rates, 0.0)) > RUNAWAY

    atol = rtol * jnp.sqrt(jnp.mean(residual * residual))
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, u, args: interpolated(here, there, t)(u)),
        diffrax.Dopri8(),
        0.0,
        1.0,
        None,
        residual,
        stepsize_controller=PIDFirstStep(rtol=rtol, atol=atol, first_step=dt0),
        saveat=diffrax.SaveAt(t1=True),
        adjoint=diffrax.ForwardMode(),
        event=diffrax.Event(runs_away),
        max_steps=max_steps,
        throw=False,
    )
    assert solution.ys is not None
    assert solution.ts is not None
    return solution.ys[-1], solution.ts[-1], solution.result, solution.stats["num_steps"]
