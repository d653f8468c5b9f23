"""Four laws on the axes where each is a constant or a straight line of slope 1."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamba_dynamics.style import PAGE, PREDICTED, TOKEN_COLOURS

from ..catalogue import Data


def plot(data: Data) -> Figure:
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.4))
    for draw, ax in zip((_convergent, _slow, _fast, _hierarchy), axes.flat, strict=True):
        draw(ax, data)
    handles = [plt.Line2D([], [], color=TOKEN_COLOURS[token], label=f"token {token + 1}") for token in range(5)]
    handles.append(plt.Line2D([], [], **PREDICTED, label="predicted"))
    figure.legend(handles=handles, loc="outside upper center", ncols=6)
    return figure


def _curves(ax: Axes, x: np.ndarray, y: np.ndarray):
    for token in range(y.shape[1]):
        ax.plot(x, y[:, token], color=TOKEN_COLOURS[token])


def _constant(ax: Axes, value: float, name: str):
    ax.axhline(value, **PREDICTED)
    ax.annotate(
        name,
        (0.98, value),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
    )


def _convergent(ax: Axes, data: Data):
    _curves(ax, data["convergent_log_t"], data["convergent"])
    _constant(ax, 1.0, r"$\kappa_1 = 1$")
    _constant(ax, 1 - np.exp(-float(data["decay"])), r"$\kappa_l = 1 - e^{-a\delta_0}$")
    ax.set(xlabel=r"$\ln t$", ylabel=r"$2|\mu|\,\delta_0\,t\,x_l^2$", xlim=(-2, 40), ylim=(0, 1.2))
    ax.set_title("(a) convergent")


def _slow(ax: Axes, data: Data):
    log_t = data["slow_log_t"]
    _curves(ax, log_t, data["slow"])
    for token, ratio in enumerate(data["ratios"][1:], 2):
        _constant(ax, float(ratio), rf"$c_{token}$")
    ax.plot(log_t, 1 + 3 * np.log(log_t) / log_t, **PREDICTED)
    ax.annotate(r"$1 + 3\,\ln\ln t\,/\,\ln t$", (5, 0.5))
    ax.set(xscale="log", xlim=(2, 1e5), ylim=(0, 9), xlabel=r"$\ln t$", ylabel=r"$|s x_l|\,/\,\ln t$")
    ax.set_title("(b) slow divergence")


def _fast(ax: Axes, data: Data):
    _curves(ax, data["fast_depth"], data["fast"])
    _constant(ax, 1.0, "1")
    _constant(ax, float(data["fast"][-1, 2]), r"$\lim |x_3 / x_2|$")
    ax.set(xscale="log", ylim=(-0.05, 1.14), xlabel=r"$\ln\,1/(T^* - t)$", ylabel=r"$(3\mu|s|(T^* - t))^{1/3}\,|x_l|$")
    ax.set_title("(c) fast divergence")


def _hierarchy(ax: Axes, data: Data):
    log_x = data["fast_log_abs"]
    _line(ax, data["fast_depth"] / 3, data["F_4"], 3)
    ax.set(xlabel=r"$\frac{1}{3}\,\ln\,1/(T^* - t)$", ylabel=r"$F(|x_4|)$")
    ax.set_title("(d) fast divergence, slower tokens")
    inset = ax.inset_axes((0.66, 0.24, 0.32, 0.4))
    _line(inset, log_x[:, 3], data["F_5"], 4)
    inset.set_xlabel(r"$\ln |x_4|$", labelpad=0)
    inset.set_ylabel(r"$F(|x_5|)$", labelpad=1)


def _line(ax: Axes, x: np.ndarray, y: np.ndarray, token: int):
    """A curve and the straight line of slope 1 through its last point."""
    ax.plot(x, y, color=TOKEN_COLOURS[token])
    ax.plot(x[[0, -1]], y[-1] + x[[0, -1]] - x[-1], **PREDICTED)
