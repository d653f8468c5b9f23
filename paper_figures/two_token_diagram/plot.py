"""The phase diagram with its boundaries, and the boundary between l* = 1 and l* = 2 for three decay rates."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from mamba_dynamics.style import PAGE, PREDICTED, TOKEN_COLOURS

from ..catalogue import Data

#: Slow divergence, l* = 1, l* = 2.
COLOURS = ListedColormap(["#F1E3EC", "#CFE3F3", "#FBD9BF"])


def plot(data: Data) -> Figure:
    figure, (diagram, boundary) = plt.subplots(1, 2, figsize=(PAGE, 3.4))
    _diagram(diagram, data)
    _boundary(boundary, data)
    return figure


def _diagram(ax: Axes, data: Data):
    axis = data["axis"]
    extent = axis[-1] + 0.5 * (axis[1] - axis[0])
    ax.pcolormesh(axis, axis, data["first"], cmap=COLOURS, vmin=0, vmax=2)
    log_time = np.ma.masked_invalid(np.log(data["blow_up_time"]))
    lines = ax.contour(
        axis, axis, log_time, levels=[-4, -3, -2, -1, 0, 1], colors="0.45", linewidths=0.7, linestyles="solid"
    )
    # Labels where the lines are straight: T* is that of token 1 alone.
    ax.clabel(lines, fmt="%d", fontsize=7, manual=[(x, -2.2) for x in (0.4, 0.6, 0.9, 1.3, 1.9, 2.6)])
    (rate,) = np.flatnonzero(data["rates"] == 1.0)
    z, k = data["curve_z"][rate], data["curve_k"][rate]
    for x, y in (([-extent, 0], [0, 0]), ([0, 0], [-extent, 0]), (z, k * z)):
        ax.plot(x, y, **PREDICTED | {"linewidth": 1.4})
    words = {(-1.5, -1.5): "slow", (1.6, -1.2): "fast, token 1 first", (-1.3, 1.6): "fast, token 2 first"}
    for colour, (place, text) in enumerate(words.items()):
        box = {"facecolor": COLOURS.colors[colour], "edgecolor": "none", "pad": 1.5}  # pyright: ignore[reportIndexIssue]
        ax.text(*place, text, ha="center", va="center", bbox=box)
    ax.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal", xlabel="$s\\,x_1(0)$", ylabel="$s\\,x_2(0)$")
    ax.set_title(r"(a) scenario and first token; grey: $\ln T^*$")
    ax.grid(False)


def _boundary(ax: Axes, data: Data):
    starts = data["starts"]
    for a, bisected, z, k, colour in zip(
        data["rates"], data["bisected"], data["curve_z"], data["curve_k"], TOKEN_COLOURS, strict=False
    ):
        ax.semilogx(starts, bisected, "o", color=colour, markersize=3.5, label=f"$a = {a:g}$")
        ax.semilogx(z, k, **PREDICTED)
        ax.axhline(np.sqrt(1 - 2.0**-a), color=colour, linestyle=":", linewidth=1.0)
    ax.set(xlim=(0.005, 20), ylim=(0.5, 1.02), xlabel="$s\\,x_1(0)$", ylabel="$x_2(0) / x_1(0)$ on the boundary")
    ax.set_title("(b) the boundary: token 2 first above it, token 1 below")
    ax.legend(loc=(0.72, 0.2))
