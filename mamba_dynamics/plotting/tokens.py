"""What a model does to the tokens of a text: hidden attention, consensus along the depth, radial rates."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm

from ..style import SIGNED
from .axes import given_or_new, signed_log_ticks, token_axis

if TYPE_CHECKING:
    from .._report import Report
    from ..models.consensus import ConsensusCurve

#: Entries of a hidden attention this many decades below the largest are drawn like zero.
DECADES = 4


def plot_hidden_attention(
    attention: Float[np.ndarray, "L L"], pieces: Sequence[str] | None = None, *, ax: Axes | None = None
) -> Axes:
    """The hidden attention P of one channel or head: row l, column j shows P_lj, signed, on a logarithmic scale.

    Args:
        attention: from `Visit.hidden_attention`, `AbstractTokenDynamics.hidden_attention`; zero above the diagonal.
        pieces: the text of every token, for the axes.
    """
    P = np.asarray(attention, float)
    ax = given_or_new(ax)
    largest = float(np.abs(P).max()) or 1.0
    norm = SymLogNorm(linthresh=largest * 10.0**-DECADES, vmin=-largest, vmax=largest)
    shown = np.ma.masked_where(np.triu(np.ones(P.shape, bool), 1), P)
    image = ax.imshow(shown, cmap=SIGNED, norm=norm, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label=r"$P_{lj}$", ticks=signed_log_ticks(largest, DECADES))
    ax.grid(visible=False)
    token_axis(ax, "x", len(P), pieces, "attended token $j$")
    token_axis(ax, "y", len(P), pieces, "token $l$")
    return ax


def plot_consensus(curves: "Mapping[str, ConsensusCurve]", *, ax: Axes | None = None) -> Axes:
    """The leading share of every curve against depth; 1 is collinear tokens."""
    ax = given_or_new(ax)
    for name, curve in curves.items():
        ax.plot(np.arange(len(curve.leading_share)), curve.leading_share, label=name.replace("_", " "))
    ax.set(xlabel="blocks passed", ylabel="leading share of the Gram matrix", ylim=(0, 1.02))
    ax.legend()
    return ax


def plot_radial_rates(report: "Report", *, ax: Axes | None = None) -> Axes:
    """<u, Block(u)> / |u|^2 of every token (columns) in every layer (rows): what each block does to each token's size.

    Raises `ValueError` for a report without a text.
    """
    layers = [layer for layer in report.layers if layer.block is not None]
    if report.text is None or not layers:
        raise ValueError("expected a report on a text (classify_checkpoint(..., text=...)), found one on weights alone")
    ax = given_or_new(ax)
    rates = np.stack([layer.block.radial_rates for layer in layers if layer.block is not None])
    draw_radial_rates(ax, rates, [layer.slot.index for layer in layers], report.text.pieces)
    return ax


def draw_radial_rates(
    ax: Axes, rates: Float[np.ndarray, "K L"], indices: Sequence[int], pieces: Sequence[str] | None
) -> None:
    """Radial rates of tokens (columns) in layers (rows), signed, on a logarithmic scale."""
    largest = float(np.nanmax(np.abs(rates))) or 1.0
    norm = SymLogNorm(linthresh=0.01 * largest, vmin=-largest, vmax=largest)
    image = ax.imshow(rates, cmap=SIGNED, norm=norm, aspect="auto", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label=r"radial rate $\langle u, \mathrm{Block}(u)\rangle / |u|^2$")
    ax.grid(visible=False)
    token_axis(ax, "x", rates.shape[1], pieces, "token")
    ax.set_yticks(np.arange(len(indices)), [str(index) for index in indices])
    ax.set_ylabel("layer")
