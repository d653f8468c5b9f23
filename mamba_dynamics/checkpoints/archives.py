"""`open_archive`: weights in a file or folder of any known format, told by content.

    .safetensors file                      `SafetensorsArchive`, read with numpy
    torch file (.bin .pt .pth .ckpt)       `TorchArchive`, the same
    tar archive of one such file           that file in it
    *.index.json                           `ShardedArchive` over either
    folder, Hugging Face cache folder      the best of these in it (`folder.weight_file_in`)

The first bytes decide, not the suffix. Files that are none of these are named for what they look
like: a Git LFS pointer or a web page saved under a model's name is the usual cause.
"""

import os
from pathlib import Path

from .._errors import CheckpointError, CorruptFile, MambaDynamicsError
from .base import Archive as Archive
from .base import shown
from .files import StoredFile, WeightFile
from .folder import INDEX_SUFFIX, Folder, LocalFolder, local_folder, weight_file_in
from .json_text import MAX_JSON_BYTES
from .safetensors import SafetensorsArchive
from .sharded import ShardedArchive
from .tar import only_member
from .torch_zip import LEGACY_START, TorchArchive, stores_objects

_LOOK_BYTES = 512
_TAR_MAGIC = slice(257, 262)

#: First bytes, lower case, of files often found in a weight file's place, and what to say of them.
_IMPOSTORS = (
    (b"version https://git-lfs", "it is a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (b"<!doctype", "it is a web page, perhaps an error message: download the file again"),
    (b"<html", "it is a web page, perhaps an error message: download the file again"),
    (b"gguf", "it is a GGUF file: use the model's safetensors version"),
    (b"\x89hdf", "it is an HDF5 file: use the model's safetensors version"),
    (b"\x93numpy", "it is a numpy array: save the weights as safetensors"),
    (b"\x1f\x8b", "it is compressed with gzip: unpack it first"),
    (b"{", "it is JSON, perhaps a configuration: give the weight file or its folder"),
)


def open_archive(path: str | os.PathLike[str], *, subject: str = "checkpoint") -> Archive:
    """Open the weights at `path`, reading headers only.

    Arguments:
        path: a weight file, an index of shards, a folder with one of these, or a model's folder in
            a Hugging Face cache. A file given here may be a link; files found in a folder, or named
            by an index, may not lead out of it.
        subject: what the caller looks for, for the message when there is nothing at `path`.

    Raises:
        CheckpointError: nothing there, or no single choice.
        UnsafeFile: reading it could run code, hang, or leave its folder.
        CorruptFile: its bytes contradict themselves, or are of no known format.
    """
    place = Path(path).absolute()
    if not os.path.lexists(place):
        raise CheckpointError(f"no {subject} at {shown(place)}: check the path")
    return archive_of(*weights_at(place))


def weights_at(place: Path) -> tuple[StoredFile, Folder]:
    """The weight file or index at an existing path, and the folder whose other files belong to it."""
    if os.path.isdir(place):
        folder = local_folder(place)
        return weight_file_in(folder), folder
    return WeightFile.at(place), LocalFolder(place.parent)


def archive_of(file: StoredFile, folder: Folder) -> Archive:
    """Open a weight file, or the shards behind an index; raises what `open_archive` does."""
    if file.path.name.endswith(INDEX_SUFFIX):
        return ShardedArchive(file, folder, _open_file)
    return _open_file(file)


def _open_file(file: StoredFile) -> Archive:
    start = file.read(0, min(_LOOK_BYTES, file.size)).tobytes()
    if _looks_like_safetensors(start):
        return SafetensorsArchive(file)
    if start.startswith((b"PK\3\4", LEGACY_START)):
        return TorchArchive(file)
    if start[_TAR_MAGIC] == b"ustar":
        return _open_file(only_member(file))
    raise _refusal(file, start)


def _looks_like_safetensors(start: bytes) -> bool:
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= MAX_JSON_BYTES


def _refusal(file: StoredFile, start: bytes) -> MambaDynamicsError:
    """The error for a file that is of no known format."""
    path = file.path
    if not start:
        return CorruptFile(f"{shown(path)} is empty: download it again")
    if start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5":
        return stores_objects(path, "it is a pickle that torch.save did not write")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    reason = next((reason for magic, reason in _IMPOSTORS if text.startswith(magic)), None)
    if reason is None and path.suffix == ".safetensors":
        # Its own reader knows best what is wrong with a damaged header.
        return _safetensors_fault(file)
    reason = reason or "neither a safetensors nor a torch zip file"
    return CorruptFile(f"{shown(path)} begins with {start[:12]!r}: {reason}")


def _safetensors_fault(file: StoredFile) -> MambaDynamicsError:
    try:
        SafetensorsArchive(file)
    except MambaDynamicsError as error:
        return error
    return CorruptFile(f"{shown(file.path)} changed while it was read")
