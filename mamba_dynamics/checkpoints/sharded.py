"""Index files: one JSON table `weight_map` that says which shard holds which tensor.

The names in the table are a stranger's words: a shard must be the bare name of a file in the index file's folder
(see `folder` for what links there may do).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import CheckpointError, CorruptFile
from .base import Archive, find, require_text_names, shown
from .files import StoredFile
from .folder import Folder
from .json_text import MAX_JSON_BYTES, json_object
from .weight_names import shard_of


class ShardedArchive(Archive):
    """The tensors of several files behind one index."""

    def __init__(self, index: StoredFile, folder: Folder, open_shard: Callable[[StoredFile], Archive]):
        """Read the index and open every shard it names.

        Arguments:
            index: the index file.
            folder: where the shards lie.
            open_shard: opens one weight file.
        """
        self.path = path = index.path
        self.folder = path.parent
        shard_of = weight_map(index)
        shards = {name: _open(name, path, folder, open_shard) for name in sorted(set(shard_of.values()))}
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


def weight_map(index: StoredFile) -> dict[str, str]:
    """{tensor: shard} of an index file. Raises `CorruptFile`."""
    path = index.path
    if index.size > MAX_JSON_BYTES:
        raise CorruptFile(f"{shown(path)} has {index.size} bytes, too many for an index of shards")
    table: Any = json_object(index.read(0, index.size).tobytes(), path, "the index").get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(shard, str) for shard in table.values()):
        raise CorruptFile(f"{shown(path)} has no weight_map from tensor names to file names")
    require_text_names(table, path)
    return table


def shard_words(file: StoredFile, folder: Folder) -> str | None:
    """What a file that is one shard of a model is, with the next step: follows "is"; None for any other file."""
    shard = shard_of(file.path.name)
    if shard is None:
        return None
    try:
        indexed = folder.find(shard.index) is not None
    except CheckpointError:
        indexed = False
    if indexed:
        step = f"open the folder {shown(folder.path)}, whose index {shown(shard.index)} names all shards"
    else:
        step = (
            f"put all shards and {shown(shard.index)} into one folder (download what is missing), and open the folder"
        )
    return f"shard {shard.number} of {shard.count} of a model; {step}"


def _open(name: str, index: Path, folder: Folder, open_shard: Callable[[StoredFile], Archive]) -> Archive:
    file = folder.find(name)
    if file is None:
        raise CheckpointError(
            f"shard {shown(name)} named by {shown(index)} is missing: download it into the same folder"
        )
    return open_shard(file)


def _common_format(shards: tuple[Archive, ...], path: Path) -> str:
    formats = {shard.format for shard in shards}
    if len(formats) > 1:
        raise CheckpointError(f"{shown(path)} mixes shards of several formats: {', '.join(sorted(formats))}")
    return f"{formats.pop()}-sharded"
