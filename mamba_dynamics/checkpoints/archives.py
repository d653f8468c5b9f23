"""`open_archive`: weights in a file or folder of any known format, told by content.

    .safetensors file                      `SafetensorsArchive`, read with numpy
    torch file (.bin .pt .pth .ckpt)       `TorchArchive`, the same
    tar archive of one such file           that file in it
    *.index.json                           `ShardedArchive` over either
    folder, Hugging Face cache folder      the best of these in it (`folder_kinds.weights_in`)

The first bytes decide, not the suffix. What is none of these is named for what it is, by one table for each sort of
thing: files (`file_kinds`), archives of files (`packed_kinds`), folders (`folder_kinds`), tensors (`tensor_kinds`).
"""

import os
from pathlib import Path

from .._errors import CheckpointError, CorruptFile, MambaDynamicsError, UnsafeFile
from .base import Archive as Archive
from .base import shown
from .file_kinds import LOOK_BYTES, kind_by_content, kind_by_name, refusal_of
from .files import StoredFile, WeightFile
from .folder import Folder, LocalFolder, local_folder
from .folder_kinds import weights_in
from .json_text import MAX_JSON_BYTES
from .nearby import absence
from .packed_kinds import refuse_zip
from .safetensors import SafetensorsArchive
from .sharded import ShardedArchive
from .tar import only_member
from .tensor_kinds import refuse_other_tensors
from .torch_zip import TorchArchive, begins_as_before_1_6, stores_objects
from .weight_names import INDEX_SUFFIX

_ZIP, _TAR, _TAR_MAGIC = b"PK\3\4", b"ustar", slice(257, 262)


def open_archive(path: str | os.PathLike[str], *, subject: str = "checkpoint") -> Archive:
    """Open the weights at `path`, reading headers only.

    Arguments:
        path: a weight file, an index of shards, a folder with one of these, or a model's folder in
            a Hugging Face cache. A file given here may be a link; files found in a folder, or named
            by an index, may not lead out of it.
        subject: what the caller looks for, for the message when there is nothing at `path`.

    Raises:
        CheckpointError: nothing there, or no single choice.
        UnsupportedArchitecture: its tensors are an adapter's, an optimizer's or the like, and no model's.
        UnsafeFile: reading it could run code, hang, or leave its folder.
        CorruptFile: its bytes contradict themselves, or are of no known format.
    """
    place = Path(path).absolute()
    if not os.path.lexists(place):
        raise CheckpointError(f"no {subject} at {shown(place)}: {absence(place)}; check the path")
    return archive_of(*weights_at(place))


def weights_at(place: Path) -> tuple[StoredFile, Folder]:
    """The weight file or index at an existing path, and the folder whose other files belong to it."""
    if os.path.isdir(place):
        folder = local_folder(place)
        return weights_in(folder), folder
    return WeightFile.at(place), LocalFolder(place.parent)


def archive_of(file: StoredFile, folder: Folder) -> Archive:
    """Open a weight file, or the shards behind an index; raises what `open_archive` does."""
    sharded = file.path.name.endswith(INDEX_SUFFIX)
    archive = ShardedArchive(file, folder, open_weights) if sharded else open_weights(file)
    refuse_other_tensors(archive, folder)
    return archive


def open_weights(file: StoredFile) -> Archive:
    """Open one weight file, whatever its tensors are; raises what `open_archive` does of a file."""
    start = _start(file)
    if not start or (not _is_readable(start) and kind_by_content(file.path.name, start)):
        raise refusal_of(file, start)
    try:
        return _open_by_content(file, start)
    except CheckpointError as error:
        raise _explained(error, file) from None


def _open_by_content(file: StoredFile, start: bytes) -> Archive:
    if _looks_like_safetensors(start):
        return SafetensorsArchive(file)
    if begins_as_before_1_6(start):
        return TorchArchive(file)
    if start.startswith(_ZIP):
        return _open_zip(file)
    if start[_TAR_MAGIC] == _TAR:
        return _open_member(only_member(file))
    raise _refusal(file, start)


def _open_member(file: StoredFile) -> Archive:
    """A file within a tar archive, which must not be one itself: they could be nested without end."""
    if _start(file)[_TAR_MAGIC] == _TAR:
        raise CorruptFile(
            f"{shown(file.path)} holds a tar archive within a tar archive: unpack it, and open what is in it"
        )
    return open_weights(file)


def _start(file: StoredFile) -> bytes:
    return file.read(0, min(LOOK_BYTES, file.size)).tobytes()


def _open_zip(file: StoredFile) -> Archive:
    try:
        return TorchArchive(file)
    except CheckpointError:
        refuse_zip(file)
        raise


def _is_readable(start: bytes) -> bool:
    packed = start.startswith(_ZIP) or start[_TAR_MAGIC] == _TAR
    return packed or _looks_like_safetensors(start) or begins_as_before_1_6(start)


def _looks_like_safetensors(start: bytes) -> bool:
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= MAX_JSON_BYTES


def _refusal(file: StoredFile, start: bytes) -> MambaDynamicsError:
    """The error for a file that is of no known format."""
    path = file.path
    if start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5":
        return stores_objects(path, "it is a pickle that torch.save did not write")
    if path.suffix == ".safetensors":
        # Its own reader knows best what is wrong with a damaged header.
        return _safetensors_fault(file)
    return refusal_of(file, start)


def _explained(error: CheckpointError, file: StoredFile) -> CheckpointError:
    """The error of a file that could not be read; where its name says what it is for, that is said."""
    kind = kind_by_name(file.path.name)
    if kind is None or kind.words in str(error):
        return error
    sort = next(one for one in (CorruptFile, UnsafeFile, CheckpointError) if isinstance(error, one))
    return sort(f"{shown(file.path)}: expected a model's weights, but {kind.words}")


def _safetensors_fault(file: StoredFile) -> MambaDynamicsError:
    try:
        SafetensorsArchive(file)
    except MambaDynamicsError as error:
        return error
    return CorruptFile(f"{shown(file.path)} changed while it was read")
