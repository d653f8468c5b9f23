"""Index files: one JSON table `weight_map` that says which shard holds which tensor.

The names in the table are a stranger's words. A shard must be a bare file name, and the file it
leads to, links included, must be a regular file inside `root`: the index file's folder, or for a
Hugging Face cache the model's folder, whose blobs the snapshot's files link to.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import CheckpointError, CorruptFile
from .base import Archive, find, require_text_names, shown
from .files import WeightFile
from .folder import inside
from .json_text import MAX_JSON_BYTES, json_object


class ShardedArchive(Archive):
    """The tensors of several files behind one index."""

    def __init__(self, path: Path, root: Path, open_shard: Callable[[Path], Archive]):
        """Read the index and open every shard it names.

        Arguments:
            path: the index file.
            root: the folder that no shard may lie outside of.
            open_shard: opens one weight file.
        """
        self.path = path
        self.folder = path.parent
        shard_of = _weight_map(path)
        shards = {name: _open(name, path, root, open_shard) for name in sorted(set(shard_of.values()))}
        self._shards = tuple(shards.values())
        self._archives = {tensor: shards[shard] for tensor, shard in shard_of.items()}
        for tensor, shard in shard_of.items():
            if tensor not in shards[shard]:
                raise CorruptFile(
                    f"{shown(path)} places tensor {shown(tensor)} in {shown(shard)}, which does not hold it: "
                    "is the shard of another version? download both again"
                )
        self.format = _common_format(self._shards, path)
        self.bytes_total = sum(shard.bytes_total for shard in self._shards)
        self.names = tuple(sorted(self._archives))

    @property
    def bytes_read(self) -> int:
        return sum(shard.bytes_read for shard in self._shards)

    def __contains__(self, name: object) -> bool:
        return name in self._archives

    def shape(self, name: str) -> tuple[int, ...]:
        return find(self._archives, name, self.path).shape(name)

    def dtype(self, name: str) -> str:
        return find(self._archives, name, self.path).dtype(name)

    def read(self, name: str, rows: slice | None = None) -> NDArray[np.floating]:
        return find(self._archives, name, self.path).read(name, rows)


def _weight_map(path: Path) -> dict[str, str]:
    file = WeightFile.at(path)
    if file.size > MAX_JSON_BYTES:
        raise CorruptFile(f"{shown(path)} has {file.size} bytes, too many for an index of shards")
    table: Any = json_object(file.read(0, file.size).tobytes(), path, "the index").get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(shard, str) for shard in table.values()):
        raise CorruptFile(f"{shown(path)} has no weight_map from tensor names to file names")
    require_text_names(table, path)
    return table


def _open(name: str, index: Path, root: Path, open_shard: Callable[[Path], Archive]) -> Archive:
    path = inside(index.parent, name, root)
    if path is None:
        raise CheckpointError(
            f"shard {shown(name)} named by {shown(index)} is missing: download it into the same folder"
        )
    return open_shard(path)


def _common_format(shards: tuple[Archive, ...], path: Path) -> str:
    formats = {shard.format for shard in shards}
    if len(formats) > 1:
        raise CheckpointError(f"{shown(path)} mixes shards of several formats: {', '.join(sorted(formats))}")
    return f"{formats.pop()}-sharded"
