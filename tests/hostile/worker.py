"""A process that reads inputs one after the other while another measures it (`outside`).

    python tests/hostile/worker.py TABLE FOLDER REPLIES

TABLE is a module with PARSERS; REPLIES a file descriptor. Each line of stdin names an input, which is made and written;
after "ready" the worker waits for the line "go", reads, and answers. What is imported by a reader, and what is kept for
ever after its first file, is there before an input is measured: valid files are read first.
"""

import ctypes
import gc
import json
import os
import resource
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from case import Case, wrong_numbers
from guard import Broken, watched
from parser_row import Parser

#: Beyond what the process has, so that a file cannot exhaust the machine before it is noticed.
_MOST_MEMORY = 8_000_000_000


#: Growth after which memory that is free, but was not given back, is given back: it would hide what an input takes.
_KEPT = 4_000_000
_GIVE_BACK = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)


class _Desk:
    """A reader's folder, made ready once, and again after a failure."""

    def __init__(self, parser: Parser, folder: Path):
        self.parser, self.folder = parser, folder
        self.path = parser.prepare(folder)
        for whole in parser.seeds:
            self.path.write_bytes(whole)
            with suppress(Exception):  # what is wrong is said of an input
                parser.read(self.path)

    def write(self, case: Case) -> None:
        if self.parser.writes:
            self.path = self.parser.prepare(self.folder)
        self.parser.put(case, self.path)

    def read(self, case: Case) -> tuple[str, str | None]:
        """("read" or the error's name or "broken", what is broken)."""
        try:
            answer, numbers = watched(self.parser, self.path)
            fault = wrong_numbers(case, numbers)
        except Broken as error:
            answer, fault = "broken", str(error)
        if fault is not None:
            self.path = self.parser.prepare(self.folder)
            return "broken", fault
        return answer, None


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    table, folder = import_module(sys.argv[1]).PARSERS, Path(sys.argv[2])
    replies = os.fdopen(int(sys.argv[3]), "w", buffering=1)
    warnings.simplefilter("always")  # a warning is a line on stderr, which must stay empty
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    desks: dict[str, _Desk] = {}
    had = 0
    for line in sys.stdin:
        name, seed, number = json.loads(line)
        if name not in desks:
            desks[name] = _Desk(table[name], folder / name.replace(" ", "-"))
        case = table[name].case(seed, number)
        desks[name].write(case)
        if _resident() > had + _KEPT:
            gc.collect()
            _GIVE_BACK(0)
            had = _resident()
        print(json.dumps(["ready", case.size]), file=replies)
        sys.stdin.readline()
        print(json.dumps(desks[name].read(case)), file=replies)


if __name__ == "__main__":
    main()
