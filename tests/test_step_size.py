"""softplus and its logarithm to a few units in the last place, and their derivatives, against 50-digit arithmetic."""

import jax
import mpmath
import numpy as np
import pytest
from mpmath import mp

from mamba_dynamics.dynamics.step_size import log_growth_to_shut, log_size_when_shut, log_step_size, step_size

#: From far below the smallest positive float64's logarithm to numbers whose softplus is themselves.
PLACES = np.concatenate(
    [
        -np.geomspace(1e-300, 1e5, 400),
        [0.0, -745.2, -708.4],
        np.geomspace(1e-300, 1e300, 400),
        np.linspace(-40, 40, 801),
    ]
)
#: Relative, in units of 2^-52.
ULPS = 4


def exactly(z):
    return mpmath.log1p(mpmath.exp(mpmath.mpf(z)))


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def test_softplus(x64):
    found = np.asarray(step_size(PLACES))
    for z, value in zip(PLACES.tolist(), found.tolist(), strict=True):
        exact = exactly(z) if z > -1e4 else mpmath.exp(z)
        # Below 2^-1022 numbers have fewer digits, or none.
        assert abs(value - exact) <= ULPS * 2.0**-52 * exact + 2.3e-308, z


def test_its_logarithm(x64):
    found = np.asarray(log_step_size(PLACES))
    for z, value in zip(PLACES.tolist(), found.tolist(), strict=True):
        exact = mpmath.log(exactly(z)) if z > -100 else mpmath.mpf(z)
        # What is a relative error of softplus is an absolute one of its logarithm.
        assert abs(value - exact) <= ULPS * 2.0**-52 * max(abs(exact), 1.0), z


def test_their_derivatives(x64):
    z = PLACES[np.abs(PLACES) < 700]
    slopes = np.asarray(jax.vmap(jax.grad(step_size))(z)), np.asarray(jax.vmap(jax.grad(log_step_size))(z))
    for at, slope, log_slope in zip(z.tolist(), *(one.tolist() for one in slopes), strict=True):
        exact = 1 / (1 + mpmath.exp(-mpmath.mpf(at)))
        assert abs(slope - exact) <= 2 * ULPS * 2.0**-52 * exact, at
        assert abs(log_slope - exact / exactly(at)) <= 2 * ULPS * 2.0**-52 * exact / exactly(at), at


def test_a_number_that_is_none_stays_one(x64):
    assert np.isnan(step_size(np.nan))
    assert np.isnan(log_step_size(np.nan))
    assert float(step_size(-np.inf)) == 0.0
    assert float(log_step_size(-np.inf)) == -np.inf


def test_a_token_shuts_its_step_size_only_if_it_drives_it_down(x64):
    """s |x| = -(50 + |b|); a drive that is not negative never does, however small the token."""
    drive, bias = np.array([-0.5, -2.0, 0.0, 3.0]), np.array([0.0, -1.0, 0.0, 2.0])
    sizes = np.asarray(log_size_when_shut(drive, bias))
    np.testing.assert_allclose(sizes[:2], np.log([50 / 0.5, 51 / 2]), rtol=1e-15)
    np.testing.assert_array_equal(sizes[2:], -np.inf)
    growth = np.asarray(log_growth_to_shut(drive, bias, np.array([0.0, 10.0, -5.0, -5.0])))
    np.testing.assert_allclose(growth, [np.log(100), 0, 0, 0], rtol=1e-15)
