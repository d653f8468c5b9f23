"""Slow divergence: every token's power of ln t is 1, where the paper's bound allows l."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def bound(data):
    return data("slow_divergence_bound")


def test_every_power_of_ln_t_is_one(bound):
    # z = ln t + 3 ln ln t + O(1): the local power is 1 + O(ln ln t / ln t), 3e-4 at the end of the run.
    late = bound["middle"] > 3e4
    np.testing.assert_allclose(bound["power"][late], 1.0, atol=1e-3)


def test_the_bound_is_far_above_every_later_token(bound):
    excess = np.arange(1, 5) * np.log(bound["log_t"][-1]) - bound["log_sx"][-1]
    assert (excess[1:] > 10).all()
    assert abs(excess[0]) < 1e-3


def test_token_1_is_its_own_expansion(bound):
    # z = ln t + 3 ln ln t + ln(mu e^b / s^2) + o(1), here with a last term of 0.
    log_t, z = bound["log_t"][-1], np.exp(bound["log_sx"][-1, 0])
    assert abs(z - log_t - 3 * np.log(log_t)) < 1e-2
