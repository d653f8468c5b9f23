"""A sweep's spec: which parameters take which values, read from TOML and checked whole before anything is computed.

    sweep = read_sweep("scenarios", {"fixed.a": "0.5", "seed": "1"})

    title = "..."                 seed = 0              of random designs
                                  chunk = 4096          cells of a unit of work, at most
    [fixed]                       one value for all cells: a = 1.0, x0 = [0.5, 1.0], log_until = 100.0
    [grid]                        an axis each, in this order: mu = {linspace = [-2, 2, 41]}, s_delta = [-1.0, 1.0],
                                  a = {logspace = [-1, 1, 9]} (powers of ten)
    [random]                      cells = 4096, design = "independent" or "sobol", and a distribution each:
                                  mu = {uniform = [-1, 1]}, a = {log_uniform = [0.1, 10]}, x0 = {normal = [0, 1]}
    [checkpoint]                  path = "sample" or a checkpoint; layers, channels = "all" or lists: every channel
                                  alone is a one-dimensional system (theory section 4) with mu, a, s_delta, dt_bias

Parameters are those of `simulate`: mu, s_delta, a, dt_bias, x0 (every token) or x0_1, x0_2, ... (one token), L, until
or log_until, rtol, atol, max_steps; for several decay rates mu_1, a_1, mu_2, a_2, ... or lists. The specs that come
with the package are the files in `designs/`.
"""

import re
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import SweepError
from .._settings import is_number, read_toml, set_value, spec_path, toml_value
from ..checkpoints.base import shown
from .channels import Channels, read_channels
from .cost import Cost, chunk_shape
from .design import FloatArray, axis_length, axis_values, distributions, random_cells, random_columns

DESIGNS = Path(__file__).parent / "designs"

#: Parameters of which a system has one each, with their defaults; None: must be given. NaN: none.
SINGLE = {
    "s_delta": None,
    "dt_bias": 0.0,
    "until": np.nan,
    "log_until": np.nan,
    "rtol": 1e-12,
    "atol": 1e-12,
    "max_steps": 4096.0,
    "L": np.nan,
}
#: Those of which it has several: one for each state (mu, a) or token (x0).
SEVERAL = ("mu", "a", "x0")
#: name -> (least value, whether it may be the least itself)
LEAST = {"a": (0, True), "rtol": (0, False), "atol": (0, True), "until": (0, True), "log_until": (0, True)}
WHOLE = ("L", "max_steps")
OF_CHECKPOINTS = ("mu", "a", "s_delta", "dt_bias")
TOP = ("title", "seed", "chunk", "fixed", "grid", "random", "checkpoint")
#: Cells of a unit of work, unless a spec says otherwise.
CHUNK = 4096
#: A token or state beyond this is a slip of the pen.
MOST = 4096

_NUMBERED = re.compile(r"(mu|a|x0)_([1-9]\d*)")


@dataclass(frozen=True, eq=False)
class Axis:
    """A dimension of the store: "cell" of random designs, "layer" and "channel", or a parameter with its values."""

    name: str
    values: FloatArray


@dataclass(frozen=True, eq=False)
class Quantity:
    """One parameter over all cells: `values` along the axes (by position) that it varies with."""

    axes: tuple[int, ...]
    values: FloatArray

    def within(self, block: tuple[slice, ...]) -> FloatArray:
        """Its values in a block of cells, flat."""
        part = self.values[tuple(block[axis] for axis in self.axes)]
        shape = [1] * len(block)
        for axis, length in zip(self.axes, part.shape, strict=True):
            shape[axis] = length
        sizes = [one.stop - one.start for one in block]
        return np.broadcast_to(part.reshape(shape), sizes).ravel()


@dataclass(frozen=True, eq=False)
class Sweep:
    """A whole spec: `table` as it was read, `axes` (grid, channels, cells), and each parameter over the cells.

    `quantities` has mu_1.., a_1.., x0_1.. and the single parameters; `channels` what was read of a checkpoint.
    """

    name: str
    title: str
    seed: int
    chunk: int
    table: dict[str, Any]
    axes: tuple[Axis, ...]
    quantities: dict[str, Quantity]
    states: int
    tokens: int
    channels: Channels | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def cells(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        return chunk_shape(self.shape, self.chunk)

    def blocks(self) -> list[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """(place in the grid of chunks, slices) of each unit of work."""
        counts = [-(-length // part) for length, part in zip(self.shape, self.chunk_shape, strict=True)]
        found = []
        for place in np.ndindex(*counts):
            sides = zip(place, self.chunk_shape, self.shape, strict=True)
            found.append((place, tuple(slice(i * part, min((i + 1) * part, n)) for i, part, n in sides)))
        return found

    def parameters(self, block: tuple[slice, ...]) -> dict[str, Any]:
        """The arguments of `solve_many` in a block; tokens beyond a cell's own L are zero."""
        of = {name: one.within(block) for name, one in self.quantities.items()}
        found: dict[str, Any] = {
            name: np.stack([of[f"{name}_{i + 1}"] for i in range(self.states)]) for name in ("mu", "a")
        }
        x0 = np.stack([of[f"x0_{i + 1}"] for i in range(self.tokens)])
        found["x0"] = np.where(np.arange(self.tokens)[:, None] < of["L"], x0, 0.0)
        found |= {name: of[name] for name in ("s_delta", "dt_bias", "rtol", "atol", "max_steps")}
        if "until" in of or "log_until" in of:
            name = "until" if "until" in of else "log_until"
            found[name] = of[name]
        return found

    def lengths(self, block: tuple[slice, ...]) -> FloatArray:
        """Each cell's own number of tokens in a block, flat."""
        return self.quantities["L"].within(block)


def sweep_names() -> list[str]:
    """The specs that come with the package."""
    return sorted(path.stem for path in DESIGNS.glob("*.toml"))


def read_sweep(name: str | PathLike[str], changes: dict[str, str] | None = None) -> Sweep:
    """A spec by its name or path, with some values changed ("fixed.a" -> "0.5").

    Raises:
        SweepError: no such spec, or anything in it that is not one; CheckpointError: its checkpoint cannot be used.
    """
    path = spec_path(name, DESIGNS, "a sweep", SweepError)
    table = read_toml(path, SweepError)
    for key, text in (changes or {}).items():
        set_value(table, key, toml_value(text), SweepError)
    return sweep_from(path.stem, table)


def sweep_from(name: str, table: dict[str, Any]) -> Sweep:
    """The sweep of a table; see `read_sweep`."""
    for key in table:
        if key not in TOP:
            raise SweepError(f"expected one of {', '.join(TOP)} in a sweep, found {shown(key)}: check its spelling")
    parts = {part: _table(table, part) for part in ("fixed", "grid", "random", "checkpoint")}
    channels = read_channels(parts["checkpoint"]) if "checkpoint" in table else None
    _require_known(parts, channels)
    seed, chunk = _whole(table, "seed", 0, 0), _whole(table, "chunk", CHUNK, 1)
    axes = [Axis(one, values) for one, values in channels.axes()] if channels else []
    lengths = [len(axis.values) for axis in axes] + [axis_length(*one) for one in parts["grid"].items()]
    cells = random_cells(parts["random"]) if "random" in table else 0
    cost = Cost(lengths + [cells] * bool(cells), chunk, random_cells=cells)
    cost.require_affordable()
    axes += [Axis(one, axis_values(one, value)) for one, value in parts["grid"].items()]
    columns: dict[str, FloatArray] = {}
    fixed = {one: _constant(one, value) for one, value in parts["fixed"].items()}
    states = channels.states if channels else _count(("mu", "a"), parts, fixed)
    tokens = _tokens(parts, fixed, axes)
    several = {"mu": states, "a": states, "x0": tokens}
    names = distributions(parts["random"], several) if cells else {}
    sobol = parts["random"].get("design") == "sobol"
    replace(cost, columns=len(names), sobol=sobol, tokens=tokens, states=states).require_affordable()
    if cells:
        columns = random_columns(parts["random"], several, seed)
        axes.append(Axis("cell", np.arange(len(next(iter(columns.values()))), dtype=float)))
    if not axes:
        raise SweepError("expected [grid], [random] or [checkpoint] in a sweep, found none: there is nothing to sweep")
    quantities = _quantities(axes, fixed, columns, channels, states, tokens)
    title = table.get("title", "")
    if not isinstance(title, str):
        raise SweepError(f"expected a text for title, found {shown(title)}")
    sweep = Sweep(name, title, seed, chunk, table, tuple(axes), quantities, states, tokens, channels)
    _require_values(sweep)
    return sweep


def _table(table: dict[str, Any], part: str) -> dict[str, Any]:
    found = table.get(part, {})
    if not isinstance(found, dict) or (part in table and not found):
        raise SweepError(f"expected a table [{part}] with something in it, found {shown(found)}")
    return found


def _whole(table: dict[str, Any], key: str, default: int, least: int) -> int:
    value = table.get(key, default)
    if type(value) is not int or not least <= value < 2**63:
        raise SweepError(f"expected a whole number from {least} to {2**63 - 1} for {key}, found {shown(value)}")
    return value


def _require_known(parts: dict[str, dict[str, Any]], channels: Channels | None) -> None:
    """Every name is a parameter, given once, and not one that the checkpoint gives."""
    seen: dict[str, str] = {}
    for part in ("fixed", "grid", "random"):
        for name in parts[part]:
            if part == "random" and name in ("cells", "design"):
                continue
            numbered = _NUMBERED.fullmatch(name)
            base = numbered[1] if numbered else name
            if base not in SINGLE and base not in SEVERAL:
                known = ", ".join([*SEVERAL, *SINGLE])
                raise SweepError(f"expected a parameter ({known}, or x0_1, ...) in [{part}], found {shown(name)}")
            if numbered and int(numbered[2]) > MOST:
                raise SweepError(f"expected at most {MOST} tokens or states, found {shown(name)}")
            if name in seen:
                raise SweepError(f"expected {name} once, found it in [{seen[name]}] and [{part}]: leave one out")
            if channels and base in OF_CHECKPOINTS:
                raise SweepError(f"expected no {name} in [{part}], found one beside [checkpoint], which gives it")
            seen[name] = part
    if "until" in seen and "log_until" in seen:
        raise SweepError("expected one end time, found both until and log_until: leave one out")


def _constant(name: str, value: Any) -> list[float]:
    """The values of a fixed parameter: one, or a list for mu, a and x0."""
    values = value if isinstance(value, list) else [value]
    numeric = all(map(is_number, values))
    if not numeric or not values or (isinstance(value, list) and name not in SEVERAL):
        wanted = "a number or a list of them" if name in SEVERAL else "a number"
        raise SweepError(f"expected {wanted} for {name} in [fixed], found {shown(value)}")
    return [float(one) for one in values]


def _count(bases: tuple[str, ...], parts: dict[str, dict[str, Any]], fixed: dict[str, list[float]]) -> int:
    """How many states or tokens the lists and numbered names of a spec speak of."""
    names = [name for part in ("fixed", "grid", "random") for name in parts[part]]
    numbers = [int(found[2]) for name in names if (found := _NUMBERED.fullmatch(name)) and found[1] in bases]
    lists = [len(fixed[base]) for base in bases if base in fixed]
    return max([*numbers, *lists, 1])


def _tokens(parts: dict[str, dict[str, Any]], fixed: dict[str, list[float]], axes: list[Axis]) -> int:
    """L, or the largest on its axis; else as many as x0 has entries."""
    if "L" in parts["random"]:
        raise SweepError("expected L in [fixed] or [grid], found it in [random]: give a list of lengths in [grid]")
    along = [axis.values for axis in axes if axis.name == "L"]
    given = along[0] if along else np.array(fixed.get("L", []))
    spoken = _count(("x0",), parts, fixed)
    if not given.size:
        return spoken
    if not np.all((given >= 1) & (given <= MOST) & (given == np.round(given))):
        raise SweepError(f"expected whole numbers from 1 to {MOST} for L, found {given.tolist()}")
    if spoken > given.max():
        raise SweepError(
            f"expected at most L = {given.max():g} tokens, found {spoken} in x0: make L larger or x0 shorter"
        )
    return int(given.max())


def _quantities(axes, fixed, columns, channels: Channels | None, states: int, tokens: int) -> dict[str, Quantity]:
    along = {axis.name: (i, axis.values) for i, axis in enumerate(axes)}
    along |= {name: (len(axes) - 1, values) for name, values in columns.items()}

    def find(name: str, place: int | None = None, count: int = 1) -> Quantity | None:
        """A parameter by its own name before that of all its kind."""
        whole = name if place is None else f"{name}_{place + 1}"
        for one in dict.fromkeys((whole, name)):
            if one in along:
                axis, values = along[one]
                return Quantity((axis,), values)
            if one in fixed:
                values = fixed[one]
                if len(values) not in (1, count):
                    raise SweepError(f"expected a number or {count} values for {one} in [fixed], found {len(values)}")
                return Quantity((), np.array(values[place or 0] if len(values) > 1 else values[0]))
        return None

    found: dict[str, Quantity | None] = {}
    for name, count in (("mu", states), ("a", states), ("x0", tokens)):
        found |= {f"{name}_{place + 1}": find(name, place, count) for place in range(count)}
    found |= {name: find(name) for name in SINGLE}
    if channels:
        found |= {name: Quantity((0, 1), values) for name, values in channels.parameters().items()}
    for name, default in SINGLE.items():
        if found[name] is None and default is not None and not np.isnan(default):
            found[name] = Quantity((), np.array(default))
    found["L"] = found["L"] or Quantity((), np.array(float(tokens)))
    missing = [name for name, one in found.items() if one is None and name not in ("until", "log_until")]
    if missing:
        raise SweepError(f"expected {', '.join(missing)} in [fixed], [grid] or [random], found none: add it")
    return {name: one for name, one in found.items() if one is not None}


def _require_values(sweep: Sweep) -> None:
    """Every value within its range, whole where it must be."""
    for name, quantity in sweep.quantities.items():
        base, values = name.split("_")[0] if _NUMBERED.fullmatch(name) else name, quantity.values
        if not np.all(np.isfinite(values)):
            raise SweepError(
                f"expected finite values for {name}, found {int(np.sum(~np.isfinite(values)))} that are not"
            )
        least, may = LEAST.get(base, (-np.inf, True))
        if not np.all(values >= least if may else values > least):
            raise SweepError(f"expected {name} {'>=' if may else '>'} {least}, found {values.min():g}")
        if base in WHOLE and not np.all((values >= 1) & (values == np.round(values)) & (values < 2**31)):
            raise SweepError(f"expected whole numbers >= 1 for {name}, found {values.min():g}")
