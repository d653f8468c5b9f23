"""What a reader may not do while it works: start a process, open a connection, or a file outside its folder."""

import os
import sys
from pathlib import Path

from parser_row import Parser

from mamba_dynamics._errors import MambaDynamicsError

_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn", "subprocess.Popen")
_FORBIDDEN += ("socket.", "ctypes.dlopen", "exec", "os.remove", "os.chmod", "shutil.", "webbrowser.open")


class Broken(AssertionError):
    """A demand that was not met."""


class Guard:
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
            library = path.startswith((sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), *_SOURCES))
            if not library and not os.path.realpath(path).startswith(self.folder):
                self.seen.append(f"opened {path}")
        elif event.startswith(_FORBIDDEN) and not _is_compiled_by_a_library(event, arguments):
            self.seen.append(f"{event} {str(arguments)[:200]}")


#: Python may read the package's modules, which need not be installed, and these, of which a warning shows a line.
_SOURCES = (os.path.dirname(sys.modules["mamba_dynamics"].__file__ or ""), os.path.dirname(__file__))


def _is_compiled_by_a_library(event: str, arguments: tuple) -> bool:
    """Imports and dataclasses run code objects of the installation; none of them comes from the file."""
    return event == "exec" or (event == "os.remove" and ".partial" in str(arguments))


_GUARD: Guard | None = None


def watched(parser: Parser, path: Path) -> tuple[str, object]:
    """("read", what was read), or (the error's name, None); `Broken` for any other end, and for what is forbidden."""
    global _GUARD
    _GUARD = _GUARD or Guard()
    top = path.parents[len(Path(parser.file).parts) - 1]
    _GUARD.folder, _GUARD.seen = None if parser.own_process else os.path.realpath(top), []
    try:
        answer: tuple[str, object] = "read", parser.read(path)
    except MambaDynamicsError as error:
        answer = type(error).__name__, None
        if "\n" in str(error) or len(str(error)) > 2000:
            raise Broken(f"a message that is no line: {str(error)[:300]!r}") from error
    except Broken:
        raise
    except BaseException as error:
        raise Broken(f"{type(error).__name__}: {str(error)[:300]}") from error
    finally:
        seen, _GUARD.folder = _GUARD.seen, None
    if seen:
        raise Broken(f"it {seen[0]}")
    return answer
