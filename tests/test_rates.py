"""Rate estimators on synthetic laws with known answers, near misses included."""

import numpy as np
import pytest

from mamba_dynamics._outcomes import Truth
from mamba_dynamics._rates import agrees, limiting_slope, limiting_value

LOG_T = np.concatenate([[-np.inf], np.linspace(-3, 90, 200)])


@pytest.mark.parametrize("exponent", [-0.5, -0.45, -3.7])
def test_power_of_time_with_a_correction(exponent):
    """x = t^p (1 + t^-1/2): the correction is gone at depth ln t = 90."""
    finite = np.where(np.isfinite(LOG_T), LOG_T, -50.0)
    log_x = exponent * finite + np.log1p(np.exp(-0.5 * finite))
    slope = limiting_slope(log_x, LOG_T, LOG_T)
    assert slope.value == pytest.approx(exponent, abs=1e-9)
    assert agrees(slope, exponent) is Truth.HOLDS
    assert agrees(slope, -0.5) is (Truth.HOLDS if exponent == -0.5 else Truth.FAILS)


def test_minus_one_third_is_not_minus_one_half():
    depth = np.linspace(0.1, 600, 300)
    slope = limiting_slope(depth / 3, -depth, depth)
    assert agrees(slope, -1 / 3) is Truth.HOLDS
    assert agrees(slope, -1 / 2) is Truth.FAILS


def test_log_is_not_log_squared():
    log_t = np.geomspace(1.5, 1e5, 200)
    clock = np.log(log_t)
    assert agrees(limiting_slope(clock, clock, log_t), 1.0) is Truth.HOLDS
    assert agrees(limiting_slope(2 * clock, clock, log_t), 1.0) is Truth.FAILS


def test_a_slowly_settling_slope_is_undecided_not_wrong():
    """log x = -0.5 ln t - ln ln t: at ln t = 90 the local slope is still 0.515, and the estimator says so."""
    log_t = np.linspace(2, 90, 400)
    slope = limiting_slope(-0.5 * log_t - np.log(log_t), log_t, log_t)
    assert abs(slope.value + 0.5) > 0.01
    assert agrees(slope, -0.5) is Truth.UNDECIDED


def test_standard_error_covers_the_distance_to_the_limit():
    depth = np.linspace(0.5, 60, 100)
    slope = limiting_slope(depth / 3 + np.exp(-depth / 10), depth, depth)
    assert 0 < abs(slope.value - 1 / 3) <= slope.standard_error


def test_limit_of_a_value():
    depth = np.linspace(0.5, 80, 50)
    estimate = limiting_value(0.527 + np.exp(-depth / 2), depth)
    assert agrees(estimate, 0.527) is Truth.HOLDS
    assert agrees(estimate, 0.533) is Truth.FAILS
    assert estimate.window[1] == 80


def test_a_run_too_short_gives_no_estimate():
    assert limiting_slope(np.zeros(2), np.arange(2.0), np.arange(2.0)) is None
    assert limiting_value(np.zeros(2), np.arange(2.0)) is None
    assert agrees(None, 1.0) is Truth.UNDECIDED
    assert limiting_slope(np.full(9, np.nan), np.arange(9.0), np.arange(9.0)) is None
