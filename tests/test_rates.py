"""Rate estimators on synthetic laws with known answers, near misses included."""

import numpy as np
import pytest

from mamba_dynamics._outcomes import Truth
from mamba_dynamics._rates import (
    FLOOR,
    agrees,
    limiting_factor,
    limiting_slope,
    limiting_value,
    local_slopes,
    significance,
)

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


def test_a_logarithm_beside_a_power_is_extrapolated_away():
    """ln x = -0.5 ln t - ln ln t: at ln t = 90 the local slope is still -0.515, its limit is known to 1e-8."""
    log_t = np.linspace(2, 90, 400)
    u = -0.5 * log_t - np.log(log_t)
    _, slopes = local_slopes(u, log_t, log_t)
    assert abs(slopes[-1] + 0.5) > 0.01
    slope = limiting_slope(u, log_t, log_t)
    assert abs(slope.value + 0.5) < 1e-7
    assert agrees(slope, -0.5) is Truth.HOLDS


def test_a_slowly_settling_slope_is_undecided_not_wrong():
    """A correction 1 / ln(ln t) falls slower than any power of the depth: nothing may be decided about the limit."""
    log_t = np.linspace(2, 90, 4000)
    correction = np.concatenate([[0.0], np.cumsum(np.diff(log_t) / np.log(log_t[1:] + 3))])
    slope = limiting_slope(-0.5 * log_t - 0.1 * correction, log_t, log_t)
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


def test_a_factor_that_grows_by_decades_has_not_settled():
    """From 1e-20 to 1e-16 it has moved by nothing beside 1; its logarithm has not settled at all."""
    depth = np.linspace(0.5, 80, 60)
    log_u = -46 + 0.115 * depth
    assert agrees(limiting_value(np.exp(log_u), depth), 0.0) is Truth.HOLDS
    assert agrees(limiting_factor(log_u, depth), 0.0) is Truth.UNDECIDED
    settled = limiting_factor(np.log(0.527) + np.exp(-depth / 2), depth)
    assert settled.value == pytest.approx(0.527, rel=1e-9)
    assert agrees(settled, 0.533) is Truth.FAILS


def test_a_variable_that_stands_still_in_the_last_half_tells_no_slope():
    depth = np.linspace(0.5, 80, 60)
    still = np.minimum(depth, 45.0)
    slope = limiting_slope(depth / 3, still, depth)
    assert slope is None or agrees(slope, 1 / 3) is not Truth.HOLDS


def test_a_run_too_short_gives_no_estimate():
    assert limiting_slope(np.zeros(2), np.arange(2.0), np.arange(2.0)) is None
    assert limiting_value(np.zeros(2), np.arange(2.0)) is None
    assert agrees(None, 1.0) is Truth.UNDECIDED
    assert limiting_slope(np.full(9, np.nan), np.arange(9.0), np.arange(9.0)) is None


NEAR_MISSES = {
    "t^-1/2 is not t^-0.45": (lambda d: -0.5 * d + 3 * np.exp(-d / 20), lambda d: d, -0.5, -0.45),
    "t^-0.45 is not t^-1/2": (lambda d: -0.45 * d + 3 * np.exp(-d / 20), lambda d: d, -0.45, -0.5),
    "(T* - t)^-1/3 is not (T* - t)^-1/2": (lambda d: d / 3 + 1 / d, lambda d: -d, -1 / 3, -1 / 2),
    "ln t is not (ln t)^2": (lambda d: np.log(d + 3 * np.log(d)), lambda d: np.log(d + 3 * np.log(d)), 1.0, 2.0),
    "(ln t)^2 is not ln t": (lambda d: 2 * np.log(d) + 1 / d, np.log, 2.0, 1.0),
}


@pytest.mark.parametrize(("u", "v", "right", "wrong"), NEAR_MISSES.values(), ids=NEAR_MISSES)
def test_near_misses_are_told_apart_with_significance(u, v, right, wrong):
    depth = np.geomspace(1.5, 1e3, 300)
    slope = limiting_slope(u(depth), v(depth), depth)
    assert agrees(slope, right) is Truth.HOLDS
    assert agrees(slope, wrong) is Truth.FAILS
    assert significance(slope, right) < 3
    assert significance(slope, wrong) > 30


CORRECTIONS = {
    "e^-depth": lambda d, c: np.exp(-abs(c) * d),
    "1 / depth": lambda d, c: c / d,
    "1 / depth^2": lambda d, c: c / d**2,
    "ln depth / depth": lambda d, c: c * np.log(d) / d,
    "depth^-1/2": lambda d, c: c / np.sqrt(d),
    "a transient that ends late": lambda d, c: c / (1 + np.exp(np.minimum(d - 15, 700.0))),
    "several": lambda d, c: c / d + 1 / d**2 + np.exp(-d / 5),
}


def irregular(rng):
    """Depths as an adaptive solver leaves them: unevenly spaced, some dozens to some hundreds."""
    end = np.exp(rng.uniform(np.log(40.0), np.log(1e5)))
    inside = np.exp(rng.uniform(np.log(0.3), np.log(end), rng.integers(40, 600)))
    return np.sort(np.append(inside, end))


@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
def test_intervals_cover_the_limit(correction):
    """Over random laws with solver noise, three standard errors miss the limit in at most one case of 100."""
    rng = np.random.default_rng(7)
    missed = {"slope": 0, "value": 0}
    decided = 0
    count = 300
    for _ in range(count):
        depth, limit, c = irregular(rng), rng.normal(), rng.normal()
        fine = np.unique(np.concatenate([depth, np.geomspace(depth[0], depth[-1], 3000)]))
        local = correction(fine, c)
        integral = np.concatenate([[0.0], np.cumsum(0.5 * (local[1:] + local[:-1]) * np.diff(fine))])
        u = (limit * depth + np.interp(depth, fine, integral)) * (1 + 1e-9 * rng.normal(size=len(depth)))
        slope = limiting_slope(u, depth, depth)
        value = limiting_value(limit + correction(depth, c) + 1e-9 * rng.normal(size=len(depth)), depth)
        for name, estimate in (("slope", slope), ("value", value)):
            missed[name] += abs(estimate.value - limit) > 3 * estimate.standard_error + FLOOR
            assert agrees(estimate, limit) is not Truth.FAILS
        decided += agrees(slope, limit) is Truth.HOLDS
    assert missed["slope"] <= 0.01 * count
    assert missed["value"] <= 0.01 * count
    assert decided >= 0.6 * count, "honest intervals must still be narrow enough to decide most cases"


def test_irregular_samples_do_not_bend_a_straight_line():
    """Interpolating u and v alike leaves a straight line's slope exact."""
    depth = irregular(np.random.default_rng(3))
    slope = limiting_slope(0.7 * np.log(depth) + 2.0, np.log(depth), depth)
    assert slope.value == pytest.approx(0.7, abs=1e-12)
    assert slope.standard_error < 1e-11


def test_significance_counts_standard_errors():
    estimate = limiting_value(1.0 + 1 / np.geomspace(1, 1e3, 100), np.geomspace(1, 1e3, 100))
    assert significance(estimate, estimate.value) == 0
    unit = estimate.standard_error + FLOOR
    assert significance(estimate, estimate.value + 5 * unit) == pytest.approx(5, rel=1e-3)
