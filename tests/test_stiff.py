"""Stiff stretches: the Rosenbrock method, the frozen chart's linear algebra, and tokens bound to the null cone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from test_dynamics import NORMS, random_layer, tokens

from mamba_dynamics._integrate import observe_start
from mamba_dynamics._integrate_stiff import integrate_stiff_chunk
from mamba_dynamics._layer import S6Layer
from mamba_dynamics._outcomes import Outcome
from mamba_dynamics._rosenbrock import interpolate, rosenbrock_step
from mamba_dynamics._solve import solve
from mamba_dynamics.dynamics import token_dynamics
from mamba_dynamics.dynamics.frozen import FrozenTokens

pytestmark = pytest.mark.usefixtures("x64")


def dense_solver(field):
    def solver(y, shift):
        matrix = shift * jnp.eye(y.size) - jax.jacfwd(field)(y)
        return lambda r: jnp.linalg.solve(matrix, r)

    return solver


def euler_top(y):
    return jnp.array([y[1] * y[2], -y[0] * y[2], -0.51 * y[0] * y[1]])


def errors(steps, end=2.0):
    """(at the end, of the continuous extension) with `steps` equal steps, against DOP853."""
    top = jax.jit(euler_top)
    tolerances = dict(rtol=1e-13, atol=1e-14, dense_output=True)
    reference = solve_ivp(lambda t, y: np.asarray(top(y)), (0, end), [0.0, 1.0, 1.0], "DOP853", **tolerances)
    y, h, inside = jnp.array([0.0, 1.0, 1.0]), end / steps, 0.0
    one_step = jax.jit(lambda y: rosenbrock_step(euler_top, dense_solver(euler_top), y, jnp.asarray(h)))
    for i in range(steps):
        step = one_step(y)
        inside = max(inside, np.abs(interpolate(y, step, 0.4) - reference.sol((i + 0.4) * h)).max())
        y = step.end
    return np.abs(y - reference.y[:, -1]).max(), inside


def test_order_of_the_method_and_its_extension():
    (end8, inside8), (end32, inside32) = errors(8), errors(32)
    assert np.log(end8 / end32) / np.log(4) > 4.9
    # Locally of order 5 as an interpolant of order 4.
    assert np.log(inside8 / inside32) / np.log(4) > 4.4


@pytest.mark.parametrize("stiffness", [1e2, 1e6, 1e12])
def test_stiff_linear_equation(stiffness):
    """Prothero and Robinson's y' = -k (y - cos t) - sin t, y = cos t, t as a state: accurate whatever k; L-stable."""

    def field(w):
        y, t = w
        return jnp.array([-stiffness * (y - jnp.cos(t)) - jnp.sin(t), 1.0])

    one_step = jax.jit(lambda w: rosenbrock_step(field, dense_solver(field), w, jnp.asarray(0.1)).end)
    w = jnp.array([1.0, 0.0])
    for _ in range(20):
        w = one_step(w)
    assert abs(w[0] - np.cos(2.0)) < 1e-7
    far = one_step(jnp.array([5.0, 0.0]))
    # R(-k h) is about 13 / (k h).
    assert abs(far[0] - np.cos(0.1)) < 4 * 15 / (0.1 * stiffness) + 1e-7, "off the slow solution: damped in one step"


def lifted_case(layer, x):
    dynamics = token_dynamics(layer).in_log_coordinates(x)
    state = dynamics.initial_state()
    return dynamics, FrozenTokens.at(dynamics, state), state[1]


CHARTS = [
    pytest.param(random_layer(1), tokens(1), id="tokens"),
    pytest.param(random_layer(2), np.vstack([tokens(2)[:2], np.zeros(5), tokens(2)[2:]]), id="a zero token"),
    pytest.param(random_layer(5, norms=NORMS), tokens(5), id="norms"),
]


@pytest.mark.parametrize(("layer", "x"), CHARTS)
def test_the_chart_moves_as_the_field_says(layer, x):
    _, chart, v = lifted_case(layer, x)
    w = chart.lift(v)
    # As one program each: many small ones take longer to compile.
    moved = jax.jit(lambda w: chart.velocity(w))(w)
    plain = jax.jit(lambda x: token_dynamics(layer)(0.0, x, None))(jnp.asarray(x))
    found = moved[:, :-1] * jnp.exp(chart.y + chart.log_scale)[:, None]
    np.testing.assert_allclose(found, plain, atol=1e-13 * np.abs(plain).max())
    q_moves = jax.jit(lambda *v: jax.jvp(lambda v: chart.lift(v)[:, -1], v[:1], v[1:])[1])(v, moved[:, :-1])
    np.testing.assert_allclose(moved[:, -1], q_moves, atol=1e-13 * np.abs(q_moves).max())


@pytest.mark.parametrize(("layer", "x"), CHARTS)
def test_the_structured_solve_is_the_dense_one(layer, x):
    dynamics, chart, v = lifted_case(layer, x)
    w = chart.lift(v).at[:, -1].multiply(1.3)
    # As one program each: many small ones take longer to compile.
    jacobian = jax.jit(jax.jacfwd(lambda flat: chart.velocity(flat.reshape(w.shape)).ravel()))(w.ravel())
    r = np.random.default_rng(0).normal(size=w.shape) * np.asarray(dynamics.active)[:, None]
    dense = np.linalg.solve(0.7 * np.eye(w.size) - jacobian, r.ravel()).reshape(w.shape)
    found = jax.jit(lambda w, r: chart.shifted_solver(w, 0.7)(r))(w, jnp.asarray(r))
    np.testing.assert_allclose(found, dense, atol=1e-12 * np.abs(dense).max())


def sliding_pair(size):
    """Token 1 slowly dying, token 2 of this size near the cone |x_1| = |x_2| and held there by a force of size^3."""
    layer = S6Layer.from_matrices(
        S_B=np.diag([1.0, -1.0]), S_C=np.eye(2), S_Delta=np.diag([-1.0, 1.0]), a=0.3, dt_bias=[0.2, -0.4]
    )
    return layer, np.array([[0.3, 0.9], [size, 1.01 * size]])


@pytest.mark.parametrize("size", [3.0, 30.0])
def test_sliding_on_the_cone_against_radau(size):
    layer, x0 = sliding_pair(size)
    dynamics = token_dynamics(layer)
    log_dynamics = dynamics.in_log_coordinates(x0)
    point, _ = observe_start(log_dynamics)
    log_t = -np.inf
    for _ in range(8):
        chunk = integrate_stiff_chunk(log_dynamics, point, 1e-9, 1e-9)
        assert not chunk.failed
        log_t, point = np.logaddexp(log_t, chunk.clock.log_times()[-1]), chunk.end
    y, v = point.state
    field = jax.jit(lambda x: dynamics(0.0, x.reshape(2, 2), None).ravel())
    other = solve_ivp(
        lambda t, x: np.asarray(field(x)), (0, np.exp(log_t)), x0.ravel(), "Radau", rtol=1e-10, atol=1e-11
    )
    found = np.exp(y)[:, None] * v
    assert np.exp(log_t) > 0.5, "it gets past the relaxation"
    np.testing.assert_allclose(found.ravel(), other.y[:, -1], rtol=1e-6)


def test_a_token_settles_at_rest_at_a_loose_tolerance():
    """Steps as long as stability allows hover about the cone at the tolerance, far above `Horizon.rest`."""
    layer = random_layer(11, D=40, N=4, R=2)
    for seed in range(4):
        run = solve(token_dynamics(layer), tokens(seed, 1, 40), rtol=1e-6, atol=1e-6, throw=False)
        assert run.outcome is not Outcome.BUDGET_EXHAUSTED


@pytest.mark.parametrize("size", [1e3, 3e5])
def test_a_large_token_that_drifts_along_the_cone_is_not_at_rest(size):
    """Its bound is up to 1e17 times its speed, which yet moves it in a time of order ten: 1e-17 of that is no rest."""
    layer, _ = sliding_pair(size)
    run = solve(token_dynamics(layer), [[0.5, 0.5], [size, size]], rtol=1e-8, atol=1e-8, max_steps=256, throw=False)
    assert run.outcome is not Outcome.CONVERGED_TO_EQUILIBRIUM or run.log_t[-1] > 0


def test_a_token_whose_step_sizes_have_vanished_leaves_the_others_their_rates():
    """The scan's common factor comes from what enters it: channels that hold no amplitude do not set it."""
    layer = S6Layer.from_matrices(S_B=np.eye(2), S_C=np.eye(2), S_Delta=[[-1.0, 0.0], [1.0, 0.0]], a=1.0)
    dynamics = token_dynamics(layer).in_log_coordinates(np.array([[1.0, 0.5], [1e130, 0.0]]))
    state = dynamics.initial_state()
    assert np.isfinite(dynamics.log_rate(state))
    # By definition, for token 1 alone: |C| |h|_F / |x| with h = (Delta x) B^T.
    delta = np.logaddexp(0.0, [-1.0, 1.0])
    bound = np.linalg.norm(delta * [1.0, 0.5]) * np.linalg.norm([1.0, 0.5])
    assert float(dynamics.log_bounds(state)[0]) == pytest.approx(np.log(bound), rel=1e-12)
