"""Scenarios, spectra, alignments and channels, one column a layer."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mamba_dynamics.plotting import draw_clouds, draw_scenarios, draw_shares, draw_signed, layer_axis
from mamba_dynamics.style import PAGE

from ..catalogue import Data

LEVELS = {
    "spectral": r"eigenvalues of $M$",
    "certified": r"inertia of $\mathrm{sym}\,M$",
    "tokens": r"signs of $q(x_l)$",
}
PANELS = [["evidence", "evidence"], ["spectrum", "symmetric_part"], ["alignment", "channels"]]


def plot(data: Data) -> Figure:
    figure, axes = plt.subplot_mosaic(PANELS, figsize=(PAGE, 4.8), height_ratios=[0.75, 1.5, 1.5])
    layers = list(range(len(data["spectral"])))
    draw_scenarios(axes["evidence"], {name: data[level].tolist() for level, name in LEVELS.items()})
    for which in ("spectrum", "symmetric_part"):
        columns = np.broadcast_to(np.array(layers, float)[:, None], data[which].shape)
        draw_signed(axes[which], columns.ravel(), data[which].ravel(), data[f"{which}_sign"].ravel())
    draw_clouds(axes["alignment"], list(data["alignment"]))
    counts = {name: data[name].astype(float) for name in ("convergent", "slow_or_fast", "degenerate")}
    draw_shares(axes["channels"], counts, np.array(layers, float))
    for ax in axes.values():
        layer_axis(ax, layers)
    axes["spectrum"].set_ylabel(r"$\mathrm{Re}\ \lambda(M)$")
    axes["symmetric_part"].set_ylabel(r"$\lambda(\mathrm{sym}\,M)$")
    axes["alignment"].set(ylabel=r"$\cos\angle(S_C x_l, S_B x_l)$", ylim=(-1.05, 1.05))
    axes["channels"].set_ylabel("share of channels")
    return figure
