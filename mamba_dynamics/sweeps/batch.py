"""`solve_many`: many one-dimensional runs, as `solve` would do them one by one, as arrays.

    runs = solve_many(mu=-1.0, s_delta=0.5, a=1.0, x0=rng.normal(size=(8, 100_000)))
    runs.outcome, runs.blow_up_time, runs.log_abs_x

Cells wait in a queue, from which a device takes many at once, and whatever lane is done takes the next one. A cell that
blew up joins the queue once more with looser tolerances, which tell the error of its T*.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._errors import LayerShapeError, SolveError
from .._outcomes import Outcome
from .._solve import COMPANION, Horizon
from .expansion import Systems
from .stepping import (
    CODE,
    EVALUATIONS,
    KEEPS_PACE,
    LANES_OF_GPU,
    OUTCOMES,
    Cells,
    Ends,
    Wanted,
    advance,
    lanes_on_a_processor,
    no_ends,
    no_lanes,
)

FloatArray = NDArray[np.float64]

#: Cells that a device is given at once, for each of its lanes.
WAITING = 16
#: A blow-up time that looser tolerances move by this share of itself is not known at all (as in `solve`).
_SHIFTED, _ROUNDING = 0.5, 1e-14
_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True, eq=False)
class Runs:
    """How B runs of L tokens ended.

    outcome: codes (B,), places in `OUTCOMES`. log_t: ln t at the end, (B,). log_abs_x: ln|x_l| there, (L, B), -inf for
    zero. sign: of x_l, (L, B). blow_up_time, blow_up_time_error: T* and an estimate of its absolute error, (B,), NaN
    where the run did not blow up; blow_up_token: the first token (0-based) that does, -1 for none. slope: where a law
    is read off, (L, B): d ln|x_l| / d ln t at the end, or d ln|x_l| / d ln(T* - t) at a blow-up. steps,
    rhs_evaluations: of the run and of the one that tells the error of T*, (B,); an expansion counts as one.
    """

    outcome: NDArray[np.int8]
    log_t: FloatArray
    log_abs_x: FloatArray
    sign: NDArray[np.int8]
    blow_up_time: FloatArray
    blow_up_time_error: FloatArray
    blow_up_token: NDArray[np.int16]
    slope: FloatArray
    steps: NDArray[np.int32]
    rhs_evaluations: NDArray[np.int32]

    @property
    def log1p_t(self) -> FloatArray:
        """ln(1 + t) at the end, (B,)."""
        return np.logaddexp(0.0, self.log_t)

    def outcomes(self) -> list[Outcome]:
        """The outcomes themselves, one for each run."""
        return [OUTCOMES[code] for code in self.outcome]


def solve_many(
    *,
    mu: ArrayLike,
    s_delta: ArrayLike,
    a: ArrayLike,
    x0: ArrayLike,
    dt_bias: ArrayLike = 0.0,
    until: ArrayLike | None = None,
    log_until: ArrayLike | None = None,
    rtol: ArrayLike = 1e-12,
    atol: ArrayLike = 1e-12,
    max_steps: ArrayLike = 4096,
    horizon: Horizon | None = None,
    devices: Sequence[Any] | None = None,
    errors: bool = True,
) -> Runs:
    """Integrate B one-dimensional systems until each is decided, or until a given time.

    Args:
        mu, a: mu_n and decay rates a_n: a number, (B,), or (N, B) for N decay rates.
        s_delta, dt_bias: slope and bias of the step size, a number or (B,).
        x0: initial tokens, (L, B) or (L,); a token that is zero stays zero.
        until, log_until, rtol, atol, max_steps: as in `solve`, a number or (B,).
        horizon: when an open-ended run counts as decided.
        devices: where to compute; all local ones if not given. The result is the same bit for bit on any number of
            one kind; a GPU's differs from a processor's by less than the tolerances.
        errors: integrate what blew up again, with looser tolerances, for the error of T* (else it is NaN).

    Raises:
        LayerShapeError: shapes do not fit, or something is not finite. SolveError: two end times, or a tolerance,
            budget or time that `solve` would refuse.
    """
    cells = _Cells.of(mu, s_delta, a, x0, dt_bias, until, log_until, rtol, atol, max_steps)
    chosen = tuple(devices or jax.local_devices())
    with jax.enable_x64(True), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ended = _Ended(cells, errors)
        _work_off(cells, ended, [_Device(cells, device, horizon or Horizon()) for device in chosen])
        return ended.runs()


@dataclass(frozen=True, eq=False)
class _Cells:
    """The parameters of all cells, the last axis theirs, and the logarithms and signs of their tokens."""

    systems: dict[str, FloatArray]
    wanted: dict[str, NDArray]
    x0: FloatArray

    @property
    def count(self) -> int:
        return self.x0.shape[1]

    @classmethod
    def of(cls, mu, s_delta, a, x0, dt_bias, until, log_until, rtol, atol, max_steps) -> "_Cells":
        if until is not None and log_until is not None:
            raise SolveError("solve_many: expected one end time, found both until and log_until; give one of them")
        goal = np.inf if until is None and log_until is None else log_until if until is None else np.log1p(until)
        flat = {"s": s_delta, "b": dt_bias, "rtol": rtol, "atol": atol, "goal": goal, "max_steps": max_steps}
        arrays = {name: np.asarray(value, float) for name, value in flat.items()}
        arrays |= {name: _rows(value) for name, value in (("mu", mu), ("a", a), ("x0", x0))}
        try:
            (count,) = np.broadcast_shapes(*(one.shape[-1:] for one in arrays.values()))
            states = np.broadcast_shapes(arrays["mu"].shape[:1], arrays["a"].shape[:1])
        except ValueError:
            shapes = ", ".join(f"{name} {one.shape}" for name, one in arrays.items())
            raise LayerShapeError(f"solve_many: expected one number of cells, the last axis, found {shapes}") from None
        # A zero token has neither error nor size: it is within no tolerance at all, unless there is a least one.
        arrays["atol"] = np.where(arrays["atol"] == 0, _TINY, arrays["atol"])
        _require(arrays)
        # Views: what is one number for all cells is one number in memory.
        wide = {
            name: np.broadcast_to(one, (*(states if name in ("mu", "a") else one.shape[:-1]), count))
            for name, one in arrays.items()
        }
        return cls(
            systems={name: wide[name] for name in ("mu", "a", "s", "b")},
            wanted={name: wide[name] for name in ("rtol", "atol", "goal", "max_steps")},
            x0=wide["x0"],
        )

    def some(self, runs: NDArray, room: int) -> Cells:
        """The cells of these runs and then zeros, `room` in all."""
        cell, looser = runs % self.count, np.where(runs >= self.count, COMPANION, 1.0)
        x0 = self.x0[:, cell]

        def padded(array: NDArray, kind: type = float) -> NDArray:
            wide = np.zeros((*array.shape[:-1], room), kind)
            wide[..., : len(runs)] = array
            return wide

        systems = {name: padded(one[..., cell]) for name, one in self.systems.items()}
        return Cells(
            which=padded(runs, np.int32),
            systems=Systems(**systems, sign=padded(np.sign(x0))),
            wanted=Wanted(
                rtol=padded(self.wanted["rtol"][cell] * looser),
                atol=padded(self.wanted["atol"][cell] * looser),
                goal=padded(self.wanted["goal"][cell]),
                max_steps=padded(self.wanted["max_steps"][cell], np.int32),
            ),
            y=padded(np.log(np.abs(np.where(x0 == 0, 1.0, x0)))),
        )


def _rows(value: ArrayLike) -> FloatArray:
    """(N, B) of a number, of (B,) for weights, of (L,) for tokens."""
    array = np.asarray(value, float)
    return array.reshape(1, -1) if array.ndim < 2 else array


def _require(arrays: dict[str, FloatArray]) -> None:
    for name, array in arrays.items():
        if array.size == 0:
            raise LayerShapeError(f"solve_many: expected at least one cell and one token, found {name} {array.shape}")
        if name != "goal" and not np.all(np.isfinite(array)):
            bad = int(np.sum(~np.isfinite(array)))
            raise LayerShapeError(f"solve_many: {name} should be finite, found {bad} NaN or infinite values")
    for name, array in (("mu", arrays["mu"]), ("s_delta", arrays["s"])):
        # Compiled code takes them for zero, whose dynamics are other ones.
        lost = (array != 0) & (np.abs(array) < _TINY)
        if np.any(lost):
            raise LayerShapeError(
                f"solve_many: expected {name} of 0 or of at least {_TINY:.2g}, found {array[lost][0]:g}"
            )
    least = {"rtol": math.ulp(0.0), "atol": 0.0, "goal": 0.0, "max_steps": 1.0, "a": 0.0}
    for name, bound in least.items():
        fits = arrays[name] >= bound
        if not np.all(fits):
            wanted = {"rtol": "> 0", "max_steps": ">= 1"}.get(name, ">= 0")
            called = {"goal": "the end time"}.get(name, name)
            raise SolveError(f"solve_many: expected {called} {wanted}, found {arrays[name][~fits].flat[0]:g}")


class _Ended:
    """Where runs have ended so far: the main ones, and those that tell the error of a blow-up time."""

    def __init__(self, cells: _Cells, errors: bool):
        self.cells, self.errors = cells, errors
        self.ends = no_ends(*cells.x0.shape)
        self.loose_log_time = np.full(cells.count, np.nan)
        self.loose_steps = np.zeros(cells.count, np.int32)

    def add(self, which: NDArray, ends: Ends) -> NDArray:
        """Write down how some runs ended; returns the cells that are to run once more."""
        loose = which >= self.cells.count
        blew_up = ends.code == CODE[Outcome.BLEW_UP]
        cell = which[loose] - self.cells.count
        self.loose_log_time[cell] = np.where(blew_up, ends.log_blow_up_time, np.nan)[loose]
        self.loose_steps[cell] = ends.steps[loose]
        if np.any(loose):
            which, blew_up, ends = which[~loose], blew_up[~loose], Ends(*(one[..., ~loose] for one in ends))
        for whole, part in zip(self.ends, ends, strict=True):
            whole[..., which] = part
        return which[blew_up] + self.cells.count if self.errors else which[:0]

    def runs(self) -> Runs:
        ends, x0 = self.ends, self.cells.x0
        y, velocity = np.asarray(ends.y), np.asarray(ends.velocity)
        code = np.asarray(ends.code, np.int8)
        blew_up: NDArray = code == CODE[Outcome.BLEW_UP]
        time = np.where(blew_up, np.exp(ends.log_blow_up_time), np.nan)
        error = np.abs(np.exp(self.loose_log_time) - time) + _ROUNDING * time
        if self.errors:
            # A companion that did not blow up leaves the error unknown, not zero.
            error = np.where(blew_up & np.isnan(self.loose_log_time), np.inf, error)
            undone = blew_up & (error > _SHIFTED * time) & np.isfinite(error)
            code = np.where(undone, CODE[Outcome.BUDGET_EXHAUSTED], code).astype(np.int8)
            time, error = np.where(undone, np.nan, time), np.where(undone, np.nan, error)
            blew_up &= ~undone
        steps = np.asarray(ends.steps) + self.loose_steps
        token = self._running_away(np.flatnonzero(blew_up))
        # In place, as they are many.
        velocity *= self._per_log_time(blew_up)
        y[x0 == 0] = -np.inf
        return Runs(
            outcome=code,
            log_t=np.asarray(ends.log_t),
            log_abs_x=y,
            sign=np.sign(x0).astype(np.int8),
            blow_up_time=time,
            blow_up_time_error=error,
            blow_up_token=token,
            slope=velocity,
            steps=steps,
            rhs_evaluations=1 + steps * EVALUATIONS,
        )

    def _running_away(self, cell: NDArray) -> NDArray[np.int16]:
        """The first token that grows with nothing to stop it; -1 but for these cells."""
        shuts = self.cells.systems["s"][cell] * self.cells.x0[:, cell] < 0
        shuts &= self.ends.y[:, cell] < self.ends.log_size_when_shut[cell]
        token = np.full(self.cells.count, -1, np.int16)
        token[cell] = np.argmax((self.ends.velocity[:, cell] > KEEPS_PACE) & ~shuts, axis=0)
        return token

    def _per_log_time(self, blew_up: NDArray) -> FloatArray:
        """rho t, and rho (t - T*) at a blow-up; NaN where no time has passed."""
        ends = self.ends
        past = np.where(np.isneginf(ends.log_t), np.nan, np.exp(ends.log_t + ends.log_rate))
        return np.where(blew_up, -np.exp(ends.log_remaining + ends.log_rate), past)


class _Device:
    """The lanes of one device, and how many runs are inside.

    A run is told by its cell's number, one with looser tolerances by that plus the number of cells. Each device has the
    whole program to itself: a program that spans several devices is compiled otherwise, and may differ in last bits.
    """

    def __init__(self, cells: _Cells, device: Any, horizon: Horizon):
        self.cells, self.device = cells, device
        self.thresholds = {name: np.array(value, float) for name, value in asdict(horizon).items()}
        shape = len(cells.x0), len(cells.systems["mu"])
        width = lanes_on_a_processor(*shape) if device.platform == "cpu" else LANES_OF_GPU
        self.room = WAITING * width
        self.lanes, self.none = no_lanes(*shape, width), cells.some(np.zeros(0, int), self.room)
        self.inside, self.moved = 0, None

    def go_on(self, runs: NDArray, others: bool) -> None:
        """Begin these runs, at most `room`, and go on with those it has; `others` wait for lanes already."""
        self.inside += len(runs)
        if not self.inside:
            return
        waiting = self.cells.some(runs, self.room) if len(runs) else self.none
        # Given as they are: an array at a time, they would take longer to the device than the program takes to begin.
        with jax.default_device(self.device):
            self.moved = advance(self.lanes, waiting, np.asarray(len(runs)), np.asarray(others), self.thresholds)

    def harvest(self, ended: _Ended) -> NDArray:
        """Wait for what `go_on` began, and take the ends; returns the runs that are to follow."""
        if self.moved is None:
            return np.zeros(0, int)
        self.lanes, which, ends, gone = self.moved
        self.moved = None
        self.inside -= int(gone)
        which, *ends = (np.asarray(one)[..., : int(gone)] for one in (which, *ends))
        return ended.add(which, Ends(*ends))


def _work_off(cells: _Cells, ended: _Ended, devices: list[_Device]) -> None:
    """Run all cells; devices work side by side, and each gets its share of those that wait."""
    waiting = np.arange(cells.count)
    while len(waiting) or any(device.inside for device in devices):
        share = -(-len(waiting) // len(devices))
        for device in devices:
            waiting = np.concatenate([waiting, device.harvest(ended)])
            taken = min(share, device.room, len(waiting))
            device.go_on(waiting[:taken], others=len(waiting) > taken)
            waiting = waiting[taken:]
