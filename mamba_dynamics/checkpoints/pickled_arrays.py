"""Numpy arrays in the tree of a pickle: their numbers lie in the pickle itself.

numpy saves an array as a call without contents and a state (version, shape, dtype, by columns, bytes), and since
protocol 5 as a call (buffer, dtype, shape, order). A dtype is a call with its letters, and a state with the order of
bytes. Bytes are written as a text of as many letters where a protocol knows only texts.
"""

import math
from typing import Any, NamedTuple

from .pickle_tree import called_by

#: Stored types by numpy's letters.
_TYPES = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8", "u1": "U8"}
_PACKAGES = ("numpy.core.", "numpy._core.")
_WITH_STATE = {package + "multiarray._reconstruct" for package in _PACKAGES}
_OF_A_BUFFER = {package + "numeric._frombuffer" for package in _PACKAGES}
#: Values of the largest array; no file comes near it.
_LARGEST = 2**58
_ORDERS = ("<", "|", "=")


class PickledArray(NamedTuple):
    """An array whose numbers are in the pickle: little-endian, by rows unless `by_columns`.

    `data` are its bytes, or a text with a character for each byte, which is not copied here: many arrays may share it.
    """

    dtype: str
    width: int
    shape: tuple[int, ...]
    by_columns: bool
    data: bytes | str


_UNREADABLE = PickledArray("NUMPY", 1, (), False, b"")


def array_of(value: Any) -> PickledArray | None:
    """The array that an object would be; None for any other object.

    One of anything but plain numbers has the type NUMPY, no shape and no data: it is there, and cannot be read.
    """
    called = called_by(value)
    if called in _WITH_STATE and _is_tuple(value.state, 5):
        _, shape, dtype, by_columns, data = value.state
    elif called in _OF_A_BUFFER and _is_tuple(value.arguments, 4):
        data, dtype, shape, order = value.arguments
        by_columns = order == "F" if type(order) is str else False
    else:
        return None
    letters, data = _letters(dtype), _bytes(data)
    if letters not in _TYPES or data is None or not isinstance(shape, tuple) or len(shape) > 64:
        return _UNREADABLE
    if not all(type(length) is int and length >= 0 for length in shape) or not is_possible(shape):
        return _UNREADABLE
    width = int(letters[1:])
    whole = math.prod(shape) * width == len(data)
    return PickledArray(_TYPES[letters], width, shape, by_columns is True, data) if whole else _UNREADABLE


def is_possible(shape: tuple[int, ...]) -> bool:
    """Whether numpy can hold an array of a shape: an empty axis may stand beside one that is beyond any file."""
    return math.prod(max(length, 1) for length in shape) <= _LARGEST


def _letters(dtype: Any) -> str:
    """What numpy calls a dtype; empty for one that is none, or of the other order of bytes."""
    given = dtype.arguments if called_by(dtype) == "numpy.dtype" else None
    if not isinstance(given, tuple) or not given or type(given[0]) is not str:
        return ""
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "="
    return given[0] if type(order) is str and order in _ORDERS else ""


def _bytes(value: Any) -> bytes | str | None:
    if isinstance(value, bytes):
        return value
    if called_by(value) != "_codecs.encode" or not _is_tuple(value.arguments, 2):
        return None
    text, encoding = value.arguments
    return text if type(text) is str and encoding == "latin1" else None


def _is_tuple(value: Any, length: int) -> bool:
    return isinstance(value, tuple) and len(value) == length
