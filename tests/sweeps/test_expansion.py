"""What the engine is made of: the field's expansion along orbits, and the time that a step takes."""

import math

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.interpolate import KroghInterpolator

from mamba_dynamics.sweeps.duration import PLACES, WEIGHTS, _per_mean, log_duration, log_tail
from mamba_dynamics.sweeps.expansion import ORDER, WRITTEN_OUT, Systems, expand

STATES, COUNT = 2, 24


def systems(tokens, seed=3):
    rng = np.random.default_rng(seed)
    sign = rng.choice([-1.0, 1.0], (tokens, COUNT))
    sign[1, ::4] = 0
    s = rng.normal(size=COUNT) * 10.0 ** rng.uniform(-2, 2, COUNT)
    a, b = rng.uniform(0.1, 3, (STATES, COUNT)), rng.normal(size=COUNT)
    y = np.where(sign == 0, 0.0, rng.normal(size=(tokens, COUNT)))
    return Systems(rng.normal(size=(STATES, COUNT)), a, s, b, sign), y


def by_definition(one, y, i):
    """(dy/ds, ln rho) of system i from the formulas, in plain loops."""
    sign, h, rates, rho = one.sign[:, i], np.zeros(STATES), np.zeros(len(y)), 0.0
    for l in range(len(y)):
        x = sign[l] * np.exp(y[l])
        delta = np.logaddexp(0.0, one.s[i] * x + one.b[i])
        h = x**2 * delta + np.exp(-one.a[:, i] * delta) * h
        if sign[l] != 0:
            rates[l], rho = one.mu[:, i] @ h, rho + np.abs(one.mu[:, i]) @ h
    return rates / rho, np.log(rho)


@pytest.fixture(scope="module", params=[4, WRITTEN_OUT + 3])
def expanded(request):
    import jax

    one, y = systems(request.param)
    with jax.enable_x64(True):
        found, velocities, f = jax.jit(expand)(Systems(*map(jnp.asarray, one)), jnp.asarray(y))
        return one, y, found, np.asarray(velocities), np.asarray(f)


def test_the_field_is_the_definition_s(expanded):
    one, y, found, velocities, f = expanded
    for i in range(COUNT):
        velocity, log_rate = by_definition(one, y[:, i], i)
        np.testing.assert_allclose(found.velocity[:, i], velocity, rtol=1e-11, atol=1e-12)
        np.testing.assert_array_equal(velocities[0, :, i], found.velocity[:, i])
        assert f[0, i] == pytest.approx(-log_rate, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("i", range(0, COUNT, 3))
def test_what_an_expansion_leaves_out_is_of_order_five(expanded, i):
    """-ln rho and dy/ds along orbits, by another method, against Taylor polynomials: errors like h^(ORDER + 1)."""
    one, y, _, velocities, f = expanded
    # In units of the fastest change, so that all systems are looked at alike.
    unit = 0.5 / max(np.abs(f[k, i]) ** (1 / k) for k in range(1, ORDER + 1))
    steps = unit * np.array([1.0, 0.5, 0.25])
    errors, of_velocities = [], []
    for h in steps:
        run = solve_ivp(
            lambda _, state: by_definition(one, state, i)[0], (0, h), y[:, i], method="DOP853", rtol=1e-13, atol=1e-15
        )
        velocity, log_rate = by_definition(one, run.y[:, -1], i)
        errors.append(abs(log_rate + sum(f[k, i] * h**k for k in range(ORDER + 1))))
        of_velocities.append(np.abs(velocity - sum(velocities[k, :, i] * h**k for k in range(ORDER + 1))).max())
    for error in (errors, of_velocities):
        assert error[0] < 0.1
        assert error[-1] < 1e-11 or error[0] / error[-1] > 2.0 ** (2 * (ORDER + 0.5))


CURVES = {
    "level": lambda c: mpmath.mpf(3),
    "gentle": lambda c: 3 * mpmath.sin(c),
    "falls far": lambda c: -50 * c + mpmath.cos(c),
    "rises far": lambda c: 5000 * c + mpmath.sin(c),
    "rises ever faster": lambda c: mpmath.exp(3 + c),
    "falls ever faster": lambda c: -mpmath.exp(2 + c),
}


@pytest.mark.parametrize("name", CURVES)
def test_the_time_of_a_step(name, x64):
    curve, h = CURVES[name], 0.8
    ends = [jnp.asarray([float(one) for one in mpmath.taylor(curve, c, ORDER)])[:, None] for c in (0, h)]
    found, error = log_duration(*ends, jnp.asarray([h]), jnp.asarray(False))
    # The mass of exp(f) may lie at an end within 1e-3.
    edges = [0, *(h * 2.0**-k for k in range(14, 0, -1)), *(h * (1 - 2.0**-k) for k in range(2, 15)), h]
    top = max(curve(0), curve(h))
    exact = top + mpmath.log(mpmath.quad(lambda c: mpmath.exp(curve(c) - top), edges))
    gap = abs(float(found[0]) - float(exact))
    rounding = 1e-15 * abs(float(top)) + 1e-13
    assert gap <= float(error[0]) / 20 + rounding
    assert gap < 1e-9


@pytest.mark.parametrize("c", [1e-3, 1.0, 10.0, 25.0, 40.0, 60.0])
def test_the_rule_integrates_what_falls_by_sixty_powers_of_e(c):
    exact = -np.expm1(-c) / c
    assert float(np.sum(WEIGHTS * np.exp(-c * PLACES))) == pytest.approx(exact, rel=3e-14)


#: How much the error told may be over and under what one derivative less changes: exact for f that is nearly straight.
TOLD = {
    "gentle": (lambda c: 3 * mpmath.sin(c), 0.95, 1.05),
    "falls": (lambda c: -8 * c + mpmath.sin(c), 0.85, 1.05),
    "rises": (lambda c: 20 * c + mpmath.sin(c), 0.85, 1.05),
    "up and down": (lambda c: -8 * (c - 0.4) ** 2 + mpmath.sin(c), 0.75, 1.05),
    "down and up": (lambda c: 8 * (c - 0.4) ** 2 + mpmath.sin(3 * c), 0.95, 1.25),
    "falls ever faster": (CURVES["falls ever faster"], 0.95, 1.25),
    "rises ever faster": (CURVES["rises ever faster"], 1.0, 2.5),
}


@pytest.mark.parametrize("name", TOLD)
def test_the_error_of_a_time_is_what_one_derivative_less_changes(name, x64):
    (curve, least, most), h = TOLD[name], 0.8
    taylor = [[float(one) for one in mpmath.taylor(curve, c, ORDER)] for c in (0, h)]
    _, error = log_duration(*(jnp.asarray(one)[:, None] for one in taylor), jnp.asarray([h]), jnp.asarray(False))

    def log_time(order):
        """By scipy's interpolation of the derivatives at both ends, and its quadrature."""
        derivatives = [[one[k] * math.factorial(k) for k in range(order + 1)] for one in taylor]
        through = KroghInterpolator([0.0] * (order + 1) + [h] * (order + 1), np.concatenate(derivatives))
        top = max(one[0] for one in taylor)
        return np.log(quad(lambda c: np.exp(through(c) - top), 0, h, epsabs=0, epsrel=1e-13, limit=400)[0])

    changed = abs(log_time(ORDER) - log_time(ORDER - 1))
    assert least * changed - 2e-12 <= float(error[0]) <= most * changed + 2e-12


@pytest.mark.parametrize("c", [0.0, 0.1, 1.0, 5.0, 12.0, 20.0, 60.0, 1000.0])
def test_the_mean_that_the_error_of_a_time_is_told_by(c):
    at_rest, coefficients = _per_mean(ORDER)
    density = lambda v: math.exp(-c * v)  # noqa: E731
    whole = quad(density, 0, 1, epsabs=0, limit=400)[0]
    mean = quad(lambda v: density(v) * (v * (1 - v)) ** ORDER, 0, 1, epsabs=0, limit=400)[0] / whole
    found = at_rest / (1 + sum(one * c**k for k, one in enumerate(coefficients, 1)))
    assert found == pytest.approx(mean, rel=0.2 if 1 < c < 100 else 0.01)


def test_what_is_left_before_a_blow_up(x64):
    """rho = e^(3 s): e^-3s / 3 remain; where rho does not grow there is no end."""
    rising = jnp.asarray([[-600.0], [-3.0], [0.0], [0.0], [0.0]])
    assert float(log_tail(rising)[0]) == pytest.approx(-600 - np.log(3))
    assert np.isposinf(float(log_tail(-rising)[0]))
