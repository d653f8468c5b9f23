"""Exponents and constants against mu_1, and the tokens of one case with their powers."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamba_dynamics.style import PAGE, PREDICTED, TOKEN_COLOURS

from ..catalogue import Data

DELTA_0 = np.log(2)
MARKERS, TOKENS = "os^D", 4


def plot(data: Data) -> Figure:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.7), gridspec_kw={"wspace": 0.06})
    fine = np.linspace(-1.05, 0.9, 400)
    sums, kappa = np.swapaxes([_predicted(weight, data["rates"]) for weight in fine], 0, 1)
    _curves(left, data["weight"], data["exponents"], fine, -np.maximum(1, sums) / 2)
    _curves(middle, data["weight"], data["kappa"], fine, kappa)
    left.set(ylabel=r"$\lim\,d\ln|x_l|\,/\,d\ln t$", ylim=(-4.2, 0), title=r"dashed: $-\max(1, K_l)/2$")
    middle.set(ylabel=r"$2|\mu_1 + \mu_2|\,\delta_0\,t\,x_l^2$", title=r"dashed: $\kappa_l = \max(0, 1 - K_l)$")
    left.legend(loc="lower left")
    _tokens(right, data)
    return figure


def _predicted(weight: float, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K_l, kappa_l) for mu_n = (weight, -1)."""
    mu = np.array([weight, -1.0])
    sums, kappa = np.zeros(TOKENS), np.zeros(TOKENS)
    for token in range(TOKENS):
        gaps = DELTA_0 * np.arange(token, 0, -1)
        sums[token] = kappa[:token] @ np.exp(-np.outer(gaps, rates)) @ mu / mu.sum()
        kappa[token] = max(0.0, 1 - sums[token])
    return sums, kappa


def _curves(ax: Axes, weight: np.ndarray, measured: np.ndarray, fine: np.ndarray, predicted: np.ndarray):
    for token, (colour, marker) in enumerate(zip(TOKEN_COLOURS, MARKERS, strict=False)):
        ax.plot(fine, predicted[:, token], **PREDICTED)
        style = {"color": colour, "markersize": 5.5 - 0.7 * token, "zorder": 4}
        ax.plot(weight, measured[:, token], marker, **style, label=f"token {token + 1}")
    ax.set(xlabel=r"$\mu_1$", xlim=(-1.05, 0.95))


def _tokens(ax: Axes, data: Data):
    log_t, decades = data["log_t"], np.log(10)
    exponents = -np.maximum(1, _predicted(float(data["shown"]), data["rates"])[0]) / 2
    for token, exponent in enumerate(exponents):
        log_abs = data["log_abs"][:, token]
        ax.plot(log_t / decades, log_abs / decades, color=TOKEN_COLOURS[token])
        ax.plot(log_t / decades, (log_abs[-1] + exponent * (log_t - log_t[-1])) / decades, **PREDICTED)
    ax.set(xlabel=r"$\log_{10} t$", ylabel=r"$\log_{10} |x_l|$", xlim=(-2, 60), ylim=(-60, 3))
    ax.set_title(rf"$\mu_1 = {float(data['shown']):g}$; dashed: $t^{{-\max(1, K_l)/2}}$")
