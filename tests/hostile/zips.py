"""Generators of zip archives whose structure lies: for torch files and for numpy's archives of arrays.

An archive may mean several things where its parts contradict each other: a second directory, two records of one name, a
header that says other than the directory. Each of these readings is a world of its own (see `case`): an answer may be
one of them, never a mixture.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from random import Random

import numpy as np
from case import Case, StoredTensor, World
from pickle_assembler import Assembler, Call, Global
from torch_tensors import random_plan, torch_records
from zip_writer import Record, archive, body, central, end, end64, extra64

_LARGE = (0, 1, 22, 46, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**62, 2**63, 2**64 - 1)
_BLOCK = 1_000_000
_FULL, _FULL16 = 2**32 - 1, 2**16 - 1
_NAMES = (b"../data.pkl", b"/etc/passwd", b"archive/data/0\0x", b"\xff\xfe", b"", b"archive\\data\\0",
    b"ARCHIVE/DATA/0",
          b"archive/Data.pkl", b"archive//data/0", b"archive/data/0/", b"x" * 65_000, b"other/data.pkl",
          b"a/../archive/data/0",
          b"archive/constants.pkl", b"archive/code/x.py", b"S_b.npy", b"S_B.npy", b"archive/byteorder",
          "\u202e".encode())  # fmt: skip


@dataclass
class Structure:
    """An archive that will be written: records, what is put around them, and the worlds it may mean.

    `other` are the records of another archive of the same names. Of one that is not `known` to mean anything, no
    numbers are expected.
    """

    rng: Random
    records: list[Record]
    other: list[Record]
    worlds: list[World]
    other_world: World
    comment: bytes = b""
    prefix: bytes = b""
    suffix: bytes = b""
    end_changes: dict[str, int] = field(default_factory=dict)
    end64_changes: dict[str, int] | None = None
    adjusted: bool = True
    known: bool = True
    says: list[str] = field(default_factory=list)

    def pick(self) -> Record:
        return self.rng.choice(self.records)

    def bytes(self) -> bytes:
        before = len(self.prefix) if self.adjusted else 0
        data, directory, entries = body(self.records, before)
        start, longer = before + len(data), b""
        if self.end64_changes is not None:
            where = start + len(directory)
            longer = end64(entries, len(directory), start, where, **self.end64_changes)
        last = end(entries, len(directory), start, self.comment, **self.end_changes)
        return self.prefix + data + directory + longer + last + self.suffix


def _two_directories(s: Structure) -> None:
    """A second archive, whose directory one reader finds by its place and another by the offset in the end record."""
    s.says.append("two directories")
    other, entries = s.other, len(s.records)
    rng = s.rng
    data, directory, _ = body(s.records)
    shift = len(data) + len(directory)
    kind = rng.randrange(4)
    # zipfile counts offsets from where the directory would begin if nothing lay before it; torch takes them literally.
    base = 0 if kind == 0 else shift
    data2, directory2, entries2 = body(other, base)
    length = max(len(directory), len(directory2))
    directory2 = directory2 + b"\0" * (0 if kind else length - len(directory2))
    start = len(data) if kind in (0, 1) else shift + len(data2)
    if kind == 3:
        middle = end(entries, len(directory), len(data))
        data2, directory2, entries2 = body(other, shift + len(middle))
        start = rng.choice((len(data), shift + len(middle) + len(data2)))
        directory = directory + middle
    whole = data + directory + data2 + directory2
    s.prefix, s.records = whole + end(entries2, len(directory2), start), []
    s.worlds.append(s.other_world)


def _same_length_directories(s: Structure) -> None:
    """Two archives of the same records' names: the end record leads to the first's directory by its offset."""
    s.says.append("two directories of one length")
    if len(body(s.records)[0]) < len(body(s.other)[0]):
        s.records, s.other = s.other, s.records
    data, directory, entries = body(s.records)
    length = len(body(s.other)[0])
    # What counts from where the directory should begin takes all offsets for larger by the difference.
    data2, directory2, _ = body(s.other, len(data) - length)
    s.prefix, s.records = data + directory + data2 + directory2 + end(entries, len(directory), len(data)), []
    s.worlds.append(s.other_world)


def _two_ends(s: Structure) -> None:
    """Another end record in the comment, or after the file."""
    s.says.append("two end records")
    data, directory, entries = body(s.records)
    fake = end(s.rng.choice((0, entries, 1)), s.rng.choice((0, len(directory))), s.rng.choice((0, len(data))))
    if s.rng.random() < 0.5:
        s.comment = fake
    else:
        s.suffix = fake


def _comment(s: Structure) -> None:
    s.comment = s.rng.choice((b"x", b"PK\5\6", b"\0" * 22, b"PK\5\6" + b"\0" * 18, b"c" * 65_535))
    s.says.append("a comment")


def _zip64(s: Structure) -> None:
    """ZIP64 records that agree with the shorter ones, or do not."""
    rng = s.rng
    s.end64_changes = {}
    words = ("bytes", "disk", "here", "entries", "length", "start", "locator_where", "locator_disk", "version")
    if rng.random() < 0.7:
        s.end64_changes = {rng.choice(words): rng.choice(_LARGE) for _ in range(rng.choice((1, 1, 2)))}
    if rng.random() < 0.6:
        full = {"here": _FULL16, "entries": _FULL16, "length": _FULL, "start": _FULL}
        s.end_changes |= {word: full[word] for word in full if rng.random() < 0.7}
    s.says.append(f"a longer end record {s.end64_changes} {s.end_changes}")


def _extra64(s: Structure) -> None:
    """An extra field of 64-bit sizes and offset that disagrees with the 32-bit ones, which may say to look there."""
    rng, record = s.rng, s.pick()
    size = len(record.data)
    numbers = [rng.choice((size, size, size + 1, *_LARGE)) for _ in range(rng.choice((1, 2, 3, 4)))]
    extra = extra64(*numbers)
    if rng.random() < 0.2:
        extra = rng.choice((extra[:-1], extra * 2, struct.pack("<HH", 1, 2**16 - 1), b"\1\0"))
    for where in rng.choice((("central",), ("local",), ("central", "local"))):
        changes: dict = {"extra": extra}
        for word in ("size", "packed"):
            if rng.random() < 0.7:
                changes[word] = _FULL
        if where == "central" and rng.random() < 0.4:
            changes["offset"] = _FULL
        record.changes.setdefault(where, {}).update(changes)
    s.says.append(f"an extra field of 64 bits {numbers}")


def _data_descriptor(s: Structure) -> None:
    """Sizes after the data (flag bit 3) and not before it, true or not."""
    rng, record = s.rng, s.pick()
    size = rng.choice((len(record.data), len(record.data), 0, 5, _FULL))
    found = struct.pack("<3I", zlib.crc32(record.data), size, size)
    record.follows = rng.choice((b"", b"PK\7\x08")) + found
    record.changes = {"local": {"flags": 8, "crc": 0, "packed": 0, "size": 0}}
    record.changes["central"] = {"flags": 8} if rng.random() < 0.7 else {}
    s.says.append("a data descriptor")


def _twice(s: Structure) -> None:
    """Two records of one name, or of names that differ in case."""
    rng, at = s.rng, s.rng.randrange(len(s.records))
    record = s.records[at]
    other = next((one.data for one in s.other if one.name == record.name), b"")
    name = record.name if rng.random() < 0.6 else record.name.swapcase()
    s.records.insert(rng.randrange(len(s.records) + 1), Record(name, other))
    # Either may be taken, but always the same one.
    s.worlds += [s.other_world, {name: (*right, *s.other_world.get(name, ())) for name, right in s.worlds[0].items()}]
    s.says.append(f"a second {name[:30]!r}")


def _overlap(s: Structure) -> None:
    """An entry that leads into another record, the directory, or beyond the file."""
    rng, record = s.rng, s.pick()
    data, directory, _ = body(s.records)
    offset = rng.choice(
        (0, 1, 30, len(data) - 4, len(data), len(data) + len(directory), rng.randrange(len(data)), *_LARGE)
    )
    record.changes.setdefault("central", {})["offset"] = offset
    if rng.random() < 0.5:
        record.changes["central"]["size"] = record.changes["central"]["packed"] = rng.choice((4, len(data), 0))
    s.known = False
    s.says.append(f"an offset of {offset}")


def _headers_differ(s: Structure) -> None:
    """A field that the header and the directory say differently, or both say wrongly."""
    rng, record = s.rng, s.pick()
    word = rng.choice(("flags", "method", "crc", "packed", "size", "name", "extra", "version", "time"))
    value: object
    if word == "name":
        value = rng.choice((*_NAMES, *(one.name for one in s.records)))
    elif word == "extra":
        value = rng.choice((b"\0" * 4, b"FB\x1a\0" + b"Z" * 26, b"\xff" * 4, b"x", b"\0" * 60_000))
    elif word in ("flags", "method", "version"):
        value = rng.choice((1, 8, 9, 12, 14, 93, 99, 0x800, 0x2000, 2**16 - 1, 6))
    else:
        value = rng.choice((len(record.data) - 1, len(record.data) + 1, *_LARGE)) % 2**32
    for where in rng.choice((("local",), ("central",), ("local", "central"))):
        record.changes.setdefault(where, {})[word] = value
    if word in ("name", "packed", "size", "extra"):
        s.known = False
    s.says.append(f"{word} {value!r:.40} in a header")


@cache
def _zeros() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(_BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)


def _packed(s: Structure) -> None:
    """Records that are compressed, truly or not, perhaps to far less than they are."""
    rng, record = s.rng, s.pick()
    size, packer = len(record.data), zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(record.data)
    if rng.random() < 0.4:
        times = rng.choice((1, 80, 200))
        # After a full flush nothing refers back, so that a block of zeros may be repeated as it is.
        data += packer.flush(zlib.Z_FULL_FLUSH) + _zeros() * times
        size += times * _BLOCK
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        s.known = False
    data += packer.flush()
    changes = {"method": 8, "size": rng.choice((size, size, size, 5)), "crc": zlib.crc32(record.data)}
    record.changes = {"local": dict(changes), "central": dict(changes)}
    record.data = data
    s.says.append(f"compressed, {size} bytes")


def _names(s: Structure) -> None:
    record = s.pick()
    s.says.append(f"{record.name[:30]!r} renamed")
    record.name = s.rng.choice((*_NAMES, record.name.upper(), record.name + b"\0", record.name.rsplit(b"/", 1)[-1]))
    s.known = False


def _many(s: Structure) -> None:
    """Thousands of records, or entries without a record."""
    rng = s.rng
    count = rng.choice((100, 500, 6_000))
    one = rng.choice((b"archive/data/%d", b"x%d", b"archive/%d/"))
    with_body = rng.random() < 0.3
    s.records += [Record(one % (number + 1000), b"", body=with_body) for number in range(count)]
    s.says.append(f"{count} more entries")


def _end_lies(s: Structure) -> None:
    """Counts, disks and sizes of the end record."""
    rng = s.rng
    data, directory, entries = body(s.records)
    near = (entries + 1, entries - 1, len(directory) - 1, len(directory) + 1, len(data) - 1, len(data) + 46)
    for _ in range(rng.choice((1, 1, 2))):
        word = rng.choice(("disk", "disk_of_directory", "here", "entries", "length", "start"))
        s.end_changes[word] = rng.choice((*near, *_LARGE))
    s.says.append(f"an end record with {s.end_changes}")


def _around(s: Structure) -> None:
    """Bytes before the first record, which the offsets count or do not, or after the end."""
    rng = s.rng
    if rng.random() < 0.7:
        s.prefix = rng.choice(
            (b"#!/bin/sh\n", b"PK\3\4", b"\0" * 64, b"\x89PNG", archive(s.other), b"PK\5\6" + b"\0" * 18)
        )
        s.adjusted = rng.random() < 0.5
        s.worlds.append(s.other_world)
    else:
        s.suffix = rng.choice((b"\0", b"PK", b"x" * 100, bytes(70_000)))
    s.says.append("bytes around")


def _hidden(s: Structure) -> None:
    """A record without an entry, or an entry without a record."""
    record = s.pick()
    if s.rng.random() < 0.5:
        record.hidden = True
    else:
        record.body = False
        s.known = False
    s.says.append("a record or an entry missing")


def _stray_entry(s: Structure) -> None:
    """An entry in a directory of its own before the true one, or bytes between."""
    rng = s.rng
    stray = central(Record(rng.choice(_NAMES), b""), rng.choice(_LARGE))
    s.records.append(Record(b"archive/stray", stray, hidden=rng.random() < 0.5))
    s.says.append("a stray entry")


_STRUCTURES: tuple[tuple[Callable[[Structure], None], int], ...] = (
    (_two_directories, 3), (_same_length_directories, 3), (_two_ends, 1), (_comment, 1), (_zip64, 3), (_extra64, 3),
    (_data_descriptor, 2), (_twice, 2), (_overlap, 3), (_headers_differ, 5), (_packed, 1), (_names, 2), (_many, 1),
    (_end_lies, 3), (_around, 2), (_hidden, 1), (_stray_entry, 1),
)  # fmt: skip
_CHOICES = [structure for structure, weight in _STRUCTURES for _ in range(weight)]
_LAST = (_two_directories, _same_length_directories)


def _twisted(s: Structure) -> Case:
    chosen = [s.rng.choice(_CHOICES) for _ in range(s.rng.choice((0, 1, 1, 1, 1, 2, 2, 3)))]
    # What writes both archives comes last, for it leaves no records.
    for structure in sorted(chosen, key=lambda one: one in _LAST)[
        : 1 + len([one for one in chosen if one not in _LAST])
    ]:
        structure(s)
    data = s.prefix if not s.records and s.prefix else s.bytes()
    return Case({"model.pt": data}, "; ".join(s.says), tuple(s.worlds) if s.known else ())


def torch_zip(rng: Random) -> Case:
    """A torch file whose zip archive lies; the second archive holds other numbers, and perhaps asks for memory."""
    plan, other = random_plan(rng), random_plan(rng)
    plan.protocol, other.protocol, other.tensors = 2, 2, [(path, one) for path, one in plan.tensors]
    other.records = {key: bytes(reversed(data)) for key, data in plan.records.items()}
    if rng.random() < 0.3:
        count = rng.choice((100_000_000, 300_000_000, 3_000_000_000))
        made = Global("builtins", "bytearray")
        other.after.append(("x", Call(made, (Call(made, (count,)),)) if rng.random() < 0.5 else Call(made, (count,))))
    plans = (plan, other) if rng.random() < 0.5 else (other, plan)
    (records, world), (others, other_world) = (
        (torch_records(Assembler(rng, 2).program(one.table()), one.records), one.world()) for one in plans
    )
    return _twisted(Structure(rng, records, others, [world], other_world))


def _array(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def _layer_records(rng: Random) -> tuple[list[Record], World]:
    """The arrays of a layer, and the two whose values are looked at."""

    def random(*shape: int) -> np.ndarray:
        return np.array([rng.uniform(0.1, 1) for _ in range(int(np.prod(shape)))]).reshape(shape)

    arrays = {"S_B": random(2, 3), "S_C": random(2, 3), "dt_up": random(3, 1), "dt_down": random(1, 3),
              "A_log": random(3, 2), "dt_bias": random(3)}  # fmt: skip
    world = {name: (StoredTensor(arrays[name].tobytes(), "F64", (2, 3), (3, 1)),) for name in ("S_B", "S_C")}
    return [Record(f"{name}.npy".encode(), _array(values)) for name, values in arrays.items()], world


def numpy_zip(rng: Random) -> Case:
    """An archive of a layer's arrays whose zip structure lies."""
    (records, world), (other, other_world) = _layer_records(rng), _layer_records(rng)
    case = _twisted(Structure(rng, records, other, [world], other_world))
    return Case({"layer.npz": case.files["model.pt"]}, case.says, case.worlds)


def plain_layer() -> bytes:
    """A valid archive of a layer's arrays."""
    return archive(_layer_records(Random(0))[0])
