"""A case and everything that can be measured on it; simulations are done once, when first asked for."""

from functools import cached_property

import numpy as np

from .._layer import S6Layer
from .._outcomes import Scenario
from .._regime import Regime
from .._solve import Horizon, solve
from .._trajectory import FloatArray, TokenTrajectory
from .._verdict import simulated_scenario
from ..dynamics import AbstractTokenDynamics, token_dynamics
from ..theorems import ScalarSystem
from ..theorems.contract import Case, Told
from .logarithmic_time import LogTimeRun, integrate_in_log_time

#: Budget of solver steps of one run.
MAX_STEPS = 4096
#: Where a token still grows at t = e^200 when the budget ends (several channels can take turns), it diverges.
HORIZON = Horizon(log_t_growing_least=200.0)


class Run:
    """One case: its layer, tokens, dynamics and, lazily, its trajectories."""

    def __init__(self, case: Case, index: int = 0):
        self.case, self.index = case, index
        self._until: dict[float, TokenTrajectory] = {}

    @property
    def layer(self) -> S6Layer:
        return self.case.layer

    @property
    def x0(self) -> FloatArray:
        return self.case.x0

    @cached_property
    def system(self) -> ScalarSystem:
        """The one-dimensional system (D = 1 only)."""
        return ScalarSystem.of(self.layer, self.x0)

    @cached_property
    def dynamics(self) -> AbstractTokenDynamics:
        return token_dynamics(self.layer)

    @cached_property
    def trajectory(self) -> TokenTrajectory:
        """The open-ended run, until its scenario is decided."""
        return solve(self.dynamics, self.x0, max_steps=MAX_STEPS, horizon=HORIZON, throw=False)

    def until(self, log_until: float) -> TokenTrajectory:
        """The run to a given ln(1 + t)."""
        if log_until not in self._until:
            self._until[log_until] = solve(
                self.dynamics, self.x0, log_until=log_until, max_steps=MAX_STEPS, throw=False
            )
        return self._until[log_until]

    @cached_property
    def stiff(self) -> LogTimeRun:
        """The run to t = e^30 by an implicit method."""
        return integrate_in_log_time(self.dynamics, self.x0)

    @cached_property
    def regime(self) -> Regime:
        """What the open-ended run has reached (D = 1 only)."""
        return Regime(self.system, self.trajectory)

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario the run shows by itself."""
        return simulated_scenario(self.trajectory)

    @property
    def told(self) -> Told:
        """What theory is told by the simulation, integrated only if theory asks."""
        return _ToldByRun(self)


class _ToldByRun(Told):
    def __init__(self, run: Run):
        super().__init__()
        self._run = run

    @property
    def first_token(self) -> int | None:
        """l*; None for a run that does not blow up, or where two tokens do so together as far as the run can tell."""
        return self._run.regime.first_token

    @property
    def ratios(self) -> FloatArray | None:
        return _ratios(self._run.trajectory) if self._run.scenario is Scenario.SLOW_DIVERGENCE else None


def _ratios(run: TokenTrajectory) -> FloatArray:
    """|x_l| / |x_k| for the first active token k, read at half the final ln t, so that the end can test them."""
    half = int(np.argmin(np.abs(run.log_t - 0.5 * run.log_t[-1])))
    first = int(np.flatnonzero(np.isfinite(run.log_norms[0]))[0])
    return np.exp(run.log_norms[half] - run.log_norms[half, first])
