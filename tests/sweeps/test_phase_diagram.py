"""The phase diagram's colours, axes and refusals, on a made-up store."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

mpl.use("Agg")

import matplotlib.pyplot as plt

from mamba_dynamics import OUTCOME_COLOURS, Outcome, plot_phase_diagram
from mamba_dynamics._errors import SweepError
from mamba_dynamics.cli import app
from mamba_dynamics.sweeps.store import outcome_attributes

BLEW_UP = list(Outcome).index(Outcome.BLEW_UP)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def made_up(**axes):
    """Blow-up where the last axis is positive, at T* = 1 / value; the first cell is not done."""
    shape, last = [len(values) for values in axes.values()], np.array(list(axes.values())[-1], float)
    codes = np.broadcast_to(np.where(last > 0, BLEW_UP, 0), shape).astype(np.int8)
    codes.flat[0] = -1
    with np.errstate(divide="ignore"):
        time = np.broadcast_to(np.where(last > 0, 1 / last, np.nan), shape)
    data = {"outcome": (list(axes), codes, outcome_attributes()), "blow_up_time": (list(axes), time)}
    return xr.Dataset(data, coords=axes)


def colours(ax):
    (mesh,) = (one for one in ax.collections if hasattr(one, "get_coordinates"))
    return [mpl.colors.to_hex(one).upper() for one in mesh.to_rgba(np.ravel(mesh.get_array()))]


def test_every_cell_has_its_outcome_s_colour():
    ax = plot_phase_diagram(made_up(s_delta=[-1.0, 1.0], mu=[1.0, -1.0, 2.0]))
    # Axes that are not in order are sorted.
    expected = ["converged_to_zero", "not_done", "blew_up", "converged_to_zero", "blew_up", "blew_up"]
    assert colours(ax) == [OUTCOME_COLOURS[name] for name in expected]
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"$\mu$", r"$S_\Delta$")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["not done", "converged to zero", "blew up"]


def test_axes_are_chosen_and_cut():
    dataset = made_up(a=[0.1, 1.0, 10.0], x0_2=[-1.0, 1.0], mu=[-1.0, 1.0])
    ax = plot_phase_diagram(dataset, x="a", where={"x0_2": 0.9})
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$a$", r"$\mu$")
    assert ax.get_xscale() == "log"
    assert len(colours(ax)) == 6
    ax = plot_phase_diagram(dataset, where={"x0_2": 1.0, "a": 1.0})
    assert colours(ax) == [OUTCOME_COLOURS["converged_to_zero"], OUTCOME_COLOURS["blew_up"]]
    assert ax.get_yticks().size == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "choose a value of each other one .a from 0.1 to 10"),
        ({"where": {"b": 1.0}}, "one of the axes a, x0_2, mu, found 'b'"),
        ({"x": "b"}, "found 'b'"),
        ({"where": {"a": 1.0, "x0_2": 1.0, "mu": 1.0}}, "one cell only"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, says):
    with pytest.raises(SweepError, match=says):
        plot_phase_diagram(made_up(a=[0.1, 1.0, 10.0], x0_2=[-1.0, 1.0], mu=[-1.0, 1.0]), **options)


def test_random_cells_are_points():
    dataset = made_up(cell=[-1.0, 0.5, 2.0]).assign_coords(mu=("cell", [1.0, 2.0, 3.0]), a=("cell", [4.0, 5.0, 6.0]))
    ax = plot_phase_diagram(dataset)
    (points,) = ax.collections
    np.testing.assert_array_equal(points.get_offsets(), [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(points.get_array(), [-1, BLEW_UP, BLEW_UP])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "choose a value of each other one (a from 0.25 to 4; x0_2 from -2 to 2)"),
        (("--slice", "a=1"), "choose a value of each other one (x0_2 from -2 to 2)"),
        (("--slice", "a=1", "--slice", "b=0"), "expected one of the axes a, x0_2, s_delta, mu, found 'b'"),
        (("--slice", "a=1", "--slice", "x0_2=0", "--x", "x0_2"), "found 'x0_2'"),
        (("--slice", "a=nan"), "expected a number for a, found 'nan'"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_is_computed(options, says, tmp_path, monkeypatch):
    from mamba_dynamics.sweeps import run

    monkeypatch.setattr(run, "run_sweep", lambda *_, **__: pytest.fail("it was computed"))
    arguments = ["sweep", "scenarios", "--out", str(tmp_path / "s"), "--plot", str(tmp_path / "p.png"), *options]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 2, found.output
    assert says in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_slice_along_an_axis_without_order():
    dataset = made_up(mu=[2.0, -1.0, 1.0], a=[1.0, 2.0], s_delta=[-1.0, 1.0])
    dataset = dataset.assign(outcome=dataset.outcome.where(dataset.mu == 1.0, 0).astype("int8"))
    dataset.outcome.attrs = outcome_attributes()
    ax = plot_phase_diagram(dataset, where={"mu": 0.9})
    assert sorted(set(colours(ax))) == sorted({OUTCOME_COLOURS["converged_to_zero"], OUTCOME_COLOURS["blew_up"]})
