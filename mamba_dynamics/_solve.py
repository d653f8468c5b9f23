"""`solve`: integrate the token ODE into its true asymptotic regime.

The dynamics come in logarithmic coordinates and the growth clock (`mamba_dynamics.dynamics.base`), where
every scenario is smooth and non-stiff, so one explicit high-order method does for all of them. diffrax
integrates a chunk of steps at a time; after each chunk the time is recovered by quadrature and the
run is judged: has a token blown up, has everything come to rest, is the horizon reached?
"""

import math
import sys
import time
from dataclasses import dataclass, replace

import diffrax
import jax
import numpy as np
from numpy.typing import ArrayLike

from ._devices import where_it_pays
from ._errors import LayerShapeError, SolveError
from ._integrate import MAX_STEP, MIN_STEP, Chunk, Method, Observed, Point, integrate_chunk, observe, observe_start
from ._integrate_stiff import integrate_stiff_chunk
from ._outcomes import Outcome
from ._trajectory import BlowUp, FloatArray, TokenTrajectory
from .dynamics import AbstractLogDynamics, AbstractTokenDynamics, ScalarTokenDynamics
from .dynamics.clocks import LogClock
from .dynamics.first_token import FirstTokenLogDynamics
from .dynamics.tokens import LARGEST, TokenLogDynamics

#: A blow-up time's error is taken from a second run with tolerances this much looser.
COMPANION = 100.0
#: A token this many e-folds below the largest is left out when asking whether everything is at rest.
_NEGLIGIBLE = 40.0
#: At a blow-up: the share of the clock's speed that marks a token as running away with it.
_KEEPS_PACE = 1e-6
#: At a blow-up: what remains must be under e^-this of what has passed, or T* is not known to rounding.
_BEYOND_ROUNDING = 40.0
#: A chunk goes on until ln rho is this far past the point where its end time must have been reached.
_SLACK = 30.0
#: Nothing is at rest before e^this times the time in which its bound lets it move by its own size.
_OWN_TIMES = 3.0
#: Tokens slower than this share of their bounds hover about rest.
_HOVERING = 1e-6
#: The explicit method has stalled if no token moves by this share of its size per step, in so many chunks on end.
_STALLED, _STALLED_CHUNKS = 1e-2, 4
#: Rosenbrock steps below this, in the growth clock, are no longer than what the explicit method can do where it is
#: stable; it is tried again after a wait of so many chunks at most.
_SHORT, _LONGEST_WAIT = 1.0, 32
#: Two tolerances whose T* differ by this share of it do not confirm each other.
_SHIFTED = 0.5
_OUT_OF_RANGE = "the rates left float64's range; rescale the tokens (x, S_Delta, M)"
#: Rounding error of a sum over a few hundred pieces, relative.
_ROUNDING = 1e-14


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """How far a run goes before it may be called decided (when no end time is asked for).

    log_t_decaying: tokens that shrink are followed to this ln t (default: t = 1e200), ...
    shrinking: ... and until each has shrunk by this many e-folds, for one that has not moved yet decides nothing.
    log_t_growing: tokens that grow without blowing up are followed to this ln t.
    log_t_growing_least: ... and may be called slowly diverging from this ln t on when the budget ends first
        (a token that follows a zero token stays slaved to the others, which costs steps in proportion to ln t).
    log_rate: a run whose ln rho has grown by this much has blown up (T* - t is then about e^-log_rate of T*).
    rest: tokens whose speed has fallen below this fraction of their own bound have come to rest, ...
    standing: ... provided that, where tokens act on each other (D > 1), none of them has moved by this share of its
        size while time doubled: a large token's bound is so high that it may drift along the null cone below `rest`.
    """

    log_t_decaying: float = 460.5
    shrinking: float = 50.0
    log_t_growing: float = 1.0e5
    log_t_growing_least: float = 1.0e3
    log_rate: float = 600.0
    rest: float = 1.0e-11
    standing: float = 1.0e-6


def solve(
    dynamics: AbstractTokenDynamics,
    x0: ArrayLike,
    *,
    until: float | None = None,
    log_until: float | None = None,
    rtol: float = 1e-12,
    atol: float = 1e-12,
    max_steps: int = 4096,
    horizon: Horizon | None = None,
    solver: diffrax.AbstractERK | None = None,
    throw: bool = True,
) -> TokenTrajectory:
    """Integrate tokens from x0 until the run is decided, or until a given time.

    Args:
        dynamics: from `token_dynamics`.
        x0: initial tokens, (L,) for D = 1, (L, D) above.
        until: end time t; or `log_until`, the natural logarithm of 1 + t. Without either the run goes on
            until its outcome is decided (see `Horizon`).
        rtol, atol: tolerances per step on the logarithmic coordinates, so relative ones on the tokens.
        max_steps: budget of steps, accepted and rejected.
        horizon: when an open-ended run counts as decided.
        solver: any explicit diffrax method; default `diffrax.Dopri8()`.
        throw: raise `SolveError` when the solver fails or the budget ends (else say so in `outcome`).

    Returns:
        The trajectory, in float64 whatever JAX's x64 flag says.

    Raises:
        LayerShapeError: x0 does not fit the dynamics. SolveError: see `throw`; or a negative end time, a tolerance or
            a budget that is not positive (atol may be 0).
    """
    began = time.perf_counter()
    horizon = horizon or Horizon()
    if until is not None and log_until is not None:
        raise SolveError("solve: expected one end time, found both until and log_until; give one of them")
    _check_numbers(until=until, log_until=log_until, rtol=rtol, atol=atol, max_steps=max_steps)
    if until is not None:
        log_until = float(np.log1p(until))
    tokens = _checked_tokens(dynamics, x0)
    # A zero token has neither error nor size: it is within no tolerance at all, unless there is a least one.
    method = Method(solver or diffrax.Dopri8(), rtol, max(atol, sys.float_info.min))
    with jax.enable_x64(True), where_it_pays(tokens.size):
        run = _Run(dynamics.in_log_coordinates(tokens), method, max_steps, horizon, log_until).go()
        if run.blow_up is not None:
            run.compare_tolerances(run.blow_up)
    trajectory = run.trajectory(time.perf_counter() - began)
    if throw and trajectory.outcome in (Outcome.SOLVER_FAILED, Outcome.BUDGET_EXHAUSTED):
        raise SolveError(f"solve: {trajectory.why}; pass throw=False to keep the part that was integrated")
    return trajectory


def _check_numbers(**given: float | None):
    """End times finite and >= 0 (0 gives the start alone), rtol > 0, atol >= 0, max_steps >= 1."""
    least = {"until": 0.0, "log_until": 0.0, "atol": 0.0, "rtol": math.ulp(0.0), "max_steps": 1}
    for name, value in given.items():
        if value is None or (math.isfinite(value) and value >= least[name]):
            continue
        wanted = {"rtol": "> 0", "max_steps": ">= 1"}.get(name, ">= 0")
        why = "; time runs forward from 0" if name.endswith("until") else ""
        raise SolveError(f"solve: expected a finite {name} {wanted}, found {value:g}{why}")


def _checked_tokens(dynamics: AbstractTokenDynamics, x0: ArrayLike) -> FloatArray:
    tokens = np.asarray(x0, dtype=np.float64)
    wanted = ("L",) if isinstance(dynamics, ScalarTokenDynamics) else ("L", dynamics.channels)
    if tokens.ndim != len(wanted) or tokens.shape[1:] != wanted[1:] or tokens.shape[0] == 0:
        shape = ", ".join(map(str, wanted)) + ("," if len(wanted) == 1 else "")
        raise LayerShapeError(
            f"x0 should have shape ({shape}) with L >= 1, found {tokens.shape}; check the token array"
        )
    if not np.all(np.isfinite(tokens)):
        bad = int(np.sum(~np.isfinite(tokens)))
        raise LayerShapeError(
            f"x0 should be finite, found {bad} NaN or infinite of {tokens.size} values; check the tokens"
        )
    return tokens


class _Switch:
    """Which method takes the next chunk: explicit, until it stalls; then Rosenbrock, until its steps are short too."""

    def __init__(self):
        self.stiff = False
        self.stalled = 0
        self.wait = self.patience = 1

    def update(self, start: Point, chunk: Chunk):
        if self.stiff:
            self._after_stiff(chunk)
        else:
            self._after_explicit(start, chunk)

    def _after_explicit(self, start: Point, chunk: Chunk):
        if _movement(start, chunk.end) >= _STALLED * max(chunk.steps, 1):
            self.stalled, self.wait = 0, 1
            return
        self.stalled += 1
        if self.stalled >= _STALLED_CHUNKS:
            self.stiff, self.patience = True, self.wait

    def _after_stiff(self, chunk: Chunk):
        self.patience -= 1
        if self.patience <= 0 and chunk.end.dt < _SHORT:
            # One explicit chunk on trial; where it stalls the next trial is put off twice as long.
            self.stiff, self.stalled, self.wait = False, _STALLED_CHUNKS - 1, min(2 * self.wait, _LONGEST_WAIT)


def _movement(start: Point, end: Point) -> float:
    """The farthest that a token has moved, relative to its size, rotation included."""
    (y0, v0), (y1, v1) = start.state, end.state
    moved = np.exp(np.minimum(np.asarray(y1 - y0), _SLACK))[:, None] * np.asarray(v1) - np.asarray(v0)
    return float(np.linalg.norm(moved, axis=1).max())


class _Run:
    """One integration: chunks, the clock along them, and a judgement after each."""

    def __init__(
        self, dynamics: AbstractLogDynamics, method: Method, max_steps: int, horizon: Horizon, goal: float | None
    ):
        self.dynamics, self.method, self.max_steps, self.horizon, self.goal = dynamics, method, max_steps, horizon, goal
        self.point, self.seen = observe_start(dynamics)
        self.s = np.zeros(1)
        self.clock: LogClock | None = None
        self.evaluations, self.steps = 1, 0
        self.blow_up: BlowUp | None = None
        self.stop_log_rate = float(self.seen.log_rate[0]) + horizon.log_rate
        self.switch, self.settling = _Switch(), False
        self.end: tuple[Outcome, str] | None = self._at_the_start()

    def _at_the_start(self) -> tuple[Outcome, str] | None:
        log_rate = self.seen.log_rate[0]
        if np.isfinite(log_rate):
            return None
        at_zero = bool(np.isneginf(self.seen.log_norms).all())
        if not at_zero and not np.isneginf(log_rate):
            return Outcome.SOLVER_FAILED, _OUT_OF_RANGE
        outcome = Outcome.CONVERGED_TO_ZERO if at_zero else Outcome.CONVERGED_TO_EQUILIBRIUM
        return outcome, "the vector field vanishes at the initial tokens, so nothing moves"

    def go(self) -> "_Run":
        while self.end is None:
            self.end = self._extend(self._next_chunk())
        return self

    def _next_chunk(self) -> Chunk:
        if not isinstance(self.dynamics, TokenLogDynamics):
            return self._explicit_chunk()
        if self.switch.stiff:
            chunk = integrate_stiff_chunk(self.dynamics, self.point, self.method.rtol, self.method.atol)
        else:
            chunk = self._explicit_chunk()
        self.switch.update(self.point, chunk)
        return chunk

    def _explicit_chunk(self) -> Chunk:
        """Near rest steps as long as stability allows keep the tokens hovering at the tolerance: halved they settle."""
        hovering = self._activity() < _HOVERING
        max_step = 0.5 * self.point.dt if hovering and not self.settling else MAX_STEP
        self.settling = hovering and not self.settling
        return integrate_chunk(self.dynamics, self.point, self.method, self._log_rate_range(), max_step)

    def _activity(self) -> float:
        """The largest restlessness among the tokens that count, and growth among all."""
        log_norms = self.seen.log_norms[-1]
        alive = log_norms > log_norms.max() - _NEGLIGIBLE
        return float(max(self.seen.restlessness[-1][alive].max(initial=0.0), self.seen.growth[-1].max()))

    def _log_rate_range(self) -> tuple[float, float]:
        """Where a chunk may stop early: t is about 1 / rho while tokens grow slowly or decay."""
        goal = self.horizon.log_t_growing if self.goal is None else self.goal
        return min(-goal, float(self.seen.log_rate[-1])) - _SLACK, self.stop_log_rate

    def _extend(self, chunk: Chunk) -> tuple[Outcome, str] | None:
        """Append a chunk and judge the run; None to go on."""
        self.steps += chunk.steps
        self.evaluations += chunk.evaluations
        self.point, end = chunk.end, None
        if chunk.clock is not None and chunk.observed is not None:
            self.clock = chunk.clock if self.clock is None else self.clock.extended(chunk.clock)
            self._append(chunk.clock.edges[1:], chunk.observed)
            end = self._judge(self.clock, chunk, chunk.observed)
        if end is None and chunk.failed:
            return Outcome.SOLVER_FAILED, f"the step size fell below {MIN_STEP:g} of the clock after {self.steps} steps"
        return self._at_the_budget() if end is None and self.steps >= self.max_steps else end

    def _at_the_budget(self) -> tuple[Outcome, str]:
        log_t = -np.inf if self.clock is None else float(self.clock.log_times()[-1])
        spent = f"max_steps = {self.max_steps} used up at ln t = {log_t:.6g}"
        if self.goal is None and log_t >= self.horizon.log_t_growing_least and self.seen.growth[-1].max() > 0:
            return Outcome.DIVERGES_SLOWLY, f"a token was still growing, without blowing up, when {spent}"
        return Outcome.BUDGET_EXHAUSTED, f"{spent}, undecided"

    def _append(self, s: FloatArray, observed: Observed):
        self.s = np.concatenate([self.s, s])
        self.seen = Observed(*(np.concatenate(pair) for pair in zip(self.seen, observed, strict=True)))

    def _judge(self, clock: LogClock, chunk: Chunk, recent: Observed) -> tuple[Outcome, str] | None:
        horizon = self.horizon
        log_t, growth, log_norms = float(clock.log_times()[-1]), recent.growth[-1], recent.log_norms[-1]
        if not np.isfinite(log_t):
            return Outcome.SOLVER_FAILED, _OUT_OF_RANGE
        if self.goal is not None and np.logaddexp(0.0, log_t) >= self.goal:
            return self._cut(clock, chunk, self.goal)
        if recent.log_rate[-1] > self.stop_log_rate and not self._goes_on_to_shut(growth):
            return self._judge_blow_up(clock, growth)
        if self._activity() < horizon.rest and self._stands(clock):
            return Outcome.CONVERGED_TO_EQUILIBRIUM, f"the tokens' speeds fell below {horizon.rest:g} of their bounds"
        if log_t >= horizon.log_t_decaying and recent.growth.max() <= 0 and self._all_shrunk(log_norms):
            return Outcome.CONVERGED_TO_ZERO, f"every token was still shrinking at ln t = {log_t:.6g}"
        if log_t >= horizon.log_t_growing and growth.max() > 0:
            return Outcome.DIVERGES_SLOWLY, f"a token was still growing at ln t = {log_t:.6g}, without blowing up"
        return None

    def _goes_on_to_shut(self, growth: FloatArray) -> bool:
        """Whether all tokens that run away will shut their own step sizes later; if so the run goes on until they have.

        Where |s| is 1e-200, |x| grows by e^460 as if s were zero, and only then shows that it diverges slowly.
        """
        left = self._left_to_shut(growth)
        if not left.size or left.min() == 0 or self.seen.log_norms[-1].max() + left.max() > LARGEST:
            return False
        # rho grows like x^2.
        self.stop_log_rate = float(self.seen.log_rate[-1] + 2 * left.max()) + self.horizon.log_rate
        return True

    def _left_to_shut(self, growth: FloatArray) -> FloatArray:
        """Of each token that runs away, by how much ln|x| has still to grow until it shuts its own step size."""
        return np.asarray(self.dynamics.log_growth_to_shut(self.point.state))[growth > _KEEPS_PACE]

    def _stands(self, clock: LogClock) -> bool:
        """Whether no token that counts has moved while time doubled, though each had the time to by its own bound.

        Token 1 alone need not be waited for: it rests where q = 0, and stays if |q| falls or is rounding error.
        """
        if isinstance(self.dynamics, FirstTokenLogDynamics):
            exact = self._activity() < _ROUNDING
            return exact or bool(self.dynamics.is_drawn_to_rest(self.point.state))
        if not isinstance(self.dynamics, TokenLogDynamics):
            return True
        log_t, log_norms = clock.at(self.s, clock.log_times()), self.seen.log_norms[-1]
        alive = log_norms > log_norms.max() - _NEGLIGIBLE
        before = int(np.searchsorted(log_t, log_t[-1] - np.log(2.0), side="right")) - 1
        with np.errstate(under="ignore"):
            then, now = (
                self.seen.sign[k][alive] * np.exp(self.seen.log_abs[k][alive] - log_norms[alive, None])
                for k in (max(before, 0), -1)
            )
        had_time = log_t[-1] + np.asarray(self.dynamics.log_bounds(self.point.state))[alive].min() > _OWN_TIMES
        return bool(had_time and np.linalg.norm(now - then, axis=1).max() < self.horizon.standing)

    def _all_shrunk(self, log_norms: FloatArray) -> bool:
        start = self.seen.log_norms[0]
        active = np.isfinite(start)
        return bool(np.all(start[active] - log_norms[active] >= self.horizon.shrinking))

    def _judge_blow_up(self, clock: LogClock, growth: FloatArray) -> tuple[Outcome, str]:
        running = np.flatnonzero(growth > _KEEPS_PACE)
        log_t, log_tail = float(clock.log_times()[-1]), clock.log_tail()
        if not running.size or log_tail > log_t - _BEYOND_ROUNDING:
            return Outcome.BUDGET_EXHAUSTED, "the clock's rate ran away while no token kept pace with it"
        running = running[self._left_to_shut(growth) == 0]
        if not running.size:
            why = "its tokens grow as if step sizes were constant, and shut them only beyond float64's range, undecided"
            return Outcome.BUDGET_EXHAUSTED, why
        log_time = float(np.logaddexp(log_t, log_tail))
        with np.errstate(over="ignore", under="ignore"):
            self.blow_up = BlowUp(float(np.exp(log_time)), np.inf, int(running[0]), log_time)
        return Outcome.BLEW_UP, f"ln(T* - t) fell to {log_tail:.0f} with the growth rate still rising"

    def _cut(self, clock: LogClock, chunk: Chunk, goal: float) -> tuple[Outcome, str]:
        """End the run at the requested time, inside the last chunk."""
        s_end = clock.when(goal + np.log(-np.expm1(-goal))) if goal > 0 else 0.0
        keep = self.s < s_end
        self.s, self.seen = self.s[keep], Observed(*(part[keep] for part in self.seen))
        self._append(np.array([s_end]), observe(self.dynamics, chunk.interpolation, np.array([s_end])))
        self.evaluations += 1
        return Outcome.REACHED_UNTIL, f"the requested time was reached, ln(1 + t) = {goal:.6g}"

    def compare_tolerances(self, found: BlowUp):
        """Take the error of T* from its change under looser tolerances, which the tight run stays below.

        A T* that they move by a large part of itself was made by errors on the way, as by a step over a rest point.
        """
        loose = replace(self.method, rtol=COMPANION * self.method.rtol, atol=COMPANION * self.method.atol)
        companion = _Run(self.dynamics, loose, self.max_steps, self.horizon, None).go()
        self.evaluations += companion.evaluations
        self.steps += companion.steps
        if companion.blow_up is None:
            return
        with np.errstate(over="ignore"):
            share = float(np.abs(np.expm1(companion.blow_up.log_time - found.log_time)))
        share += _ROUNDING + np.finfo(float).eps * abs(found.log_time)
        self.blow_up = replace(found, error=share * found.time if found.time else 0.0)
        if share > _SHIFTED:
            self.blow_up = None
            why = f"T* = {found.time:.3g} changes by {share:.0%} under tolerances {COMPANION:g} times looser, undecided"
            self.end = Outcome.BUDGET_EXHAUSTED, why

    def trajectory(self, wall_seconds: float) -> TokenTrajectory:
        assert self.end is not None
        log_t, log_remaining = np.full(len(self.s), -np.inf), None
        if self.clock is not None:
            log_t = self.clock.at(self.s, self.clock.log_times())
            if self.blow_up is not None:
                log_remaining = self.clock.at(self.s, self.clock.log_remaining(), backwards=True)
        return TokenTrajectory(
            log_t=log_t,
            log_abs=self.seen.log_abs,
            sign=self.seen.sign,
            log_norms=self.seen.log_norms,
            s=self.s,
            log_rate=self.seen.log_rate,
            growth=self.seen.growth,
            outcome=self.end[0],
            why=self.end[1],
            log_remaining=log_remaining,
            blow_up=self.blow_up,
            rhs_evaluations=self.evaluations,
            steps=self.steps,
            wall_seconds=wall_seconds,
        )
