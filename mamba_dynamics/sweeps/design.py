"""The values that a spec's axes and random designs take."""

import math
import zlib
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import SweepError
from .._settings import is_number
from ..checkpoints.base import shown

FloatArray = NDArray[np.float64]

AXES = ("linspace", "logspace")
DISTRIBUTIONS = ("uniform", "log_uniform", "normal")


def axis_length(name: str, value: Any) -> int:
    """How many values `axis_values` makes."""
    if isinstance(value, list):
        if not value or not _numeric(value):
            raise SweepError(f"expected a list of numbers for {name} in [grid], found {shown(value)}")
        return len(value)
    _, (_, _, count) = _one_of(name, value, AXES, 3, "grid")
    if count != int(count) or count < 1:
        raise SweepError(f"expected a whole number of values >= 1 for {name} in [grid], found {count:g}")
    return int(count)


def axis_values(name: str, value: Any) -> FloatArray:
    """A list as it stands, {linspace = [first, last, count]} or {logspace = [first power of ten, last, count]}."""
    if isinstance(value, list):
        found = np.array(value, float)
    else:
        kind, (first, last, count) = _one_of(name, value, AXES, 3, "grid")
        with np.errstate(over="ignore", invalid="ignore"):
            found = (np.linspace if kind == "linspace" else np.logspace)(first, last, int(count))
    if not np.all(np.isfinite(found)):
        raise SweepError(f"expected finite values for {name} in [grid], found {shown(value)}")
    if len(np.unique(found)) < len(found):
        raise SweepError(f"expected each value of {name} in [grid] once, found some twice: they label the axis")
    return found


def random_cells(table: dict[str, Any]) -> int:
    """How many cells [random] asks for."""
    cells = table.get("cells")
    if type(cells) is not int or cells < 1:
        raise SweepError(f"expected a whole number of cells >= 1 in [random], found {shown(cells)}")
    return cells


def distributions(table: dict[str, Any], several: dict[str, int]) -> dict[str, Any]:
    """name -> distribution of each column; x0 (mu, a) stands for every token (state) that has none of its own."""
    wanted = {name: value for name, value in table.items() if name not in ("cells", "design")}
    if not wanted:
        raise SweepError("expected a distribution in [random], found none: add one, as mu = {uniform = [-1, 1]}")
    spread: dict[str, Any] = {}
    for name, value in wanted.items():
        count = several.get(name)
        names = [name] if count is None else [f"{name}_{i + 1}" for i in range(count)]
        spread |= {one: value for one in names if one == name or one not in wanted}
    return spread


def random_columns(table: dict[str, Any], several: dict[str, int], seed: int) -> dict[str, FloatArray]:
    """name -> values, one a cell."""
    cells, design = random_cells(table), table.get("design", "independent")
    if design not in ("independent", "sobol"):
        raise SweepError(f"expected 'independent' or 'sobol' for design in [random], found {shown(design)}")
    spread = distributions(table, several)
    checked = {name: _one_of(name, value, DISTRIBUTIONS, 2, "random") for name, value in spread.items()}
    for name, (kind, (low, high)) in checked.items():
        if (high < low and kind != "normal") or (kind == "log_uniform" and low <= 0) or (kind == "normal" and high < 0):
            raise SweepError(f"expected {_RANGES[kind]} for {name} in [random], found [{low:g}, {high:g}]")
    uniform = _sobol(checked, cells, seed) if design == "sobol" else _independent(checked, cells, seed)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what is not finite is found by its name
        return {name: _drawn(*checked[name], uniform[name]) for name in checked}


_RANGES = {
    "uniform": "uniform = [low, high]",
    "log_uniform": "log_uniform = [low, high] with 0 < low <= high",
    "normal": "normal = [mean, standard deviation >= 0]",
}


def _one_of(name: str, value: Any, kinds: tuple[str, ...], count: int, part: str) -> tuple[str, list[float]]:
    """(kind, numbers) of {kind = [numbers]}."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, numbers),) = value.items()
        if kind in kinds and isinstance(numbers, list) and len(numbers) == count and _numeric(numbers):
            return kind, [float(one) for one in numbers]
    words = " or ".join(f"{{{kind} = [{', '.join(['number'] * count)}]}}" for kind in kinds)
    raise SweepError(
        f"expected {'a list or ' if part == 'grid' else ''}{words} for {name} in [{part}], found {shown(value)}"
    )


def _numeric(values: list[Any]) -> bool:
    return all(is_number(one) and math.isfinite(one) for one in values)


def _independent(names, cells: int, seed: int) -> dict[str, FloatArray]:
    """A stream for each name, so that one parameter more leaves the others what they were."""
    return {name: np.random.default_rng([seed, zlib.crc32(name.encode())]).random(cells) for name in names}


def _sobol(names, cells: int, seed: int) -> dict[str, FloatArray]:
    """Scrambled Sobol points, which fill the cube evenly (best for a power of two of cells)."""
    if find_spec("scipy") is None:
        raise SweepError("design = 'sobol' needs scipy, not installed: pip install 'mamba-dynamics[sweep]'")
    from scipy.stats.qmc import Sobol

    bits = max(1, int(cells - 1).bit_length())
    points = Sobol(len(names), rng=np.random.default_rng(seed)).random_base2(bits)[:cells]
    return dict(zip(names, points.T, strict=True))


def _drawn(kind: str, numbers: list[float], uniform: FloatArray) -> FloatArray:
    first, second = numbers
    if kind == "uniform":
        return first + (second - first) * uniform
    if kind == "log_uniform":
        return np.exp(np.log(first) + np.log(second / first) * uniform)
    if find_spec("scipy") is None:
        raise SweepError("normal distributions need scipy, not installed: pip install 'mamba-dynamics[sweep]'")
    from scipy.special import ndtri

    # A Sobol point may be 0, whose normal quantile is -inf.
    return first + second * ndtri(np.clip(uniform, 2.0**-54, 1 - 2.0**-53))
