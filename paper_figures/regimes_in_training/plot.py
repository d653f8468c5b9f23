"""One column an arm, one row a quantity, one line a block."""

from typing import cast

from matplotlib.figure import Figure

from mamba_dynamics.plotting import REGIMES_OVER_TRAINING, draw_regimes

from ..catalogue import Data


def plot(data: Data) -> Figure:
    names = ("step", *REGIMES_OVER_TRAINING)
    curves = {arm: {name: data[f"{arm}_{name}"] for name in names} for arm in data["arms"].tolist()}
    return cast(Figure, draw_regimes(curves)[0, 0].figure)
