"""Exponents and constants of two decay rates against the closed forms of theory 3.6, and a run in plain time."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

X0 = (1.0, 0.8, -1.2, 0.9)


@pytest.fixture(scope="module")
def rates(data):
    return data("general_rates")


def predicted(weight):
    """(K_l, kappa_l): K_l = sum_{j<l} kappa_j phi((l - j) ln 2), kappa_l = max(0, 1 - K_l)."""
    with mpmath.workdps(40):
        mu_1 = mpmath.mpf(float(weight))

        def phi(gap):
            # e^{-2 ln 2 gap} = 4^-gap.
            return (mu_1 * mpmath.mpf(4) ** -gap - mpmath.exp(-mpmath.mpf(0.05) * mpmath.log(2) * gap)) / (mu_1 - 1)

        sums, kappa = [], []
        for token in range(4):
            sums.append(sum((kappa[j] * phi(token - j) for j in range(token)), mpmath.mpf(0)))
            kappa.append(max(mpmath.mpf(0), 1 - sums[-1]))
        return np.array(sums, float), np.array(kappa, float)


def left_over(sums, log_t):
    """T x_l^2 settles like t^-|1 - K_l|, and passes that on to the tokens behind."""
    return 2 * np.exp(-np.abs(1 - sums).min() * log_t)


def test_every_exponent_is_the_predicted_one(rates):
    for weight, exponents in zip(rates["weight"], rates["exponents"], strict=True):
        sums, _ = predicted(weight)
        # A slope is read over the last half of ln t, 230 wide.
        error = 1e-9 + left_over(sums, 230) / 230
        np.testing.assert_allclose(exponents, -np.maximum(1, sums) / 2, rtol=0, atol=error)


def test_constants_vanish_where_K_passes_1(rates):
    for weight, kappa in zip(rates["weight"], rates["kappa"], strict=True):
        sums, expected = predicted(weight)
        np.testing.assert_allclose(kappa, expected, rtol=0, atol=1e-9 + left_over(sums, 460))
        assert ((sums > 1) == (kappa < 1e-9)).all()


def test_both_sides_of_the_threshold_are_shown(rates):
    # K_2 = phi(ln 2) = 1 at mu_1 (1 - 1/4) = 1 - 2^-0.05.
    threshold = (1 - 2**-0.05) / 0.75
    above = rates["weight"] > threshold
    assert 4 < above.sum() < len(above) - 4
    assert (rates["exponents"][~above] > -0.5 - 1e-6).all()
    assert (rates["exponents"][above, 1:] < -0.52).all()


def test_the_tokens_shown_are_scipys(rates):
    mu, a = np.array([float(rates["shown"]), -1.0]), np.array([2.0, 0.05])

    def speeds(y):
        """d ln|x_l| / dt = sum_n mu_n h_ln, h_ln = x_l^2 Delta_l + e^{-a_n Delta_l} h_{l-1,n}."""
        x, h, found = np.sign(X0) * np.exp(y), np.zeros(2), []
        for one in x:
            step = np.logaddexp(0, 0.5 * one)
            h = one**2 * step + np.exp(-a * step) * h
            found.append(h @ mu)
        return np.array(found)

    exact = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12}
    # In plain time to t = 1, then in ln t.
    first = solve_ivp(lambda _, y: speeds(y), (0, 1), np.log(np.abs(X0)), **exact)
    late = (rates["log_t"] > 0) & (rates["log_t"] < 100)
    log_t = rates["log_t"][late]
    then = solve_ivp(lambda tau, y: np.exp(tau) * speeds(y), (0, log_t[-1]), first.y[:, -1], t_eval=log_t, **exact)
    np.testing.assert_allclose(rates["log_abs"][late], then.y.T, rtol=1e-9)
