"""Chunks of an integration: diffrax steps, the clock along them, and what is observed on the way.

A run is integrated a chunk of steps at a time so that it can be judged in between, and so that the memory of
dense output stays bounded. Every function is compiled once per shape: a chunk always has room for
CHUNK steps, and points along it are evaluated in blocks of fixed size.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._devices import WIDEST_VECTORS
from ._first_step import PIDFirstStep
from ._trajectory import FloatArray
from .dynamics import AbstractLogDynamics
from .dynamics.base import State
from .dynamics.clocks import NODES, LogClock, resolve

#: Steps tried between two judgements of a run.
CHUNK = 16
#: The longest step in the growth clock, so that a trial step past a blow-up stays within float64.
MAX_STEP = 32.0
#: The shortest; below it the solver has failed.
MIN_STEP = 1e-13

_GOES_ON = (diffrax.RESULTS.successful, diffrax.RESULTS.event_occurred, diffrax.RESULTS.max_steps_reached)


class Observed(NamedTuple):
    """What is seen along a run; the first axis is the points."""

    log_abs: FloatArray  # ln|x|
    sign: FloatArray  # sign x
    log_norms: FloatArray  # ln|x_l|
    log_rate: FloatArray  # ln rho
    growth: FloatArray  # d ln|x_l| / ds
    restlessness: FloatArray  # each token's speed over its own bound


class StatePath(Protocol):
    """The state along a chunk, as a function of the clock."""

    def evaluate(self, t0: Any, /) -> Any: ...


@dataclass(frozen=True)
class Method:
    """How steps are taken: an explicit diffrax solver and its tolerances."""

    solver: diffrax.AbstractERK
    rtol: float
    atol: float

    @property
    def stages(self) -> int:
        tableau = self.solver.tableau
        assert isinstance(tableau, diffrax.ButcherTableau)
        return tableau.num_stages


@dataclass(frozen=True, eq=False)
class Point:
    """Where a chunk starts: clock reading, state, and the step size to try first."""

    s: float
    state: State
    dt: float


@dataclass(frozen=True, eq=False)
class Chunk:
    """The accepted steps of one chunk: `clock` and `observed` along them (start excluded), and where it ended.

    `clock` is None if no step was accepted; `failed` if the step size fell below MIN_STEP.
    """

    end: Point
    clock: LogClock | None
    observed: Observed | None
    interpolation: StatePath
    steps: int
    evaluations: int
    failed: bool


def observe_start(dynamics: AbstractLogDynamics) -> tuple[Point, Observed]:
    """The initial point of a run, and what is seen there (one point)."""
    state = dynamics.initial_state()
    # As many copies as a chunk has points: the program that observes along the run serves here too.
    states = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (CHUNK, *leaf.shape)), state)
    observed = jax.tree.map(lambda leaf: np.asarray(leaf)[:1], _observe_all(dynamics, states, jnp.asarray(1)))
    return Point(0.0, state, 1e-2), observed


def integrate_chunk(
    dynamics: AbstractLogDynamics,
    start: Point,
    method: Method,
    log_rate_range: tuple[float, float],
    max_step: float = MAX_STEP,
) -> Chunk:
    """Try up to CHUNK steps of at most `max_step` from `start`, stopping early once ln rho leaves its range."""
    numbers = (start.s, min(start.dt, max_step), method.rtol, method.atol, log_rate_range, max_step)
    solution = _integrate(dynamics, start.state, tuple(jnp.asarray(one, dtype=float) for one in numbers), method.solver)
    accepted, tried = int(solution.stats["num_accepted_steps"]), int(solution.stats["num_steps"])
    failed = not any(bool(solution.result == one) for one in _GOES_ON)
    path, evaluations = solution.interpolation, tried * method.stages
    assert path is not None
    if accepted == 0:
        return Chunk(start, None, None, path, tried, evaluations, failed)
    steps = np.concatenate([[start.s], np.asarray(solution.ts)[:accepted]])
    log_rates = partial(_log_rates, dynamics, path)
    clock = resolve(lambda s: _in_blocks(log_rates, s, CHUNK * NODES), steps, method.rtol)
    end = Point(float(steps[-1]), jax.tree.map(lambda leaf: leaf[accepted - 1], solution.ys), steps[-1] - steps[-2])
    observed = observe(dynamics, path, clock.edges[1:])
    evaluations += clock.evaluations + len(clock.edges) - 1
    return Chunk(end, clock, observed, path, tried, evaluations, failed)


def observe(dynamics: AbstractLogDynamics, path: StatePath, s: FloatArray) -> Observed:
    """What is seen at clock readings s along a chunk."""
    return _in_blocks(lambda s, count: _observe_all(dynamics, _states_along(path, s, count), count), s, CHUNK)


def _program(function) -> Any:
    """`eqx.filter_jit` with compiler options, which its types leave out."""
    options: Any = {"compiler_options": WIDEST_VECTORS}
    return eqx.filter_jit(function, **options)


@_program
def _integrate(dynamics, state, numbers, solver):
    s0, dt0, rtol, atol, (low, high), max_step = numbers

    def leaves_range(s, state, args, **_):
        log_rate = dynamics.log_rate(state)
        return (log_rate < low) | (log_rate > high)

    return diffrax.diffeqsolve(
        diffrax.ODETerm(dynamics),
        solver,
        s0,
        jnp.asarray(1e300),
        None,
        state,
        stepsize_controller=PIDFirstStep(rtol=rtol, atol=atol, dtmax=max_step, dtmin=MIN_STEP, first_step=dt0),
        saveat=diffrax.SaveAt(steps=True, dense=True),
        adjoint=diffrax.ForwardMode(),
        event=diffrax.Event(leaves_range),
        max_steps=CHUNK,
        throw=False,
    )


def _observe(dynamics, state) -> Observed:
    velocity, log_rate = dynamics.field(state)
    log_norms, growth = jax.jvp(dynamics.log_norms, (state,), (velocity,))
    growth = jnp.where(jnp.isfinite(log_norms), growth, 0.0)
    return Observed._make([*dynamics.log_tokens(state), log_norms, log_rate, growth, dynamics.restlessness(state)])


@_program
def _observe_all(dynamics, states, count) -> Observed:
    return _for_each(partial(_observe, dynamics), states, count)


@_program
def _states_along(path, s, count):
    return _for_each(path.evaluate, s, count)


@_program
def _log_rates(dynamics, path, s, count):
    return _for_each(lambda one: dynamics.log_rate(path.evaluate(one)), s, count)


def _for_each(function, xs, count):
    """`function` over the first `count` rows of xs, zeros after: one compilation serves every count."""
    row = jax.tree.map(lambda leaf: leaf[0], xs)
    out = jax.tree.map(
        lambda leaf: jnp.zeros((jax.tree.leaves(xs)[0].shape[0], *leaf.shape), leaf.dtype),
        jax.eval_shape(function, row),
    )

    def body(i, out):
        value = function(jax.tree.map(lambda leaf: leaf[i], xs))
        return jax.tree.map(lambda whole, part: whole.at[i].set(part), out, value)

    return jax.lax.fori_loop(0, count, body, out)


def _in_blocks(function, s: FloatArray, block: int):
    """`function(padded block, count)` over s, its array results joined: few shapes, so few compilations."""
    parts = []
    for start in range(0, len(s), block):
        part = s[start : start + block]
        count = len(part)
        padded = np.pad(part, (0, block - count), mode="edge")
        result = function(jnp.asarray(padded), jnp.asarray(count))
        parts.append(jax.tree.map(lambda leaf, count=count: np.asarray(leaf)[:count], result))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
