"""Torch files (.bin, .pt, .pth, .ckpt): zip archives of a pickle and raw storages.

Only torch can tell what such a file holds, and an old torch can be made to run or overwrite
memory by a prepared one. So four checks come in a row: the zip directory must describe stored
(not compressed) entries that fit into the file; the pickle must name nothing but tensors; torch
must be recent and loads with `weights_only=True`; and each tensor must lie within a storage of the
archive. Torch maps the file into memory, so a tensor is read when it is asked for. torch is
imported here only, inside functions: everything else of this package works without it.
"""

import math
import re
import struct
import warnings
import zipfile
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import CheckpointError, CorruptFile
from .base import Archive, find, require_weight_type, row_range, shown
from .files import WeightFile, open_regular
from .torch_pickle import CONVERT, named_tensors, require_plain_pickle, stores_objects

#: Older versions can be made to run code by a file loaded with weights_only=True
#: (CVE-2025-32434, CVE-2026-24747).
OLDEST_SAFE_TORCH = (2, 10)

_INSTALL = 'pip install "mamba-dynamics[torch]"'
_DTYPES = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16",
           "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"}  # fmt: skip
_ENCRYPTED = 0x1
_END_OF_DIRECTORY = 22
_LOCAL_HEADER = 30


class TorchArchive(Archive):
    """The tensors of one torch file, by the dotted path of keys that leads to each."""

    format = "torch"

    def __init__(self, file: WeightFile):
        """Check the file and map it. Raises `UnsafeFile`, `CorruptFile`, or `CheckpointError` without torch."""
        self.path = path = file.path
        self.folder = path.parent
        self._file = file
        self.bytes_total = self._file.size
        sizes, pickle = _checked_records(self._file)
        require_plain_pickle(pickle, path)
        torch = import_torch(path)
        with self._file.unchanged():
            root = _load(torch, path)
        self._tensors = {
            name: tensor
            for name, tensor in named_tensors(root, torch.Tensor, len(pickle), path).items()
            if _is_plain(torch, tensor)
        }
        for name, tensor in self._tensors.items():
            _require_within_storage(name, tensor, sizes, path)
        self.names = tuple(sorted(self._tensors))
        self._bytes_read = len(pickle)

    @property
    def bytes_read(self) -> int:
        return self._bytes_read

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(find(self._tensors, name, self.path).shape)

    def dtype(self, name: str) -> str:
        word = str(find(self._tensors, name, self.path).dtype).removeprefix("torch.")
        return _DTYPES.get(word, word)

    def read(self, name: str, rows: slice | None = None) -> NDArray[np.floating]:
        tensor, dtype = find(self._tensors, name, self.path), self.dtype(name)
        require_weight_type(name, dtype, self.path)
        start, stop = row_range(name, tuple(tensor.shape), rows)
        if rows is not None:
            tensor = tensor[start:stop]
        size = math.prod(tensor.shape) * tensor.element_size()
        if size > self.bytes_total:
            # A stride of zero repeats one value: a few bytes could ask for all memory there is.
            raise CorruptFile(f"tensor {shown(name)} of {shown(self.path)} claims {size} bytes, more than the file has")
        # The mapped file must be whole while it is copied: the system kills a reader of vanished pages.
        with self._file.unchanged():
            values = _values(tensor, dtype, name, self.path)
        self._bytes_read += size
        return values


def _values(tensor: Any, dtype: str, name: str, path: Path) -> NDArray[np.floating]:
    wanted = tensor.detach().resolve_neg()
    try:
        array = (wanted.double() if dtype == "F64" else wanted.float()).numpy()
    except (RuntimeError, ValueError, TypeError) as error:
        raise CorruptFile(f"tensor {shown(name)} of {shown(path)} cannot be read: {_first_line(error)}") from None
    # A copy, because the array could still be a window into the mapped file.
    return np.array(array, order="C")


def _checked_records(file: WeightFile) -> tuple[frozenset[int], bytes]:
    """Sizes of all records, and the pickle, of a zip archive that is what it seems to be."""
    entries = _directory(file)
    prefix = _prefix(entries, file.path)
    names = [entry.filename.casefold() for entry in entries]
    # torch looks names up without regard to case, and takes one of several equal ones.
    if len(set(names)) < len(names) or not all(entry.filename.startswith(prefix) for entry in entries):
        raise CorruptFile(f"{shown(file.path)} has records of ambiguous names: torch did not write it")
    if any(entry.filename == prefix + "constants.pkl" for entry in entries):
        raise stores_objects(file.path, "it is a TorchScript program")
    for entry in entries:
        _require_stored(entry, file)
    if sum(entry.file_size for entry in entries) > file.size:
        raise CorruptFile(f"{shown(file.path)} has records that overlap: their sizes sum to more than the file's")
    pickle = next(entry for entry in entries if entry.filename == prefix + "data.pkl")
    return frozenset(entry.file_size for entry in entries), _bytes(pickle, file)


def _directory(file: WeightFile) -> list[zipfile.ZipInfo]:
    # With the end record in the last bytes there is one directory that any reader can find.
    end = file.read(max(file.size - _END_OF_DIRECTORY, 0), min(file.size, _END_OF_DIRECTORY)).tobytes()
    if not end.startswith(b"PK\5\6") or not end.endswith(b"\0\0"):
        raise CorruptFile(f"{shown(file.path)} does not end like a zip archive: cut short? download it again")
    try:
        with file.unchanged(), open_regular(file.path) as stream, zipfile.ZipFile(stream) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, OverflowError, struct.error) as error:
        raise CorruptFile(f"{shown(file.path)} is a damaged zip archive: {_first_line(error)}") from None


def _prefix(entries: list[zipfile.ZipInfo], path: Path) -> str:
    pickles = [entry.filename for entry in entries if re.fullmatch(r"[^/]+/data\.pkl", entry.filename)]
    if len(pickles) != 1:
        raise CorruptFile(f"{shown(path)} is a zip file with {len(pickles)} records data.pkl: torch did not write it")
    return pickles[0].removesuffix("data.pkl")


def _require_stored(entry: zipfile.ZipInfo, file: WeightFile) -> None:
    record = f"record {shown(entry.filename)} of {shown(file.path)}"
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
        raise CorruptFile(f"{record} is compressed or encrypted, as torch never writes it; save it again: {CONVERT}")
    if entry.file_size != entry.compress_size or entry.header_offset + _LOCAL_HEADER + entry.file_size > file.size:
        raise CorruptFile(f"{record} claims {entry.file_size} bytes, which do not fit the file; download it again")


def _bytes(entry: zipfile.ZipInfo, file: WeightFile) -> bytes:
    # Not ZipFile.read: torch may leave checksums out, and zipfile insists on them.
    header = file.read(entry.header_offset, _LOCAL_HEADER).tobytes()
    if not header.startswith(b"PK\3\4"):
        raise CorruptFile(f"{shown(file.path)} is a damaged zip archive: record {shown(entry.filename)} has no header")
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return file.read(entry.header_offset + _LOCAL_HEADER + name_length + extra_length, entry.file_size).tobytes()


def import_torch(path: Path) -> Any:
    """The module torch. Raises `CheckpointError` if it is missing or too old to be safe."""
    try:
        torch = import_module("torch")
    except (ImportError, OSError):
        raise CheckpointError(
            f"{shown(path)} is a torch file, and reading it needs torch: {_INSTALL}; or use the model's "
            "safetensors version (original mamba_ssm repositories have one under the same name ending in -hf)"
        ) from None
    version = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_SAFE_TORCH:
        raise CheckpointError(
            f"torch {torch.__version__} was found, but a prepared file can run code in versions before "
            f"{'.'.join(map(str, OLDEST_SAFE_TORCH))}: {_INSTALL}"
        )
    return torch


def _load(torch: Any, path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(str(path), weights_only=True, mmap=True, map_location="cpu")
        except UnpicklingError as error:
            raise stores_objects(path, f"torch refuses it: {_refusal(error)}") from None
        except Exception as error:
            # torch checks little by itself: a damaged pickle ends in whatever error comes first.
            raise CorruptFile(f"torch cannot read {shown(path)}: {_first_line(error)}") from None


def _refusal(error: Exception) -> str:
    found = re.search(r"WeightsUnpickler error: ([^\n]*?)(?: was not an allowed global|\. |\n|$)", str(error))
    return shown(found[1]) if found else _first_line(error)


def _first_line(error: Exception) -> str:
    lines = str(error).split("\n")
    return f"{type(error).__name__} {shown(lines[0])}"


def _is_plain(torch: Any, tensor: Any) -> bool:
    """A dense array of numbers: not sparse, nested, quantised, without data, or of a class of its own."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not (tensor.is_nested or tensor.is_quantized)
    )


def _require_within_storage(name: str, tensor: Any, sizes: frozenset[int], path: Path) -> None:
    storage = tensor.untyped_storage().nbytes()
    last = sum((length - 1) * stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True))
    end = (tensor.storage_offset() + last + 1) * tensor.element_size() if tensor.numel() else 0
    if end > storage or (storage and storage not in sizes):
        raise CorruptFile(f"tensor {shown(name)} of {shown(path)} claims values outside its record")
