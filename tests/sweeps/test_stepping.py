"""Parts of the batch engine's step that no run shows by itself."""

import jax.numpy as jnp
import numpy as np
import pytest

from mamba_dynamics.sweeps.multiderivative import KNOWN, METHOD_ORDER
from mamba_dynamics.sweeps.stepping import FEWEST_LANES, FIRST_STEP, LANES, Wanted, _first_step, lanes_on_a_processor


def first_step(reach, tolerance, y=0.0):
    """Where dy/ds is the geometric series of a pole at distance `reach`."""
    series = [jnp.asarray([[reach ** -(k + 1)], [0.0]]) for k in range(KNOWN)]
    one = jnp.ones(1)
    wanted = Wanted(rtol=0.5 * tolerance * one, atol=0.5 * tolerance * one, goal=one, max_steps=one)
    return float(_first_step(jnp.asarray([[y], [2 * y]]), series, wanted)[0])


@pytest.mark.parametrize("reach", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("tolerance", [1e-13, 1e-8])
def test_a_first_step_is_a_share_of_the_series_reach(reach, tolerance, x64):
    """What a method of order nine may do: half as much again as the reach times tolerance^(1/10)."""
    share = 1.5 * reach * tolerance ** (1 / (METHOD_ORDER + 1))
    assert first_step(reach, tolerance, y=1.0) == pytest.approx(share, rel=1e-12)
    assert first_step(reach, tolerance) == pytest.approx(share * 0.5**0.1, rel=1e-12)


def test_a_first_step_is_not_longer_than_the_longest(x64):
    assert first_step(1e6, 1e-3) == FIRST_STEP
    wanted = Wanted(*(jnp.asarray([one]) for one in (1e-12, 1e-12, np.inf, 4096)))
    y, level = jnp.zeros((1, 1)), [jnp.ones((1, 1))] + [jnp.zeros((1, 1))] * (KNOWN - 1)
    assert float(_first_step(y, level, wanted)[0]) == FIRST_STEP
    broken = [jnp.ones((1, 2))] * (KNOWN - 1) + [jnp.asarray([[np.nan, np.inf]])]
    np.testing.assert_array_equal(_first_step(jnp.zeros((1, 2)), broken, wanted), 1e-2)


@pytest.mark.parametrize(("tokens", "states"), [(1, 1), (8, 1), (8, 4), (4, 16), (8, 16), (33, 1), (5, 3), (500, 16)])
def test_lanes_are_whole_vectors_and_fit_the_cache(tokens, states):
    lanes = lanes_on_a_processor(tokens, states)
    assert lanes % 8 == 0
    assert FEWEST_LANES <= lanes <= LANES
    assert lanes == FEWEST_LANES or lanes * tokens * states**0.5 <= 8 * LANES * 1.25
    assert lanes == LANES or lanes_on_a_processor(tokens + 8, states) <= lanes
