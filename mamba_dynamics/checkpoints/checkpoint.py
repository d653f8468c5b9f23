"""`open_checkpoint`: from a path to a lazy list of S6 layers in normal form.

    checkpoint = open_checkpoint("state-spaces/mamba-130m-hf")   # a folder or a file
    checkpoint.architecture, checkpoint.layers, checkpoint.warnings
    layer = checkpoint.layer(0)                                  # reads this layer's S6 tensors only

Opening reads headers, names and `config.json`. The steps: an archive (`archives`), the layers in
it by their tensors (`layouts`), the facts in the config (`architectures`), and a cross-check of
every size that both know.
"""

import math
import os
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from .._allowance import require_within
from .._errors import CheckpointError, MissingTensor, UnsafeFile, UnsupportedArchitecture
from .._layer import DROPPED_BY_THE_LIMIT, S6Layer
from .adapters import read_adapters
from .architectures import Architecture, Description, architecture_named, describe
from .archives import archive_of, weights_at
from .base import Archive, shown
from .beside import not_put_in, with_adapter
from .config import read_config
from .copies import Choice, choose
from .definite import SUFFIX as DEFINITE
from .definite import VARIANTS
from .facts import NORMS_UNKNOWN, LayerFacts
from .files import StoredFile
from .folder import Folder
from .layouts import FoundLayer, find_layers, unread_beside
from .leftovers import left_out_warning
from .pieces import put_together, values_of, words_of
from .quantisation import require_unquantised
from .sharded import shard_words
from .sizes import Fact, Sizes, require_agreement
from .tensors import printable
from .unread import Blocks, unread_words

#: No S6 layer has a quarter of these; each is a row of matrices whose spectra are sought, at its third power.
MOST_STATES = 1024

#: Bytes a layer takes at most for each value read, and its verdict for each value of one S_B.
_PER_VALUE, _PER_VERDICT = 16, 60


@dataclass(frozen=True, kw_only=True)
class LayerSlot:
    """One S6 layer of a checkpoint, known by names and shapes; no tensor of it was read.

    `name` is the full name in the file, `index` its position among the S6 layers, `kind` a row of
    the table of layouts, `tensors` the names that `Checkpoint.layer` reads. `d_model` is None
    where no tensor shows it. `left_out` are the names of tensors of its block that were not understood: what they do
    is missing from the layer, so no verdict on it is decided.
    """

    name: str
    index: int
    kind: str
    tensors: tuple[str, ...]
    d_inner: int
    d_state: int
    heads: int = 1
    groups: int = 1
    d_model: int | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """An opened checkpoint. `layers` and `layer(i)` use positions among the S6 layers, from 0.

    `architecture` is that of `config.json`, or the closest the tensors' names allow; `config` is
    the parsed file or None, `folder` where it and the tokenizer lie. Several kinds of layers may share one checkpoint.
    Of a model on a hub `path` is its id, and `revision` the commit that was read. Where the file holds copies of one
    model (see `copies`), `weights` is the prefix of the one that the layers belong to and `copies` has the others'.
    `unread` are the places of blocks that look like an S6 scan's and are no layer, and the names of files: of an
    adapter that could not be placed, and of the file itself where it is one shard of several. Warnings describe them.
    """

    path: Path
    folder: Path
    architecture: str
    format: str
    config: dict[str, Any] | None
    layers: tuple[LayerSlot, ...]
    warnings: tuple[str, ...]
    bytes_total: int
    revision: str | None
    unread: tuple[str, ...]
    weights: str | None
    copies: tuple[str, ...]
    _place: Folder = field(repr=False)
    _archive: Archive = field(repr=False)
    _found: tuple[FoundLayer, ...] = field(repr=False)
    _sizes: tuple[Sizes, ...] = field(repr=False)
    _facts: LayerFacts = field(repr=False)
    _dropped: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def bytes_read(self) -> int:
        """Bytes of weights and headers read so far; of a model on a hub, all bytes that came from there."""
        fetched = self._place.bytes_fetched
        return self._archive.bytes_read if fetched is None else fetched

    def layer(self, index: int) -> S6Layer:
        """Read one layer: its S6 tensors, and of Mamba-2's input projection only the rows of B, C and dt.

        Raises `IndexError` for a position outside the checkpoint, `CorruptFile` where a tensor
        holds NaN or infinity, `UnsafeFile` where its float64 arrays are out of proportion to the file.
        """
        if not 0 <= index < len(self.layers):
            raise IndexError(f"layer {index} does not exist: this checkpoint has S6 layers 0 to {len(self.layers) - 1}")
        found, slot = self._found[index], self.layers[index]
        require_within(_cost(self._archive, slot), self.bytes_total, self.path, f"layer {slot.name}")
        facts = replace(self._facts, dt_bias_times=found.layout.dt_bias_times)
        layer = found.layout.build(found.tensors, self._sizes[index], facts)
        dropped = (*DROPPED_BY_THE_LIMIT, *found.layout.dropped, *_dropped_by_tensors(found), *self._dropped)
        dropped = (*dropped, "norms on B, C and the step size") if layer.norms.any else dropped
        warnings = (*layer.warnings, *_about_tensors(self._archive, found, slot))
        return layer.described(name=slot.name, index=index, kind=slot.kind, dropped=dropped, warnings=warnings)


def open_checkpoint(
    path: str | PathLike[str], *, groups: int | None = None, variant: str | None = None, weights: str | None = None
) -> Checkpoint:
    """Open a checkpoint file, a folder with one, an index of shards, or a model on the Hugging Face hub.

    Args:
        path: safetensors or torch weights; a folder may hold `config.json` beside them. Where there is no such path,
            ORG/NAME or ORG/NAME@REVISION is a model on the hub (extra `hub`): read from the local cache if it is
            there, else by the byte ranges that are needed.
        groups: number of (S_B, S_C) pairs per Mamba-2 layer, where no config tells it.
        variant: "positive", "negative" or "mixed", the sign map of the paper's reparametrised
            models (see `definite`); only for these.
        weights: only the layers whose names begin with this prefix, "state_dict_ema" or "encoder". Where a file holds
            copies of one model, such as an average of its weights, one of them is opened unless this says another: the
            plain weights. An empty prefix takes every layer of the file, copies too.

    Raises:
        UnsupportedArchitecture: there is no S6 layer; the message says what there is.
        MissingTensor: a layer lacks a weight.
        CorruptFile, UnsafeFile: the file cannot be trusted.
        CheckpointError: nothing there, no layer below the prefix, shapes and config contradict each other, or the
            number of groups is unknown.
    """
    given, path = os.fspath(path), Path(path)
    _require_options(groups, variant)
    file, place = _weights(path, given)
    apart = shard_words(file, place)
    try:
        return _opened(path, file, place, apart, groups=groups, variant=variant, weights=weights)
    except (MissingTensor, UnsupportedArchitecture) as error:
        raise error if apart is None else type(error)(f"{shown(file.path)} is {apart}") from None


def _opened(
    path: Path,
    file: StoredFile,
    place: Folder,
    apart: str | None,
    *,
    groups: int | None,
    variant: str | None,
    weights: str | None,
) -> Checkpoint:
    """The checkpoint of a weight file or index; `apart` are words on a file that is one shard of several."""
    alone = os.path.lexists(path) and not os.path.isdir(path)
    beside = with_adapter(archive_of(file, place), place, alone=alone)
    archive = put_together(beside.archive, lambda: read_adapters(place))
    config = read_config(place)
    description = describe(config)
    layers = find_layers(archive, variant)
    _require_use_of(variant, layers)
    choice = choose(layers, archive, weights, None if description.layers is None else description.layers.value)
    found = choice.layers
    architecture, warnings = _architecture(archive, found, description)
    expected = _expected(description, groups, found)
    sizes = tuple(_measured(layer, expected) for layer in found)
    if choice.whole:
        _require_count(found, description, None if apart is None else f"{shown(file.path)} is {apart}")
    _require_possible(found, sizes)
    unread = _of_choice(unread_beside(archive, layers), choice, weights)
    row = architecture_named(architecture)
    more = (*beside.warnings, *not_put_in(archive, beside.archive), *_about_shard(file, apart))
    return Checkpoint(
        path=path,
        folder=place.path,
        architecture=architecture,
        format=archive.format,
        config=None if config is None else dict(config.values),
        layers=tuple(_slot(i, layer, size) for i, (layer, size) in enumerate(zip(found, sizes, strict=True))),
        warnings=(*warnings, *choice.warnings, *_about_unread(archive, unread), *more),
        bytes_total=archive.bytes_total,
        revision=place.revision,
        unread=(*unread, *beside.unread, *(() if apart is None else (file.path.name,))),
        weights=choice.weights,
        copies=choice.copies,
        _place=place,
        _archive=archive,
        _found=found,
        _sizes=sizes,
        _facts=_layer_facts(description, row, warnings, variant),
        _dropped=() if row is None else row.dropped,
    )


def _of_choice(unread: Blocks, choice: Choice, weights: str | None) -> Blocks:
    """The blocks that lie below the prefix that was asked for, and in no copy that was left out."""
    below = "" if not weights else weights.removesuffix(".") + "."
    copies = tuple(f"{copy}." for copy in choice.copies if copy)
    return {
        prefix: names for prefix, names in unread.items() if prefix.startswith(below) and not prefix.startswith(copies)
    }


def _weights(path: Path, given: str) -> tuple[StoredFile, Folder]:
    """The weight file or index that a path, or the id of a model, leads to, and the folder it belongs to."""
    if not given:
        raise CheckpointError("expected a path or ORG/NAME, found an empty text: was a variable of the shell not set?")
    if os.path.lexists(path):
        return weights_at(path.absolute())
    from .hub import weights_of  # and with it what requests need: not for a path

    return weights_of(path, given)


def _require_options(groups: int | None, variant: str | None) -> None:
    if groups is not None and groups < 1:
        raise CheckpointError(f"groups should be a positive number of (S_B, S_C) pairs per layer, found {groups}")
    if variant is not None and variant not in VARIANTS:
        raise CheckpointError(f"variant should be one of {', '.join(VARIANTS)}, found {ascii(variant)[:40]}")


def _require_use_of(variant: str | None, layers: tuple[FoundLayer, ...]) -> None:
    if variant is not None and not any(layer.tensors.has(DEFINITE) for layer in layers):
        raise CheckpointError(
            f"variant={variant} was given, but no layer here holds the raw parameter of a reparametrisation "
            f"({DEFINITE}); leave it out"
        )


def _architecture(
    archive: Archive, found: tuple[FoundLayer, ...], description: Description
) -> tuple[str, tuple[str, ...]]:
    """The architecture's name, and what is uncertain about it."""
    kinds = {layer.layout.kind for layer in found}
    row = description.architecture
    if row is not None:
        if not kinds <= set(row.kinds):
            raise CheckpointError(
                f"config.json says {row.name}, whose layers are of kind {' or '.join(row.kinds)}, but the tensors are "
                f"those of {', '.join(sorted(kinds))}; use the config.json saved with the weights"
            )
        return row.name, row.warnings
    warnings: tuple[str, ...] = ()
    if description.model_type is not None:
        known = ascii(description.model_type[:40])
        warnings = (f"config.json names the model type {known}, which is not in the table: read by tensor names alone",)
    if any(name.endswith("backbone.embedding.weight") for name in archive.names):
        return "mamba_ssm", warnings
    mamba1 = [layer.tensors for layer in found if layer.layout.kind == "mamba1"]
    if mamba1 and all(tensors.has("b_layernorm.weight") for tensors in mamba1):
        return "jamba", warnings
    if mamba1:
        warnings = (*warnings, NORMS_UNKNOWN)
    return "+".join(sorted(kind.replace("mamba1", "mamba") for kind in kinds)), warnings


def _expected(description: Description, groups: int | None, found: tuple[FoundLayer, ...]) -> dict[str, Fact]:
    expected = dict(description.sizes)
    if groups is None:
        return expected
    if all(layer.layout.kind != "mamba2" for layer in found):
        raise CheckpointError(f"groups={groups} was given, but no layer here is a Mamba-2 layer; leave it out")
    if "groups" in expected and expected["groups"].value != groups:
        known = expected["groups"]
        raise CheckpointError(f"groups is {groups} as given but {known.value} by {known.source}; leave it out")
    return expected | {"groups": Fact(groups, "the number given")}


def _measured(layer: FoundLayer, expected: Sizes) -> Sizes:
    require_unquantised(layer.tensors, input_is_read=layer.layout.kind == "mamba2")
    layer.layout.reads(layer.tensors)  # a missing tensor is the plainer message, so it comes first
    sizes = layer.layout.measure(layer.tensors, expected)
    require_agreement(layer.tensors.name, sizes, expected)
    return sizes


def _require_count(found: tuple[FoundLayer, ...], description: Description, explained: str | None) -> None:
    """Compare the number of layers with the config's; where a difference is `explained`, that is said."""
    layers = description.layers
    if layers is not None and layers.value != len(found):
        raise CheckpointError(
            explained
            or f"{len(found)} S6 layers by the tensors but {layers.value} by {layers.source}; the file may be one "
            "shard of several (open the folder), hold several models (choose one with --weights), or the config be "
            "another model's"
        )


def _require_possible(found: tuple[FoundLayer, ...], sizes: tuple[Sizes, ...]) -> None:
    for layer, size in zip(found, sizes, strict=True):
        if not size["d_state"].value or not size["d_inner"].value:
            raise CheckpointError(
                f"{layer.tensors.name}: expected channels and states, found {size['d_inner'].value} and "
                f"{size['d_state'].value}; the file was saved without its weights"
            )
        if size["d_state"].value > MOST_STATES:
            raise UnsafeFile(
                f"{layer.tensors.name}: expected at most {MOST_STATES} states a channel, found "
                f"{size['d_state'].value} by {size['d_state'].source}; no S6 layer has so many"
            )


def _cost(archive: Archive, slot: LayerSlot) -> int:
    """Bytes that reading a layer and judging its weights may take, from above."""
    channels = slot.d_inner
    values = sum(values_of(archive, name) for name in slot.tensors)
    if slot.kind == "mamba2":
        # Of the input projection only the rows of B, C and dt are read.
        projection = next(name for name in slot.tensors if name.endswith("in_proj.weight"))
        channels = archive.shape(projection)[1]
        values += (2 * slot.groups * slot.d_state + slot.heads) * channels - math.prod(archive.shape(projection))
    return max(_PER_VALUE * values, _PER_VALUE // 2 * values + _PER_VERDICT * slot.d_state * channels)


def _layer_facts(
    description: Description, row: Architecture | None, warnings: tuple[str, ...], variant: str | None
) -> LayerFacts:
    return LayerFacts(
        weightless_norms=row is not None and row.weightless_norms,
        norms_known=NORMS_UNKNOWN not in warnings,
        norm_eps=description.norm_eps,
        multipliers=description.multipliers,
        dt_bias_multiplier=description.dt_bias_multiplier,
        dt_limit=description.dt_limit,
        variant=variant,
    )


def _slot(index: int, layer: FoundLayer, sizes: Sizes) -> LayerSlot:
    tensors = layer.tensors
    known = {size: sizes[size].value for size in ("heads", "groups", "d_model") if size in sizes}
    return LayerSlot(
        name=tensors.name,
        index=index,
        kind=layer.layout.kind,
        tensors=tuple(tensors.prefix + suffix for suffix in layer.layout.reads(tensors)),
        d_inner=sizes["d_inner"].value,
        d_state=sizes["d_state"].value,
        left_out=tuple(tensors.prefix + suffix for suffix in layer.left_out),
        **known,
    )


def _about_tensors(archive: Archive, found: FoundLayer, slot: LayerSlot) -> list[str]:
    """What is to be said of a layer's tensors: which were put together from pieces, and what was not understood."""
    prefix = found.tensors.prefix
    lines = [f"{printable(name.removeprefix(prefix))} {words_of(archive, name)}" for name in _pieced(archive, slot)]
    return [*lines, left_out_warning(found.left_out)] if found.left_out else lines


def _pieced(archive: Archive, slot: LayerSlot) -> list[str]:
    return [name for name in slot.tensors if words_of(archive, name) is not None]


def _about_shard(file: StoredFile, apart: str | None) -> tuple[str, ...]:
    return () if apart is None else (f"the model as a whole is not decided: {shown(file.path.name)} is {apart}",)


def _about_unread(archive: Archive, unread: Blocks) -> tuple[str, ...]:
    if not unread:
        return ()
    return (f"not read, so the checkpoint as a whole is not decided: {unread_words(archive, unread)}",)


def _dropped_by_tensors(found: FoundLayer) -> tuple[str, ...]:
    """What only the tensors of one layer show."""
    if found.layout.kind != "mamba2":
        return ()
    return ("gated RMS norm",) if found.tensors.has("norm.weight") else ()
