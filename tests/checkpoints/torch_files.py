"""Torch files written without torch: any value in Python, with arrays in the place of tensors.

Python's own pickler does the work. What it cannot know without torch is given to it here: names of torch's functions
and classes (`Global`), and storages, which a torch file refers to by a persistent id.
"""

import io
import pickle
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from archive_files import write_torch_like

STORAGES = {
    "f8": "DoubleStorage", "f4": "FloatStorage", "f2": "HalfStorage", "i8": "LongStorage", "i4": "IntStorage",
    "u1": "ByteStorage",
}  # fmt: skip
#: What every torch file before version 1.6 begins with: its number, the version of its form, and the machine.
LEGACY = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})


@dataclass(frozen=True)
class Global:
    """A function or class that is pickled by its name, whether or not it can be imported here."""

    module: str
    name: str

    def __call__(self, *_: Any) -> None:
        raise AssertionError("only its name is pickled")


@dataclass(frozen=True)
class Storage:
    """A storage of a torch file; `of` is the name that its record has."""

    of: Any
    kind: Any
    count: Any
    view: tuple | None = None


@dataclass
class Call:
    """An object that pickles to a call of a function, with what is put into it afterwards."""

    function: Global
    arguments: tuple
    state: Any = None
    items: dict | None = None
    elements: list | None = None


REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
PARAMETER = Global("torch._utils", "_rebuild_parameter")
ORDERED_DICT = Global("collections", "OrderedDict")


@dataclass
class Recorded:
    """The storages that a value needs, as it is built."""

    records: dict[str, bytes] = field(default_factory=dict)

    def storage(self, values: np.ndarray) -> Storage:
        name = str(len(self.records))
        self.records[name] = np.ascontiguousarray(values).tobytes()
        return Storage(name, STORAGES[values.dtype.str[1:]], values.size)

    def tensor(self, values: np.ndarray, function: Global = REBUILD) -> Call:
        """A tensor in a storage of its own."""
        strides = tuple(np.cumprod((1, *values.shape[:0:-1]), dtype=int)[::-1].tolist())[: values.ndim]
        return Call(function, (self.storage(values), 0, values.shape, strides, False, Call(ORDERED_DICT, ())))


def pickled(value: Any, protocol: int = 2, *, legacy: bool = False) -> bytes:
    out = io.BytesIO()
    pickler = _Pickler(out, protocol)
    pickler.legacy = legacy
    pickler.dump(value)
    return out.getvalue()


def write_torch(path: Path, value: Any, recorded: Recorded, protocol: int = 2) -> Path:
    """A torch file as torch writes it since 1.6."""
    return write_torch_like(
        path, pickled(value, protocol), **{f"_{name}": data for name, data in recorded.records.items()}
    )


def write_legacy(path: Path, value: Any, recorded: Recorded, order: list[str] | None = None) -> Path:
    """A torch file as torch wrote it before 1.6."""
    widths = {name: int(STORAGE_WIDTHS[kind]) for name, kind in _kinds(value).items()}
    names = list(recorded.records) if order is None else order
    pickles = b"".join(pickled(part, legacy=True) for part in (*LEGACY, value, names))
    stored = b"".join(
        struct.pack("<q", len(recorded.records[name]) // widths[name]) + recorded.records[name] for name in names
    )
    path.write_bytes(pickles + stored)
    return path


STORAGE_WIDTHS = {kind: code[1:] for code, kind in STORAGES.items()}


def _kinds(value: Any) -> dict[str, str]:
    if isinstance(value, Storage):
        return {value.of: value.kind}
    if isinstance(value, Call):
        return _kinds([*value.arguments, value.state, value.items, value.elements])
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return {name: kind for one in inner for name, kind in _kinds(one).items()}


class _Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Python's pickler in Python, in which a name can be written without what it names."""

    legacy = False

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        kind = Global("torch", value.kind) if isinstance(value.kind, str) else value.kind
        return ("storage", kind, value.of, "cpu", value.count, *((value.view,) if self.legacy else ()))

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Global):
            self.write(self._global(obj))
        elif isinstance(obj, Call):
            self._save_call(obj)
        else:
            super().save(obj, save_persistent_id)

    def _global(self, obj: Global) -> bytes:
        if self.proto >= 4:
            return b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (obj.module, obj.name)) + b"\x93"
        return b"c" + f"{obj.module}\n{obj.name}\n".encode()

    def _save_call(self, obj: Call) -> None:
        if id(obj) in self.memo:
            self.write(self.get(self.memo[id(obj)][0]))
            return
        self.save(obj.function)
        self.save(obj.arguments)
        self.write(pickle.REDUCE)
        self.memoize(obj)
        if obj.elements is not None:
            self._batch_appends(obj.elements)
        if obj.items is not None:
            self._batch_setitems(obj.items.items())
        if obj.state is not None:
            self.save(obj.state)
            self.write(pickle.BUILD)
