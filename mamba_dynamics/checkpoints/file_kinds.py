"""The table of file kinds that are found in a weight file's place: what identifies each, what to say, what to do next.

A row fits a file if its first bytes match `content` and its name matches `name`; what a row does not ask for fits
always. The first row that fits wins, so rows that ask for more come before rows that ask for less. Rows without
`content` say what a file is for by its name alone: they are asked last, where its content cannot be read or holds no
S6 layer, so that a model under such a name is read all the same.
"""

import re
from dataclasses import dataclass

from .._errors import CorruptFile
from .base import shown
from .files import StoredFile

#: So many first bytes of a file are looked at.
LOOK_BYTES = 512

_UNPACK = "unpack it first, and open what is in it"
_AGAIN = "download the file again"
_SAFETENSORS = "use the model's safetensors version"
_CONVERT = "convert it to safetensors with the program that wrote it"
_MODEL = "open the model's own weights (model.safetensors or pytorch_model.bin), or their folder"


@dataclass(frozen=True)
class FileKind:
    """One row: `says` follows "it is", `next_step` is an order; `tensors` where it may hold tensors of no model."""

    says: str
    next_step: str
    content: bytes = b""
    name: str = ""
    tensors: bool = False

    def fits(self, name: str, start: bytes) -> bool:
        """Whether a file of this name that begins with these bytes is of this kind."""
        return bool(
            re.match(self.content, start, re.IGNORECASE | re.DOTALL) and re.fullmatch(self.name or ".*", name, _FLAGS)
        )

    @property
    def words(self) -> str:
        return f"it is {self.says}; {self.next_step}"


_FLAGS = re.IGNORECASE | re.DOTALL
_SPACE = rb"(?:\xef\xbb\xbf)?\s*"

KINDS = (
    # pointers, pages and downloads
    FileKind(
        "a Git LFS pointer, not the file itself",
        "run `git lfs pull` in its repository",
        _SPACE + rb"version https://git-lfs",
    ),
    FileKind("a web page, perhaps an error message", _AGAIN, _SPACE + rb"<(?:!doctype|html)"),
    FileKind("XML, perhaps a server's error message", _AGAIN, _SPACE + rb"<\?xml|" + _SPACE + rb"<error>"),
    FileKind("filled with zeros at its beginning: a download that broke off", _AGAIN, rb"\0{64}"),
    # JSON
    FileKind(
        "JSON, an index of shards and no shard",
        "open the index itself, or the folder it lies in",
        _SPACE + rb"\{",
        r".*\.index\.json",
    ),
    FileKind("JSON, a model's configuration", "open the folder it lies in", _SPACE + rb"\{", r"config\.json"),
    FileKind(
        "JSON, the configuration of an adapter", "open the folder it lies in", _SPACE + rb"\{", r"adapter_config\.json"
    ),
    FileKind(
        "JSON, a tokenizer's",
        "open the weights, or the folder they lie in with it",
        _SPACE + rb"\{",
        r".*(?:token|vocab).*\.json",
    ),
    FileKind("JSON, a notebook", "open a weight file or its folder", _SPACE + rb"\{", r".*\.ipynb"),
    FileKind("JSON, perhaps a configuration", "open the weight file or its folder", _SPACE + rb"[\{\[]"),
    # weights in other formats
    FileKind("a GGUF file, made for llama.cpp", _SAFETENSORS, rb"GGUF"),
    FileKind("a GGML file, made for llama.cpp", _SAFETENSORS, rb"(?:lm|fm|tj|al)gg"),
    FileKind("an HDF5 file, as Keras writes them", _CONVERT, rb"\x89HDF"),
    FileKind("a single numpy array", "save the model's weights as safetensors", rb"\x93NUMPY"),
    FileKind("a TensorFlow Lite model", _SAFETENSORS, rb".{4}TFL3"),
    FileKind("a TensorRT engine, which holds compiled kernels", _SAFETENSORS, rb"[fp]trt"),
    FileKind(
        "an ONNX model, a graph and not a model's named weights", _SAFETENSORS, rb"\x08[\x01-\x1f]\x12[\x01-\x40]"
    ),
    FileKind(
        "a msgpack file, as Flax writes checkpoints",
        "load it with flax.serialization.msgpack_restore and save its arrays as safetensors under the torch model's "
        "names (kernel, transposed, is weight there)",
        rb"[\x81-\x8f\xde\xdf].{0,4}[\xa1-\xbf\xd9]\w",
    ),
    # packed files
    FileKind("compressed with gzip", _UNPACK, rb"\x1f\x8b"),
    FileKind("compressed with Zstandard", _UNPACK, rb"\x28\xb5\x2f\xfd"),
    FileKind("compressed with xz", _UNPACK, rb"\xfd7zXZ\0"),
    FileKind("compressed with bzip2", _UNPACK, rb"BZh[1-9]"),
    FileKind("a 7z archive", _UNPACK, rb"7z\xbc\xaf\x27\x1c"),
    FileKind("a RAR archive", _UNPACK, rb"Rar!\x1a\x07"),
    # what is no model at all
    FileKind("a PDF document", _MODEL, rb"%PDF"),
    FileKind("a picture", _MODEL, rb"\x89PNG|\xff\xd8\xff|GIF8"),
    FileKind("a program", _MODEL, rb"\x7fELF|MZ.\0|\xcf\xfa\xed\xfe|#!"),
    FileKind("a table of data", _MODEL, rb"PAR1|ARROW1|SQLite format 3"),
    # by name alone
    FileKind(
        "a download that was not finished",
        "let it finish (`hf download` goes on where it stopped), or download it again",
        name=r".*\.(?:incomplete|part|partial|crdownload|download|aria2|tmp)",
    ),
    FileKind(
        "one process's part of a DeepSpeed optimizer, not a model",
        "run the zero_to_fp32.py that lies beside its folder, and open what that writes",
        name=r".*zero_pp_rank.*\.pt",
        tensors=True,
    ),
    FileKind(
        "the state of an optimizer, not a model",
        _MODEL,
        name=r"(?:.*_)?optim(?:izer)?(?:_states?)?(?:_\d+)?\.\w+",
        tensors=True,
    ),
    FileKind(
        "the state of a learning-rate schedule, not a model",
        _MODEL,
        name=r"(?:lr_)?scheduler(?:_\d+)?\.\w+",
        tensors=True,
    ),
    FileKind("the state of a gradient scaler, not a model", _MODEL, name=r"(?:grad_)?scaler\.\w+", tensors=True),
    FileKind(
        "the state of random number generators, not a model",
        _MODEL,
        name=r"(?:rng|random)_states?(?:_\d+)?\.\w+",
        tensors=True,
    ),
    FileKind("the arguments of a training run, not a model", _MODEL, name=r"training_args\.bin", tensors=True),
    FileKind(
        "one process's part of a distributed checkpoint (torch.distributed.checkpoint)",
        "convert its folder: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt",
        name=r".*\.distcp|\.metadata",
    ),
    FileKind(
        "a part of a TensorFlow checkpoint",
        "load it with TensorFlow and save its arrays as safetensors, or use the model's torch version",
        name=r".*\.data-\d+-of-\d+|.*\.ckpt.*\.(?:index|meta)|checkpoint|saved_model\.pb|.*\.pb",
    ),
    FileKind("an ONNX model, a graph and not a model's named weights", _SAFETENSORS, name=r".*\.onnx(?:_data)?"),
    FileKind("a TensorRT engine, which holds compiled kernels", _SAFETENSORS, name=r".*\.(?:engine|plan|trt)"),
    FileKind("a Keras model", _CONVERT, name=r".*\.(?:h5|hdf5|keras)"),
    FileKind("a msgpack file, as Flax writes checkpoints", "save its arrays as safetensors", name=r".*\.msgpack"),
    FileKind(
        "a tokenizer's model", "open the weights, or the folder they lie in", name=r".*\.(?:model|tiktoken|vocab)"
    ),
    FileKind("a text", "open a weight file or its folder", name=r".*\.(?:txt|md|py|ya?ml|toml|csv|log|ini|cfg|sh)"),
)

_BY_CONTENT = tuple(kind for kind in KINDS if kind.content)
_BY_NAME = tuple(kind for kind in KINDS if not kind.content)


def kind_by_content(name: str, start: bytes) -> FileKind | None:
    """The kind of a file by its first bytes (and where a row asks for it its name too), or None."""
    return next((kind for kind in _BY_CONTENT if kind.fits(name, start)), None)


def kind_by_name(name: str) -> FileKind | None:
    """The kind of a file whose name alone says what it is for, or None."""
    return next((kind for kind in _BY_NAME if kind.fits(name, b"")), None)


def refusal_of(file: StoredFile, start: bytes) -> CorruptFile:
    """The error for a file that is no weight file of a known format, named for what it looks like."""
    if not start:
        return CorruptFile(f"{shown(file.path)} is empty: {_AGAIN}")
    kind = kind_by_content(file.path.name, start) or kind_by_name(file.path.name)
    if kind is None:
        return CorruptFile(
            f"{shown(file.path)} begins with {start[:12]!r}: expected a safetensors or torch file, found neither; "
            "check how it was made, or download it again"
        )
    return CorruptFile(f"{shown(file.path)}: expected safetensors or torch weights, but {kind.words}")
