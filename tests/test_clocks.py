"""Time from the growth clock: integrals of exp(smooth) with any dynamic range, against closed forms."""

import tracemalloc

import mpmath
import numpy as np
import pytest

from mamba_dynamics.dynamics.clocks import _POINTS, NODES, LogClock, log_integral_exp, resolve


def row(*coefficients):
    """One polynomial on [0, 1] from its leading Chebyshev coefficients."""
    return np.pad(np.array(coefficients, float), (0, NODES - len(coefficients)))[None]


@pytest.mark.parametrize("slope", [-3e4, -50.0, -1.0, 0.0, 1e-3, 2.0, 700.0, 1e5])
def test_integral_of_an_exponential(slope):
    found = log_integral_exp(row(slope / 2, slope / 2))[0]
    with mpmath.workdps(40):
        exact = mpmath.mpf(0) if slope == 0 else mpmath.log(mpmath.expm1(mpmath.mpf(slope)) / mpmath.mpf(slope))
    # The exponent itself carries the rounding of `slope`: a few units in its last place.
    assert found == pytest.approx(float(exact), abs=1e-13 + 4e-16 * abs(slope))


def test_integral_with_its_mass_inside():
    """A Gaussian of width 0.05 in the middle: the graded rule must not live at the ends alone."""
    found = log_integral_exp(row(-25.0, 0.0, -25.0))[0]  # -200 (c - 1/2)^2
    with mpmath.workdps(30):
        exact = mpmath.log(mpmath.sqrt(mpmath.pi / 200) * mpmath.erf(mpmath.sqrt(50)))
    assert found == pytest.approx(float(exact), abs=1e-9)


def test_part_of_an_integral():
    found = log_integral_exp(row(20.0, 20.0), 0.25, 0.75)[0]
    assert found == pytest.approx(np.log((np.exp(30) - np.exp(10)) / 40), abs=1e-12)


def blow_up_clock():
    """rho = e^{3 s} / 2, so t = (2/3)(1 - e^{-3 s}) and T* - t = (2/3) e^{-3 s}."""
    return resolve(lambda s: 3 * s - np.log(2), np.array([0.0, 0.3, 2.0, 10.0, 30.0, 60.0, 160.0]), 1e-12)


def test_blow_up_time_and_what_remains_of_it():
    clock = blow_up_clock()
    log_remaining = clock.log_remaining()
    assert np.exp(log_remaining[0]) == pytest.approx(2 / 3, rel=1e-14)
    np.testing.assert_allclose(log_remaining, np.log(2 / 3) - 3 * clock.edges, rtol=1e-13)
    s = np.array([0.1, 5.0, 100.0])
    np.testing.assert_allclose(clock.at(s, log_remaining, backwards=True), np.log(2 / 3) - 3 * s, rtol=1e-13)
    assert log_remaining[-1] == pytest.approx(clock.log_tail()), "T* - t = 1e-208 at the end, without cancellation"


def test_slow_growth_to_enormous_times():
    """rho = e^{-e^s}: t = Ei(e^s) - Ei(1), with ln t near 1e5 at the end."""
    clock = resolve(lambda s: -np.exp(s), np.linspace(0.0, np.log(1e5), 12), 1e-12)
    with mpmath.workdps(40):
        for s in (0.5, 3.0, 8.0, 11.0):
            exact = mpmath.log(mpmath.ei(mpmath.exp(s)) - mpmath.ei(1))
            assert clock.at(np.array([s]), clock.log_times())[0] == pytest.approx(float(exact), rel=1e-11)
    assert len(clock.coefficients) > 11, "pieces are split where ln rho is not resolved"


def test_rounding_noise_is_not_split():
    """ln rho with errors of 3e-12 around a smooth curve: splitting to 2^8 pieces a step would resolve nothing."""

    def noisy(s):
        return 3 * s - np.log(2) + 3e-12 * np.sin(1e9 * s * s)

    steps = np.linspace(0.0, 2.0, 41)
    clock = resolve(noisy, steps, 1e-12)
    assert len(clock.coefficients) <= 2 * (len(steps) - 1)
    assert clock.log_times()[-1] == pytest.approx(blow_up_clock().log_times()[2], abs=1e-11)


def test_integrals_of_many_rows_need_little_memory():
    """Rows are done in blocks: each needs 11 kB, so a hundred thousand at once would need a gigabyte."""
    many = np.repeat(row(20.0, 20.0), 5000, axis=0)
    lower = np.linspace(0.0, 0.5, 5000)
    tracemalloc.start()
    found = log_integral_exp(many, lower, 0.75)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(found, np.log((np.exp(30) - np.exp(40 * lower)) / 40), rtol=1e-13)
    assert peak < 2048 * len(_POINTS) * 8 * 12


def test_when_inverts_at():
    clock = blow_up_clock()
    for s in (1e-3, 0.3, 1.7):
        assert clock.when(float(clock.at(np.array([s]), clock.log_times())[0])) == pytest.approx(s, rel=1e-9)


def test_a_decaying_rate_has_no_tail():
    assert resolve(lambda s: -s, np.array([0.0, 1.0, 2.0]), 1e-12).log_tail() == np.inf


def test_extended_clock_is_the_whole():
    whole = resolve(lambda s: np.sin(s), np.linspace(0, 4, 9), 1e-12)
    first = resolve(lambda s: np.sin(s), np.linspace(0, 2, 5), 1e-12)
    joined = first.extended(resolve(lambda s: np.sin(s), np.linspace(2, 4, 5), 1e-12))
    assert joined.log_times()[-1] == pytest.approx(whole.log_times()[-1], abs=1e-13)
    assert joined.evaluations == whole.evaluations


def test_the_tail_of_a_clock_whose_rate_runs_away():
    """f = -c s: the tail is e^f / c, also where the fifth power of c overflows."""
    for c in (1.0, 1e70):
        coefficients = np.zeros((1, NODES))
        coefficients[0, 1] = -c / 2  # on [0, 1], where the polynomial's variable is 2 s - 1
        clock = LogClock(np.array([0.0, 1.0]), coefficients, np.zeros(1), 0)
        assert clock.log_tail() == pytest.approx(-c / 2 - np.log(c), rel=1e-14)
