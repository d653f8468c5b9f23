"""`solve`: integrate the token ODE into its true asymptotic regime.

The dynamics come in logarithmic coordinates and the growth clock (`mamba_dynamics.dynamics.base`), where
every scenario is smooth and non-stiff, so one explicit high-order method does for all of them. diffrax
integrates a chunk of steps at a time; after each chunk the time is recovered by quadrature and the
run is judged: has a token blown up, has everything come to rest, is the horizon reached?
"""

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._errors import LayerShapeError, SolveError
from ._outcomes import Outcome
from ._trajectory import BlowUp, FloatArray, TokenTrajectory
from .dynamics import AbstractLogDynamics, AbstractTokenDynamics, ScalarTokenDynamics
from .dynamics.clocks import NODES, LogClock, resolve

#: Steps integrated between two judgements of a run.
CHUNK = 16
#: The longest step in the growth clock, so that a trial step past a blow-up stays within float64.
MAX_STEP = 32.0
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
#: Rounding error of a sum over a few hundred pieces, relative.
_ROUNDING = 1e-14


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """How far a run goes before it may be called decided (when no end time is asked for).

    log_t_decaying: tokens that shrink are followed to this ln t (default: t = 1e40).
    log_t_growing: tokens that grow without blowing up are followed to this ln t.
    log_rate: a run whose ln rho has grown by this much has blown up (T* - t is then about e^-log_rate of T*).
    rest: tokens whose relative speed has fallen below this fraction of its bound have come to rest.
    """

    log_t_decaying: float = 92.1
    log_t_growing: float = 1.0e5
    log_rate: float = 600.0
    rest: float = 1.0e-11


def solve(
    dynamics: AbstractTokenDynamics,
    x0,
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
        LayerShapeError: x0 does not fit the dynamics. SolveError: see `throw`.
    """
    began = time.perf_counter()
    horizon = horizon or Horizon()
    if until is not None and log_until is not None:
        raise SolveError("solve: expected one end time, found both until and log_until; give one of them")
    if until is not None:
        log_until = float(np.log1p(until))
    x0 = _checked_tokens(dynamics, x0)
    settings = _Settings(rtol, atol, max_steps, horizon, solver or diffrax.Dopri8(), log_until)
    with jax.enable_x64(True):
        run = _Run(dynamics.in_log_coordinates(x0), settings)
        run.go()
        if run.outcome is Outcome.BLEW_UP:
            run.estimate_error()
    trajectory = run.trajectory(time.perf_counter() - began)
    if throw and trajectory.outcome in (Outcome.SOLVER_FAILED, Outcome.BUDGET_EXHAUSTED):
        raise SolveError(f"solve: {trajectory.why}; pass throw=False to keep the part that was integrated")
    return trajectory


def _checked_tokens(dynamics, x0):
    x0 = np.asarray(x0, dtype=float)
    if isinstance(dynamics, ScalarTokenDynamics):
        wanted, fits = "(L,)", x0.ndim == 1
    else:
        channels = dynamics.B.matrix.shape[1]
        wanted, fits = f"(L, {channels})", x0.ndim == 2 and x0.shape[1] == channels
    if not fits or x0.shape[0] == 0:
        raise LayerShapeError(f"x0 should have shape {wanted} with L >= 1, found {x0.shape}; check the token array")
    if not np.all(np.isfinite(x0)):
        bad = int(np.sum(~np.isfinite(x0)))
        raise LayerShapeError(f"x0 should be finite, found {bad} NaN or infinite of {x0.size} values; check the tokens")
    return x0


@dataclass(frozen=True)
class _Settings:
    rtol: float
    atol: float
    max_steps: int
    horizon: Horizon
    solver: diffrax.AbstractERK
    log_until: float | None


@eqx.filter_jit
def _integrate_chunk(dynamics, state, s0, dt0, rtol, atol, log_rate_range, solver):
    """Up to CHUNK accepted or rejected steps from (s0, state), while ln rho stays within a range."""
    low, high = log_rate_range

    def leaves_range(s, state, args, **_):
        log_rate = dynamics.log_rate(state)
        return (log_rate < low) | (log_rate > high)

    event = diffrax.Event(leaves_range)
    return diffrax.diffeqsolve(
        diffrax.ODETerm(dynamics),
        solver,
        s0,
        jnp.finfo(s0.dtype).max / 4,
        dt0,
        state,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol, dtmax=MAX_STEP, dtmin=1e-13),
        saveat=diffrax.SaveAt(steps=True, dense=True),
        adjoint=diffrax.ForwardMode(),
        event=event,
        max_steps=CHUNK,
        throw=False,
    )


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


@eqx.filter_jit
def _log_rates(dynamics, interpolation, s, count):
    return _for_each(lambda one: dynamics.log_rate(interpolation.evaluate(one)), s, count)


class _Observed(NamedTuple):
    """Observations along a run; the first axis is the steps."""

    log_abs: FloatArray
    sign: FloatArray
    log_norms: FloatArray
    log_rate: FloatArray
    growth: FloatArray  # d ln|x_l| / ds
    speeds: FloatArray  # |dx_l/ds| / |x_l|


def _observe(dynamics, state) -> _Observed:
    velocity, log_rate = dynamics.field(state)
    log_norms, growth = jax.jvp(dynamics.log_norms, (state,), (velocity,))
    growth = jnp.where(jnp.isfinite(log_norms), growth, 0.0)
    return _Observed(*dynamics.log_tokens(state), log_norms, log_rate, growth, dynamics.speeds(state, velocity))


@eqx.filter_jit
def _observe_start(dynamics) -> _Observed:
    return _observe(dynamics, dynamics.initial_state())


@eqx.filter_jit
def _observe_along(dynamics, interpolation, s, count) -> _Observed:
    return _for_each(lambda one: _observe(dynamics, interpolation.evaluate(one)), s, count)


def _in_blocks(function, s: FloatArray, block: int):
    """`function(padded block, count)` over s, its array results joined: few shapes, so few compilations."""
    parts = []
    for start in range(0, len(s), block):
        part = s[start : start + block]
        result = function(jnp.asarray(np.pad(part, (0, block - len(part)), mode="edge")), len(part))
        parts.append(jax.tree.map(lambda leaf, n=len(part): np.asarray(leaf)[:n], result))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


class _Run:
    """One integration: chunks of steps, the clock along them, and a judgement after each."""

    def __init__(self, dynamics: AbstractLogDynamics, settings: _Settings):
        self.dynamics, self.settings = dynamics, settings
        self.state = dynamics.initial_state()
        self.s, self.dt = np.zeros(1), 1e-2
        self.clock: LogClock | None = None
        self.evaluations, self.steps = 1, 0
        self.outcome: Outcome | None = None
        self.why = ""
        self.blow_up: BlowUp | None = None
        self.parts = [jax.tree.map(lambda leaf: np.asarray(leaf)[None], _observe_start(dynamics))]
        self.stop_log_rate = float(self.parts[0].log_rate[0]) + settings.horizon.log_rate

    def go(self) -> "_Run":
        start = self.parts[0]
        if not np.isfinite(start.log_rate[0]):
            at_zero = not np.isfinite(start.log_norms).any()
            outcome = Outcome.CONVERGED_TO_ZERO if at_zero else Outcome.CONVERGED_TO_EQUILIBRIUM
            self._end(outcome, "the vector field vanishes at the initial tokens, so nothing moves")
        while self.outcome is None:
            self._advance()
        return self

    def _end(self, outcome: Outcome, why: str):
        self.outcome, self.why = outcome, why

    def _advance(self):
        """Integrate one chunk, extend the clock along it, and judge the run."""
        chosen = self.settings
        s0, dt0, rtol, atol, log_rates = (
            jnp.asarray(value, dtype=float)
            for value in (self.s[-1], self.dt, chosen.rtol, chosen.atol, self._log_rate_range())
        )
        solution = _integrate_chunk(self.dynamics, self.state, s0, dt0, rtol, atol, log_rates, chosen.solver)
        accepted, tried = int(solution.stats["num_accepted_steps"]), int(solution.stats["num_steps"])
        self.steps += tried
        self.evaluations += tried * chosen.solver.tableau.num_stages
        if accepted:
            self._append(solution, accepted)
        going_on = (diffrax.RESULTS.successful, diffrax.RESULTS.event_occurred, diffrax.RESULTS.max_steps_reached)
        if not any(solution.result == one for one in going_on):
            self._end(
                Outcome.SOLVER_FAILED, f"the solver stopped after {self.steps} steps: the step size became too small"
            )
        else:
            self._judge(solution)

    def _log_rate_range(self) -> tuple[float, float]:
        """Where a chunk may stop early: t is about 1 / rho while tokens grow slowly or decay."""
        chosen = self.settings
        goal = chosen.horizon.log_t_growing if chosen.log_until is None else chosen.log_until
        now = float(self.parts[-1].log_rate[-1])
        return min(-goal, now) - _SLACK, self.stop_log_rate

    def _append(self, solution, accepted: int):
        steps = np.concatenate([[self.s[-1]], np.asarray(solution.ts)[:accepted]])
        log_rates = partial(_log_rates, self.dynamics, solution.interpolation)
        along = resolve(lambda s: _in_blocks(log_rates, s, CHUNK * NODES), steps, self.settings.rtol)
        self.clock = along if self.clock is None else self.clock.extended(along)
        self._observe(solution.interpolation, along.edges[1:])
        self.evaluations += along.evaluations
        self.state = jax.tree.map(lambda leaf: leaf[accepted - 1], solution.ys)
        self.dt = steps[-1] - steps[-2]

    def _observe(self, interpolation, s: FloatArray):
        self.parts.append(_in_blocks(partial(_observe_along, self.dynamics, interpolation), s, CHUNK))
        self.s = np.concatenate([self.s, s])
        self.evaluations += len(s)

    def _judge(self, solution):
        horizon, now, clock = self.settings.horizon, self.parts[-1], self.clock
        if clock is None:
            return self._check_budget()
        log_t, growth, log_norms = clock.log_times()[-1], now.growth[-1], now.log_norms[-1]
        alive = log_norms > log_norms.max() - _NEGLIGIBLE
        if self.settings.log_until is not None and np.logaddexp(0.0, log_t) >= self.settings.log_until:
            self._cut(solution)
        elif now.log_rate[-1] > self.stop_log_rate:
            self._judge_blow_up(growth, log_t)
        elif now.speeds[-1][alive].max() < horizon.rest and growth.max() < horizon.rest:
            self._end(Outcome.CONVERGED_TO_EQUILIBRIUM, f"relative speeds fell below {horizon.rest:g} of their bound")
        elif log_t >= horizon.log_t_decaying and now.growth.max() < 0:
            self._end(Outcome.CONVERGED_TO_ZERO, f"every token was still shrinking at ln t = {log_t:.6g}")
        elif log_t >= horizon.log_t_growing:
            self._end(Outcome.DIVERGES_SLOWLY, f"a token was still growing at ln t = {log_t:.6g}, without blowing up")
        else:
            self._check_budget()

    def _check_budget(self):
        if self.steps >= self.settings.max_steps:
            log_t = "-inf" if self.clock is None else f"{self.clock.log_times()[-1]:.6g}"
            self._end(Outcome.BUDGET_EXHAUSTED, f"max_steps = {self.settings.max_steps} used up at ln t = {log_t}")

    def _judge_blow_up(self, growth, log_t):
        running = np.flatnonzero(growth > _KEEPS_PACE)
        log_tail = self.clock.log_tail()
        if running.size and log_tail < log_t - _BEYOND_ROUNDING:
            time_of = float(np.exp(np.logaddexp(log_t, log_tail)))
            self.blow_up = BlowUp(time_of, np.nan, int(running[0]))
            self._end(
                Outcome.BLEW_UP, f"T* - t fell to e^{log_tail:.0f} with the rate still growing as its power law says"
            )
        else:
            self._end(Outcome.BUDGET_EXHAUSTED, "the clock's rate ran away while no token kept pace with it")

    def _cut(self, solution):
        """End the run at the requested time, inside the last chunk."""
        until = self.settings.log_until
        log_t = until + np.log(-np.expm1(-until)) if until > 0 else -np.inf
        s_end = self.clock.when(log_t) if until > 0 else 0.0
        whole = _Observed(*(np.concatenate(part) for part in zip(*self.parts, strict=True)))
        keep = self.s < s_end
        self.parts, self.s = [_Observed(*(part[keep] for part in whole))], self.s[keep]
        self._observe(solution.interpolation, np.array([s_end]))
        self._end(Outcome.REACHED_UNTIL, f"the requested time was reached at ln(1 + t) = {until:.6g}")

    def estimate_error(self):
        """The change of T* under looser tolerances, which bounds the error of the tight run."""
        loose = replace(self.settings, rtol=COMPANION * self.settings.rtol, atol=COMPANION * self.settings.atol)
        companion = _Run(self.dynamics, loose).go()
        self.evaluations += companion.evaluations
        self.steps += companion.steps
        if companion.blow_up is not None:
            found = self.blow_up.time
            error = abs(companion.blow_up.time - found) + _ROUNDING * found
            self.blow_up = replace(self.blow_up, error=error)

    def trajectory(self, wall_seconds: float) -> TokenTrajectory:
        seen = _Observed(*(np.concatenate(part) for part in zip(*self.parts, strict=True)))
        log_t = np.full(len(self.s), -np.inf)
        log_remaining = None
        if self.clock is not None and len(self.s) > 1:
            log_t = self.clock.at(self.s, self.clock.log_times())
            if self.blow_up is not None:
                log_remaining = self.clock.at(self.s, self.clock.log_remaining(), backwards=True)
        return TokenTrajectory(
            log_t=log_t,
            log_abs=seen.log_abs,
            sign=seen.sign,
            log_norms=seen.log_norms,
            s=self.s,
            log_rate=seen.log_rate,
            growth=seen.growth,
            outcome=self.outcome,
            why=self.why,
            log_remaining=log_remaining,
            blow_up=self.blow_up,
            rhs_evaluations=self.evaluations,
            steps=self.steps,
            wall_seconds=wall_seconds,
        )
