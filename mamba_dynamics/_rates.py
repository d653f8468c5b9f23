"""Rates measured from a trajectory: slopes and limits in the variable that makes a law a straight line.

An asymptotic slope is approached, never reached, so a fit's residuals say nothing about its error. Here the depth of
a run (ln t, or ln 1/(T* - t)) is cut by halves, ..., 1/8, 1/4, 1/2, 1 of the whole, and a quantity S is read on this
ladder (between samples by the cubic through four of them): a value at its rungs, or a slope between them. What is
left of S beyond the end is then extrapolated, as Richardson did for step sizes, but with the order taken from the
data: a correction

    c / depth^p    makes successive differences D_k shrink by the constant ratio r = 2^-p,

so the limit is S_n + D_n r / (1 - r) (Aitken's formula). Where the ratio itself falls, as for e^-depth, its next
value r^2 / r_before stands for r. Where the differences do not shrink steadily nothing is extrapolated.

The standard error is the largest of: what the last halving has changed of the extrapolated limit, a fifth of the
correction itself, what the correction would be with the ratio before (a ratio that still moves is not yet the
order of what is left), and what the differences may still add up to where nothing was extrapolated. Where a quantity
has settled only in the last half, the first of these looks at an extrapolation from before that; then a few times
what S still moves within the last half stands for it. A rate is confirmed
only if the prediction lies within three of them and they are small; `significance` says how many exclude an
alternative. Corrections slower than every power of the depth (1 / ln depth) are beyond any such estimate: then the
interval may miss the limit, but stays too wide to decide against it.
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
#: Fractions of the final depth: the ladder of halvings, and the last half cut once more.
HALVES = tuple(2.0**-k for k in range(7))
LAST_HALF = (1.0, 0.75, 0.5)
#: Differences shrink steadily if each is at most this share of the one before, of the same sign.
STEADY = 0.85
#: Where they do not, at most so many times the last one is taken to be left.
MOST_TO_GO = 50.0
#: The share of an extrapolated correction that counts as its error.
DOUBT = 0.2
#: So many times the movement within the last half bounds what is left of it.
SETTLED = 4.0


@dataclass(frozen=True)
class Estimate:
    """A measured limit, its standard error and the depths (start, end) it was measured over."""

    value: float
    standard_error: float
    window: tuple[float, float]


def limiting_slope(u: FloatArray, v: FloatArray, depth: FloatArray) -> Estimate | None:
    """The limit of du/dv as `depth` grows (all of shape (S,)); None when the run is too short to say."""
    ends, slopes = local_slopes(u, v, depth)
    if len(slopes) < 2:
        return None
    _, (late_u, late_v) = _read(depth, LAST_HALF, u, v)
    with np.errstate(divide="ignore", invalid="ignore"):
        late = np.diff(late_u) / np.diff(late_v)
    return _estimate(slopes, late, (float(ends[-2]), float(ends[-1])))


def limiting_value(u: FloatArray, depth: FloatArray) -> Estimate | None:
    """The limit of u as `depth` grows (both (S,)); None when the run is too short to say."""
    rungs, (at,) = _read(depth, HALVES, u)
    if len(rungs) < 3:
        return None
    _, (late,) = _read(depth, LAST_HALF, u)
    return _estimate(at, late, (float(rungs[-2]), float(rungs[-1])))


def limiting_factor(log_u: FloatArray, depth: FloatArray) -> Estimate | None:
    """The limit of u > 0, given ln u: in logarithms, or a factor that still grows by decades would look settled.

    (From 1e-20 to 1e-16 a factor has moved by less than any error; ln u has not settled at all.)
    """
    found = limiting_value(log_u, depth)
    if found is None:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        value, spread = float(np.exp(found.value)), float(np.expm1(found.standard_error))
        error = value * spread if 0 < value < np.inf else np.inf
    return Estimate(value, error, found.window)


def local_slopes(u: FloatArray, v: FloatArray, depth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(depths at which windows end, slopes du/dv across them), from ..., 1/4 to 1/2, and 1/2 to 1 of the depth.

    Empty for a run that is too short.
    """
    rungs, (at_u, at_v) = _read(depth, HALVES, u, v)
    if len(rungs) < 2:
        return np.zeros(0), np.zeros(0)
    run = np.diff(at_v)
    # Early windows in which v does not move yet are left out, with all before them.
    first = int(np.max(np.flatnonzero(run == 0), initial=-1)) + 1
    return rungs[first + 1 :], np.diff(at_u)[first:] / run[first:]


def significance(estimate: Estimate, alternative: float) -> float:
    """By how many standard errors (rounding included) an estimate excludes an alternative value."""
    return abs(estimate.value - alternative) / (estimate.standard_error + FLOOR * max(1.0, abs(alternative)))


def agrees(estimate: Estimate | None, predicted: float | None) -> Truth:
    """Whether a measurement confirms a prediction: inside the interval, and the interval narrow."""
    if estimate is None or predicted is None:
        return Truth.UNDECIDED
    scale = max(1.0, abs(predicted))
    gap = abs(estimate.value - predicted)
    if gap <= 3 * estimate.standard_error + FLOOR * scale:
        return Truth.HOLDS if estimate.standard_error <= NARROW * scale else Truth.UNDECIDED
    return Truth.FAILS if gap > 10 * estimate.standard_error + NARROW * scale else Truth.UNDECIDED


def _read(depth: FloatArray, fractions: tuple[float, ...], *values: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
    """(the given fractions of the final depth, ascending; each of the values there), down to where samples begin."""
    usable = np.flatnonzero(np.isfinite(depth) & (depth > 0))
    # Samples whose depth does not rise (rounding, or steps that ended early) cannot be interpolated between.
    usable = (
        usable[np.concatenate([[True], np.diff(np.maximum.accumulate(depth[usable])) > 0])] if usable.size else usable
    )
    if usable.size < 3:
        return np.zeros(0), [np.zeros(0) for _ in values]
    x = np.log(depth[usable])
    found = []
    for fraction in fractions:
        place = x[-1] + np.log(fraction)
        if place < x[0]:
            break
        weights, at = _cubic(x, place)
        row = [float(weights @ one[usable[at]]) for one in values]
        if not np.all(np.isfinite(row)):
            break
        found.append((float(depth[usable[-1]]) * fraction, *row))
    columns = np.array(found[::-1]).reshape(-1, 1 + len(values)).T
    return columns[0], list(columns[1:])


def _cubic(x: FloatArray, at: float) -> tuple[FloatArray, NDArray[np.intp]]:
    """(weights, indices) of Lagrange interpolation at a point from the four samples around it (three, if so few)."""
    count = min(4, len(x))
    place = int(np.searchsorted(x, at))
    if place < len(x) and abs(x[min(place, len(x) - 1)] - at) < 1e-12 * (1 + abs(at)):
        return np.ones(1), np.array([place])
    start = int(np.clip(place - count // 2, 0, len(x) - count))
    nodes = np.arange(start, start + count)
    weights = np.ones(count)
    for i in range(count):
        others = np.delete(x[nodes], i)
        weights[i] = np.prod((at - others) / (x[nodes[i]] - others))
    return weights, nodes


def _estimate(ladder: FloatArray, late: FloatArray, window: tuple[float, float]) -> Estimate:
    """The limit of a quantity read on the ladder, (K,), K >= 2, and within the last half."""
    value, correction, drift = _extrapolated(ladder)
    before, _, _ = _extrapolated(ladder[:-1])
    # Where the last half cannot be cut (its v stands still), nothing is known of how S moves in it.
    inside = float(np.ptp(late)) if np.all(np.isfinite(late)) else np.inf
    moved = max(abs(float(ladder[-1] - ladder[-2])), inside)
    errors = [min(abs(value - before), SETTLED * moved), DOUBT * abs(correction), drift]
    if correction == 0.0 and len(ladder) > 2:
        errors.append(_left_to_go(*np.abs(np.diff(ladder))[-2:]))
    return Estimate(value, float(max(errors)), window)


def _left_to_go(before: float, now: float) -> float:
    """What differences that do not shrink steadily may still add up to, if they shrink on as they just did."""
    ratio = min(now / before, 1 - 1 / MOST_TO_GO) if before > 0 else 0.0
    return now * _series(ratio) if ratio > STEADY else now


def _series(ratio: float) -> float:
    """r + r^2 + r^3 + ..."""
    return ratio / (1 - ratio)


def _extrapolated(ladder: FloatArray) -> tuple[float, float, float]:
    """(the limit by Aitken's formula, its difference from the last value, what a moving ratio makes of that).

    The differences are 0 where the formula does not apply.
    """
    last = float(ladder[-1])
    if len(ladder) < 3:
        return last, 0.0, 0.0
    before, now = (float(one) for one in np.diff(ladder)[-2:])
    # Differences at rounding level neither shrink nor grow.
    rounding = 1e-12 * max(1.0, abs(last))
    if abs(now) <= rounding or now * before <= 0 or abs(now) > STEADY * abs(before):
        return last, 0.0, 0.0
    ratio, drift = now / before, 0.0
    if len(ladder) > 3:
        earlier = before / float(ladder[-3] - ladder[-4]) if ladder[-3] != ladder[-4] else 0.0
        if 0 < earlier < 1:
            drift = abs(now * (_series(min(earlier, STEADY)) - _series(ratio)))
            ratio *= min(1.0, ratio / earlier)
    correction = now * _series(ratio)
    return last + correction, correction, drift
