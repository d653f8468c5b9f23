"""One zip directory: files in which two readers could see different things are refused, and honest ones are read."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from mamba_dynamics._errors import CheckpointError, CorruptFile, UnsafeFile
from mamba_dynamics.checkpoints.files import WeightFile
from mamba_dynamics.checkpoints.zip_directory import directory_of, first_byte, unpacked

CONTENTS = {"a/data.pkl": b"pickle", "a/data/0": b"\1" * 100, "a/data/1": b"", "ü.npy": bytes(range(256)) * 40}


def whole(method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in CONTENTS.items():
            archive.writestr(name, data)
    return out.getvalue()


def contents(path: Path) -> dict[str, bytes]:
    file = WeightFile.at(path)
    return {name: unpacked(file, record).read() for name, record in directory_of(file).items()}


def streamed(tmp_path: Path) -> bytes:
    """Written where nothing can be gone back to: sizes stand behind the records."""

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in CONTENTS.items():
            archive.writestr(name, data)
    return bytes(pipe.data)


def sized_in_64_bits(tmp_path: Path) -> bytes:
    """As numpy writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in CONTENTS.items():
            with archive.open(name, "w", force_zip64=True) as record:
                record.write(data)
    return out.getvalue()


def with_the_longer_end(tmp_path: Path) -> bytes:
    """As torch writes it: a 64-bit end record and its locator before the short one."""
    data = whole()
    _, _, _, _, count, size, begin, _ = struct.unpack("<4s4H2LH", data[-22:])
    longer = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 798, 45, 0, 0, count, count, size, begin)
    return data[:-22] + longer + struct.pack("<4sLQL", b"PK\6\7", 0, begin + size, 1) + data[-22:]


HONEST = {
    "stored": lambda _: whole(), "deflated": lambda _: whole(zipfile.ZIP_DEFLATED), "streamed": streamed,
    "numpy's": sized_in_64_bits, "torch's": with_the_longer_end,
}  # fmt: skip


@pytest.mark.parametrize("kind", HONEST)
def test_honest_archives_are_read(tmp_path, kind):
    (tmp_path / "a.zip").write_bytes(HONEST[kind](tmp_path))
    assert contents(tmp_path / "a.zip") == CONTENTS
    assert zipfile.ZipFile(tmp_path / "a.zip").testzip() is None


def changed(data: bytes, at: int, form: str, value: int) -> bytes:
    return data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form) :]


def entry(name: str, data: bytes) -> int:
    """Offset of a record's entry in the directory."""
    return data.index(name.encode(), data.index(b"PK\1\2")) - 46


def local(name: str, data: bytes) -> int:
    """Offset of a record's local header."""
    return data.index(name.encode()) - 30


def second_directory(data: bytes) -> bytes:
    """A directory of other records behind the first, found by readers that go by its offset only, or its end only."""
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a/data.pkl", b"other!")
    return data + other.getvalue()


def end(data: bytes, at: int, form: str, value: int) -> bytes:
    return changed(data, len(data) - 22 + at, form, value)


def longer(at: int, form: str, value: int):
    def change(_: bytes) -> bytes:
        data = with_the_longer_end(Path())
        return changed(data, len(data) - 98 + at, form, value)

    return change


def twice(data: bytes) -> bytes:
    """Two entries of one name."""
    return data.replace(b"a/data/1", b"a/data/0")


FAULTS = {
    "a second directory behind": second_directory,
    "another archive of the same form behind": lambda data: data + data.replace(b"\1" * 100, b"\2" * 100),
    "an end record that only some read": lambda _: end(with_the_longer_end(Path()), 16, "<L", 0),
    "bytes before": lambda data: b"before" + data,
    "a comment": lambda data: end(data, 20, "<H", 4) + b"note",
    "bytes behind": lambda data: data + b"\0" * 30,
    "cut short": lambda data: data[:-10],
    "too few entries": lambda data: end(end(data, 8, "<H", 3), 10, "<H", 3),
    "too many entries": lambda data: end(end(data, 8, "<H", 5), 10, "<H", 5),
    "counts that differ": lambda data: end(data, 8, "<H", 3),
    "another disk": lambda data: end(data, 4, "<H", 1),
    "a directory elsewhere": lambda data: end(data, 16, "<L", 0),
    "a shorter directory": lambda data: end(data, 12, "<L", 60),
    "an entry that is none": lambda data: data.replace(b"PK\1\2", b"PK\1\3"),
    "a longer comment of an entry": lambda data: changed(data, entry("a/data/0", data) + 32, "<H", 60_000),
    "a record on another disk": lambda data: changed(data, entry("a/data/0", data) + 34, "<H", 1),
    "a header elsewhere": lambda data: changed(data, entry("a/data/0", data) + 42, "<L", 0),
    "a header beyond the end": lambda data: changed(data, entry("a/data/0", data) + 42, "<L", 2**31),
    "two names for one record": lambda data: changed(data, entry("a/data/1", data) + 42, "<L", local("a/data/0", data)),
    "more bytes than there are": lambda data: changed(data, entry("a/data/0", data) + 20, "<L", 10**9),
    "a name in another place": lambda data: changed(data, local("a/data/0", data) + 30, "<B", ord("b")),
    "another length of the name": lambda data: changed(data, local("a/data/0", data) + 26, "<H", 7),
    "an extra field that reaches far": lambda data: changed(data, local("a/data/0", data) + 28, "<H", 60_000),
    "another size in the header": lambda data: changed(data, local("a/data/0", data) + 22, "<L", 99),
    "another checksum in the header": lambda data: changed(data, local("a/data/0", data) + 14, "<L", 99),
    "another method in the header": lambda data: changed(data, local("a/data/0", data) + 8, "<H", 8),
    "an encrypted header": lambda data: changed(data, local("a/data/0", data) + 6, "<H", 1),
    "an unknown method": lambda data: changed(
        changed(data, entry("a/data/0", data) + 10, "<H", 12), local("a/data/0", data) + 8, "<H", 12
    ),
    "a size beyond 32 bits that is not told": lambda data: changed(data, entry("a/data/0", data) + 20, "<L", 2**32 - 1),
    "two of one name": twice,
    "a name that ends early": lambda data: data.replace(b"a/data/0", b"a/data\x000"),
    "a name of no known code page": lambda data: changed(data, entry("ü.npy", data) + 8, "<H", 0),
    "a folder with bytes": lambda data: changed(data, entry("a/data/0", data) + 38, "<L", 0x10),
    "a name that is no text": lambda data: data.replace("ü".encode(), b"\xff\xff"),
    "end records that differ": longer(40, "<Q", 60),
    "end records of other counts": longer(32, "<Q", 3),
    "a longer end record on another disk": longer(16, "<L", 1),
    "a longer end record of another length": longer(4, "<Q", 45),
    "a locator that leads elsewhere": longer(64, "<Q", 0),
    "a locator of many disks": longer(72, "<L", 2),
    "other bytes": lambda data: data.replace(b"\1" * 100, b"\2" * 100),
    "less when unpacked": lambda _: _deflated(lambda packed: packed[:-40] + packed[-2:]),
    "bytes behind a deflated record's end": lambda _: _deflated(lambda packed: _repacked(packed) + b"more"),
    "no deflated bytes": lambda _: _deflated(lambda packed: b"\xff" * len(packed)),
}


def _repacked(packed: bytes) -> bytes:
    """The same bytes, better packed, so that there is room behind them."""
    unpacked = zlib.decompress(packed, -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(unpacked) + packer.flush()


def _deflated(change) -> bytes:
    data = whole(zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.getinfo("ü.npy")
    at = info.header_offset + 30 + len("ü.npy".encode())
    packed = change(data[at : at + info.compress_size])
    return data[:at] + packed.ljust(info.compress_size, b"\0") + data[at + info.compress_size :]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_archive_that_can_be_seen_in_two_ways_is_refused(tmp_path, fault):
    data = FAULTS[fault](whole())
    assert data != whole()
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(CorruptFile) as caught:
        contents(tmp_path / "a.zip")
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_damaged_byte_is_refused_or_without_effect(tmp_path, method):
    """Any reader that reads the file at all reads what was written: only times, versions and attributes may differ."""
    data = whole(method)
    path = tmp_path / "a.zip"
    rng = np.random.default_rng(0)
    places = sorted({*range(200), *range(len(data) - 330, len(data)), *rng.integers(0, len(data), 100).tolist()})
    read = 0
    for at in places:
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            found = contents(path)
        except CheckpointError:
            continue
        assert list(found.values()) == list(CONTENTS.values()), f"byte {at}"
        read += 1
    assert read > 20, "a reader that refuses everything shows nothing"


@pytest.mark.parametrize("fault", ["two names for one record", "more bytes than there are"])
def test_what_overlaps_is_refused_before_anything_is_read(tmp_path, fault):
    path = tmp_path / "a.zip"
    path.write_bytes(FAULTS[fault](whole()))
    with pytest.raises(CorruptFile, match="overlaps"):
        directory_of(WeightFile.at(path))


def test_a_record_does_not_reach_into_the_next_header(tmp_path):
    data = whole()
    path = tmp_path / "a.zip"
    path.write_bytes(changed(data, local("a/data/0", data) + 28, "<H", 10))
    file = WeightFile.at(path)
    with pytest.raises(CorruptFile, match="reaches into"):
        first_byte(file, directory_of(file)["a/data/0"])


def test_where_a_record_lies(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(whole())
    file = WeightFile.at(path)
    record = directory_of(file)["a/data/0"]
    begin = first_byte(file, record)
    assert file.read(begin, record.size).tobytes() == CONTENTS["a/data/0"]


def test_a_directory_out_of_proportion_is_refused(tmp_path):
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    count = 200_000
    size = count * len(entry)
    longer = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 798, 45, 0, 0, count, count, size, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, size, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, size, 0, 0)
    (tmp_path / "a.zip").write_bytes(entry * count + longer + locator + end)
    with pytest.raises(UnsafeFile, match="directory of the zip"):
        directory_of(WeightFile.at(tmp_path / "a.zip"))


def test_a_record_unpacks_to_no_more_than_it_says(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(10_000_000))
    data = out.getvalue()
    at, header = data.index(b"PK\1\2"), 0
    data = changed(changed(data, at + 24, "<L", 1000), header + 22, "<L", 1000)
    (tmp_path / "a.zip").write_bytes(data)
    file = WeightFile.at(tmp_path / "a.zip")
    stream = unpacked(file, directory_of(file)["a"])
    with pytest.raises(CorruptFile, match="checksum"):
        stream.read()
