"""The data behind each picture, and its labels."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from checkpoints.small_checkpoints import FIXTURES

from mamba_dynamics import (
    S6Layer,
    classify_checkpoint,
    consensus,
    open_checkpoint,
    plot_alignments,
    plot_channels,
    plot_consensus,
    plot_hidden_attention,
    plot_radial_rates,
    plot_scenarios,
    plot_spectra,
    plot_step_sizes,
    plot_symmetric_part,
    sample_path,
    tokens_verdict,
    walk,
    weights_verdict,
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


PANELS = [plot_scenarios, plot_spectra, plot_symmetric_part, plot_channels, plot_step_sizes, plot_alignments]


def points(ax):
    """(x, y) of every dot on the axes, in the order of drawing."""
    return np.concatenate([np.asarray(one.get_offsets()) for one in ax.collections if len(one.get_offsets()) > 1])


def like(report, *layers):
    """The report with these S6 layers in the place of its own."""
    slots = [replace(report.layers[0].slot, index=index) for index in range(len(layers))]
    judged = [
        replace(report.layers[0], slot=slot, weights=weights_verdict(layer), tokens=None)
        for slot, layer in zip(slots, layers, strict=True)
    ]
    return replace(report, layers=tuple(judged))


@pytest.mark.parametrize(("plot", "symmetric"), [(plot_spectra, False), (plot_symmetric_part, True)])
def test_eigenvalues_are_those_of_the_dense_matrix(report, plot, symmetric):
    layer = open_checkpoint(sample_path()).layer(0)
    M = layer.S_C[0].T @ layer.S_B[0]
    dense = np.linalg.eigvalsh((M + M.T) / 2) if symmetric else np.linalg.eigvals(M).real
    rank = 32 if symmetric else 16
    wanted = np.sort(
        dense[np.argsort(np.abs(np.linalg.eigvalsh((M + M.T) / 2) if symmetric else np.linalg.eigvals(M)))][-rank:]
    )
    drawn = points(plot(report))
    np.testing.assert_allclose(np.sort(drawn[drawn[:, 0] == 0, 1]), wanted, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(np.unique(drawn[:, 0]), np.arange(4))


def test_signs_are_told_by_marker_and_a_rounded_zero_has_none(report):
    skew = np.array([[0.0, 0.1, 0.2], [-0.1, 0.0, 0.3], [-0.2, -0.3, 0.0]])
    rotation = S6Layer.from_matrices(S_B=skew, S_C=np.eye(3), S_Delta=np.eye(3), a=1.0)
    indefinite = S6Layer.from_matrices(S_B=np.diag([3.0, -2.0]), S_C=np.eye(2), S_Delta=np.eye(2), a=1.0)
    ax = plot_spectra(like(report, rotation, indefinite))
    drawn = {one.get_label(): np.asarray(one.get_offsets()) for one in ax.collections}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(drawn)
    np.testing.assert_array_equal(drawn["positive"], [[1.0, 3.0]])
    np.testing.assert_array_equal(drawn["negative"], [[1.0, -2.0]])
    zeros = drawn["zero within rounding"]
    np.testing.assert_allclose(zeros, np.zeros((3, 2)), atol=1e-15)
    assert zeros.any(), "rounding has left something to call zero"


def test_groups_stand_beside_each_other_in_their_layer_s_column():
    report = classify_checkpoint(FIXTURES / "vmamba")
    groups = report.layers[0].weights.groups
    drawn = points(plot_spectra(report))
    assert len(groups) == 4
    for column in (0, 1):
        places = np.unique(drawn[np.abs(drawn[:, 0] - column) < 0.5, 0]) - column
        np.testing.assert_allclose(places, -places[::-1], err_msg="the groups' middle is the layer's")
        assert len(places) == 4
    first = drawn[np.isclose(drawn[:, 0], drawn[:, 0].min()), 1]
    np.testing.assert_allclose(np.sort(first), groups[0].spectrum.spectrum.eigenvalues.real, rtol=1e-12)


def test_eigenvalues_carry_the_factor_a_config_puts_on_M(report):
    layer = open_checkpoint(FIXTURES / "falcon_h1").layer(0)
    assert layer.gain != 1
    drawn = points(plot_spectra(like(report, layer)))
    traces = [np.trace(layer.input_output_matrix(group)) for group in range(layer.groups)]
    assert drawn[:, 1].sum() == pytest.approx(sum(traces), rel=1e-9)


def test_channels_are_shares_of_the_diagonal_s_signs(report):
    ax = plot_channels(report)
    diagonals = [
        np.einsum("nd,nd->d", one.S_B[0], one.S_C[0]) for one in map(open_checkpoint(sample_path()).layer, range(4))
    ]
    drawn = {bars.get_label(): [bar.get_height() for bar in bars] for bars in ax.containers}
    np.testing.assert_allclose(drawn["convergent"], [np.mean(mu < 0) for mu in diagonals])
    np.testing.assert_allclose(drawn["slow or fast"], [np.mean(mu > 0) for mu in diagonals])
    tops = [bar.get_y() + bar.get_height() for bar in ax.containers[-1]]
    np.testing.assert_allclose(tops, 1.0, err_msg="the bars are stacked")


def test_step_sizes_at_zero(report):
    ax = plot_step_sizes(report)
    (medians,) = (line for line in ax.get_lines() if line.get_label() == "median")
    sizes = [np.log1p(np.exp(open_checkpoint(sample_path()).layer(i).dt_bias[0])) for i in range(4)]
    np.testing.assert_allclose(medians.get_ydata(), [np.median(size) for size in sizes])
    bars = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(bars[:, :, 1], [[size.min(), size.max()] for size in sizes])
    assert ax.get_yscale() == "log"


def test_alignments_of_every_token_and_their_negative_share(report):
    ax = plot_alignments(report)
    drawn = points(ax)
    texts = [text.get_text() for text in ax.texts]
    for column, layer in enumerate(report.layers):
        cosines = layer.tokens.alignment[0]
        np.testing.assert_array_equal(drawn[np.abs(drawn[:, 0] - column) < 0.5, 1], cosines)
        assert texts[column] == f"{100 * np.mean(cosines < 0):.0f}%"
    medians = [one.get_segments()[0][0, 1] for one in ax.collections if hasattr(one, "get_segments")]
    assert medians == [np.median(layer.tokens.alignment) for layer in report.layers]


def test_a_token_without_an_alignment_is_left_out(report):
    layer = open_checkpoint(sample_path()).layer(0)
    tokens = tokens_verdict(layer, np.stack([np.zeros(192), np.ones(192), -np.ones(192)]), integrate=0)
    ax = plot_alignments(replace(report, layers=(replace(report.layers[0], tokens=tokens),)))
    assert len(points(ax)) == 2
    assert np.isnan(tokens.alignment).sum() == 1


def test_scenarios_have_a_cell_for_every_layer_and_level(report):
    ax = plot_scenarios(report)
    assert labels(ax.yaxis) == ["spectral", "certified", "tokens"]
    drawn = {tuple(np.round(cell.get_center(), 9)): cell.get_label() for cell in ax.patches}
    for x, layer in enumerate(report.layers):
        wanted = [layer.weights.spectral, layer.weights.certified, layer.tokens.scenario]
        assert [drawn[x, y] for y in range(3)] == [one.value for one in wanted]
    assert {text.get_text() for text in ax.texts} == {name.replace("_", " ") for name in drawn.values()}


def test_tokens_that_were_not_integrated_have_no_scenario(report):
    only_aligned = classify_checkpoint(sample_path(), text=TEXT, integrate=0, layers=[1])
    assert only_aligned.layers[0].tokens.runs is None
    assert only_aligned.layers[0].decided
    np.testing.assert_array_equal(only_aligned.layers[0].tokens.alignment, report.layers[1].tokens.alignment)
    assert labels(plot_scenarios(only_aligned).yaxis) == ["spectral", "certified"]


def test_a_report_s_panels_are_those_it_has_facts_for(report):
    assert len(report.plot()) == 6
    assert len(classify_checkpoint(sample_path(), layers=[2]).plot()) == 5
    axes = classify_checkpoint(FIXTURES / "mamba2").plot()
    assert "share of channels" not in [ax.get_ylabel() for ax in axes]
    assert len(axes) == 4


def test_panels_share_one_axis_of_layers(report):
    axes = report.plot()
    assert [ax.get_xlabel() for ax in axes] == [""] * 5 + ["layer"]
    assert labels(axes[-1].xaxis) == ["0", "1", "2", "3"]
    assert {ax.get_xlim() for ax in axes} == {(-0.5, 3.5)}
    assert all(ax.get_ylabel() for ax in axes)


@pytest.mark.parametrize(("count", "wanted"), [(1, 1), (16, 16), (17, 9), (100, 10)])
def test_any_number_of_layers_is_labelled_by_index(report, count, wanted):
    slots = [replace(report.layers[k % 4], slot=replace(report.layers[0].slot, index=3 * k)) for k in range(count)]
    axes = replace(report, layers=tuple(slots)).plot()
    axes[0].figure.savefig("/dev/null", format="svg")
    found = labels(axes[-1].xaxis)
    assert len(found) == wanted
    assert found == [str(3 * k) for k in range(0, count, -(-count // wanted))]


def test_a_layer_that_could_not_be_read_keeps_an_empty_column(report):
    broken = replace(report.layers[1], weights=None, tokens=None, block=None, error="no such tensor")
    holed = replace(report, layers=(report.layers[0], broken, *report.layers[2:]))
    axes = holed.plot()
    assert labels(axes[-1].xaxis) == ["0", "1", "2", "3"]
    assert not np.any(np.abs(points(axes[1])[:, 0] - 1) < 0.5)
    assert len(axes[0].patches) == 9
    axes[0].figure.savefig("/dev/null", format="svg")


def test_a_stranger_s_file_name_is_text(report, tmp_path):
    named = replace(report, checkpoint=replace(report.checkpoint, path=tmp_path / "$\\frac$"))
    figure = named.plot()[0].figure
    figure.savefig("/dev/null", format="svg")
    assert r"\$" in figure.get_suptitle()


@pytest.mark.parametrize("scale", [0.0, 1e-160, 1e150, 1e200])
def test_extreme_weights_can_be_drawn(report, scale):
    layer = S6Layer.from_matrices(S_B=scale * np.diag([1.0, -1.0]), S_C=scale * np.eye(2), S_Delta=np.eye(2), a=1.0)
    axes = like(report, layer).plot()
    axes[0].figure.savefig("/dev/null", format="svg")
    # M is diag(scale^2, -scale^2): two dots, or none where no float64 is as large.
    expected = [] if scale > 1e154 else [-scale * scale, scale * scale]
    for ax in axes[1:3]:
        heights = sorted(height for dots in ax.collections for _, height in np.asarray(dots.get_offsets()).tolist())
        assert heights == pytest.approx(expected, rel=1e-12, abs=0)
        low, high = ax.get_ylim()
        assert -np.inf < low < min(heights, default=0) <= max(heights, default=0) < high < np.inf


@pytest.mark.parametrize("plot", PANELS)
def test_a_panel_draws_on_given_axes_and_shows_nothing(report, plot, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("shown"))
    figure, ax = plt.subplots()
    assert plot(report, ax=ax) is ax
    assert ax.get_xlabel() == "layer"
    assert ax.get_ylabel()
    assert plt.get_fignums() == [figure.number]


def test_missing_facts_are_named(report):
    weights_only = classify_checkpoint(FIXTURES / "mamba2")
    with pytest.raises(ValueError, match="expected a report with tokens"):
        plot_alignments(weights_only)
    with pytest.raises(ValueError, match="scan's own input"):
        plot_channels(weights_only)
    unread = replace(report, layers=tuple(replace(one, weights=None, error="broken") for one in report.layers))
    for plot in (plot_scenarios, plot_spectra, plot_symmetric_part, plot_step_sizes, type(report).plot):
        with pytest.raises(ValueError, match="could be read"):
            plot(unread)
    assert not plt.get_fignums(), "no empty figure is left behind"
