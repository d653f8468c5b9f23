"""Masks of weights, as pruning keeps them beside a model: tensors of true and false under the names of its layers."""

from collections.abc import Sequence

from .base import Archive
from .copy_groups import Copy, Stem, parts_of
from .copy_words import MASK, Path
from .layouts import MARKERS, FoundLayer


def masks_among(layers: Sequence[FoundLayer], archive: Archive) -> tuple[Copy, ...]:
    """The layers of true and false that have the place and the shape of one with weights, by what they lie below.

    The place of a layer are the numbers in its path. No layer without such a counterpart is taken for a mask.
    """
    marked = [(layer, layer.tensors.prefix + layer.tensors.first(*MARKERS)) for layer in layers]
    weights = {(_place(layer), archive.shape(name)): layer for layer, name in marked if archive.dtype(name) != "BOOL"}
    found: dict[str, dict[Stem, FoundLayer]] = {}
    for layer, name in marked:
        original = weights.get((_place(layer), archive.shape(name)))
        if archive.dtype(name) == "BOOL" and original is not None:
            path = parts_of(layer)
            root = len(path) - _shared(path, parts_of(original))
            found.setdefault(".".join(path[:root]), {})[path[root:]] = layer
    return tuple(Copy(Path((), ((root, MASK),)), inner, (root,)) for root, inner in found.items())


def _place(layer: FoundLayer) -> Stem:
    return tuple(part for part in parts_of(layer) if part.isdecimal())


def _shared(path: Stem, other: Stem) -> int:
    """The number of parts with which both paths end."""
    pairs = zip(reversed(path), reversed(other), strict=False)
    return next((i for i, (one, its) in enumerate(pairs) if one != its), min(len(path), len(other)))
