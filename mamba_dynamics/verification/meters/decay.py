"""Meters for tokens that shrink (theory 3.2, 3.6): slopes in ln t and constants of t^(-1/2)."""

import numpy as np

from ..._rates import Estimate, limiting_factor, limiting_slope
from ..measured import Curve, Meter
from ..run import Run


def decay_exponent(run: Run, token: int | None) -> Estimate | None:
    """The limit of d ln|x_l| / d ln t."""
    found = run.trajectory
    return limiting_slope(found.log_norms[:, token], found.log_t, found.log_t)


def kappa(run: Run, token: int | None) -> Estimate | None:
    """The limit of 2 |mu| delta_0 t x_l^2."""
    found, system = run.trajectory, run.system
    scale = np.log(2 * abs(system.mu_bar)) + system.log_delta_0
    return limiting_factor(scale + found.log_t + 2 * found.log_norms[:, token], found.log_t)


def log_square(run: Run, token: int | None) -> Curve:
    """ln x_l^2 as a function of ln t."""
    found = run.trajectory
    return Curve(found.log_t, 2 * found.log_norms[:, token])


def final_size(run: Run, token: int | None) -> float:
    """|x_l| at the end of the run."""
    return float(np.abs(run.trajectory.x[-1])[token])


METERS: dict[str, Meter] = {
    "slope of ln|x| in ln t": decay_exponent,
    "2 |mu| delta_0 t x^2": kappa,
    "ln x^2 along ln t": log_square,
    "|x| at the end": final_size,
}
