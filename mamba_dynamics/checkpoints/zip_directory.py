"""The directory of a zip archive, read only after its size was looked at.

The end record, the last 22 bytes of a file, says how long the directory is; where that does not fit, the 20 bytes
before it lead to a longer record, the 56 bytes before those. Nothing else is accepted: with the records in these places
there is one directory that any reader can find. A comment at the end is none of torch's or numpy's.
"""

import struct
import zipfile

from .._allowance import require_within
from .._errors import CorruptFile
from .base import shown
from .files import WeightFile, open_regular

_END, _LOCATOR, _END64 = 22, 20, 56
_IN_THE_LONGER_RECORD = 2**32 - 1
#: A directory's entry takes 46 bytes or more, and about 1 kB as an object.
_COST_PER_BYTE = 24


def directory_of(file: WeightFile) -> list[zipfile.ZipInfo]:
    """All entries of a zip archive.

    Raises `CorruptFile` where there is no directory at the end of the file, or a damaged one; `UnsafeFile` for one that
    is out of proportion to the file.
    """
    require_within(_COST_PER_BYTE * _directory_bytes(file), file.size, file.path, "the directory of the zip archive")
    try:
        with file.unchanged(), open_regular(file.path) as stream, zipfile.ZipFile(stream) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, OverflowError, struct.error) as error:
        # A file that changed meanwhile raises an error of this package, which is none of these.
        why = f"{type(error).__name__} {shown(str(error).splitlines()[0] if str(error) else '')}"
        raise CorruptFile(f"{shown(file.path)} is a damaged zip archive: {why}") from None


def _directory_bytes(file: WeightFile) -> int:
    end = _tail(file, _END, _END)
    if not end.startswith(b"PK\5\6") or not end.endswith(b"\0\0"):
        raise CorruptFile(f"{shown(file.path)} does not end like a zip archive: cut short? download it again")
    size = int.from_bytes(end[12:16], "little")
    if _tail(file, _END + _LOCATOR, 4) != b"PK\6\7":
        return size
    locator, longer = _tail(file, _END + _LOCATOR, _LOCATOR), _tail(file, _END + _LOCATOR + _END64, _END64)
    where = int.from_bytes(locator[8:16], "little")
    if not longer.startswith(b"PK\6\6") or where != file.size - _END - _LOCATOR - _END64:
        raise CorruptFile(f"{shown(file.path)} is a damaged zip archive: its end record is not where it says")
    return max(int.from_bytes(longer[40:48], "little"), size if size < _IN_THE_LONGER_RECORD else 0)


def _tail(file: WeightFile, before_the_end: int, count: int) -> bytes:
    """`count` bytes from `before_the_end` bytes before the end on; fewer where the file is too small."""
    start = max(file.size - before_the_end, 0)
    return file.read(start, min(count, file.size - start)).tobytes()
