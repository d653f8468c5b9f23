"""What a meter returns, and how it is compared with what theory expects."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .._outcomes import Truth
from .._rates import FLOOR, NARROW, Estimate, agrees
from .._trajectory import FloatArray
from ..theorems.contract import Expected, Relation
from .run import Run


@dataclass(frozen=True, eq=False)
class Curve:
    """A quantity along a run: its values (S,) and the argument (S,) on which a bound depends."""

    argument: FloatArray
    values: FloatArray


Measured = Estimate | tuple[Estimate | None, ...] | Curve | FloatArray | float | str | None
Meter = Callable[[Run, int | None], Measured]


@dataclass(frozen=True)
class Judgement:
    """One expectation compared with its measurement.

    `deviation`: how far off, in units of what the comparison tolerates (1 is the edge); None where nothing could be
    measured. `found`: the measured value, where it is a number.
    """

    expected: Expected
    truth: Truth
    deviation: float | None = None
    found: float | str | None = None
    standard_error: float | None = None


def compare(expected: Expected, measured: Measured) -> Judgement:
    """Whether a measurement confirms an expectation, refutes it, or leaves it undecided (as the word does)."""
    if measured is None:
        return Judgement(expected, Truth.UNDECIDED)
    if isinstance(measured, Estimate):
        return _compare_estimate(expected, measured)
    if isinstance(measured, tuple):
        return _compare_each(expected, measured)
    if isinstance(measured, str):
        if measured == Truth.UNDECIDED.value:
            return Judgement(expected, Truth.UNDECIDED, found=measured)
        same = measured == expected.value
        return Judgement(expected, Truth.HOLDS if same else Truth.FAILS, 0.0 if same else np.inf, measured)
    if isinstance(measured, Curve):
        return _compare_exactly(expected, measured.values, np.asarray(_value_at(expected, measured.argument), float))
    return _compare_exactly(expected, np.asarray(measured, float), np.asarray(_value_at(expected, np.zeros(0)), float))


def _value_at(expected: Expected, argument: FloatArray):
    if isinstance(expected.value, str):
        raise TypeError(f"{expected.quantity}: expected a word, {expected.value!r}, but the meter gives numbers")
    return expected.value(argument) if callable(expected.value) else expected.value


def _compare_each(expected: Expected, found: tuple[Estimate | None, ...]) -> Judgement:
    """Several limits against as many values: the worst comparison."""
    wanted = np.broadcast_to(np.asarray(_value_at(expected, np.zeros(0)), float), len(found))
    each = [compare(replace(expected, value=float(value)), one) for value, one in zip(wanted, found, strict=True)]
    order = (Truth.HOLDS, Truth.UNDECIDED, Truth.FAILS)
    return max(each, key=lambda one: (order.index(one.truth), one.deviation or 0.0))


def _compare_estimate(expected: Expected, found: Estimate) -> Judgement:
    value = float(_value_at(expected, np.zeros(0)))
    scale = max(1.0, abs(value))
    rounding = FLOOR if expected.relation is Relation.LIMIT else expected.tolerance
    allowed = 3 * found.standard_error + rounding * scale
    excess = found.value - value
    if expected.relation in (Relation.AT_MOST, Relation.AT_LEAST):
        excess = max(0.0, excess if expected.relation is Relation.AT_MOST else -excess)
        narrow = found.standard_error <= NARROW * scale
        clear = excess > 10 * found.standard_error + NARROW * scale
        within = Truth.HOLDS if narrow else Truth.UNDECIDED
        truth = within if excess <= allowed else Truth.FAILS if clear else Truth.UNDECIDED
    else:
        truth = agrees(found, value)
    return Judgement(expected, truth, float(abs(excess) / allowed), found.value, found.standard_error)


def _compare_exactly(expected: Expected, found: FloatArray, wanted: FloatArray) -> Judgement:
    found, wanted = np.broadcast_arrays(found, wanted)
    if found.size == 0 or np.isnan(found).any():
        return Judgement(expected, Truth.UNDECIDED)
    with np.errstate(invalid="ignore"):
        excess = np.where(found == wanted, 0.0, found - wanted)
    if expected.relation is Relation.AT_MOST:
        excess = np.maximum(excess, 0.0)
    elif expected.relation is Relation.AT_LEAST:
        excess = np.maximum(-excess, 0.0)
    finite = np.where(np.isfinite(wanted), np.abs(wanted), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(excess == 0, 0.0, np.abs(excess) / (expected.tolerance * (1.0 + finite)))
    worst = int(np.argmax(ratio))
    truth = Truth.HOLDS if ratio.flat[worst] <= 1 else Truth.FAILS
    return Judgement(expected, truth, float(ratio.flat[worst]), float(found.flat[worst]))
