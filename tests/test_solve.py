"""Integration into the asymptotic regime, against closed forms, other solvers and the theory's own figures."""

import diffrax
import equinox as eqx
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from mamba_dynamics import _integrate, sample_path, walk
from mamba_dynamics._errors import LayerShapeError, SolveError
from mamba_dynamics._layer import S6Layer
from mamba_dynamics._outcomes import Outcome
from mamba_dynamics._solve import Horizon, solve
from mamba_dynamics.dynamics import token_dynamics
from mamba_dynamics.models import depth_flow

BUDGET = 5000


def scalar(mu, s, a=1.0, b=0.0):
    return token_dynamics(S6Layer.scalar(mu=mu, S_Delta=s, a=a, dt_bias=b))


def several(M, S_Delta, a=1.0, b=0.0):
    M = np.asarray(M, float)
    return token_dynamics(S6Layer.from_matrices(S_B=M, S_C=np.eye(len(M)), S_Delta=S_Delta, a=a, dt_bias=b))


def blow_up_time_by_dop853(x0, a):
    """T* for mu = s = 1, b = 0 by another method, clock and error control: dt = dtau / max_l g_l, to x = e^14."""
    x0 = np.array(x0, float)

    def rhs(tau, state):
        x = np.sign(x0) * np.exp(state[:-1])
        delta = np.logaddexp(0.0, x)
        g, last = np.zeros(len(x)), 0.0
        for l in range(len(x)):
            g[l] = last = x[l] ** 2 * delta[l] + np.exp(-a * delta[l]) * last
        return np.append(g / g.max(), 1 / g.max())

    def far(tau, state):
        return state[:-1].max() - 14.0

    far.terminal = True
    start = np.append(np.log(np.abs(x0)), 0.0)
    run = solve_ivp(rhs, (0, 200), start, method="DOP853", rtol=2.3e-14, atol=1e-16, events=far, max_step=0.05)
    return run.y[-1, -1] + np.exp(-3 * run.y[:-1, -1].max()) / 3


# Theory section 10. Its figures carry their last digits' error, up to 8.1e-11 relative: see the next test.
FAST = [
    pytest.param((1.0, 1.0, 1.0, 1.0), 1.0, 0.22942649003946, 3, id="equal tokens"),
    pytest.param((0.5, 3.0, 1.5, 0.1), 1.0, 0.0122635567254733, 1, id="second token first"),
    pytest.param((0.5, 2.0, -1.5, 0.1), 1.0, 0.0403972400431847, 1, id="one against"),
    pytest.param((-0.5, 2.0, -1.5, 0.1), 0.5, 0.0403658218329437, 1, id="two against"),
]


@pytest.mark.parametrize(("x0", "a", "time", "token"), FAST)
def test_blow_up(x0, a, time, token):
    run = solve(scalar(1.0, 1.0, a), x0)
    assert run.outcome is Outcome.BLEW_UP
    assert run.blow_up.token == token
    assert run.blow_up.time == pytest.approx(time, rel=1e-10)
    other = blow_up_time_by_dop853(x0, a)
    # The other method adds its own error of about 1e-12 relative.
    assert abs(run.blow_up.time - other) <= run.blow_up.error + 2e-12 * other
    assert 0 < run.blow_up.error < 1e-9 * time
    assert run.rhs_evaluations <= BUDGET
    assert run.log_remaining[-1] < np.log(1e-250)


@pytest.mark.parametrize(("x0", "a", "time", "token"), FAST)
@pytest.mark.parametrize("rtol", [1e-5, 1e-7])
def test_the_error_estimate_covers_the_error_of_a_loose_run(x0, a, time, token, rtol):
    loose = solve(scalar(1.0, 1.0, a), x0, rtol=rtol, atol=rtol).blow_up
    tight = solve(scalar(1.0, 1.0, a), x0).blow_up
    assert abs(loose.time - tight.time) <= loose.error
    assert tight.error < loose.error < 0.1 * time


def test_tokens_before_the_first_to_blow_up_stay_bounded():
    run = solve(scalar(1.0, 1.0), np.ones(4))
    np.testing.assert_allclose(run.log_abs[-1, :3], [0.59629752, 1.04181318, 1.5078278], atol=1e-7)


@pytest.mark.parametrize("x0", [0.05, 0.7, 1.3, 20.0])
@pytest.mark.parametrize(("s", "b"), [(1.0, 0.0), (-2.0, -3.0), (0.3, 4.0)])
def test_blow_up_time_of_token_one_is_a_quadrature(x0, s, b):
    """T_1 = int_{|x_0|}^inf dx / (mu x^3 softplus(|s| x + b)), theory 3.4."""
    run = solve(scalar(0.9, s, 1.0, b), [np.sign(s) * x0])
    with mpmath.workdps(30):
        exact = mpmath.quad(
            lambda y: mpmath.exp(-2 * y) / (mpmath.mpf("0.9") * mpmath.log1p(mpmath.exp(abs(s) * mpmath.exp(y) + b))),
            [mpmath.log(x0) + k for k in (0, 1, 2, 3, 4, 6, 10, 30)] + [80],
        )
    assert run.blow_up.time == pytest.approx(float(exact), rel=1e-9)
    assert abs(run.blow_up.time - float(exact)) <= run.blow_up.error + 3e-16


def test_convergent_constants():
    run = solve(scalar(-1.58, -0.17, 1.08), np.ones(6), log_until=np.log1p(1e16))
    assert run.outcome is Outcome.REACHED_UNTIL
    constants = 2 * 1.58 * np.log(2) * np.exp(run.log_t[-1] + 2 * run.log_abs[-1])
    np.testing.assert_allclose(constants, [1.0] + 5 * [0.526971], rtol=1e-4)
    assert run.log_t[-1] == pytest.approx(np.log(1e16), rel=1e-12)
    assert run.rhs_evaluations <= BUDGET


def test_slow_divergence():
    run = solve(scalar(1.0, -1.0), np.ones(4), log_until=1e5)
    assert run.log1p_t[-1] == pytest.approx(1e5, rel=1e-12)
    np.testing.assert_allclose(np.exp(run.log_abs[-1]) / run.log_t[-1], [1.00035, 2.21704, 3.66515, 5.26563], rtol=1e-5)
    ratios = np.exp(run.log_abs[-1, 1:] - run.log_abs[-1, 0])
    np.testing.assert_allclose(ratios, [2.2162757, 3.66388535, 5.26381071], rtol=1e-8)
    # z = ln t + 3 ln ln t + ln(mu e^b / s^2) + o(1)
    expansion = 1e5 + 3 * np.log(1e5)
    assert np.exp(run.log_abs[-1, 0]) == pytest.approx(expansion, abs=0.01)
    assert run.rhs_evaluations <= BUDGET


#: (s, x0, bias): |s x0| is so small that |x| grows like 1 / sqrt(T - t) by hundreds of e-folds before it slows down.
LATE_TO_SHUT = [(1e-200, [-1.0], 0.0), (1e-290, [-1.0], 2.0), (-1e-5, [1.0], 0.0), (1e-300, [-1e10], -700.0)]


@pytest.mark.parametrize(("s", "x0", "bias"), LATE_TO_SHUT)
def test_a_run_is_not_called_a_blow_up_before_its_step_size_has_shut(s, x0, bias):
    run = solve(token_dynamics(S6Layer.scalar(mu=1.0, S_Delta=s, a=1.0, dt_bias=bias)), np.array(x0))
    assert run.outcome is Outcome.DIVERGES_SLOWLY
    # Theory 3.4: |s x| = ln t + 3 ln ln t + O(1), and nothing else is as large.
    log_t, z = run.log_t[-1], abs(s) * np.exp(run.log_abs[-1, 0])
    assert z == pytest.approx(log_t + 3 * np.log(log_t), rel=1e-2)


def test_where_a_step_size_would_shut_beyond_float64_nothing_is_decided():
    run = solve(token_dynamics(S6Layer.scalar(mu=1.0, S_Delta=1e-320, a=1.0)), np.array([-1.0]), throw=False)
    assert run.outcome is Outcome.BUDGET_EXHAUSTED
    assert run.blow_up is None
    assert "beyond float64" in run.why


def test_a_later_token_with_s_x_positive_still_blows_up():
    # Token 1 would diverge slowly by itself, but token 2 becomes infinite first: T* of s = 0, as |s| is 1e-100.
    x0 = np.array([-1.0, 2.0])
    small = solve(token_dynamics(S6Layer.scalar(mu=1.0, S_Delta=1e-100, a=1.0)), x0)
    none = solve(token_dynamics(S6Layer.scalar(mu=1.0, S_Delta=0.0, a=1.0)), x0)
    assert (small.blow_up.token, none.blow_up.token) == (1, 1)
    assert small.blow_up.time == pytest.approx(none.blow_up.time, rel=1e-10)


def test_general_decay_rates():
    run = solve(scalar([-1.0, -0.5], 0.5, [0.2, 3.0]), np.ones(5), log_until=100.0)
    constants = 2 * 1.5 * np.log(2) * np.exp(run.log_t[-1] + 2 * run.log_abs[-1])
    # The theory's figures have four to five digits.
    np.testing.assert_allclose(constants, [1, 0.37797, 0.25445, 0.2083, 0.1911], atol=5e-5)
    assert run.rhs_evaluations <= BUDGET
    run = solve(scalar([0.9, -1.0], 0.5, [2.0, 0.05]), np.ones(5), log_until=100.0)
    late = np.searchsorted(run.log_t, 80.0)
    slopes = (run.log_abs[-1] - run.log_abs[late]) / (run.log_t[-1] - run.log_t[late])
    np.testing.assert_allclose(slopes, [-0.5, -3.7047, -4.3839, -4.4359, -4.3352], rtol=1e-4)
    assert run.rhs_evaluations <= BUDGET


@pytest.mark.parametrize("mu", [-1.3, 0.8])
def test_constant_step_size_is_solvable(mu):
    """s = 0 (theory 3.5): x_1 in closed form, x_2 by a linear equation for x_2^-2."""
    a, b, x1, x2 = 0.6, 0.4, 1.1, -0.7
    delta = np.logaddexp(0.0, b)
    end = 50.0 if mu < 0 else 0.9 / (2 * mu * delta * x1**2)
    run = solve(scalar(mu, 0.0, a, b), [x1, x2], until=end)
    c = 2 * mu * delta
    assert run.x[-1, 0] == pytest.approx(x1 / np.sqrt(1 - c * x1**2 * end), rel=1e-9)
    # With w = 1 - c x1^2 t: d(x2^-2)/dt = -c - c q x1^2 x2^-2 / w, q = e^{-a delta}: solved with the factor w^-q.
    q = np.exp(-a * delta)
    w = 1 - c * x1**2 * end
    inverse_square = w**q / x2**2 + (w - w**q) / (x1**2 * (1 - q))
    assert run.x[-1, 1] == pytest.approx(-1 / np.sqrt(inverse_square), rel=1e-9)


def test_token_one_at_any_time_is_a_quadrature():
    """t = int dx / (mu x^3 Delta(x)) along token 1, for mu < 0 and s != 0 (theory 3.5)."""
    run = solve(scalar(-0.7, 1.5, 1.0, 0.3), [2.0, -1.0], until=30.0)
    end = run.x[-1, 0]
    with mpmath.workdps(30):
        time = mpmath.quad(lambda x: 1 / (0.7 * x**3 * mpmath.log1p(mpmath.exp(1.5 * x + 0.3))), [end, 0.5, 1, 2])
    assert float(time) == pytest.approx(30.0, rel=1e-9)


@pytest.mark.parametrize(
    ("M", "outcome"), [([[-1, 10], [0, -1]], Outcome.BLEW_UP), ([[0.1, -10], [0, 0.1]], Outcome.CONVERGED_TO_ZERO)]
)
def test_the_eigenvalue_rule_is_false_for_non_normal_matrices(M, outcome):
    """Theory 4.3: both eigenvalues negative, yet blow-up; both positive, yet convergence."""
    run = solve(several(M, np.zeros((2, 2))), [[1.0, 1.0]])
    assert run.outcome is outcome
    if outcome is Outcome.BLEW_UP:
        # On the diagonal q = 8 x^2 and x' = 8 ln 2 x^3: T* = 1 / (16 ln 2).
        assert run.blow_up.time == pytest.approx(1 / (16 * np.log(2)), rel=1e-12)


@pytest.mark.parametrize(("x0", "limit"), [((1.0, 0.5), 1.2465), ((0.5, 1.0), 0.2066)])
def test_equilibrium_on_the_null_cone(x0, limit):
    run = solve(several(np.diag([1.0, -1.0]), np.diag([-1.0, 1.0])), [x0])
    assert run.outcome is Outcome.CONVERGED_TO_EQUILIBRIUM
    np.testing.assert_allclose(run.x[-1, 0], limit, atol=1e-4)
    assert run.x[-1, 0, 0] == pytest.approx(run.x[-1, 0, 1], rel=1e-9), "it lies on the null cone |x_1| = |x_2|"


def test_a_tiny_growing_token_is_not_at_rest():
    """Token 1 stands exactly on an equilibrium; token 2, 1e-30 of its size, grows away exponentially."""
    run = solve(several(np.diag([1.0, -1.0]), np.diag([1.0, -1.0])), [[1.0, 1.0], [1e-30, 5e-31]], throw=False)
    assert run.outcome is not Outcome.CONVERGED_TO_EQUILIBRIUM or run.log_norms[-1, 1] > -1.0
    assert run.log_norms[-1, 1] > np.log(1e-20)


@pytest.mark.parametrize("seed", range(3))
def test_negative_definite_symmetric_part_converges(seed):
    """Tokens of size one near S_Delta = 0 decay like t^-1/2 (not all tokens do: see negative_definite_escape)."""
    rng = np.random.default_rng(seed)
    root, skew = rng.normal(size=(2, 4, 4))
    M = -(root @ root.T + 0.3 * np.eye(4)) + skew - skew.T
    run = solve(several(M, rng.normal(size=(4, 4))), rng.normal(size=(3, 4)), horizon=Horizon(log_t_decaying=200))
    assert run.outcome is Outcome.CONVERGED_TO_ZERO
    late = np.searchsorted(run.log_t, 0.5 * run.log_t[-1])
    slopes = (run.log_norms[-1] - run.log_norms[late]) / (run.log_t[-1] - run.log_t[late])
    np.testing.assert_allclose(slopes, -0.5, atol=2e-3)


def test_unequal_biases():
    """Theory 4.6 and section 10: exponents -delta_d / (2 min delta) and constant 1 at t = 1e30."""
    run = solve(
        several(-np.eye(3), np.zeros((3, 3)), b=np.array([0.0, -1.0, 1.0])), [[1.0, 1.0, 1.0]], log_until=np.log(1e30)
    )
    late = np.searchsorted(run.log_t, 0.6 * run.log_t[-1])
    slopes = (run.log_abs[-1, 0] - run.log_abs[late, 0]) / (run.log_t[-1] - run.log_t[late])
    np.testing.assert_allclose(slopes, [-1.1063389, -0.5, -2.0961096], rtol=1e-6)
    assert run.rhs_evaluations <= BUDGET
    constant = 2 * np.logaddexp(0, -1) * np.exp(run.log_t[-1] + 2 * run.log_abs[-1, 0, 1])
    assert constant == pytest.approx(1.0, abs=1e-4)


def depth_errors(dynamics, x0, end, depths):
    import jax
    import jax.numpy as jnp

    flow = solve(dynamics, x0, until=end).x[-1]
    errors = []
    with jax.enable_x64(True):
        for K in depths:
            x = jax.lax.fori_loop(0, K, lambda k, x, K=K: x + end / K * dynamics(0.0, x, None), jnp.asarray(x0))
            errors.append(np.abs(np.asarray(x) - flow).max())
    return np.array(errors)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_a_deep_stack_converges_to_the_flow_at_first_order(dimensions):
    """Theory section 2: K residual layers of step T / K differ from the flow by O(1 / K)."""
    rng = np.random.default_rng(5)
    if dimensions == 1:
        dynamics, x0 = scalar(0.6, -0.8, 0.9, 0.1), np.array([0.9, 0.4, 1.2])
    else:
        M = rng.normal(size=(3, 3))
        dynamics, x0 = several(-M @ M.T, 0.5 * rng.normal(size=(3, 3))), rng.normal(size=(4, 3))
    depths = np.array([32, 64, 128, 256])
    errors = depth_errors(dynamics, x0, 0.5, depths)
    slope = np.polyfit(np.log(depths), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.1)


@pytest.mark.long
@pytest.mark.parametrize("first", [4, None])
def test_the_paper_s_ode_blows_up_on_a_real_layer_s_own_tokens(first, real_layer):
    """What a token does depends on those before it alone; all of them take a minute."""
    layer, activations = real_layer
    tokens = activations["x_conv"].astype(float)[:first]
    run = solve(token_dynamics(layer), tokens, rtol=1e-9, atol=1e-9)
    assert run.outcome is Outcome.BLEW_UP
    assert run.blow_up.time == pytest.approx(0.0040467915, rel=1e-7)
    assert run.blow_up.token == 1
    assert np.exp(run.log_norms[-1, 2] - run.log_norms[-1, 1]) == pytest.approx(0.357, abs=5e-4)
    assert np.exp(run.log_norms[-1, 0]) == pytest.approx(7.378, abs=5e-4)
    assert run.log_norms[-1, 3:].size > 0
    assert np.all(run.log_norms[-1, 3:] < 10), "the later tokens grow only slowly"


@pytest.mark.parametrize(
    ("layer", "x0", "outcome"),
    [
        (scalar(0.0, 1.0), [1.0, -2.0], Outcome.CONVERGED_TO_EQUILIBRIUM),
        (scalar(1.0, 1.0), [0.0, 0.0], Outcome.CONVERGED_TO_ZERO),
        (several(np.zeros((2, 2)), np.eye(2)), [[1.0, 2.0]], Outcome.CONVERGED_TO_EQUILIBRIUM),
        (several(np.eye(2), np.eye(2)), np.zeros((3, 2)), Outcome.CONVERGED_TO_ZERO),
    ],
)
def test_nothing_moves(layer, x0, outcome):
    run = solve(layer, x0)
    assert run.outcome is outcome
    np.testing.assert_array_equal(run.x[-1], x0)


def test_a_zero_token_stays_zero_and_still_separates_the_others():
    run = solve(scalar(-1.0, 0.5), [1.0, 0.0, 1.0], log_until=60.0)
    assert np.all(run.x[:, 1] == 0)
    constants = 2 * np.log(2) * np.exp(run.log_t[-1] + 2 * run.log_abs[-1, [0, 2]])
    q = np.exp(-np.log(2))
    np.testing.assert_allclose(constants, [1.0, 1 - q**2], rtol=1e-9)


def test_outcomes_that_are_not_decisions():
    run = solve(scalar(-1.0, 0.5), [1.0, 0.5], max_steps=16, throw=False)
    assert run.outcome is Outcome.BUDGET_EXHAUSTED
    assert "max_steps = 16 used up" in run.why
    with pytest.raises(SolveError, match="max_steps = 16 used up"):
        solve(scalar(-1.0, 0.5), [1.0, 0.5], max_steps=16)


@pytest.mark.parametrize("until", [0.0, 1e-9, 0.1])
def test_until_before_a_blow_up(until):
    run = solve(scalar(1.0, 1.0), np.ones(4), until=until)
    assert run.outcome is Outcome.REACHED_UNTIL
    assert run.t[-1] == pytest.approx(until, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(
    "given",
    [
        dict(until=-2.0),
        dict(until=float("nan")),
        dict(until=float("inf")),
        dict(log_until=-1.0),
        dict(log_until=float("nan")),
        dict(max_steps=0),
        dict(rtol=0.0),
        dict(rtol=float("nan")),
        dict(atol=-1e-9),
    ],
)
def test_numbers_that_mean_nothing_are_refused(given):
    with pytest.raises(SolveError, match=f"expected a finite {next(iter(given))} >"):
        solve(scalar(1.0, 1.0), [1.0, 0.5], **given)


def test_a_zero_token_needs_no_absolute_tolerance():
    dynamics, x0 = scalar(-1.0, 1.0, 1.0), [1.0, 0.0, 0.5]
    relative, absolute = (solve(dynamics, x0, until=10.0, rtol=1e-9, atol=atol) for atol in (0.0, 1e-9))
    assert relative.outcome is Outcome.REACHED_UNTIL
    np.testing.assert_allclose(relative.log_abs[-1], absolute.log_abs[-1], rtol=1e-7)


def test_until_zero_is_the_start():
    for given in (dict(until=0.0), dict(log_until=0.0)):
        found = solve(scalar(1.0, 1.0), [1.0, 0.5], **given)
        assert found.outcome is Outcome.REACHED_UNTIL
        np.testing.assert_array_equal(found.x, [[1.0, 0.5]])


def test_bad_tokens_are_refused():
    with pytest.raises(LayerShapeError, match=r"\(L,\)"):
        solve(scalar(1.0, 1.0), [[1.0]])
    with pytest.raises(LayerShapeError, match=r"\(L, 2\)"):
        solve(several(np.eye(2), np.eye(2)), [[1.0, 2.0, 3.0]])
    with pytest.raises(LayerShapeError, match="1 NaN or infinite of 2"):
        solve(scalar(1.0, 1.0), [np.nan, 1.0])
    with pytest.raises(SolveError, match="both until and log_until"):
        solve(scalar(1.0, 1.0), [1.0], until=1.0, log_until=1.0)


def test_shrinking_tokens_are_not_called_growing_however_early_growth_would_be_decided():
    dynamics = token_dynamics(S6Layer.scalar(mu=-1.0, S_Delta=0.5, a=1.0))
    run = solve(dynamics, [1.0, 0.5], horizon=Horizon(log_t_growing=300.0))
    assert run.outcome is Outcome.CONVERGED_TO_ZERO


def program_along_a_chunk():
    dynamics = scalar(-1.0, 1.0).in_log_coordinates(np.ones(2))
    method = diffrax.Dopri8()
    return _integrate._integrate, (dynamics, dynamics.initial_state(), (jnp.ones(()),) * 4 + ((0.0, 1.0), 1.0), method)


def program_in_depth():
    (visit,) = walk(sample_path(), [1, 2], depth=1, dtype="float64")
    one = jnp.ones(())
    return depth_flow._follow, (visit.block, visit.block, visit.residual, one, one, 4)


@pytest.mark.parametrize("program", [program_along_a_chunk, program_in_depth])
def test_what_integrates_can_be_kept_between_processes(program, x64):
    """JAX keeps no program with a callback into Python in its compilation cache."""
    function, arguments = program()
    text = str(eqx.filter_make_jaxpr(function.__wrapped__)(*arguments)[0])
    assert "while" in text
    assert "callback" not in text
