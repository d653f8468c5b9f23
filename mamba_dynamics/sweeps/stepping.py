"""Many runs at once: one compiled program that takes steps in every lane, each with its own step size.

It does what `solve` does with one run (logarithmic coordinates, growth clock, the same thresholds), but judges after
every step, and takes both the step and its time from Taylor expansions at its ends, which are cheap for many at once.
A lane never looks at its neighbours: what a cell's run is does not depend on which others are computed with it, on how
many devices, or in which order. Lanes that are done stand still until enough of them are; then they are emptied, and
filled with cells that wait.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._devices import WIDEST_VECTORS
from .._integrate import CHUNK, MAX_STEP, MIN_STEP
from .._outcomes import Outcome
from .._solve import Horizon
from ..dynamics.base import AnyArray
from ..dynamics.step_size import log_size_when_shut
from ..dynamics.tokens import LARGEST
from .duration import clock_until, log_duration, log_tail
from .elementary import exponential, horner, in_order, kept, log_add_exp, logarithm
from .expansion import ORDER, Rates, Series, Systems, expand, rates
from .multiderivative import KNOWN, METHOD_ORDER, STAGES, step_error, step_from

#: The outcomes in the order of their codes; RUNNING is not one of them.
OUTCOMES = tuple(Outcome)
CODE = {outcome: code for code, outcome in enumerate(OUTCOMES)}
RUNNING = -1
_UNDECIDED = CODE[Outcome.BUDGET_EXHAUSTED]
#: What a lane holds that holds no cell.
EMPTY = -2
#: Lanes of one device at most: as many as fill a GPU or, on a processor, as a core's cache holds for eight tokens of
#: one state. There no power of two: rows that far apart would share places in the cache.
LANES, LANES_OF_GPU = 416, 65536
#: Fewer than so many would cost more in starting loops than the cache gains.
FEWEST_LANES = 104
#: Lanes are emptied and filled when one in so many is done, and so many steps are taken after the last cell has a lane.
SHARE_DONE, SEGMENT = 16, 32
#: The longest first step.
FIRST_STEP = 4.0
#: The error of a step's duration is that of a rule of lower order, so many times too large.
CLOCK_SLACK = 30.0
#: A requested time has been reached when ln(1 + t) is within this share of it, or
LANDED = 1e-13
#: when it lies within so much of a step, times tolerance^(1/order), that the expansions where the step ends lead there:
#: with fewer coefficients than the step has orders, they are as accurate over a share of it. Nor may ln(dt/ds) change
#: by STEEP times that.
FOLLOWED, STEEP = 0.25, 4.0

#: Evaluations of the field for each step tried, the expansion at its end among them.
EVALUATIONS = STAGES + 1
#: Estimates of a step's errors are close to the errors themselves, of which several add up.
_SHARE_OF_TOLERANCE = 0.25
_NEGLIGIBLE, KEEPS_PACE, _BEYOND_ROUNDING = 40.0, 1e-6, 40.0
#: ln of the first step over tolerance^(1/order) and the series' reach.
_FIRST = math.log(1.5)
_PER_ORDER = 1.0 / (METHOD_ORDER + 1)


class Wanted(NamedTuple):
    """What is asked of each lane: tolerances, ln(1 + t) at the end (inf: until decided), the budget of steps."""

    rtol: Float[AnyArray, " W"]
    atol: Float[AnyArray, " W"]
    goal: Float[AnyArray, " W"]
    max_steps: Int[AnyArray, " W"]


class Cells(NamedTuple):
    """What is to run: from y = ln|x|, and told apart by `which`."""

    which: Int[AnyArray, " W"]
    systems: Systems
    wanted: Wanted
    y: Float[AnyArray, "L W"]


class Run(NamedTuple):
    """Where each run stands. One that is fresh has only `y` and `code`."""

    y: Float[AnyArray, "L W"]
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


class Told(NamedTuple):
    """What cells tell of their runs, and stays as it is.

    log_goal: ln t at the end. log_size_when_shut: ln|x_l| where a token that shuts its step size has shut it.
    followed: the share of a step over which the expansions at its end may be followed.
    """

    log_goal: Float[AnyArray, " W"]
    log_size_when_shut: Float[AnyArray, " W"]
    followed: Float[AnyArray, " W"]


class Lanes(NamedTuple):
    """The cells of a device's lanes, what they tell, and their runs.

    bends: the Taylor coefficients of dy/ds where the run stands, but for the lowest, which is `run.velocity`.
    """

    cells: Cells
    told: Told
    run: Run
    bends: list[Float[AnyArray, "L W"]]


class Ends(NamedTuple):
    """Where runs ended.

    log_remaining: ln of the time that would still pass if rho went on growing as it does. log_size_when_shut: as told.
    """

    y: Float[AnyArray, "L E"]
    velocity: Float[AnyArray, "L E"]
    log_rate: Float[AnyArray, " E"]
    log_remaining: Float[AnyArray, " E"]
    log_t: Float[AnyArray, " E"]
    log_blow_up_time: Float[AnyArray, " E"]
    log_size_when_shut: Float[AnyArray, " E"]
    steps: Int[AnyArray, " E"]
    code: Int[AnyArray, " E"]


def lanes_on_a_processor(tokens: int, states: int) -> int:
    """As many as suit its cache: a number of the cells' shape alone, so one program serves every amount of work."""
    suit = 8 * LANES // (tokens * math.isqrt(states))
    return min(max(suit // 8 * 8, FEWEST_LANES), LANES)


def no_lanes(tokens: int, states: int, width: int) -> Lanes:
    """Lanes without cells."""

    def numbers(*rows: int):
        return np.zeros((*rows, width))

    def integers():
        return np.zeros(width, np.int32)

    systems = Systems(numbers(states), numbers(states), numbers(), numbers(), numbers(tokens))
    wanted = Wanted(numbers(), numbers(), numbers(), integers())
    cells = Cells(integers(), systems, wanted, numbers(tokens))
    run = Run(
        y=numbers(tokens),
        velocity=numbers(tokens),
        f=numbers(ORDER + 1),
        h=numbers(),
        log_t=numbers(),
        log_blow_up_time=numbers(),
        stop_log_rate=numbers(),
        steps=integers(),
        shrinking=integers(),
        fresh=np.zeros(width, bool),
        code=np.full(width, EMPTY, np.int32),
    )
    return Lanes(cells, Told(numbers(), numbers(), numbers()), run, [numbers(tokens) for _ in range(ORDER)])


def no_ends(tokens: int, count: int, zeros: Callable[..., Any] = np.zeros) -> Ends:
    """Room for the ends of so many runs."""
    return Ends(
        y=zeros((tokens, count)),
        velocity=zeros((tokens, count)),
        log_rate=zeros(count),
        log_remaining=zeros(count),
        log_t=zeros(count),
        log_blow_up_time=zeros(count),
        log_size_when_shut=zeros(count),
        steps=zeros(count, np.int32),
        code=zeros(count, np.int32),
    )


class Progress(NamedTuple):
    """A device's lanes, and the ends of runs that were taken out of them, the first `gone`."""

    lanes: Lanes
    which: Int[AnyArray, " E"]
    ended: Ends
    gone: Int[Array, ""]


@partial(jax.jit, compiler_options=WIDEST_VECTORS)
def advance(
    lanes: Lanes,
    waiting: Cells,
    count: Int[AnyArray, ""],
    others: Bool[AnyArray, ""],
    thresholds: dict[str, Array],
) -> Progress:
    """Let the runs in the lanes go on, and after them the first `count` cells that wait, until all have a lane.

    From there it goes on until lanes are wanted for others: one in SHARE_DONE is done, or SEGMENT steps are over. If
    there are no `others` yet, only runs that blew up can have any. `thresholds` are the fields of a `Horizon`, as
    numbers.
    """
    # Numbers of the program's input, so that one program serves every horizon.
    horizon = Horizon(**thresholds)  # pyright: ignore[reportArgumentType]
    width = lanes.cells.which.shape[0]
    ready = waiting, _told(waiting)

    def one_round(carry):
        _, taken, progress = carry
        last = taken >= count

        def goes_on(inner):
            steps, lanes = inner
            code = lanes.run.code
            wanted = jnp.where(last, jnp.where(others, code >= 0, code == CODE[Outcome.BLEW_UP]), code != RUNNING)
            enough = jnp.sum(wanted) * SHARE_DONE >= width
            return jnp.any(code == RUNNING) & ~enough & (~last | (steps < SEGMENT))

        def step(inner):
            steps, lanes = inner
            return steps + 1, _stepped(lanes, horizon)

        _, lanes = jax.lax.while_loop(goes_on, step, (jnp.asarray(0), progress.lanes))
        return last, *_exchanged(progress._replace(lanes=lanes), ready, taken, count)

    # All that were inside may end, and they are written many at a time.
    room = waiting.which.shape[0] + 2 * width
    ended = no_ends(len(lanes.run.y), room, jnp.zeros)
    begun = Progress(lanes, jnp.zeros(room, waiting.which.dtype), ended, jnp.asarray(0))
    start = (jnp.asarray(False), jnp.asarray(0), begun)
    return jax.lax.while_loop(lambda carry: ~carry[0], one_round, start)[-1]


def _told(cells: Cells) -> Told:
    """What cells tell of their runs."""
    wanted, systems = cells.wanted, cells.systems
    return Told(
        log_goal=jnp.where(jnp.isinf(wanted.goal), jnp.inf, wanted.goal + jnp.log(-jnp.expm1(-wanted.goal))),
        log_size_when_shut=log_size_when_shut(-jnp.abs(systems.s), systems.b),
        followed=FOLLOWED * (wanted.atol + wanted.rtol) ** _PER_ORDER,
    )


def _exchanged(progress: Progress, ready, taken, count) -> tuple[Int[Array, ""], Progress]:
    """Lanes that are done are emptied, and all that are empty filled; (how many were taken by now, what came of it)."""
    progress = _emptied(progress)
    (cells, told, run, bends), code = progress.lanes, progress.lanes.run.code
    is_open = code != RUNNING
    place = taken + jnp.cumsum(is_open) - 1
    filled = is_open & (place < count)

    def taken_in(old, new):
        return jnp.where(filled, jnp.take(new, place, axis=-1, mode="clip"), old)

    cells, told = jax.tree.map(taken_in, (cells, told), ready)
    run = run._replace(
        y=jnp.where(filled, cells.y, run.y),
        fresh=run.fresh | filled,
        code=jnp.where(filled, RUNNING, jnp.where(is_open, EMPTY, code)),
    )
    return taken + jnp.sum(filled), progress._replace(lanes=Lanes(cells, told, run, bends))


def _emptied(progress: Progress) -> Progress:
    """With the ends of runs that are done written down."""
    lanes, done = progress.lanes, progress.lanes.run.code >= 0
    all_ends = Ends(*kept(lanes.cells.systems.never, *_ends(lanes)))
    lane = jnp.arange(done.shape[0])
    many = jnp.sum(done)
    at_once = min(len(lane), max(len(lane) // 4, FEWEST_LANES))
    # Those that are done, in a row; what follows them is overwritten by those that are done later.
    row = jnp.zeros(len(lane) + at_once, lane.dtype)
    row = row.at[jnp.where(done, jnp.cumsum(done) - 1, len(row))].set(lane, mode="drop")

    def some(carry):
        begin, which, ended = carry
        chosen = jax.lax.dynamic_slice_in_dim(row, begin, at_once)

        def written(whole, part):
            return jax.lax.dynamic_update_slice_in_dim(whole, part, progress.gone + begin, axis=part.ndim - 1)

        ends = jax.tree.map(lambda one: jnp.take(one, chosen, axis=-1, mode="clip"), (lanes.cells.which, all_ends))
        return begin + at_once, *jax.tree.map(written, (which, ended), ends)

    start = (jnp.zeros_like(many), progress.which, progress.ended)
    _, which, ended = jax.lax.while_loop(lambda carry: carry[0] < many, some, start)
    return progress._replace(which=which, ended=ended, gone=progress.gone + many)


def _ends(lanes: Lanes) -> Ends:
    """Where runs ended; those that landed about a requested time are moved there along their expansions."""
    cells, told, run, bends = lanes
    late, log_gap = _gap(run.log_t, told.log_goal)
    # The clock's density over that where the run stands. f may be steep: as many terms again as are known of it.
    density = [jnp.ones_like(run.h)]
    for k in range(1, 2 * ORDER + 1):
        density.append(in_order(j / k * run.f[j] * density[k - j] for j in range(1, min(k, ORDER) + 1)))
    spent = [one / (k + 1) for k, one in enumerate(density)]
    target = jnp.where(late, -1.0, 1.0) * exponential(log_gap - run.f[0])
    clock = jnp.zeros_like(run.h)
    for _ in range(3):
        clock = clock + (target - clock * horner(spent, clock)) / horner(density, clock)
    lands = (run.code == CODE[Outcome.REACHED_UNTIL]) & jnp.isfinite(clock)
    (clock,) = kept(cells.systems.never, jnp.where(lands, clock, 0.0))
    series = [run.velocity, *bends]
    return Ends(
        y=run.y + clock * horner([one / (k + 1) for k, one in enumerate(series)], clock),
        velocity=horner(series, clock),
        log_rate=-horner(list(run.f), clock),
        log_remaining=log_tail(run.f),
        log_t=jnp.where(lands, told.log_goal, run.log_t),
        log_blow_up_time=run.log_blow_up_time,
        log_size_when_shut=told.log_size_when_shut,
        steps=run.steps,
        code=run.code,
    )


def _first_step(y: Float[Array, "L W"], series: Series, wanted: Wanted) -> Float[Array, " W"]:
    """A step to begin with, from how far y is about its Taylor polynomial; mostly a longer one would pass too.

    The two highest coefficients tell it, as one of them may vanish.
    """
    sizes = [logarithm(jnp.max(jnp.abs(series[k]), axis=0)) / (k + 1) for k in (KNOWN - 2, KNOWN - 1)]
    shortest = jnp.max(jnp.stack(sizes), axis=0)
    tolerance = wanted.atol + wanted.rtol * jnp.min(jnp.abs(y), axis=0)
    found = jnp.minimum(exponential(_FIRST + _PER_ORDER * logarithm(tolerance) - shortest), FIRST_STEP)
    # Where a coefficient has left float64's range, it tells nothing.
    return jnp.where(found > MIN_STEP, found, 1e-2)


def _stepped(lanes: Lanes, horizon: Horizon) -> Lanes:
    """After one more step has been tried in the runs that go on; one that is fresh is looked at where it is."""
    (cells, run), never = (lanes.cells, lanes.run), lanes.cells.systems.never
    wanted, h, fresh = cells.wanted, run.h, run.fresh
    before = [run.velocity, *lanes.bends]
    trial = step_from(lambda y: rates(cells.systems, *kept(never, y)).velocity, run.y, before, h)
    # Chosen, not multiplied by a step of 0: what a lane held before may be no number.
    (y,) = kept(never, jnp.where(fresh, cells.y, trial))
    found, series, f = expand(cells.systems, y)
    error = step_error(y - run.y, before, series, h)
    spent, clock_error = kept(never, *log_duration(run.f, f, h, never))
    log_t = log_add_exp(run.log_t, spent)
    tolerance = wanted.atol + wanted.rtol * jnp.maximum(jnp.abs(run.y), jnp.abs(y))
    of_tokens = jnp.max(jnp.abs(error) / tolerance, axis=0)
    # The clock takes no part where the tolerance is below its rounding.
    of_clock = clock_error * exponential(spent - log_t) / (CLOCK_SLACK * jnp.maximum(wanted.rtol, 1e-14))
    ratio = jnp.maximum(of_tokens, of_clock) / _SHARE_OF_TOLERANCE
    log_t, ratio = kept(never, log_t, jnp.where(jnp.isfinite(ratio) & jnp.isfinite(log_t), ratio, jnp.inf))
    accurate = ratio <= 1

    factor = jnp.clip(0.9 * exponential(logarithm(jnp.maximum(ratio, 1e-30)) * -_PER_ORDER), 0.2, 10.0)
    (next_h,) = kept(never, jnp.minimum(h * factor, MAX_STEP))
    late = log_add_exp(jnp.zeros_like(log_t), log_t) - wanted.goal
    margin = jnp.where(jnp.isinf(wanted.goal), 0.0, LANDED * wanted.goal)
    (to_goal,) = kept(never, _to_goal(f, log_t, lanes.told.log_goal))
    share = jnp.abs(to_goal) * jnp.maximum(1.0 / h, jnp.abs(f[1]) / STEEP)
    near = (jnp.abs(late) <= margin) | (share <= lanes.told.followed)
    landed = accurate & near
    beyond = accurate & (late > margin) & ~near
    accepted = accurate & ~beyond
    back = jnp.where((to_goal < 0) & (h + to_goal > 0), h + to_goal, 0.5 * h)
    ahead = jnp.where(to_goal > 0, jnp.minimum(next_h, to_goal), next_h)
    next_h = jnp.where(beyond, back, jnp.where(accepted, ahead, next_h))

    shrinking = jnp.where(jnp.max(found.velocity, axis=0) <= 0, run.shrinking + 1, 0)
    moved = run._replace(y=y, velocity=found.velocity, f=f, log_t=log_t, shrinking=shrinking)
    judged = _judged(lanes, found, moved, horizon)
    steps = run.steps + 1
    code = jnp.where(accepted, judged.code, RUNNING)
    code = jnp.where(landed, CODE[Outcome.REACHED_UNTIL], code)
    failed = (code == RUNNING) & ~accurate & (next_h < MIN_STEP)
    code = jnp.where(failed, CODE[Outcome.SOLVER_FAILED], code)
    grows = jnp.max(jnp.where(accepted, found.velocity, run.velocity), axis=0) > 0
    enough = jnp.where(accepted, log_t, run.log_t) >= horizon.log_t_growing_least
    slow = jnp.where(jnp.isinf(wanted.goal) & grows & enough, CODE[Outcome.DIVERGES_SLOWLY], _UNDECIDED)
    code = jnp.where((code == RUNNING) & (steps >= wanted.max_steps), slow, code)
    code = jnp.where(fresh, _at_the_start(cells, found), code)

    running = run.code == RUNNING
    takes, code = kept(never, running & (fresh | accepted), code)
    stop_log_rate = jnp.where(accepted, judged.stop_log_rate, run.stop_log_rate)
    after = Run(
        y=jnp.where(takes, y, run.y),
        velocity=jnp.where(takes, found.velocity, run.velocity),
        f=jnp.where(takes, f, run.f),
        h=jnp.where(fresh, _first_step(y, series, wanted), next_h),
        log_t=jnp.where(takes, jnp.where(fresh, -jnp.inf, log_t), run.log_t),
        log_blow_up_time=jnp.where(
            running, jnp.where(code == CODE[Outcome.BLEW_UP], judged.log_blow_up_time, -jnp.inf), run.log_blow_up_time
        ),
        stop_log_rate=jnp.where(fresh, found.log_rate + horizon.log_rate, stop_log_rate),
        steps=jnp.where(running, jnp.where(fresh, 0, steps), run.steps),
        shrinking=jnp.where(fresh, 0, jnp.where(accepted, shrinking, run.shrinking)),
        fresh=fresh & ~running,
        code=jnp.where(running, code, run.code).astype(run.code.dtype),
    )
    return lanes._replace(
        run=after, bends=[jnp.where(takes, *each) for each in zip(series[1:], lanes.bends, strict=True)]
    )


def _at_the_start(cells: Cells, found: Rates):
    """Codes of runs that have not moved: most go on."""
    all_zero = jnp.all(cells.systems.sign == 0, axis=0)
    still = jnp.where(all_zero, CODE[Outcome.CONVERGED_TO_ZERO], CODE[Outcome.CONVERGED_TO_EQUILIBRIUM])
    code = jnp.where(cells.wanted.goal <= 0, CODE[Outcome.REACHED_UNTIL], RUNNING)
    return jnp.where(jnp.isfinite(found.log_rate), code, still)


def _to_goal(f, log_t, log_goal):
    """About how far the clock is from the requested time, below 0 if beyond it; NaN if it never gets there."""
    late, log_gap = _gap(log_t, log_goal)
    return clock_until(log_gap, f, jnp.where(late, -1.0, 1.0))


def _gap(log_t, log_goal):
    """(whether t is beyond the requested time, ln of their distance)."""
    late = log_t > log_goal
    high, low = jnp.where(late, log_t, log_goal), jnp.where(late, log_goal, log_t)
    return late, high + logarithm(-jnp.expm1(low - high))


def _left_to_shut(lanes: Lanes, y: Float[AnyArray, "L W"]) -> Float[Array, "L W"]:
    """How much y has still to grow until a token has shut its step size; 0 where it has, or never does."""
    shuts = lanes.cells.systems.s * lanes.cells.systems.sign < 0
    return jnp.where(shuts, jnp.maximum(lanes.told.log_size_when_shut - y, 0.0), 0.0)


class _Judged(NamedTuple):
    """How runs are to end, if they are; stop_log_rate: the ln rho beyond which they are to be judged again."""

    code: Int[Array, " W"]
    log_blow_up_time: Float[Array, " W"]
    stop_log_rate: Float[Array, " W"]


def _judged(lanes: Lanes, found: Rates, run: Run, horizon: Horizon) -> _Judged:
    """What the last step shows, in the order of `solve`."""
    systems, log_rate, growth = lanes.cells.systems, -run.f[0], run.velocity
    fastest = jnp.max(growth, axis=0)
    norms = jnp.where(systems.sign == 0, -jnp.inf, run.y)
    counts = norms > jnp.max(norms, axis=0) - _NEGLIGIBLE
    activity = jnp.maximum(jnp.max(jnp.where(counts, found.restlessness, 0.0), axis=0), fastest)
    grown = jnp.where(systems.sign == 0, jnp.inf, lanes.cells.y - run.y)
    shrunk = jnp.min(grown, axis=0) >= horizon.shrinking
    settled = run.shrinking >= CHUNK
    (tail,) = kept(systems.never, log_tail(run.f))
    running = growth > KEEPS_PACE
    left = _left_to_shut(lanes, run.y)
    for_ever = jnp.any(running & (left == 0), axis=0)
    furthest = jnp.max(jnp.where(running, left, 0.0), axis=0)
    goes_on = ~for_ever & (furthest > 0) & (jnp.max(norms, axis=0) + furthest <= LARGEST)
    ran_away = for_ever & (tail <= run.log_t - _BEYOND_ROUNDING)
    code = jnp.full_like(run.code, RUNNING)
    for holds, outcome in (
        ((run.log_t >= horizon.log_t_growing) & (fastest > 0), Outcome.DIVERGES_SLOWLY),
        ((run.log_t >= horizon.log_t_decaying) & settled & shrunk, Outcome.CONVERGED_TO_ZERO),
        (activity < horizon.rest, Outcome.CONVERGED_TO_EQUILIBRIUM),
    ):
        code = jnp.where(holds, CODE[outcome], code)
    blown = jnp.where(ran_away, CODE[Outcome.BLEW_UP], _UNDECIDED)
    beyond = log_rate > run.stop_log_rate
    code = jnp.where(beyond & ~goes_on, blown, code)
    further = log_rate + 2 * furthest + horizon.log_rate
    return _Judged(
        code=code,
        log_blow_up_time=log_add_exp(run.log_t, tail),
        stop_log_rate=jnp.where(beyond & goes_on, further, run.stop_log_rate),
    )
