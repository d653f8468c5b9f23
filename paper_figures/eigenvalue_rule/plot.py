"""Four panels: |x| over time, q over the angle, the map of outcomes over c, the fraction that diverges."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from mamba_dynamics.style import PAGE, PREDICTED, TOKEN_COLOURS

from ..catalogue import Data

#: Example -> colour and M.
EXAMPLES = {
    "negative": (TOKEN_COLOURS[1], "$M = [[-1, 10], [0, -1]]$,\neigenvalues $-1, -1$"),
    "positive": (TOKEN_COLOURS[0], "$M = [[0.1, -10], [0, 0.1]]$,\neigenvalues $0.1, 0.1$"),
}
DECAYS, GROWS = "#DCE9F5", "#F6C9A0"
ANGLE_TICKS = {0.0: "0", 0.25: r"$\pi/4$", 0.5: r"$\pi/2$", 0.75: r"$3\pi/4$", 1.0: r"$\pi$"}


def plot(data: Data) -> Figure:
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.8))
    (norm, form), (outcomes, fraction) = axes
    _norms(norm, data)
    _forms(form, data)
    _outcomes(outcomes, data)
    _fraction(fraction, data)
    return figure


def _norms(ax: Axes, data: Data):
    for name, (colour, words) in EXAMPLES.items():
        time, norm, M = (data[f"{name}_{key}"] for key in ("time", "norm", "M"))
        ax.semilogy(time, norm, "o", color=colour, markersize=3.5, label=words)
        # q(1, 1) is the sum of M's entries, and |x_0|^2 = 2; points crowd towards a blow-up.
        fine = time[-1] - np.append(np.geomspace(time[-1], 1e-6, 500), 0.0)
        ax.semilogy(fine, np.sqrt(2 / (1 - 2 * M.sum() * np.log(2) * fine)), **PREDICTED)
    T = float(data["negative_blow_up_time"])
    ax.axvline(T, color="0.4", linewidth=0.8, linestyle=":")
    ax.text(T + 0.004, 50, rf"$T^* = 1/(16\,\ln 2) = {T:.4f}$", fontsize=7)
    ax.set(xlabel="$t$", ylabel="$|x|$", title="(a) the eigenvalues mislead: from (1, 1); dashed: exact")
    ax.legend(loc=(0.42, 0.28))


def _forms(ax: Axes, data: Data):
    for k, (name, (colour, _)) in enumerate(EXAMPLES.items()):
        ax.plot(data["angle"], data[f"{name}_q"], color=colour)
        ax.axhline(data[f"{name}_eigenvalues"][0].real, color=colour, linestyle=":", linewidth=1.3)
        ax.plot([np.pi * (1.03 + 0.03 * k)] * 2, data[f"{name}_range"], color=colour, linewidth=3)
    ax.axhline(0.0, color="black", linewidth=0.6)
    ax.plot([np.pi / 4] * 2, [data[f"{name}_q"][len(data["angle"]) // 4] for name in EXAMPLES], "ko", markersize=3.5)
    ax.annotate("(1, 1)", (np.pi / 4, 4), (0, 4), textcoords="offset points", fontsize=7, ha="center")
    ax.set(xlim=(0, 1.08 * np.pi), ylim=(-6.5, 6.5), ylabel=r"$q(\cos\varphi, \sin\varphi)$")
    ax.set_title("(b) $q > 0$ grows; dotted: eigenvalues; bars: range of $q$")
    _angles(ax.set_xticks)
    ax.set_xlabel(r"direction $\varphi$")


def _outcomes(ax: Axes, data: Data):
    c, direction = data["c"], data["direction"]
    ax.pcolormesh(direction, c, data["diverges"], cmap=ListedColormap([DECAYS, GROWS]), vmin=0, vmax=1)
    fine = np.linspace(2.0, c[-1] + 0.3, 400)
    for edge in (np.arcsin(2 / fine) / 2, np.pi / 2 - np.arcsin(2 / fine) / 2):
        ax.plot(edge, fine, **PREDICTED)
    ax.text(np.pi / 4, 7, "blows up", ha="center")
    ax.text(3 * np.pi / 4, 7, "tends to 0", ha="center")
    ax.set(
        xlim=(0, np.pi),
        title=r"(c) $M = [[-1, c], [0, -1]]$, eigenvalues $-1, -1$",
        ylabel="$c$",
        xlabel=r"direction $\varphi$",
    )
    ax.grid(False)
    _angles(ax.set_xticks)


def _fraction(ax: Axes, data: Data):
    c = data["c"]
    ax.plot(c, data["fraction"], "o", color=TOKEN_COLOURS[1], markersize=3.5, label="edges found by bisection")
    fine = np.linspace(0.0, c[-1] + 0.3, 600)
    ax.plot(
        fine, np.arccos(np.minimum(1.0, 2 / np.maximum(fine, 2.0))) / np.pi, **PREDICTED, label=r"$\arccos(2/c)/\pi$"
    )
    ax.set(ylim=(-0.02, 0.5), title="(d) fraction of directions that blow up", xlabel="$c$", ylabel="fraction")
    ax.legend(loc="lower right")


def _angles(set_ticks):
    set_ticks([np.pi * share for share in ANGLE_TICKS], list(ANGLE_TICKS.values()))
