"""kappa_l and the limits of t P_lj against the closed forms and the recursion behind them."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def constants(data):
    return data("convergent_constants")


def recursion(x0, q):
    """kappa_l = max(0, 1 - sum_{j<l} kappa_j q^(l-j)); 0 for a zero token."""
    kappa = []
    for token, one in enumerate(x0):
        passed = sum(kappa[j] * q ** (token - j) for j in range(token))
        kappa.append(max(0.0, 1 - passed) if one else 0.0)
    return np.array(kappa)


@pytest.mark.parametrize("name", ["plain", "zeros"])
def test_kappa_follows_its_recursion(constants, name):
    # What is left at t = 1e200: x ~ 1e-100 and t^(-a delta_0) = 1e-20, so the solver's 1e-12 a step decide.
    for decay, kappa in zip(constants["decay"], constants[f"{name}_kappa"], strict=True):
        np.testing.assert_allclose(kappa, recursion(constants[f"{name}_x0"], np.exp(-decay)), rtol=0, atol=1e-9)


def test_all_later_constants_are_one_without_zero_tokens(constants):
    expected = np.repeat(1 - np.exp(-constants["decay"])[:, None], 6, axis=1)
    np.testing.assert_allclose(constants["plain_kappa"][:, 1:], expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(constants["plain_kappa"][:, 0], 1.0, rtol=0, atol=1e-9)


def test_a_constant_depends_on_the_distance_to_the_last_non_zero_token(constants):
    for token, distance in ((2, 2), (3, 1), (6, 3)):
        expected = 1 - np.exp(-distance * constants["decay"])
        np.testing.assert_allclose(constants["zeros_kappa"][:, token], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["plain", "zeros"])
def test_attention_times_t_has_its_limits(constants, name):
    x0 = constants[f"{name}_x0"]
    for decay, attention in zip(constants["decay"], constants[f"{name}_attention"], strict=True):
        q = np.exp(-decay)
        kappa = recursion(x0, q)
        for l in range(len(x0)):
            for j in range(len(x0)):
                limit = 0.0 if j > l else -np.sign(x0[l] * x0[j]) * np.sqrt(kappa[l] * kappa[j]) * q ** (l - j) / 2
                np.testing.assert_allclose(attention[l, j], limit, rtol=1e-8, atol=1e-15)
