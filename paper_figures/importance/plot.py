"""A heat map of scores, the mean step sizes, and the order that the scores give in one layer."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamba_dynamics.plotting import token_axis
from mamba_dynamics.style import PAGE, PREDICTED, TOKEN_COLOURS, UNSIGNED

from ..catalogue import Data


def plot(data: Data) -> Figure:
    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(PAGE, 5.2), height_ratios=[1.2, 1.3, 1.2])
    _scores(top, data)
    _step_sizes(middle, data)
    _order(bottom, data)
    return figure


def _scores(ax: Axes, data: Data) -> None:
    score = data["score"]
    image = ax.imshow(score, cmap=UNSIGNED, aspect="auto")
    ax.figure.colorbar(image, ax=ax, label="score\n$K(S_\\Delta x_l + b)$", pad=0.01)
    token_axis(ax, "x", score.shape[1], data["pieces"].tolist(), "")
    ax.set(yticks=range(len(score)), ylabel="layer")
    ax.grid(False)


def _step_sizes(ax: Axes, data: Data) -> None:
    tokens = np.arange(data["score"].shape[1])
    for layer, sizes in enumerate(data["step_size"]):
        ax.plot(tokens, sizes, ".-", color=TOKEN_COLOURS[layer], label=f"layer {layer}", linewidth=0.9)
    ax.plot(tokens, np.logaddexp(0.0, data["score"][-1]), **PREDICTED, label="softplus(score), last layer")
    token_axis(ax, "x", len(tokens), data["pieces"].tolist(), "")
    ax.set(ylabel=r"mean step size $\Delta$", xlim=(-0.5, len(tokens) - 0.5), ylim=(0, None))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0.1, columnspacing=1.0)


def _order(ax: Axes, data: Data) -> None:
    order, pieces = data["order"], data["pieces"]
    place = np.argsort(order)
    colours = mpl.colormaps[UNSIGNED](np.linspace(0.0, 0.95, len(order)))
    for token, (piece, x) in enumerate(zip(pieces, place, strict=True)):
        ax.plot([token, x], [1, 0], color=colours[x], linewidth=1.1)
        ax.text(token, 1.06, piece, ha="center", va="bottom", fontsize=7)
        ax.text(x, -0.06, piece, ha="center", va="top", fontsize=7)
    ax.set(xlim=(-0.5, len(order) - 0.5), ylim=(-0.2, 1.2), yticks=[1, 0], xticks=[])
    ax.set_yticklabels(["in the\nsentence", "ascending\nscore"])
    ax.set_xlabel(f"order in layer {int(data['ordered_layer'])}")
    ax.tick_params(left=False)
    ax.spines[:].set_visible(False)
    ax.grid(False)
