"""What a torch file's pickle would do, followed without running it.

A pickle is a program of a stack machine. Of the values on its stack only those that matter here are known: names, texts
and tuples of these; everything else is None. So it is known what each call calls, which records the storages are, and,
from above, how much memory all of it takes: `set(list)` in a few bytes copies a list of any length.
"""

import pickletools
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .._allowance import require_within
from .._errors import CorruptFile, UnsafeFile
from .base import shown

#: What a pickle may call that makes a tensor of a storage, and what it may call that makes a container.
REBUILDS = frozenset({
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
})  # fmt: skip
WITH_STATE = "torch._tensor._rebuild_from_type_v2"
CONTAINERS = frozenset({"collections.OrderedDict", "collections.Counter", "builtins.set", "__builtin__.set"})
OTHERS = frozenset({"torch.serialization._get_layout", "torch.Size", "torch.device"})

#: Bytes that an instruction may take, a tensor, each byte of a text, and what a container copies for each instruction.
_PER_INSTRUCTION, _PER_TENSOR, _PER_LETTER, _PER_COPY = 320, 1000, 5, 56

_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
_TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"}
_MARK = pickletools.markobject

Instruction = tuple[pickletools.OpcodeInfo, Any]


def storages_of(program: Iterable[Instruction], file_size: int, path: Path) -> tuple[str, ...]:
    """The names of the records of its storages, in the order in which they are first asked for.

    Raises:
        UnsafeFile: it calls anything but what tensors and their containers need, or may take more memory than the file
            may cost. CorruptFile: it is no whole pickle.
    """
    machine = _Machine(path, file_size)
    for instruction in program:
        machine.step(*instruction)
    return tuple(machine.storages)


def instructions(pickle: bytes, path: Path) -> Iterator[Instruction]:
    """(opcode, argument) one after the other; `CorruptFile` where they do not parse."""
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            yield opcode, argument
    # Python warns of escapes that are none, and where warnings are errors that is one.
    except (ValueError, IndexError, KeyError, OverflowError, struct.error, UnicodeError, DeprecationWarning) as error:
        raise CorruptFile(f"{shown(path)} holds a damaged pickle: {shown(' '.join(str(error).split()))}") from None


class _Machine:
    """The stack machine, with most of its values left out."""

    def __init__(self, path: Path, file_size: int):
        self.path, self.file_size = path, file_size
        self.stack: list[Any] = []
        self.memo: dict[Any, Any] = {}
        self.storages: dict[str, None] = {}
        self.cost, self.done = 0, 0

    def step(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        name = opcode.name
        self.done += 1
        self._spend(_PER_INSTRUCTION + (_PER_LETTER * len(argument) if isinstance(argument, str | bytes) else 0))
        if name in _PUTS or name == "MEMOIZE":
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = self._top()
        elif name in _GETS:
            self.stack.append(self.memo.get(int(argument)))
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in _TEXTS:
            self.stack.append(argument)
        elif name == "GLOBAL":
            self.stack.append(_Name(str(argument).replace(" ", ".", 1)))
        else:
            taken = self._take(opcode)
            if name == "REDUCE":
                self._call(*taken)
            elif name == "BUILD":
                self._spend(_PER_COPY * self.done)
            elif name == "BINPERSID":
                self._storage(taken[0])
            elif name in ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "STACK_GLOBAL", "PERSID", "EXT1", "EXT2", "EXT4"):
                raise self._refusal(f"it uses {name}, as no state dict does")
            self.stack.extend([tuple(taken)] if name in _TUPLES else [None] * len(opcode.stack_after))

    def _take(self, opcode: pickletools.OpcodeInfo) -> list[Any]:
        """The values an instruction takes from the stack, those above a mark after those below it."""
        before, above = opcode.stack_before, []
        count = len(before)
        if _MARK in before or (opcode.name == "POP" and self.stack and self.stack[-1] is _MARK):
            while (value := self._pop()) is not _MARK:
                above.append(value)
            count = before.index(_MARK) if _MARK in before else 0
        below = [self._pop() for _ in range(count)]
        return below[::-1] + above[::-1]

    def _call(self, called: Any, arguments: Any) -> None:
        name = called if isinstance(called, _Name) else None
        if name in CONTAINERS:
            self._spend(0 if arguments == () else _PER_COPY * self.done)
        elif name == WITH_STATE:
            inner = arguments[0] if isinstance(arguments, tuple) and arguments else None
            if not isinstance(inner, _Name) or inner not in REBUILDS:
                raise self._refusal(f"it calls {shown(inner)} through {WITH_STATE}")
            self._spend(_PER_TENSOR)
        elif name in REBUILDS:
            self._spend(_PER_TENSOR)
        elif name not in OTHERS:
            raise self._refusal(f"it calls {shown(name)}")

    def _storage(self, identity: Any) -> None:
        if not isinstance(identity, tuple) or len(identity) != 5 or not isinstance(identity[2], str):
            raise CorruptFile(f"{shown(self.path)} holds a damaged pickle: a storage without the name of its record")
        self.storages[identity[2]] = None
        self._spend(_PER_TENSOR)

    def _top(self) -> Any:
        if not self.stack:
            raise CorruptFile(f"{shown(self.path)} holds a damaged pickle: it takes more than it has")
        return self.stack[-1]

    def _pop(self) -> Any:
        self._top()
        return self.stack.pop()

    def _spend(self, cost: int) -> None:
        self.cost += cost
        require_within(self.cost, self.file_size, self.path, "its pickle")

    def _refusal(self, evidence: str) -> UnsafeFile:
        return stores_objects(self.path, evidence)


class _Name(str):
    """The name of a class or function, told apart from a text that reads the same."""


#: What to do with a file that holds more than tensors; written as a program for its author.
CONVERT = "torch.save(model.state_dict(), 'model.pt')"


def stores_objects(path: Path, evidence: str) -> UnsafeFile:
    """The refusal of a file whose loading could run code, with the way out."""
    return UnsafeFile(
        f"{shown(path)} stores Python objects, not only tensors ({evidence}): loading it could run code; "
        f"ask its author for a safetensors file or a state dict: {CONVERT}"
    )
