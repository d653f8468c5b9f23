"""Radial rates as a heat map, and what the flip turns and leaves."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamba_dynamics.plotting import draw_radial_rates
from mamba_dynamics.style import PAGE, TOKEN_COLOURS

from ..catalogue import Data

FORMS: dict[str, dict] = {
    "stored": {"marker": "o", "markersize": 4, "color": TOKEN_COLOURS[0]},
    "flipped": {"marker": "s", "markersize": 7, "color": TOKEN_COLOURS[1], "markerfacecolor": "none"},
}


#: quantity -> (label, limits, ticks)
QUANTITIES = {
    "q_negative": ("share with\n$q(x) < 0$", (-0.1, 1.1), [0, 0.5, 1]),
    "D_sign": ("mean of\nsign $D$", (-1.4, 1.4), [-1, 0, 1]),
    "skip_correlation": ("correlation\nscan, $D x$", (-0.65, 0.65), [-0.5, 0, 0.5]),
}


def plot(data: Data) -> Figure:
    # A list of lists is fine, but lists are invariant to a type checker.
    mosaic: Any = [["rates", quantity] for quantity in QUANTITIES]
    figure, axes = plt.subplot_mosaic(mosaic, figsize=(PAGE, 3.2), width_ratios=[2.4, 1])
    layers = list(range(len(data["stored_radial_rates"])))
    draw_radial_rates(axes["rates"], data["stored_radial_rates"], layers, data["pieces"].tolist())
    axes["rates"].grid(False)
    for quantity, (label, limits, ticks) in QUANTITIES.items():
        _both_forms(axes[quantity], data, quantity)
        axes[quantity].set(ylabel=label, ylim=limits, yticks=ticks, xticks=layers, xlim=(-0.5, len(layers) - 0.5))
    for quantity in ("q_negative", "D_sign"):
        axes[quantity].tick_params(labelbottom=False)
    axes["skip_correlation"].set_xlabel("layer")
    axes["q_negative"].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.1, handletextpad=0.1)
    figure.align_ylabels()
    return figure


def _both_forms(ax: Axes, data: Data, quantity: str) -> None:
    for form, style in FORMS.items():
        values = data[f"{form}_{quantity}"]
        ax.plot(np.arange(len(values)), values, linestyle="none", label=form, **style)
