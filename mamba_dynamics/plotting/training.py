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


#: quantity -> (label, limits)
REGIMES_OVER_TRAINING: dict[str, tuple[str, tuple[float, float] | None]] = {
    "positive_share": ("eigenvalues of $M$\nabove zero (share)", (-0.05, 1.05)),
    "alignment_mean": ("mean alignment\n$\\cos\\angle(S_C x, S_B x)$", (-1.05, 1.05)),
    "skip_correlation": ("scan against $D x$\n(correlation)", (-1.05, 1.05)),
    "radial_median": ("radial rate\n(median token)", None),
}
#: More layers than this are coloured along a map instead of one by one.
MOST_COLOURS = len(TOKEN_COLOURS)


def regime_curves(runs: Sequence[Records]) -> dict[str, np.ndarray]:
    """Arrays of the runs' records: `step` (T,) and every quantity of REGIMES_OVER_TRAINING, (runs, T, blocks).

    Raises `ValueError` for records without layers, or none.
    """
    if not runs or not all(records and "layers" in records[0] for records in runs):
        raise ValueError("expected records with layers, found some without: they are those of an older log")
    layers = [[[_complete(layer) for layer in record["layers"]] for record in records] for records in runs]
    found = {"step": np.array([record["step"] for record in runs[0]])}
    for name in REGIMES_OVER_TRAINING:
        found[name] = np.array([[[layer[name] for layer in one] for one in records] for records in layers], float)
    return found


def _complete(layer: Mapping[str, Any]) -> dict[str, Any]:
    """With the share of positive eigenvalues; JSON has null for what is no number."""
    signed = layer["positive"] + layer["negative"]
    share = layer["positive"] / signed if signed else np.nan
    return {"positive_share": share} | {name: np.nan if value is None else value for name, value in layer.items()}


def plot_regimes(runs: Mapping[str, Sequence[Records]]) -> np.ndarray:
    """How the regimes of the blocks evolve in training: rows are quantities, columns arms, lines blocks.

    Args:
        runs: the records of every run, by arm: one run a seed. Thin lines are runs, thick ones their mean.

    Returns:
        An array of `Axes`, (quantities, arms).

    Raises:
        ValueError: records without layers, or none.
    """
    if not runs:
        raise ValueError("expected the records of some runs, found none")
    with plt.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        return draw_regimes({arm: regime_curves(seeds) for arm, seeds in runs.items()})


def draw_regimes(curves: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray:
    """`plot_regimes` of arrays as `regime_curves` gives them, by arm, in a new figure."""
    rows, columns = len(REGIMES_OVER_TRAINING), len(curves)
    size = (max(PAGE / 2, PAGE * columns / 4), 1.25 * rows + 0.5)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharex=True, sharey="row", squeeze=False)
    for column, (arm, found) in zip(axes.T, curves.items(), strict=True):
        for ax, (name, (label, limits)) in zip(column, REGIMES_OVER_TRAINING.items(), strict=True):
            _draw_layers(ax, found["step"], found[name])
            if limits is not None:
                ax.set_ylim(*limits)
            if ax in axes[:, 0]:
                ax.set_ylabel(label)
        column[0].set_title(arm)
        column[-1].set_xlabel("updates")
    axes[0, 0].legend(loc="lower left", ncols=2, handlelength=1.2, columnspacing=0.8)
    figure.align_ylabels(axes[:, 0])
    return axes


def _draw_layers(ax: Axes, steps: np.ndarray, values: np.ndarray) -> None:
    seeds, _, layers = values.shape
    for layer, colour in enumerate(_colours(layers)):
        if seeds > 1:
            ax.plot(steps, values[:, :, layer].T, color=colour, alpha=0.25, linewidth=0.6)
        # Few layers have a name each, of many the first and the last.
        named = layers <= MOST_COLOURS or layer in (0, layers - 1)
        label = f"block {layer + 1}" if named else None
        ax.plot(steps, np.mean(values[:, :, layer], axis=0), color=colour, label=label)
    ax.axhline(0.0, color="black", linewidth=0.6, zorder=1)


def _colours(layers: int) -> list[Any]:
    if layers <= MOST_COLOURS:
        return list(TOKEN_COLOURS[:layers])
    return [colormaps["viridis"](0.9 * layer / (layers - 1)) for layer in range(layers)]


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
