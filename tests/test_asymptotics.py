"""The asymptotics engine: its expressions are those of the theory, and simulated tokens obey them."""

import numpy as np
import pytest
import sympy as sp

from mamba_dynamics import S6Layer, solve, token_dynamics
from mamba_dynamics.theorems import ScalarSystem
from mamba_dynamics.theorems.asymptotics import Growth, T, asymptotics, b, s, t
from mamba_dynamics.theorems.catalogue import CATALOGUE
from mamba_dynamics.theorems.contract import Told

mu = sp.Symbol("mu", real=True)
a = sp.Symbol("a", nonnegative=True)


def system(x0, mu=1.0, s=1.0, a=1.0, b=0.0):
    return ScalarSystem(np.atleast_1d(np.array(mu, float)), np.atleast_1d(np.array(a, float)), s, b, np.array(x0))


def run(case: ScalarSystem):
    layer = S6Layer.scalar(mu=case.mu, S_Delta=case.s, a=case.a, dt_bias=case.b)
    return solve(token_dynamics(layer), case.x0)


def test_convergent_tokens_in_symbols():
    found = asymptotics(system([1.0, -2.0, 0.0, 0.5], mu=-1.0))
    q = (1 + sp.exp(b)) ** -a
    assert [one.growth for one in found.tokens] == [Growth.POWER, Growth.POWER, Growth.ZERO, Growth.POWER]
    assert found.tokens[0].constant == 1
    assert sp.simplify(found.tokens[1].constant - (1 - q)) == 0
    assert sp.simplify(found.tokens[3].constant - (1 - q**2)) == 0
    assert found.tokens[0].expression == sp.sqrt(1 / (2 * sp.Abs(mu) * sp.log(1 + sp.exp(b)) * t))
    assert all(one.told == () for one in found.tokens)


def test_convergent_tokens_reach_their_law():
    case = system([1.0, -2.0, 0.7], mu=-1.3, s=0.4, a=0.8, b=0.3)
    trajectory, found = run(case), asymptotics(case)
    for token in range(3):
        law = float(found.evaluated(token).subs(t, sp.exp(sp.Float(float(trajectory.log_t[-1]), 30))))
        assert np.exp(trajectory.log_norms[-1, token]) == pytest.approx(law, rel=1e-9)


def test_general_rates_give_faster_powers():
    """Exponents of theory section 10, from the symbols alone."""
    found = asymptotics(system(np.ones(5), mu=[0.9, -1.0], s=0.5, a=[2.0, 0.05]))
    assert [one.growth for one in found.tokens] == [Growth.POWER, *4 * [Growth.FASTER_POWER]]
    log_t, exponents = sp.Symbol("y", positive=True), []
    for token in range(1, 5):
        law = found.evaluated(token).subs(t, sp.exp(log_t))
        exponents.append(float(sp.diff(sp.expand_log(sp.log(law), force=True), log_t)))
    np.testing.assert_allclose(exponents, [-3.7047, -4.3839, -4.4359, -4.3352], atol=5e-5)


def test_slow_tokens():
    case = system(np.ones(3), s=-1.0)
    found = asymptotics(case)
    assert [one.growth for one in found.tokens] == [Growth.LOGARITHM, Growth.FROZEN_RATIO, Growth.FROZEN_RATIO]
    assert found.tokens[1].expression == sp.Symbol("c_2", positive=True) * sp.log(t) / sp.Abs(s)
    trajectory = run(case)
    ratios = np.exp(trajectory.log_norms[-1] - trajectory.log_norms[-1, 0])
    told = asymptotics(case, Told(ratios=ratios))
    assert told.tokens[1].told == ("c_2",)
    log_t = sp.Symbol("L", positive=True)
    law = float(told.evaluated(0).subs(sp.log(t), log_t).subs(log_t, float(trajectory.log_t[-1])))
    assert np.exp(trajectory.log_norms[-1, 0]) == pytest.approx(law, rel=1e-7)


def test_the_hierarchy_in_symbols():
    case = system([0.5, 3.0, 1.5, -0.2, 0.1])
    open_laws = asymptotics(case)
    assert all(one.growth is Growth.OPEN for one in open_laws.tokens), "l* is not for theory to guess"
    found = asymptotics(case, Told(first_token=1))
    first, second, third, fourth, fifth = (one.expression for one in found.tokens)
    log_left = sp.log(1 / (T - t))
    assert first == sp.Symbol("X_1", positive=True)
    assert sp.simplify(second - (3 * mu * sp.Abs(s) * (T - t)) ** sp.Rational(-1, 3)).subs(
        {mu: 2.0, s: 0.7, t: 0.25, T: 0.5}
    ) == pytest.approx(0, abs=1e-12)
    assert third == sp.log(log_left) / (a * sp.Abs(s))
    assert fourth == sp.Symbol("C_4", positive=True) * third
    assert fifth == sp.log(sp.log(sp.log(log_left))) / (a * sp.Abs(s))
    assert {one.told for one in found.tokens} == {("l*",)}


def test_the_first_blow_up_reaches_its_law():
    case = system([0.5, 3.0, 1.5, 0.1], mu=0.7, s=1.3, a=0.6, b=-0.4)
    trajectory = run(case)
    found = asymptotics(case, Told(first_token=trajectory.blow_up.token))
    law = found.evaluated(trajectory.blow_up.token)
    left = sp.exp(sp.Float(float(trajectory.log_remaining[-1]), 30))
    assert np.exp(trajectory.log_norms[-1, 1]) == pytest.approx(float(law.subs(t, T - left).evalf()), rel=1e-9)


def test_a_constant_step_size_has_another_power():
    found = asymptotics(system([1.0, 0.5], s=0.0), Told(first_token=0))
    assert found.tokens[0].expression == (2 * mu * sp.log(1 + sp.exp(b))) ** sp.Rational(-1, 2) / sp.sqrt(T - t)
    assert found.tokens[1].growth is Growth.OPEN


def test_every_law_names_a_theorem_of_the_catalogue():
    cases = [
        asymptotics(system([1.0, 0.0, 0.5], mu=-1.0)),
        asymptotics(system([1.0, 0.5], mu=[-1.0, -0.5], a=[1.0, 2.0])),
        asymptotics(system([1.0, 0.0, 0.5, 0.3], s=-1.0)),
        asymptotics(system([1.0, 0.5, -0.3, 0.0, 0.2], s=1.0), Told(first_token=0)),
        asymptotics(system([1.0, 0.5], mu=0.0)),
    ]
    names = {one.theorem for case in cases for one in case.tokens}
    assert names <= CATALOGUE.keys()
    assert len(names) >= 9
