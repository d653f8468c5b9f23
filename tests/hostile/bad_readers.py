"""Readers that each break one demand, to show that it is noticed from outside. One byte is no file of theirs."""

import ctypes
import os
import time
import warnings

import numpy as np
from case import Case, StoredTensor
from parser_row import Parser, generated

_ONE = StoredTensor(np.arange(4, dtype="<f4").tobytes(), "F32", (2, 2), (2, 1))
_BEYOND = StoredTensor(_ONE.data, "F32", (2, 2), (2, 1), offset=1)


def _case(rng) -> Case:
    return Case({"file": b"x"}, "one byte", ({"a": (_ONE,), "beyond": (_BEYOND,)},))


def _when_measured(fault):
    """Valid files are read first, unmeasured: the fault waits for an input."""
    return lambda path: fault(path) if path.read_bytes() == b"x" else None


def _kill(number: int):
    return lambda path: os.kill(os.getpid(), number)


def _fill(path) -> None:
    np.ones(80_000_000, np.uint8)


def _answer(name: str, values, rows=None):
    return lambda path: {(name, rows): np.array(values, np.float64)}


_FAULTS = {
    "a wild read": lambda path: ctypes.string_at(1),
    "killed": _kill(9),
    "aborted": _kill(6),
    "an end": lambda path: os._exit(3),
    "80 MB for one byte": _fill,
    "a hang": lambda path: time.sleep(60),
    "a word on stdout": lambda path: print("a word", flush=True),
    "a word on stderr, past Python": lambda path: os.write(2, b"a word\n"),
    "a warning": lambda path: warnings.warn("a word", RuntimeWarning, stacklevel=1),
    "other numbers": _answer("a", [[0, 1], [2, 4]]),
    "another shape": _answer("a", [0, 1, 2, 3]),
    "another row": _answer("a", [[0, 1]], (1, 2)),
    "numbers beyond the record": _answer("beyond", [[1, 2], [3, 0]]),
    "an error of Python": lambda path: 1 // 0,
    "a process": lambda path: os.system("true"),
    "a file outside": lambda path: open("/etc/passwd").close(),
    "the right numbers": _answer("a", [[0, 1], [2, 3]]),
    "the right row": _answer("a", [[2, 3]], (1, 2)),
    "60 MB that a file may cost": lambda path: np.ones(60_000_000, np.uint8) is None,
}
PARSERS: dict[str, Parser] = {
    name: generated(name, "file", (b"seed",), _case, _when_measured(fault)) for name, fault in _FAULTS.items()
}
