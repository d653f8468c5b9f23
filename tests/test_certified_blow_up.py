"""Blow-up times in ball arithmetic, against mpmath's quadrature, closed forms and the simulation."""

import flint
import mpmath
import numpy as np
import pytest
from flint import arb

from mamba_dynamics import HypothesisError, S6Layer, solve, token_dynamics
from mamba_dynamics.certificates import blow_up_bound, elementary_blow_up_bound, own_blow_up_time
from mamba_dynamics.certificates.blow_up_time import precision

CASES = [
    (1.0, 1.0, 0.0, 1.0),
    (0.7, -0.3, 1.3, -0.5),
    (1.0, 1.0, -50.0, 1.0),
    (1.0, 1.0, 50.0, 1e-6),
    (2.0, 1e-3, 0.1, 3.0),
    (1.0, 1.0, 0.0, 1e6),
    (1.0, 5.0, -700.0, 0.3),
    (1e-9, 1e6, -3.0, 1e-4),
]


def by_quadrature(mu, s, b, x0):
    """T_1 by mpmath in 50-digit arithmetic, in v = ln u on unit pieces."""
    with mpmath.workdps(50):
        slope, bias = abs(mpmath.mpf(s)), mpmath.mpf(b)

        def integrand(v):
            z = slope * mpmath.exp(v) + bias
            softplus = z + mpmath.log1p(mpmath.exp(-z)) if z > 0 else mpmath.log1p(mpmath.exp(z))
            return mpmath.exp(-2 * v) / softplus

        start = mpmath.log(abs(mpmath.mpf(x0)))
        return mpmath.quad(integrand, [start + k for k in range(70)]) / mpmath.mpf(mu)


@pytest.mark.parametrize("case", CASES)
def test_thirty_digits_contain_the_quadrature(case):
    found = own_blow_up_time(*case)
    assert found.rel_accuracy_bits() >= 3.32 * 30
    wanted = by_quadrature(*case)
    with mpmath.workdps(50):
        text = mpmath.nstr(wanted, 45)
    with precision(200):
        assert abs(found - arb(text)) <= arb(text) * arb("1e-30")


def test_digits_on_demand():
    assert own_blow_up_time(1.0, 1.0, 0.0, 1.0, digits=100).rel_accuracy_bits() >= 332
    with precision(400):
        assert abs(own_blow_up_time(1.0, 1.0, 0.0, 1.0, digits=100) - own_blow_up_time(1.0, 1.0, 0.0, 1.0)) < arb(
            "1e-29"
        )


def test_constant_step_size_has_a_closed_form():
    found = own_blow_up_time(0.5, 0.0, 0.3, -2.0)
    with mpmath.workdps(50):
        wanted = 1 / (2 * mpmath.mpf(0.5) * mpmath.log1p(mpmath.exp(mpmath.mpf(0.3))) * 4)
        text = mpmath.nstr(wanted, 40)
    with precision(200):
        assert abs(found - arb(text)) <= arb("1e-30")


@pytest.mark.parametrize(
    "case", [(-1.0, 1.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0), (1.0, 1.0, 0.0, -1.0), (1.0, 1.0, 0.0, 0.0)]
)
def test_tokens_that_do_not_blow_up_alone(case):
    assert own_blow_up_time(*case) is None


def test_the_simulation_of_one_token_agrees_to_its_own_error():
    rng = np.random.default_rng(0)
    for _ in range(6):
        mu, s, b, x0 = np.exp(rng.normal()), np.exp(rng.normal()), rng.normal(), np.exp(rng.normal())
        layer = S6Layer.scalar(mu=mu, S_Delta=s, a=1.0, dt_bias=b)
        blow_up = solve(token_dynamics(layer), [x0]).blow_up
        assert abs(blow_up.time - float(own_blow_up_time(mu, s, b, x0))) <= blow_up.error


def test_bounds_are_ordered_and_hold():
    tokens = [0.5, 2.0, -1.5, 0.1]
    bound, elementary = blow_up_bound(1.0, 1.0, 0.0, tokens), elementary_blow_up_bound(1.0, 1.0, 0.0, tokens)
    assert abs(bound - own_blow_up_time(1.0, 1.0, 0.0, 2.0)) < arb("1e-14")
    assert bound < elementary
    assert abs(elementary - arb(1) / 24) < arb("1e-14")
    layer = S6Layer.scalar(mu=1.0, S_Delta=1.0, a=1.0)
    assert solve(token_dynamics(layer), tokens).blow_up.time < float(bound)


def test_the_elementary_bound_needs_a_bias_that_is_not_negative():
    assert elementary_blow_up_bound(1.0, 1.0, -0.1, [1.0]) is None
    assert elementary_blow_up_bound(1.0, -1.0, 0.1, [1.0]) is None
    assert blow_up_bound(1.0, -1.0, 0.1, [1.0, 2.0]) is None


def test_balls_are_carried_through():
    """A wide x0 gives a wide time that contains those of all its points."""
    wide = own_blow_up_time(1.0, 1.0, 0.0, arb(1, 1e-3))
    for x0 in (0.9991, 1.0, 1.0009):
        assert wide.overlaps(own_blow_up_time(1.0, 1.0, 0.0, x0))
    assert wide.rad() < 0.01


def test_precision_is_put_back():
    before = flint.ctx.prec
    own_blow_up_time(1.0, 1.0, 0.0, 1.0)
    assert flint.ctx.prec == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(HypothesisError, match="finite"):
        own_blow_up_time(1.0, 1.0, 0.0, value)
    with pytest.raises(HypothesisError, match="sign"):
        own_blow_up_time(arb(0, 1), 1.0, 0.0, 1.0)
