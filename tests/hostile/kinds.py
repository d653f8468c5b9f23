"""The kinds of fault that readers of this package had, and how soon the generators find each.

    PYTHONPATH=FOLDER_OF_AN_OLDER_VERSION python tests/hostile/fuzz.py --until-each-kind

An older version is put first on the path; the table says which input found a kind, and after how many seconds. The
search ends with code 0 if all were found: a check of the fuzzer, and not of the readers that are imported here.
"""

import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from guard import Broken
from outside import Watched
from parsers import PARSERS


@dataclass(frozen=True)
class Kind:
    """A fault: what is broken (`why`), in inputs of which reader, and, where it matters, what was done to them."""

    name: str
    parser: str
    why: str
    says: str = ""


KINDS = (
    Kind("state over a tensor's method: wrong numbers", "torch: pickle", "wrong numbers", "state on a tensor"),
    Kind("state over a tensor's method: a signal", "torch: pickle", "^signal", "state on a tensor"),
    Kind("state over a tensor's method: a traceback", "torch: pickle", r"^\w+Error", "state on a tensor"),
    Kind("two zip directories: memory", "torch: zip", "resident memory", "two directories"),
    Kind("a huge axis beside an empty one: memory", "tensor tables", "resident memory|^MemoryError"),
    Kind("another rank or length: IndexError", "tensor tables", "^IndexError"),
    Kind("another rank or length: ValueError", "tensor tables", "^ValueError"),
    Kind("a layer without heads: ZeroDivisionError", "tensor tables", "^ZeroDivisionError"),
    Kind("a config's number beyond float64", "configs", "^OverflowError"),
    Kind("npy: a shape that overflows", "npy: header", "^ValueError"),
    Kind("npy: an axis True", "npy: header", "^TypeError"),
    Kind("npy: a signalling NaN warns", "npy: header", "it wrote .*RuntimeWarning"),
    Kind("many keys of JSON, one twice: memory", "floods of JSON", "resident memory"),
)


def search(processes: Sequence[Watched], names: Sequence[str], *, seed: int, seconds: float) -> int:
    """Give each reader inputs until the kinds known of it are found; `seconds` for each. The exit code."""
    print(f"{'kind':46} {'reader':16} {'input':>7} {'seconds':>8}")
    missing = 0
    for name in dict.fromkeys(kind.parser for kind in KINDS if kind.parser in (names or PARSERS)):
        wanted = [kind for kind in KINDS if kind.parser == name]
        found = _found(name, wanted, processes, seed, seconds * len(wanted))
        for kind in wanted:
            if kind not in found:
                print(f"{kind.name:46} {name:16} not found", flush=True)
        missing += len(wanted) - len(found)
    return 1 if missing else 0


def _found(
    name: str, wanted: list[Kind], processes: Sequence[Watched], seed: int, seconds: float
) -> dict[Kind, tuple[int, float]]:
    """The first input of each kind, and the seconds after which it was found."""
    found: dict[Kind, tuple[int, float]] = {}
    began, parser = time.monotonic(), PARSERS[name]

    def feed(process: Watched, number: int) -> None:
        while len(found) < len(wanted) and time.monotonic() - began < seconds:
            try:
                process.answer(name, seed, number)
            except Broken as error:
                says = parser.case(seed, number).says
                for kind in wanted:
                    if kind not in found and re.search(kind.why, str(error)) and kind.says in says:
                        found[kind] = number, time.monotonic() - began
                        print(f"{kind.name:46} {name:16} {number:7} {found[kind][1]:8.1f}", flush=True)
            number += len(processes)

    with ThreadPoolExecutor(len(processes)) as pool:
        list(pool.map(feed, processes, range(len(processes))))  # an error of a generator is raised here
    return found
