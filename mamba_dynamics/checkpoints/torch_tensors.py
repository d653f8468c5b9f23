"""The tensors in the tree of a torch file's pickle: by which path each is reached, and where its values lie.

A tensor is a call of one of torch's functions that rebuild one, with a storage, an offset, a shape and strides. What it
says is checked against the bytes of the storage with Python's integers before any array exists.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._errors import CorruptFile, UnsafeFile
from .base import shown
from .pickle_tree import Name, PersistentId, Reduced, argument_of, brief, called_by, mapping_of
from .pickled_arrays import PickledArray, array_of, is_possible

#: Stored types by what torch calls them, and the bytes of a value.
_TYPES = {
    "Double": ("F64", 8), "Float": ("F32", 4), "Half": ("F16", 2), "BFloat16": ("BF16", 2),
    "Long": ("I64", 8), "Int": ("I32", 4), "Short": ("I16", 2), "Char": ("I8", 1), "Byte": ("U8", 1),
    "Bool": ("BOOL", 1), "ComplexFloat": ("C64", 8), "ComplexDouble": ("C128", 16),
    "QInt8": ("QINT8", 1), "QUInt8": ("QUINT8", 1), "QInt32": ("QINT32", 4),
    "QUInt4x2": ("QUINT4X2", 1), "QUInt2x4": ("QUINT2X4", 1),
}  # fmt: skip
_DTYPES = {
    "float64": ("F64", 8), "double": ("F64", 8), "float32": ("F32", 4), "float": ("F32", 4), "float16": ("F16", 2),
    "half": ("F16", 2), "bfloat16": ("BF16", 2), "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1),
    "float8_e4m3fnuz": ("F8_E4M3FNUZ", 1), "float8_e5m2fnuz": ("F8_E5M2FNUZ", 1), "float8_e8m0fnu": ("F8_E8M0", 1),
    "int64": ("I64", 8), "int32": ("I32", 4), "int16": ("I16", 2), "int8": ("I8", 1), "uint8": ("U8", 1),
    "uint16": ("U16", 2), "uint32": ("U32", 4), "uint64": ("U64", 8), "bool": ("BOOL", 1),
    "complex64": ("C64", 8), "complex128": ("C128", 16),
}  # fmt: skip

_UTILS = "torch._utils."
#: Calls that make a tensor of values in a storage, all with (storage, offset, shape, strides, ...).
_DENSE = {_UTILS + name for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor")}
#: Calls that pass a tensor on: their first argument.
_PASSED_ON = {_UTILS + "_rebuild_parameter", _UTILS + "_rebuild_parameter_with_state"}
_OF_A_TYPE = {"torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type"}
#: Calls whose fourth argument is a state: attributes of Python, such as Mamba's `A_log._no_weight_decay`.
_WITH_STATE = {_UTILS + "_rebuild_parameter_with_state"} | _OF_A_TYPE
#: Attributes that make a tensor what it is. No program sets them; a file that does was made to mislead readers that ask
#: the object.
_OWN = frozenset({
    "__class__", "__dict__", "data", "data_ptr", "device", "dim", "dtype", "element_size", "is_conj", "is_contiguous",
    "is_meta", "is_neg", "is_nested", "is_quantized", "is_sparse", "itemsize", "layout", "nbytes", "ndim", "ndimension",
    "nelement", "numel", "numpy", "resolve_conj", "resolve_neg", "shape", "size", "storage", "storage_offset",
    "storage_type", "stride", "tolist", "type", "typed_storage", "untyped_storage",
})  # fmt: skip
_WITHOUT_VALUES = _UTILS + "_rebuild_meta_tensor_no_storage"

#: Calls around the one that makes a tensor: a parameter, a class of its own.
_MOST_CALLS = 4
#: No tensor has more axes; numpy's arrays have at most as many.
_MOST_AXES = 64


@dataclass(frozen=True, slots=True)
class Storage:
    """What a tensor says of its storage: its name, the stored type and bytes of a value, and how many there are.

    `begin` is where a view of another storage begins, in values; an untyped storage counts bytes and has no type.
    """

    name: str
    dtype: str | None
    width: int
    count: int
    begin: int = 0


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as its pickle describes it: where its values lie in a storage, in values, and whether to negate them.

    `storage` is the name of that storage; `inline` are the bytes themselves of an array whose values are in the pickle
    (a text with a character for each, see `pickled_arrays`). A tensor that was saved without its values has neither.
    """

    storage: str | None
    dtype: str
    width: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    negative: bool = False
    inline: bytes | str | None = None

    @property
    def span(self) -> int:
        """Values of the storage from the first to the last of the tensor."""
        if 0 in self.shape:
            return 0
        return 1 + sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))


def storage_of(value: Any, path: Path) -> Storage:
    """The storage that a pickle asks for. Raises `CorruptFile` where it is none."""
    identity = value.identity if isinstance(value, PersistentId) else None
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise _damaged(path, "a tensor has no storage")
    _, kind, name, _, count, *view = identity
    word = kind.rsplit(".", 1)[-1].removesuffix("Storage") if isinstance(kind, Name) else ""
    if word not in _TYPES and word != "Untyped":
        raise _damaged(path, f"a storage is of the unknown type {brief(kind)}")
    dtype, width = _TYPES.get(word, (None, 1))
    if type(name) is not str or not _is_size(count):
        raise _damaged(path, "a storage has no name or no size")
    storage = Storage(name, dtype, width, count)
    return storage if view in ([], [None]) else _view(storage, view[0], path)


def _view(storage: Storage, view: Any, path: Path) -> Storage:
    """A part of a storage, as torch before 1.6 saved it: (name of the part, first value, values)."""
    if not isinstance(view, tuple) or len(view) != 3 or not _is_size(view[1]) or not _is_size(view[2]):
        raise _damaged(path, "a view of a storage has no size")
    if view[1] + view[2] > storage.count:
        raise _damaged(path, "a view of a storage reaches beyond it")
    return replace(storage, begin=view[1], count=view[2])


def tensor_of(value: Any, path: Path) -> StoredTensor | None:
    """The tensor that a value is; None for any other value."""
    called, arguments = _rebuild(value)
    if called in _DENSE or called == _WITHOUT_VALUES:
        return _tensor(value, called, arguments, path)
    if called and isinstance(arguments, tuple) and any(isinstance(one, PersistentId) for one in arguments):
        # Some other tensor: it is listed, under the name of its call as its type, and not read.
        return StoredTensor(None, called.rsplit(".", 1)[-1].upper(), 1, 0, (), ())
    array = array_of(value)
    return None if array is None else _of_array(array)


def _rebuild(value: Any) -> tuple[str, Any]:
    """The function that makes the tensor in a call, and its arguments; an empty name for any other value."""
    for _ in range(_MOST_CALLS):
        called, arguments = called_by(value), value.arguments if isinstance(value, Reduced) else None
        if called in _OF_A_TYPE:
            inner = argument_of(value, 0)
            called, arguments = (inner if isinstance(inner, Name) else ""), argument_of(value, 2)
        if called not in _PASSED_ON or not isinstance(arguments, tuple) or not arguments:
            return called, arguments
        value = arguments[0]
    return "", None


def _require_own(value: Any, path: Path) -> None:
    """Refuse a state that would take the place of what a tensor is. Any other state is left out."""
    for _ in range(_MOST_CALLS):
        if not isinstance(value, Reduced):
            return
        if value.state is not None and not isinstance(value.state, dict):
            raise UnsafeFile(
                f"{shown(path)} sets the state of a tensor after it was made, as no program saves one: it was made to "
                "mislead; get the weights from another source"
            )
        given = argument_of(value, 3) if called_by(value) in _WITH_STATE else None
        for state in (given, value.state):
            for table in state[:2] if isinstance(state, tuple) else (state,):
                # Not the other way round: a table of any size may be the state of any number of tensors.
                if own := [name for name in _OWN if name in (mapping_of(table) or ())]:
                    raise UnsafeFile(
                        f"{shown(path)} puts a value of its own in the place of a tensor's {shown(min(own))}, as no "
                        "program saves one: it was made to mislead; get the weights from another source"
                    )
        value = argument_of(value, 0) if called_by(value) in _PASSED_ON else None


def _tensor(value: Any, called: str, arguments: Any, path: Path) -> StoredTensor:
    """The tensor that a call makes, by the arguments of the call alone."""
    _require_own(value, path)
    if not isinstance(arguments, tuple) or len(arguments) < 4:
        raise _damaged(path, "a tensor lacks its shape")
    if called == _WITHOUT_VALUES:
        dtype, width = _dtype(arguments[0], path)
        shape = _shape(arguments[1], path)
        return StoredTensor(None, dtype, width, 0, shape, (0,) * len(shape))
    return _dense(called, arguments, path)


def _of_array(array: PickledArray) -> StoredTensor:
    lengths = array.shape if array.by_columns else array.shape[::-1]
    strides = tuple(math.prod(lengths[:axis]) for axis in range(len(lengths)))
    strides = strides if array.by_columns else strides[::-1]
    return StoredTensor(None, array.dtype, array.width, 0, array.shape, strides, inline=array.data)


def _dense(called: str, arguments: tuple[Any, ...], path: Path) -> StoredTensor:
    place, offset, lengths, steps, *more = arguments
    storage = storage_of(place, path)
    typed = called == _UTILS + "_rebuild_tensor_v3"
    own = _dtype(more[2] if len(more) > 2 else None, path) if typed else None
    dtype, width = (storage.dtype, storage.width) if own is None else own
    if dtype is None:
        raise _damaged(path, "a tensor of an untyped storage has no type")
    shape, strides = _shape(lengths, path), _sizes(steps, path)
    if not _is_size(offset) or len(shape) != len(strides):
        raise _damaged(
            path, f"a tensor has the offset {brief(offset)}, shape {shown(shape)} and strides {shown(strides)}"
        )
    begin, in_bytes = storage.begin * storage.width, storage.count * storage.width
    tensor = StoredTensor(storage.name, dtype, width, offset, shape, strides, _is_negative(more[3 if typed else 2 :]))
    if (offset + tensor.span) * width > in_bytes:
        raise _damaged(path, f"a tensor of shape {shown(shape)} claims values outside its storage of {in_bytes} bytes")
    if begin % width:
        raise _damaged(path, "a view of a storage begins within a value")
    return replace(tensor, offset=offset + begin // width)


def _is_negative(flags: list[Any]) -> bool:
    """Whether the tensor is a negative view, by torch's table of such flags, the last argument where there is one.

    Torch looks only whether the flag is there, whatever its value.
    """
    return "neg" in (mapping_of(flags[0]) or {} if flags else {})


def _dtype(value: Any, path: Path) -> tuple[str, int]:
    """The stored type and bytes of a value. One that is not known here is listed under torch's name for it."""
    if not isinstance(value, Name) or not value.startswith("torch."):
        raise _damaged(path, f"a tensor is of the unknown type {brief(value)}")
    word = value.removeprefix("torch.")
    return _DTYPES.get(word, (word.upper(), 1))


def _shape(value: Any, path: Path) -> tuple[int, ...]:
    shape = _sizes(value, path)
    if not is_possible(shape):
        raise _damaged(path, f"a tensor has the shape {shown(shape)}, which is beyond any file")
    return shape


def _sizes(value: Any, path: Path) -> tuple[int, ...]:
    """A shape or strides: a tuple of whole numbers, or one in torch.Size."""
    if called_by(value) == "torch.Size":
        value = argument_of(value, 0)
    if not isinstance(value, list | tuple) or len(value) > _MOST_AXES or not all(map(_is_size, value)):
        raise _damaged(path, f"a tensor has a shape or strides other than at most {_MOST_AXES} whole numbers")
    return tuple(value)


def _is_size(value: Any) -> bool:
    # type() and not isinstance: True is no size.
    return type(value) is int and 0 <= value < 2**63


def _damaged(path: Path, what: str) -> CorruptFile:
    return CorruptFile(f"{shown(path)} describes tensors that cannot be: {what}; download it again")


def total_bytes(tensor: StoredTensor) -> int:
    """Bytes of a tensor's values, each counted once for every place it has in the tensor."""
    return math.prod(tensor.shape) * tensor.width
