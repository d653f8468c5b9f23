"""Small damages of valid files: of any bytes, of JSON by its structure, and of a part inside its container."""

import copy
import gzip
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable

Mutate = Callable[[random.Random, bytes], bytes]

#: Numbers that sizes, offsets and counts are compared with.
NUMBERS = (
    b"0", b"-1", b"1", b"2", b"3", b"64", b"65", b"255", b"4096", b"65536", b"2147483647", b"2147483648", b"4294967296",
    b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"1e400", b"-1e400", b"1e-400", b"NaN",
    b"Infinity", b"-Infinity", b"1.5", b"0.1", b"true", b"null", b'""', b'"auto"', b"[]", b"{}", b"9" * 5000,
)  # fmt: skip

#: Values of every kind, for the place of any other.
VALUES = (
    None, True, False, 0, -1, 1, 2, 3, 65, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "",
    "auto", "Infinity", "a" * 300, "\ud800", "\x00", "\u202e\x1b[31m", "../x", "/etc/passwd", "F32", "BF16", [], [1],
    [[[[[]]]]], [0, 8], {}, {"": 0}, {"__float__": "Infinity"}, {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
)  # fmt: skip

STRANGE = (
    "\u202e",
    "\x1b[2J",
    "\r\n",
    "\x00",
    "\ufeff",
    "\U0001f600",
    "..",
    "/",
    "\\",
    "<script>",
    "%n",
    "${x}",
    "[/]",
)


def damage_bytes(rng: random.Random, data: bytes) -> bytes:
    """One to four of: a bit flipped, bytes changed, cut, doubled, moved, inserted, the rest left out."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        at = rng.randrange(len(out) + 1)
        length = min(rng.choice((1, 1, 2, 4, 8, 64)), len(out) - at)
        kind = rng.randrange(9)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at : at + length] = rng.randbytes(length)
        elif kind == 2:
            del out[at : at + length]
        elif kind == 3:
            out[at:at] = out[at : at + length] * rng.choice((1, 2, 50))
        elif kind == 4:
            out[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
        elif kind == 5:
            del out[at:]
        elif kind == 6:
            out[at : at + length] = rng.choice((b"\x00", b"\xff", b"\x7f", b"\x80")) * length
        elif kind == 7:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, len(out))) % 2 ** (8 * size)
            out[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
        else:
            out[at:at] = rng.choice(NUMBERS)
    return bytes(out)


def damage_text(rng: random.Random, data: bytes) -> bytes:
    """A number of a text replaced, a line doubled, moved or left out, a strange sign put in; else its bytes."""
    kind = rng.randrange(5)
    if kind == 0:
        digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
        if digits:
            start = stop = rng.choice(digits)
            while stop < len(data) and 48 <= data[stop] <= 57:
                stop += 1
            return data[:start] + rng.choice(NUMBERS) + data[stop:]
    if kind == 1:
        lines = data.split(b"\n")
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
        if rng.random() < 0.5:
            lines.pop(rng.randrange(len(lines)))
        return b"\n".join(lines)
    if kind == 2:
        at = rng.randrange(len(data) + 1)
        return data[:at] + rng.choice(STRANGE).encode() + data[at:]
    if kind == 3:
        at = rng.randrange(len(data) + 1)
        return data[:at] + rng.choice((b"[", b"{", b'{"a":', b"a.")) * rng.choice((1, 10, 3000)) + data[at:]
    return damage_bytes(rng, data)


def damage_json(rng: random.Random, data: bytes) -> bytes:
    """One value of a JSON document replaced, left out, doubled or renamed; sometimes its text damaged instead."""
    if rng.random() < 0.3:
        return damage_text(rng, data)
    document = json.loads(data)
    for _ in range(rng.choice((1, 1, 2))):
        _change_value(rng, document)
    text = json.dumps(document)
    if rng.random() < 0.1:
        key = rng.choice(list(document) or [""])
        text = text[:-1] + f",{json.dumps(key)}:{json.dumps(rng.choice(VALUES))}}}"
    return text.encode()


def _change_value(rng: random.Random, document) -> None:
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.75:
            place = place[key]
            continue
        kind = rng.randrange(4)
        if kind == 0:
            del place[key]
        elif kind == 1 and isinstance(place, dict):
            place[key + rng.choice(STRANGE) if rng.random() < 0.5 else rng.choice(STRANGE)] = place.pop(key)
        elif kind == 2 and type(place[key]) is int:
            place[key] += rng.choice((-8, -1, 1, 8, 2**40))
        else:
            place[key] = copy.deepcopy(rng.choice(VALUES))
        return


def in_safetensors(rng: random.Random, data: bytes) -> bytes:
    """The header's JSON damaged, its length corrected; sometimes any bytes of the file."""
    if rng.random() < 0.2:
        return damage_bytes(rng, data)
    length = struct.unpack("<Q", data[:8])[0]
    header = damage_json(rng, data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def in_zip(damage: Mutate, which: str) -> Mutate:
    """A record of a zip archive damaged, the archive made anew; sometimes any bytes of the archive."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        if rng.random() < 0.3:
            return damage_bytes(rng, data)
        new = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(new, "w") as out:
            names = [name for name in old.namelist() if which in name]
            chosen = rng.choice(names)
            for name in old.namelist():
                record = old.read(name)
                out.writestr(name, damage(rng, record) if name == chosen else record)
        return new.getvalue()

    return mutate


def in_gzip(rng: random.Random, data: bytes) -> bytes:
    """What is packed damaged and packed again; sometimes the packed bytes."""
    if rng.random() < 0.3:
        return damage_bytes(rng, data)
    return gzip.compress(damage_bytes(rng, gzip.decompress(data)), 1)


def damage_lines(rng: random.Random, data: bytes) -> bytes:
    """One line of JSON damaged."""
    lines = data.split(b"\n")
    which = rng.randrange(len(lines))
    lines[which] = damage_json(rng, lines[which]) if lines[which] else damage_text(rng, lines[which])
    return b"\n".join(lines)
