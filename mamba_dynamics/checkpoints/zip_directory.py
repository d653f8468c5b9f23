"""The directory of a zip archive: read once, strictly, and the only source of what is then read.

A zip file can be built so that two readers find two directories in it, or two records behind one name. So this reader
accepts only files in which there is nothing to choose:

    records, each behind a local header        in any order, none overlapping
    the directory                              ends where the end records begin
    the 64-bit end record and its locator      optional
    the end record                             the last 22 bytes of the file, without a comment

and every record is read through the directory: its local header must carry the same name and method, and no other
sizes. Records are stored or deflated; what is unpacked is never longer than the directory says.

    PKWARE, APPNOTE.TXT, .ZIP File Format Specification, version 6.3.10
"""

import io
import struct
import zlib
from dataclasses import dataclass

from .._allowance import require_within
from .._errors import CorruptFile
from .base import shown
from .files import StoredFile

STORED, DEFLATED = 0, 8

_END, _LOCATOR, _END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL"), struct.Struct("<4sQ2H2L4Q")
_ENTRY, _LOCAL = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s5H3L2H")
_LONG, _SHORT = 2**32 - 1, 2**16 - 1
_ENCRYPTED, _SIZES_FOLLOW, _UTF8 = 0x1, 0x8, 0x800
_EXTRA_64, _FOLDER = 1, 0x10
#: Bytes that an entry of the directory takes as an object, its name apart; from above.
_COST_OF_ENTRY, _COST_OF_LETTER = 700, 5
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the directory.

    `header` is the offset of its local header, `end` that of the first byte that belongs to another part of the file;
    `packed` and `size` are its bytes in the file and after unpacking.
    """

    name: str
    method: int
    flags: int
    checksum: int
    packed: int
    size: int
    header: int
    end: int

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & _ENCRYPTED)


def directory_of(file: StoredFile) -> dict[str, Record]:
    """All records of a zip archive by name, in the order of the directory.

    Raises `CorruptFile` where the file is no whole zip archive, or not the only one that it could be; `UnsafeFile` for
    a directory out of proportion to the file.
    """
    begin, size, count = _place(file)
    cost = size + count * _COST_OF_ENTRY + max(0, size - count * _ENTRY.size) * _COST_OF_LETTER
    require_within(cost, file.size, file.path, "the directory of the zip archive")
    data = file.read(begin, size).tobytes()
    fields, at = [], 0
    for _ in range(count):
        entry, at = _entry(data, at, file)
        fields.append(entry)
    if at != size:
        raise _damaged(file, f"its directory holds {size} bytes, of which {count} entries take {at}")
    records = _apart(fields, begin, file)
    if len(records) < count:
        raise _damaged(file, "two records have one name")
    return records


def first_byte(file: StoredFile, record: Record) -> int:
    """Offset of a record's own bytes, which lie behind its local header. Raises `CorruptFile` where that differs."""
    raw = file.read(record.header, _LOCAL.size).tobytes()
    mark, _, flags, method, _, _, checksum, packed, size, name_length, extra_length = _LOCAL.unpack(raw)
    begin = record.header + _LOCAL.size + name_length + extra_length
    behind = (
        b""
        if mark != b"PK\3\4" or begin > record.end
        else file.read(record.header + _LOCAL.size, name_length + extra_length).tobytes()
    )
    name, extra = behind[:name_length], behind[name_length:]
    if mark != b"PK\3\4" or len(behind) < name_length + extra_length or _name(name, flags, file) != record.name:
        raise _damaged(file, f"record {shown(record.name)} has no header of that name")
    if _LONG in (packed, size):
        size, packed, _ = _wide(extra, (size, packed, None), file)
    told = method == record.method and not flags & _ENCRYPTED
    same = (checksum, packed, size) == (record.checksum, record.packed, record.size)
    # A writer that could not know the sizes leaves them zero, and writes them behind the record.
    later = flags & _SIZES_FOLLOW and (packed, size) in ((0, 0), (record.packed, record.size))
    if not told or not (same or later):
        raise _damaged(file, f"record {shown(record.name)} has a header that contradicts the directory")
    if begin + record.packed > record.end:
        raise _damaged(file, f"record {shown(record.name)} of {record.packed} bytes reaches into the next one")
    return begin


def read_stored(file: StoredFile, record: Record) -> bytes:
    """The bytes of a record that is not compressed. Its checksum is not looked at: torch may leave it out."""
    return file.read(first_byte(file, record), record.packed).tobytes()


def unpacked(file: StoredFile, record: Record) -> io.BufferedReader:
    """A record as a stream of `record.size` bytes; `CorruptFile` while it is read if it unpacks to anything else."""
    return io.BufferedReader(_Unpacked(file, record), _CHUNK)


def _place(file: StoredFile) -> tuple[int, int, int]:
    """(first byte, bytes, entries) of the directory."""
    if file.size < _END.size:
        raise _cut_short(file)
    raw = file.read(file.size - _END.size, _END.size).tobytes()
    mark, disk, first_disk, here, count, size, begin, comment = _END.unpack(raw)
    if mark != b"PK\5\6" or comment:
        raise _cut_short(file)
    end = file.size - _END.size
    wide = _place_64(file, end)
    if wide is not None:
        narrow = ((here, wide[0], _SHORT), (count, wide[1], _SHORT), (size, wide[2], _LONG), (begin, wide[3], _LONG))
        if any(told not in (long, most) for told, long, most in narrow):
            raise _damaged(file, "its two end records contradict each other")
        here, count, size, begin = wide
        end -= _LOCATOR.size + _END64.size
    if disk or first_disk or here != count:
        raise _damaged(file, "it is one of several parts, or its counts contradict each other")
    if begin + size != end or count * _ENTRY.size > size:
        raise _damaged(
            file, f"its directory should end at byte {end}, found {count} entries in {size} bytes from {begin}"
        )
    return begin, size, count


def _place_64(file: StoredFile, end: int) -> tuple[int, int, int, int] | None:
    """(entries here, entries, bytes, first byte) by the 64-bit end record, where there is one."""
    if end < _LOCATOR.size + _END64.size:
        return None
    raw = file.read(end - _LOCATOR.size - _END64.size, _LOCATOR.size + _END64.size).tobytes()
    mark, disk, where, disks = _LOCATOR.unpack(raw[_END64.size :])
    if mark != b"PK\6\7":
        return None
    long, length, _, _, this_disk, first_disk, here, count, size, begin = _END64.unpack(raw[: _END64.size])
    straight = long == b"PK\6\6" and length == _END64.size - 12 and where == end - _LOCATOR.size - _END64.size
    if not straight or disk or this_disk or first_disk or disks > 1:
        raise _damaged(file, "its end record is not where it says")
    return here, count, size, begin


def _entry(data: bytes, at: int, file: StoredFile) -> tuple[Record, int]:
    """The entry at an offset of the directory, with an `end` still unknown, and the offset of the next."""
    if at + _ENTRY.size > len(data):
        raise _damaged(file, "its directory is cut short")
    mark, _, _, flags, method, _, _, checksum, packed, size, *lengths, disk, _, attributes, header = _ENTRY.unpack_from(
        data, at
    )
    name_end = at + _ENTRY.size + lengths[0]
    extra_end = name_end + lengths[1]
    after = extra_end + lengths[2]
    is_folder = attributes & _FOLDER and size
    if mark != b"PK\1\2" or disk or after > len(data) or is_folder:
        raise _damaged(file, "its directory holds something other than entries")
    name = _name(data[at + _ENTRY.size : name_end], flags, file)
    if _LONG in (packed, size, header):
        size, packed, header = _wide(data[name_end:extra_end], (size, packed, header), file)
    return Record(name, method, flags, checksum, packed, size, header, 0), after


def _wide(extra: bytes, narrow: tuple[int, int, int | None], file: StoredFile) -> list[int]:
    """Sizes and offset with those that do not fit 32 bits taken from the 64-bit extra field."""
    at, found = 0, None
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == _EXTRA_64 and found is None:
            found = extra[at + 4 : at + 4 + length]
        at += 4 + length
    values, used = [], 0
    for value in narrow:
        if value == _LONG:
            if found is None or used + 8 > len(found):
                raise _damaged(file, "a record lacks the 64-bit sizes that it refers to")
            value = int.from_bytes(found[used : used + 8], "little")
            used += 8
        values.append(value)
    return values


def _apart(entries: list[Record], directory: int, file: StoredFile) -> dict[str, Record]:
    """The records with their ends, none of which overlaps another or the directory."""
    records = {entry.name: entry for entry in entries}
    end = directory
    for entry in sorted(entries, key=lambda one: one.header, reverse=True):
        if entry.header + _LOCAL.size + len(entry.name) + entry.packed > end:
            raise _damaged(
                file, f"record {shown(entry.name)} of {entry.packed} bytes overlaps another part of the file"
            )
        records[entry.name] = Record(
            entry.name, entry.method, entry.flags, entry.checksum, entry.packed, entry.size, entry.header, end
        )
        end = entry.header
    return records


def _name(raw: bytes, flags: int, file: StoredFile) -> str:
    try:
        # Without the flag a name may be in any code page, and readers differ in which one they take.
        name = raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise _damaged(file, f"a record has the name {shown(raw)}, which is no text") from None
    if "\0" in name:
        raise _damaged(file, f"a record has the name {shown(name)}, of which readers see different parts")
    return name


class _Unpacked(io.RawIOBase):
    """The bytes of one record, unpacked a chunk at a time."""

    def __init__(self, file: StoredFile, record: Record):
        if record.method not in (STORED, DEFLATED) or record.encrypted:
            raise _damaged(
                file, f"record {shown(record.name)} is encrypted, or compressed by a method other than deflate"
            )
        self._file, self._record = file, record
        self._at, self._left = first_byte(file, record), record.packed
        self._unpack = zlib.decompressobj(-zlib.MAX_WBITS) if record.method == DEFLATED else None
        self._waiting, self._given, self._checksum = b"", 0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, target) -> int:  # type: ignore[override]
        room = min(len(target), _CHUNK, self._record.size - self._given)
        if not room:
            return 0
        part = self._next(room)
        if not part:
            raise self._fault("ends before its last byte")
        self._given += len(part)
        self._checksum = zlib.crc32(part, self._checksum)
        if self._given == self._record.size:
            self._require_whole()
        target[: len(part)] = part
        return len(part)

    def _require_whole(self) -> None:
        if self._checksum != self._record.checksum:
            raise self._fault("has another checksum than the directory says")
        if self._unpack is not None:
            # What ends the stream may still be unread; it stands for no byte.
            more = self._unpack.decompress(self._waiting + self._packed(_CHUNK), 1)
            if more or self._left or self._unpack.unused_data or not self._unpack.eof:
                raise self._fault("has bytes behind its end, or none that end it")

    def _next(self, room: int) -> bytes:
        if self._unpack is None:
            return self._packed(room)
        while not self._unpack.eof:
            try:
                part = self._unpack.decompress(self._waiting or self._packed(_CHUNK), room)
            except zlib.error as error:
                raise self._fault(f"cannot be unpacked ({error})") from None
            self._waiting = self._unpack.unconsumed_tail
            if part or not (self._waiting or self._left):
                return part
        return b""

    def _packed(self, most: int) -> bytes:
        part = self._file.read(self._at, min(most, self._left)).tobytes()
        self._at, self._left = self._at + len(part), self._left - len(part)
        return part

    def _fault(self, what: str) -> CorruptFile:
        return CorruptFile(f"record {shown(self._record.name)} of {shown(self._file.path)} {what}; save the file again")


def _cut_short(file: StoredFile) -> CorruptFile:
    return CorruptFile(f"{shown(file.path)} does not end like a zip archive: cut short? download it again")


def _damaged(file: StoredFile, what: str) -> CorruptFile:
    return CorruptFile(f"{shown(file.path)} is a damaged zip archive: {what}; download it again")
