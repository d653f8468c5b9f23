"""Rest points that a token reaches only algebraically, like 1/t: where S_B x or S_C x itself vanishes.

With S_Delta = 0 every step size is a constant delta_d, and token 1 moves on a known curve,
x_d(tau) = x_d0 e^(delta_d tau) with dtau = q dt. Whether and where that meets q = 0 is a root of one function of tau,
and the time to get there the integral of dtau / q: an oracle without any integration of the ODE.
"""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq

from mamba_dynamics._layer import S6Layer
from mamba_dynamics._outcomes import Outcome
from mamba_dynamics._solve import solve
from mamba_dynamics.dynamics import token_dynamics

STRENGTH = 0.7 + np.log(2.0)
BIAS = (-1.0, 1.0)


def rank_one(strength, U, bias):
    """M = strength U^T U, constant step sizes."""
    U = np.atleast_2d(np.asarray(U, float))
    S_Delta = np.zeros((U.shape[1], U.shape[1]))
    return token_dynamics(S6Layer.from_matrices(S_B=strength * U, S_C=U, S_Delta=S_Delta, a=1.0, dt_bias=bias))


def curve(x0, bias):
    """tau -> x(tau)."""
    delta = np.logaddexp(0.0, bias)
    return lambda tau: np.asarray(x0) * np.exp(delta * tau)


def first_root(strength, U, x0, bias, far=40.0):
    """The first tau, in the direction of motion, at which U x(tau) = 0; None if there is none up to `far`.

    Terms are divided by the fastest one, so the tail keeps its sign; sums of two exponentials have one root at most,
    of three at most two, which the scan would miss only if they lay within 2e-3 of each other.
    """
    delta = np.logaddexp(0.0, bias)
    fastest = delta.max() if strength > 0 else delta.min()

    def scaled(tau):
        return float(np.sum(np.asarray(U) * x0 * np.exp((delta - fastest) * tau)))

    taus = np.sign(strength) * np.linspace(0.0, far, 20001)
    values = np.array([scaled(tau) for tau in taus])
    change = np.flatnonzero(values[1:] * values[:-1] <= 0)
    if not change.size:
        return None
    root = brentq(scaled, taus[change[0]], taus[change[0] + 1], xtol=1e-15)
    assert isinstance(root, float)
    return root


def time_until(strength, U, x0, bias, root, short):
    """int dtau / q from 0 to root (1 - short): in w = -ln(1 - tau / root), as 1/q is 1/(root - tau)^2 near the end."""
    at = curve(x0, bias)

    def integrand(w):
        rest = root * np.exp(-w)
        # U (x(tau) - x(root)) without cancellation: U x(root) = 0.
        delta, end = np.logaddexp(0.0, bias), at(root)
        U_x = np.sum(np.asarray(U) * end * np.expm1(-delta * rest))
        return rest / (strength * U_x**2)

    return quad(integrand, 0.0, -np.log(short), epsabs=0.0, epsrel=1e-11, limit=200)[0]


# x_0 from which the line x_1 = x_2 is reached, M positive and negative; and the case in three dimensions.
REACHED = [
    pytest.param(STRENGTH, (1, -1), (2.0, 0.5), BIAS, id="positive"),
    pytest.param(STRENGTH, (1, -1), (2.0, 1.9), BIAS, id="positive, near the line"),
    pytest.param(STRENGTH, (1, -1), (-1.0, -0.1), BIAS, id="positive, signs turned"),
    pytest.param(-STRENGTH, (1, -1), (0.5, 2.0), BIAS, id="negative"),
    pytest.param(-STRENGTH, (1, -1), (1.9, 2.0), BIAS, id="negative, near the line"),
    pytest.param(STRENGTH, (1, -2, 0.5), (1.0, 0.2, 0.3), (-1.0, 1.0, 0.0), id="positive, D = 3"),
    pytest.param(-STRENGTH, (1, -2, 0.5), (0.2, 1.0, 0.3), (-1.0, 1.0, 0.0), id="negative, D = 3"),
]


@pytest.mark.parametrize(("strength", "U", "x0", "bias"), REACHED)
def test_the_way_to_a_rest_point_is_a_quadrature(strength, U, x0, bias):
    root = first_root(strength, U, x0, bias)
    assert root is not None
    short = 1e-5
    end = time_until(strength, U, x0, bias, root, short)
    run = solve(rank_one(strength, U, bias), [x0], until=end)
    assert run.outcome is Outcome.REACHED_UNTIL
    expected = curve(x0, bias)(root * (1 - short))
    # The distance from the rest point falls like 1/t: it carries tolerances (1e-12) over itself (1e-5) as its error.
    np.testing.assert_allclose(run.x[-1, 0], expected, rtol=1e-9)
    far = np.abs(curve(x0, bias)(root) - expected)
    np.testing.assert_allclose(np.abs(curve(x0, bias)(root) - run.x[-1, 0]), far, rtol=1e-4)


@pytest.mark.parametrize(("strength", "U", "x0", "bias"), REACHED)
def test_a_rest_point_reached_algebraically_is_an_equilibrium(strength, U, x0, bias):
    run = solve(rank_one(strength, U, bias), [x0])
    assert run.outcome is Outcome.CONVERGED_TO_EQUILIBRIUM
    limit = curve(x0, bias)(first_root(strength, U, x0, bias))
    np.testing.assert_allclose(run.x[-1, 0], limit, rtol=1e-6)
    million = solve(rank_one(strength, U, bias), [x0], until=1e6)
    assert million.outcome is Outcome.REACHED_UNTIL
    assert np.all(np.abs(million.x[-1, 0] - limit) < 1e-4)


@settings(max_examples=25, deadline=None)
@given(
    positive=st.booleans(),
    x0=st.tuples(*[st.floats(0.1, 3.0)] * 2),
    turned=st.booleans(),
    log_gap=st.none() | st.floats(-4.0, -1.0),
    digits=st.integers(6, 12),
)
@example(positive=True, x0=(2.0, 0.5), turned=False, log_gap=None, digits=12)
@example(positive=False, x0=(0.5, 2.0), turned=False, log_gap=None, digits=12)
@example(positive=True, x0=(0.1, 0.1), turned=False, log_gap=-2.0, digits=6)
def test_no_outcome_is_wrong_for_a_definite_rank_one_layer(positive, x0, turned, log_gap, digits):
    """By the exact curve: rest if it meets the line; else blow-up (M positive) or decay to zero (negative)."""
    first, second = x0
    second = second if log_gap is None else first * (1 + 10.0**log_gap)
    # Nearer to the line than any tolerance here a start is on it, for the solver.
    assume(abs(first - second) > 1e-5)
    start = np.array([first, -second if turned else second])
    strength = STRENGTH if positive else -STRENGTH
    meets = first_root(strength, (1, -1), start, BIAS) is not None
    right = Outcome.CONVERGED_TO_EQUILIBRIUM if meets else Outcome.BLEW_UP if positive else Outcome.CONVERGED_TO_ZERO
    tolerance = 10.0**-digits
    run = solve(rank_one(strength, (1, -1), BIAS), [start], rtol=tolerance, atol=tolerance, throw=False)
    assert run.outcome in (right, Outcome.BUDGET_EXHAUSTED), run.why


@pytest.mark.parametrize("strength", [pytest.param(STRENGTH, marks=pytest.mark.long), -STRENGTH])
def test_two_tokens_of_a_rank_one_layer_come_to_rest(strength):
    """Both end on the line: a step over it would let them blow up or shrink."""
    x0 = (2.0, 0.5) if strength > 0 else (0.5, 2.0)
    run = solve(rank_one(strength, (1, -1), BIAS), [x0, x0], throw=False)
    assert run.outcome in (Outcome.CONVERGED_TO_EQUILIBRIUM, Outcome.BUDGET_EXHAUSTED)
    limit = curve(x0, BIAS)(first_root(strength, (1, -1), x0, BIAS))
    np.testing.assert_allclose(run.x[-1, 0], limit, rtol=1e-3)


def test_a_token_rests_where_only_its_input_vanishes():
    """N = 1, q = (x_1 - x_2)(x_1 + 2 x_2): B = 0, C not, on x_1 = x_2, where q changes sign; reached exponentially."""
    layer = S6Layer.from_matrices(
        S_B=[[1.0, -1.0]], S_C=[[1.0, 2.0]], S_Delta=np.zeros((2, 2)), a=1.0, dt_bias=list(BIAS)
    )
    run = solve(token_dynamics(layer), [[2.0, 0.5]])
    assert run.outcome is Outcome.CONVERGED_TO_EQUILIBRIUM
    limit = curve((2.0, 0.5), BIAS)(first_root(1.0, (1, -1), (2.0, 0.5), BIAS))
    np.testing.assert_allclose(run.x[-1, 0], limit, rtol=1e-9)


def test_a_token_next_to_a_rest_point_that_repels_is_not_at_rest():
    """M = diag(1, -1), S_Delta = diag(-1, 1): where x < 0 the cone repels, also from 1e-12 off it."""
    layer = S6Layer.from_matrices(S_B=np.diag([1.0, -1.0]), S_C=np.eye(2), S_Delta=np.diag([-1.0, 1.0]), a=1.0)
    run = solve(token_dynamics(layer), [[-1.0, -1.0 - 1e-12]], throw=False)
    assert run.outcome is not Outcome.CONVERGED_TO_EQUILIBRIUM or np.abs(run.x[-1, 0] + 1.0).max() > 0.1


def test_a_blow_up_that_looser_tolerances_do_not_see_is_not_vouched_for(monkeypatch):
    """Without what keeps the clock going over the line, the run steps over it: T* then is an error of its own size."""
    from mamba_dynamics.dynamics import weights

    monkeypatch.setattr(weights, "CROSSED", 0.0)
    # Not the shapes of other tests: compiled functions are kept by shape, with CROSSED inside.
    run = solve(rank_one(STRENGTH, (1, -1, 0, 0, 0), (-1.0, 1.0, 0, 0, 0)), [(2.0, 0.5, 0, 0, 0)], throw=False)
    assert run.outcome is Outcome.BUDGET_EXHAUSTED
    assert "tolerances" in run.why
