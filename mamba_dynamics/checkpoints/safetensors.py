"""Safetensors files, read lazily with numpy alone.

Layout of a file: 8 bytes, the length n of the header as a little-endian integer; n bytes of
JSON, `{name: {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {str: str}}`;
then the payload, the tensors' values in row-major little-endian order, where `begin` and `end`
count from the first byte of the payload. The tensors fill the payload: no gap, no overlap,
nothing after the last. All of this is checked before a tensor is offered, so a tensor is never
larger than its file. NaN and infinities are allowed by the format and not looked for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import CorruptFile
from .base import Archive, find, require_text_names, require_weight_type, row_range, shown
from .files import StoredFile
from .json_text import MAX_JSON_BYTES, json_object

#: Bits of one value of every type the format knows.
BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip

_LENGTH_BYTES = 8
# numpy arrays have at most 64 axes and 2**63 bytes; an empty tensor could declare more.
_MAX_AXES = 64
_MAX_BITS = 2**63


@dataclass(frozen=True, slots=True)
class _Entry:
    """One tensor of the header; `begin` and `end` count from the payload's first byte."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsArchive(Archive):
    """The tensors of one safetensors file."""

    format = "safetensors"

    def __init__(self, file: StoredFile):
        """Read and check the header. Raises `CorruptFile`."""
        self.path = file.path
        self.folder = file.path.parent
        self._file = file
        self.bytes_total = file.size
        header = _header(file)
        self._payload = _LENGTH_BYTES + len(header)
        table = json_object(header, file.path, "the safetensors header", self.bytes_total)
        self._entries = _entries(table, file, self._payload)
        self.names = tuple(sorted(self._entries))
        self._bytes_read = self._payload

    @property
    def bytes_read(self) -> int:
        return self._bytes_read

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def shape(self, name: str) -> tuple[int, ...]:
        return find(self._entries, name, self.path).shape

    def dtype(self, name: str) -> str:
        return find(self._entries, name, self.path).dtype

    def read(self, name: str, rows: slice | None = None) -> NDArray[np.floating]:
        entry = find(self._entries, name, self.path)
        require_weight_type(name, entry.dtype, self.path)
        start, stop = row_range(name, entry.shape, rows)
        shape = (stop - start, *entry.shape[1:]) if entry.shape else ()
        row_bytes = math.prod(entry.shape[1:]) * BITS[entry.dtype] // 8
        data = self._file.read(self._payload + entry.begin + start * row_bytes, (stop - start) * row_bytes)
        self._bytes_read += data.size
        return values_of(data, entry.dtype).reshape(shape)


def values_of(data: NDArray[np.uint8], dtype: str) -> NDArray[np.floating]:
    """Bytes to numbers, exactly; a bfloat16 is the upper half of a float32."""
    if dtype == "BF16":
        wide = data.view("<u2").astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    native = np.float64 if dtype == "F64" else np.float32
    return data.view({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]).astype(native, copy=False)


def _header(file: StoredFile) -> bytes:
    if file.size < _LENGTH_BYTES:
        raise _corrupt(file.path, f"it has {file.size} bytes, too few to hold the length of a header")
    length = int.from_bytes(file.read(0, _LENGTH_BYTES).tobytes(), "little")
    if length > MAX_JSON_BYTES:
        raise _corrupt(file.path, f"its header claims {length} bytes, more than the {MAX_JSON_BYTES} the format allows")
    header = file.read(_LENGTH_BYTES, length).tobytes()
    if header[:1] != b"{":
        raise _corrupt(file.path, f"its header begins with {header[:4]!r}, expected '{{'")
    return header


def _entries(header: dict[str, Any], file: StoredFile, payload: int) -> dict[str, _Entry]:
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _corrupt(file.path, "its __metadata__ is not a table of texts")
    require_text_names(header, file.path)
    entries = {name: _entry(name, value, file, payload) for name, value in header.items()}
    _require_no_gaps(entries, file, payload)
    return entries


def _entry(name: str, value: Any, file: StoredFile, payload: int) -> _Entry:
    def corrupt(what: str) -> CorruptFile:
        return _corrupt(file.path, f"tensor {shown(name)} {what}")

    if not isinstance(value, dict) or not value.keys() >= {"dtype", "shape", "data_offsets"}:
        raise corrupt("lacks its dtype, shape or data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise corrupt(f"has the unknown dtype {shown(dtype)}")
    if not _whole_numbers(shape) or len(shape) > _MAX_AXES:
        raise corrupt(f"has the shape {shown(shape)}, expected at most {_MAX_AXES} whole numbers >= 0")
    if not _whole_numbers(offsets) or len(offsets) != 2:
        raise corrupt(f"has the data_offsets {shown(offsets)}, expected two whole numbers >= 0")
    begin, end = offsets
    if not begin <= end <= file.size - payload:
        why = ", as if the file had been cut short" if end > file.size - payload else ""
        raise corrupt(f"lies at bytes {shown(begin)} to {shown(end)} of a payload of {file.size - payload}{why}")
    _require_size(dtype, shape, end - begin, corrupt)
    return _Entry(dtype, tuple(shape), begin, end)


def _whole_numbers(value: Any) -> bool:
    # type() and not isinstance: true is no size, and JSON's 2.0 is no integer.
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _require_size(dtype: str, shape: list[int], size: int, corrupt: Any) -> None:
    bound = BITS[dtype]
    for length in shape:
        bound *= max(length, 1)
        if bound >= _MAX_BITS:
            raise corrupt(f"has a shape of more than {_MAX_BITS} bits: {shown(shape)}")
    if math.prod(shape) * BITS[dtype] != size * 8:
        raise corrupt(f"has the shape {shown(shape)} of {dtype}, which does not fill its {size} bytes")


def _require_no_gaps(entries: Mapping[str, _Entry], file: StoredFile, payload: int) -> None:
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            fault = "overlaps the one before it" if entry.begin < position else "leaves a gap before it"
            raise _corrupt(file.path, f"tensor {shown(name)} begins at byte {entry.begin} of the payload and {fault}")
        position = entry.end
    if position != file.size - payload:
        raise _corrupt(file.path, f"its tensors end at byte {position} of the payload, which has {file.size - payload}")


def _corrupt(path: Path, what: str) -> CorruptFile:
    return CorruptFile(f"{shown(path)} is not a whole safetensors file: {what}; download it again")
