"""Torch files (.bin, .pt, .pth, .ckpt), read without torch.

    since torch 1.6    a zip archive: the pickle NAME/data.pkl describes the tensors, NAME/data/* are their values
    before             pickles, of which the last two describe the tensors and list their storages, then the values
    TorchScript        a zip archive like the first, with the program beside the weights; the program is not read

The pickle is followed without running it (`pickle_tree`), the tensors in it are found (`named_tensors`), and every
storage must be exactly the bytes that the file holds for it. So reading such a file runs nothing of it, and neither
imports a class that it names nor builds an object that it describes.
"""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._allowance import Budget
from .._errors import CorruptFile, UnsafeFile
from .base import Archive, find, require_weight_type, row_range, shown
from .files import StoredFile
from .named_tensors import named_tensors
from .pickle_tree import PersistentId, Tree, pickle_tree
from .safetensors import values_of
from .torch_tensors import Storage, StoredTensor, storage_of, total_bytes
from .zip_directory import STORED, Record, directory_of, first_byte, read_stored

#: How a torch file before 1.6 begins: a pickle of its number, in any protocol.
_LEGACY_START = re.compile(rb"\x80[\2-\5](?:\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
_COUNT = struct.Struct("<q")


@dataclass(frozen=True)
class _Contents:
    """What a torch file holds: the tree of its pickle, that pickle's bytes, and where each storage lies.

    `storages` gives the bytes of each by name, `first_byte` the offset of the first.
    """

    tree: Tree
    pickle_bytes: int
    storages: Mapping[str, int]
    first_byte: Callable[[str], int]


def begins_as_before_1_6(start: bytes) -> bool:
    """Whether a file that begins like this is one of torch before 1.6, or was saved in that form."""
    return _LEGACY_START.match(start) is not None


class TorchArchive(Archive):
    """The tensors of one torch file, by the dotted path of keys that leads to each."""

    format = "torch"

    def __init__(self, file: StoredFile):
        """Read what describes the tensors, and check it. Raises `UnsafeFile` or `CorruptFile`."""
        self.path = path = file.path
        self.folder = path.parent
        self._file = file
        self.bytes_total = file.size
        budget = Budget(file.size, path)
        read = _zip_contents if file.read(0, 2).tobytes() == b"PK" else _legacy_contents
        contents = read(file, budget)
        self._tensors = named_tensors(contents.tree.root, contents.pickle_bytes, path, budget)
        _require_whole_storages(contents, path)
        self._first_byte = contents.first_byte
        self.names = tuple(sorted(self._tensors))
        self._bytes_read = contents.pickle_bytes

    @property
    def bytes_read(self) -> int:
        return self._bytes_read

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return find(self._tensors, name, self.path).shape

    def dtype(self, name: str) -> str:
        return find(self._tensors, name, self.path).dtype

    def read(self, name: str, rows: slice | None = None) -> NDArray[np.floating]:
        tensor = find(self._tensors, name, self.path)
        require_weight_type(name, tensor.dtype, self.path)
        if tensor.storage is tensor.inline is None:
            raise CorruptFile(
                f"tensor {shown(name)} of {shown(self.path)} was saved without its values, on the device meta; save "
                "the model after its weights are loaded"
            )
        start, stop = row_range(name, tensor.shape, rows)
        if rows is not None:
            tensor = _rows(tensor, start, stop)
        size = total_bytes(tensor)
        if size > self.bytes_total:
            # A stride of zero repeats one value: a few bytes could ask for all memory there is.
            raise CorruptFile(f"tensor {shown(name)} of {shown(self.path)} claims {size} bytes, more than the file has")
        if not size:
            return np.zeros(tensor.shape, np.float64 if tensor.dtype == "F64" else np.float32)
        values = _strided(self._spanned(tensor), tensor)
        self._bytes_read += size
        return np.negative(values) if tensor.negative else values

    def _spanned(self, tensor: StoredTensor) -> NDArray[np.uint8]:
        """The bytes from a tensor's first value to its last."""
        begin, count = tensor.offset * tensor.width, tensor.span * tensor.width
        if isinstance(tensor.storage, str):
            return self._file.read(self._first_byte(tensor.storage) + begin, count)
        inline = tensor.inline or b""
        data = inline[begin : begin + count]
        try:
            return np.frombuffer(data if isinstance(data, bytes) else data.encode("latin-1"), np.uint8)
        except UnicodeEncodeError:
            raise CorruptFile(f"{shown(self.path)} holds an array with characters that stand for no byte") from None


def _require_whole_storages(contents: _Contents, path: Path) -> None:
    """Raise `CorruptFile` unless all that the pickle asks for are storages of which the file holds every byte.

    A storage has one type, and a part of one (before torch 1.6) one place: torch keeps the first it meets.
    """
    kinds: dict[str, tuple] = {}
    parts: dict[str, tuple] = {}
    for wanted in contents.tree.persistent_ids:
        identity = wanted.identity
        if isinstance(identity, tuple) and identity[:1] == ("module",):
            continue  # a class with its source code, in files before torch 1.6
        storage = storage_of(wanted, path)
        _require_whole(
            storage, whole=identity[4] * storage.width, stored=contents.storages.get(storage.name), path=path
        )
        first = kinds.setdefault(storage.name, (storage.dtype, storage.width))
        part = (storage.name, storage.begin, storage.count)
        view = identity[5][0] if len(identity) == 6 and identity[5] is not None else None
        known = parts.setdefault(view, part) if type(view) is str else part
        if (
            first != (storage.dtype, storage.width)
            or known != part
            or (type(view) is str and view in contents.storages)
        ):
            raise CorruptFile(
                f"{shown(path)} names the storage {shown(storage.name)} in two ways that contradict each other; "
                "download it again"
            )


def _require_whole(storage: Storage, *, whole: int, stored: int | None, path: Path) -> None:
    """Raise `CorruptFile` unless the bytes that are stored are as many as a whole storage is said to have."""
    if stored != whole:
        found = "none" if stored is None else stored
        raise CorruptFile(
            f"storage {shown(storage.name)} of {shown(path)} should have {whole} bytes, found {found}: a tensor claims "
            "values outside its record; download the file again"
        )


def _rows(tensor: StoredTensor, start: int, stop: int) -> StoredTensor:
    """The rows of a tensor's first axis."""
    step = tensor.strides[0]
    offset = tensor.offset + (start * step if stop > start else 0)
    return replace(tensor, offset=offset, shape=(stop - start, *tensor.shape[1:]))


def _strided(data: NDArray[np.uint8], tensor: StoredTensor) -> NDArray[np.floating]:
    """The values of a tensor, in rows, from the bytes it spans."""
    stored = data.view(f"<u{tensor.width}")
    # The stride of an axis of length one leads nowhere, and may be beyond any number that numpy takes.
    steps = zip(tensor.shape, tensor.strides, strict=True)
    strides = tuple(tensor.width * stride if length > 1 else 0 for length, stride in steps)
    window = np.lib.stride_tricks.as_strided(stored, tensor.shape, strides, writeable=False)
    flat = np.ascontiguousarray(window).reshape(-1).view(np.uint8)
    return values_of(flat if flat.flags.writeable else flat.copy(), tensor.dtype).reshape(tensor.shape)


# --- since torch 1.6


def _zip_contents(file: StoredFile, budget: Budget) -> _Contents:
    records = directory_of(file)
    prefix = _prefix(records, file.path)
    # torch looks names up without regard to case, and takes one of several equal ones.
    if len({name.casefold() for name in records}) < len(records) or not all(
        name.startswith(prefix) for name in records
    ):
        raise CorruptFile(f"{shown(file.path)} has records of ambiguous names: torch did not write it")
    folder, own = prefix + "data/", ((prefix + "data.pkl").casefold(), (prefix + "byteorder").casefold())
    for name, record in records.items():
        if name.casefold() in own or name.startswith(folder):
            _require_stored(record, file)
    # torch finds it whatever its case.
    order = next((one for name, one in records.items() if name.casefold() == own[1]), None)
    if order is not None and read_stored(file, order) != b"little":
        raise CorruptFile(
            f"{shown(file.path)} was written on a machine of another byte order; save it again on this one"
        )
    pickle = records[prefix + "data.pkl"]
    begin = first_byte(file, pickle)
    storages = {name.removeprefix(folder): one.packed for name, one in records.items() if name.startswith(folder)}
    return _Contents(
        tree=pickle_tree(file, begin, begin + pickle.packed, budget),
        pickle_bytes=pickle.packed,
        storages=storages,
        first_byte=lambda name: first_byte(file, records[folder + name]),
    )


def _prefix(records: Mapping[str, Record], path: Path) -> str:
    pickles = [name for name in records if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(pickles) != 1:
        raise CorruptFile(f"{shown(path)} is a zip file with {len(pickles)} records data.pkl: torch did not write it")
    return pickles[0].removesuffix("data.pkl")


def _require_stored(record: Record, file: StoredFile) -> None:
    if record.method != STORED or record.encrypted:
        raise CorruptFile(
            f"record {shown(record.name)} of {shown(file.path)} is compressed or encrypted, as torch never writes it; "
            "save the weights again with torch.save"
        )
    if record.packed != record.size:
        raise CorruptFile(
            f"record {shown(record.name)} of {shown(file.path)} has {record.packed} bytes, but {record.size} unpacked, "
            "though it is not compressed; download the file again"
        )


# --- before torch 1.6


def _legacy_contents(file: StoredFile, budget: Budget) -> _Contents:
    """Pickles of a number, a version, the machine, the value and the storages' names; then the storages."""
    pickles, at = [], 0
    for _ in range(5):
        pickles.append(pickle_tree(file, at, file.size, budget))
        at = pickles[-1].end
    machine, value, listed = pickles[2].root, pickles[3], pickles[4].root
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise CorruptFile(
            f"{shown(file.path)} was written on a machine of another byte order; save it again on this one"
        )
    places = _places(file, at, listed, _widths(value.persistent_ids, file.path))
    return _Contents(
        tree=value,
        pickle_bytes=at,
        storages={name: size for name, (_, size) in places.items()},
        first_byte=lambda name: places[name][0],
    )


def _widths(persistent_ids: tuple[PersistentId, ...], path: Path) -> dict[str, int]:
    """Bytes of a value of each storage."""
    widths: dict[str, int] = {}
    for one in persistent_ids:
        if isinstance(one.identity, tuple) and one.identity[:1] == ("storage",):
            storage = storage_of(one, path)
            if widths.setdefault(storage.name, storage.width) != storage.width:
                raise CorruptFile(f"{shown(path)} holds the storage {shown(storage.name)} with values of two widths")
    return widths


def _places(file: StoredFile, at: int, listed: object, widths: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """(first byte, bytes) of every storage."""
    places: dict[str, tuple[int, int]] = {}
    for name in listed if isinstance(listed, list) else ():
        if type(name) is not str or name not in widths or name in places:
            raise CorruptFile(f"{shown(file.path)} lists a storage that no tensor has, or one twice; download it again")
        (count,) = _COUNT.unpack(file.read(at, _COUNT.size).tobytes())
        begin, size = at + _COUNT.size, count * widths[name]
        if count < 0 or begin + size > file.size:
            raise CorruptFile(
                f"storage {shown(name)} of {shown(file.path)} claims {size} bytes, more than the file has left"
            )
        places[name] = (begin, size)
        at = begin + size
    return places


def stores_objects(path: Path, evidence: str) -> UnsafeFile:
    """The refusal of a file that holds Python objects of which no weights can be read, with the way out."""
    return UnsafeFile(
        f"{shown(path)} stores Python objects, not only tensors ({evidence}): loading it could run code; "
        "save its weights where it was made: torch.save(model.state_dict(), 'model.pt')"
    )
