"""Folders of weights: which file to read, and which folder none of its files may leave.

A Hugging Face cache keeps a model in `models--ORG--NAME/`: `blobs/` holds the files under names of
their content, `snapshots/REVISION/` holds links to them under their real names, `refs/main` holds
the name of the revision that the main branch pointed to. Links there leave the snapshot but not
the model's folder; in any other folder they must stay inside it.
"""

import os
from pathlib import Path

from .._errors import CheckpointError, UnsafeFile
from .base import shown
from .files import WeightFile

TORCH_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
INDEX_SUFFIX = ".index.json"

#: What to read in a folder, first match wins. A pattern must match a single file.
_PREFERENCES = (
    ("model.safetensors",),
    ("model.safetensors.index.json",),
    ("*.safetensors.index.json",),
    ("*.safetensors",),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json",),
    tuple("*" + suffix + INDEX_SUFFIX for suffix in TORCH_SUFFIXES),
    tuple("*" + suffix for suffix in TORCH_SUFFIXES),
)
_EXPECTED = "expected a .safetensors file, an .index.json with its shards, or a .bin, .pt, .pth or .ckpt file"
_MAX_REVISION_BYTES = 1000


def weight_file_in(folder: Path) -> Path:
    """The file to read in a folder or a model's Hugging Face cache folder.

    Raises `CheckpointError` if there is none or no single choice, `UnsafeFile` if it leads out.
    """
    if _is_cache(folder):
        folder = _snapshot(folder)
    name = _choice(folder)
    path = inside(folder, name, allowed_root(folder))
    if path is None:
        raise CheckpointError(f"{shown(folder / name)} is a link to a missing file: download the model again")
    return path


def allowed_root(folder: Path) -> Path:
    """The folder that links in `folder` may not leave, itself free of links."""
    folder = folder.resolve()
    cache = folder.parent.parent
    return cache if folder.parent.name == "snapshots" and _is_cache(cache) else folder


def inside(folder: Path, name: str, root: Path) -> Path | None:
    """The file `name` of `folder`, or None if absent; `UnsafeFile` if it is no bare name or leads out of `root`."""
    if name in ("", ".", "..") or any(sign in name for sign in "/\\\0:"):
        raise UnsafeFile(f"{shown(name)} in {shown(folder)} is not a bare file name, so it could lead anywhere")
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


def _choice(folder: Path) -> str:
    names = _listing(folder)
    for patterns in _PREFERENCES:
        found = sorted(name for name in names if any(_matches(name, pattern) for pattern in patterns))
        if len(found) > 1:
            raise CheckpointError(
                f"{shown(folder)} holds {len(found)} weight files, such as {shown(found[0])} and {shown(found[1])}: "
                "give the path of one of them"
            )
        if found:
            return found[0]
    raise CheckpointError(f"no weights in {shown(folder)}: {_EXPECTED}")


def _listing(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise CheckpointError(f"folder {shown(folder)} cannot be read: {error.strerror}") from None


def _matches(name: str, pattern: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*") else name == pattern


def _is_cache(folder: Path) -> bool:
    return folder.resolve().name.startswith("models--") and (folder / "snapshots").is_dir()


def _snapshot(cache: Path) -> Path:
    snapshots = cache / "snapshots"
    revisions = sorted(name for name in _listing(snapshots) if (snapshots / name).is_dir())
    revision = _main_revision(cache) or (revisions[0] if len(revisions) == 1 else None)
    if revision is None:
        raise CheckpointError(
            f"{shown(cache)} holds {len(revisions)} snapshots and no refs/main: give the path of one of them"
        )
    path = inside(snapshots, revision, cache.resolve())
    if path is None:
        raise CheckpointError(f"refs/main of {shown(cache)} names snapshot {shown(revision)}, which is missing")
    return path


def _main_revision(cache: Path) -> str | None:
    """The revision in `refs/main`, if there is such a file."""
    if not (cache / "refs").is_dir():
        return None
    refs = inside(cache, "refs", cache.resolve())
    path = inside(refs, "main", cache.resolve()) if refs else None
    if path is None:
        return None
    file = WeightFile.at(path)
    if file.size > _MAX_REVISION_BYTES:
        raise CheckpointError(f"{shown(path)} has {file.size} bytes, expected the name of one revision")
    return file.read(0, file.size).tobytes().decode("ascii", "replace").strip()
