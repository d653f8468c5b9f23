"""Tokens in plain time over the hidden attention at the end of it, one column a situation."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mamba_dynamics.style import PAGE, PREDICTED, SIGNED

from ..catalogue import Data

TITLES = {
    "convergent": r"convergent: $\mu < 0$",
    "slow": r"slow: $\mu > 0$, all $s x_l < 0$",
    "one": r"fast: one $s x_l > 0$",
    "several": r"fast: several $s x_l > 0$",
}
#: Where the tokens of a situation spread over decades, x_l is drawn as arsinh: logarithmic beyond about this size.
LINEAR_UP_TO = {"one": 0.5, "several": 0.5}
TICKS = (-100, -10, -1, 0, 1, 10, 100)
#: Entries this far below the largest are drawn like zero.
SMALLEST = 1e-4


def plot(data: Data) -> Figure:
    figure, (above, below) = plt.subplots(2, len(TITLES), figsize=(PAGE, 3.8), height_ratios=[1, 1.05])
    for name, top, bottom in zip(TITLES, above, below, strict=True):
        colours = _tokens(top, data, name)
        image = _attention(bottom, data[f"{name}_attention"])
    above[0].set_ylabel(r"token $x_l$")
    below[0].set_ylabel("token $l$")
    places = np.arange(1, colours.N + 1)
    scale = plt.cm.ScalarMappable(BoundaryNorm(np.arange(0.5, colours.N + 1), colours.N), colours)
    figure.colorbar(scale, ax=above, label="token $l$", ticks=places[::3], aspect=14).minorticks_off()
    figure.colorbar(image, ax=below, label=r"$P_{lj}\,/\,\max|P|$", ticks=[-1, -1e-2, 0, 1e-2, 1], aspect=14)
    return figure


def _tokens(ax: Axes, data: Data, name: str) -> ListedColormap:
    x = data[f"{name}_x"]
    colours = ListedColormap(plt.colormaps["viridis"](np.linspace(0, 0.93, x.shape[1])))
    for token in range(x.shape[1]):
        ax.plot(data[f"{name}_t"], x[:, token], color=colours(token))
    if np.isfinite(data[f"{name}_blow_up_time"]):
        ax.axvline(float(data[f"{name}_blow_up_time"]), **PREDICTED)
        ax.annotate(
            "$T^*$",
            (float(data[f"{name}_blow_up_time"]), 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(-3, 0),
            textcoords="offset points",
            ha="right",
            va="top",
        )
    if name in LINEAR_UP_TO:
        ax.set_yscale("asinh", linear_width=LINEAR_UP_TO[name])
        ax.set_yticks(TICKS, [f"{tick}".replace("-", "\N{MINUS SIGN}") for tick in TICKS])
        ax.set_ylim(1.3 * x.min(), 1.3 * x.max())
        ax.minorticks_off()
    ax.set(xlabel="$t$", title=TITLES[name])
    ax.xaxis.set_major_locator(MaxNLocator(4))
    return colours


def _attention(ax: Axes, attention: np.ndarray):
    largest, count = np.abs(attention).max(), len(attention)
    shown = np.ma.masked_where(np.triu(np.ones(attention.shape, bool), 1), attention / largest)
    norm = SymLogNorm(linthresh=SMALLEST, vmin=-1, vmax=1)
    edges = (0.5, count + 0.5, count + 0.5, 0.5)
    image = ax.imshow(shown, cmap=SIGNED, norm=norm, extent=edges)
    ax.set(xlabel="attended token $j$", xticks=range(1, count + 1, 3), yticks=range(1, count + 1, 3))
    exponent = int(np.floor(np.log10(largest)))
    ax.set_title(rf"$\max|P| = {largest / 10.0**exponent:.1f} \times 10^{{{exponent}}}$")
    ax.grid(False)
    return image
