"""Meters at a blow-up (theory 3.4): T*, powers of T* - t, and F, the variable in which ln ln is a straight line."""

from itertools import pairwise

import numpy as np

from ..._rates import Estimate, limiting_factor, limiting_slope
from ..._trajectory import FloatArray
from ..measured import Curve, Meter
from ..run import Run

#: The solver's error of ln|x|.
SOLVED = 1e-12


def scenario(run: Run, token: int | None) -> str:
    return run.scenario.value


def first_is_told(run: Run, token: int | None) -> str:
    """Whether one token blows up before all others, as far as the run can tell."""
    return "undecided" if run.regime.first_token is None else "yes"


def blow_up_time(run: Run, token: int | None) -> float | None:
    found = run.trajectory.blow_up
    return None if found is None else found.time


def power(run: Run, token: int | None) -> Estimate | None:
    """The limit of d ln|x_l| / d ln(T* - t)."""
    found = run.trajectory
    if found.log_remaining is None:
        return None
    return limiting_slope(found.log_norms[:, token], found.log_remaining, -found.log_remaining)


def log_square_before(run: Run, token: int | None) -> Curve | None:
    """ln x_l^2 as a function of ln(T* - t)."""
    found = run.trajectory
    return None if found.log_remaining is None else Curve(found.log_remaining, 2 * found.log_norms[:, token])


def final_size(run: Run, token: int | None) -> float:
    """ln|x_l| at the end of the run."""
    return float(run.trajectory.log_norms[-1, token or 0])


def constant(run: Run, token: int | None) -> Estimate | None:
    """The limit of 3 mu |s| (T* - t) |x_l|^3; of 2 mu delta (T* - t) x_l^2 for s = 0."""
    found, system = run.trajectory, run.system
    if found.log_remaining is None:
        return None
    order, factor = (3, abs(system.s)) if system.s else (2, system.delta_0)
    log_scale = np.log(order * system.mu_bar * factor)
    return limiting_factor(log_scale + found.log_remaining + order * found.log_norms[:, token], -found.log_remaining)


def slow_slope(run: Run, token: int | None) -> Estimate | None:
    """The limit of dF_l(|x_l|) / d ln|x_k|, k the last non-zero token before l."""
    return _slope_of_F(run, token or 0, int(np.flatnonzero(run.system.active[:token])[-1]))


def slow_slope_to_first(run: Run, token: int | None) -> Estimate | None:
    """The limit of dF_l(|x_l|) / d ln|x_l*|."""
    found = run.trajectory.blow_up
    return None if found is None else _slope_of_F(run, token or 0, found.token)


def _slope_of_F(run: Run, token: int, other: int) -> Estimate | None:
    found = run.trajectory
    if found.log_remaining is None:
        return None
    log_x, log_other = found.log_norms[:, token], found.log_norms[:, other]
    slope = limiting_slope(slow_variable(run, token, log_x), log_other, -found.log_remaining)
    if slope is None:
        return None
    # F = int e^{a Delta} dln|x| is as wrong as ln|x| is, times e^{a Delta}: everything, where x all but stands still.
    half = log_other[int(np.argmin(np.abs(found.log_remaining - 0.5 * found.log_remaining[-1])))]
    with np.errstate(over="ignore", divide="ignore"):
        noise = _stretch(run, token, log_x[-1]) * SOLVED / abs(log_other[-1] - half)
    return Estimate(slope.value, max(slope.standard_error, float(noise)), slope.window)


def slow_variable(run: Run, token: int, log_abs: FloatArray) -> FloatArray:
    """F_l(|x|) - F_l(|x_last|), F_l(u) = int e^{a Delta(u)} du / u, by the trapezoidal rule extrapolated (Romberg).

    Summed from the end, where the slope is read: early pieces can be so large that later ones are lost beside them.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        pieces = [_romberg(lambda y: _stretch(run, token, y), low, high) for low, high in pairwise(log_abs)]
        return -np.concatenate([np.cumsum(pieces[::-1])[::-1], [0.0]])


def _stretch(run: Run, token: int, log_abs: FloatArray) -> FloatArray:
    """dF_l / d ln|x_l| = e^{a Delta(x_l)}."""
    system = run.system
    slope = np.sign(system.x0[token]) * system.s
    return np.exp(system.a[0] * np.logaddexp(0.0, slope * np.exp(log_abs) + system.b))


def _romberg(function, low: float, high: float, levels: int = 7) -> float:
    rows: list[list[float]] = []
    for level in range(levels):
        nodes = np.linspace(low, high, 2**level + 1)
        row = [float(np.trapezoid(function(nodes), nodes))]
        for k, previous in enumerate(rows[-1] if rows else []):
            row.append(row[k] + (row[k] - previous) / (4 ** (k + 1) - 1))
        rows.append(row)
    return rows[-1][-1]


METERS: dict[str, Meter] = {
    "scenario": scenario,
    "whether l* can be told": first_is_told,
    "T*": blow_up_time,
    "slope of ln|x| in ln(T* - t)": power,
    "3 mu |s| (T* - t) |x|^3": constant,
    "slope of F(|x|) in ln|x_k|": slow_slope,
    "slope of F(|x|) in ln|x_l*|": slow_slope_to_first,
    "ln x^2 along ln(T* - t)": log_square_before,
    "ln|x| at the end": final_size,
}
