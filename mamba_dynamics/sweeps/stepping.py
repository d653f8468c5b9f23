"""Many runs at once: one compiled program that takes steps in every lane, each with its own step size.

It does what `solve` does with one run (logarithmic coordinates, growth clock, the same explicit method of order 8, the
same thresholds), but judges after every step, and takes time from Taylor coefficients instead of samples between steps.
A lane never looks at its neighbours: what a cell's run is does not depend on which others are computed with it, on how
many devices, or in which order. A lane that is done stands still until the program returns, after SEGMENT steps.
"""

from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._integrate import CHUNK, MAX_STEP, MIN_STEP
from .._outcomes import Outcome
from .._solve import Horizon
from ..dynamics.base import AnyArray
from ..dynamics.step_size import log_growth_to_shut
from ..dynamics.tokens import LARGEST
from .duration import clock_until, log_duration, log_tail
from .expansion import ORDER, Rates, Systems, expand, rates

#: The outcomes in the order of their codes; RUNNING is not one of them.
OUTCOMES = tuple(Outcome)
CODE = {outcome: code for code, outcome in enumerate(OUTCOMES)}
RUNNING = -1
#: Lanes of one device, as many as stay in a core's cache or as fill a GPU. Fixed numbers, so that a device's program is
#: the same for every amount of work.
LANES, LANES_OF_GPU = 1024, 65536
#: Steps that are tried before lanes that are done are filled again.
SEGMENT = 8
#: The error of a step's duration is that of a rule of lower order, so many times too large.
CLOCK_SLACK = 30.0
#: A requested time has been reached when ln(1 + t) is within this of it, relative to itself where that exceeds 1.
LANDED = 1e-13

#: A CPU's widest vectors, which XLA leaves alone unless told: the program is a row of long elementwise loops.
_COMPILED: Any = {"xla_cpu_prefer_vector_width": 512}

_TABLEAU = diffrax.Dopri8().tableau
assert isinstance(_TABLEAU, diffrax.ButcherTableau)
_SOLUTION, _ERROR = _TABLEAU.b_sol[:-1].tolist(), _TABLEAU.b_error[:-1].tolist()
#: Evaluations of the field for each step tried; the last is the expansion at its end.
STAGES = len(_SOLUTION)
_ROWS = np.array([[*row, *[0.0] * (STAGES - len(row))] for row in _TABLEAU.a_lower[:-1]])
_NEGLIGIBLE, _KEEPS_PACE, _BEYOND_ROUNDING = 40.0, 1e-6, 40.0


class Wanted(NamedTuple):
    """What is asked of each lane: tolerances, ln(1 + t) at the end (inf: until decided), the budget of steps."""

    rtol: Float[AnyArray, " W"]
    atol: Float[AnyArray, " W"]
    goal: Float[AnyArray, " W"]
    max_steps: Int[AnyArray, " W"]


class Lanes(NamedTuple):
    """Where each run stands. A lane with steps = 0 has only `y` and `code`."""

    y: Float[AnyArray, "L W"]
    start: Float[AnyArray, "L W"]
    velocity: Float[AnyArray, "L W"]
    f: Float[AnyArray, "K W"]
    h: Float[AnyArray, " W"]
    log_t: Float[AnyArray, " W"]
    log_blow_up_time: Float[AnyArray, " W"]
    stop_log_rate: Float[AnyArray, " W"]
    steps: Int[AnyArray, " W"]
    shrinking: Int[AnyArray, " W"]  # accepted steps on end after which nothing grew
    fresh: Bool[AnyArray, " W"]
    code: Int[AnyArray, " W"]


def idle(tokens: int, width: int) -> Lanes:
    """Lanes with nothing in them."""

    def numbers(*rows: int):
        return np.zeros((*rows, width))

    return Lanes(
        y=numbers(tokens),
        start=numbers(tokens),
        velocity=numbers(tokens),
        f=numbers(ORDER + 1),
        h=numbers(),
        log_t=numbers(),
        log_blow_up_time=numbers(),
        stop_log_rate=numbers(),
        steps=np.zeros(width, np.int32),
        shrinking=np.zeros(width, np.int32),
        fresh=np.zeros(width, bool),
        code=np.zeros(width, np.int32),
    )


@partial(jax.jit, compiler_options=_COMPILED)
def advance(systems: Systems, wanted: Wanted, lanes: Lanes, thresholds: dict[str, Array]) -> Lanes:
    """The lanes after up to SEGMENT steps; `thresholds` are the fields of a `Horizon`, as numbers."""
    # Numbers of the program's input, so that one program serves every horizon.
    horizon = Horizon(**thresholds)  # pyright: ignore[reportArgumentType]

    def goes_on(carry):
        count, lanes = carry
        return (count < SEGMENT) & jnp.any(lanes.code == RUNNING)

    def step(carry):
        count, lanes = carry
        return count + 1, _select(lanes.code == RUNNING, _stepped(systems, wanted, lanes, horizon), lanes)

    return jax.lax.while_loop(goes_on, step, (jnp.asarray(0), lanes))[1]


def _select(condition: Bool[AnyArray, " W"], this: Lanes, other: Lanes) -> Lanes:
    return jax.tree.map(partial(jnp.where, condition), this, other)


def _begun(systems: Systems, wanted: Wanted, lanes: Lanes, found: Rates, f, horizon: Horizon) -> Lanes:
    """Every lane at its start, which is lanes.y."""
    all_zero = jnp.all(systems.sign == 0, axis=0)
    still = jnp.where(all_zero, CODE[Outcome.CONVERGED_TO_ZERO], CODE[Outcome.CONVERGED_TO_EQUILIBRIUM])
    code = jnp.where(wanted.goal <= 0, CODE[Outcome.REACHED_UNTIL], RUNNING)
    code = jnp.where(jnp.isfinite(found.log_rate), code, still)
    nowhere = jnp.full_like(lanes.h, -jnp.inf)
    return Lanes(
        y=lanes.y,
        start=lanes.y,
        velocity=found.velocity,
        f=f,
        h=jnp.full_like(lanes.h, 1e-2),
        log_t=nowhere,
        log_blow_up_time=nowhere,
        stop_log_rate=found.log_rate + horizon.log_rate,
        steps=jnp.zeros_like(lanes.steps),
        shrinking=jnp.zeros_like(lanes.shrinking),
        fresh=jnp.zeros_like(lanes.fresh),
        code=code.astype(lanes.code.dtype),
    )


def _stepped(systems: Systems, wanted: Wanted, lanes: Lanes, horizon: Horizon) -> Lanes:
    """Every lane after one more step has been tried; one that is fresh is looked at where it is."""
    h = lanes.h
    y, error = _explicit(systems, lanes)
    # Chosen, not multiplied by a step of 0: what a lane held before may be no number.
    y = jnp.where(lanes.fresh, lanes.y, y)
    found, f = expand(systems, y)
    begun = _begun(systems, wanted, lanes, found, f, horizon)
    spent, clock_error = log_duration(lanes.f, f, h)
    log_t = jnp.logaddexp(lanes.log_t, spent)
    tolerance = wanted.atol + wanted.rtol * jnp.maximum(jnp.abs(lanes.y), jnp.abs(y))
    of_tokens = jnp.max(jnp.abs(error) / tolerance, axis=0)
    # The clock takes no part where the tolerance is below its rounding.
    of_clock = clock_error * jnp.exp(spent - log_t) / (CLOCK_SLACK * jnp.maximum(wanted.rtol, 1e-14))
    ratio = jnp.maximum(of_tokens, of_clock)
    ratio = jnp.where(jnp.isfinite(ratio) & jnp.isfinite(log_t), ratio, jnp.inf)
    factor = jnp.clip(0.9 * jnp.exp(jnp.log(jnp.maximum(ratio, 1e-30)) * -0.125), 0.2, 10.0)
    next_h = jnp.minimum(h * factor, MAX_STEP)
    accurate = ratio <= 1

    late = jnp.logaddexp(0.0, log_t) - wanted.goal
    margin = jnp.where(jnp.isinf(wanted.goal), 0.0, LANDED * jnp.maximum(1.0, wanted.goal))
    landed = accurate & (jnp.abs(late) <= margin)
    beyond = accurate & (late > margin)
    next_h = jnp.where(beyond, _landing(h, f, log_t, wanted.goal, late=True), next_h)
    accepted = accurate & ~beyond
    next_h = jnp.where(accepted, jnp.minimum(next_h, _landing(h, f, log_t, wanted.goal, late=False)), next_h)

    nothing_grows = jnp.max(found.velocity, axis=0) <= 0
    moved = lanes._replace(
        y=y,
        velocity=found.velocity,
        f=f,
        log_t=log_t,
        shrinking=jnp.where(nothing_grows, lanes.shrinking + 1, 0),
    )
    after = _select(accepted, moved, lanes)._replace(h=next_h, steps=lanes.steps + 1)
    judged = _judged(systems, found, after, horizon)
    code = jnp.where(accepted, judged.code, RUNNING)
    code = jnp.where(landed, CODE[Outcome.REACHED_UNTIL], code)
    failed = (code == RUNNING) & ~accurate & (next_h < MIN_STEP)
    code = jnp.where(failed, CODE[Outcome.SOLVER_FAILED], code)
    spent_all = (code == RUNNING) & (after.steps >= wanted.max_steps)
    code = jnp.where(spent_all, _at_the_budget(after, wanted, horizon), code)
    stepped = judged._replace(
        code=code.astype(lanes.code.dtype),
        log_blow_up_time=jnp.where(code == CODE[Outcome.BLEW_UP], judged.log_blow_up_time, -jnp.inf),
    )
    return _select(lanes.fresh, begun, stepped)


def _explicit(systems: Systems, lanes: Lanes):
    """(y after a step, its error estimate). The stages are a loop, which is compiled once instead of twelve times."""

    def stage(i, stages):
        y = lanes.y + lanes.h * _combined(jnp.asarray(_ROWS)[i - 1], stages)
        return stages.at[i].set(rates(systems, y).velocity)

    first = jnp.zeros((STAGES, *lanes.y.shape)).at[0].set(lanes.velocity)
    stages = jax.lax.fori_loop(1, STAGES, stage, first)
    return lanes.y + lanes.h * _combined(_SOLUTION, stages), lanes.h * _combined(_ERROR, stages)


def _combined(weights, stages: Float[Array, "S L W"]) -> Float[Array, "L W"]:
    """The sum of weight times stage, in order."""
    total = weights[0] * stages[0]
    for j in range(1, STAGES):
        total = total + weights[j] * stages[j]
    return total


def _landing(h, f, log_t, goal, *, late: bool):
    """The step that ends at the requested time: from here, or (late) from the start of the step that overshot it."""
    log_goal = jnp.where(jnp.isinf(goal), jnp.inf, goal + jnp.log(-jnp.expm1(-goal)))
    high, low = (log_t, log_goal) if late else (log_goal, log_t)
    log_gap = high + jnp.log(-jnp.expm1(jnp.minimum(low - high, 0.0)))
    reach = clock_until(log_gap, f, -1.0 if late else 1.0)
    if late:
        shorter = h + reach
        return jnp.where((shorter > 0) & (shorter < h), shorter, 0.5 * h)
    return jnp.where(jnp.isinf(goal) | ~(reach > 0), jnp.inf, reach)


def _judged(systems: Systems, found, lanes: Lanes, horizon: Horizon) -> Lanes:
    """The lanes with the outcome that their last step shows, in the order of `solve`."""
    log_rate, growth = -lanes.f[0], lanes.velocity
    fastest = jnp.max(growth, axis=0)
    norms = jnp.where(systems.sign == 0, -jnp.inf, lanes.y)
    counts = norms > jnp.max(norms, axis=0) - _NEGLIGIBLE
    activity = jnp.maximum(jnp.max(jnp.where(counts, found.restlessness, 0.0), axis=0), fastest)
    grown = jnp.where(systems.sign == 0, jnp.inf, lanes.start - lanes.y)
    shrunk = jnp.min(grown, axis=0) >= horizon.shrinking
    settled = lanes.shrinking >= CHUNK
    tail = log_tail(lanes.f)
    running = growth > _KEEPS_PACE
    left = log_growth_to_shut(systems.s * systems.sign, systems.b, lanes.y)
    for_ever = jnp.any(running & (left == 0), axis=0)
    furthest = jnp.max(jnp.where(running, left, 0.0), axis=0)
    goes_on = ~for_ever & (furthest > 0) & (jnp.max(norms, axis=0) + furthest <= LARGEST)
    ran_away = for_ever & (tail <= lanes.log_t - _BEYOND_ROUNDING)
    code = jnp.full_like(lanes.code, RUNNING)
    for holds, outcome in (
        ((lanes.log_t >= horizon.log_t_growing) & (fastest > 0), Outcome.DIVERGES_SLOWLY),
        ((lanes.log_t >= horizon.log_t_decaying) & settled & shrunk, Outcome.CONVERGED_TO_ZERO),
        (activity < horizon.rest, Outcome.CONVERGED_TO_EQUILIBRIUM),
    ):
        code = jnp.where(holds, CODE[outcome], code)
    blown = jnp.where(ran_away, CODE[Outcome.BLEW_UP], CODE[Outcome.BUDGET_EXHAUSTED])
    beyond = log_rate > lanes.stop_log_rate
    code = jnp.where(beyond & ~goes_on, blown, code)
    further = log_rate + 2 * furthest + horizon.log_rate
    return lanes._replace(
        code=code,
        log_blow_up_time=jnp.logaddexp(lanes.log_t, tail),
        stop_log_rate=jnp.where(beyond & goes_on, further, lanes.stop_log_rate),
    )


def _at_the_budget(lanes: Lanes, wanted: Wanted, horizon: Horizon):
    slow = jnp.isinf(wanted.goal) & (lanes.log_t >= horizon.log_t_growing_least) & (jnp.max(lanes.velocity, axis=0) > 0)
    return jnp.where(slow, CODE[Outcome.DIVERGES_SLOWLY], CODE[Outcome.BUDGET_EXHAUSTED])
