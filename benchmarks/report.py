"""What a row found: as part of a JSON document, and as a table."""

import platform
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .ceilings import cores, gpu, measured
from .measure import Measured, interleaved
from .rows.base import OURS, Row

PACKAGES = ("jax", "diffrax", "numpy", "scipy", "torch", "transformers", "mambapy", "heyoka")


def document(rows: dict[str, Any], command: str) -> dict[str, Any]:
    """All rows, the command that made them, and where."""
    where = {"cores": cores(), "machine": platform.machine(), "gpu": gpu(), "versions": _versions()}
    return {"schema_version": 1, "command": command, **where, "rows": rows}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


@cache
def ceiling(kind: str) -> float:
    """Units of work a second at best, measured once a run."""
    return measured(kind)


def row_document(row: Row, rounds: int, *, quick: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Every side at every size: seconds, ratio to ours, peak, distance to the ceiling, growth."""
    sizes = (row.sizes[row.headline],) if quick else row.sizes
    found = []
    for size in sizes:
        progress(f"{row.title}, {row.label(size)}: {', '.join(row.sides)}")
        measured = interleaved(row.name, row.sides, size, rounds)
        at_best = sum(amount / ceiling(kind) for kind, amount in row.work(size).items())
        sides = {name: _side(row, one, measured[OURS], at_best) for name, one in measured.items()}
        found.append({"size": row.label(size), "work": row.work(size), "seconds_at_best": at_best, "sides": sides})
    growth = {name: _exponent(row, sizes, found, name) for name in row.sides} if row.scale and len(sizes) > 2 else {}
    return {"name": row.name, "title": row.title, "note": row.note, "rounds": rounds, "sizes": found, "growth": growth}


def _side(row: Row, one: Measured | str, ours: Measured | str, at_best: float) -> dict[str, Any]:
    if isinstance(one, str):
        return {"failed": one}
    repeated = one.counts.get("repeated", 1)
    seconds = repeated * one.seconds
    found: dict[str, Any] = {
        "seconds": _spread(seconds),
        "processor_seconds": _spread(repeated * np.array([each.processor for each in one.timings])),
        "first_seconds": float(one.first),
        "peak_bytes": one.peak,
        "counts": one.counts,
    }
    if at_best:
        found["times_the_ceiling"] = float(np.median(seconds) / at_best)
    if isinstance(ours, Measured):
        found["ratio"] = _spread(seconds / (ours.counts.get("repeated", 1) * ours.seconds))
        if row.count and row.count in one.counts:
            found["count_ratio"] = one.counts[row.count] / ours.counts[row.count]
        if one.answer is not None and ours.answer is not None:
            reference = ours.answer[: len(one.answer)]
            found["difference"] = float(np.abs(one.answer - reference).max() / np.abs(reference).max())
            found["differs"] = not found["difference"] <= row.tolerance
    return found


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"median": float(np.median(values)), "min": float(values.min()), "max": float(values.max())}


def _exponent(row: Row, sizes, found: list[dict[str, Any]], side: str) -> float | None:
    """The slope of ln seconds against ln scale."""
    assert row.scale is not None
    points = [
        (row.scale(size), one["sides"][side]["seconds"]["median"])
        for size, one in zip(sizes, found, strict=True)
        if "seconds" in one["sides"][side]
    ]
    if len(points) < 3:
        return None
    scale, seconds = np.log(np.array(points)).T
    return float(np.polyfit(scale, seconds, 1)[0])


def table(row: dict[str, Any]) -> str:
    """Ratios to ours, so that the machine's own speed drops out."""
    lines = [f"\n{row['title']} ({row['rounds']} rounds in turn)"]
    if row["note"]:
        lines.append(row["note"])
    for one in row["sizes"]:
        lines.append(f"  {one['size']}")
        for name, side in one["sides"].items():
            lines.append(f"    {name:30} {_cells(side)}")
    exponents = ", ".join(f"{name} {value:.2f}" for name, value in row["growth"].items() if value is not None)
    if exponents:
        lines.append(f"  growth exponents: {exponents}")
    return "\n".join(lines)


def _cells(side: dict[str, Any]) -> str:
    if "failed" in side:
        return f"failed: {side['failed']}"
    cells = []
    if ratio := side.get("ratio"):
        cells.append(f"{ratio['median']:9.3g} x ours ({ratio['min']:.3g} to {ratio['max']:.3g})")
    cells.append(f"{side['peak_bytes'] / 2**20:6.0f} MiB")
    if "times_the_ceiling" in side:
        cells.append(f"{side['times_the_ceiling']:.2f} x the ceiling")
    if "count_ratio" in side:
        cells.append(f"{side['count_ratio']:.3g} x our right-hand sides")
    if side.get("differs"):
        cells.append(f"DIFFERS by {side['difference']:.1e}")
    return ", ".join(cells)
