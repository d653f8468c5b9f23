"""An assembler for pickles: values and calls to opcodes of protocols 0 to 5, without pickling anything.

`Assembler.value` writes plain Python values and the nodes below. Where the format has several opcodes for one thing,
one in five programs takes any of them; the others take the shortest. Every instruction's first byte is noted, so that a
program can be damaged between its instructions.
"""

import random
import struct
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Global:
    """A class or function by its module and name."""

    module: str
    name: str


@dataclass(frozen=True, eq=False)
class Call:
    """`function(*arguments)`, by REDUCE; `arguments` may be any node."""

    function: Any
    arguments: Any


@dataclass(frozen=True, eq=False)
class Made:
    """An object by INST, OBJ, NEWOBJ or NEWOBJ_EX."""

    how: str
    cls: Global
    arguments: tuple = ()


@dataclass(frozen=True, eq=False)
class Built:
    """An object whose state is then set, by BUILD."""

    value: Any
    state: Any


@dataclass(frozen=True, eq=False)
class Persistent:
    """What the file keeps beside the pickle, by its identity."""

    identity: Any


@dataclass(frozen=True, eq=False)
class Raw:
    """Bytes of a program that leave one value on the stack."""

    code: bytes


@dataclass(frozen=True, eq=False)
class Kept:
    """A value that is put into the memo under a number."""

    value: Any
    number: int


@dataclass(frozen=True, eq=False)
class Got:
    """The value of a number of the memo."""

    number: int


@dataclass(eq=False)
class Table:
    """A dictionary by its pairs, in order, a key as often as it is there; `ordered`: an OrderedDict."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    ordered: bool = False
    kind: Global = Global("collections", "OrderedDict")


class Assembler:
    """Writes one pickle. `memo` follows what the interpreter's memo holds: the numbers that are set."""

    def __init__(self, rng: random.Random, protocol: int):
        self.rng, self.protocol, self.usual = rng, protocol, rng.random() < 0.8
        self.out, self.starts, self.memo = bytearray(), [], set()

    def program(self, root: Any) -> bytes:
        """The whole pickle of `root`."""
        if self.protocol >= 2:
            self._op(b"\x80" + bytes([self.protocol]))
        self.value(root)
        self._op(b".")
        return bytes(self.out)

    def value(self, value: Any) -> None:
        """Write what leaves `value` on the stack."""
        writer = _WRITERS.get(type(value))
        if writer is None:
            raise TypeError(f"no opcode for {type(value).__name__}")
        writer(self, value)

    def keep(self, number: int) -> None:
        """Put the top of the stack into the memo: by MEMOIZE where that gives it this number."""
        if self.protocol >= 4 and number == len(self.memo) and self.rng.random() < 0.5:
            self._op(b"\x94")
        elif number < 256 and self.protocol >= 1:
            self._op(b"q" + bytes([number]))
        elif self.protocol >= 1:
            self._op(b"r" + struct.pack("<I", number))
        else:
            self._op(b"p%d\n" % number)
        self.memo.add(number)

    def _op(self, code: bytes) -> None:
        self.starts.append(len(self.out))
        self.out += code

    def _none(self, _: None) -> None:
        self._op(b"N")

    def _bool(self, value: bool) -> None:
        self._op((b"\x88" if value else b"\x89") if self.protocol >= 2 else b"I01\n" if value else b"I00\n")

    def _int(self, value: int) -> None:
        ways = [b"I%d\n" % value, b"L%dL\n" % value] if value.bit_length() < _MOST_BITS else []
        if self.protocol >= 1:
            ways += [code + struct.pack(form, value) for code, form, low, high in _INTEGERS if low <= value < high]
        if self.protocol >= 2 or not ways:
            body = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            ways.append(b"\x8a" + bytes([len(body)]) + body if len(body) < 256 else _long4(body))
        self._op(min(ways, key=len) if self.usual and self.protocol else self.rng.choice(ways))

    def _float(self, value: float) -> None:
        self._op(b"G" + struct.pack(">d", value) if self.protocol else f"F{value!r}\n".encode())

    def _str(self, value: str) -> None:
        data = value.encode("utf-8", "surrogatepass")
        ways = [b"X" + struct.pack("<I", len(data)) + data]
        if self.protocol == 0 or (not self.usual and self.rng.random() < 0.05):
            ways = [b"V" + value.encode("raw-unicode-escape", "replace").replace(b"\n", b"\\u000a") + b"\n"]
        elif self.protocol >= 4:
            ways.append(b"\x8d" + struct.pack("<Q", len(data)) + data)
            ways += [b"\x8c" + bytes([len(data)]) + data] * 3 if len(data) < 256 else []
        self._op(min(ways, key=len) if self.usual else self.rng.choice(ways))

    def _bytes(self, value: bytes) -> None:
        if self.protocol >= 3:
            short = b"C" + bytes([len(value)]) if len(value) < 256 else b"B" + struct.pack("<I", len(value))
        else:
            short = b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<I", len(value))
        self._op(short + value)

    def _bytearray(self, value: bytearray) -> None:
        self._op(b"\x96" + struct.pack("<Q", len(value)) + value)

    def _tuple(self, value: tuple) -> None:
        if not value:
            self._op(b")")
        elif len(value) <= 3 and self.protocol >= 2 and self.rng.random() < 0.7:
            for item in value:
                self.value(item)
            self._op((b"\x85", b"\x86", b"\x87")[len(value) - 1])
        else:
            self._marked(value, b"t")

    def _list(self, value: list) -> None:
        self._op(b"]")
        self._marked(value, b"e")

    def _dict(self, value: dict) -> None:
        self.value(Table(list(value.items())))

    def _set(self, value: set) -> None:
        if self.protocol >= 4:
            self._op(b"\x8f")
            self._marked(sorted(value), b"\x90")
        else:
            self.value(Call(Global("builtins", "set"), ([*sorted(value)],)))

    def _table(self, value: Table) -> None:
        self.value(Call(value.kind, ())) if value.ordered else self._op(b"}")
        self.fill(value.pairs)

    def fill(self, pairs: list[tuple[Any, Any]]) -> None:
        """Set the pairs in the dictionary on top of the stack: all together, or one after the other."""
        if self.protocol == 0 or self.rng.random() < 0.1:
            for key, item in pairs:
                self.value(key)
                self.value(item)
                self._op(b"s")
        else:
            self._marked([part for pair in pairs for part in pair], b"u")

    def _marked(self, items: Any, end: bytes) -> None:
        self._op(b"(")
        for item in items:
            self.value(item)
        self._op(end)

    def _global(self, value: Global) -> None:
        if self.protocol >= 4 and self.rng.random() < 0.9:
            self.value(value.module)
            self.value(value.name)
            self._op(b"\x93")
        else:
            self._op(f"c{value.module}\n{value.name}\n".encode())

    def _call(self, value: Call) -> None:
        self.value(value.function)
        self.value(value.arguments)
        self._op(b"R")

    def _made(self, value: Made) -> None:
        if value.how == "INST":
            self._marked(value.arguments, f"i{value.cls.module}\n{value.cls.name}\n".encode())
        elif value.how == "OBJ":
            self._marked((value.cls, *value.arguments), b"o")
        else:
            self.value(value.cls)
            self.value(value.arguments)
            if value.how == "NEWOBJ_EX":
                self.value(Table())
            self._op(b"\x92" if value.how == "NEWOBJ_EX" else b"\x81")

    def _built(self, value: Built) -> None:
        self.value(value.value)
        self.value(value.state)
        self._op(b"b")

    def _persistent(self, value: Persistent) -> None:
        self.value(value.identity)
        self._op(b"Q")

    def _kept(self, value: Kept) -> None:
        self.value(value.value)
        self.keep(value.number)

    def _got(self, value: Got) -> None:
        if value.number < 256:
            self._op(b"h" + bytes([value.number]) if self.protocol else b"g%d\n" % value.number)
        else:
            self._op(b"j" + struct.pack("<I", value.number) if self.protocol else b"g%d\n" % value.number)


#: Python writes no number of more digits than 4300 as a text.
_MOST_BITS = 14_000
#: Opcodes of whole numbers: code, form, from, up to.
_INTEGERS = ((b"J", "<i", -(2**31), 2**31), (b"M", "<H", 0, 2**16), (b"K", "<B", 0, 256))


def _long4(body: bytes) -> bytes:
    return b"\x8b" + struct.pack("<i", len(body)) + body


_WRITERS = {
    type(None): Assembler._none, bool: Assembler._bool, int: Assembler._int, float: Assembler._float,
    str: Assembler._str, bytes: Assembler._bytes, bytearray: Assembler._bytearray, tuple: Assembler._tuple,
    list: Assembler._list, dict: Assembler._dict, set: Assembler._set, Table: Assembler._table,
    Global: Assembler._global, Call: Assembler._call, Made: Assembler._made, Built: Assembler._built,
    Persistent: Assembler._persistent, Kept: Assembler._kept, Got: Assembler._got,
    Raw: lambda self, value: self._op(value.code),
}  # fmt: skip
