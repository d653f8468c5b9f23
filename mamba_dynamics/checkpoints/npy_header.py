"""The header of an array in numpy's .npy format, read strictly and without numpy.

Layout: the magic bytes, two bytes of version, the length of the header (two bytes in version 1, four in 2 and 3), and
its text, a Python dictionary with exactly the keys descr, fortran_order and shape, as in

    {'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }

numpy evaluates that text as a Python literal, which may be nested, hold truths for sizes and end in many kinds of
errors. Here it is taken apart by its few signs. Structured types and arrays of objects are refused.
"""

import math
import re
from typing import BinaryIO, NamedTuple

import numpy as np

from .._errors import CorruptFile
from .base import shown

_MAGIC = b"\x93NUMPY"
#: Bytes of the header's length, by version.
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
#: A header of numpy's has a hundred bytes.
_MOST_BYTES = 10_000
#: Axes that every release of numpy knows.
MOST_AXES = 32
#: Numbers of eight bytes that an array may claim, its empty axes left out.
_MOST_CLAIMED = 2**60

_KEY = r"""\s*(?P<quote>['"])(?P<key>\w{1,20})(?P=quote)\s*:\s*"""
_VALUE = r"""(?:(?P<mark>['"])(?P<text>[^'"\\]{0,20})(?P=mark)|(?P<word>True|False)|\((?P<sizes>[\d\sL,]*)\))"""
_ENTRY = re.compile(_KEY + _VALUE + r"\s*(?P<end>,|$)\s*", re.ASCII)
#: One size of a shape; Python 2 wrote an L behind long ones.
_SIZE = re.compile(r"\s*(\d{1,19})L?\s*", re.ASCII)
_REAL = re.compile(r"[<>=|]?(?:f[248]|[iu][1248])")


class NpyHeader(NamedTuple):
    """What a header says: the array's shape, whether its first axis runs fastest, and the type of its numbers."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


def read_npy_header(stream: BinaryIO, where: str) -> NpyHeader:
    """The header at the stream's position, which is left at the first number; `where` names the array in messages.

    Raises:
        CorruptFile: no header, a type that is no real number of at most eight bytes, or a shape that no array has.

    Example:
        >>> import io, numpy
        >>> file = io.BytesIO()
        >>> numpy.save(file, numpy.zeros((3, 2)))
        >>> _ = file.seek(0)
        >>> read_npy_header(file, "x").shape
        (3, 2)
    """
    entries = _entries(_text(stream, where), where)
    if set(entries) != {"descr", "fortran_order", "shape"}:
        raise _no_header(where, f"the entries {', '.join(map(shown, entries)) or 'of none'}")
    descr, fortran, sizes = (entries[key] for key in ("descr", "fortran_order", "shape"))
    if descr["text"] is None or fortran["word"] is None or sizes["sizes"] is None:
        raise _no_header(where, "values that do not belong to its entries")
    if _REAL.fullmatch(descr["text"]) is None:
        raise CorruptFile(f"expected real numbers in {where}, found {shown(descr['text'])}; convert it to float64")
    dtype = np.dtype(descr["text"])
    return NpyHeader(_shape(sizes["sizes"], where), fortran["word"] == "True", dtype)


def _text(stream: BinaryIO, where: str) -> str:
    start = stream.read(len(_MAGIC) + 2)
    if start[: len(_MAGIC)] != _MAGIC or len(start) < len(_MAGIC) + 2:
        raise _no_header(where, "another beginning")
    version = (start[-2], start[-1])
    if version not in _LENGTH_BYTES:
        raise _no_header(where, f"version {version[0]}.{version[1]}")
    length = int.from_bytes(stream.read(_LENGTH_BYTES[version]), "little")
    if length > _MOST_BYTES:
        raise _no_header(where, f"a header of {length} bytes")
    text = stream.read(length)
    if len(text) < length or not text.isascii():
        raise _no_header(where, "a header that is cut short" if len(text) < length else "a header beyond ASCII")
    return text.decode("ascii").strip()


def _entries(text: str, where: str) -> dict[str, dict[str, str | None]]:
    """key -> the parts of its value."""
    if not (text.startswith("{") and text.endswith("}")):
        raise _no_header(where, "no table of entries")
    body, position, found = text[1:-1], 0, {}
    while position < len(body.rstrip()):
        entry = _ENTRY.match(body, position)
        if entry is None or entry["key"] in found:
            raise _no_header(where, f"the entry {shown(body[position : position + 60])}")
        found[entry["key"]] = entry.groupdict()
        position = entry.end()
    return found


def _shape(text: str, where: str) -> tuple[int, ...]:
    *parts, last = text.split(",")
    sizes = [_SIZE.fullmatch(part) for part in (parts if not last.strip() else [*parts, last])]
    # (3) is no tuple, and () is one.
    whole = bool(parts) or not last.strip()
    shape = tuple(int(size[1]) for size in sizes if size is not None)
    if not whole or len(shape) < len(sizes) or len(shape) > MOST_AXES:
        raise CorruptFile(
            f"expected {where} to have a shape of at most {MOST_AXES} axes, found {shown(f'({text})')}; save it with "
            "numpy"
        )
    if math.prod(max(length, 1) for length in shape) >= _MOST_CLAIMED:
        raise CorruptFile(f"expected {where} to have a shape that memory can hold, found {shown(shape)}")
    return shape


def _no_header(where: str, found: str) -> CorruptFile:
    return CorruptFile(f"expected {where} in numpy format, found {found}; save it with numpy")
