"""Error against the number of layers, and stacks over the flow."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mamba_dynamics.style import PAGE, PREDICTED, TOKEN_COLOURS

from ..catalogue import Data

#: Case -> marker and words.
CASES = {
    "fast": ("^", "blow-up, 0.95 $T^*$"),
    "convergent": ("o", "convergent"),
    "slow": ("D", "slow divergence"),
    "vectors": ("s", "$D = 3$"),
}
#: Stack -> how it is marked.
STACKS = {
    4: {"marker": "o", "markersize": 5.5, "markerfacecolor": "white"},
    16: {"marker": "s", "markersize": 3.2},
    64: {"marker": ".", "markersize": 2.5},
}
#: T is this share of T*.
SHARE = 0.95


def plot(data: Data) -> Figure:
    figure, (errors, tokens) = plt.subplots(1, 2, figsize=(PAGE, 2.9))
    _errors(errors, data)
    _tokens(tokens, data)
    return figure


def _errors(ax: Axes, data: Data):
    layers = data["layers"]
    for (name, (marker, words)), colour in zip(CASES.items(), TOKEN_COLOURS[3:], strict=False):
        error = data[f"{name}_error"]
        ax.loglog(layers, error, marker, color=colour, markersize=4, label=words)
        ax.loglog(layers, error[-1] * layers[-1] / layers, **PREDICTED)
    ax.set(
        xlabel="layers $K$",
        ylabel="largest relative error over tokens",
        title="(a) error at time $T$; dashed: slope $-1$",
    )
    ax.legend()


def _tokens(ax: Axes, data: Data):
    time = data["flow_time"]
    for token, colour in enumerate(TOKEN_COLOURS[: data["flow"].shape[1]]):
        ax.plot(time, data["flow"][:, token], **PREDICTED)
        for count, mark in STACKS.items():
            path = data[f"stack_{count}"][:, token]
            ax.plot(np.linspace(0.0, time[-1], count + 1), path, color=colour, linewidth=0.6, **mark)
    end = time[-1] / SHARE
    ax.axvline(end, color="0.4", linewidth=0.8, linestyle=":")
    ax.text(end, 1.8, " $T^*$")
    ax.set_xlim(right=1.07 * end)
    ax.set(xlabel="depth as time, $t = kT/K$", ylabel="$x_l$", title="(b) stacks lag behind the blow-up; dashed: flow")
    tokens = [Line2D([], [], color=TOKEN_COLOURS[k], linewidth=3, label=f"token {k + 1}") for k in range(3)]
    stacks = [Line2D([], [], color="0.3", linestyle="", label=f"$K = {k}$", **mark) for k, mark in STACKS.items()]
    ax.legend(handles=[*tokens, *stacks], loc="upper left", ncols=2)
