"""The table of folders without weights that can be read: what their files' names show, what to say, what to do next."""

import re
from dataclasses import dataclass
from pathlib import Path

from .._errors import CheckpointError
from .base import shown
from .file_kinds import kind_by_name
from .files import StoredFile
from .folder import Folder, LocalFolder, folders_below, folders_with_weights, weight_file_in, weights_of
from .weight_names import TORCH_SUFFIXES, weights_among

_WEIGHTS = (".safetensors", ".index.json", *TORCH_SUFFIXES)


@dataclass(frozen=True)
class FolderKind:
    """A folder in which a name matches `name`; `says` follows "it holds".

    A `divided` one holds the model's weights in the files of several processes: it is looked for in folders below too.
    """

    name: str
    says: str
    next_step: str
    divided: bool = False


KINDS = (
    FolderKind(
        r".*\.distcp|\.metadata",
        "a distributed checkpoint (torch.distributed.checkpoint)",
        "convert it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt",
        divided=True,
    ),
    FolderKind(
        r"zero_to_fp32\.py|global_step\d+",
        "a DeepSpeed checkpoint, whose weights are spread over its processes' files",
        "gather them: python zero_to_fp32.py FOLDER OUT, and open OUT",
        divided=True,
    ),
    FolderKind(
        r".*(?:model|optim)_states\.pt",
        "the files of a DeepSpeed checkpoint's processes",
        "gather the weights with the zero_to_fp32.py in the folder above: python zero_to_fp32.py FOLDER OUT",
        divided=True,
    ),
    FolderKind(
        r"_CHECKPOINT_METADATA|manifest\.ocdbt|ocdbt\.process.*|_METADATA|_sharding",
        "an Orbax checkpoint of a JAX model",
        "restore it with orbax and save its arrays as safetensors under the torch model's names",
    ),
    FolderKind(
        r".*\.msgpack",
        "a Flax checkpoint (msgpack)",
        "save its arrays as safetensors under the torch model's names, or use the model's torch version",
    ),
    FolderKind(
        r"saved_model\.pb|.*\.ckpt.*\.index|.*\.data-\d+-of-\d+",
        "a TensorFlow checkpoint",
        "load it with TensorFlow and save its arrays as safetensors, or use the model's torch version",
    ),
    FolderKind(r".*\.(?:h5|hdf5|keras)", "a Keras model (HDF5)", "use the model's safetensors version"),
    FolderKind(r".*\.gguf", "a GGUF file, made for llama.cpp, and no other weights", "use the safetensors version"),
    FolderKind(r".*\.onnx", "an ONNX model and no named weights", "use the model's safetensors version"),
    FolderKind(r".*\.(?:engine|plan|trt)", "a TensorRT engine", "use the model's safetensors version"),
    FolderKind(r".*\.npz", "arrays of numpy or MLX", "open the .npz itself to read how to convert it"),
    FolderKind(
        r".*\.(?:incomplete|part|partial|crdownload|aria2)",
        "a download that was not finished",
        "let it finish (`hf download` goes on where it stopped), or download it again",
    ),
    FolderKind(r".*\.(?:tar|zip|tgz|gz|xz|zst|bz2|7z|rar)", "a packed archive", "unpack it, and open what is in it"),
    FolderKind(r"adapter_config\.json", "an adapter's configuration without its weights", "download it again, whole"),
    FolderKind(
        r"config\.json|params\.json",
        "a model's configuration but not its weights",
        "download the weights into it: hf download ORG/NAME, or `git lfs pull` in a clone",
    ),
    FolderKind(r"tokenizer.*|vocab.*", "a tokenizer but no weights", "open the folder of the model's weights"),
)


def weights_in(folder: Folder) -> StoredFile:
    """The weight file of a folder, as `weight_file_in` finds it; of a folder without, the error says what it holds.

    Raises what `weight_file_in` does.
    """
    names = folder.names()
    weights = [name for name in names if name.lower().endswith(_WEIGHTS)]
    if not weights_of(folder) and (divided := _divided(folder, names)):
        raise CheckpointError(divided)
    kinds = [kind for name in weights if (kind := kind_by_name(name)) is not None]
    if weights and len(kinds) == len(weights) and not _holds_weights_below(folder):
        raise CheckpointError(
            f"no weights in {shown(folder.path)}: it holds {_named(weights)}, {kinds[0].says}; {kinds[0].next_step}"
        )
    try:
        return weight_file_in(folder)
    except CheckpointError as error:
        kind = None if weights else _kind_of(names)
        if kind is None or type(error) is not CheckpointError:
            raise
        raise CheckpointError(f"no weights in {shown(folder.path)}: it holds {_words(*kind)}") from None


def _divided(folder: Folder, names: list[str]) -> str | None:
    """Words on weights that lie divided among files in a folder or in one below it; None where there are none."""
    if kind := _kind_of(names, divided=True):
        return f"no weights in {shown(folder.path)}: it holds {_words(*kind)}"
    if not isinstance(folder, LocalFolder):
        return None
    found: tuple[str, str] | None = None
    seen: set[Path] = set()
    for path, files, folders in folders_below(folder.path):
        if not seen.isdisjoint(path.parents):
            continue
        if weights_among(files):
            return None  # weights that can be read are the better next step
        if kind := _kind_of([*files, *folders], divided=True):
            seen.add(path)
            found = str(path), _words(*kind)  # of numbered ones the last
    if found is None:
        return None
    return f"no weights in {shown(folder.path)} itself, but its folder {shown(found[0])} holds {found[1]}"


def _holds_weights_below(folder: Folder) -> bool:
    return isinstance(folder, LocalFolder) and any(True for _ in folders_with_weights(folder.path))


def _kind_of(names: list[str], *, divided: bool = False) -> tuple[FolderKind, str] | None:
    """The first row of the table that a name fits, and that name; of the divided rows only where that is asked."""
    names = sorted(names)
    kinds = [kind for kind in KINDS if kind.divided or not divided]
    pairs = ((kind, name) for kind in kinds for name in names if re.fullmatch(kind.name, name, re.IGNORECASE))
    return next(pairs, None)


def _words(kind: FolderKind, name: str) -> str:
    return f"{kind.says} ({shown(name)}); {kind.next_step}"


def _named(names: list[str]) -> str:
    first = ", ".join(shown(name) for name in sorted(names)[:2])
    return first if len(names) <= 2 else f"{first} and {len(names) - 2} more"
