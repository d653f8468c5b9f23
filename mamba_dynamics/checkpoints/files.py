"""Regular files, opened without following surprises and read only while they stay the same.

A path from a stranger's folder may be a named pipe that never answers, a device, or a link. So a
file is looked at before it is opened, opened without waiting, and looked at again. A `WeightFile`
remembers which file it saw (device, inode, size, time of last change); every later read compares,
so that a file truncated or replaced meanwhile is reported and never half believed.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from .._errors import CheckpointError, CorruptFile, UnsafeFile
from .._files import kind_of
from .base import shown

Identity = tuple[int, int, int, int]

# O_NONBLOCK: opening a pipe put in the file's place after the first look must not wait for a writer.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class StoredFile(Protocol):
    """A file that is read in ranges, wherever it lies, and stays the one first seen."""

    @property
    def path(self) -> Path:
        """Where it lies, for messages; the last part is its name."""
        ...

    @property
    def size(self) -> int: ...

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        """`count` bytes from `offset` on. Raises `CorruptFile` if this is not the file first seen."""
        ...


@dataclass(frozen=True)
class WeightFile:
    """A regular file as it was when first seen."""

    path: Path
    size: int
    identity: Identity

    @classmethod
    def at(cls, path: Path) -> "WeightFile":
        """Look at `path`. Raises `CheckpointError` if absent, `UnsafeFile` if not a regular file."""
        with open_regular(path) as file:
            identity = _identity(os.fstat(file.fileno()))
        return cls(path=path, size=identity[2], identity=identity)

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        """`count` bytes from `offset` on. Raises `CorruptFile` if this is not the file first seen."""
        with self._unchanged() as file:
            if offset < 0 or count < 0 or offset + count > self.size:
                raise CorruptFile(
                    f"{shown(self.path)} ends at byte {self.size}, before byte {offset + count}: is it cut short?"
                )
            data = np.empty(count, np.uint8)
            view, done = data.data, 0
            file.seek(offset)
            while done < count and (got := file.readinto(view[done:])):  # type: ignore[attr-defined]
                done += got
            if done < count:
                raise _changed(self.path)
        return data

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Around a reader that opens the file by itself: `CorruptFile` if it changed before or meanwhile."""
        with self._unchanged():
            yield

    @contextmanager
    def _unchanged(self) -> Iterator[BinaryIO]:
        try:
            with open_regular(self.path) as file:
                self._compare(file)
                yield file
                self._compare(file)
        except (FileNotFoundError, _Absent):
            raise _changed(self.path) from None

    def _compare(self, file: BinaryIO) -> None:
        if _identity(os.fstat(file.fileno())) != self.identity:
            raise _changed(self.path)


@dataclass(frozen=True)
class FilePart:
    """A part of a file, read as a file of its own; `path` is that of the whole."""

    whole: StoredFile
    begin: int
    size: int

    @property
    def path(self) -> Path:
        return self.whole.path

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        """`count` bytes from `offset` on. Raises `CorruptFile` outside the part."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise CorruptFile(
                f"the file inside {shown(self.path)} ends at byte {self.size}, before byte {offset + count}: is it cut "
                "short?"
            )
        return self.whole.read(self.begin + offset, count)


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading, unbuffered; links in `path` are followed."""
    try:
        _require_regular(path, os.stat(path))
        descriptor = os.open(path, _OPEN_FLAGS)
    except FileNotFoundError:
        raise _Absent(f"no file at {shown(path)}: check the path, or download the file again") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CheckpointError(f"{shown(path)} cannot be opened: {reason}") from None
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        _require_regular(path, os.fstat(descriptor))
        yield file  # type: ignore[misc]


def _require_regular(path: Path, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    raise UnsafeFile(f"{shown(path)} is {kind_of(status.st_mode)}, expected a regular file with weights")


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class _Absent(CheckpointError):
    """There is no such file; told apart so that a file which vanished is reported as changed."""


def _changed(path: Path) -> CorruptFile:
    return CorruptFile(f"{shown(path)} was changed, cut short or removed since it was opened; open it again")
