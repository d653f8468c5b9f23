"""Exponentials and logarithms of the batch engine against forty digits of mpmath."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from mamba_dynamics.sweeps import elementary

ULP = 2.0**-52
RNG = np.random.default_rng(0)
SIZES = np.exp2(RNG.uniform(-60, 10, 400)) * RNG.choice([-1.0, 1.0], 400)
FUNCTIONS = {
    "exponential": (mpmath.exp, np.concatenate([SIZES[np.abs(SIZES) < 700], [0.0, -708.3, 709.4]])),
    "log1p_over": (lambda e: mpmath.log1p(e) / e, np.concatenate([RNG.uniform(0, 1, 400), [1e-300, 1.0]])),
    "logarithm": (mpmath.log, np.concatenate([np.exp2(RNG.uniform(-1022, 1023, 200)), RNG.uniform(0.5, 2, 400)])),
}


def exactly(function, x):
    with mpmath.workdps(40):
        return [function(mpmath.mpf(float(one))) for one in x]


def furthest(found, exact):
    """The largest relative error, in units of 2^-52."""
    with mpmath.workdps(40):
        errors = [abs(mpmath.mpf(float(one)) - other) for one, other in zip(found, exact, strict=True)]
        return max(float(error / (abs(other) or 1)) for error, other in zip(errors, exact, strict=True)) / ULP


@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_two_units_in_the_last_place(name, x64):
    oracle, x = FUNCTIONS[name]
    found = jax.jit(getattr(elementary, name))(x)
    assert furthest(np.asarray(found), exactly(oracle, x)) < 2


@pytest.mark.parametrize("size", [1.0, 1e3, 1e5, 1e9])
def test_an_exponential_in_parts_knows_no_range(size, x64):
    x = RNG.uniform(-size, size, 300)
    mantissa, power = map(np.asarray, jax.jit(elementary.exponential_in_parts)(x))
    assert np.all((mantissa > 0.707) & (mantissa < 1.415))
    np.testing.assert_array_equal(power, np.rint(power))
    with mpmath.workdps(40):
        parts = [
            mpmath.mpf(m) * mpmath.power(2, int(p)) for m, p in zip(mantissa.tolist(), power.tolist(), strict=True)
        ]
        errors = [abs(part / one - 1) for part, one in zip(parts, exactly(mpmath.exp, x), strict=True)]
        assert max(errors) < 2 * ULP


def test_a_mantissa_is_one_wherever_the_power_is_all_there_is(x64):
    mantissa, power = map(np.asarray, elementary.exponential_in_parts(np.array([1e16, -1e100, 1e300, np.inf, -np.inf])))
    np.testing.assert_array_equal(mantissa, 1.0)
    np.testing.assert_allclose(power * np.log(2), [1e16, -1e100, 1e300, np.inf, -np.inf], rtol=1e-15)


def test_beyond_the_normal_numbers(x64):
    inf, nan = np.inf, np.nan

    def at(name, *x):
        return np.asarray(jax.jit(getattr(elementary, name))(*(np.array(one) for one in x)))

    np.testing.assert_array_equal(
        at("exponential", [-inf, -1e300, -709.0, 710.0, 1e17, inf, nan]), [0, 0, 0, *[inf] * 3, nan]
    )
    np.testing.assert_array_equal(
        at("logarithm", [0.0, -0.0, 1e-310, inf, -1.0, nan]), [-inf, -inf, -inf, inf, nan, nan]
    )
    np.testing.assert_array_equal(
        at("log_add_exp", [-inf, -inf, 2.0, inf, 1e308, nan], [-inf, 2.0, -inf, inf, 1.0, 0.0]),
        [-inf, 2, 2, inf, 1e308, nan],
    )


def test_sums_of_exponentials(x64):
    a, b = RNG.uniform(-800, 800, 300), RNG.normal(size=300) * np.exp2(RNG.uniform(-40, 8, 300))
    found = np.asarray(jax.jit(elementary.log_add_exp)(a, a + b))
    with mpmath.workdps(40):
        exact = [
            one + mpmath.log1p(mpmath.exp(other - one))
            for one, other in zip(*(map(mpmath.mpf, c) for c in (a, a + b)), strict=True)
        ]
        errors = [
            abs(mpmath.mpf(float(one)) - other) / (1 + abs(other)) for one, other in zip(found, exact, strict=True)
        ]
    assert max(errors) < 2 * ULP


def test_what_is_kept_is_itself(x64):
    x = jnp.arange(5.0)
    one, other = jax.jit(elementary.kept)(jnp.asarray(False), x, x * 2)
    np.testing.assert_array_equal(one, x)
    np.testing.assert_array_equal(other, 2 * x)
