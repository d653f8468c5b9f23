"""Tables of the tensors of a layer: what each is called, which axes it has, and whether a layer needs it.

    A_log                               | E, N             | required
    x_proj.weight, x_proj.conv.weight   | R + 2N, E        | required
    D                                   | E                | optional
    conv1d.weight                       | E, 1, k / E, k   | unused

A row lists the spellings of a tensor, its axes and its use: `required` and `optional` tensors are read, `unused` ones
only show sizes. Axes are sums of products of whole numbers and sizes, each a letter; `*` is any length; ` / ` parts
alternatives, tried in this order. `solve` checks every tensor of a layer that is present against its row and learns the
sizes on the way: an axis with one size that no earlier row showed gives that size. So a layout that is read through its
table has no tensor whose shape was not checked, and no axis of length 0.

The trailing ones of a module's weight that is stored as a 1x1 convolution are no axes here: see `LayerTensors.shape`.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from .._allowance import require_within
from .._errors import CheckpointError
from .base import shown
from .sizes import Fact
from .tensors import LayerTensors

#: Bytes of a value once it is read.
_OF_VALUE = 8


class Term(NamedTuple):
    """`factor` times the product of `sizes`."""

    factor: int
    sizes: str


Axis = tuple[Term, ...] | None
"""A sum of terms; None is any length."""


@dataclass(frozen=True)
class Row:
    """One tensor of a layer: its spellings, its alternatives of axes, and its use."""

    names: tuple[str, ...]
    shapes: tuple[tuple[Axis, ...], ...]
    words: tuple[str, ...]
    required: bool
    read: bool

    def present(self, tensors: LayerTensors) -> str | None:
        """The spelling that a layer has, if any."""
        return next(filter(tensors.has, self.names), None)


Table = tuple[Row, ...]


@lru_cache(maxsize=64)
def table(text: str) -> Table:
    """Parse rows `names | axes | required, optional or unused`."""
    return tuple(_row(line) for line in text.splitlines() if line.strip())


def _row(line: str) -> Row:
    names, shapes, use = (part.strip() for part in line.split("|"))
    if use not in ("required", "optional", "unused"):
        raise ValueError(f"expected required, optional or unused, found {use!r}")
    words = tuple(shape.strip() for shape in shapes.split(" / "))
    return Row(
        names=tuple(name.strip() for name in names.split(",")),
        shapes=tuple(tuple(_axis(axis.strip()) for axis in shape.split(",")) for shape in words),
        words=words,
        required=use == "required",
        read=use != "unused",
    )


def _axis(text: str) -> Axis:
    if text == "*":
        return None
    terms = (re.fullmatch(r"(\d*)([A-Za-z]*)", term.strip()) for term in text.split("+"))
    return tuple(Term(int(match[1] or 1), match[2]) for match in terms if match is not None)


def reads(rows: Table, tensors: LayerTensors) -> tuple[str, ...]:
    """Suffixes of the tensors that a layer is built from. Raises `MissingTensor` where a required one is absent."""
    found = (tensors.first(*row.names) if row.required else row.present(tensors) for row in rows if row.read)
    return tuple(dict.fromkeys(suffix for suffix in found if suffix is not None))


def accounted(rows: Table, tensors: LayerTensors) -> frozenset[str]:
    """Suffixes that the table explains: those that are read, and those that it says are unused.

    A second spelling of a tensor that is read under its first is not among them.
    """
    unused = (name for row in rows if not row.read for name in row.names)
    return frozenset(filter(tensors.has, (*reads(rows, tensors), *unused)))


def require_ranks(rows: Table, tensors: LayerTensors) -> None:
    """Check the number of axes of every tensor present, for a layout whose sizes follow from several together.

    Raises what `require_contents` does, and `CheckpointError` naming the tensor.
    """
    for row, suffix, shape in require_contents(rows, tensors):
        if len(shape) not in {len(axes) for axes in row.shapes}:
            raise _mismatch(row, suffix, tensors, {})


def require_contents(rows: Table, tensors: LayerTensors) -> list[tuple[Row, str, tuple[int, ...]]]:
    """Check that no tensor present is empty, or beyond what the file may cost; each with its row and its shape.

    A second spelling of a tensor is among them.

    Raises `CheckpointError` naming the tensor, `UnsafeFile` where its values would take too much memory.
    """
    archive = tensors.archive
    found = [(row, name, tensors.shape(name)) for row in rows for name in row.names if tensors.has(name)]
    for _, suffix, shape in found:
        if 0 in shape:
            require_numbers(tensors, suffix)
        require_within(_OF_VALUE * math.prod(shape), archive.bytes_total, archive.path, f"{suffix} of a layer")
    return found


def solve(rows: Table, tensors: LayerTensors, known: Mapping[str, Fact] | None = None) -> dict[str, Fact]:
    """The sizes of a layer by the shapes of its tensors, each with the tensor that showed it.

    `known` are sizes that follow from several tensors together. Raises what `require_contents` does, and
    `CheckpointError` where a shape contradicts those before it.

        solve(table("A_log | E, N | required"), tensors)      {"E": Fact(1536, "A_log"), "N": Fact(16, "A_log")}
    """
    sizes = dict(known or {})
    values = {size: fact.value for size, fact in sizes.items()}
    for row, suffix, shape in require_contents(rows, tensors):
        fits = [new for axes in row.shapes if (new := _fit(axes, shape, values)) is not None]
        if not fits:
            raise _mismatch(row, suffix, tensors, sizes)
        values |= fits[0]
        sizes |= {size: Fact(value, suffix) for size, value in fits[0].items()}
    return sizes


def require_numbers(tensors: LayerTensors, suffix: str) -> None:
    """Raises `CheckpointError` where a tensor has an empty axis."""
    shape = tensors.shape(suffix)
    if 0 in shape:
        cause = (
            "DeepSpeed ZeRO-3 and FSDP keep such placeholders for weights that lie elsewhere: gather them first "
            "(zero_to_fp32.py, or stage3_gather_16bit_weights_on_model_save), and open what that writes"
            if shape == (0,)
            else "the file was saved without its weights: open a complete checkpoint"
        )
        raise CheckpointError(f"{tensors.name}: {suffix} should hold numbers, found shape {shown(shape)}; {cause}")


def _fit(axes: tuple[Axis, ...], shape: tuple[int, ...], values: Mapping[str, int]) -> dict[str, int] | None:
    """The new sizes that make `axes` equal `shape`, or None where no sizes do."""
    if len(axes) != len(shape):
        return None
    new: dict[str, int] = {}
    for axis, length in zip(axes, shape, strict=True):
        solved = {} if axis is None else _solved(axis, length, {**values, **new} if new else values)
        if solved is None:
            return None
        new |= solved
    return new


def _solved(axis: tuple[Term, ...], length: int, values: Mapping[str, int]) -> dict[str, int] | None:
    rest, factor, unknown = length, 0, ""
    for term in axis:
        open_sizes = [size for size in term.sizes if size not in values]
        product = term.factor * math.prod(values.get(size, 1) for size in term.sizes)
        if not open_sizes:
            rest -= product
        elif len(open_sizes) == 1 and unknown in ("", open_sizes[0]):
            unknown, factor = open_sizes[0], factor + product
        else:
            raise ValueError(f"an axis of a table should have one size that earlier rows do not show, found {axis}")
    if not unknown:
        return {} if rest == 0 else None
    return {unknown: rest // factor} if rest > 0 and rest % factor == 0 else None


def _mismatch(row: Row, suffix: str, tensors: LayerTensors, sizes: Mapping[str, Fact]) -> CheckpointError:
    letters = sorted(set("".join(row.words)) & sizes.keys())
    known = ", ".join(f"{letter} = {sizes[letter].value} by {sizes[letter].source}" for letter in letters)
    expected = " or ".join(_shown(axes, sizes) for axes in row.shapes)
    because = f" ({' or '.join(row.words)} with {known})" if known else ""
    return CheckpointError(
        f"{tensors.name}: {suffix} should have shape {expected}{because}, found {shown(tensors.shape(suffix))}; "
        "the file mixes layers of different models or uses a layout this package does not know"
    )


def _shown(axes: Iterable[Axis], sizes: Mapping[str, Fact]) -> str:
    """Axes as a shape, with numbers where every size is known."""
    shown = [_axis_shown(axis, sizes) for axis in axes]
    return f"({', '.join(shown)}{',' if len(shown) == 1 else ''})"


def _axis_shown(axis: Axis, sizes: Mapping[str, Fact]) -> str:
    if axis is None:
        return "any"
    if any(size not in sizes for term in axis for size in term.sizes):
        return " + ".join(f"{term.factor if term.factor > 1 else ''}{term.sizes}" for term in axis)
    return str(sum(term.factor * math.prod(sizes[size].value for size in term.sizes) for term in axis))
