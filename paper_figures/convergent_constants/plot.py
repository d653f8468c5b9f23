"""kappa_l against a delta_0 without and with zero tokens, and the last row of t P."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamba_dynamics.style import PAGE, PREDICTED, TOKEN_COLOURS

from ..catalogue import Data

MARKERS = "os^D"
#: Where in the grid of decays rows of attention are shown: weak, middle, strong.
ROWS = (1, 3, 5)


def plot(data: Data) -> Figure:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.7))
    for ax, name in ((left, "plain"), (middle, "zeros")):
        _constants(ax, data["decay"], data[f"{name}_kappa"], data[f"{name}_x0"])
    left.set(ylabel=r"$2|\mu|\,\delta_0\,t\,x_l^2$", title="no zero tokens")
    middle.set(title="tokens 2, 5 and 6 zero")
    _last_row(right, data)
    return figure


def _constants(ax: Axes, decay: np.ndarray, kappa: np.ndarray, x0: np.ndarray):
    active, fine = np.flatnonzero(x0), np.linspace(0, 3.2, 200)
    distances = np.diff(active)
    ax.axhline(1.0, **PREDICTED)
    ax.plot(decay, kappa[:, 0], **_dots(0), label="$l = 1$")
    for distance in np.unique(distances):
        tokens = active[1:][distances == distance]
        ax.plot(fine, 1 - np.exp(-distance * fine), **PREDICTED)
        label = f"$l = {', '.join(str(token + 1) for token in tokens)}$"
        for token in tokens:
            ax.plot(decay, kappa[:, token], **_dots(distance), label=label if token == tokens[0] else None)
    ax.set(xlabel=r"$a\,\delta_0$", ylim=(0, 1.08), xlim=(0, 3.2))
    ax.legend(loc="lower right", handletextpad=0.1)


def _dots(distance: int) -> dict[str, Any]:
    """Colour and marker tell the distance to the last non-zero token (0: there is none)."""
    return {"color": TOKEN_COLOURS[distance], "marker": MARKERS[distance], "markersize": 5, "linestyle": "none"}


def _last_row(ax: Axes, data: Data):
    """|t P_lj| of the last token l against j."""
    last, places = data["plain_attention"][:, -1], np.arange(1, len(data["plain_x0"]) + 1)
    for row, colour in zip(ROWS, TOKEN_COLOURS, strict=False):
        decay, values = float(data["decay"][row]), last[row]
        kappa = np.where(places == 1, 1.0, 1 - np.exp(-decay))
        ax.semilogy(places, 0.5 * np.sqrt(kappa[-1] * kappa) * np.exp(-decay * (places[-1] - places)), **PREDICTED)
        for filled, face in ((values < 0, colour), (values > 0, "white")):
            style = {"color": colour, "markerfacecolor": face, "linestyle": "none", "marker": "o", "markersize": 5}
            ax.semilogy(places[filled], np.abs(values[filled]), **style, zorder=4)
        ax.plot([], [], "o", color=colour, label=f"{decay:g}")
    ax.set(xlabel="attended token $j$", ylabel=rf"$t\,|P_{{{len(places)}j}}|$", title="hidden attention")
    ax.legend(title=r"$a\,\delta_0$", loc="lower right", handletextpad=0.1)
