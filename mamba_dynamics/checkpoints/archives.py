"""`open_archive`: weights in a file or folder of any known format, told by content.

    .safetensors file                      `SafetensorsArchive`, read with numpy
    torch zip file (.bin .pt .pth .ckpt)   `TorchArchive`, needs the extra `torch`
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
from .folder import INDEX_SUFFIX, Folder, LocalFolder, local_folder
from .folder_kinds import weights_in
from .json_text import MAX_JSON_BYTES
from .nearby import absence
from .packed_kinds import is_tar, refuse_tar, refuse_zip
from .safetensors import SafetensorsArchive
from .sharded import ShardedArchive
from .tensor_kinds import refuse_other_tensors

_ZIP = b"PK\3\4"


def open_archive(path: str | os.PathLike[str], *, subject: str = "checkpoint") -> Archive:
    """Open the weights at `path`, reading headers only.

    Arguments:
        path: a weight file, an index of shards, a folder with one of these, or a model's folder in
            a Hugging Face cache. A file given here may be a link; files found in a folder, or named
            by an index, may not lead out of it.
        subject: what the caller looks for, for the message when there is nothing at `path`.

    Raises:
        CheckpointError: nothing there, no single choice, or torch is needed and missing.
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
    archive = ShardedArchive(file, folder, _open_file) if sharded else _open_file(file)
    refuse_other_tensors(archive, folder)
    return archive


def _open_file(file: StoredFile) -> Archive:
    start = file.read(0, min(LOOK_BYTES, file.size)).tobytes()
    if not start or (not _is_readable(start) and kind_by_content(file.path.name, start)):
        raise refusal_of(file, start)
    try:
        return _open_by_content(file, start)
    except CheckpointError as error:
        raise _explained(error, file) from None


def _open_by_content(file: StoredFile, start: bytes) -> Archive:
    if _looks_like_safetensors(start):
        return SafetensorsArchive(file)
    if start.startswith(_ZIP):
        if not isinstance(file, WeightFile):
            raise CheckpointError(
                f"{shown(file.path)} is a torch file, which torch reads from a disk only: use the model's safetensors "
                "version (often under the same name ending in -hf), or download it first: hf download"
            )
        return _open_zip(file)
    raise _refusal(file, start)


def _open_zip(file: WeightFile) -> Archive:
    from .torch_zip import TorchArchive  # which takes pickles apart: not needed for safetensors

    try:
        return TorchArchive(file)
    except CheckpointError:
        refuse_zip(file)
        raise


def _is_readable(start: bytes) -> bool:
    return _looks_like_safetensors(start) or start.startswith(_ZIP)


def _looks_like_safetensors(start: bytes) -> bool:
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= MAX_JSON_BYTES


def _refusal(file: StoredFile, start: bytes) -> MambaDynamicsError:
    """The error for a file that is of no known format."""
    from .torch_calls import stores_objects

    path = file.path
    if start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5":
        return stores_objects(path, "it is a pickle older than torch 1.6 writes")
    if is_tar(start):
        refuse_tar(file)
        return stores_objects(path, "it is a tar archive of pickles, as torch before 0.1.10 wrote")
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
