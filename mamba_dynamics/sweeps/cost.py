"""What a sweep asks for, in cells, units of work, memory and disk, told before any of it is allocated.

A spec of a few lines may ask for more than any machine has, by a slip of the pen or on purpose. So its sizes are
multiplied as whole numbers, and compared with what a sweep may have.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .._errors import SweepError

MOST_AXES = 16
MOST_CELLS = 10**8
#: Each unit of work is ten files of the store.
MOST_CHUNKS = 100_000
#: Bytes of the values along the axes and of the random columns; of one unit of work; of the store.
MOST_VALUES, MOST_UNIT, MOST_STORE = 500_000_000, 2_000_000_000, 10**11

#: Bytes of a float64; how many arrays of a kind there are at a time; parameters and results that have no token.
_DOUBLE, _COPIES, _OTHERS = 8, 8, 16
#: Copies of an axis while it is checked, and of random columns, which a Sobol design rounds up to a power of two.
_COPIES_OF_AXIS, _COPIES_OF_COLUMN, _COPIES_OF_SOBOL = 3, 2, 6
#: Bytes that a cell takes in the store, and each of its tokens.
_OF_CELL, _OF_TOKEN = 35, 17


@dataclass(frozen=True)
class Cost:
    """The sizes of a sweep: `lengths` of its axes, random cells among them; `columns`, random parameters of a cell."""

    lengths: Sequence[int]
    chunk: int
    columns: int = 0
    random_cells: int = 0
    sobol: bool = False
    tokens: int = 1
    states: int = 1

    @property
    def cells(self) -> int:
        return math.prod(self.lengths)

    @property
    def chunks(self) -> int:
        sides = zip(self.lengths, chunk_shape(self.lengths, self.chunk), strict=True)
        return math.prod(-(-length // part) for length, part in sides)

    @property
    def values(self) -> int:
        """Bytes of axes and columns."""
        copies = _COPIES_OF_SOBOL if self.sobol else _COPIES_OF_COLUMN
        return _DOUBLE * (_COPIES_OF_AXIS * sum(self.lengths) + copies * self.columns * self.random_cells)

    @property
    def unit(self) -> int:
        """Bytes of one unit of work."""
        cells = math.prod(chunk_shape(self.lengths, self.chunk))
        return _DOUBLE * _COPIES * cells * (self.tokens + self.states + _OTHERS)

    @property
    def store(self) -> int:
        """Bytes on the disk, before they are packed."""
        return self.cells * (_OF_CELL + _OF_TOKEN * self.tokens)

    def require_affordable(self) -> None:
        """Raise `SweepError`, with the number, for what is beyond a bound."""
        bounds = (
            (len(self.lengths), MOST_AXES, "axes", "put what has one value into [fixed]"),
            (self.cells, MOST_CELLS, "cells", "take fewer values, or several sweeps"),
            (self.chunks, MOST_CHUNKS, "units of work", "make chunk larger"),
            (self.values, MOST_VALUES, "bytes for the values of axes and random cells", "take fewer of them"),
            (self.unit, MOST_UNIT, "bytes of memory for a unit of work", "make chunk smaller"),
            (self.store, MOST_STORE, "bytes on the disk", "take fewer cells or tokens"),
        )
        for found, most, what, fix in bounds:
            if found > most:
                raise SweepError(f"expected a sweep of at most {most} {what}, found {_in_words(found)}: {fix}")


def chunk_shape(lengths: Sequence[int], chunk: int) -> tuple[int, ...]:
    """As many whole last axes as fit into a chunk, a part of the one before, one place of the others."""
    left, shape = chunk, []
    for length in reversed(lengths):
        shape.append(min(length, max(left, 1)))
        left //= shape[-1]
    return tuple(reversed(shape))


def _in_words(number: int) -> str:
    return str(number) if number < 10**15 else f"about 10^{math.log10(number):.0f}"
