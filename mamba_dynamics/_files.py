"""Writing files so that a reader finds the old one or the new one, never a part of one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_whole(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a new file and put it in its place in one step; nothing is left of one that fails."""
    temporary = target.with_name(f".{target.name}.partial")
    try:
        with temporary.open("wb") as out:
            write(out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
