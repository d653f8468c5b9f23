"""Tokens in plain time: against scipy and ball arithmetic, and the attention against its definition."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from mamba_dynamics import enclose

SITUATIONS = ("convergent", "slow", "one", "several")
FAST = ("one", "several")
EVERY = pytest.mark.parametrize("name", SITUATIONS)


@pytest.fixture(scope="module")
def tokens(data):
    return data("tokens")


def softplus(z):
    return np.logaddexp(0.0, z)


def velocity(x, mu, s):
    """dx_l/dt = mu x_l g_l, g_l = x_l^2 Delta_l + e^{-Delta_l} g_{l-1}, with a = 1 and b = 0."""
    g, found = 0.0, []
    for one in x:
        g = one**2 * softplus(s * one) + np.exp(-softplus(s * one)) * g
        found.append(mu * one * g)
    return np.array(found)


@EVERY
def test_the_tokens_are_scipys(tokens, name):
    t, x, (mu, s) = (tokens[f"{name}_{key}"] for key in ("t", "x", "mu_s"))
    found = solve_ivp(
        lambda _, y: velocity(y, mu, s), (0, t[-1]), x[0], method="DOP853", t_eval=t, rtol=1e-13, atol=1e-14
    )
    # A shift dt of time moves a token near T* by dt / (3 (T* - t)) of its size: 1e4 errors of T* at the end.
    np.testing.assert_allclose(found.y.T, x, rtol=1e-9)


@EVERY
def test_the_attention_is_its_definition(tokens, name):
    x, (mu, s) = tokens[f"{name}_x"][-1], tokens[f"{name}_mu_s"]
    expected = np.zeros((10, 10))
    for l in range(10):
        for j in range(l + 1):
            passed = sum(softplus(s * x[k]) for k in range(j + 1, l + 1))
            expected[l, j] = mu * x[l] * x[j] * softplus(s * x[j]) * np.exp(-passed)
    np.testing.assert_allclose(tokens[f"{name}_attention"], expected, rtol=1e-11, atol=0)


@EVERY
def test_signs_stay_and_sizes_are_monotone(tokens, name):
    x, (mu, _) = tokens[f"{name}_x"], tokens[f"{name}_mu_s"]
    assert (np.sign(x) == np.sign(x[0])).all()
    assert (mu * np.diff(np.abs(x), axis=0) > 0).all()


@EVERY
def test_the_situation_is_what_its_title_says(tokens, name):
    (mu, s), x0 = tokens[f"{name}_mu_s"], tokens[f"{name}_x"][0]
    driven = int((s * x0 > 0).sum())
    assert (mu < 0) == (name == "convergent")
    assert name == "convergent" or driven == {"slow": 0, "one": 1, "several": 5}[name]
    assert np.isfinite(tokens[f"{name}_blow_up_time"]) == (name in FAST)


@pytest.mark.parametrize("name", ["one", pytest.param("several", marks=pytest.mark.long)])
def test_the_blow_up_time_lies_in_its_proved_ball(tokens, name):
    # Tokens after the first to blow up cannot move T*.
    first, time = int(tokens[f"{name}_first_token"]), float(tokens[f"{name}_blow_up_time"])
    mu, s = tokens[f"{name}_mu_s"]
    ball = enclose(float(mu), float(s), 1.0, 0.0, tokens[f"{name}_x"][0, : first + 1].tolist()).blow_up_time
    assert ball is not None
    middle, radius = float(ball.mid()), float(ball.rad())
    error = float(tokens[f"{name}_blow_up_error"])
    assert abs(time - middle) <= radius + error
    assert error < 1e-9 * middle
    np.testing.assert_allclose(tokens[f"{name}_t"][-1], (1 - 1e-4) * middle, rtol=1e-9)


@pytest.mark.parametrize("name", FAST)
def test_the_first_token_follows_its_power_of_what_is_left(tokens, name):
    # x ~ (3 mu |s| (T* - t))^(-1/3), here with T* - t = 1e-4 T*; the correction is a power of 1 / x.
    first, time = int(tokens[f"{name}_first_token"]), float(tokens[f"{name}_blow_up_time"])
    law = (3 * 1e-4 * time) ** (-1 / 3)
    assert abs(tokens[f"{name}_x"][-1, first] / law - 1) < 1e-3
