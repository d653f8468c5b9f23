"""Tokens along a run, on the axes where the law of the run's regime is a straight line.

outcome                      drawn                     against
blew_up                      ln|x_l|                   ln 1/(T* - t)
diverges_slowly              |x_l|                     ln t
reached_until                ln|x_l|                   t
everything else              ln|x_l|                   ln t
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap

from ..style import PREDICTED, TOKEN_COLOURS, UNSIGNED
from .axes import given_or_new

if TYPE_CHECKING:
    from .._trajectory import TokenTrajectory

Clock = Literal["t", "log_t", "log_remaining"]
Quantity = Literal["log_norms", "norms", "x"]

CLOCK_LABELS = {"t": r"$t$", "log_t": r"$\ln\,t$", "log_remaining": r"$\ln\,1/(T^*-t)$"}
QUANTITY_LABELS = {"log_norms": r"$\ln\,|x_l|$", "norms": r"$|x_l|$", "x": r"$x_l$"}


def plot_trajectory(
    run: "TokenTrajectory",
    *,
    against: Clock | None = None,
    quantity: Quantity | None = None,
    tokens: Sequence[int] | None = None,
    predicted: Float[np.ndarray, "S L"] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Each token's size, one line per token in its own colour.

    Args:
        run: from `solve`, or a verdict's `trajectory`.
        against: "t", "log_t" (ln t) or "log_remaining" (ln 1/(T* - t), for a run that blew up).
        quantity: "log_norms" (ln|x_l|, the Euclidean norm for D > 1), "norms" (|x_l|) or "x" (the token itself; for
            D > 1 one line per channel). What is not given follows from the outcome: see this module's table.
        tokens: which tokens, 0-based; default all.
        predicted: ln|x_l| as a theory has it, at the run's samples, dashed over the measured lines and nan where it
            says nothing. It does not widen the axes.

    Raises:
        ValueError: `against` "log_remaining" for a run that did not blow up.
    """
    against = against or default_clock(run)
    quantity = quantity or ("norms" if run.outcome == "diverges_slowly" else "log_norms")
    ax = given_or_new(ax)
    clock, values = _clock(run, against), _values(run, quantity)
    chosen = list(range(run.log_norms.shape[1]) if tokens is None else tokens)
    # A run in which nothing moved is one point.
    marker = "o" if len(run) == 1 else None
    colours = _colours(chosen)
    for token, colour in zip(chosen, colours, strict=True):
        lines = ax.plot(clock, values[:, token], color=colour, marker=marker)
        lines[0].set_label(f"token {token + 1}")
    ax.set(xlabel=CLOCK_LABELS[against], ylabel=_label(run, quantity))
    if predicted is not None:
        _plot_predicted(ax, clock, _as_drawn(run, predicted, quantity)[:, chosen])
    _name_tokens(ax, chosen, colours)
    return ax


def default_clock(run: "TokenTrajectory") -> Clock:
    """The clock in which the run's regime is a straight line; plain time for a run to a time that a float can hold."""
    if run.log_remaining is not None:
        return "log_remaining"
    nothing_moved = len(run) == 1
    cut = run.outcome == "reached_until" and bool(np.isfinite(run.t[-1]))
    return "t" if cut or nothing_moved else "log_t"


def _clock(run: "TokenTrajectory", against: Clock) -> Float[np.ndarray, " S"]:
    if against == "t":
        return _finite(run.t)
    if against == "log_t":
        return _finite(run.log_t)
    if run.log_remaining is None:
        raise ValueError(
            f"expected a run that blew up, found {run.outcome}: there is no T* to draw against; "
            "use against='log_t' or 't'"
        )
    return -run.log_remaining


def _values(run: "TokenTrajectory", quantity: Quantity) -> Float[np.ndarray, "S L *D"]:
    if quantity == "x":
        return _finite(run.x)
    return _finite(run.log_norms if quantity == "log_norms" else _exp(run.log_norms))


def _as_drawn(run: "TokenTrajectory", log_abs: Float[np.ndarray, "S L"], quantity: Quantity):
    if quantity == "log_norms":
        return log_abs
    return _exp(log_abs) if quantity == "norms" else run.sign * _exp(log_abs)


def _exp(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(values)


def _finite(values: np.ndarray) -> np.ndarray:
    """Values with gaps where they leave float64's range."""
    return np.where(np.isfinite(values), values, np.nan)


def _plot_predicted(ax: Axes, clock: np.ndarray, predicted: np.ndarray):
    """Dashed lines within the axes of what was measured; the first one names them all in the legend."""
    limits = ax.get_ylim()
    for curve in predicted.T[np.isfinite(predicted).any(axis=0)]:
        named = any(line.get_label() == "theory" for line in ax.get_lines())
        ax.plot(clock, _finite(curve), label=None if named else "theory", **PREDICTED)
    ax.set_ylim(limits)


def _label(run: "TokenTrajectory", quantity: Quantity) -> str:
    several_channels = run.log_abs.ndim == 3
    label = QUANTITY_LABELS[quantity]
    return r"$x_{ld}$" if several_channels and quantity == "x" else label


def _colours(chosen: Sequence[int]) -> list:
    """One of `TOKEN_COLOURS` for each token; shades along the sequence where these would repeat."""
    if max(chosen, default=0) < len(TOKEN_COLOURS):
        return [TOKEN_COLOURS[token] for token in chosen]
    return list(mpl.colormaps[UNSIGNED](np.linspace(0.0, 0.9, len(chosen))))


def _name_tokens(ax: Axes, chosen: Sequence[int], colours: list):
    """A legend for a few tokens, a colour bar for many."""
    if len(chosen) <= len(TOKEN_COLOURS):
        ax.legend(ncols=1 if len(chosen) < 5 else 2)
        return
    edges = np.arange(len(chosen) + 1) - 0.5
    shades = ListedColormap(colours)
    bar = ax.figure.colorbar(ScalarMappable(BoundaryNorm(edges, len(chosen)), shades), ax=ax, label="token")
    ticks = np.linspace(0, len(chosen) - 1, 5).astype(int)
    bar.set_ticks(ticks.tolist(), labels=[str(chosen[tick] + 1) for tick in ticks])
    bar.ax.minorticks_off()
