"""Folders of weights: which file to read, and which folder none of its files may leave.

A Hugging Face cache keeps a model in `models--ORG--NAME/`: `blobs/` holds the files under names of
their content, `snapshots/REVISION/` holds links to them under their real names, `refs/main` holds
the name of the revision that the main branch pointed to. Links there leave the snapshot but not
the model's folder; in any other folder they must stay inside it.

A `Folder` lists names and finds files; a `LocalFolder` is one on this machine, a model on a hub (`hub`) is another.
"""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .._errors import CheckpointError, UnsafeFile
from .base import shown
from .files import StoredFile, WeightFile
from .weight_names import preferred, shards_among, weights_among

_EXPECTED = "expected a .safetensors file, an .index.json with its shards, or a .bin, .pt, .pth or .ckpt file"
_MAX_REVISION_BYTES = 1000

#: How far below a folder weights are looked for, among how many names, and how many folders a message tells.
_DEEPEST, _MOST_LOOKED_AT, _MOST_NAMED = 3, 2000, 4
#: Of several folders, these are the model itself: of a diffusion pipeline, of a repository with several parts.
_MODELS = ("transformer", "unet", "model", "backbone")


class Folder(Protocol):
    """A place of files with bare names: where a checkpoint's weights lie, its config and its tokenizer."""

    @property
    def path(self) -> Path:
        """The folder, for messages."""
        ...

    @property
    def revision(self) -> str | None:
        """The commit whose files these are, where the place knows it."""
        ...

    @property
    def bytes_fetched(self) -> int | None:
        """What came over a network so far; None where reading needs none."""
        ...

    def names(self) -> list[str]:
        """The names of all files."""
        ...

    def find(self, name: str) -> StoredFile | None:
        """A file, or None if absent; `UnsafeFile` if `name` is no bare name or leads out of the folder."""
        ...


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine."""

    path: Path
    revision: str | None = None
    bytes_fetched: None = None

    def names(self) -> list[str]:
        return _listing(self.path)

    def find(self, name: str) -> WeightFile | None:
        path = inside(self.path, name, allowed_root(self.path))
        return None if path is None else WeightFile.at(path)


def local_folder(path: Path) -> LocalFolder:
    """A folder, or the snapshot of the main branch in a model's Hugging Face cache folder."""
    return LocalFolder(_only_snapshot(path) if _is_cache(path) else path)


def weight_file_in(folder: Folder) -> StoredFile:
    """The file to read in a folder.

    Raises `CheckpointError` if there is none or no single choice, `UnsafeFile` if it leads out.
    """
    name = _choice(folder)
    file = folder.find(name)
    if file is None:
        raise CheckpointError(f"{shown(folder.path / name)} is a link to a missing file: download the model again")
    return file


def allowed_root(folder: Path) -> Path:
    """The folder that links in `folder` may not leave, itself free of links."""
    folder = folder.resolve()
    cache = folder.parent.parent
    return cache if folder.parent.name == "snapshots" and _is_cache(cache) else folder


def inside(folder: Path, name: str, root: Path) -> Path | None:
    """The file `name` of `folder`, or None if absent; `UnsafeFile` if it is no bare name or leads out of `root`."""
    require_bare(name, folder)
    path = folder / name
    try:
        target = path.resolve(strict=True)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{shown(path)} cannot be opened: {shown(error)}") from None
    if not target.is_relative_to(root):
        raise UnsafeFile(f"{shown(path)} is a link out of {shown(root)}: put the file itself there if you trust it")
    return path


def require_bare(name: str, folder: Path) -> None:
    """Raise `UnsafeFile` for what is not the name of a file in `folder` itself."""
    if name in ("", ".", "..") or any(sign in name for sign in "/\\\0:"):
        raise UnsafeFile(f"{shown(name)} in {shown(folder)} is not a bare file name, so it could lead anywhere")


def _choice(folder: Folder) -> str:
    names = folder.names()
    found = preferred(weights_of(folder))
    if not found and isinstance(folder, LocalFolder) and (below := list(folders_with_weights(folder.path))):
        raise WeightsBelow(_weights_below(folder.path, below))
    found = found or preferred(names)
    if not found:
        raise CheckpointError(f"no weights in {shown(folder.path)}: {_EXPECTED}")
    if len(found) > 1:
        raise CheckpointError(_several(folder, found))
    return found[0]


def weights_of(folder: Folder) -> list[str]:
    """The names of a folder's weight files and indexes of shards."""
    return weights_among(name for name in folder.names() if not _is_folder(folder, name))


def _is_folder(folder: Folder, name: str) -> bool:
    """Whether a name that ends like weights' is a folder's: Lightning names one `last.ckpt`."""
    return isinstance(folder, LocalFolder) and bool(weights_among([name])) and os.path.isdir(folder.path / name)


def _several(folder: Folder, found: list[str]) -> str:
    shard = shards_among(found)
    if shard is None:
        return (
            f"{shown(folder.path)} holds {len(found)} weight files, such as {shown(found[0])} and "
            f"{shown(found[1])}: give the path of one of them"
        )
    left = shard.count - len(found)
    lacking = f" the other {left} shard{'' if left == 1 else 's'} and" if left > 0 else ""
    return (
        f"{shown(folder.path)} holds {len(found)} of a model's {shard.count} shards, such as {shown(found[0])}, but no "
        f"index of them: download{lacking} {shown(shard.index)} into it, and open the folder"
    )


class WeightsBelow(CheckpointError):
    """A folder holds no weights, but folders in it do; told apart because no other words on the folder fit better."""


def folders_with_weights(folder: Path) -> Iterator[str]:
    """Folders below one that hold weights by their files' names, as paths relative to it; no link is followed."""
    found: set[Path] = set()
    for path, files, _ in folders_below(folder):
        if weights_among(files) and found.isdisjoint(path.parents):
            found.add(path)
            yield str(path.relative_to(folder))


def folders_below(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders below one, nearest first, with the names of their files and links, and of their folders.

    No link is followed, and only so many names and levels are looked at.
    """
    waiting, left = [(folder, 0)], _MOST_LOOKED_AT
    while waiting and left > 0:
        path, depth = waiting.pop(0)
        files, folders = _entries(path, left)
        left -= len(files) + len(folders)
        if depth:
            yield path, files, folders
        if depth < _DEEPEST:
            waiting += [(path / name, depth + 1) for name in folders]


def _entries(path: Path, most: int) -> tuple[list[str], list[str]]:
    """Names of files and links, and of folders in the order of their numbers; none where the folder cannot be read."""
    try:
        with os.scandir(path) as found:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in itertools.islice(found, most)]
    except OSError:
        return [], []
    folders = [name for name, is_folder in entries if is_folder]
    seen = [name for name in folders if not name.startswith(".")]
    return [name for name, is_folder in entries if not is_folder], sorted(seen, key=lambda name: (len(name), name))


def _weights_below(folder: Path, below: list[str]) -> str:
    model = [name for name in below if name.rsplit("/", 1)[-1] in _MODELS]
    best = folder / (model[0] if model else below[-1])  # of numbered ones the last
    more = f" and {len(below) - _MOST_NAMED} more" if len(below) > _MOST_NAMED else ""
    named = ", ".join(shown(name) for name in below[-_MOST_NAMED:])
    where = f"its folder {named}" if len(below) == 1 else f"its folders {named}{more}"
    return f"no weights in {shown(folder)} itself, but in {where}: give the path of one, such as {shown(best)}"


def _listing(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise CheckpointError(f"folder {shown(folder)} cannot be read: {error.strerror}") from None


def _is_cache(folder: Path) -> bool:
    return folder.resolve().name.startswith("models--") and (folder / "snapshots").is_dir()


def snapshot_of(cache: Path, revision: str) -> LocalFolder | None:
    """The snapshot of a branch, tag or commit in a model's Hugging Face cache folder, or None if it is not there."""
    if not _is_cache(cache):
        return None
    commit = _commit_of(cache, revision) or revision
    if "/" in commit or not (cache / "snapshots" / commit).is_dir():
        return None
    path = inside(cache / "snapshots", commit, cache.resolve())
    return None if path is None else LocalFolder(path, commit)


def _only_snapshot(cache: Path) -> Path:
    snapshots = cache / "snapshots"
    revisions = sorted(name for name in _listing(snapshots) if (snapshots / name).is_dir())
    revision = _commit_of(cache, "main") or (revisions[0] if len(revisions) == 1 else None)
    if revision is None:
        raise CheckpointError(
            f"{shown(cache)} holds {len(revisions)} snapshots and no refs/main: give the path of one of them"
        )
    path = inside(snapshots, revision, cache.resolve())
    if path is None:
        raise CheckpointError(f"refs/main of {shown(cache)} names snapshot {shown(revision)}, which is missing")
    return path


def _commit_of(cache: Path, revision: str) -> str | None:
    """The commit in `refs/REVISION`, if there is such a file; a name with slashes lies in folders of `refs`."""
    path: Path | None = cache
    for part in ("refs", *revision.split("/")):
        path = inside(path, part, cache.resolve()) if path is not None and path.is_dir() else None
    if path is None or path.is_dir():
        return None
    file = WeightFile.at(path)
    if file.size > _MAX_REVISION_BYTES:
        raise CheckpointError(f"{shown(path)} has {file.size} bytes, expected the name of one revision")
    return file.read(0, file.size).tobytes().decode("ascii", "replace").strip()
