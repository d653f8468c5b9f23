"""The attention sink: entries against their definition in 40 digits, laws against constants from another equation."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

TOKENS = 4


@pytest.fixture(scope="module")
def sink(data):
    return data("attention_sink")


def log_softplus(z):
    return np.log(np.logaddexp(0.0, z)) if z > -30 else z


@pytest.fixture(scope="module")
def ratios():
    """c_l = lim x_l / x_1 from x = (1, 1, 1, 1), s = -1: along token 1, d ln x_l / d ln x_1 = g_l / g_1."""

    def slopes(y, others):
        x = np.exp([y, *others])
        rate, found = 1.0, []
        first = 2 * y + log_softplus(-x[0])
        for one, place in zip(x[1:], others, strict=True):
            rate = np.exp(2 * place + log_softplus(-one) - first) + np.exp(-np.logaddexp(0, -one)) * rate
            found.append(rate)
        return found

    end = np.log(200)
    run = solve_ivp(slopes, (0, end), np.zeros(TOKENS - 1), method="DOP853", rtol=1e-12, atol=1e-12)
    return np.exp([0.0, *(run.y[:, -1] - end)])


def test_every_entry_is_its_definition(sink):
    # ln P_lj = ln(x_l x_j Delta_j) - sum_{k=j+1..l} Delta_k, Delta = softplus(-x).
    with mpmath.workdps(40):
        for sample in range(0, len(sink["log_t"]), 15):
            x = [mpmath.exp(mpmath.mpf(float(one))) for one in sink["log_abs"][sample]]
            steps = [mpmath.log1p(mpmath.exp(-one)) for one in x]
            for l in range(TOKENS):
                for j in range(l + 1):
                    expected = mpmath.log(x[l] * x[j] * steps[j]) - sum(steps[j + 1 : l + 1])
                    assert abs(sink["log_attention"][sample, l, j] / expected - 1) < 1e-11
                assert (sink["log_attention"][sample, l, l + 1 :] == -np.inf).all()


def test_the_ratios_are_those_of_an_integration_along_token_1(sink, ratios):
    np.testing.assert_allclose(sink["ratios"], ratios, rtol=1e-9)


def test_the_first_column_tends_to_the_ratios(sink, ratios):
    # z = y + 3 ln y + o(1), y = ln t: P_l1 t ln t = c_l y z'(y) / z = c_l (1 + 3 / y) / (1 + 3 ln y / y), up to the
    # square of ln y / y.
    late = sink["log_t"] > 1e3
    y = sink["log_t"][late]
    rescaled = np.exp(sink["log_attention"][late, :, 0] + (y + np.log(y))[:, None])
    expected = np.outer((1 + 3 / y) / (1 + 3 * np.log(y) / y), ratios)
    assert (np.abs(rescaled / expected - 1) < 10 * ((np.log(y) / y) ** 2)[:, None]).all()
    np.testing.assert_allclose(rescaled[-1], ratios, rtol=1e-3)


def test_the_powers_of_t_are_the_ratios(sink, ratios):
    # ln P_lj = -c_j z + 2 ln z + O(1): its slope in ln t is -c_j (1 + 3 / y) + 2 / y up to ln y / y^2.
    log_t = sink["log_t"]
    late = log_t > 1e3
    y = log_t[late]
    middle = (y[1:] + y[:-1]) / 2
    slopes = np.diff(sink["log_attention"][late, -1], axis=0) / np.diff(y)[:, None]
    expected = -np.outer(1 + 3 / middle, ratios) + (2 / middle)[:, None]
    # A difference over a step h of a function of ln y differs from its slope by (h / y)^2 / y.
    error = 20 * (np.log(middle) / middle**2 + (np.diff(y) / middle) ** 2 / middle)
    assert (np.abs(slopes - expected) < error[:, None]).all()
    np.testing.assert_allclose(slopes[-1], -ratios, rtol=0, atol=1e-3)


def test_every_row_ends_with_token_1_alone(sink):
    rows = sink["log_attention"]
    log_share = rows[:, :, 0] - np.logaddexp.reduce(rows, axis=2)
    assert (np.exp(log_share[0, 1:]) < 0.7).all()
    # The next column is smaller by t^(1 - c_2), 1e-10 at ln t = 20.
    np.testing.assert_allclose(np.exp(log_share[sink["log_t"] > 20]), 1.0, rtol=0, atol=1e-8)
