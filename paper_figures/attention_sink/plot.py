"""The last row's shares, its entries against ln t, and the first column rescaled."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamba_dynamics.style import PAGE, PREDICTED, TOKEN_COLOURS

from ..catalogue import Data


def plot(data: Data) -> Figure:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.7))
    _shares(left, data["log_t"], data["log_attention"][:, -1])
    _entries(middle, data["log_t"], data["log_attention"][:, -1], data["ratios"])
    _first_column(right, data["log_t"], data["log_attention"][:, :, 0], data["ratios"])
    return figure


def _shares(ax: Axes, log_t: np.ndarray, log_row: np.ndarray):
    shares = np.exp(log_row - np.logaddexp.reduce(log_row, axis=1)[:, None])
    ax.stackplot(log_t, shares.T, colors=TOKEN_COLOURS, alpha=0.85)
    tops = np.cumsum(np.concatenate([[0.0], shares[np.searchsorted(log_t, -3.2)]]))
    for token, middle in enumerate((tops[1:] + tops[:-1]) / 2):
        ax.text(-3.2, middle, f"$j = {token + 1}$", va="center", color="white", fontweight="bold")
    rows = len(shares.T)
    ax.set(xlim=(-4, 4), ylim=(0, 1), xlabel=r"$\ln t$", ylabel=rf"$P_{{{rows}j}}\,/\,\Sigma_i P_{{{rows}i}}$")
    ax.set_title(f"shares of row {rows}")
    ax.grid(False)


def _entries(ax: Axes, log_t: np.ndarray, log_row: np.ndarray, ratios: np.ndarray):
    shown = (log_t > -4) & (log_t < 500)
    x = log_t[shown]
    for token, ratio in enumerate(ratios):
        y = log_row[shown, token]
        ax.plot(x, y, color=TOKEN_COLOURS[token], linewidth=2.5, label=f"$j = {token + 1}$")
        ax.plot(x, y[-1] - ratio * (x - x[-1]), **PREDICTED)
    ax.set(xlabel=r"$\ln t$", ylabel=rf"$\ln P_{{{len(ratios)}j}}$", title="dashed: slopes $-c_j$")
    ax.legend(loc="lower left")


def _first_column(ax: Axes, log_t: np.ndarray, log_column: np.ndarray, ratios: np.ndarray):
    late = log_t > 2
    x = log_t[late]
    for token, ratio in enumerate(ratios):
        ax.semilogx(x, np.exp(log_column[late, token] + x + np.log(x)), color=TOKEN_COLOURS[token])
        ax.axhline(ratio, **PREDICTED)
        ax.annotate(
            rf"$c_{token + 1}$", (8e4, ratio), xytext=(0, 2), textcoords="offset points", ha="right", va="bottom"
        )
    ax.set(xlabel=r"$\ln t$", ylabel=r"$P_{l1}\,t\,\ln t$", xlim=(2, 1e5), ylim=(0, 1.15 * ratios.max()))
    ax.set_title("rows $l$ of column 1; dashed: $c_l$")
