"""Torch files (.bin, .pt, .pth, .ckpt): zip archives of a pickle and raw storages.

Only torch can tell what such a file holds, and an old torch can be made to run or overwrite
memory by a prepared one. So four checks come in a row: the zip directory must describe stored
(not compressed) entries that fit into the file; the pickle must name nothing but tensors; torch
must be recent and loads with `weights_only=True`; and each tensor must lie within a storage of the
archive. Torch maps the file into memory and tells where each tensor lies, but its values are read from the file: the
system kills a reader of a mapped file that is cut short. torch is imported here only, inside functions: everything else
of this package works without it.
"""

import math
import re
import struct
import warnings
import zipfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._allowance import require_within
from .._errors import CheckpointError, CorruptFile
from .base import Archive, find, require_weight_type, row_range, shown
from .files import WeightFile
from .safetensors import values_of
from .torch_calls import CONVERT, stores_objects
from .torch_pickle import named_tensors, require_plain_pickle
from .zip_directory import directory_of

#: Older versions can be made to run code by a file loaded with weights_only=True
#: (CVE-2025-32434, CVE-2026-24747).
OLDEST_SAFE_TORCH = (2, 10)

_INSTALL = 'pip install "mamba-dynamics[torch]"'
_DTYPES = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16",
           "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"}  # fmt: skip
_ENCRYPTED = 0x1
_LOCAL_HEADER = 30
#: Bytes that a byte of pickle may take before it is looked at: itself, an argument, its text.
_COST_OF_PICKLE = 6


@dataclass(frozen=True)
class _Records:
    """Where the records of an archive lie: name of a storage -> (first byte, bytes); and the pickle."""

    storages: dict[str, tuple[int, int]]
    pickle: bytes


class TorchArchive(Archive):
    """The tensors of one torch file, by the dotted path of keys that leads to each."""

    format = "torch"

    def __init__(self, file: WeightFile):
        """Check the file and map it. Raises `UnsafeFile`, `CorruptFile`, or `CheckpointError` without torch."""
        self.path = path = file.path
        self.folder = path.parent
        self._file = file
        self.bytes_total = self._file.size
        self._records = _checked_records(self._file)
        pickle = self._records.pickle
        names = require_plain_pickle(pickle, self._file.size, path)
        torch = import_torch(path)
        with self._file.unchanged():
            root, storages = _load(torch, path)
        self._tensors = {
            name: tensor
            for name, tensor in named_tensors(root, torch.Tensor, len(pickle), path).items()
            if _is_plain(torch, tensor)
        }
        # torch asks where to put each storage once, in the order of the pickle.
        if len(storages) != len(names):
            raise CorruptFile(f"{shown(path)} holds {len(names)} storages, of which torch reads {len(storages)}")
        self._record_of = {storage._cdata: name for storage, name in zip(storages, names, strict=True)}
        self._storages = storages
        for name, tensor in self._tensors.items():
            self._require_within_storage(name, tensor)
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
        if not size:
            return np.zeros(tuple(tensor.shape), np.float64 if dtype == "F64" else np.float32)
        begin, _ = self._record(tensor)
        data = self._file.read(begin + tensor.storage_offset() * tensor.element_size(), _span(tensor))
        values = _strided(data, dtype, tensor)
        self._bytes_read += size
        return np.negative(values) if tensor.is_neg() else values

    def _record(self, tensor: Any) -> tuple[int, int]:
        """(first byte, bytes) of the record that a tensor's storage is."""
        return self._records.storages[self._record_of[tensor.untyped_storage()._cdata]]

    def _require_within_storage(self, name: str, tensor: Any) -> None:
        storage = tensor.untyped_storage()
        end = tensor.storage_offset() * tensor.element_size() + _span(tensor)
        _, stored = self._records.storages.get(self._record_of.get(storage._cdata, ""), (0, 0))
        if end > storage.nbytes() or storage.nbytes() != stored:
            raise CorruptFile(f"tensor {shown(name)} of {shown(self.path)} claims values outside its record")


def _span(tensor: Any) -> int:
    """Bytes from a tensor's first value to the end of its last."""
    if not tensor.numel():
        return 0
    last = sum((length - 1) * stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.element_size()


def _strided(data: NDArray[np.uint8], dtype: str, tensor: Any) -> NDArray[np.floating]:
    """The values of a tensor, in rows, from the bytes it spans."""
    size = tensor.element_size()
    stored = data.view(f"<u{size}")
    strides = tuple(size * stride for stride in tensor.stride())
    window = np.lib.stride_tricks.as_strided(stored, tuple(tensor.shape), strides, writeable=False)
    flat = np.ascontiguousarray(window).reshape(-1).view(np.uint8)
    return values_of(flat if flat.flags.writeable else flat.copy(), dtype).reshape(tuple(tensor.shape))


def _checked_records(file: WeightFile) -> _Records:
    """The records of a zip archive that is what it seems to be."""
    entries = directory_of(file)
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
    by_name = {entry.filename.removeprefix(prefix): entry for entry in entries}
    if "byteorder" in by_name and _bytes(by_name["byteorder"], file) != b"little":
        raise CorruptFile(
            f"{shown(file.path)} was written on a machine of another byte order; save it again on this one"
        )
    pickle = by_name["data.pkl"]
    require_within(_COST_OF_PICKLE * pickle.file_size, file.size, file.path, "its pickle")
    storages = {
        name.removeprefix("data/"): (_first_byte(entry, file), entry.file_size)
        for name, entry in by_name.items()
        if name.startswith("data/")
    }
    return _Records(storages, _bytes(pickle, file))


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


def _first_byte(entry: zipfile.ZipInfo, file: WeightFile) -> int:
    header = file.read(entry.header_offset, _LOCAL_HEADER).tobytes()
    if not header.startswith(b"PK\3\4"):
        raise CorruptFile(f"{shown(file.path)} is a damaged zip archive: record {shown(entry.filename)} has no header")
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return entry.header_offset + _LOCAL_HEADER + name_length + extra_length


def _bytes(entry: zipfile.ZipInfo, file: WeightFile) -> bytes:
    # Not ZipFile.read: torch may leave checksums out, and zipfile insists on them.
    return file.read(_first_byte(entry, file), entry.file_size).tobytes()


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


def _load(torch: Any, path: Path) -> tuple[Any, list[Any]]:
    """What the file holds, and the storages in it in the order in which they were asked for."""
    storages: list[Any] = []

    def keep(storage: Any, _: str) -> Any:
        storages.append(storage)
        return storage

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(str(path), weights_only=True, mmap=True, map_location=keep), storages
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
