"""Parts of the batch engine's step that no run shows by itself."""

import jax.numpy as jnp
import numpy as np
import pytest

from mamba_dynamics.sweeps.expansion import ORDER
from mamba_dynamics.sweeps.stepping import FIRST_STEP, Wanted, _first_step


def first_step(reach, tolerance):
    """Where ln rho is the geometric series of a pole at distance `reach`."""
    f = jnp.asarray([[reach**-k] for k in range(ORDER + 1)])
    one = jnp.ones(1)
    return float(
        _first_step(f, Wanted(rtol=0.5 * tolerance * one, atol=0.5 * tolerance * one, goal=one, max_steps=one))[0]
    )


@pytest.mark.parametrize("reach", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("tolerance", [1e-13, 1e-8])
def test_a_first_step_is_a_share_of_the_series_reach(reach, tolerance, x64):
    """What a method of order eight may do: twice the reach times tolerance^(1/8)."""
    assert first_step(reach, tolerance) == pytest.approx(2 * reach * tolerance**0.125, rel=1e-12)


def test_a_first_step_is_not_longer_than_a_unit_of_the_clock(x64):
    assert first_step(1e6, 1e-3) == FIRST_STEP
    level = jnp.asarray([[1.0]] + [[0.0]] * ORDER)
    wanted = Wanted(*(jnp.asarray([one]) for one in (1e-12, 1e-12, np.inf, 4096)))
    assert float(_first_step(level, wanted)[0]) == FIRST_STEP
    broken = jnp.asarray([[1.0, 1.0], [1.0, 1.0], [np.nan, np.inf]] + [[1.0, 1.0]] * (ORDER - 2))
    np.testing.assert_array_equal(_first_step(broken, wanted), 1e-2)
