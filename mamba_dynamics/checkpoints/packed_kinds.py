"""Archives of files in a weight file's place: what they hold, by the names of their entries alone."""

import re
from dataclasses import dataclass

from .._errors import CheckpointError, CorruptFile, MissingTensor, UnsupportedArchitecture
from .base import shown
from .files import StoredFile
from .zip_directory import directory_of


@dataclass(frozen=True)
class PackedKind:
    """A zip archive of which an entry (or, with `every`, each entry) has such a name; `says` follows "it is"."""

    entry: str
    says: str
    next_step: str
    every: bool = False

    def fits(self, names: list[str]) -> bool:
        return (all if self.every else any)(re.fullmatch(self.entry, name, re.IGNORECASE) for name in names)


_UNPACK = "unpack it, and open the file or folder in it"

KINDS = (
    PackedKind(
        r".*model\.weights\.h5", "a Keras model", "save its arrays as safetensors, or use the model's torch version"
    ),
    PackedKind(
        r".*\.(?:safetensors|bin|pth?|ckpt|gguf|index\.json|pth?\.tar|distcp)",
        "a zip archive of a model's files",
        _UNPACK,
    ),
    PackedKind(r".*", "a zip archive of other files", "open a weight file or its folder", every=True),
)


def refuse_zip(file: StoredFile) -> None:
    """Raise what a zip archive that is no torch file is; nothing where it looks like a torch file, or is damaged."""
    names = _zip_names(file)
    if not names or any(name.endswith("data.pkl") for name in names):
        return
    if all(name.endswith(".npy") for name in names):
        raise _numpy_archive(file, [name.removesuffix(".npy") for name in names])
    kind = next(kind for kind in KINDS if kind.fits(names))
    raise CorruptFile(
        f"{shown(file.path)}: expected safetensors or torch weights, but it is {kind.says} ({_listed(names)}); "
        f"{kind.next_step}"
    )


def _zip_names(file: StoredFile) -> list[str]:
    try:
        return list(directory_of(file))
    except CheckpointError:
        return []


def _numpy_archive(file: StoredFile, names: list[str]) -> CheckpointError:
    """The error for arrays saved by numpy, MLX or JAX, whose names may or may not be those of a torch model."""
    what = f"{shown(file.path)}: expected a checkpoint, but it is a numpy archive ({_listed(names)})"
    plain = {name.replace("/", ".") for name in names}
    last = {name.rpartition(".")[2] for name in plain}
    if "A_log" in last and not any(name.endswith(("in_proj.weight", "x_proj.weight", ".kernel")) for name in plain):
        return MissingTensor(
            f"{what} with A_log but without x_proj.weight or in_proj.weight, which hold S_B and S_C; "
            "open the model's own weights"
        )
    return UnsupportedArchitecture(f"{what}; {names_by_slashes_step(names, file.path.name, numpy=True)}")


def names_by_slashes_step(names: list[str] | tuple[str, ...], file: str, *, numpy: bool = False) -> str:
    """How arrays under these names, of a safetensors file or a `numpy` archive, become a file that can be read."""
    if any(re.search(r"^params[./]|[./]kernel$", name) for name in names):
        return (
            "these are a JAX model's names: save its arrays as safetensors under the torch model's names "
            "(backbone.layers.0.mixer.x_proj.weight; a kernel is the transposed weight)"
        )
    source = file if file.isascii() and file.isprintable() and len(file) < 60 and '"' not in file else "FILE"
    key = 'k.replace("/", ".")' if any("/" in name for name in names) else "k"
    imports, load = "from safetensors.numpy import load_file, save_file", f"load_file({source!r})"
    if numpy:
        imports, load = "import numpy; from safetensors.numpy import save_file", f"numpy.load({source!r})"
    return (
        f"save it as safetensors under the torch model's names: {imports}; "
        f"save_file({{{key}: v for k, v in {load}.items()}}, 'model.safetensors')"
    )


def _listed(names: list[str]) -> str:
    first = ", ".join(shown(name[-60:]) for name in names[:3])
    return first if len(names) <= 3 else f"{first} and {len(names) - 3} more"
