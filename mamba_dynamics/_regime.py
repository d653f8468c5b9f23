"""Whether a run has come so far that an asymptotic law can be held against it.

A law that a run contradicts is refuted only where it speaks: extreme weights can put its regime beyond what float64
or the budget reach, and then nothing is decided. What a regime takes is told by theory from the initial tokens and the
step sizes seen on the way, never from the law's agreement with the run, or every fault would excuse itself. Laws are
measured by halving the depth of a run (ln t, or ln 1/(T* - t)), so a regime must be reached at half the depth.

    convergent    every token up to this one has |s x| << 1, and then had the time that theory gives its approach:
                  u = 2 |mu| delta_0 t x^2 tends to kappa = 1 - K at the rate |1 - K| in ln t, after the one before
    growing       the first active token has moved, |s x| is large, and behind a zero token theory's transient is over:
                  the ratio to token 1 falls like x_1^(phi(delta_0) - 1)
    at a blow-up  l* can be told, |s x| is large for l* and the tokens with s x < 0 that follow it
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import theorems
from ._outcomes import Outcome
from ._trajectory import FloatArray, TokenTrajectory
from .theorems import ScalarSystem

#: A law can be refuted only where its own small parameter is below this, or its large one above the inverse ...
SMALL = 1e-2
#: ... and where the token has moved by this many e-folds, or still moves at all if slower than any power.
MOVED, STILL_MOVES = 2.0, 1e-9
#: At a blow-up: a second token whose own growth is this share of the first one's cannot be told from it.
KEEPS_PACE = 0.5
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Regime:
    """What a run of a one-dimensional system has reached; tokens are 0-based."""

    system: ScalarSystem
    run: TokenTrajectory

    def reached(self, token: int | None) -> bool:
        """Whether the run has come to the regime it ended in, for a token (None: for its scenario)."""
        if self.system.cancels:
            return False
        if token is None:
            return self.tells_slow_from_fast
        by_outcome = {
            Outcome.CONVERGED_TO_ZERO: self.convergent,
            Outcome.DIVERGES_SLOWLY: self.growing,
            Outcome.BLEW_UP: self.at_blow_up,
        }
        judge = by_outcome.get(self.run.outcome)
        return judge is not None and len(self.run) > 2 and judge(token)

    @property
    def tells_slow_from_fast(self) -> bool:
        """Not where tokens diverge while |s x| is still small at the end (|s| ~ 1e-300): slow and fast look alike."""
        diverges = self.run.outcome in (Outcome.DIVERGES_SLOWLY, Outcome.BLEW_UP)
        if not diverges or self.system.slope == 0:
            return True
        # A token that stands still with its step size shut says nothing of another that runs away.
        running = self._active(len(self.system.x0) - 1) if self.run.blow_up is None else [self.run.blow_up.token]
        return any(self._is_large(token, -1) for token in running)

    def convergent(self, token: int) -> bool:
        return bool(self._settled_from[token] <= 0.5 * self.run.log_t[-1])

    def growing(self, token: int) -> bool:
        if self.system.sign_of_mu <= 0:
            return True  # theory has no token grow there, so it has no regime to wait for
        half, log_x = self._half(self.run.log_t), self.run.log_norms
        first = self._active(token)[0]
        moved = abs(log_x[-1, first] - log_x[0, first]) > MOVED
        large = all(self._is_large(one, half) for one in self._active(token))
        return moved and large and all(self._caught_up(one, first, half) for one in self._active(token)[1:])

    def _caught_up(self, token: int, first: int, at: int) -> bool:
        """Whether a token behind a zero token has had the time to come down to the first one."""
        if not theorems.slow_divergence.comes_down_to_first(self.system, token):
            return True
        weakened = 1.0 - float(theorems.convergent.decay_kernel(self.system, np.array(self.system.delta_0)))
        log_x = self.run.log_norms
        furthest = float(np.abs(log_x[:, token] - log_x[:, first]).max())
        return weakened * (log_x[at, first] - log_x[0, first]) > furthest + MOVED

    def at_blow_up(self, token: int) -> bool:
        first, left = self.first_token, self.run.log_remaining
        if first is None or left is None:
            return False
        if token < first:
            return True
        half, log_x = self._half(-left), self.run.log_norms
        moved = abs(log_x[-1, first] - log_x[0, first]) > MOVED
        following = [one for one in self._active(token) if one == first or (one > first and self.system.drive[one] < 0)]
        return moved and (self.system.slope == 0 or all(self._is_large(one, half) for one in following))

    @cached_property
    def first_token(self) -> int | None:
        """l* of a run that blew up; None where another token with s x >= 0 runs away by itself beside the one found."""
        if self.run.blow_up is None:
            return None
        first, growth = self.run.blow_up.token, self.run.growth[-1]
        rivals = [one for one in self._active(len(growth) - 1) if one > first and self.system.drive[one] >= 0]
        for one in rivals:
            # A later token is carried along by what reaches it of the first one's drive: more than that is its own.
            carried = float(np.exp(-self.system.a.min() * self._passed(first, one)))
            if growth[one] / growth[first] > carried + KEEPS_PACE * (1.0 - carried) + _ROUNDING:
                return None
        return first

    def attends_to_first(self, token: int) -> bool:
        """Whether the decay since l* is small beside x_l*, so that a row's attention can have gone over to it."""
        first = self.first_token
        if first is None or not self.at_blow_up(token):
            return False
        return bool(self.system.a.max() * self._passed(first, token) < 0.5 * self.run.log_norms[-1, first])

    def _passed(self, first: int, token: int) -> float:
        """The step sizes after token `first` up to `token`, summed, at the end of the run."""
        with np.errstate(over="ignore"):
            z = self.system.s * self.run.sign[-1] * np.exp(self.run.log_norms[-1]) + self.system.b
        return float(np.logaddexp(0.0, z[first + 1 : token + 1]).sum())

    def still_moves(self, token: int) -> bool:
        """Whether a token slower than any power moves beyond the solver's error in the second half of the run.

        F(|x|) is as wrong as ln|x| is, times e^{a Delta}: where the token all but stands still, nothing is known of F.
        """
        log_x, depth = self.run.log_norms[:, token], self.run.log_remaining
        half = self._half(self.run.log_t if depth is None else -depth)
        return bool(abs(log_x[-1] - log_x[half]) > STILL_MOVES)

    @cached_property
    def _settled_from(self) -> FloatArray:
        """The ln t from which each token follows its law, (L,), by theory's own rates of approach; inf if never."""
        kappa, sums = theorems.convergent.kappa(self.system)
        found, start = np.full(len(kappa), -np.inf), -np.inf
        for token in self._active(len(kappa) - 1):
            at = max(1, self._small_from(token), int(np.searchsorted(self.run.log_t, start)))
            rate = abs(1.0 - sums[token])
            if at >= len(self.run) or rate == 0:
                start = np.inf
            else:
                log_u = self._log_u(token, at)
                # Where K > 1, u falls for ever, and is in its regime once it is below K - 1.
                to_go = abs(log_u - np.log(kappa[token])) if kappa[token] > 0 else max(0.0, log_u - np.log(rate))
                start = float(self.run.log_t[at] + (to_go - np.log(SMALL)) / rate)
            found[token] = start
        return found

    def _small_from(self, token: int) -> int:
        """The first sample from which on |s x| < SMALL: Delta is delta_0 to that, relative."""
        with np.errstate(divide="ignore"):
            large = self.run.log_norms[:, token] + np.log(abs(self.system.s)) >= np.log(SMALL)
        return int(np.max(np.flatnonzero(large), initial=-1)) + 1

    def _log_u(self, token: int, at: int) -> float:
        """ln of 2 |mu| delta_0 t x^2 at a sample."""
        scale = np.log(2 * abs(self.system.mu_bar)) + self.system.log_delta_0
        return float(scale + self.run.log_t[at] + 2 * self.run.log_norms[at, token])

    def _active(self, token: int) -> list[int]:
        """The non-zero tokens up to this one, which is one of them."""
        return [int(one) for one in np.flatnonzero(self.system.active[: token + 1])]

    def _is_large(self, token: int, at: int) -> bool:
        """Whether |s x| > (1 + |b|) / SMALL at a sample."""
        if self.system.s == 0:
            return False
        log_size = self.run.log_norms[at, token] + np.log(abs(self.system.s))
        return bool(log_size > -np.log(SMALL) + np.log1p(abs(self.system.b)))

    @staticmethod
    def _half(depth: FloatArray) -> int:
        """The sample at half the depth of the run."""
        with np.errstate(invalid="ignore"):
            return int(np.argmin(np.where(np.isfinite(depth), np.abs(depth - 0.5 * depth[-1]), np.inf)))


def coordinates_apart(delta: FloatArray, log_x0: FloatArray, log_t: float) -> bool:
    """Whether the slowest coordinate of token 1 (theory 4.6) can rule at half of ln t.

    x_d / x_d* falls like t^-(delta_d / delta_d* - 1) / 2 from its initial value: that must have fallen below SMALL.
    """
    slowest = int(np.argmin(delta))
    others = np.arange(len(delta)) != slowest
    fall = 0.25 * (delta[others] / delta[slowest] - 1.0) * log_t
    return bool(np.all(fall > log_x0[others] - log_x0[slowest] - np.log(SMALL)))
