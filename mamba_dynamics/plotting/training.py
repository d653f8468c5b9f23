"""Training as pictures: the regimes of every block along the way, and what a study's comparison of arms found.

plot_regimes({"positive": [trained.records]})           one column an arm, one row a quantity, one line a layer
plot_effects(document["effects"], "bits")               every contrast with its 95 % interval

Both read plain records, as `train` writes them into log.jsonl and `run_study` into results.json.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from ..style import PAGE, STYLE, TOKEN_COLOURS
from .axes import given_or_new
from .columns import NEGATIVE, NEUTRAL, POSITIVE

Records = Sequence[Mapping[str, Any]]


def _positive_share(layer: Mapping[str, Any]) -> float:
    signed = layer["positive"] + layer["negative"]
    return layer["positive"] / signed if signed else np.nan


#: label -> (the quantity of one layer's record, limits)
QUANTITIES = {
    "eigenvalues of $M$\nabove zero (share)": (_positive_share, (-0.05, 1.05)),
    "mean alignment\n$\\cos\\angle(S_C x, S_B x)$": (lambda layer: layer["alignment_mean"], (-1.05, 1.05)),
    "scan against $D x$\n(correlation)": (lambda layer: layer["skip_correlation"], (-1.05, 1.05)),
    "radial rate\n(median token)": (lambda layer: layer["radial_median"], None),
}
#: More layers than this are coloured along a map instead of one by one.
MOST_COLOURS = len(TOKEN_COLOURS)


def plot_regimes(runs: Mapping[str, Sequence[Records]]) -> np.ndarray:
    """How the regimes of the blocks evolve in training: rows are quantities, columns arms, lines blocks.

    Args:
        runs: the records of every run, by arm: one run a seed. Thin lines are runs, thick ones their mean.

    Returns:
        An array of `Axes`, (quantities, arms).

    Raises:
        ValueError: records without layers, or none.
    """
    every = [records for seeds in runs.values() for records in seeds]
    if not every or not all(records and "layers" in records[0] for records in every):
        raise ValueError("expected records with layers, found some without: they are those of an older log")
    with plt.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        _, axes = plt.subplots(
            len(QUANTITIES),
            len(runs),
            figsize=(max(PAGE / 2, PAGE * len(runs) / 4), 1.25 * len(QUANTITIES) + 0.5),
            sharex=True,
            sharey="row",
            squeeze=False,
            layout="constrained",
        )
        for column, (arm, seeds) in enumerate(runs.items()):
            for row, (label, (quantity, limits)) in enumerate(QUANTITIES.items()):
                _draw_layers(axes[row, column], seeds, quantity)
                if limits is not None:
                    axes[row, column].set_ylim(*limits)
                if column == 0:
                    axes[row, column].set_ylabel(label)
            axes[0, column].set_title(arm)
            axes[-1, column].set_xlabel("updates")
        axes[0, 0].legend(loc="lower left", ncols=2, handlelength=1.2, columnspacing=0.8)
        axes[0, 0].figure.align_ylabels(axes[:, 0])
    return axes


def _draw_layers(ax: Axes, seeds: Sequence[Records], quantity) -> None:
    layers = len(seeds[0][0]["layers"])
    for layer, colour in enumerate(_colours(layers)):
        curves = [[quantity(_finite(record["layers"][layer])) for record in records] for records in seeds]
        steps = [record["step"] for record in seeds[0]]
        if len(curves) > 1:
            for curve in curves:
                ax.plot(steps, curve, color=colour, alpha=0.25, linewidth=0.6)
        # Few layers have a name each, of many the first and the last.
        named = layers <= MOST_COLOURS or layer in (0, layers - 1)
        label = f"block {layer + 1}" if named else None
        ax.plot(steps, np.mean(curves, axis=0), color=colour, label=label)
    if ax.get_ylim()[0] < 0 < ax.get_ylim()[1]:
        ax.axhline(0.0, color="black", linewidth=0.6, zorder=1)


def _colours(layers: int) -> list[Any]:
    if layers <= MOST_COLOURS:
        return list(TOKEN_COLOURS[:layers])
    return [colormaps["viridis"](0.9 * layer / (layers - 1)) for layer in range(layers)]


def _finite(layer: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has null for what is no number."""
    return {name: np.nan if value is None else value for name, value in layer.items()}


def plot_effects(effects: Sequence[Mapping[str, Any]], metric: str, *, ax: Axes | None = None) -> Axes:
    """Every contrast of a study: the mean difference with its 95 % interval, coloured by whether it is told from zero.

    Orange does better than what it is compared with, purple worse, grey cannot be told apart after Holm's correction.
    """
    better = 1 if metric == "accuracy" else -1
    ax = given_or_new(ax)
    for place, effect in enumerate(reversed(effects)):
        if effect["effect"] is None:
            continue
        seen = effect["p_holm"] is not None and effect["p_holm"] < 0.05
        colour = NEUTRAL if not seen else POSITIVE if better * effect["effect"] > 0 else NEGATIVE
        low, high = (np.nan if effect[end] is None else effect[end] for end in ("low", "high"))
        ax.plot([low, high], [place, place], color=colour)
        ax.plot(effect["effect"], place, marker="o", markersize=4, color=colour)
    ax.axvline(0.0, color="black", linewidth=0.6, zorder=1)
    names = [f"{effect['arm']} against {effect['against']}" for effect in reversed(effects)]
    ax.set_yticks(range(len(names)), names)
    unit = metric if better > 0 else f"{metric} (less is better)"
    ax.set(xlabel=f"difference in {unit}", ylim=(-0.6, len(names) - 0.4))
    return ax
