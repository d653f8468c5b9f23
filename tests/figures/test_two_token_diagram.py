"""Two tokens: every cell of the diagram against the theory, the boundary and T* against scipy."""

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp


@pytest.fixture(scope="module")
def diagram(data):
    return data("two_token_diagram")


def softplus(z):
    return np.logaddexp(0.0, z)


def blow_up_by_scipy(z1, z2, a):
    """(first token, T*), for mu = s = 1, by following ln|z_l| and t in the clock of the total growth."""

    def field(s, state):
        z = np.array([np.sign(z1), np.sign(z2)]) * np.exp(state[:2])
        delta = softplus(z)
        own = z**2 * delta
        growth = np.array([own[0], own[1] + np.exp(-a * delta[1]) * own[0]])
        return [*growth, 1.0] / growth.sum()

    def is_large(s, state):
        return max(np.sign(z1) * np.exp(state[0]), np.sign(z2) * np.exp(state[1])) - 1e7

    is_large.terminal = True
    start = [np.log(abs(z1)), np.log(abs(z2)), 0.0]
    run = solve_ivp(field, (0, 1e3), start, "DOP853", rtol=1e-11, atol=1e-13, events=[is_large])
    assert run.t_events[0].size
    y1, y2, time = run.y[:, -1]
    # The token that is large and whose step size is: a later token with s x < 0 may be as large as its leader.
    first = 1 if z1 > 0 and y1 > np.log(1e6) else 2
    return first, time + np.exp(-3 * (y1 if first == 1 else y2)) / 3


def boundary(diagram, a):
    (row,) = np.flatnonzero(diagram["rates"] == a)
    z, k = diagram["curve_z"][row], diagram["curve_k"][row]
    return lambda z1: np.interp(np.log(z1), np.log(z[::-1]), k[::-1])


def test_every_cell_is_as_theory_says(diagram):
    z1, z2 = np.meshgrid(diagram["axis"], diagram["axis"])
    assert (z1 != 0).all()
    k = boundary(diagram, 1.0)(np.abs(z1))
    expected = np.where((z1 < 0) & (z2 < 0), 0, np.where((z1 > 0) & (z2 < k * z1), 1, 2))
    np.testing.assert_array_equal(diagram["first"], expected)
    np.testing.assert_array_equal(np.isnan(diagram["blow_up_time"]), expected == 0)


def test_the_blow_up_time_is_token_1s_own_integral_where_it_is_first(diagram):
    first, time = diagram["first"], diagram["blow_up_time"]
    for column, z1 in enumerate(diagram["axis"]):
        rows = first[:, column] == 1
        assert rows.any() == (z1 > 0)
        if z1 > 0:
            exact = quad(lambda z: 1 / (z**3 * softplus(z)), z1, np.inf, epsrel=1e-12, epsabs=0)[0]
            np.testing.assert_allclose(time[rows, column], exact, rtol=1e-7)


def test_first_token_and_time_are_scipys_on_a_sample(diagram):
    axis = diagram["axis"]
    fast = np.argwhere(diagram["first"] > 0)
    for row, column in fast[:: len(fast) // 40]:
        first, time = blow_up_by_scipy(axis[column], axis[row], 1.0)
        assert first == diagram["first"][row, column]
        np.testing.assert_allclose(diagram["blow_up_time"][row, column], time, rtol=1e-7)


def test_the_time_of_token_2_is_below_its_bound(diagram):
    z2 = np.meshgrid(diagram["axis"], diagram["axis"])[1]
    second = (diagram["first"] == 2) & (z2 > 0)
    assert (diagram["blow_up_time"][second] < 1 / (3 * z2[second] ** 3)).all()


def test_integrations_find_the_boundary(diagram):
    for a, bisected in zip(diagram["rates"], diagram["bisected"], strict=True):
        k = boundary(diagram, a)(diagram["starts"])
        # Ten halvings of [(1 - 2^-a)^(1/2), 1], and the interpolation of the curve.
        np.testing.assert_allclose(bisected, k, atol=(1 - np.sqrt(1 - 2.0**-a)) / 2**11 + 1e-6)


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
def test_scipy_sees_the_other_token_first_on_either_side_of_the_boundary(diagram, a):
    for z1 in (0.05, 0.4, 1.5, 3.0):
        k = boundary(diagram, a)(z1)
        assert blow_up_by_scipy(z1, (k - 1e-4) * z1, a)[0] == 1
        assert blow_up_by_scipy(z1, (k + 1e-4) * z1, a)[0] == 2


def test_the_boundarys_two_ends(diagram):
    for a, z, k in zip(diagram["rates"], diagram["curve_z"], diagram["curve_k"], strict=True):
        # d ln k / d ln z_1 = k^2 + 2^-a - 1 for small tokens, which is 0 on the boundary; the next term is O(z_1).
        end = np.sqrt(1 - 2.0**-a)
        assert z[-1] <= 1e-3 * (1 + 1e-12)
        assert 0 < k[-1] - end < 10 * z[-1]
        assert k[0] == 1.0
        assert (np.diff(k) <= 0).all()


def test_the_degenerate_starts_are_named(diagram):
    # (0, 1), (0, -1), (1, 0), (-1, 0), (0, 0): the token that is not zero decides, and at the origin nothing moves.
    np.testing.assert_array_equal(diagram["degenerate"], [[0, 1], [0, -1], [1, 0], [-1, 0], [0, 0]])
    expected = ["fast_divergence", "slow_divergence", "fast_divergence", "slow_divergence", "constant"]
    assert list(diagram["degenerate_theory"]) == expected
    assert list(diagram["degenerate_scenario"]) == expected
    np.testing.assert_array_equal(diagram["degenerate_first"], [2, 0, 1, 0, 0])
