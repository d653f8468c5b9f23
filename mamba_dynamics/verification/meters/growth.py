"""Meters for tokens that grow slowly (theory 3.3): against ln t, its expansion, and each other."""

import numpy as np

from ..._rates import Estimate, limiting_factor, limiting_slope, limiting_value
from ..._trajectory import FloatArray
from ..measured import Meter
from ..run import Run


def _late(run: Run) -> tuple[FloatArray, FloatArray]:
    """(ln t, ln|x| (S, L)) where ln t > 1."""
    found = run.trajectory
    late = found.log_t > 1
    return found.log_t[late], found.log_norms[late]


def _expansion(run: Run, log_t: FloatArray) -> FloatArray:
    """ln t + 3 ln ln t + ln(mu e^b / s^2)."""
    system = run.system
    return log_t + 3 * np.log(log_t) + np.log(system.mu_bar) + system.b - 2 * np.log(abs(system.s))


def growth_exponent(run: Run, token: int | None) -> Estimate | None:
    """The limit of d ln|x_l| / d ln(ln t + 3 ln ln t): the power of ln t at which the token grows."""
    log_t, log_x = _late(run)
    return limiting_slope(log_x[:, token], np.log(log_t + 3 * np.log(log_t)), log_t)


def remainder(run: Run, token: int | None) -> Estimate | None:
    """The limit of |s x_l| - (ln t + 3 ln ln t + ln(mu e^b / s^2))."""
    log_t, log_x = _late(run)
    return limiting_value(abs(run.system.s) * np.exp(log_x[:, token]) - _expansion(run, log_t), log_t)


def remainder_slope(run: Run, token: int | None) -> Estimate | None:
    """The limit of d (|s x_l| - (ln t + 3 ln ln t + ln(mu e^b / s^2))) / d ln ln t: what is wrong with the 3."""
    log_t, log_x = _late(run)
    left = abs(run.system.s) * np.exp(log_x[:, token]) - _expansion(run, log_t)
    return limiting_slope(left, np.log(log_t), log_t)


def excess_over_log_time(run: Run, token: int | None) -> Estimate | None:
    """The limit of d (|s x_l| - ln t) / d ln ln t."""
    log_t, log_x = _late(run)
    return limiting_slope(abs(run.system.s) * np.exp(log_x[:, token]) - log_t, np.log(log_t), log_t)


def share_of_expansion(run: Run, token: int | None) -> Estimate | None:
    """The limit of |s x_l| over the expansion of token 1."""
    log_t, log_x = _late(run)
    log_size = np.log(abs(run.system.s)) + log_x[:, token]
    return limiting_factor(log_size - np.log(np.maximum(_expansion(run, log_t), np.finfo(float).tiny)), log_t)


def ratio(run: Run, token: int | None) -> float:
    """x_l / x_1 at the end of the run, in size."""
    last = run.trajectory.log_norms[-1]
    return float(np.exp(last[token] - last[0]))


def drift(run: Run, token: int | None) -> Estimate | None:
    """The limit of d ln|x_l / x_1| / d ln ln t."""
    log_t, log_x = _late(run)
    return limiting_slope(log_x[:, token] - log_x[:, 0], np.log(log_t), log_t)


METERS: dict[str, Meter] = {
    "slope of ln|x| in ln ln t": growth_exponent,
    "|s x| - (ln t + 3 ln ln t + ln(mu e^b / s^2))": remainder,
    "slope of |s x| - (ln t + 3 ln ln t + ln(mu e^b / s^2)) in ln ln t": remainder_slope,
    "slope of |s x| - ln t in ln ln t": excess_over_log_time,
    "|s x| / (ln t + 3 ln ln t + ln(mu e^b / s^2))": share_of_expansion,
    "|x_l / x_1|": ratio,
    "slope of ln|x_l / x_1| in ln ln t": drift,
}
