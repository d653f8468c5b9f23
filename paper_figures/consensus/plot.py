"""Both measures of consensus against the number of blocks passed."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mamba_dynamics.style import PAGE, TOKEN_COLOURS

from ..catalogue import Data

CASES = {"full": "whole blocks", "without_gate": "without the output gate"}


def plot(data: Data) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
    for colour, (case, label) in zip(TOKEN_COLOURS, CASES.items(), strict=False):
        depths = np.arange(len(data[f"{case}_share"]))
        left.plot(depths, data[f"{case}_share"], color=colour, label=label)
        right.semilogy(depths, data[f"{case}_ratio"], color=colour)
    orthogonal = {"color": "black", "linestyle": ":", "linewidth": 1.0}
    left.axhline(1 / data["tokens"], **orthogonal, label="orthogonal tokens")
    right.axhline(data["tokens"], **orthogonal)
    for ax in (left, right):
        ax.axvline(float(data["layers"]), color="#8A8A8A", linewidth=0.8)
        ax.set(xlabel="blocks passed", xlim=(0, len(data["full_share"]) - 1))
    left.set(ylabel="leading share of the Gram matrix", ylim=(0, 1.02))
    right.set(ylabel="participation ratio", ylim=(1, 1.3 * data["tokens"]))
    right.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    right.minorticks_off()
    left.legend(loc="center right")
    return figure
