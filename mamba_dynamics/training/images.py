"""Image classification: IDX files (the format of MNIST), each image cut into a sequence of patches.

IDX: two zero bytes, a type code (8: unsigned bytes), the number of axes, each axis as a big-endian 32-bit number, data.
"""

import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import equinox as eqx
import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from .._allowance import allowance
from .._errors import CheckpointError, DataError
from ..checkpoints.base import shown
from ..checkpoints.files import open_regular
from .batches import AbstractTask, PatchBatch, generator
from .data_files import data_file

_UNSIGNED_BYTES = 8
_GZIP = b"\x1f\x8b"
#: No file of images that a CPU trains on is larger.
MOST_BYTES = 1 << 30
_CHUNK = 1 << 20


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """The array of an IDX file of unsigned bytes, gzipped or not.

    Raises:
        DataError: not such a file, more than `MOST_BYTES` in it, or more than a file of its size may cost.
    """
    path = Path(path)
    try:
        with open_regular(path) as raw:
            size = os.fstat(raw.fileno()).st_size
            gzipped = raw.read(2) == _GZIP
            raw.seek(0)
            with gzip.open(raw) if gzipped else nullcontext(cast(io.BufferedIOBase, raw)) as file:
                return _parse(file, path, size)
    except (OSError, EOFError, zlib.error, CheckpointError) as error:
        raise DataError(f"expected an IDX file, found {shown(error)} in {shown(path)}: download it again") from error


def _parse(file: "io.BufferedIOBase | gzip.GzipFile", path: Path, file_size: int) -> NDArray[np.uint8]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != _UNSIGNED_BYTES or not 1 <= magic[3] <= 4:
        raise DataError(
            f"expected an IDX file of unsigned bytes, found one that begins with {magic.hex()}: {shown(path)}"
        )
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise DataError(
            f"expected {magic[3]} axes, found a file that ends before them: {shown(path)}; download it again"
        )
    shape = struct.unpack(f">{magic[3]}I", header)
    size = math.prod(shape)
    if size > min(MOST_BYTES, allowance(file_size)):
        raise DataError(
            f"expected at most {min(MOST_BYTES, allowance(file_size))} bytes of images, found a shape of {shape} in "
            f"{shown(path)}; if it is a true set that is packed very well, unpack it first"
        )
    data = np.empty(size + 1, np.uint8)
    view, done = data.data, 0
    while done <= size and (got := file.readinto(view[done : done + _CHUNK])):
        done += got
    if done != size:
        found = "more" if done > size else str(done)
        raise DataError(
            f"expected {size} bytes for the shape {shape}, found {found} in {shown(path)}; download it again"
        )
    return data[:size].reshape(shape)


def patches(images: UInt8[np.ndarray, "B H W"], side: int) -> NDArray[np.float32]:
    """Each image as its side x side patches, row by row: (B, L, side^2), pixels from 0 to 1.

    Raises:
        DataError: the side divides neither height nor width.
    """
    count, height, width = images.shape
    if not images.size:
        raise DataError(f"expected images with pixels, found {count} of {height} x {width}: check --data")
    if height % side or width % side:
        raise DataError(f"expected patches whose side divides {height} x {width}, found {side}: choose a divisor")
    cut = images.reshape(count, height // side, side, width // side, side).transpose(0, 1, 3, 2, 4)
    return (cut.reshape(count, -1, side * side) / np.float32(255)).astype(np.float32)


class Classification(AbstractTask):
    """Tell the class of an image from its patches; each epoch sees every training image once, in a new order."""

    images: NDArray[np.float32]
    labels: NDArray[np.int32]
    held_out_images: NDArray[np.float32]
    held_out_labels: NDArray[np.int32]
    batch_size: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    def __check_init__(self):
        for images, labels in ((self.images, self.labels), (self.held_out_images, self.held_out_labels)):
            if len(images) != len(labels):
                raise DataError(f"expected a label for each image, found {len(labels)} labels and {len(images)} images")
        if not 1 <= self.batch_size <= len(self.images):
            raise DataError(f"expected a batch of 1 to {len(self.images)} images, found {self.batch_size}")

    @property
    def classes(self) -> int:
        return int(max(self.labels.max(), self.held_out_labels.max())) + 1

    def batch(self, step: int) -> PatchBatch:
        per_epoch = len(self.images) // self.batch_size
        epoch, place = divmod(step - 1, per_epoch)
        order = generator(self.seed, epoch).permutation(len(self.images))
        chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
        return PatchBatch(self.images[chosen], self.labels[chosen])

    def held_out(self) -> Iterator[PatchBatch]:
        for first in range(0, len(self.held_out_images), self.batch_size):
            part = slice(first, first + self.batch_size)
            yield PatchBatch(self.held_out_images[part], self.held_out_labels[part])


def mnist(folder: str | Path, *, side: int, training: int, batch_size: int, seed: int) -> Classification:
    """The first `training` images and labels of the IDX files in a folder to train on, the rest held out.

    Raises:
        DataError: not one images file (three axes) and one labels file (one axis) there, or too few images.
    """
    names = sorted(path.name for path in Path(folder).glob("*idx*"))
    arrays = [read_idx(data_file(Path(folder), name)) for name in names]
    images, labels = ([one for one in arrays if one.ndim == axes] for axes in (3, 1))
    if len(images) != 1 or len(labels) != 1:
        raise DataError(
            f"expected one IDX file of images and one of labels in {folder}, found {len(images)} and {len(labels)}: "
            "check --data"
        )
    if not 0 < training < len(images[0]):
        raise DataError(f"expected to train on 1 to {len(images[0]) - 1} images, found {training}")
    cut, classes = patches(images[0], side), labels[0].astype(np.int32)
    return Classification(
        images=cut[:training],
        labels=classes[:training],
        held_out_images=cut[training:],
        held_out_labels=classes[training:],
        batch_size=batch_size,
        seed=seed,
    )
