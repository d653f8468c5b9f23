"""The depth limit: stacks by definition in numpy, the flow by scipy, and Euler's first-order error term."""

import numpy as np
import pytest
from s6_by_definition import field_by_definition
from scipy.integrate import quad, solve_ivp

from paper_figures.depth_limit.compute import cases

NAMES = ("convergent", "slow", "fast", "vectors")
EVERY = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def limit(data):
    return data("depth_limit")


def field_of(name):
    """The vector field on flattened tokens, from the theory's formulas."""
    case = cases(0)[name]
    rows = (len(case.x0), -1)
    return lambda x: field_by_definition(case.layer, x.reshape(rows)).reshape(-1)


def stack_by_definition(name, x0, time, count):
    field, path = field_of(name), [x0.reshape(-1)]
    for _ in range(count):
        path.append(path[-1] + time / count * field(path[-1]))
    return np.array(path)


@EVERY
def test_stacks_are_those_of_plain_numpy(limit, name):
    x0, time = limit[f"{name}_x0"], float(limit[f"{name}_time"])
    for count, output in zip(limit["layers"][:6], limit[f"{name}_outputs"][:6], strict=True):
        expected = stack_by_definition(name, x0, time, int(count))[-1].reshape(x0.shape)
        np.testing.assert_allclose(output, expected, rtol=1e-12, atol=1e-13)


def test_the_drawn_stacks_are_those_of_plain_numpy(limit):
    x0, time = limit["fast_x0"], float(limit["fast_time"])
    for count in (4, 16, 64):
        np.testing.assert_allclose(limit[f"stack_{count}"], stack_by_definition("fast", x0, time, count), rtol=1e-12)


@EVERY
def test_the_flow_is_scipys(limit, name):
    field, x0, time = field_of(name), limit[f"{name}_x0"], float(limit[f"{name}_time"])
    run = solve_ivp(lambda t, x: field(x), (0, time), x0.reshape(-1), "DOP853", rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(limit[f"{name}_end"].reshape(-1), run.y[:, -1], rtol=1e-8)


def test_the_drawn_flow_is_scipys_and_ends_at_its_share_of_t_star(limit):
    at, field = limit["flow_time"], field_of("fast")
    own = quad(lambda u: 1 / (u**3 * np.logaddexp(0.0, u)), limit["fast_x0"][0], np.inf, epsabs=0, epsrel=1e-12)[0]
    np.testing.assert_allclose(at[-1], 0.95 * own, rtol=1e-9)
    run = solve_ivp(lambda t, x: field(x), (0, at[-1]), limit["fast_x0"], "DOP853", rtol=1e-11, atol=1e-13, t_eval=at)
    np.testing.assert_allclose(limit["flow"], run.y.T, rtol=1e-8)


@EVERY
def test_the_slope_is_minus_one(limit, name):
    layers, error = limit["layers"], limit[f"{name}_error"]
    slope = np.polyfit(np.log(layers[-5:]), np.log(error[-5:]), 1)[0]
    assert abs(slope + 1) < 0.05
    # Not less than O(1/K): of second order it would fall by 256 over these.
    assert 10 < error[-5] / error[-1] < 17


@EVERY
def test_the_error_is_the_largest_over_tokens(limit, name):
    outputs, end = limit[f"{name}_outputs"], limit[f"{name}_end"]
    apart = (outputs - end).reshape(len(outputs), len(end), -1)
    relative = [[np.linalg.norm(d) / np.linalg.norm(x) for d, x in zip(row, end, strict=True)] for row in apart]
    np.testing.assert_allclose(limit[f"{name}_error"], np.max(relative, axis=1), rtol=1e-12)


@EVERY
def test_the_leading_term_is_eulers(limit, name):
    # x^K - x(T) = -(T / 2K) w(T) + O(1/K^2), with w' = f'(x) (w + f(x)), w(0) = 0 along the flow.
    field, x0, time = field_of(name), limit[f"{name}_x0"].reshape(-1), float(limit[f"{name}_time"])

    def along(t, state):
        x, w = np.split(state, 2)
        f = field(x)
        h = 1e-6
        return np.concatenate([f, (field(x + h * (w + f)) - field(x - h * (w + f))) / (2 * h)])

    run = solve_ivp(along, (0, time), np.concatenate([x0, np.zeros_like(x0)]), "DOP853", rtol=1e-9, atol=1e-9)
    w = run.y[len(x0) :, -1]
    count = limit["layers"][-1]
    apart = (limit[f"{name}_outputs"][-1] - limit[f"{name}_end"]).reshape(-1)
    # At K = 16384 the second-order term is up to 1% of the first, near the blow-up.
    np.testing.assert_allclose(apart * 2 * count / time, -w, rtol=2e-2, atol=1e-3 * np.abs(w).max())


def test_stacks_lag_behind_the_blow_up(limit):
    ends = [limit[f"stack_{count}"][-1] for count in (4, 16, 64)] + [limit["flow"][-1]]
    assert (np.diff(ends, axis=0) > 0).all()
