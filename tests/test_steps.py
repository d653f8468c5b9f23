"""Proof steps: true ones hold by algebra and by numbers, wrong ones fail, unprovable ones stay undecided."""

import pytest
import sympy as sp

from mamba_dynamics._outcomes import Truth
from mamba_dynamics.theorems.steps import Derivative, Identity, Inequality, Limit, domain_of

x, y = sp.symbols("x y", positive=True)
r, z = sp.symbols("r z", real=True)

TRUE = {
    "identity": Identity(says="", left=(r + z) ** 2, right=r**2 + 2 * r * z + z**2),
    "identity of exponentials": Identity(says="", left=sp.log(sp.exp(r) + 1) - r, right=sp.log(1 + sp.exp(-r))),
    "identity at a point": Identity(says="", left=r * z + x, where={z: sp.Integer(0)}, right=x),
    "simultaneous substitution": Identity(says="", left=r - 2 * z, where={r: z, z: r}, right=z - 2 * r),
    "derivative": Derivative(says="", function=sp.exp(-x) / x, variable=x, equals=-sp.exp(-x) * (x + 1) / x**2),
    "inequality by sign": Inequality(says="", smaller=sp.Integer(0), larger=x + y, strict=True),
    "inequality by a gap": Inequality(says="", smaller=2 * r * z, larger=r**2 + z**2, gap=(r - z) ** 2),
    "inequality by rising": Inequality(says="", smaller=x, larger=sp.exp(x) - 1, rises_from=(x, sp.Integer(0))),
    "inequality by rising twice": Inequality(
        says="", smaller=1 + x + x**2 / 2, larger=sp.exp(x), rises_from=(x, sp.Integer(0))
    ),
    "limit at infinity": Limit(says="", expression=(x + 1) / x, variable=x, point=sp.oo, value=sp.Integer(1)),
    "limit at zero": Limit(says="", expression=sp.log(1 + x) / x, variable=x, point=sp.Integer(0), value=sp.Integer(1)),
    "infinite limit": Limit(says="", expression=x / y, variable=x, point=sp.oo, value=sp.oo),
    "limit from below": Limit(says="", expression=1 / z, variable=z, point=sp.Integer(0), value=-sp.oo, side="-"),
}  # fmt: skip

WRONG = {
    "identity": Identity(says="", left=(r + z) ** 2, right=r**2 + z**2),
    "identity off by little": Identity(says="", left=x, right=x * (1 + sp.Rational(1, 10**25))),
    "identity at another point": Identity(says="", left=r * z + x, where={z: sp.Integer(1)}, right=x),
    "substitution one after the other": Identity(says="", left=r - 2 * z, where={r: z, z: r}, right=-r),
    "derivative": Derivative(says="", function=sp.log(x), variable=x, equals=-1 / x),
    "inequality": Inequality(says="", smaller=r**2, larger=z**2 + r),
    "inequality the wrong way": Inequality(says="", smaller=sp.exp(x), larger=1 + x, rises_from=(x, sp.Integer(0))),
    "limit": Limit(says="", expression=(2 * x + 1) / x, variable=x, point=sp.oo, value=sp.Integer(1)),
    "limit from the other side": Limit(says="", expression=1 / z, variable=z, point=sp.Integer(0), value=-sp.oo),
    "infinite limit of a bounded quantity": Limit(
        says="", expression=x / (x + 1), variable=x, point=sp.oo, value=sp.oo
    ),
}  # fmt: skip


@pytest.mark.parametrize("step", TRUE.values(), ids=TRUE)
def test_a_true_step_holds_twice(step):
    settled = step.settle()
    assert settled.algebra is settled.numbers is settled.truth is Truth.HOLDS


@pytest.mark.parametrize("step", WRONG.values(), ids=WRONG)
def test_a_wrong_step_fails_by_its_numbers(step):
    settled = step.settle()
    assert settled.numbers is Truth.FAILS
    assert settled.algebra is not Truth.HOLDS
    assert settled.truth is Truth.FAILS


def test_what_sympy_cannot_settle_is_undecided_however_good_its_numbers():
    """True (ln x <= x - 1), but not by the sign of the difference."""
    settled = Inequality(says="", smaller=sp.log(x), larger=x - 1).settle()
    assert settled.numbers is Truth.HOLDS
    assert settled.truth is Truth.UNDECIDED


def test_a_gap_that_is_not_the_difference_proves_nothing():
    """Both sides are right and the gap is a square, but not theirs."""
    settled = Inequality(says="", smaller=2 * r * z, larger=r**2 + z**2, gap=(r + z) ** 2).settle()
    assert settled.numbers is Truth.HOLDS
    assert settled.truth is Truth.UNDECIDED


def test_algebra_that_holds_off_the_domain_is_checked_on_it():
    """sqrt(x^2) = x needs x >= 0: true for a positive symbol, wrong for a real one."""
    assert Identity(says="", left=sp.sqrt(z**2), where={z: x}, right=x).settle().truth is Truth.HOLDS
    assert Identity(says="", left=sp.sqrt(z**2), where={z: r}, right=r).settle().truth is Truth.FAILS


def test_nothing_is_compared_with_itself():
    with pytest.raises(ValueError, match="with itself"):
        Identity(says="", left=x * (y + 1), right=(1 + y) * x)


def test_domains_in_words():
    n = sp.Symbol("n", integer=True, positive=True)
    step = Identity(says="", left=x**n * r, where={r: z}, right=z * x**n)
    assert domain_of(step) == "n positive integers; x > 0; z real"


def test_rising_needs_the_start():
    """x^2 >= 1 / 2 rises, but not from zero."""
    step = Inequality(says="", smaller=sp.Rational(1, 2), larger=x**2, rises_from=(x, sp.Integer(0)))
    assert step.settle().algebra is not Truth.HOLDS


def test_formulas_are_statements_not_evaluated():
    assert str(TRUE["identity"].formula) == "Eq((r + z)**2, r**2 + 2*r*z + z**2)"
    assert str(TRUE["identity at a point"].formula) == "Eq(Subs(r*z + x, z, 0), x)"
    assert TRUE["inequality by sign"].formula.func is sp.StrictLessThan
    assert TRUE["derivative"].formula.lhs.has(sp.Derivative)
    assert TRUE["limit at zero"].formula.lhs.has(sp.Limit)


def test_a_derivative_in_a_variable_that_does_not_occur_is_refused():
    x, y = sp.symbols("x y", positive=True)
    with pytest.raises(ValueError, match="does not contain y"):
        Derivative(says="x does not depend on y", function=x**2, variable=y, equals=sp.Integer(0))
