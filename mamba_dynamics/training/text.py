"""Language modelling on bytes: any text file, or every file of a folder, read as it is."""

from collections.abc import Iterator
from pathlib import Path

import equinox as eqx
import numpy as np
from numpy.typing import NDArray

from .._errors import DataError
from .batches import AbstractTask, TokenBatch, generator
from .data_files import read_data_file

#: Byte values: the vocabulary of a model on bytes.
BYTE_VALUES = 256
#: Between two files of a folder.
END_OF_FILE = b"\0"

#: First part of the keys of random numbers, so that no two uses share any.
_WINDOWS, _LENGTHS = 1, 2

Bytes = NDArray[np.uint8]


def read_bytes(path: str | Path) -> Bytes:
    """A file's bytes, or those of all files below a folder in sorted order, each closed by a zero byte.

    Links are not followed, and only regular files are read.

    Raises:
        DataError: nothing there, or nothing in it.
    """
    path = Path(path)
    if path.is_dir():
        inside = sorted(one.relative_to(path) for one in path.rglob("*") if one.is_file() and not one.is_symlink())
        parts = [part for one in inside for part in (read_data_file(path / one), END_OF_FILE)]
    elif path.is_file():
        parts = [read_data_file(path)]
    else:
        raise DataError(f"expected a text file or a folder of them, found nothing at {path}: check --data")
    text = parts[0] if len(parts) == 1 else b"".join(parts)
    if len(text) < 2:
        raise DataError(f"expected at least two bytes of text, found {len(text)} in {path}: check --data")
    return np.frombuffer(text, np.uint8)


def split(text: Bytes, held_out: float = 0.1) -> tuple[Bytes, Bytes]:
    """(all but the last part, the last part), `held_out` being its share."""
    cut = round(len(text) * (1 - held_out))
    return text[:cut], text[cut:]


class NextByte(AbstractTask):
    """Predict the next byte. A step's windows all have one length, drawn from `lengths`; B x L is `batch_bytes`.

    `evaluation_bytes` bounds how much of the held-out text an evaluation reads, in windows of the longest length spread
    over all of it; None reads all.
    """

    training: Bytes
    validation: Bytes
    lengths: tuple[int, ...] = eqx.field(static=True)
    batch_bytes: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)
    evaluation_bytes: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        longest, shortest = max(self.lengths), min(self.lengths)
        for name, text in (("training", self.training), ("held-out", self.validation)):
            if len(text) <= longest:
                raise DataError(
                    f"expected a {name} text longer than a window of {longest} bytes, found {len(text)} bytes: "
                    "shorten the window or give more text"
                )
        if shortest < 1 or any(self.batch_bytes % length for length in self.lengths):
            raise DataError(
                f"expected window lengths that divide the {self.batch_bytes} bytes of a batch, found {self.lengths}: "
                "choose powers of two"
            )

    def batch(self, step: int) -> TokenBatch:
        length = int(generator(self.seed, _LENGTHS, step).choice(self.lengths))
        count = self.batch_bytes // length
        starts = generator(self.seed, _WINDOWS, step).integers(0, len(self.training) - length, count)
        return windows(self.training, starts, length)

    def held_out(self) -> Iterator[TokenBatch]:
        length = max(self.lengths)
        count = max(1, self.batch_bytes // length)
        starts = np.arange(0, len(self.validation) - length, length)
        if self.evaluation_bytes is not None:
            wanted = max(1, self.evaluation_bytes // length)
            starts = starts[:: max(1, len(starts) // wanted)]
        for first in range(0, len(starts), count):
            yield windows(self.validation, starts[first : first + count], length)


def windows(text: Bytes, starts: NDArray[np.integer], length: int) -> TokenBatch:
    """The windows of `length` bytes that begin at `starts`; every next byte counts once."""
    cut = text[np.asarray(starts)[:, None] + np.arange(length + 1)].astype(np.int32)
    return TokenBatch(cut[:, :-1], cut[:, 1:], np.ones((len(cut), length), np.float32))
