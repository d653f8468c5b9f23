"""Writing files so that a reader finds the old one or the new one, never a part of one.

What is written lies beside its target until it is whole, under a name that nobody can foresee, in a file that did not
exist: the folder may be a stranger's, and a link left there under a known name would lead the writing to another file.
A link at the target itself is replaced, and what it led to stays as it is. Devices, pipes, sockets and what leads to
them are no files that could be written whole: they are refused, not replaced.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

#: Temporary files and folders that are being written, for a process that is told to end.
_unfinished: set[Path] = set()

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_APPENDED = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# Opening a pipe must not wait for its reader.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
#: Links in a chain that are followed; Linux follows as many.
_MOST_LINKS = 40
#: Bytes of a target's name that are repeated in the temporary one: file systems allow 255 in all.
_NAME_BYTES = 100


def kind_of(mode: int) -> str:
    """What is no regular file, in words, by the mode that `stat` tells."""
    return next((words for test, words in _KINDS if test(mode)), "no file")


def require_replaceable(target: Path) -> None:
    """Raises `OSError` unless `target` is absent, a regular file or a link to one, or a link that leads nowhere."""
    try:
        status = os.lstat(target)
    except FileNotFoundError:
        return
    if not stat.S_ISLNK(status.st_mode):
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EEXIST, f"{kind_of(status.st_mode)} in place of a file", str(target))
        return
    if _leads_to_an_open_file(target):
        raise OSError(errno.EEXIST, "a link to an open file of a process", str(target))
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        raise OSError(errno.EEXIST, f"a link to {kind_of(mode)}", str(target))


def write_whole(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a new file and put it in its place in one step; nothing is left of one that fails.

    Raises `OSError` where the target is not to be replaced: see `require_replaceable`.
    """
    require_replaceable(target)
    with _unfinished_beside(target) as temporary:
        with os.fdopen(os.open(temporary, _NEW | _SAFELY, 0o666), "wb") as out:
            write(out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Inside, a new folder is filled; it then becomes `target`, which must not exist, or is removed if that failed."""
    with _unfinished_beside(target) as temporary:
        temporary.mkdir()
        yield temporary
        temporary.rename(target)


def append_line(target: Path, line: bytes) -> None:
    """Add a line to a regular file, and wait until it is on the disk. Raises `OSError` for a link or anything else."""
    with os.fdopen(os.open(target, _APPENDED | _SAFELY | _AT_ONCE, 0o666), "ab") as out:
        mode = os.fstat(out.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EEXIST, f"{kind_of(mode)} in place of a file", str(target))
        out.write(line)
        out.flush()
        os.fsync(out.fileno())


def folder_inside(top: Path, *parts: str) -> Path:
    """The folder top/parts[0]/parts[1]/..., made where it is missing.

    `top` may be a link, as the user says. Raises `OSError` where one of the parts is a link, which would lead out.
    """
    top.mkdir(parents=True, exist_ok=True)
    for part in parts:
        top = top / part
        if top.is_symlink():
            raise OSError(errno.ELOOP, "a link in place of a folder", str(top))
        top.mkdir(exist_ok=True)
    return top


def remove_leftovers(target: Path) -> None:
    """Remove what a killed process left of `target`; to be called when nobody writes it."""
    start = _start(target)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(target.parent):
            token = name.removeprefix(start).removesuffix(_END)
            if name == f"{start}{token}{_END}" and len(token) == _TOKEN and set(token) <= set("0123456789abcdef"):
                _remove(target.with_name(name))


def discard_unfinished() -> None:
    """Remove what is being written, in a process that ends before it is whole."""
    for temporary in list(_unfinished):
        with contextlib.suppress(OSError):
            _remove(temporary)


def _leads_to_an_open_file(link: Path) -> bool:
    """Whether a link is, or leads through, one that the system makes for an open file: /proc/self/fd/1, /dev/stdout."""
    for _ in range(_MOST_LINKS):
        if not link.is_symlink():
            return False
        folder = Path(os.path.realpath(link.parent))
        if folder.parts[:2] == (os.sep, "proc") or folder == Path("/dev"):
            return True
        link = folder / os.readlink(link)
    return False


_END = ".partial"
#: Letters of what nobody can foresee.
_TOKEN = 32


def _start(target: Path) -> str:
    name = os.fsencode(target.name)[:_NAME_BYTES].decode("utf-8", "ignore")
    return f".{name}."


@contextlib.contextmanager
def _unfinished_beside(target: Path) -> Iterator[Path]:
    """A new name beside `target`; nothing is left under it afterwards."""
    temporary = target.with_name(f"{_start(target)}{secrets.token_hex(_TOKEN // 2)}{_END}")
    _unfinished.add(temporary)
    try:
        yield temporary
    finally:
        _remove(temporary)
        _unfinished.discard(temporary)


def _remove(temporary: Path) -> None:
    if temporary.is_dir() and not temporary.is_symlink():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)
