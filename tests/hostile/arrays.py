"""A generator of numpy's arrays (.npy): headers whose shape, type and order are any value; numbers of every kind."""

import struct
from random import Random

from case import Case

_LENGTHS = ("0", "1", "2", "3", "-1", "True", "False", "None", "2.0", "1e3", "'2'", "(1,)", "2**3", "1L", "0x2", "-0",
    "1_0",
            str(2**31), str(2**32), str(2**40), str(2**62), str(2**63 - 1), str(2**63), str(2**64), "9" * 400,
            "9" * 5000)  # fmt: skip
_TYPES = ("<f8", "<f8", "<f4", "<f2", ">f8", ">f4", ">f2", "=f8", "|f4", "<f16", "<f1", "<i8", "<i4", ">i2", "|i1",
    "|u1", "<u8",
          "|b1", "<c8", "<c16", "|O", "|V8", "|S4", "<U2", "<M8[s]", "<m8", "f8", "d", "float64", "", "O8", "<f8,<f8",
          "x")  # fmt: skip
_OTHER_TYPES = ("[('a', '<f8')]", "[('a', '<f8', (2, 2))]", "('<f8', (2,))", "None", "3",
    "{'names': ['a'], 'formats': ['<f8']}",
                "[('a', '|O')]", "'<f8' '<f4'", "b'<f8'", "[]")  # fmt: skip
#: Bit patterns: quiet and signalling NaN, infinities, the smallest and largest numbers, of 8, 4 and 2 bytes.
_PATTERNS = {8: (0x7FF8 << 48, (0x7FF0 << 48) + 1, 0xFFF0 << 48, 0x7FF0 << 48, 1, 0x7FEF << 48, 1 << 63, 0x3FF0 << 48),
             4: (0x7FC00000, 0x7F800001, 0xFF800001, 0x7F800000, 1, 0x7F7FFFFF, 1 << 31, 0x3F800000),
             2: (0x7E00, 0x7C01, 0xFC01, 0x7C00, 1, 0x7BFF, 0x8000, 0x3C00)}  # fmt: skip


def numpy_array(rng: Random) -> Case:
    """An array of a few numbers whose header is varied once to three times."""
    shape, kind, fortran = [rng.choice(("1", "2", "3")), rng.choice(("1", "2", "3"))], rng.choice(_TYPES[:4]), "False"
    says = []
    item = int(kind[-1])
    data = b"".join(_number(rng, item) for _ in range(int(shape[0]) * int(shape[1])))
    text_of_type = repr(kind)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        what = rng.randrange(8)
        if what <= 2:
            shape[rng.randrange(len(shape))] = rng.choice(_LENGTHS)
        elif what == 3:
            shape = rng.choice(([], shape[:1], [*shape, "1"], ["1"] * 70, [rng.choice(_LENGTHS) for _ in range(3)]))
            shape = shape or ["2"]
        elif what == 4:
            text_of_type = repr(rng.choice(_TYPES)) if rng.random() < 0.7 else rng.choice(_OTHER_TYPES)
        elif what == 5:
            fortran = rng.choice(("True", "1", "0", "None", "'F'", "[]"))
        elif what == 6:
            data = b"".join(_number(rng, item, odd=0.5) for _ in range(len(data) // item))
        else:
            data = data[: rng.randrange(len(data) + 1)] if rng.random() < 0.5 else data + b"\0" * 9
        says.append(f"kind {what}")
    text = f"({', '.join(shape)},)" if rng.random() < 0.95 else rng.choice((shape[0], f"[{shape[0]}]", "()", "None"))
    header = f"{{'descr': {text_of_type}, 'fortran_order': {fortran}, 'shape': {text}, }}"
    if rng.random() < 0.06:
        header = rng.choice(("", "{}", "[]", "__import__('os')", header[:-2], header + " " * 70_000,
        "(" * 300 + ")" * 300,
                             "{" * 90, header.replace("shape", "sh"), "{'a': 1, " + header[1:],
                             "-" * 3000 + "1"))  # fmt: skip
    says.append(f"{text_of_type[:30]} {text[:60]} order {fortran}")
    return Case({"x0.npy": _file(rng, header, data)}, "; ".join(says))


def _number(rng: Random, item: int, odd: float = 0.0) -> bytes:
    if rng.random() < odd:
        return rng.choice(_PATTERNS[item]).to_bytes(item, "little")
    return struct.pack({8: "<d", 4: "<f", 2: "<e"}[item], rng.uniform(-2, 2))


def _file(rng: Random, header: str, data: bytes) -> bytes:
    text = header.encode() + b"\n"
    version = rng.choice((b"\1\0",) * 12 + (b"\2\0", b"\3\0", b"\0\1", b"\1\1", b"\xff\xff"))
    length = len(text) if rng.random() < 0.97 else rng.choice((0, 1, 2**16 - 1, len(text) + len(data), 2**32 - 1))
    size = 2 if version[:1] == b"\1" and version[1:] == b"\0" else 4
    return b"\x93NUMPY" + version + (length % 256**size).to_bytes(size, "little") + text + data


def plain_array() -> bytes:
    """A valid array of two rows."""
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }"
    return _file(Random(1), header, struct.pack("<4d", 1, 2, 3, 4))
