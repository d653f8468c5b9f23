"""The step of order 9: its conditions of order in exact arithmetic, and its errors where solutions are known."""

from fractions import Fraction
from itertools import product
from math import factorial

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from mamba_dynamics.sweeps.multiderivative import (
    COEFFICIENTS,
    KNOWN,
    METHOD_ORDER,
    NODES,
    WEIGHTS,
    step_error,
    step_from,
)

C, B = ([Fraction(float(one)) for one in array] for array in (NODES, WEIGHTS))
A = [[Fraction(float(one)) for one in row] for row in COEFFICIENTS]


def conditions(order):
    """(k, (l_1, ..., l_r)) of w' = s^k + s^l w, iterated: what the step is to integrate exactly at this order."""
    for depth in range(order - KNOWN):
        rest = order - 1 - depth
        for k in range(KNOWN, rest + 1):
            yield from ((k, powers) for powers in product(range(rest - k + 1), repeat=depth) if sum(powers) == rest - k)


def left_over(k, powers):
    """sum_i b_i c_i^l1 sum_j a_ij c_j^l2 ... c^k less the integral that it stands for."""
    stages, exact, degree = [c**k for c in C], Fraction(1, k + 1), k + 1
    for power in reversed(powers):
        stages = [
            c**power * sum(a * one for a, one in zip(row, stages, strict=True)) for c, row in zip(C, A, strict=True)
        ]
        degree += power + 1
        exact /= degree
    return float(sum(b * one for b, one in zip(B, stages, strict=True)) - exact)


@pytest.mark.parametrize("order", range(KNOWN + 1, METHOD_ORDER + 1))
def test_conditions_of_order(order):
    """Of rounded coefficients, so to their rounding."""
    assert max(abs(left_over(*each)) for each in conditions(order)) < 1e-16


def test_little_is_left_over_above():
    over = [[abs(left_over(*each)) for each in conditions(METHOD_ORDER + more)] for more in (1, 2, 3)]
    assert 1e-7 < max(over[0]) < 3e-5
    assert max(map(max, over)) < 1e-4


def riccati(s, start=0.5):
    """y = tan-like: y' = 1 + y^2 from `start`, and its Taylor coefficients, to forty digits."""
    with mpmath.workdps(40):
        y = mpmath.tan(mpmath.atan(start) + s)
        series = mpmath.taylor(lambda t: mpmath.tan(mpmath.atan(start) + t), s, KNOWN)
        return float(y), [float((k + 1) * series[k + 1]) for k in range(KNOWN)]


def stepped(h):
    """(y after steps h from 0, its error, the estimate)."""
    y, series = riccati(0)
    exact, after = zip(*(riccati(one) for one in h), strict=True)
    begins = [jnp.full((1, len(h)), one) for one in series]
    ends = [jnp.asarray([one]) for one in zip(*after, strict=True)]
    found = np.asarray(step_from(lambda y: 1 + y * y, jnp.full((1, len(h)), y), begins, jnp.asarray(h)))
    estimate = step_error(found - y, begins, ends, jnp.asarray(h))
    return found[0], found[0] - np.array(exact), np.asarray(estimate)[0]


def test_an_error_falls_by_the_order(x64):
    _, error, _ = stepped(np.array([0.4, 0.3, 0.2]))
    rates = np.diff(np.log(np.abs(error))) / np.diff(np.log([0.4, 0.3, 0.2]))
    assert np.all(np.abs(error) > 1e-14)
    np.testing.assert_allclose(rates, METHOD_ORDER + 1, atol=1.5)


def test_the_estimate_is_the_error(x64):
    """Of y' = -y, where Hermite's quadrature is far more accurate than the step."""
    h = np.array([1.5, 1.0, 0.75])
    begins, ends = (
        [jnp.asarray([-((-1.0) ** k) / factorial(k) * y]) for k in range(KNOWN)] for y in (np.ones(3), np.exp(-h))
    )
    found = np.asarray(step_from(lambda y: -y, jnp.ones((1, 3)), begins, jnp.asarray(h)))
    error = found - np.exp(-h)
    assert np.all(np.abs(error) > 1e-11)
    np.testing.assert_allclose(step_error(found - 1.0, begins, ends, jnp.asarray(h)), error, rtol=0.15)


def test_the_estimate_is_not_less_than_the_error(x64):
    """Before a pole, where the quadrature is the less accurate one."""
    _, error, estimate = stepped(np.array([0.5, 0.4, 0.3]))
    assert np.all(np.abs(estimate) > np.abs(error))


def test_a_step_back_undoes_a_step(x64):
    h = np.array([0.1])
    there, _, _ = stepped(h)
    _, series = riccati(0.1)
    back = step_from(lambda y: 1 + y * y, jnp.asarray([there]), [jnp.full((1, 1), one) for one in series], -h)
    assert float(back[0, 0]) == pytest.approx(0.5, abs=1e-13)


def test_a_polynomial_in_time_alone_is_exact(x64):
    """Degrees that the expansion knows, by it alone; those above it, by the nodes."""
    for degree in range(METHOD_ORDER):
        begins = [jnp.asarray([[float(k == degree), 1.0 * (k == 0)]]).T for k in range(KNOWN)]
        field = lambda y, n=degree: jnp.stack([y[1] ** n, jnp.ones_like(y[1])])  # noqa: E731
        for h in (1.0, 2.0, 3.0):
            moved = step_from(field, jnp.zeros((2, 1)), begins, jnp.asarray([h]))
            assert float(moved[0, 0]) == pytest.approx(h ** (degree + 1) / (degree + 1), rel=1e-12)
