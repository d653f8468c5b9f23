"""Rates measured from a trajectory: slopes and limits in the variable that makes a law a straight line.

An asymptotic slope is approached, never reached, so a fit's residuals say nothing about its error. Here
the depth of a run (ln t, or ln 1/(T* - t)) is cut at a quarter, a half and the whole; the estimate comes
from the last half, and its standard error is the change from the half before: what one more doubling of the
depth has still altered.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._outcomes import Truth

FloatArray = NDArray[np.float64]

#: A slope or constant is confirmed only when its standard error is below this, relative to max(1, |value|).
NARROW = 5e-3
#: Rounding and solver error of a slope, in addition to the standard error.
FLOOR = 1e-6


@dataclass(frozen=True)
class Estimate:
    """A measured limit, its standard error and the depths (start, end) it was measured over."""

    value: float
    standard_error: float
    window: tuple[float, float]


def _cuts(depth: FloatArray) -> tuple[int, int, int] | None:
    """Indices nearest to a quarter, a half and the whole of the final depth; None when too few steps."""
    usable = np.flatnonzero(np.isfinite(depth))
    if usable.size < 3:
        return None
    last = int(usable[-1])
    quarter, half = (int(usable[np.argmin(np.abs(depth[usable] - part * depth[last]))]) for part in (0.25, 0.5))
    return (quarter, half, last) if quarter < half < last else None


def limiting_slope(u: FloatArray, v: FloatArray, depth: FloatArray) -> Estimate | None:
    """The limit of du/dv as `depth` grows (all of shape (S,)); None when the run is too short to say."""
    cuts = _cuts(depth)
    if cuts is None:
        return None
    a, b, c = cuts
    if v[b] == v[a] or v[c] == v[b] or not np.all(np.isfinite([u[a], u[b], u[c]])):
        return None
    before, value = (u[b] - u[a]) / (v[b] - v[a]), (u[c] - u[b]) / (v[c] - v[b])
    return Estimate(float(value), float(abs(value - before)), (float(depth[b]), float(depth[c])))


def limiting_value(u: FloatArray, depth: FloatArray) -> Estimate | None:
    """The limit of u as `depth` grows (both (S,)); None when the run is too short to say."""
    cuts = _cuts(depth)
    if cuts is None or not np.all(np.isfinite([u[cuts[1]], u[cuts[2]]])):
        return None
    _, b, c = cuts
    return Estimate(float(u[c]), float(abs(u[c] - u[b])), (float(depth[b]), float(depth[c])))


def agrees(estimate: Estimate | None, predicted: float | None) -> Truth:
    """Whether a measurement confirms a prediction: inside the interval, and the interval narrow."""
    if estimate is None or predicted is None:
        return Truth.UNDECIDED
    scale = max(1.0, abs(predicted))
    gap = abs(estimate.value - predicted)
    if gap <= 3 * estimate.standard_error + FLOOR * scale:
        return Truth.HOLDS if estimate.standard_error <= NARROW * scale else Truth.UNDECIDED
    return Truth.FAILS if gap > 10 * estimate.standard_error + NARROW * scale else Truth.UNDECIDED
