"""Models on the Hugging Face hub: another kind of folder, whose files are read in ranges over the network.

    open_checkpoint("state-spaces/mamba-130m-hf")            # the main branch
    open_checkpoint("state-spaces/mamba-130m-hf@refs/pr/1")  # a branch, tag or commit

A model that lies whole in the local cache is read from there, without asking whether the hub has a newer one.
Otherwise one request turns the revision into a commit and lists its files, and every file is read at that commit: the
headers, and then the tensors that are asked for. Nothing is written to the disk.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from .._errors import CheckpointError, CorruptFile
from .base import shown
from .files import StoredFile
from .folder import Folder, require_bare, snapshot_of, weight_file_in
from .folder_kinds import weights_in
from .hub_ids import not_an_id, parsed_id
from .hub_requests import Hub, Refused, Seen, import_library
from .json_text import json_object
from .nearby import absence
from .sharded import weight_map
from .weight_names import INDEX_SUFFIX, TORCH_SUFFIXES

#: The first bytes of a file that its first request asks for: they hold most safetensors headers.
HEAD = 32_768
#: More than any model's list of files.
LISTING_BYTES = 5_000_000

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_LOG_IN = "`hf auth login`, or a token in HF_TOKEN"


class _Gated(CheckpointError):
    """The model is there, for those who asked for access."""


def weights_of(path: Path, given: str | None = None) -> tuple[StoredFile, Folder]:
    """The weights of a model of which `path`, where nothing lies, is the id, and the folder they lie in.

    `given` is the path as it was written: "./org/name" is no id.

    Raises:
        CheckpointError: it is no id, the extra is missing, or the model cannot be had. The message says first that
            nothing lies at the path, then what became of the id.
        CorruptFile: the hub contradicts itself.
    """
    given = path.as_posix() if given is None else given
    absent = f"no checkpoint at {shown(path.absolute())}: {absence(path)}"
    found = parsed_id(given)
    if found is None:
        raise CheckpointError(f"{absent}; check the path ({not_an_id(given)})")
    model, revision = found
    library = import_library()
    if library is None:
        raise CheckpointError(
            f"{absent}; check the path; to read a model of this name from the Hugging Face hub, "
            "pip install 'mamba-dynamics[hub]'"
        )
    try:
        library.validate_repo_id(model)
    except library.BadId:
        raise CheckpointError(f"{absent}; check the path (it is no name of a model on the hub either)") from None
    cached = snapshot_of(Path(library.constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}", revision)
    if cached is not None and _holds_weights(cached):
        return weight_file_in(cached), cached
    if library.constants.HF_HUB_OFFLINE:
        raise CheckpointError(
            f"{absent}; and the model {shown(model)} at revision {shown(revision)} is not whole in the cache "
            f"{shown(library.constants.HF_HUB_CACHE)}, while HF_HUB_OFFLINE is set: unset it, or hf download {model} "
            "first"
        )
    try:
        folder = HubFolder(library, path, model, revision)
    except (CorruptFile, _Gated):
        raise
    except CheckpointError as error:
        raise CheckpointError(f"{absent}; on the hub: {error}") from None
    return weights_in(folder), folder


def _holds_weights(folder: Folder) -> bool:
    """Whether a snapshot has weights and, where they are an index, every shard it names."""
    if not any(name.endswith((".safetensors", INDEX_SUFFIX, *TORCH_SUFFIXES)) for name in folder.names()):
        return False
    file = weight_file_in(folder)
    if not file.path.name.endswith(INDEX_SUFFIX):
        return True
    return all(folder.find(shard) is not None for shard in set(weight_map(file).values()))


class HubFolder:
    """The files of a model on the hub, at one commit."""

    def __init__(self, library: Any, path: Path, model: str, revision: str):
        """List the files. Raises `CheckpointError` if the model or revision cannot be had."""
        self.path = path
        self._hub, self._model = Hub(library), model
        self._files: dict[str, RemoteFile] = {}
        listing = self._listing(revision)
        self.revision: str | None = self._commit(listing)
        self._names = _root_names(listing, path)

    @property
    def bytes_fetched(self) -> int:
        return self._hub.bytes_fetched

    def names(self) -> list[str]:
        return self._names

    def find(self, name: str) -> "RemoteFile | None":
        require_bare(name, self.path)
        if name not in self._names:
            return None
        if name not in self._files:
            self._files[name] = self._open(name)
        return self._files[name]

    def _open(self, name: str) -> "RemoteFile":
        url = f"{self._hub.endpoint}/{self._model}/resolve/{self.revision}/{quote(name)}"
        try:
            return RemoteFile(self._hub, url, self.path / name, self.revision)
        except Refused as refused:
            raise self._explained(refused, f"{shown(name)} of {shown(self._model)}") from None

    def _listing(self, revision: str) -> dict[str, Any]:
        what = f"the list of files of {shown(self._model)} at {shown(revision)}"
        url = f"{self._hub.endpoint}/api/models/{self._model}/revision/{quote(revision, safe='')}"
        seen = Seen()
        try:
            data = self._hub.fetch(url, 0, LISTING_BYTES, seen, what)
        except Refused as refused:
            if refused.code == "RevisionNotFound":
                raise CheckpointError(
                    f"no revision {shown(revision)} of model {shown(self._model)} at {shown(self._hub.endpoint)} "
                    f"({refused.status}): give a branch, tag or commit that the model's page lists, or leave "
                    "@REVISION out for the main branch"
                ) from None
            raise self._explained(refused, f"model {shown(self._model)}") from None
        if seen.size is None or seen.size > len(data):
            raise CorruptFile(f"{what}: expected at most {LISTING_BYTES} bytes, found more; check HF_ENDPOINT")
        return json_object(bytes(data), self.path, "the hub's list of files")

    def _commit(self, listing: dict[str, Any]) -> str:
        commit = listing.get("sha")
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise CorruptFile(
                f"{shown(self._hub.endpoint)} answers for {shown(self._model)} without a commit: expected the API of a "
                "Hugging Face hub; check HF_ENDPOINT"
            )
        return commit

    def _explained(self, refused: Refused, what: str) -> CheckpointError:
        """What a refusal means, and what to do about it."""
        hub = shown(self._hub.endpoint)
        if refused.code == "GatedRepo":
            return _Gated(
                f"{what} is gated at {hub}: ask for access on the model's page and log in ({_LOG_IN}; {refused.status})"
            )
        if refused.status in (401, 403):
            return CheckpointError(
                f"no {what} at {hub} that may be read ({refused.status}): check the name; for a private model log in "
                f"({_LOG_IN})"
            )
        if refused.status == 404:
            return CheckpointError(f"no {what} at {hub} (404): check the name")
        return CheckpointError(f"{what} cannot be had from {hub}: it answers {refused.status}; try again later")


class RemoteFile:
    """A file on the hub, as it was when first seen."""

    def __init__(self, hub: Hub, url: str, path: Path, commit: str | None):
        """Ask for the first bytes. Raises `Refused`, `CheckpointError`, `CorruptFile` as `Hub.fetch` does."""
        self.path = path
        self._hub, self._url, self._commit = hub, url, commit
        self._seen = Seen()
        try:
            self._head = self._fetch(url, 0, HEAD)
        except Refused as refused:
            if refused.status != 416:
                raise
            self._head, self._seen.size = bytearray(), 0  # no byte of an empty file can be asked for
        if self._seen.size is None:
            raise CorruptFile(f"{shown(path)}: the server does not say how many bytes it has; hf download it first")
        self.size = self._seen.size

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        if offset < 0 or count < 0 or offset + count > self.size:
            raise CorruptFile(
                f"{shown(self.path)} ends at byte {self.size}, before byte {offset + count}: is it cut short?"
            )
        known = self._head[offset : offset + count]
        if self._seen.ranged:
            data = known + self._range(offset + len(known), count - len(known))
        else:
            data = known if len(known) == count else self._range(offset, count)
        return np.frombuffer(data, np.uint8)

    def _range(self, offset: int, count: int) -> bytearray:
        if count == 0:
            return bytearray()
        data = self._from_storage(offset, count)
        if data is None:
            data = self._fetch(self._url, offset, count)
        if len(data) < count:
            raise CorruptFile(f"{shown(self.path)} ends before byte {offset + count}: cut short, or replaced meanwhile")
        return data

    def _from_storage(self, offset: int, count: int) -> bytearray | None:
        """From where the hub led to last time; None where that is nowhere, or its signed address has expired."""
        if self._seen.location is None:
            return None
        try:
            return self._fetch(self._seen.location, offset, count)
        except Refused:
            self._seen.location = None
            return None

    def _fetch(self, url: str, offset: int, count: int) -> bytearray:
        data = self._hub.fetch(url, offset, count, self._seen, shown(self.path))
        if self._seen.commits - {self._commit}:
            raise CorruptFile(f"{shown(self.path)}: the hub sends another commit's file than it was asked for")
        return data


def _root_names(listing: dict[str, Any], path: Path) -> list[str]:
    """The files that lie in the model's folder itself."""
    files = listing.get("siblings")
    if not isinstance(files, list) or not all(
        isinstance(file, dict) and isinstance(file.get("rfilename"), str) for file in files
    ):
        raise CorruptFile(f"the hub's list of files of {shown(path)} names no files; check HF_ENDPOINT")
    return [file["rfilename"] for file in files if "/" not in file["rfilename"]]
