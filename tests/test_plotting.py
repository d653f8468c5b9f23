"""The data behind each picture, and its labels."""

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

from mamba_dynamics import (
    classify_checkpoint,
    consensus,
    plot_consensus,
    plot_hidden_attention,
    plot_radial_rates,
    sample_path,
    walk,
)

TEXT = "return $x$"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def report():
    return classify_checkpoint(sample_path(), text=TEXT, integrate=1, max_steps=1)


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_hidden_attention(report):
    visit = next(walk(sample_path(), report.text.ids))
    P = np.asarray(visit.hidden_attention(3))
    ax = plot_hidden_attention(P, report.text.pieces)
    (image,) = ax.get_images()
    shown = image.get_array()
    lower = np.tri(len(P), dtype=bool)
    np.testing.assert_allclose(np.asarray(shown)[lower], P[lower])
    assert shown.mask[~lower].all()
    assert image.norm.vmax == -image.norm.vmin == np.abs(P).max(), "zero is in the middle of the colours"
    assert labels(ax.xaxis) == [piece.replace("$", r"\$") for piece in report.text.pieces]
    ax.figure.savefig("/dev/null", format="svg")


def test_a_long_text_is_numbered():
    ax = plot_hidden_attention(np.tri(100), ["x"] * 100)
    assert labels(ax.yaxis)[:2] == ["1", "11"]


def test_consensus_curves(report):
    curves = {"full": consensus(sample_path(), report.text.ids, depth=5)}
    (line,) = plot_consensus(curves).get_lines()
    np.testing.assert_array_equal(line.get_xdata(), np.arange(6))
    np.testing.assert_array_equal(line.get_ydata(), curves["full"].leading_share)


def test_radial_rates(report):
    ax = plot_radial_rates(report)
    rates = np.stack([layer.block.radial_rates for layer in report.layers])
    np.testing.assert_array_equal(ax.get_images()[0].get_array(), rates)
    assert labels(ax.yaxis) == ["0", "1", "2", "3"]
    with pytest.raises(ValueError, match="text"):
        plot_radial_rates(classify_checkpoint(sample_path(), layers=[0]))


def test_given_axes_are_drawn_on_and_returned():
    _, ax = plt.subplots()
    assert plot_hidden_attention(np.eye(2), ax=ax) is ax
