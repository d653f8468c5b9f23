"""|s x_l| and the local power of ln t, against ln t."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mamba_dynamics.style import PAGE, PREDICTED, TOKEN_COLOURS

from ..catalogue import Data


def plot(data: Data) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    log_t = data["log_t"]
    for token, colour in enumerate(TOKEN_COLOURS[: data["log_sx"].shape[1]]):
        left.loglog(log_t, np.exp(data["log_sx"][:, token]), color=colour, label=f"token {token + 1}")
        left.loglog(log_t, log_t ** (token + 1.0), **PREDICTED | {"color": colour})
        right.semilogx(data["middle"], data["power"][:, token], color=colour)
        right.axhline(token + 1, **PREDICTED | {"color": colour})
    left.set(xlabel=r"$\ln t$", ylabel=r"$|s x_l|$", title=r"dashed: the bound $(\ln t)^l$", ylim=(0.5, 1e12))
    right.set(xlabel=r"$\ln t$", ylabel=r"$d \ln |x_l| / d \ln\ln t$", title="the power of $\\ln t$", ylim=(0, 4.3))
    left.legend()
    return figure
