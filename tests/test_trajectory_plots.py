"""Trajectories as drawn: the run's own numbers, the axes of its regime, and theory's laws by their closed forms."""

import matplotlib as mpl
import mpmath
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

from mamba_dynamics import TOKEN_COLOURS, S6Layer, classify, plot_trajectory, solve, token_dynamics
from mamba_dynamics.style import PREDICTED

A, MU, S = 1.08, -1.58, -0.17
LOG_2 = np.log(2.0)


@pytest.fixture(autouse=True)
def closed_and_never_shown(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("a picture was shown"))
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def convergent():
    return classify(S6Layer.scalar(mu=MU, S_Delta=S, a=A), [1.0, -0.5, 0.0, 2.0])


@pytest.fixture(scope="module")
def slow():
    return classify(S6Layer.scalar(mu=1.0, S_Delta=-1.0, a=1.0), np.ones(3))


@pytest.fixture(scope="module")
def fast():
    """Token 2 blows up first; 1 stays bounded, 3 keeps a ratio to 2, 4 is a logarithm of a logarithm."""
    return classify(S6Layer.scalar(mu=1.0, S_Delta=1.0, a=1.0), [0.5, 3.0, -1.5, 0.1])


@pytest.fixture(scope="module")
def planar():
    """Two tokens in two channels, constant step size."""
    layer = S6Layer.from_matrices(S_B=[[-1.0, 0.5], [-0.5, -1.0]], S_C=np.eye(2), S_Delta=np.zeros((2, 2)), a=1.0)
    return classify(layer, [[1.0, 0.5], [0.3, -1.0]])


def measured(ax):
    """The drawn lines that are no theory."""
    return [line for line in ax.get_lines() if line.get_color() != PREDICTED["color"]]


def theory(ax):
    return [line for line in ax.get_lines() if line.get_color() == PREDICTED["color"]]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("name", ["convergent", "slow", "fast"])
def test_the_lines_are_the_run_on_the_axes_of_its_regime(name, request):
    run = request.getfixturevalue(name).trajectory
    ax = run.plot()
    clock, x_label = (-run.log_remaining, r"$\ln\,1/(T^*-t)$") if name == "fast" else (run.log_t, r"$\ln\,t$")
    sizes, y_label = (run.x, r"$|x_l|$") if name == "slow" else (run.log_abs, r"$\ln\,|x_l|$")
    assert (ax.get_xlabel(), ax.get_ylabel()) == (x_label, y_label)
    assert len(ax.get_lines()) == sizes.shape[1]
    drawn = np.isfinite(clock)
    for token, line in enumerate(ax.get_lines()):
        np.testing.assert_array_equal(line.get_xdata()[drawn], clock[drawn])
        finite = drawn & np.isfinite(sizes[:, token])
        np.testing.assert_allclose(line.get_ydata()[finite], sizes[finite, token], rtol=1e-14)
        assert line.get_color() == TOKEN_COLOURS[token]


def test_a_run_to_a_given_time_is_drawn_against_time():
    dynamics = token_dynamics(S6Layer.scalar(mu=1.0, S_Delta=-1.0, a=1.0))
    assert solve(dynamics, [1.0, 2.0], until=2.0).plot().get_xlabel() == "$t$"
    # exp(1000) is no float: that time has only a logarithm.
    assert solve(dynamics, [1.0, 2.0], log_until=1000.0).plot().get_xlabel() == r"$\ln\,t$"


def test_what_is_drawn_can_be_chosen(fast):
    run = fast.trajectory
    ax = run.plot(against="t", quantity="x", tokens=[2])
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), run.t)
    fits = np.abs(run.x[:, 2]) < np.inf
    np.testing.assert_array_equal(line.get_ydata()[fits], run.x[fits, 2])
    assert line.get_ydata()[0] == -1.5
    assert legend(ax) == ["token 3"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$t$", "$x_l$")


def test_a_run_without_a_blow_up_has_no_remaining_time(slow):
    with pytest.raises(ValueError, match=r"expected a run that blew up, found diverges_slowly.*log_t"):
        slow.trajectory.plot(against="log_remaining")


def test_given_axes_are_drawn_on(slow):
    figure, ax = plt.subplots()
    assert slow.plot(ax=ax) is ax
    assert plt.get_fignums() == [figure.number]


def test_convergent_laws_are_those_of_the_closed_form(convergent):
    q = np.exp(-A * LOG_2)
    kappa = [1.0, 1 - q, np.nan, 1 - q**3 - (1 - q) * q**2]
    ax = convergent.plot()
    lines = theory(ax)
    assert len(lines) == 3, "a zero token has no curve"
    log_t = convergent.trajectory.log_t[1:]
    for line, constant in zip(lines, [kappa[0], kappa[1], kappa[3]], strict=True):
        np.testing.assert_allclose(line.get_ydata()[1:], 0.5 * np.log(constant / (2 * abs(MU) * LOG_2)) - 0.5 * log_t)
    assert legend(ax) == ["token 1", "token 2", "token 3", "token 4", "theory"]


def test_slow_laws_are_the_expansion_times_the_frozen_ratio(slow):
    log_t, lines = slow.trajectory.log_t, theory(slow.plot())
    late = log_t > 1e3
    first = log_t + 3 * np.log(log_t, where=log_t > 0, out=np.zeros_like(log_t))
    # The frozen ratios of x_0 = (1, 1, 1), to the digits to which they were computed independently.
    for line, ratio in zip(lines, [1.0, 2.2162757, 3.66388535], strict=True):
        np.testing.assert_allclose(line.get_ydata()[late], ratio * first[late], rtol=1e-7)


def test_laws_at_a_blow_up(fast):
    run, ax = fast.trajectory, fast.plot()
    bounded, power, follows, iterated = (line.get_ydata() for line in theory(ax))
    assert np.all(bounded == run.log_abs[-1, 0])
    # a mu |s| of 1: x ~ (3 (T* - t))^(-1/3).
    np.testing.assert_allclose(power, -(np.log(3.0) + run.log_remaining) / 3, rtol=1e-14)
    # b = 0, a = |s| = 1: e^Delta = 1 + e^{+-u}, so F = ln u + Ei(+-u), and F(x_l) - ln x_k is a constant.
    for sign, curve, partner in [(-1, follows, power), (1, iterated, follows)]:
        known = np.isfinite(curve)
        assert known.sum() > 30
        F = [float(mpmath.log(u) + mpmath.ei(sign * u)) for u in np.exp(np.minimum(curve[known], 200.0))]
        drift = np.array(F) - partner[known]
        few = curve[known] < 200.0
        np.testing.assert_allclose(drift[few], drift[few][-1], atol=1e-9)
    np.testing.assert_allclose(iterated[-1], run.log_abs[-1, 3], rtol=1e-12)


@pytest.mark.parametrize("name", ["convergent", "slow", "fast"])
def test_theory_runs_along_the_measured_lines_and_leaves_their_axes(name, request):
    verdict = request.getfixturevalue(name)
    alone, both = verdict.trajectory.plot(), verdict.plot()
    assert both.get_ylim() == alone.get_ylim()
    height = np.ptp(both.get_ylim())
    active = [line for line in measured(both) if np.isfinite(line.get_ydata()).any()]
    for line, law in zip(active, theory(both), strict=True):
        half = len(line.get_xdata()) // 2
        np.testing.assert_allclose(law.get_ydata()[half:], line.get_ydata()[half:], atol=0.02 * height)


def test_several_channels_are_drawn_by_their_norms(planar):
    run, ax = planar.trajectory, planar.plot()
    assert planar.predicted_log_abs is None
    assert not theory(ax)
    for token, line in enumerate(ax.get_lines()):
        finite = np.isfinite(line.get_xdata())
        norms = np.log(np.linalg.norm(run.x[finite, token], axis=1))
        np.testing.assert_allclose(line.get_ydata()[finite], norms, atol=1e-9)
    assert legend(ax) == ["token 1", "token 2"]


def test_coordinates_of_several_channels(planar):
    run = planar.trajectory
    lines = run.plot(quantity="x").get_lines()
    assert [line.get_color() for line in lines] == [TOKEN_COLOURS[0]] * 2 + [TOKEN_COLOURS[1]] * 2
    np.testing.assert_array_equal(lines[3].get_ydata(), run.x[:, 1, 1])


def test_many_tokens_have_a_colour_bar():
    layer = S6Layer.scalar(mu=-1.0, S_Delta=0.5, a=1.0)
    ax = plot_trajectory(solve(token_dynamics(layer), np.linspace(0.5, 2.0, 12), until=1.0))
    assert ax.get_legend() is None
    assert len({tuple(line.get_color()) for line in ax.get_lines()}) == 12
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "token"
    assert [label.get_text() for label in bar.get_yticklabels()] == ["1", "3", "6", "9", "12"]


def test_tokens_that_do_not_move_are_points():
    verdict = classify(S6Layer.scalar(mu=0.0, S_Delta=1.0, a=1.0), [1.0, 2.0])
    lines = measured(verdict.plot())
    points = [np.asarray(line.get_xydata()) for line in lines]
    np.testing.assert_array_equal(np.concatenate(points), [[0.0, 0.0], [0.0, LOG_2]])
    assert all(line.get_marker() == "o" for line in lines)


def test_theory_has_the_sign_of_the_tokens(fast):
    ax = plot_trajectory(fast.trajectory, quantity="x", predicted=fast.predicted_log_abs, tokens=[2])
    (law,) = theory(ax)
    (line,) = measured(ax)
    np.testing.assert_allclose(law.get_ydata()[-1], line.get_ydata()[-1], rtol=1e-9)
    assert law.get_ydata()[-1] < 0
