"""Each token's own fate in a run: what the trajectory shows, without any theory."""

import numpy as np

from ._outcomes import Outcome, TokenFate
from ._trajectory import TokenTrajectory

#: At a blow-up: the smallest exponent of T* - t that counts as a power law (the theory's is 1/3 or 1/2).
POWER = 1e-2
#: At a blow-up: the change of ln|x| over the second half of ln 1/(T* - t) that counts as growth.
STILL_GROWING = 1e-3
#: A token this many e-folds below the largest, and not growing, has vanished beside it.
VANISHED = 40.0


def token_fates(trajectory: TokenTrajectory) -> list[TokenFate]:
    """The fate of every token of a run, in order."""
    judge = {
        Outcome.BLEW_UP: _at_blow_up,
        Outcome.CONVERGED_TO_ZERO: lambda run, token: TokenFate.CONVERGENT,
        Outcome.CONVERGED_TO_EQUILIBRIUM: _at_rest,
        Outcome.DIVERGES_SLOWLY: _at_infinite_time,
    }.get(trajectory.outcome, lambda run, token: TokenFate.UNDECIDED)
    return [
        judge(trajectory, token) if np.isfinite(trajectory.log_norms[0, token]) else TokenFate.ZERO
        for token in range(trajectory.log_norms.shape[1])
    ]


def _at_blow_up(run: TokenTrajectory, token: int) -> TokenFate:
    assert run.log_remaining is not None
    depth = -run.log_remaining
    half = int(np.argmin(np.abs(depth - 0.5 * depth[-1])))
    rise = run.log_norms[-1, token] - run.log_norms[half, token]
    if rise > POWER * (depth[-1] - depth[half]):
        return TokenFate.FAST_DIVERGENCE
    return TokenFate.SLOWER_AT_BLOW_UP if rise > STILL_GROWING else TokenFate.BOUNDED_AT_BLOW_UP


def _at_rest(run: TokenTrajectory, token: int) -> TokenFate:
    below = run.log_norms[-1].max() - run.log_norms[-1, token]
    return TokenFate.CONVERGENT if below > VANISHED else TokenFate.EQUILIBRIUM


def _at_infinite_time(run: TokenTrajectory, token: int) -> TokenFate:
    growing = run.growth[-1, token] > 0
    return TokenFate.SLOW_DIVERGENCE if growing else TokenFate.CONVERGENT
