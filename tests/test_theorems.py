"""Predictions of the one-dimensional theory, against hand-worked cases."""

import mpmath
import numpy as np
import pytest

from mamba_dynamics._errors import HypothesisError
from mamba_dynamics._outcomes import Scenario
from mamba_dynamics.theorems import LawName, ScalarSystem, predict_laws, predict_scenario
from mamba_dynamics.theorems.constant_step import ConstantStep
from mamba_dynamics.theorems.convergent import kappa, log_bound
from mamba_dynamics.theorems.fast_divergence import slow_variable


def system(mu=1.0, s=1.0, a=1.0, b=0.0, x0=(1.0, 0.5)):
    return ScalarSystem(np.atleast_1d(np.array(mu, float)), np.atleast_1d(np.array(a, float)), s, b, np.array(x0))


@pytest.mark.parametrize(
    ("case", "scenario"),
    [
        (dict(mu=-1.0), Scenario.CONVERGENT),
        (dict(mu=-1e-300), Scenario.CONVERGENT),
        (dict(mu=1.0), Scenario.FAST_DIVERGENCE),
        (dict(s=-1.0), Scenario.SLOW_DIVERGENCE),
        (dict(s=-1.0, x0=(1.0, -0.5)), Scenario.FAST_DIVERGENCE),
        (dict(s=-1.0, x0=(1.0, 0.0)), Scenario.SLOW_DIVERGENCE),
        (dict(s=0.0), Scenario.FAST_DIVERGENCE),
        (dict(mu=0.0), Scenario.CONSTANT),
        (dict(x0=(0.0, 0.0)), Scenario.CONSTANT),
        (dict(mu=-1.0, x0=(0.0, 1.0)), Scenario.CONVERGENT),
        # Several decay rates: the sum decides convergence, and token 1's own blow-up.
        (dict(mu=(2.0, -3.0), a=(1.0, 2.0)), Scenario.CONVERGENT),
        (dict(mu=(3.0, -2.0), a=(1.0, 2.0)), Scenario.FAST_DIVERGENCE),
        (dict(mu=(3.0, -2.0), a=(1.0, 2.0), s=-1.0), Scenario.UNDECIDED),
        (dict(mu=(3.0, -2.0), a=(1.0, 2.0), s=-1.0, x0=(1.0,)), Scenario.SLOW_DIVERGENCE),
        (dict(mu=(3.0, 2.0), a=(1.0, 2.0), s=-1.0), Scenario.SLOW_DIVERGENCE),
        (dict(mu=(1.0, -1.0), a=(1.0, 2.0), x0=(1.0,)), Scenario.CONSTANT),
        (dict(mu=(1.0, -1.0), a=(1.0, 2.0)), Scenario.UNDECIDED),
        # Behind a zero token phi(delta_0) = -0.93 drives a token with s x < 0 outwards; not one with s x > 0.
        (dict(mu=(-2.0, 1.0), a=(5.0, 0.01), s=-1.0, x0=(1.0, 0.0, 30.0)), Scenario.UNDECIDED),
        (dict(mu=(-2.0, 1.0), a=(5.0, 0.01), s=-1.0, x0=(1.0, 0.0, -30.0)), Scenario.CONVERGENT),
        (dict(mu=(-2.0, 1.0), a=(5.0, 0.01), s=-1.0, x0=(0.0, 0.0, 30.0)), Scenario.CONVERGENT),
        (dict(mu=(-2.0, 1.0), a=(5.0, 0.01), s=-1.0, x0=(1.0, 0.5, 30.0)), Scenario.CONVERGENT),
        (dict(mu=(-2.0, 0.5), a=(1.0, 0.9), s=-1.0, x0=(1.0, 0.0, 30.0)), Scenario.CONVERGENT),
        # States of equal decay rate are one state, and what cancels exactly is zero.
        (dict(mu=(3.0, -2.0), a=(1.0, 1.0), s=-1.0), Scenario.SLOW_DIVERGENCE),
        (dict(mu=(1.1, 2.2, -3.3000000000000003), a=(1.0, 1.0, 1.0)), Scenario.CONSTANT),
        # 0.1 + 0.2 - 0.3 is 2.8e-17 in exact arithmetic on these floats, and 5.6e-17 when summed naively.
        (dict(mu=(0.1, 0.2, -0.3), a=(1.0, 2.0, 3.0)), Scenario.FAST_DIVERGENCE),
    ],
)
def test_dichotomy(case, scenario):
    prediction = predict_scenario(system(**case))
    assert prediction.scenario is scenario
    assert prediction.why
    assert "theory" in prediction.source


def test_kappa_of_one_decay_rate():
    """1, then 1 - e^{-a delta_0} for every later token; a zero token interrupts."""
    limits, _ = kappa(system(mu=-2.0, a=1.08, x0=(1.0, 1.0, 0.0, 1.0, 1.0)))
    q = np.exp(-1.08 * np.log(2))
    # kappa_4 = 1 - (kappa_2 q^2 + kappa_1 q^3) = 1 - q^2 (1 - q) - q^3 = 1 - q^2
    np.testing.assert_allclose(limits, [1, 1 - q, 0, 1 - q**2, 1 - q], rtol=1e-14)


def test_laws_of_general_decay_rates():
    """Theory section 10: exponents -1/2 and then -K_l / 2."""
    case = system(mu=(0.9, -1.0), a=(2.0, 0.05), s=0.5, x0=np.ones(5))
    laws = predict_laws(case, Scenario.CONVERGENT)
    np.testing.assert_allclose([law.exponent for law in laws], [-0.5, -3.7047, -4.3839, -4.4359, -4.3352], atol=5e-5)
    case = system(mu=(-1.0, -0.5), a=(0.2, 3.0), s=0.5, x0=np.ones(5))
    constants = [law.constant for law in predict_laws(case, Scenario.CONVERGENT)]
    np.testing.assert_allclose(constants, [1, 0.37797, 0.25445, 0.2083, 0.1911], atol=3e-5)


def test_laws_of_fast_divergence_follow_signs():
    case = system(s=1.0, x0=(1.0, 2.0, -1.0, 0.5, -0.2, 0.3))
    laws = predict_laws(case, Scenario.FAST_DIVERGENCE, first_token=1)
    assert [law.name for law in laws] == [
        LawName.BOUNDED,
        LawName.POWER_OF_REMAINING_TIME,
        LawName.FOLLOWS,
        LawName.ITERATED_LOGARITHM,
        LawName.FOLLOWS,
        LawName.ITERATED_LOGARITHM,
    ]
    assert [law.partner for law in laws] == [None, None, 1, 2, 3, 4]
    assert laws[1].exponent == pytest.approx(-1 / 3)
    assert predict_laws(case, Scenario.FAST_DIVERGENCE) == [None] * 6, "l* is not for theory to guess"


def test_a_zero_token_weakens_what_passes_it():
    laws = predict_laws(system(a=0.5, x0=(1.0, 0.0, -1.0, 0.0, 0.4)), Scenario.FAST_DIVERGENCE, first_token=0)
    q = np.exp(-0.5 * np.log(2))
    assert laws[1].name is LawName.ZERO
    assert laws[2].exponent == pytest.approx(q)
    assert laws[4].exponent == pytest.approx(q)


def test_constant_step_size_has_another_power():
    law = predict_laws(system(s=0.0, x0=(1.0,)), Scenario.FAST_DIVERGENCE, first_token=0)[0]
    assert law.exponent == -0.5


@pytest.mark.parametrize(("token", "sign"), [(0, 1), (1, -1)])
def test_slow_variable_is_its_integral(token, sign):
    """F(u) = int e^{a Delta(+-s u)} du / u, against mpmath."""
    case = system(s=2.0, a=0.7, b=-0.4, x0=(1.0, -1.0))
    log_abs = np.array([-0.5, 0.4, 1.3])
    found = slow_variable(case, token, log_abs)
    with mpmath.workdps(30):
        for start, end in ((0, 1), (0, 2)):
            exact = mpmath.quad(
                lambda u: (1 + mpmath.exp(2 * sign * u - mpmath.mpf("0.4"))) ** mpmath.mpf("0.7") / u,
                [mpmath.exp(log_abs[start]), 1, 2, mpmath.exp(log_abs[end])],
            )
            assert found[end] - found[start] == pytest.approx(float(exact), rel=1e-12)


def test_what_F_gains_late_is_not_lost_beside_what_it_gained_early():
    """The step size shuts from e^24 to e^0: with the early pieces in the sum, the last ones would vanish in it."""
    case = system(s=-1.0, a=3.0, b=20.0, x0=(1e-3,))
    log_abs = np.concatenate([np.linspace(-7.0, 0.0, 50), np.linspace(4.0, 5.0, 11)])
    found = slow_variable(case, 0, log_abs)
    np.testing.assert_allclose(np.diff(found)[-10:], np.diff(log_abs)[-10:], rtol=1e-6)


@pytest.mark.parametrize("a", [0.0, 1e-18, 1e-9, 1e-3, 0.7])
@pytest.mark.parametrize("x0", [(1.0, 0.5), (0.5, 3.0)])
@pytest.mark.parametrize("mu", [-1.0, 1.0])
def test_closed_forms_for_a_constant_step_lose_no_digits_as_a_vanishes(a, x0, mu):
    """u = x_2^-2 against mpmath's closed form, in v or (a = 0) with the logarithm that it then has."""
    exact = ConstantStep.of(system(mu=mu, s=0.0, a=a, b=0.3, x0=x0))
    with mpmath.workdps(60):
        delta = mpmath.log1p(mpmath.exp(mpmath.mpf("0.3")))
        v0, u0, p = mpmath.mpf(x0[0]) ** -2, mpmath.mpf(x0[1]) ** -2, mpmath.exp(-mpmath.mpf(a) * delta)
        time = mpmath.mpf("0.01")
        v = v0 - 2 * mu * delta * time
        u = v / v0 * (u0 + v0 * mpmath.log(v / v0))
        if a:
            u = v / (1 - p) + (u0 - v0 / (1 - p)) * (v / v0) ** p
        wanted = float(-mpmath.log(u))
    assert exact.log_square(1, np.log(np.array([0.01])))[0] == pytest.approx(wanted, rel=1e-12)
    if mu > 0:
        T = exact.blow_up_time
        before = exact.log_square_before(1, np.array([T - 0.01]))[0]
        assert before == pytest.approx(wanted, rel=1e-9)


def test_bound_of_a_single_token_is_sharp_for_a_constant_step_size():
    """With s = 0 the bound is the solution itself."""
    t = np.array([1e-3, 1.0, 100.0])
    exact = 1 / (1 + 2 * np.log(2) * t)
    found = log_bound(system(mu=-1.0, s=0.0, x0=(1.0,)), 0, np.log(t))
    np.testing.assert_allclose(np.exp(found), exact, rtol=1e-14)


def test_negative_decay_rates_are_outside_the_theory():
    with pytest.raises(HypothesisError, match="a >= 0"):
        system(a=-1.0)
