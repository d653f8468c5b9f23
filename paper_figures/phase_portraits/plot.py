"""Four phase portraits: sign of growth, flow, null cone, orbits by fate."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mamba_dynamics.style import PAGE, TOKEN_COLOURS

from ..catalogue import Data

BLUE, VERMILION, GREEN, PINK = TOKEN_COLOURS[:4]
#: Fate -> colour, marker of the start, words.
FATES = {
    "blew_up": (VERMILION, "^", "blows up"),
    "diverges_slowly": (PINK, "D", "diverges slowly"),
    "converged_to_equilibrium": (GREEN, "s", "stops on the cone"),
    "converged_to_zero": (BLUE, "o", "tends to 0"),
}
DECAYS, GROWS = "#DCE9F5", "#FCE8D5"
TITLES = {
    "a": "(a) two positive eigenvalues",
    "b": "(b) one positive, one negative",
    "c": "(c) two negative eigenvalues",
    "d": r"(d) $M=\mathrm{diag}(1,-1)$, $S_\Delta=\mathrm{diag}(-1,1)$",
}


def plot(data: Data) -> Figure:
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 7.2))
    for ax, (name, title) in zip(axes.flat, TITLES.items(), strict=True):
        panel = {key[2:]: value for key, value in data.items() if key.startswith(f"{name}_")}
        _field(ax, panel)
        _cone(ax, panel)
        _orbits(ax, panel)
        if name == "d":
            _name_ends(ax, panel)
        window = panel["axis"][[0, -1]]
        ax.set(xlim=window, ylim=window, aspect="equal", title=title, xlabel=r"$x_1$", ylabel=r"$x_2$")
        ax.grid(False)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4)
    return figure


def _field(ax: Axes, panel: Data):
    axis, direction = panel["axis"], panel["direction"]
    ax.contourf(axis, axis, panel["q"], levels=[-np.inf, 0.0, np.inf], colors=[DECAYS, GROWS])
    # Every other point of the grid, inside the frame.
    at = slice(2, -1, 4)
    ax.quiver(
        axis[at], axis[at], *np.moveaxis(direction[at, at], -1, 0), pivot="mid", color="0.55", scale=24, width=0.004
    )


def _cone(ax: Axes, panel: Data):
    for ray, rate in zip(panel["cone"], panel["cone_rate"], strict=True):
        for side, width in ((rate < 0, 3.2), (rate >= 0, 0.8)):
            x = np.where(side[:, None], ray, np.nan)
            ax.plot(x[:, 0], x[:, 1], color="black", linewidth=width, solid_capstyle="butt", zorder=2)


def _orbits(ax: Axes, panel: Data):
    for start, path, end, fate in zip(panel["start"], panel["path"], panel["end"], panel["fate"], strict=True):
        colour, marker, _ = FATES[str(fate)]
        ax.plot(path[:, 0], path[:, 1], color=colour, zorder=3)
        ax.plot(*start, marker, color=colour, markersize=4.5, markeredgecolor="white", markeredgewidth=0.5, zorder=4)
        if fate == "converged_to_equilibrium":
            ax.plot(*end, "o", color="white", markeredgecolor="black", markersize=3.5, markeredgewidth=0.8, zorder=5)


def _name_ends(ax: Axes, panel: Data):
    """Where the orbits from (1, 0.5) and (0.5, 1) stop, each named across the cone from its orbit."""
    for start, end in zip(panel["start"], panel["end"], strict=True):
        if np.allclose(np.sort(start), (0.5, 1.0)):
            from_below = start[0] > start[1]
            side = {"xytext": (-6, 4), "ha": "right"} if from_below else {"xytext": (7, -8)}
            box = {"facecolor": DECAYS if from_below else GROWS, "edgecolor": "none", "pad": 1.0}
            words = f"({end[0]:.4f}, {end[1]:.4f})"
            ax.annotate(words, end, textcoords="offset points", fontsize=7, bbox=box, **side)


def _legend() -> list[Line2D | Patch]:
    fates: list[Line2D | Patch] = [
        Line2D([], [], color=colour, marker=marker, markersize=4.5, label=words)
        for colour, marker, words in FATES.values()
    ]
    return [
        *fates,
        Patch(facecolor=GROWS, label=r"$q(x) > 0$: grows"),
        Patch(facecolor=DECAYS, label=r"$q(x) < 0$: decays"),
        Line2D([], [], color="black", linewidth=3.2, label=r"$q = 0$, attracting"),
        Line2D([], [], color="black", linewidth=0.8, label=r"$q = 0$, repelling"),
    ]
