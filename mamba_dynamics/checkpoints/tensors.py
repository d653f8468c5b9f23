"""The tensors that lie beside one `A_log`: looked up by suffix, read with checks.

A layer is found by its `A_log`, never by a prefix, so everything else of the layer is named
relative to it: with `A_log` at "backbone.layers.3.mixer.A_log" the suffix "x_proj.weight" means
"backbone.layers.3.mixer.x_proj.weight".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._errors import CheckpointError, CorruptFile, MissingTensor
from .._layer import FloatArray
from .base import WEIGHT_TYPES, Archive
from .wrappings import situation


@dataclass(frozen=True)
class LayerTensors:
    """One layer's view of an archive.

    `prefix` ends in a dot, or is empty for a bare mixer; `suffixes` are the names below it.
    """

    archive: Archive
    prefix: str
    suffixes: frozenset[str]

    @property
    def name(self) -> str:
        """The layer's full name in the file, safe to print."""
        return printable(self.prefix.rstrip(".")) or "(top level)"

    def has(self, suffix: str) -> bool:
        return suffix in self.suffixes

    def first(self, *suffixes: str) -> str:
        """The first of several spellings of a tensor that is present.

        Raises `MissingTensor` naming the layer, the suffix and what lies beside it.
        """
        for suffix in suffixes:
            if suffix in self.suffixes:
                return suffix
        module = suffixes[0].rpartition(".")[0]
        if module and (words := situation(module, self.suffixes)) is not None:
            found = ", ".join(printable(s, 60) for s in sorted(self.suffixes) if s.startswith(f"{module}."))[:200]
            raise MissingTensor(f"{self.name}: expected {suffixes[0]} beside A_log, found {found}; {words}")
        beside = ", ".join(printable(s) for s in sorted(self.suffixes)[:12])
        raise MissingTensor(
            f"{self.name}: expected {' or '.join(suffixes)} beside A_log, found only {beside}; "
            "the file is a partial export or another architecture: open the complete checkpoint"
        )

    def shape(self, suffix: str) -> tuple[int, ...]:
        """Shape, without the trailing ones of a module's weight that is stored as a 1x1 convolution."""
        shape = tuple(self.archive.shape(self.prefix + self.first(suffix)))
        while suffix.endswith(".weight") and len(shape) > 2 and shape[-1] == 1:
            shape = shape[:-1]
        return shape

    def matrix_shape(self, suffix: str) -> tuple[int, int]:
        shape = self.shape(suffix)
        if len(shape) != 2:
            raise CheckpointError(
                f"{self.name}: {suffix} should be a matrix, found shape {shape}; the layout is unknown"
            )
        return shape

    def read(self, suffix: str, rows: slice | None = None) -> FloatArray:
        """The values in float64, which holds every accepted number format exactly, read-only; see `stored`."""
        values = np.asarray(self.stored(suffix, rows), dtype=np.float64)
        values.flags.writeable = False  # a layer then keeps these, and needs no copy
        return values

    def stored(self, suffix: str, rows: slice | None = None) -> NDArray[np.floating]:
        """The values as they are stored: float64, or float32, which holds every smaller format exactly.

        Raises `CorruptFile` when a value is not finite, `CheckpointError` when they are quantised.
        """
        shape = self.shape(suffix)
        full = self.prefix + suffix
        dtype = self.archive.dtype(full)
        if dtype not in WEIGHT_TYPES:
            raise CheckpointError(
                f"{self.name}: {suffix} should be stored as one of {', '.join(WEIGHT_TYPES)}, found {printable(dtype)} "
                "(quantised weights); open the checkpoint they were quantised from"
            )
        array = self.archive.read(full, rows)
        bad = array.size - int(np.count_nonzero(np.isfinite(array)))
        if bad:
            raise CorruptFile(
                f"{self.name}: {suffix} should hold finite numbers, found {bad} NaN or infinite of {array.size} read; "
                "training diverged or the download broke: other layers stay readable"
            )
        return array.reshape((array.shape[0], *shape[1:]) if shape else ())

    def rates(self, suffix: str) -> FloatArray:
        """a = exp(A_log), in float64."""
        with np.errstate(over="ignore"):
            rates = np.exp(self.read(suffix))
        if not np.all(np.isfinite(rates)):
            raise CorruptFile(f"{self.name}: {suffix} should stay below 709, where exp overflows, found larger values")
        return rates


def group_by_layer(archive: Archive, prefixes: Iterable[str]) -> Mapping[str, LayerTensors]:
    """One `LayerTensors` for every prefix; a name belongs to the longest prefix that it begins with.

    In alphabetical order the names below a prefix follow it, so the prefixes around a name are a stack. This takes time
    in proportion to the letters of all names, however many dots they have.
    """
    below: dict[str, set[str]] = {prefix: set() for prefix in prefixes}
    around: list[str] = []
    for name, is_name in sorted([(prefix, False) for prefix in below] + [(name, True) for name in archive.names]):
        while around and not name.startswith(around[-1]):
            around.pop()
        if not is_name:
            around.append(name)
        elif around:
            below[around[-1]].add(name[len(around[-1]) :])
    return {prefix: LayerTensors(archive, prefix, frozenset(found)) for prefix, found in below.items()}


def printable(name: str, limit: int = 120) -> str:
    """A stranger's name in plain ASCII, on one line."""
    text = ascii(name)[1:-1]
    return text if len(text) <= limit else text[:limit] + "..."
