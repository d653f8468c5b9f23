"""`Archive`: named weight tensors in a file, readable one at a time and by rows.

Every format (safetensors, torch zip, shards behind an index) reaches the rest of the package as
this one class, so that nothing above it knows how the bytes lie. An archive is lazy: opening one
reads its headers, `read` reads one tensor or some of its rows. Names and sizes come from the
file, that is from a stranger; messages show names escaped and cut (`shown`), and no size is
believed before it was compared with the size of the file.

Stored types go by their safetensors names: F64, F32, F16, BF16 are weights and can be read;
whole numbers, eight-bit floats and the like are listed, but `read` refuses them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .._errors import CheckpointError, CorruptFile, MissingTensor

#: Stored types that `Archive.read` turns into numpy arrays.
WEIGHT_TYPES = ("F64", "F32", "BF16", "F16")

_Tensor = TypeVar("_Tensor")

#: Of a longer name or path, messages show both ends.
_SHOWN_LENGTH = 200


def shown(name: object) -> str:
    """`name` for a message: on one line, ASCII only, and not too long; quoted, but for numbers and what holds them."""
    if name is None or isinstance(name, (bool, int, float, list, tuple, dict)):
        return _shortened(ascii(name))
    return ascii(_shortened(str(name)))


def _shortened(text: str) -> str:
    half = _SHOWN_LENGTH // 2
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:half]}...{text[-half:]}"


class Archive(ABC):
    """Named weight tensors of a checkpoint.

    Attributes:
        path: the file read: a weight file, or an index of shards.
        folder: the folder where `config.json` may lie.
        format: "safetensors", "safetensors-sharded", "torch" or "torch-sharded".
        bytes_total: size of all weight files.
        names: names of all tensors, sorted; for torch files the dotted path of dictionary keys.
    """

    path: Path
    folder: Path | None
    format: str
    bytes_total: int
    names: tuple[str, ...]

    @property
    @abstractmethod
    def bytes_read(self) -> int:
        """Bytes of headers and tensor payload read so far; a tensor read twice counts twice."""

    @abstractmethod
    def __contains__(self, name: object) -> bool: ...

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor. Raises `MissingTensor` where there is none of this name."""

    @abstractmethod
    def dtype(self, name: str) -> str:
        """Stored type of a tensor, by its safetensors name. Raises `MissingTensor`."""

    @abstractmethod
    def read(self, name: str, rows: slice | None = None) -> NDArray[np.floating]:
        """A tensor, or the rows `rows.start:rows.stop` of its first axis, without rounding.

        Returns a new float64 array for F64, float32 for F32, BF16 and F16. Raises `MissingTensor`;
        `CheckpointError` for a type that is no weight or rows outside the tensor; `CorruptFile`
        if the file is not the one that was opened.
        """


def find(tensors: Mapping[str, _Tensor], name: str, path: Path) -> _Tensor:
    """`tensors[name]`, or `MissingTensor` in words."""
    try:
        return tensors[name]
    except KeyError:
        raise MissingTensor(f"no tensor named {shown(name)} among the {len(tensors)} of {shown(path)}") from None


def row_range(name: str, shape: tuple[int, ...], rows: slice | None) -> tuple[int, int]:
    """First row and the row past the last; a whole tensor, or a scalar, for `rows=None`."""
    count = shape[0] if shape else 1
    if rows is None:
        return 0, count
    start = 0 if rows.start is None else rows.start
    stop = count if rows.stop is None else rows.stop
    if not shape or rows.step not in (None, 1) or not 0 <= start <= stop <= count:
        raise CheckpointError(
            f"rows {start}:{stop} of tensor {shown(name)} do not exist: its shape is {list(shape)}; "
            "expected contiguous rows of its first axis"
        )
    return start, stop


def require_weight_type(name: str, dtype: str, path: Path) -> None:
    """Refuse to read what is not stored as a plain floating-point number."""
    if dtype not in WEIGHT_TYPES:
        raise CheckpointError(
            f"tensor {shown(name)} of {shown(path)} is stored as {shown(dtype)}, expected one of "
            f"{', '.join(WEIGHT_TYPES)}; a quantised model must be dequantised first"
        )


def require_text_names(names: Mapping[str, object], path: Path) -> None:
    """Refuse names that no terminal and no JSON file could hold (lone surrogates)."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise CorruptFile(f"{shown(path)} names a tensor {shown(name)}, which is not valid Unicode text") from None
