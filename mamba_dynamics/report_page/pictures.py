"""The pictures of a report: each with a caption for a reader who has never seen one, and its content in words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .._documents import printable
from ..plotting import (
    draw_radial_rates,
    plot_alignments,
    plot_channels,
    plot_consensus,
    plot_scenarios,
    plot_spectra,
    plot_step_sizes,
    plot_symmetric_part,
)
from ..plotting.axes import MOST_PIECES
from ..style import STYLE
from .svg import inline_svg
from .words import LEVELS, spoken

if TYPE_CHECKING:
    from .._report import Report
    from .._weights_verdict import GroupVerdict, SignSummary

#: Inches. Text stays readable on a telephone, where the picture is about as wide as on paper.
WIDTH = 4.2
SETTINGS = {**STYLE, "axes.axisbelow": True, "svg.fonttype": "none", "font.size": 9, "axes.labelsize": 9}
SETTINGS |= {"xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8}


@dataclass(frozen=True)
class Picture:
    """One picture: a name for anchors, a title, how to read it, and the drawing itself."""

    name: str
    title: str
    caption: str
    svg: Markup


def pictures(report: "Report") -> Iterator[Picture]:
    """Every picture that the report has facts for."""
    if all(layer.weights is None for layer in report.layers):
        return
    for name, (title, caption, height, draw, says, has) in _PICTURES.items():
        if has(report):
            with mpl.rc_context(SETTINGS):  # pyright: ignore[reportArgumentType]
                figure = plt.figure(figsize=(WIDTH, height))
                try:
                    draw(report, figure.add_subplot())
                    yield Picture(name, title, caption, inline_svg(figure, name, f"{title}: {says(report)}"))
                finally:
                    plt.close(figure)


def _scenarios_in_words(report: "Report") -> str:
    said = []
    for level in LEVELS:
        found = [_scenario(layer, level) for layer in report.layers]
        counts = {one: found.count(one) for one in dict.fromkeys(found) if one}
        if counts:
            listed = ", ".join(f"{count} {name}" for name, count in counts.items())
            said.append(f"{LEVELS[level][0].lower()}, {listed}")
    return "; ".join(said)


def _scenario(layer, level: str) -> str:
    if level == "tokens":
        return spoken(layer.tokens.scenario) if layer.tokens is not None and layer.tokens.integrated else ""
    return spoken(getattr(layer.weights, level)) if layer.weights is not None else ""


def _signs_in_words(of: "Callable[[GroupVerdict], SignSummary]") -> "Callable[[Report], str]":
    def says(report: "Report") -> str:
        found = [of(group) for layer in report.layers if layer.weights for group in layer.weights.groups]
        positive, negative = sum(one.positive for one in found), sum(one.negative for one in found)
        return f"{positive} are positive and {negative} negative, over {len(report.layers)} layers"

    return says


def _channels_in_words(report: "Report") -> str:
    shares = [
        sum(group.channels_convergent for group in layer.weights.groups)
        / (len(layer.weights.groups) * layer.weights.channels)
        for layer in report.layers
        if layer.weights is not None and layer.weights.closed
    ]
    return f"between {min(shares):.0%} and {max(shares):.0%} of a layer's channels would converge alone"


def _step_sizes_in_words(report: "Report") -> str:
    sizes = [layer.weights.step_size_at_zero for layer in report.layers if layer.weights]
    medians = [float(np.median(one)) for one in sizes]
    return (
        f"layers' medians lie between {min(medians):.3g} and {max(medians):.3g}, single channels between "
        f"{min(one.min() for one in sizes):.3g} and {max(one.max() for one in sizes):.3g}"
    )


def _alignments_in_words(report: "Report") -> str:
    found = [layer.tokens.alignment.ravel() for layer in report.layers if layer.tokens is not None]
    below = [float(np.mean(one[np.isfinite(one)] < 0)) for one in found if np.isfinite(one).any()]
    if not below:
        return "no token has one"
    return f"between {min(below):.0%} and {max(below):.0%} of a layer's tokens pull themselves towards zero"


def _radial_rates_in_words(report: "Report") -> str:
    growing = [layer.block.growing for layer in report.layers if layer.block is not None]
    return f"blocks lengthen between {min(growing):.0%} and {max(growing):.0%} of the tokens"


def _consensus_in_words(report: "Report") -> str:
    assert report.text is not None
    return "; ".join(
        f"{name.replace('_', ' ')}, from {curve.leading_share[0]:.2f} to {curve.leading_share[-1]:.2f}"
        for name, curve in report.text.consensus.items()
    )


def _draw_radial_rates(report: "Report", ax: Axes) -> None:
    assert report.text is not None
    layers = [layer for layer in report.layers if layer.block is not None]
    rates = np.stack([layer.block.radial_rates for layer in layers if layer.block is not None])
    # Glyphs that matplotlib's font lacks are the page's to draw; it would only warn of them.
    pieces = [printable(piece) for piece in report.text.pieces or ()] or None
    known = pieces is not None and all(ord(char) < 0x250 or char in "␣⏎⇥" for char in "".join(pieces))
    draw_radial_rates(ax, rates, [layer.slot.index for layer in layers], pieces if known else None)
    if known and rates.shape[1] <= MOST_PIECES and any(len(piece) > 1 for piece in pieces or ()):
        ax.tick_params(axis="x", rotation=90)


def _draw_scenarios(report: "Report", ax: Axes) -> None:
    plot_scenarios(report, ax=ax).set_ylabel("")
    names = {"spectral": "rule", "certified": "proved", "tokens": "tokens"}
    ax.set_yticks(ax.get_yticks(), [names[label.get_text()] for label in ax.get_yticklabels()])


def _draw_consensus(report: "Report", ax: Axes) -> None:
    assert report.text is not None
    plot_consensus(report.text.consensus, ax=ax).set_ylabel("leading share")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _always(report: "Report") -> bool:
    return True


def _has_channels(report: "Report") -> bool:
    return any(layer.weights is not None and layer.weights.closed for layer in report.layers)


def _has_tokens(report: "Report") -> bool:
    return any(layer.tokens is not None for layer in report.layers)


def _has_text(report: "Report") -> bool:
    return report.text is not None and any(layer.block is not None for layer in report.layers)


#: name -> (title, how to read it, height in inches, drawing, what it shows in words, whether there are facts for it)
_PICTURES: dict[
    str,
    tuple[
        str,
        str,
        float,
        "Callable[[Report, Axes], object]",
        "Callable[[Report], str]",
        "Callable[[Report], bool]",
    ],
] = {
    "scenarios": (
        "Verdicts, layer by layer",
        "One column a layer, one row a kind of evidence: the paper's rule, what is proved and, where tokens were "
        "integrated, what these do.",
        1.7,
        _draw_scenarios,
        _scenarios_in_words,
        _always,
    ),
    "channels": (
        "Channels, each by itself",
        "If every channel were a layer of its own: which share of them would converge, and which diverge, slowly or "
        "fast.",
        2.0,
        lambda report, ax: plot_channels(report, ax=ax),
        _channels_in_words,
        _has_channels,
    ),
    "spectra": (
        "Eigenvalues of M",
        "What the paper's rule reads: one mark for each eigenvalue of the layer's matrix M. If all are below zero, the "
        "rule expects tokens to shrink to zero; one above zero, and it expects them to grow. The axis is logarithmic "
        "in both directions from zero.",
        2.6,
        lambda report, ax: plot_spectra(report, ax=ax),
        _signs_in_words(lambda group: group.spectrum),
        _always,
    ),
    "symmetric-part": (
        "Eigenvalues of the symmetric part of M",
        "What the proof reads. Marks on both sides of zero mean that some tokens push themselves away from zero and "
        "others pull themselves towards it, so the layer alone decides nothing.",
        2.6,
        lambda report, ax: plot_symmetric_part(report, ax=ax),
        _signs_in_words(lambda group: group.symmetric_part),
        _always,
    ),
    "alignments": (
        "Alignments of the tokens",
        "One dot for each token. Below zero a token pulls itself towards zero, above it pushes itself away. The bar is "
        "the median; the percentage on top is the share below zero. A dot's place within its column means nothing.",
        2.6,
        lambda report, ax: plot_alignments(report, ax=ax),
        _alignments_in_words,
        _has_tokens,
    ),
    "step-sizes": (
        "Step sizes",
        "How much a layer takes in of a token close to zero: smallest, median and largest over its channels. Larger "
        "steps move tokens faster.",
        2.0,
        lambda report, ax: plot_step_sizes(report, ax=ax),
        _step_sizes_in_words,
        _always,
    ),
    "radial-rates": (
        "What whole blocks do to the tokens",
        "The model's block with everything in it, norm, gate and skip included: does it lengthen (orange) or shorten "
        "(purple) each token in the residual stream?",
        2.9,
        _draw_radial_rates,
        _radial_rates_in_words,
        _has_text,
    ),
    "consensus": (
        "How far the tokens come to agree",
        "1 means that all tokens point the same way. Measured after each block, with the model's blocks as they are "
        "and without their output gate.",
        2.4,
        _draw_consensus,
        _consensus_in_words,
        lambda report: report.text is not None,
    ),
}
