"""Phase diagrams: how the runs of a sweep ended, over one or two of its axes.

plot_phase_diagram(xr.open_zarr("store"), where={"a": 1.0, "x0_2": 0.5})
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch

from .._errors import SweepError
from ..style import OUTCOME_COLOURS, STYLE
from .axes import as_text, given_or_new

#: Positive values that spread over more than this are drawn on a logarithmic axis.
LOGARITHMIC = 30.0
_SYMBOLS = {"mu": r"$\mu$", "s_delta": r"$S_\Delta$", "a": "$a$", "dt_bias": "$b$", "L": "$L$"}


def plot_phase_diagram(
    dataset: Any,
    *,
    x: str | None = None,
    y: str | None = None,
    where: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The outcome of every cell by colour; lines of equal blow-up time where there are two axes.

    Args:
        dataset: a sweep's store, opened with `xarray.open_zarr`.
        x, y: the axes to draw, by default the last two longer than 1 that `where` leaves; for random designs two
            parameters of the cells.
        where: a value for each other axis; the nearest of the sweep is taken.
        ax: axes to draw on; new ones if not given.

    Raises:
        SweepError: a name is no axis, or an axis is left over.
    """
    chosen = dataset[["outcome", "blow_up_time"]]
    axes = {str(name): chosen[name].values for name in chosen.outcome.dims}
    columns = [str(name) for name, one in chosen.coords.items() if one.dims == ("cell",) and name != "cell"]
    x, y = axes_to_draw(axes, columns, where=where, x=x, y=y)
    for name, value in (where or {}).items():
        # The nearest label is found among labels in order.
        chosen = chosen.sortby(name).sel({name: value}, method="nearest")
    chosen = chosen.squeeze(drop=False)
    ax = given_or_new(ax)
    with plt.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        draw = _draw_cells if chosen.outcome.dims == ("cell",) else _draw_grid
        draw(ax, chosen, x, y)
        _legend(ax, chosen.outcome)
    ax.grid(False)
    return ax


def axes_to_draw(
    axes: Mapping[str, Any],
    columns: Sequence[str],
    *,
    where: Mapping[str, float] | None = None,
    x: str | None = None,
    y: str | None = None,
) -> tuple[str, str | None]:
    """The axes that `plot_phase_diagram` draws, or the parameters of random cells; y is None where there is one only.

    Args:
        axes: name -> values of each axis of the sweep.
        columns: the parameters of its random cells.
        where, x, y: as there.

    Raises:
        SweepError: a name is no axis, or an axis is left over.
    """
    for name in where or {}:
        _require_axis(name, list(axes))
    left = [name for name, values in axes.items() if name not in (where or {}) and len(values) > 1]
    known = list(columns) if left == ["cell"] else left
    for name in (x, y):
        if name is not None:
            _require_axis(name, known)
    free = [name for name in known if name not in (x, y)]
    place = 0 if left == ["cell"] else -1
    x = x or (free.pop(place) if free else None)
    if x is None:
        raise SweepError("expected an axis to draw, found one cell only: leave a value out of the slice")
    y = y or (free.pop(place) if free else None)
    if free and left != ["cell"]:
        each = "; ".join(f"{name} from {min(axes[name]):g} to {max(axes[name]):g}" for name in free)
        raise SweepError(f"expected two axes to draw, found more: choose a value of each other one ({each})")
    return x, y


def _require_axis(name: str, axes) -> None:
    if name not in axes:
        raise SweepError(f"expected one of the axes {', '.join(axes) or '(none are left)'}, found {name!a}")


def _draw_grid(ax: Axes, chosen: Any, x: str, y: str | None) -> None:
    chosen = chosen.sortby([name for name in (x, y) if name])
    outcome = chosen.outcome.transpose(*([y] if y else []), x)
    codes = np.atleast_2d(outcome.values)
    colours, norm = _colours(outcome)
    rows = chosen[y].values if y else np.array([0.0])
    ax.pcolormesh(chosen[x].values, rows, codes, cmap=colours, norm=norm, shading="nearest")
    _scale(ax, "x", chosen[x])
    if y is None:
        ax.set_yticks([])
        return
    _scale(ax, "y", chosen[y])
    _draw_times(ax, chosen[x].values, rows, chosen.blow_up_time.transpose(y, x).values)


def _draw_times(ax: Axes, x: np.ndarray, y: np.ndarray, time: np.ndarray) -> None:
    """Lines of equal blow-up time, one a power of ten."""
    known = np.isfinite(time) & (time > 0)
    if min(time.shape) < 2 or not known.any():
        return
    logs = np.ma.masked_invalid(np.log10(np.where(known, time, np.nan)))
    levels = np.arange(np.ceil(logs.min()), np.floor(logs.max()) + 1)
    levels = levels[(levels > logs.min()) & (levels < logs.max())]
    if levels.size:
        step = int(np.ceil(levels.size / 8))
        lines = ax.contour(
            x, y, logs, levels=levels[::step], colors="white", linewidths=0.6, linestyles="solid", alpha=0.8
        )
        ax.clabel(lines, fmt=lambda power: f"$T^*=10^{{{power:.0f}}}$", fontsize=6)


def _draw_cells(ax: Axes, chosen: Any, x: str, y: str | None) -> None:
    colours, norm = _colours(chosen.outcome)
    heights = chosen[y].values if y else np.zeros(chosen.outcome.shape)
    ax.scatter(chosen[x].values, heights, c=chosen.outcome.values, cmap=colours, norm=norm, s=4, linewidths=0)
    _scale(ax, "x", chosen[x])
    if y is None:
        ax.set_yticks([])
    else:
        _scale(ax, "y", chosen[y])


def _scale(ax: Axes, which: str, values: Any) -> None:
    numbers = values.values
    base, _, place = str(values.name).rpartition("_")
    label = _SYMBOLS.get(str(values.name))
    if label is None and place.isdigit():
        letter = {"mu": r"\mu", "x0": "x"}.get(base, base)
        label = f"${letter}_{{{place}}}(0)$" if base == "x0" else f"${letter}_{{{place}}}$"
    getattr(ax, f"set_{which}label")(label or as_text(str(values.name)))
    if numbers.min() > 0 and numbers.max() > LOGARITHMIC * numbers.min():
        getattr(ax, f"set_{which}scale")("log")


def _names(outcome: Any) -> dict[int, str]:
    """code -> name, from the variable's own flags."""
    return dict(zip(outcome.attrs["flag_values"], outcome.attrs["flag_meanings"].split(), strict=True))


def _colours(outcome: Any) -> tuple[ListedColormap, BoundaryNorm]:
    names = _names(outcome)
    codes = np.array(sorted(names))
    return ListedColormap([OUTCOME_COLOURS[names[code]] for code in codes]), BoundaryNorm(
        np.append(codes - 0.5, codes[-1] + 0.5), len(codes)
    )


def _legend(ax: Axes, outcome: Any) -> None:
    """The outcomes that occur."""
    names = _names(outcome)
    there = [names[code] for code in np.unique(outcome.values).tolist()]
    handles = [
        Patch(facecolor=OUTCOME_COLOURS[name], edgecolor="black", linewidth=0.4, label=name.replace("_", " "))
        for name in there
    ]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.1)
