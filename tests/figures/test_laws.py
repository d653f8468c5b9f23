"""The laws' constants, and the curves that lead to them, against quadratures of other equations than the solver's."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.special import expi

LN2 = np.log(2)


@pytest.fixture(scope="module")
def laws(data):
    return data("laws")


def log_softplus(z):
    return np.log(np.logaddexp(0.0, z)) if z > -30 else z


class TestConvergent:
    """mu = -1.58, s = -0.17, a = 1.08, b = 0."""

    def test_the_constants_are_kappa(self, laws):
        expected = 1 - np.exp(-1.08 * LN2)
        np.testing.assert_allclose(laws["convergent"][-1], [1, *[expected] * 3], rtol=1e-7)

    def test_token_1_is_its_quadrature(self, laws):
        # t = int_x^{x_0} du / (|mu| u^3 Delta(u)), x_0 = 0.3.
        log_t = laws["convergent_log_t"]
        x = np.exp(-log_t / 2) * np.sqrt(laws["convergent"][:, 0] / (2 * 1.58 * LN2))
        for k in np.flatnonzero(log_t < 20)[1::12]:
            t = quad(
                lambda v: np.exp(-2 * v) / (1.58 * np.logaddexp(0.0, -0.17 * np.exp(v))),
                np.log(x[k]),
                np.log(0.3),
                epsabs=0,
                epsrel=1e-12,
            )[0]
            assert abs(np.log(t) - log_t[k]) < 1e-8


class TestSlow:
    """mu = 1, s = -1, a = 1, b = 0, x_0 = (1, 1, 1, 1)."""

    def test_token_1_is_its_quadrature(self, laws):
        # t = int_1^z du / (u^3 softplus(-u)).
        log_t = laws["slow_log_t"]
        for k in np.flatnonzero((log_t > 2) & (log_t < 300))[::10]:
            z = laws["slow"][k, 0] * log_t[k]
            # e^z factored out, so that the end, where all of it comes from, is resolved.
            points = [1, *[p for p in (z - 40, z - 10) if p > 1], z]
            t = mpmath.quad(lambda u: mpmath.exp(-z) / (u**3 * mpmath.log1p(mpmath.exp(-u))), points)  # noqa: B023
            assert abs(float(mpmath.log(t)) + z - log_t[k]) < 1e-7 * log_t[k]

    def test_token_1_ends_on_its_expansion(self, laws):
        log_t, z = laws["slow_log_t"][-1], laws["slow"][-1, 0] * laws["slow_log_t"][-1]
        # The next term is of order ln ln t / ln t.
        assert abs(z - log_t - 3 * np.log(log_t)) < 10 * np.log(log_t) / log_t

    def test_the_ratios_are_those_of_an_integration_along_token_1(self, laws):
        # d ln x_l / d ln x_1 = g_l / g_1: time drops out.
        def slopes(y, others):
            z = np.exp([y, *others])
            rate, found = 1.0, []
            first = 2 * y + log_softplus(-z[0])
            for one, place in zip(z[1:], others, strict=True):
                rate = np.exp(2 * place + log_softplus(-one) - first) + np.exp(-np.logaddexp(0, -one)) * rate
                found.append(rate)
            return found

        end = np.log(laws["slow"][-1, 0] * laws["slow_log_t"][-1])
        run = solve_ivp(slopes, (0, end), np.zeros(3), method="DOP853", rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(laws["ratios"][1:], np.exp(run.y[:, -1] - end), rtol=1e-8)
        np.testing.assert_allclose(laws["slow"][-1, 1:] / laws["slow"][-1, 0], laws["ratios"][1:], rtol=1e-12)


def F(u):
    """int_1^u e^{Delta(v)} dv / v with Delta(v) = softplus(v): e^Delta = 1 + e^v."""
    return np.log(u) + expi(u) - expi(1)


@pytest.fixture(scope="module")
def along_token_2():
    """(ln T* - t, ln|x_l|) as functions of y = ln x_2, which rises without bound: d/dy = (1 / g_2) d/dt."""
    signs = np.array([1, 1, -1, 1, 1])

    def slopes(y, state):
        log_abs = np.array([state[0], y, *state[1:]])
        steps = np.logaddexp(0.0, signs * np.exp(log_abs))
        g, rates = 0.0, []
        for place, step in zip(log_abs, steps, strict=True):
            g = np.exp(2 * place) * step + np.exp(-step) * g
            rates.append(g)
        return np.array([rates[0], *rates[2:]]) / rates[1]

    start, end = np.log(3), 15.0
    run = solve_ivp(
        slopes,
        (start, end),
        np.log([0.5, 1.5, 1.5, 0.1]),
        method="DOP853",
        rtol=1e-12,
        atol=1e-13,
        dense_output=True,
    )

    def remaining(y):
        # int_y^inf dy / g_2; beyond y = 15 it is int e^{-3 y} dy to the last digit.
        def slowness(v):
            x_1 = np.exp(run.sol(v)[0])
            step = np.logaddexp(0, np.exp(v))
            return 1 / (np.exp(2 * v) * step + np.exp(-step) * x_1**2 * np.logaddexp(0, x_1))

        return quad(slowness, y, end, epsabs=0, epsrel=1e-11, limit=200)[0] + np.exp(-3 * end) / 3

    return run.sol, remaining


class TestFast:
    """mu = s = a = 1, b = 0, x_0 = (0.5, 3, -1.5, 1.5, 0.1); token 2 blows up first."""

    def test_the_curves_are_those_of_an_integration_along_token_2(self, laws, along_token_2):
        sol, remaining = along_token_2
        y = laws["fast_log_abs"][:, 1]
        for k in np.flatnonzero(y < 8)[1::6]:
            left = remaining(y[k])
            assert abs(np.log(left) + laws["fast_depth"][k]) < 1e-8
            np.testing.assert_allclose(laws["fast_log_abs"][k, [0, 2, 3, 4]], sol(y[k]), rtol=0, atol=1e-9)
            np.testing.assert_allclose(
                laws["fast"][k], (3 * left) ** (1 / 3) * np.exp(laws["fast_log_abs"][k]), rtol=1e-8
            )

    def test_the_run_reaches_1e_minus_250(self, laws):
        assert laws["fast_depth"][-1] > 250 * np.log(10)

    def test_the_constants(self, laws):
        late = laws["fast_depth"] > 60
        np.testing.assert_allclose(laws["fast"][late, 1], 1.0, rtol=1e-7)
        np.testing.assert_allclose(laws["fast"][late, 2], laws["fast"][-1, 2], rtol=1e-7)
        assert (laws["fast"][-1, [0, 3, 4]] < 1e-60).all()

    def test_F_is_its_integral(self, laws):
        x = np.exp(laws["fast_log_abs"])
        for token in (3, 4):
            np.testing.assert_allclose(laws[f"F_{token + 1}"], F(x[:, token]) - F(x[0, token]), rtol=1e-9, atol=1e-9)

    def test_the_slower_tokens_are_straight_lines_of_slope_1(self, laws):
        depth, log_abs = laws["fast_depth"], laws["fast_log_abs"]
        halves = depth > depth[-1] / 4
        for F_l, driver in ((laws["F_4"], depth / 3), (laws["F_5"], log_abs[:, 3])):
            slopes = np.diff(F_l[halves]) / np.diff(driver[halves])
            np.testing.assert_allclose(slopes, 1.0, rtol=0, atol=1e-6)
