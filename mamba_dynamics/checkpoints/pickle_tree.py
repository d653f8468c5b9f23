"""A pickle followed without running it: what it would build, as a tree of inert values.

A pickle is a program of a stack machine. Python's own machine imports what the program names and calls what it says;
this one does neither. It keeps

    None, numbers, texts, bytes, tuples, lists    as they are
    a dictionary                                  with its texts and integers as keys; any other key is only numbered
    a class or function                           as its name, a `Name`
    whatever a call would return                  as a `Reduced`: what was called, with what, and what was put on it
    what the program asks its reader for          as a `PersistentId`: the identity that it gave

so no class of the file exists here, no attribute of the file's can stand in for a method, and nothing is compared,
hashed or printed that the file composed, except texts and small numbers. All protocols are read, 0 to 5.

Memory is bounded as it is taken: every instruction costs what it could at most take, every text its characters.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._allowance import Budget
from .._errors import CorruptFile
from .base import shown
from .files import StoredFile

#: Bytes that an instruction may take (its value, its place on the stack, in a memo or in a table that grows), and that
#: a text takes for each of its bytes where it is no ASCII.
PER_INSTRUCTION, _PER_CHARACTER = 240, 5
#: Bytes of the pickle that are held at a time, and of one line of protocol 0.
_WINDOW, _LONGEST_LINE = 1 << 18, 1 << 16
#: Bytes of the integers that are kept. Larger ones are no size, key or number of a checkpoint.
_LONGEST_INTEGER = 16
#: Keys up to this are hashed to themselves; larger ones could be made to collide.
_LARGEST_KEY, _LARGEST_INDEX = 2**60, 2**32


class Name(str):
    """The dotted name of a class or function, told apart from a text that reads the same."""

    __slots__ = ()


@dataclass(slots=True, eq=False, repr=False)
class Reduced:
    """What a call would have returned: an object that is only described.

    `by` is what was called, usually a `Name`; `arguments` what with; `items`, `elements` and `state` what the program
    then put into it as a table, as a list, and as its attributes.
    """

    by: Any
    arguments: Any
    items: dict[str | int, Any] | None = None
    elements: list[Any] | None = None
    state: Any = None


@dataclass(slots=True, eq=False, repr=False)
class PersistentId:
    """What the program asks its reader for by an identity of its own: in a torch file, a storage."""

    identity: Any


def called_by(value: Any) -> str:
    """The name of what an object was made by; empty for any other value. Never anything that the file composed."""
    return value.by if isinstance(value, Reduced) and isinstance(value.by, Name) else ""


def argument_of(value: Any, index: int) -> Any:
    """An argument that an object would be made with; None where there is none."""
    given = value.arguments if isinstance(value, Reduced) else None
    return given[index] if isinstance(given, tuple) and len(given) > index else None


def brief(value: Any) -> str:
    """A value of a tree for a message; of what the file composed only its kind, for that may be printed without end."""
    if value is None or isinstance(value, str | bool | int | float):
        return shown(value)
    return f"a {type(value).__name__.lower()}"


#: What makes a dictionary when it is called.
TABLES = {
    "collections.OrderedDict",
    "collections.Counter",
    "collections.defaultdict",
    "builtins.dict",
    "__builtin__.dict",
}


def mapping_of(value: Any) -> Mapping[str | int, Any] | None:
    """The items of a dictionary, or of an object that is one; None for anything else."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Reduced) and value.items is not None:
        return value.items
    return {} if called_by(value) in TABLES else None


@dataclass(frozen=True)
class Tree:
    """What a pickle describes: its value, all that it asks for in order, and the offset behind its last byte."""

    root: Any
    persistent_ids: tuple[PersistentId, ...]
    end: int


def pickle_tree(file: StoredFile, begin: int, end: int, budget: Budget) -> Tree:
    """The value that the pickle at `begin` describes; it may be shorter than `end`. `budget` is the whole file's.

    Raises `CorruptFile` where it is no whole pickle; `UnsafeFile` where it would take more memory than the file may
    cost.
    """
    machine = _Machine(file, begin, end, budget)
    try:
        root = machine.run()
    except (UnicodeError, ValueError, OverflowError, struct.error) as error:
        raise machine.damaged(" ".join(str(error).split())) from None
    return Tree(root, tuple(machine.persistent_ids), machine.position)


class _Machine:
    """The stack machine."""

    def __init__(self, file: StoredFile, begin: int, end: int, budget: Budget):
        self._file, self._end = file, end
        self._window, self._at, self._begin = b"", 0, begin
        self._budget = budget
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self.persistent_ids: list[PersistentId] = []

    @property
    def position(self) -> int:
        """Offset in the file of the next byte."""
        return self._begin + self._at

    def run(self) -> Any:
        steps = _STEPS
        while True:
            code = self._take(1)[0]
            self._spend(PER_INSTRUCTION)
            if code == _STOP:
                return self._pop()
            step = steps[code]
            if step is None:
                raise self.damaged(f"byte {self.position - 1} is no instruction")
            step(self)

    def damaged(self, what: str) -> CorruptFile:
        return CorruptFile(f"{shown(self._file.path)} holds a damaged pickle: {shown(what)}; download it again")

    # --- its bytes

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._window):
            self._refill(count)
            end = count
        taken, self._at = self._window[self._at : end], end
        return taken

    def _require_left(self, count: int) -> int:
        """The bytes that are left, which must be `count` or more."""
        left = self._end - self.position
        if count > left:
            raise self.damaged(f"it ends {count - left} bytes early")
        return left

    def _refill(self, count: int) -> None:
        """Let the window begin here and hold `count` bytes or more."""
        left = self._require_left(count)
        if count > _WINDOW:
            self._spend(count)
        self._begin, size = self.position, min(left, max(count, _WINDOW))
        self._window, self._at = self._file.read(self._begin, size).tobytes(), 0

    def _line(self) -> bytes:
        """The bytes up to the end of the line."""
        stop = self._window.find(b"\n", self._at, self._at + _LONGEST_LINE)
        if stop < 0 and len(self._window) < self._at + _LONGEST_LINE:
            self._refill(min(_LONGEST_LINE, self._end - self.position))
            stop = self._window.find(b"\n", 0, _LONGEST_LINE)
        if stop < 0:
            raise self.damaged("a line does not end")
        self._spend(_PER_CHARACTER * (stop - self._at))
        line, self._at = self._window[self._at : stop], stop + 1
        return line

    def _number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    def _counted(self, size: int) -> bytes:
        """Bytes behind their own length, which takes `size` bytes."""
        count = self._number(size)
        self._require_left(count)
        self._spend(count)
        return self._take(count)

    def _text(self, raw: bytes) -> str:
        if not raw.isascii():
            self._spend(_PER_CHARACTER * len(raw))
        return raw.decode("utf-8", "surrogatepass")

    def _spend(self, cost: int) -> None:
        self._budget.spend(cost, "its pickle")

    # --- its stack

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _floor(self) -> int:
        """How deep the stack may be taken from: to the last mark."""
        return self._marks[-1] if self._marks else 0

    def _pop(self) -> Any:
        if len(self._stack) <= self._floor():
            raise self.damaged("it takes more from its stack than is there")
        return self._stack.pop()

    def _top(self) -> Any:
        if len(self._stack) <= self._floor():
            raise self.damaged("it looks for a value where there is none")
        return self._stack[-1]

    def _above_mark(self) -> list[Any]:
        if not self._marks:
            raise self.damaged("it looks for a mark where there is none")
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    # --- its instructions

    def _pop_or_unmark(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _protocol(self) -> None:
        version = self._number(1)
        if version > 5:
            raise self.damaged(f"its protocol is {version}, expected at most 5")

    def _put(self, index: int) -> None:
        if not 0 <= index <= _LARGEST_INDEX:
            raise self.damaged("it keeps a value under a number that is none of a memo")
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise self.damaged("it refers to a value that it has not kept")
        self._push(self._memo[index])

    def _integer(self, raw: bytes) -> None:
        """Push the number that bytes hold, or None for one that is larger than any that matters."""
        self._push(int.from_bytes(raw, "little", signed=True) if len(raw) <= _LONGEST_INTEGER else None)

    def _decimal(self) -> None:
        line = self._line().rstrip(b"L")
        if line in (b"00", b"01"):
            self._push(line == b"01")
        else:
            self._push(int(line) if len(line) <= 2 * _LONGEST_INTEGER else None)

    def _quoted(self) -> None:
        line = self._line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise self.damaged("a text has no quotes")
        if b"\\" in line:
            raise self.damaged("a text has escapes, as only Python 2 wrote them")
        self._push(line[1:-1].decode("latin-1"))

    def _global(self) -> None:
        module, name = self._text(self._line()), self._text(self._line())
        self._push(Name(f"{module}.{name}"))

    def _global_of_stack(self) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise self.damaged("it names a class by something other than texts")
        self._spend(_PER_CHARACTER * (len(name) + len(module)))
        self._push(Name(f"{module}.{name}"))

    def _instance(self) -> None:
        self._global()
        called = self._stack.pop()
        self._push(Reduced(called, tuple(self._above_mark())))

    def _instance_of_stack(self) -> None:
        values = self._above_mark()
        if not values:
            raise self.damaged("it makes an object of no class")
        self._push(Reduced(values[0], tuple(values[1:])))

    def _call(self) -> None:
        arguments, called = self._pop(), self._pop()
        self._push(Reduced(called, arguments))

    def _call_with_keywords(self) -> None:
        keywords, arguments, called = self._pop(), self._pop(), self._pop()
        self._push(Reduced(called, (arguments, keywords)))

    def _want(self, identity: Any) -> None:
        wanted = PersistentId(identity)
        self.persistent_ids.append(wanted)
        self._push(wanted)

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        if not isinstance(target, Reduced) or target.state is not None:
            raise self.damaged("it sets the state of something that has none, or has one already")
        target.state = state

    def _append(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, Reduced):
            target.elements = [] if target.elements is None else target.elements
            target = target.elements
        if not isinstance(target, list):
            raise self.damaged("it appends to something that is no list")
        target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, Reduced):
            target.items = {} if target.items is None else target.items
            target = target.items
        if not isinstance(target, dict) or len(values) % 2:
            raise self.damaged("it sets items of something that is no table, or keys without values")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_plain_key(key, len(target))] = value

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))


def _plain_key(key: Any, number: int) -> str | int:
    """A key as the tree has it. One that is no text and no number gets a text that says so, for what it leads to."""
    if type(key) is str:
        return key
    # In Python True, 1 and 1.0 are one key.
    if isinstance(key, bool | int | float) and key == key and abs(key) <= _LARGEST_KEY and key == int(key):
        return int(key)
    return f"<key {number}>"


def _pushes(make: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        machine._push(make(machine))

    return step


def _table(values: list[Any], machine: _Machine) -> dict[str | int, Any]:
    machine._push({})
    machine._set_items(values)
    return machine._pop()


_STOP = ord(".")

#: What each instruction does, by its byte; None for what is no instruction, or none of a file on a disk.
_STEPS: list[Callable[[_Machine], object] | None] = [None] * 256
_BY_SIGN: dict[bytes, Callable[[_Machine], object]] = {
    # values
    b"N": _pushes(lambda m: None),
    b"\x88": _pushes(lambda m: True),
    b"\x89": _pushes(lambda m: False),
    b"I": _Machine._decimal,
    b"L": _Machine._decimal,
    b"J": _pushes(lambda m: m._number(4, signed=True)),
    b"K": _pushes(lambda m: m._number(1)),
    b"M": _pushes(lambda m: m._number(2)),
    b"\x8a": lambda m: m._integer(m._counted(1)),
    b"\x8b": lambda m: m._integer(m._counted(4)),
    b"F": _pushes(lambda m: float(m._line())),
    b"G": _pushes(lambda m: struct.unpack(">d", m._take(8))[0]),
    # texts and bytes
    b"S": _Machine._quoted,
    b"T": _pushes(lambda m: m._counted(4).decode("latin-1")),
    b"U": _pushes(lambda m: m._counted(1).decode("latin-1")),
    b"V": _pushes(lambda m: m._line().decode("raw-unicode-escape")),
    b"X": _pushes(lambda m: m._text(m._counted(4))),
    b"\x8c": _pushes(lambda m: m._text(m._counted(1))),
    b"\x8d": _pushes(lambda m: m._text(m._counted(8))),
    b"B": _pushes(lambda m: m._counted(4)),
    b"C": _pushes(lambda m: m._counted(1)),
    b"\x8e": _pushes(lambda m: m._counted(8)),
    b"\x96": _pushes(lambda m: m._counted(8)),
    # containers
    b"(": lambda m: m._marks.append(len(m._stack)),
    b")": _pushes(lambda m: ()),
    b"t": lambda m: m._push(tuple(m._above_mark())),
    b"\x85": lambda m: m._tuple(1),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"]": _pushes(lambda m: []),
    b"l": lambda m: m._push(m._above_mark()),
    b"a": lambda m: m._append([m._pop()]),
    b"e": lambda m: m._append(m._above_mark()),
    b"}": _pushes(lambda m: {}),
    b"d": lambda m: m._push(_table(m._above_mark(), m)),
    b"s": lambda m: m._set_items([m._pop(), m._pop()][::-1]),
    b"u": lambda m: m._set_items(m._above_mark()),
    b"\x8f": _pushes(lambda m: Reduced(Name("builtins.set"), ())),
    b"\x90": lambda m: m._append(m._above_mark()),
    b"\x91": lambda m: m._push(Reduced(Name("builtins.frozenset"), tuple(m._above_mark()))),
    # names, calls and what is made
    b"c": _Machine._global,
    b"\x93": _Machine._global_of_stack,
    b"\x82": _pushes(lambda m: Name(f"copyreg.extension_{m._number(1)}")),
    b"\x83": _pushes(lambda m: Name(f"copyreg.extension_{m._number(2)}")),
    b"\x84": _pushes(lambda m: Name(f"copyreg.extension_{m._number(4)}")),
    b"i": _Machine._instance,
    b"o": _Machine._instance_of_stack,
    b"R": _Machine._call,
    b"\x81": _Machine._call,
    b"\x92": _Machine._call_with_keywords,
    b"b": _Machine._build,
    b"P": lambda m: m._want(m._text(m._line())),
    b"Q": lambda m: m._want(m._pop()),
    # the stack and the memo
    b"0": _Machine._pop_or_unmark,
    b"1": lambda m: m._above_mark(),
    b"2": lambda m: m._push(m._top()),
    b"p": lambda m: m._put(int(m._line())),
    b"q": lambda m: m._put(m._number(1)),
    b"r": lambda m: m._put(m._number(4)),
    b"\x94": lambda m: m._put(len(m._memo)),
    b"g": lambda m: m._get(int(m._line())),
    b"h": lambda m: m._get(m._number(1)),
    b"j": lambda m: m._get(m._number(4)),
    # what says something of the pickle itself
    b"\x80": _Machine._protocol,
    b"\x95": lambda m: m._take(8),
}
for _sign, _step in _BY_SIGN.items():
    _STEPS[_sign[0]] = _step
