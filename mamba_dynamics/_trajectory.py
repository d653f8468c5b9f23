"""What an integration returns: tokens along the run, the time they take, and how the run ended.

Everything is kept in logarithms, because the regimes of interest lie far outside float64: ln t up to 1e5
and beyond, T* - t down to 1e-250. Plain `t` and `x` are there for the parts that fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ._outcomes import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .plotting.trajectories import Clock, Quantity

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class BlowUp:
    """The first blow-up: T*, an estimate of its absolute error, the first token (0-based) it happens to, and ln T*.

    Extreme weights put T* beyond float64's range: `time` is then inf or 0, `log_time` finite.
    """

    time: float
    error: float
    token: int
    log_time: float


@dataclass(frozen=True, eq=False)
class TokenTrajectory:
    """Tokens along a run, at S points: the start, the solver's steps and what lies between them where time bends.

    `log_abs`, `sign`: ln|x| (-inf where x = 0) and sign x, shape (S, L) for D = 1 and (S, L, D) above.
    `log_norms`: ln|x_l|, shape (S, L). `log_t`: ln t, shape (S,), -inf at the start. `log_remaining`:
    ln(T* - t), shape (S,), where the run ended in a blow-up, else None. `s`, `log_rate`: the growth
    clock and ln rho; `growth`: d ln|x_l| / ds, shape (S, L). `steps` counts the solver's steps, rejected ones
    included; `rhs_evaluations` every evaluation of the vector field or of rho, whatever it was for.
    """

    log_t: FloatArray
    log_abs: FloatArray
    sign: FloatArray
    log_norms: FloatArray
    s: FloatArray
    log_rate: FloatArray
    growth: FloatArray
    outcome: Outcome
    why: str
    log_remaining: FloatArray | None = None
    blow_up: BlowUp | None = None
    rhs_evaluations: int = 0
    steps: int = 0
    wall_seconds: float = 0.0

    @property
    def log1p_t(self) -> FloatArray:
        """ln(1 + t), shape (S,)."""
        return np.logaddexp(0.0, self.log_t)

    @property
    def t(self) -> FloatArray:
        """Time, shape (S,); inf where it leaves float64's range."""
        with np.errstate(over="ignore"):
            return np.exp(self.log_t)

    @property
    def x(self) -> FloatArray:
        """The tokens themselves, of the shape of `log_abs`; 0 or inf where they leave float64's range."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(self.sign == 0, 0.0, self.sign * np.exp(self.log_abs))

    def __len__(self) -> int:
        return len(self.s)

    def plot(
        self,
        *,
        against: "Clock | None" = None,
        quantity: "Quantity | None" = None,
        tokens: Sequence[int] | None = None,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """Every token along the run; see `plot_trajectory`."""
        from .plotting import plot_trajectory

        return plot_trajectory(self, against=against, quantity=quantity, tokens=tokens, ax=ax)
