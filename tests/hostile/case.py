"""One input of a reader, and what its numbers are where the generator knows them.

A generator that writes tensors knows each one's bytes, type, offset, shape and strides. `StoredTensor.values` counts
the values out by their indices, which no reader does. A name may have several right answers where a format leaves it
open which of two things is meant; `worlds` are then the files that may be meant, and an answer must fit one of them as
a whole.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

#: How the values of a stored type are counted out: numpy's word for them.
STORED_AS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
#: More values are not compared; a generator's valid tensors have far fewer.
_MOST_VALUES = 2_000_000


@dataclass(frozen=True)
class StoredTensor:
    """A tensor by its bytes. Strides and offset count values; `negated` is torch's flag of that name."""

    data: bytes
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    negated: bool = False

    def values(self, rows: tuple[int, int] | None = None) -> np.ndarray | None:
        """The numbers, float64, or those of some rows; None where the bytes do not hold the whole tensor.

        No answer is right then.
        """
        if not self._lies_within():
            return None
        if rows is None:
            return self._counted_out()
        if not self.shape:
            return None
        start, stop = rows
        length, step = max(0, min(stop, self.shape[0]) - start), self.strides[0]
        return replace(self, shape=(length, *self.shape[1:]), offset=self.offset + start * step)._counted_out()

    def _lies_within(self) -> bool:
        sizes = (*self.shape, *self.strides, self.offset)
        if not all(isinstance(size, int) for size in sizes) or len(self.shape) != len(self.strides):
            return False
        if self.dtype not in STORED_AS or min((*self.shape, 0)) < 0:
            return False
        reach = [(length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True)]
        first, last = (self.offset + sum(side(0, one) for one in reach) for side in (min, max))
        count = len(self.data) // np.dtype(STORED_AS[self.dtype]).itemsize
        return 0 in self.shape or (first >= 0 and last < count)

    def _counted_out(self) -> np.ndarray | None:
        if math.prod(self.shape) > _MOST_VALUES:
            return None
        if 0 in self.shape:
            return np.zeros(0)
        where = np.zeros((), np.int64) + _within(self.offset)
        for axis, (length, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            steps = _within(stride) * np.arange(length)
            where = where[..., None] + steps if axis else where + steps
        kind = np.dtype(STORED_AS[self.dtype])
        stored = np.frombuffer(self.data, kind, len(self.data) // kind.itemsize)
        numbers = stored[where]
        if self.dtype == "BF16":
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(invalid="ignore"):  # a signalling NaN
            return np.multiply(numbers, -1 if self.negated else 1, dtype=np.float64)


def _within(number: int) -> int:
    """A position; one that no file reaches where it is larger than an index may be."""
    return min(max(number, -(2**35)), 2**35)


#: What a file means: the tensors by their dotted paths, each with the answers that are right.
World = Mapping[str, tuple[StoredTensor, ...]]
#: What a reader answered: the numbers of a tensor, or of some rows of it.
Numbers = Mapping[tuple[str, tuple[int, int] | None], np.ndarray]


@dataclass(frozen=True)
class Case:
    """The files of an input by their names; `says` names what was done to them, for whoever looks at a failure."""

    files: dict[str, bytes]
    says: str = ""
    worlds: tuple[World, ...] = field(default=(), repr=False)

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))


def wrong_numbers(case: Case, answer: Any) -> str | None:
    """What is wrong with the numbers that a reader answered, or None."""
    if not case.worlds or not isinstance(answer, dict):
        return None
    faults = [fault for world in case.worlds if (fault := _fault(world, answer)) is not None]
    return faults[0] if len(faults) == len(case.worlds) else None


def _fault(world: World, answer: Numbers) -> str | None:
    for (name, rows), found in answer.items():
        if name not in world:
            continue
        right = [values for one in world[name] if (values := one.values(rows)) is not None]
        if not found.size and all(values.size == 0 for values in right):
            continue
        if not right:
            return f"wrong numbers: {name[:60]!a} is outside of its record, and {found.size} numbers were read"
        if not any(np.array_equal(found, values, equal_nan=True) for values in right):
            return f"wrong numbers: {name[:60]!a} is {right[0].ravel()[:3]}, not {found.ravel()[:3]} ({found.shape})"
    return None
