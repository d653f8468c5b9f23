"""What is demanded of a reader of a stranger's file, whatever its bytes.

It returns, or raises one of the package's own errors with one line; within SECONDS; without starting a process, opening
a connection, or opening a file outside the folder; and without allocating more than twice the file's size and 64 MB.
"""

import os
import resource
import signal
import sys
import tracemalloc
from pathlib import Path

from parsers import Parser

from mamba_dynamics._allowance import allowance
from mamba_dynamics._errors import MambaDynamicsError

#: An input takes milliseconds; a machine that is busy, more.
SECONDS = 20
#: Beyond the bound, for what the system counts and Python does not: stacks, a mapped file, pages of the allocator.
_SLACK = 64_000_000

_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn", "subprocess.Popen")
_FORBIDDEN += ("socket.", "ctypes.dlopen", "exec", "os.remove", "os.chmod", "shutil.", "webbrowser.open")


class Broken(AssertionError):
    """A demand that was not met."""


class _Guard:
    """An audit hook that is on while a reader works."""

    def __init__(self):
        self.folder: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if self.folder is None:
            return
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.fsdecode(arguments[0])
            library = path.startswith((sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)))
            if not library and not os.path.realpath(path).startswith(self.folder):
                self.seen.append(f"opened {path}")
        elif event.startswith(_FORBIDDEN) and not _is_compiled_by_a_library(event, arguments):
            self.seen.append(f"{event} {str(arguments)[:200]}")


def _is_compiled_by_a_library(event: str, arguments: tuple) -> bool:
    """Imports and dataclasses run code objects of the installation; none of them comes from the file."""
    return event == "exec" or (event == "os.remove" and ".partial" in str(arguments))


_GUARD: _Guard | None = None


def check(parser: Parser, path: Path, data: bytes, *, traced: bool = False) -> str:
    """Read `data` at `path`; "read" or the name of the error. Raises `Broken`."""
    global _GUARD
    _GUARD = _GUARD or _Guard()
    path.write_bytes(data)
    own_process = parser.name == "tokenizer"
    limits = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS * (6 if own_process else 1))
    if not own_process:
        resource.setrlimit(resource.RLIMIT_AS, (taken + allowance(len(data)) + _SLACK, limits[1]))
    if traced:
        tracemalloc.start()
    top = path.parents[len(Path(parser.file).parts) - 1]
    _GUARD.folder, _GUARD.seen = None if own_process else os.path.realpath(top), []
    try:
        parser.read(path)
        answer = "read"
    except MambaDynamicsError as error:
        answer = type(error).__name__
        if "\n" in str(error) or len(str(error)) > 2000:
            raise Broken(f"a message that is no line: {str(error)[:300]!r}") from error
    except Broken:
        raise
    except BaseException as error:
        raise Broken(f"{type(error).__name__}: {str(error)[:300]}") from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        seen, _GUARD.folder = _GUARD.seen, None
        peak = tracemalloc.get_traced_memory()[1] if traced else 0
        if traced:
            tracemalloc.stop()
    if seen:
        raise Broken(f"it {seen[0]}")
    if peak > allowance(len(data)):
        raise Broken(f"it took {peak} bytes for a file of {len(data)}")
    return answer


def _too_late(*_) -> None:
    raise Broken(f"no answer within {SECONDS} seconds")
