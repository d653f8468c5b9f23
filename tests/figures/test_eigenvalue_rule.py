"""The eigenvalue rule: both counterexamples against their exact solutions, every direction against the sign of q."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

DELTA = np.log(2)
EXAMPLES = pytest.mark.parametrize("name", ["negative", "positive"])


@pytest.fixture(scope="module")
def rule(data):
    return data("eigenvalue_rule")


def test_the_counterexamples_are_theorys(rule):
    np.testing.assert_array_equal(rule["negative_M"], [[-1, 10], [0, -1]])
    np.testing.assert_array_equal(rule["positive_M"], [[0.1, -10], [0, 0.1]])
    np.testing.assert_array_equal(rule["negative_eigenvalues"], [-1, -1])
    np.testing.assert_array_equal(rule["positive_eigenvalues"], [0.1, 0.1])


def test_the_outcomes_are_the_opposite_of_the_rule(rule):
    assert rule["negative_outcome"] == "blew_up"
    assert rule["positive_outcome"] == "converged_to_zero"
    assert rule["positive_blow_up_time"] == np.inf
    np.testing.assert_allclose(rule["negative_blow_up_time"], 1 / (16 * np.log(2)), rtol=1e-9)


@EXAMPLES
def test_the_norm_is_the_exact_one_and_scipys(rule, name):
    M, time, norm = (rule[f"{name}_{key}"] for key in ("M", "time", "norm"))
    q = np.ones(2) @ M @ np.ones(2)
    # At the last point T* - t is 1e-4 of T*: an error of 1e-10 in t is then one of 1e-6 in |x|.
    np.testing.assert_allclose(norm, np.sqrt(2 / (1 - 2 * q * DELTA * time)), rtol=1e-7)
    inside = time < 0.9 * rule[f"{name}_blow_up_time"]
    run = solve_ivp(
        lambda t, x: (x @ M @ x) * DELTA * x,
        (0, time[inside][-1]),
        np.ones(2),
        "DOP853",
        rtol=1e-11,
        atol=1e-13,
        t_eval=time[inside],
    )
    np.testing.assert_allclose(norm[inside], np.linalg.norm(run.y, axis=0), rtol=1e-8)


@EXAMPLES
def test_q_fills_the_numerical_range_and_leaves_the_eigenvalues(rule, name):
    # q = p + (w / 2) sin 2 phi for M = [[p, w], [0, p]]; its range is p -+ |w| / 2.
    p, w = rule[f"{name}_M"][0]
    q, low_high = rule[f"{name}_q"], rule[f"{name}_range"]
    np.testing.assert_allclose(q, p + 0.5 * w * np.sin(2 * rule["angle"]), atol=1e-13)
    np.testing.assert_allclose(low_high, [p - 0.5 * abs(w), p + 0.5 * abs(w)], rtol=1e-14)
    np.testing.assert_allclose([q.min(), q.max()], low_high, rtol=1e-3)


def test_every_direction_does_what_its_q_says(rule):
    q = -1 + 0.5 * rule["c"][:, None] * np.sin(2 * rule["direction"])
    assert np.abs(q).min() > 1e-3
    np.testing.assert_array_equal(rule["diverges"], q > 0)
    assert rule["diverges"].any()
    assert not rule["diverges"].all(axis=1).any(), "e_1 decays whatever c"


def test_the_fraction_that_diverges_is_arccos_2_over_c_over_pi(rule):
    c = rule["c"]
    exact = np.where(c > 2, np.arccos(np.minimum(1.0, 2 / c)) / np.pi, 0.0)
    # Ten bisections of 1/40 of the half circle leave 1/81920 at either edge.
    np.testing.assert_allclose(rule["fraction"], exact, atol=2 / 81920)
    assert (exact > 0).sum() > 10


def test_the_fraction_among_random_directions(rule):
    # Independent of the angle parametrisation: signs of q on Gaussian directions.
    v = np.random.default_rng(0).normal(size=(20_000, 2))
    for c, fraction in zip(rule["c"], rule["fraction"], strict=True):
        grows = np.mean(-(v**2).sum(axis=1) + c * v[:, 0] * v[:, 1] > 0)
        assert abs(grows - fraction) < 5 * np.sqrt(0.25 / len(v))
