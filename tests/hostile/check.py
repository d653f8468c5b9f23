"""What is demanded of a reader of a stranger's file, whatever its bytes; checked within this process.

It returns, or raises one of the package's own errors with one line; within SECONDS; without starting a process, opening
a connection, or opening a file outside the folder; and without allocating more than twice the file's size and 64 MB.
"""

import resource
import signal
import tracemalloc
from pathlib import Path

from guard import Broken as Broken
from guard import watched
from parser_row import Parser

from mamba_dynamics._allowance import allowance

#: An input takes milliseconds; a machine that is busy, more.
SECONDS = 20
#: Beyond the bound, for what the system counts and Python does not: stacks, a mapped file, pages of the allocator.
_SLACK = 64_000_000


def check(parser: Parser, path: Path, data: bytes, *, traced: bool = False) -> str:
    """Read `data` at `path`; "read" or the name of the error. Raises `Broken`."""
    path.write_bytes(data)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS * (6 if parser.own_process else 1))
    if not parser.own_process:
        resource.setrlimit(resource.RLIMIT_AS, (taken + allowance(len(data)) + _SLACK, limits[1]))
    if traced:
        tracemalloc.start()
    try:
        answer, _ = watched(parser, path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        peak = tracemalloc.get_traced_memory()[1] if traced else 0
        if traced:
            tracemalloc.stop()
    if peak > allowance(len(data)):
        raise Broken(f"it took {peak} bytes for a file of {len(data)}")
    return answer


def _too_late(*_) -> None:
    raise Broken(f"no answer within {SECONDS} seconds")
