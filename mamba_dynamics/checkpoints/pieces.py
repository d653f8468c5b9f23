"""Weights that are stored in pieces, put together where the meaning is plain.

    x_proj.weight_orig, weight_mask                  orig * mask          torch.nn.utils.prune
    x_proj.weight_g, weight_v                        g v / |v|            torch.nn.utils.weight_norm
    x_proj.parametrizations.weight.original0, 1      the same             torch.nn.utils.parametrizations.weight_norm
    x_proj.base_layer.weight                         itself               PEFT, the weight beside its adapters
    x_proj.modules_to_save.NAME.weight               itself               PEFT, in place of original_module
    x_proj._orig_mod.weight                          itself               torch.compile, and other wrappers
    x_proj.weight, lora_A, lora_B                    W + s B A            LoRA, with s by adapter_config.json

|v| is the norm over the axes in which g has length 1. s is alpha / r, or alpha / sqrt(r) where the config says
`use_rslora`; r is the number of rows of A. Without that config, with several adapters, or with what changes the formula
(DoRA, transposed weights, other scales for some modules), the factors stay beside the weight, and are reported as not
understood. Spectral normalisation is not undone: its weight depends on how many power iterations ran.

`put_together` gives an archive in which the weight has its usual name and its pieces have gone. A tensor is made up
only when it is read, and where shapes do not fit nothing is.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._errors import UnsafeFile
from .adapters import Adapters
from .base import WEIGHT_TYPES, Archive, shown

Array = NDArray[np.floating]
#: A few bytes name a piece, and each costs objects.
_MOST_PIECES = 20_000
_PIECES = re.compile(
    r"\.(?:base_layer|_\w+|modules_to_save\.[^.]+)\.(?:weight|bias)$|lora_A|_orig$|weight_v$|\.original1$"
)
_WRAPPED = re.compile(
    r"(?P<module>.+)\.(?:base_layer|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.(?P<leaf>weight|bias)"
)
_SAVED = re.compile(r"(?P<module>.+)\.modules_to_save\.[^.]+\.(?P<leaf>weight|bias)")
_LORA_A = re.compile(r"(?P<module>.+)\.lora_A(?:\.(?P<adapter>[^.]+))??(?P<weight>\.weight)?")


@dataclass(frozen=True)
class Piece(ABC):
    """A tensor that is made of stored ones: `sources`, the first of which has its shape; `words` say how."""

    sources: tuple[str, ...]

    @property
    @abstractmethod
    def words(self) -> str | None: ...

    @abstractmethod
    def fits(self, shapes: tuple[tuple[int, ...], ...]) -> bool:
        """Whether the sources' shapes belong together."""

    @abstractmethod
    def read(self, archive: Archive, rows: slice | None) -> Array: ...


class Renamed(Piece):
    """A weight under the name that a wrapper gave it, and the one it replaces, where there is one."""

    @property
    def words(self) -> str | None:
        return None

    def fits(self, shapes: tuple[tuple[int, ...], ...]) -> bool:
        return True

    def read(self, archive: Archive, rows: slice | None) -> Array:
        return archive.read(self.sources[0], rows)


class Masked(Piece):
    """A pruned weight: orig * mask."""

    @property
    def words(self) -> str | None:
        return "is the pruned weight, weight_orig * weight_mask"

    def fits(self, shapes: tuple[tuple[int, ...], ...]) -> bool:
        return shapes[0] == shapes[1]

    def read(self, archive: Archive, rows: slice | None) -> Array:
        original, mask = (archive.read(name, rows) for name in self.sources)
        return original * mask


class Normed(Piece):
    """A weight with its norm apart: g v / |v|; sources v, g."""

    @property
    def words(self) -> str | None:
        return "is put together from its direction and norm (weight normalisation)"

    def fits(self, shapes: tuple[tuple[int, ...], ...]) -> bool:
        v, g = shapes
        kept = [one for one, whole in zip(g, v, strict=False) if one != 1]
        same = all(one in (1, whole) for one, whole in zip(g, v, strict=False))
        return len(g) == len(v) >= 2 and same and len(kept) <= 1 and (bool(kept) or 1 in v)

    def read(self, archive: Archive, rows: slice | None) -> Array:
        v, g = (archive.read(name).astype(np.float64) for name in self.sources)
        axes = tuple(axis for axis, length in enumerate(g.shape) if length == 1)
        norms = np.sqrt(np.sum(v * v, axis=axes, keepdims=True))
        weight = v * (g / norms)
        return weight if rows is None else weight[rows]


@dataclass(frozen=True)
class LowRank(Piece):
    """A weight and its adapter: W + scale B A; sources W, A, B."""

    scale: float = 1.0
    said: str = ""

    @property
    def words(self) -> str | None:
        return f"includes its LoRA adapter, W + s B A with s = {self.said}"

    def fits(self, shapes: tuple[tuple[int, ...], ...]) -> bool:
        W, A, B = shapes
        return len(W) == len(A) == len(B) == 2 and (B[0], A[1]) == W and A[0] == B[1] > 0

    def read(self, archive: Archive, rows: slice | None) -> Array:
        W, A, B = self.sources
        weight = archive.read(W, rows).astype(np.float64)
        weight += self.scale * (archive.read(B, rows).astype(np.float64) @ archive.read(A).astype(np.float64))
        return weight


class PiecedArchive(Archive):
    """An archive in which `pieces` have taken the place of their sources."""

    def __init__(self, archive: Archive, pieces: Mapping[str, Piece]):
        self._archive, self._pieces = archive, pieces
        self.path, self.folder, self.format = archive.path, archive.folder, archive.format
        self.bytes_total = archive.bytes_total
        gone = {source for piece in pieces.values() for source in piece.sources}
        self.names = tuple(sorted((set(archive.names) - gone) | pieces.keys()))
        self._names = frozenset(self.names)

    @property
    def bytes_read(self) -> int:
        return self._archive.bytes_read

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def shape(self, name: str) -> tuple[int, ...]:
        piece = self._pieces.get(name)
        return self._archive.shape(name if piece is None else piece.sources[0])

    def dtype(self, name: str) -> str:
        piece = self._pieces.get(name)
        if piece is None:
            return self._archive.dtype(name)
        stored = [self._archive.dtype(source) for source in piece.sources]
        return next((dtype for dtype in stored if dtype not in WEIGHT_TYPES), "F64" if len(stored) > 1 else stored[0])

    def read(self, name: str, rows: slice | None = None) -> Array:
        piece = self._pieces.get(name)
        if piece is None:
            return self._archive.read(name, rows)
        with np.errstate(all="ignore"):  # what is no number is refused where the tensor is used
            return piece.read(self._archive, rows)

    def words(self, name: str) -> str | None:
        """How a tensor was put together, None where it is stored as it is."""
        return self._pieces[name].words if name in self._pieces else None

    def values(self, name: str) -> int:
        """How many stored numbers reading a tensor reads."""
        sources = self._pieces[name].sources if name in self._pieces else (name,)
        return sum(math.prod(self._archive.shape(source)) for source in sources)


def put_together(archive: Archive, read_adapters: Callable[[], Adapters | None]) -> Archive:
    """The archive with its weights in one piece; itself where no tensor is stored in pieces.

    `read_adapters` gives the scale of LoRA factors; it is asked only where there are some, and may raise what reading
    a config raises.
    """
    names = frozenset(name for name in archive.names if _PIECES.search(name))
    if not names:
        return archive
    if len(names) > _MOST_PIECES:
        raise UnsafeFile(
            f"{shown(archive.path)}: expected at most {_MOST_PIECES} weights in pieces, found {len(names)} tensors "
            "named like one; no model has so many"
        )
    pieces = dict(_plain_pieces(archive, names))
    if any(".lora_A" in name for name in names) and (adapters := read_adapters()) is not None:
        pieces |= dict(_adapted(archive, names, pieces, adapters))
    return PiecedArchive(archive, pieces) if pieces else archive


def words_of(archive: Archive, name: str) -> str | None:
    """How a tensor of an archive was put together, None where it is stored as it is."""
    return archive.words(name) if isinstance(archive, PiecedArchive) else None


def values_of(archive: Archive, name: str) -> int:
    """How many stored numbers reading a tensor of an archive reads."""
    return archive.values(name) if isinstance(archive, PiecedArchive) else math.prod(archive.shape(name))


def _plain_pieces(archive: Archive, names: frozenset[str]) -> Iterator[tuple[str, Piece]]:
    """Weights whose pieces alone tell what they are, and tell one thing only."""
    found: dict[str, list[Piece]] = {}
    for name in sorted(names):
        piece = next((piece for whole, piece in _readings(name) if _is_whole(archive, whole, piece)), None)
        if piece is not None:
            found.setdefault(next(_readings(name))[0], []).append(piece)
    yield from ((whole, pieces[0]) for whole, pieces in found.items() if len(pieces) == 1)


def _is_whole(archive: Archive, whole: str, piece: Piece) -> bool:
    """Whether a weight is not stored as such, all its pieces are, and their shapes fit."""
    if whole in archive or not all(source in archive for source in piece.sources):
        return False
    return piece.fits(tuple(tuple(archive.shape(source)) for source in piece.sources))


def _readings(name: str) -> Iterator[tuple[str, Piece]]:
    """What a tensor may be a piece of, by its name."""
    if name.endswith("_orig"):
        whole = name.removesuffix("_orig")
        yield whole, Masked((name, f"{whole}_mask"))
    elif name.endswith("weight_v"):
        whole = name.removesuffix("_v")
        yield whole, Normed((name, f"{whole}_g"))
    elif name.endswith(".original1"):
        module, _, leaf = name.removesuffix(".original1").rpartition(".parametrizations.")
        if module and "." not in leaf:
            yield f"{module}.{leaf}", Normed((name, name.removesuffix("1") + "0"))
    elif match := _WRAPPED.fullmatch(name):
        yield f"{match['module']}.{match['leaf']}", Renamed((name,))
    elif match := _SAVED.fullmatch(name):
        module, leaf = match["module"], match["leaf"]
        yield f"{module}.{leaf}", Renamed((name, f"{module}.original_module.{leaf}"))
        yield f"{module}.{leaf}", Renamed((name,))


def _adapted(
    archive: Archive,
    names: frozenset[str],
    pieces: Mapping[str, Piece],
    adapters: Adapters,
) -> Iterator[tuple[str, Piece]]:
    """Weights with one adapter whose scale is known."""
    found: dict[str, list[str]] = {}
    for name in names:
        if match := _LORA_A.fullmatch(name):
            found.setdefault(match["module"], []).append(name)
    for module, factors in found.items():
        whole, A = f"{module}.weight", factors[0]
        W = pieces[whole].sources[0] if whole in pieces else whole
        single = len(factors) == 1 and not (whole in pieces and not isinstance(pieces[whole], Renamed))
        B = f"{module}.lora_B{A.removeprefix(f'{module}.lora_A')}"
        if not single or W not in archive or B not in archive:
            continue
        if any(f"{module}.lora_{other}" in archive for other in _others(A, module)):
            continue
        rank = archive.shape(A)[0] if archive.shape(A) else 0
        if adapters.rank not in (None, rank):
            continue
        scale, said = adapters.scale(rank)
        piece = LowRank((W, A, B), scale, said)
        if piece.fits(tuple(tuple(archive.shape(source)) for source in piece.sources)):
            yield whole, piece


def _others(A: str, module: str) -> tuple[str, ...]:
    """Names of tensors that would change the formula: DoRA's magnitudes, a bias of B."""
    adapter = A.removeprefix(f"{module}.lora_A").removesuffix(".weight")
    return f"magnitude_vector{adapter}", f"magnitude_vector{adapter}.weight", f"B{adapter}.bias"
