"""Writing files so that a reader finds the old one or the new one, never a part of one."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

#: Temporary files that are being written, for a process that is told to end.
_unfinished: set[Path] = set()


def write_whole(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a new file and put it in its place in one step; nothing is left of one that fails."""
    with in_its_place(target, target.with_name(f".{target.name}.partial")) as temporary, temporary.open("wb") as out:
        write(out)
        out.flush()
        os.fsync(out.fileno())


@contextlib.contextmanager
def in_its_place(target: Path, temporary: Path) -> Iterator[Path]:
    """Inside, `temporary` is written; it then takes the place of `target`, or is removed if that failed."""
    _unfinished.add(temporary)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def discard_unfinished() -> None:
    """Remove what is being written, in a process that ends before it is whole."""
    for temporary in list(_unfinished):
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
