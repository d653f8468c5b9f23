"""A report on a checkpoint as pictures: one column a layer, what its weights say and what its tokens do.

    report = classify_checkpoint(path, text="...", integrate=0)
    plot_spectra(report), plot_symmetric_part(report)      eigenvalues of M and of sym(M), by sign
    plot_channels(report), plot_step_sizes(report)         single channels, Delta(0)
    plot_alignments(report)                                which way each token pushes itself
    plot_scenarios(report)                                 the three levels of evidence
    report.plot()                                          all that the report has facts for

A layer that could not be read, or whose kind lacks a fact, keeps an empty column.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from ..style import COLUMN, PAGE, STYLE
from .axes import as_text, given_or_new
from .columns import draw_clouds, draw_ranges, draw_scenarios, draw_shares, draw_signed, layer_axis

if TYPE_CHECKING:
    from .._report import Report
    from .._weights_verdict import SignSummary, WeightsVerdict

#: The columns of several groups (heads, scan directions) of one layer fill this share of the layer's own.
GROUPS_WIDTH = 0.7


def plot_scenarios(report: "Report", *, ax: Axes | None = None) -> Axes:
    """The scenario of every layer at each level: the eigenvalue rule, the certificate, the integrated tokens.

    Layers whose tokens were not integrated have no cell at that level.
    Raises `ValueError` for a report none of whose layers could be read.
    """
    _require(_weights(report), "a layer that could be read")
    rows = {
        "spectral": [layer.weights.spectral.value if layer.weights else "" for layer in report.layers],
        "certified": [layer.weights.certified.value if layer.weights else "" for layer in report.layers],
    }
    integrated = [layer.tokens if layer.tokens and layer.tokens.integrated else None for layer in report.layers]
    if any(integrated):
        rows["tokens"] = [tokens.scenario.value if tokens else "" for tokens in integrated]
    ax = given_or_new(ax)
    draw_scenarios(ax, rows)
    return _labelled(ax, report, "evidence")


def plot_spectra(report: "Report", *, ax: Axes | None = None) -> Axes:
    """The real parts of the min(N, D) eigenvalues of M that may be non-zero, by sign; each group has its own column.

    Raises `ValueError` for a report none of whose layers could be read.
    """
    eigenvalues = _eigenvalues(report, lambda group: group.spectrum)
    ax = given_or_new(ax)
    draw_signed(ax, *eigenvalues)
    return _labelled(ax, report, r"$\mathrm{Re}\ \lambda(M)$")


def plot_symmetric_part(report: "Report", *, ax: Axes | None = None) -> Axes:
    """The min(2N, D) eigenvalues of sym(M) that may be non-zero, by sign: of both signs where a layer is indefinite.

    Raises `ValueError` for a report none of whose layers could be read.
    """
    eigenvalues = _eigenvalues(report, lambda group: group.symmetric_part)
    ax = given_or_new(ax)
    draw_signed(ax, *eigenvalues)
    return _labelled(ax, report, r"$\lambda(\mathrm{sym}\,M)$")


def plot_channels(report: "Report", *, ax: Axes | None = None) -> Axes:
    """The shares of channels that alone would be convergent, slow or fast, or degenerate (theory 3.6).

    All groups of a layer are counted together. A layer whose projections do not read the scan's own input (Mamba-2)
    has no such channels, and an empty column.
    Raises `ValueError` for a report without any.
    """
    found = [(column, weights) for column, weights in _weights(report) if weights.closed]
    _require(found, "a layer whose projections read the scan's own input")
    ax = given_or_new(ax)
    names = {"convergent": "convergent", "slow_or_fast": "divergent", "degenerate": "degenerate"}
    counts = {
        name: np.array([sum(getattr(group, f"channels_{field}") for group in one.groups) for _, one in found], float)
        for name, field in names.items()
    }
    draw_shares(ax, counts, np.array([column for column, _ in found], float))
    return _labelled(ax, report, "share of channels")


def plot_step_sizes(report: "Report", *, ax: Axes | None = None) -> Axes:
    """The smallest, median and largest step size Delta(0) = softplus(b) of every layer.

    Raises `ValueError` for a report none of whose layers could be read.
    """
    found = _weights(report)
    _require(found, "a layer that could be read")
    ax = given_or_new(ax)
    sizes = [weights.step_size_at_zero for _, weights in found]
    low, middle, high = (np.array([of(size) for size in sizes]) for of in (np.min, np.median, np.max))
    draw_ranges(ax, np.array([column for column, _ in found], float), low, middle, high)
    return _labelled(ax, report, r"$\Delta(0)$")


def plot_alignments(report: "Report", *, ax: Axes | None = None) -> Axes:
    """The alignment cos(S_C x, S_B x) of every token in every layer and group: below zero a token shrinks itself.

    A bar marks the median; above each column stands the share of tokens below zero. A dot's place within its column
    has no meaning. Raises `ValueError` for a report without tokens.
    """
    _require([layer for layer in report.layers if layer.tokens], "tokens (classify_checkpoint(..., text=...))")
    ax = given_or_new(ax)
    draw_clouds(ax, [layer.tokens.alignment.ravel() if layer.tokens else np.empty(0) for layer in report.layers])
    ax.set_ylim(-1.05, 1.05)
    return _labelled(ax, report, r"$\cos\angle(S_C x, S_B x)$")


def plot_report(report: "Report") -> np.ndarray:
    """Every panel that the report has facts for, below each other on one axis of layers: an array of `Axes`.

    Raises `ValueError` for a report none of whose layers could be read.
    """
    _require(_weights(report), "a layer that could be read")
    panels = [(draw, height) for draw, height, has in _PANELS if has(report)]
    heights = [height for _, height in panels]
    size = (min(PAGE, COLUMN + 0.6 * (len(report.layers) - 1)), sum(heights) + 0.4)
    with plt.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        figure, axes = plt.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights, figsize=size)
        for (draw, _), ax in zip(panels, axes[:, 0], strict=True):
            draw(report, ax=ax)
    for ax in axes[:-1, 0]:
        ax.set_xlabel("")
    checkpoint = report.checkpoint
    figure.suptitle(
        as_text(f"{checkpoint.path.name}: {checkpoint.architecture}, {len(checkpoint)} S6 layers"), fontsize=8
    )
    figure.align_ylabels()
    return axes[:, 0]


def _always(report: "Report") -> bool:
    return True


def _has_channels(report: "Report") -> bool:
    return any(weights.closed for _, weights in _weights(report))


def _has_tokens(report: "Report") -> bool:
    return any(layer.tokens is not None for layer in report.layers)


#: (panel, its height in inches, whether a report has the facts for it), from top to bottom.
_PANELS: tuple[tuple[Callable[..., Axes], float, Callable[["Report"], bool]], ...] = (
    (plot_scenarios, 0.9, _always),
    (plot_spectra, 1.5, _always),
    (plot_symmetric_part, 1.5, _always),
    (plot_channels, 1.1, _has_channels),
    (plot_step_sizes, 1.1, _always),
    (plot_alignments, 1.5, _has_tokens),
)


def _weights(report: "Report") -> "list[tuple[int, WeightsVerdict]]":
    """(column, verdict) of every layer that could be read."""
    return [(column, layer.weights) for column, layer in enumerate(report.layers) if layer.weights is not None]


def _eigenvalues(report: "Report", of: "Callable[..., SignSummary]") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(column, real part, sign) of every eigenvalue; the sign is 0 within the spectrum's own margin of rounding."""
    found = _weights(report)
    _require(found, "a layer that could be read")
    columns, values, signs = [], [], []
    for column, weights in found:
        for group, place in zip(weights.groups, _places(len(weights.groups)), strict=True):
            spectrum = of(group).spectrum
            real = spectrum.eigenvalues.real
            columns.append(np.full(len(real), column + place))
            values.append(real)
            signs.append(np.where(np.abs(real) > spectrum.margins, np.sign(real), 0))
    return np.concatenate(columns), np.concatenate(values), np.concatenate(signs).astype(int)


def _places(groups: int) -> np.ndarray:
    """Where the groups of a layer stand within its column."""
    return GROUPS_WIDTH * ((np.arange(groups) + 0.5) / groups - 0.5)


def _labelled(ax: Axes, report: "Report", label: str) -> Axes:
    ax.set_ylabel(label)
    layer_axis(ax, [layer.slot.index for layer in report.layers])
    return ax


def _require(found: object, what: str) -> None:
    if not found:
        raise ValueError(f"expected a report with {what}, found none")
