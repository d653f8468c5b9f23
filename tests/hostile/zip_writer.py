"""A writer of zip archives that puts into every field what it is told to, right by default.

    archive([Record("a/data.pkl", b"..."), Record("a/version", b"3\\n", changes={"central": {"size": 5}})])

A record has a header of its own and an entry in the directory; each holds the same facts, and `changes` sets those of
either. Fields of the two are named in `HEADER`; of the end records, in `END`, `END64` and `LOCATOR`.
"""

import struct
import zlib
from dataclasses import dataclass, field

HEADER = ("version", "flags", "method", "time", "date", "crc", "packed", "size")
END = ("disk", "disk_of_directory", "here", "entries", "length", "start")
LOCATOR = ("disk", "where", "disks")
END64 = ("bytes", "made", "version", "disk", "disk_of_directory", "here", "entries", "length", "start")
_LOCAL, _CENTRAL, _DATE = "<4s5H3I2H", "<4s6H3I5H2I", 0x21


@dataclass
class Record:
    """One record. `changes`: {"local" or "central": {field: value}}; further fields are `name`, `extra`, `comment`.

    The directory's entry has `offset` and `disk` too. `follows` lies after the data (a data descriptor); a record that
    is `hidden` has no entry, and one without `body` has no header and no data.
    """

    name: bytes
    data: bytes
    changes: dict[str, dict] = field(default_factory=dict)
    follows: bytes = b""
    hidden: bool = False
    body: bool = True

    def facts(self, where: str) -> dict:
        found = {
            "version": 0, "flags": 0, "method": 0, "time": 0, "date": _DATE, "crc": zlib.crc32(self.data),
            "packed": len(self.data), "size": len(self.data), "name": self.name, "extra": b"", "comment": b"",
            "disk": 0,
        }  # fmt: skip
        return found | self.changes.get(where, {})


def local(record: Record) -> bytes:
    """A record's header, data and what follows."""
    facts = record.facts("local")
    numbers = [_low(facts[word], 16 if at < 5 else 32) for at, word in enumerate(HEADER)]
    head = struct.pack(_LOCAL, b"PK\3\4", *numbers, len(facts["name"]) & 0xFFFF, len(facts["extra"]) & 0xFFFF)
    return head + facts["name"] + facts["extra"] + record.data + record.follows


def central(record: Record, offset: int) -> bytes:
    """A record's entry in the directory."""
    facts = {"offset": offset} | record.facts("central")
    numbers = [_low(facts[word], 16 if at < 5 else 32) for at, word in enumerate(HEADER)]
    lengths = [len(facts[word]) & 0xFFFF for word in ("name", "extra", "comment")]
    rest = (_low(facts["disk"], 16), 0, 0, _low(facts["offset"], 32))
    head = struct.pack(_CENTRAL, b"PK\1\2", 0, *numbers, *lengths, *rest)
    return head + facts["name"] + facts["extra"] + facts["comment"]


def body(records: list[Record], before: int = 0) -> tuple[bytes, bytes, int]:
    """(headers and data, directory, entries) of records that lie `before` bytes after the start of the file."""
    data, directory, entries = bytearray(), bytearray(), 0
    for record in records:
        offset = before + len(data)
        if record.body:
            data += local(record)
        if not record.hidden:
            directory += central(record, offset)
            entries += 1
    return bytes(data), bytes(directory), entries


def end(entries: int, length: int, start: int, comment: bytes = b"", /, **changes: int) -> bytes:
    """The end record."""
    facts = {"disk": 0, "disk_of_directory": 0, "here": entries, "entries": entries, "length": length, "start": start}
    numbers = [_low((facts | changes)[word], 16 if at < 4 else 32) for at, word in enumerate(END)]
    return struct.pack("<4s4H2IH", b"PK\5\6", *numbers, len(comment) & 0xFFFF) + comment


def end64(entries: int, length: int, start: int, where: int, /, **changes: int) -> bytes:
    """The longer end record, which lies at `where`, and its locator; changes of the locator begin with `locator_`."""
    facts = {"bytes": 44, "made": 45, "version": 45, "disk": 0, "disk_of_directory": 0, "here": entries,
             "entries": entries, "length": length, "start": start}  # fmt: skip
    facts |= {word: value for word, value in changes.items() if word in facts}
    numbers = [_low(facts[word], bits) for word, bits in zip(END64, (64, 16, 16, 32, 32, 64, 64, 64, 64), strict=True)]
    where = changes.get("locator_where", where)
    found = struct.pack("<4sQ2H2I4Q", b"PK\6\6", *numbers)
    return found + struct.pack("<4sIQI", b"PK\6\7", _low(changes.get("locator_disk", 0), 32), _low(where, 64), 1)


def extra64(*numbers: int) -> bytes:
    """The extra field that holds sizes and offsets of 64 bits."""
    return struct.pack(f"<HH{len(numbers)}Q", 1, 8 * len(numbers), *(_low(number, 64) for number in numbers))


def archive(records: list[Record]) -> bytes:
    """A whole archive of these records."""
    data, directory, entries = body(records)
    return data + directory + end(entries, len(directory), len(data))


def _low(number: int, bits: int) -> int:
    return number & ((1 << bits) - 1)
