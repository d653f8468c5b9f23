"""One column a layer: how arrays are drawn side by side along the layers of a checkpoint.

Column k stands at x = k, whatever its layer's index; `layer_axis` writes the indices under the columns. Purple is for
what is negative or converges, orange for what is positive or diverges, as in `mamba_dynamics.SIGNED`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, NullFormatter, SymmetricalLogLocator

NEGATIVE, POSITIVE, NEUTRAL = "#5E3C99", "#E66101", "#8A8A8A"
#: Quantities without a sign.
RANGE = "#0072B2"

#: sign -> (colour, marker, word in the legend)
SIGNS = {1: (POSITIVE, "^", "positive"), -1: (NEGATIVE, "v", "negative"), 0: (NEUTRAL, "x", "zero within rounding")}

#: The one-dimensional regimes of single channels, in the words of the JSON contract, and their colours.
REGIMES = {"convergent": NEGATIVE, "slow_or_fast": POSITIVE, "degenerate": NEUTRAL}

#: Scenarios, by the names of `mamba_dynamics.Scenario`.
SCENARIO_COLOURS = {
    "convergent": NEGATIVE,
    "equilibrium": "#B2ABD2",
    "constant": "#000000",
    "divergent": POSITIVE,
    "slow_divergence": "#FDB863",
    "fast_divergence": "#A33A00",
    "mixed": "#D9D9D9",
    "undecided": "#FFFFFF",
}

#: More columns than this get a label only every so often.
MOST_LABELS = 16
#: Up to this many columns a scenario is written into its cell, beyond it is a colour of the legend.
MOST_WRITTEN = 6
#: Values closer to zero than the largest by more decades than this are drawn on a linear scale.
DECADES = 2


def layer_axis(ax: Axes, indices: Sequence[int]) -> None:
    """Layer indices under the columns, not more than MOST_LABELS of them."""
    ticks = labelled_columns(len(indices))
    ax.set_xticks(ticks, [str(indices[tick]) for tick in ticks])
    ax.set(xlabel="layer", xlim=(-0.5, len(indices) - 0.5))


def labelled_columns(count: int) -> list[int]:
    """The columns that are labelled: all where there is room, else every second, fifth, tenth, ..."""
    steps = (base * 10**power for power in range(9) for base in (1, 2, 5))
    return list(range(0, count, next(step for step in steps if step * MOST_LABELS >= count)))


def draw_signed(
    ax: Axes,
    columns: Float[np.ndarray, " n"],
    values: Float[np.ndarray, " n"],
    signs: Int[np.ndarray, " n"],
) -> None:
    """Values on a symmetric logarithmic axis, their signs (-1, 0, 1) told by colour and marker.

    The signs are given, as the sign of a value within rounding error of zero is none. Infinite values are left out.
    """
    finite = np.isfinite(values)
    columns, values, signs = columns[finite], values[finite], signs[finite]
    for sign, (colour, marker, word) in SIGNS.items():
        chosen = signs == sign
        if chosen.any():
            face: dict[str, Any] = {"color": colour} if marker == "x" else {"facecolor": colour, "edgecolor": "none"}
            ax.scatter(
                columns[chosen], values[chosen], s=9, marker=marker, alpha=0.75, linewidths=0.8, label=word, **face
            )
    _signed_logarithmic(ax, values)
    ax.axhline(0.0, color="black", linewidth=0.6, zorder=1)
    legend_above(ax)


def _signed_logarithmic(ax: Axes, values: np.ndarray) -> None:
    largest = float(np.abs(values).max(initial=0.0)) or 1.0
    # Denormal numbers are too coarse for an axis's arithmetic.
    threshold = max(10.0 ** (np.floor(np.log10(largest)) - DECADES + 1), 1e-290)
    low, high = float(values.min(initial=-threshold / 2)), float(values.max(initial=threshold / 2))
    # Limits first: matplotlib's own would overflow for values near the ends of float64's range.
    ax.set_ylim(2 * low, 2 * high)
    ax.set_yscale("symlog", linthresh=threshold)
    ax.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=threshold))


def draw_shares(ax: Axes, counts: Mapping[str, Float[np.ndarray, " n"]], columns: Float[np.ndarray, " n"]) -> None:
    """Stacked bars of every column's counts as shares, REGIMES' names to counts; regimes nowhere found are left out."""
    total = np.sum(list(counts.values()), axis=0)
    bottom = np.zeros(len(total))
    for name, count in counts.items():
        if np.any(count):
            share = count / total
            ax.bar(columns, share, 0.8, bottom, color=REGIMES[name], linewidth=0, label=name.replace("_", " "))
            bottom += share
    ax.axhline(0.5, color="white", linewidth=0.6, linestyle=":")
    ax.set(ylim=(0, 1), axisbelow=True)
    legend_above(ax)


def draw_ranges(
    ax: Axes,
    columns: Float[np.ndarray, " n"],
    low: Float[np.ndarray, " n"],
    middle: Float[np.ndarray, " n"],
    high: Float[np.ndarray, " n"],
) -> None:
    """A bar from the lowest to the highest value of every column and a dot at its median, on a logarithmic axis."""
    ax.vlines(columns, low, high, color=RANGE, linewidth=2.5, label="minimum to maximum")
    ax.plot(columns, middle, "o", color="white", markeredgecolor=RANGE, markersize=3.5, label="median")
    ax.set_yscale("log")
    positive = low[low > 0]
    if positive.size:
        ax.set_ylim(10.0 ** np.floor(np.log10(positive.min())), 10.0 ** (np.floor(np.log10(high.max())) + 1))
    ax.yaxis.set_major_locator(LogLocator(numticks=6))
    ax.yaxis.set_minor_formatter(NullFormatter())
    legend_above(ax)


def draw_clouds(ax: Axes, clouds: Sequence[Float[np.ndarray, " n"]]) -> None:
    """Every column's values as a cloud of dots, coloured by sign, with a bar at the median and the share below zero.

    The horizontal place of a dot in its cloud means nothing. Values that are not finite are left out, a column without
    any stays empty.
    """
    clouds = [cloud[np.isfinite(cloud)] for cloud in clouds]
    for column, cloud in enumerate(clouds):
        if not cloud.size:
            continue
        colours = np.where(cloud < 0, NEGATIVE, POSITIVE)
        places = column + 0.6 * _spread(cloud.size)
        ax.scatter(places, cloud, s=5, c=colours, alpha=0.6, linewidths=0, rasterized=cloud.size > 1000)
        ax.hlines(np.median(cloud), column - 0.38, column + 0.38, color="black", linewidth=1.2, zorder=4)
    ax.axhline(0.0, color="black", linewidth=0.6, zorder=1)
    labelled = [column for column in labelled_columns(len(clouds)) if clouds[column].size]
    for column in labelled:
        text = f"{np.mean(clouds[column] < 0):.0%}"
        ax.text(column, 1.02, text, transform=ax.get_xaxis_transform(), ha="center", va="bottom", fontsize=7)
    ax.text(-0.04, 1.02, "below 0:", transform=ax.transAxes, ha="right", va="bottom", fontsize=7)


def _spread(count: int) -> np.ndarray:
    """Places in [-1/2, 1/2) that keep neighbours in the sequence apart: multiples of the golden ratio."""
    return np.arange(count) * 0.6180339887498949 % 1.0 - 0.5


def draw_scenarios(ax: Axes, scenarios: Mapping[str, Sequence[str]]) -> None:
    """A row for every level of evidence, a cell for every column; a column that has none ("") stays empty."""
    rows = list(scenarios)
    columns = len(next(iter(scenarios.values())))
    seen = {name: None for name in SCENARIO_COLOURS if any(name in row for row in scenarios.values())}
    for y, row in enumerate(rows):
        for x, name in enumerate(scenarios[row]):
            if name:
                ax.add_patch(_cell(x, y, name, columns))
            if name and columns <= MOST_WRITTEN:
                _write(ax, x, y, name)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(left=False)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    if columns > MOST_WRITTEN:
        handles = [Patch(facecolor=SCENARIO_COLOURS[one], edgecolor="black", linewidth=0.4) for one in seen]
        legend_above(ax, handles, [name.replace("_", " ") for name in seen])


def _cell(x: int, y: int, name: str, columns: int) -> Rectangle:
    gap = 0.03 if columns <= MOST_WRITTEN else 0.0
    return Rectangle(
        (x - 0.5 + gap, y - 0.44),
        1 - 2 * gap,
        0.88,
        facecolor=SCENARIO_COLOURS[name],
        edgecolor="black",
        linewidth=0.4 if gap else 0.1,
        label=name,
    )


def _write(ax: Axes, x: int, y: int, name: str) -> None:
    dark = name in ("convergent", "constant", "fast_divergence")
    ax.text(x, y, name.replace("_", " "), ha="center", va="center", fontsize=7, color="white" if dark else "black")


def legend_above(ax: Axes, *entries) -> None:
    """A legend in one line above the axes, where it hides nothing; none where there is nothing to tell."""
    if not entries and not ax.get_legend_handles_labels()[0]:
        return
    ax.legend(
        *entries,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=4,
        borderaxespad=0.1,
        handletextpad=0.3,
        columnspacing=1.0,
        handlelength=1.2,
    )
