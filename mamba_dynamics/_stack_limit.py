"""How a stack of K identical S6 layers approaches the paper's ODE (theory section 2), from a layer's own tokens.

    x^0 = tokens,   x^{k+1} = x^k + (T/K) S6(x^k),   K = 1, 2, 4, ...      against x(T) of dx/dt = S6(x)

The gap should shrink like 1/K. One residual layer of a real model is a step of 1, so T = 1 where the flow reaches it:
then K = 1 is that layer as it stands. Where the flow ends before (it blows up, or can be followed no further), T is a
stated fraction of the time at which it ends, and the layer's own step of 1 has no counterpart in the flow at all.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._layer import S6Layer
from ._outcomes import Outcome, Truth
from ._rates import Estimate, agrees, limiting_slope
from ._solve import solve
from ._trajectory import FloatArray
from .dynamics import AbstractTokenDynamics, token_dynamics

#: The flow's tolerance per step; gaps below RESOLVED times it say nothing about the stack.
RTOL, RESOLVED = 1e-10, 1e3
#: Stacks go up to 2^DOUBLINGS layers.
DOUBLINGS = 8
#: Where the flow ends before t = 1, stacks are compared at this share of the time it lasted.
FRACTION = 0.5
#: Budget of the flow's steps.
MAX_STEPS = 256
#: Outcomes of a flow that lasts: it came to the requested time, or to rest before that.
ARRIVED = (Outcome.REACHED_UNTIL, Outcome.CONVERGED_TO_ZERO, Outcome.CONVERGED_TO_EQUILIBRIUM)


@dataclass(frozen=True, eq=False)
class StackLimit:
    """One layer's stacks against its flow.

    `time` is T. `outcome` says how the flow on its way to t = 1 ended, `lasted` when (1, T*, or the time reached).
    `layers` (K,) are the sizes of the stacks; `gaps` (K,) |x^K - x(T)| / |x(T)| over all tokens together, `worst` (K,)
    the largest of the single tokens' (inf where a stack overflowed). `order` estimates p in gap ~ K^-p; `truth`
    whether it is 1, as theory says.
    """

    index: int
    time: float
    outcome: Outcome
    lasted: float
    why: str
    layers: FloatArray
    gaps: FloatArray
    worst: FloatArray
    order: Estimate | None
    truth: Truth

    @property
    def reaches_one_layer(self) -> Truth:
        """Whether the flow lasts for the step of 1 that one residual layer takes."""
        if self.outcome in ARRIVED:
            return Truth.HOLDS
        return Truth.FAILS if self.outcome is Outcome.BLEW_UP else Truth.UNDECIDED


def stack_limit(
    layer: S6Layer,
    tokens: FloatArray,
    *,
    doublings: int = DOUBLINGS,
    fraction: float = FRACTION,
    rtol: float = RTOL,
    max_steps: int = MAX_STEPS,
) -> StackLimit:
    """Compare stacks of 1, 2, 4, ..., 2^doublings copies of an S6 layer with its flow, from tokens (L, D).

    Args:
        fraction: T, as a share of the flow's own end, where that comes before t = 1.
        rtol, max_steps: of the flow.

    Raises:
        HypothesisError: the layer's S6-only ODE is not closed (Mamba-2).
    """
    dynamics = token_dynamics(layer)
    run = solve(dynamics, tokens, until=1.0, rtol=rtol, atol=rtol, max_steps=max_steps, throw=False)
    first, time, why = run, 1.0, "the flow reaches t = 1, the step of one residual layer"
    lasted = 1.0 if run.outcome in ARRIVED else float(run.blow_up.time if run.blow_up else run.t[-1])
    if run.outcome not in ARRIVED:
        time = fraction * lasted
        ending = "blows up" if run.blow_up else "could be followed no further than"
        why = f"the flow {ending} at t = {lasted:.8g}: a layer's own step of 1 lies beyond it ({run.why})"
        run = solve(dynamics, tokens, until=time, rtol=rtol, atol=rtol, max_steps=max_steps, throw=False)
    layers = np.exp2(np.arange(doublings + 1), dtype=np.float64)
    if run.outcome not in ARRIVED:
        unknown = np.full(len(layers), np.nan)
        why = f"{why}; nor was T = {time:.4g} reached: {run.why}"
        return StackLimit(
            layer.index, time, first.outcome, lasted, why, layers, unknown, unknown, None, Truth.UNDECIDED
        )
    gaps, worst = _gaps(dynamics, tokens, run.x[-1], time, layers)
    order, truth = _order(layers, gaps, rtol)
    return StackLimit(layer.index, time, first.outcome, lasted, why, layers, gaps, worst, order, truth)


@eqx.filter_jit
def _stack(dynamics: AbstractTokenDynamics, tokens, time, count):
    def advance(_, x):
        return x + time / count * dynamics(0.0, x, None)

    return jax.lax.fori_loop(0, count, advance, tokens)


def _gaps(dynamics, tokens, end, time, layers) -> tuple[FloatArray, FloatArray]:
    gaps, worst = np.empty(len(layers)), np.empty(len(layers))
    with jax.enable_x64(True), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        start, at = jnp.asarray(tokens, float), jnp.asarray(time)
        for place, count in enumerate(layers):
            apart = np.asarray(_stack(dynamics, start, at, jnp.asarray(int(count)))) - end
            gaps[place] = _relative(apart.reshape(1, -1), end.reshape(1, -1))[0]
            worst[place] = np.max(_relative(apart, end))
    return gaps, worst


def _relative(apart: FloatArray, end: FloatArray) -> FloatArray:
    """|apart| / |end| by rows; 0 where nothing is apart (a token that is zero stays zero), inf after an overflow."""
    apart, end = np.linalg.norm(apart, axis=1), np.linalg.norm(end, axis=1)
    return np.where(apart == 0, 0.0, np.where(np.isfinite(apart), apart / end, np.inf))


def _order(layers: FloatArray, gaps: FloatArray, rtol: float) -> tuple[Estimate | None, Truth]:
    """p of gap ~ K^-p from the finest stacks whose gap the flow's tolerance resolves, and whether it is 1."""
    resolved = gaps > RESOLVED * rtol
    if not resolved.any():
        return None, Truth.HOLDS  # nothing moves, or nothing that could be told apart from the flow
    last = int(np.flatnonzero(resolved)[-1]) + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = limiting_slope(np.log(gaps[:last]), np.log(layers[:last]), layers[:last])
    if slope is None or not np.isfinite(slope.value):
        return None, Truth.UNDECIDED
    order = Estimate(-slope.value, slope.standard_error, slope.window)
    return order, agrees(order, 1.0)
