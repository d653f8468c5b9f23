"""Copies of one model in one file: which layers are judged, and which are left out and named.

A training checkpoint holds weights and their moving average, a student and its teacher, an optimizer's state under the
parameters' names, the members of an ensemble. They are no layers of one another. What tells them from the parts of one
model (an encoder and a decoder, two towers, stages) is both

    structure   the layers under one root have the names and shapes of those under another     copy_groups
    evidence    the roots' words say copies (copy_words), or each root holds a whole model     copy_evidence
                and nothing lies beside them

With both, the copy of the lowest rank is judged: the weights themselves rather than an average of them, because they
are what a state dict holds unless it says otherwise, what training goes on from, and what its logs speak of. Of copies
that no word ranks it is the one whose root is plain: wrappers' words only. With less, all layers are judged; where that
may be wrong a warning says so. A config that counts the layers decides what is left open. Only names, shapes and stored
types are looked at; a layer of true and false is never judged beside one with weights (`copy_masks`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .._errors import CheckpointError
from .base import Archive, shown
from .copy_evidence import Evidence, Surroundings, names_below, of_a_model
from .copy_groups import Copy, branches, grouped, parts_of, plain_among, repeats, start
from .copy_masks import masks_among
from .copy_words import SURE
from .layouts import FoundLayer

#: So many prefixes a message names.
_MOST_NAMED = 6
#: So many groups a further one is compared with: a file of very many unlike ones would take their square.
_MOST_COMPARED = 16


@dataclass(frozen=True)
class Choice:
    """The layers to judge.

    `weights` is the prefix they lie below, None where there is none that says it; `copies` are the prefixes of the
    copies left out; `whole` is False where the layers are only a part of a model, chosen by a prefix.
    """

    layers: tuple[FoundLayer, ...]
    weights: str | None = None
    copies: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    whole: bool = True


@dataclass(frozen=True)
class _Sorted:
    """`kept` are judged together, each of `left_out` is a copy of one of them, `unclear` may be copies or parts."""

    kept: tuple[Copy, ...]
    left_out: tuple[Copy, ...] = ()
    unclear: tuple[Copy, ...] = ()


def choose(
    layers: Sequence[FoundLayer], archive: Archive, weights: str | None = None, expected: int | None = None
) -> Choice:
    """Choose the layers to judge: those below the prefix `weights`, and of copies among them the plainest.

    An empty prefix takes all layers of the file, copies too. `expected` is the number of layers that a config tells.

    Raises `CheckpointError` where no layer lies below the prefix, naming those that there are.
    """
    if weights == "":
        return Choice(tuple(layers), weights, warnings=_about_all(layers, archive), whole=False)
    of_file = _sorted(layers, archive, expected)
    if weights is None:
        return _choice(layers, of_file, None, _roots(of_file.left_out))
    prefix = weights.removesuffix(".")
    below = [layer for layer in layers if layer.tensors.prefix.startswith(prefix + ".")]
    if not below:
        raise CheckpointError(_nothing_below(weights, layers))
    found = _sorted(below, archive, expected)
    chosen = _choice(below, found, prefix, ())
    mine = {layer.tensors.prefix for layer in chosen.layers}
    copies = [*of_file.kept, *of_file.left_out] if of_file.left_out else []
    others = [copy for copy in copies if mine.isdisjoint(_prefixes([copy]))]
    whole = any(mine == _prefixes([copy]) for copy in copies) or mine == _prefixes(of_file.kept)
    return Choice(chosen.layers, chosen.weights, _roots([*others, *found.left_out]), chosen.warnings, whole)


def names_of_model(archive: Archive, prefix: str, copies: Iterable[str]) -> tuple[str, ...]:
    """The tensors of the model below a prefix, which ends in a dot or is empty, without those of copies within it."""
    root = prefix.removesuffix(".")
    inside = [copy for copy in copies if copy.startswith(prefix) and copy != root]
    others = {name for copy in inside for name in names_below(copy, archive)}
    names = [name for name in names_below(root, archive) if name not in others]
    return tuple(name for name in names if root or of_a_model(name, archive))


def _sorted(layers: Sequence[FoundLayer], archive: Archive, expected: int | None) -> _Sorted:
    masks = masks_among(layers, archive)
    if masks:
        masked = _prefixes(masks)
        found = _sorted([layer for layer in layers if layer.tensors.prefix not in masked], archive, expected)
        return _Sorted(found.kept, (*found.left_out, *masks), found.unclear)
    groups = grouped(layers)
    if expected == len(layers):
        return _Sorted(tuple(groups))
    found = _by_words(groups, archive, expected) if len(groups) > 1 else _Sorted(tuple(groups))
    if not found.unclear:
        found = _by_branches(found, archive, expected)
    return found


def _by_words(groups: Sequence[Copy], archive: Archive, expected: int | None) -> _Sorted:
    kept: list[Copy] = []
    left_out: list[Copy] = []
    unclear: list[Copy] = []
    around = Surroundings(groups, archive)
    for group in groups:
        pieces = [group]
        if kept and _original(group, kept, archive) is None:
            members = group.members()
            pieces = members if members and all(_original(one, kept, archive) for one in members) else pieces
        for piece in pieces:
            original = _original(piece, kept, archive)
            if original is None:
                kept.append(piece)
                continue
            evidence = around.by_words(piece, original)
            if evidence is Evidence.UNCLEAR and expected == len(original.layers):
                evidence = Evidence.COPIES
            (left_out if evidence is Evidence.COPIES else kept).append(piece)
            unclear += [original, piece] if evidence is Evidence.UNCLEAR else []
    if len(kept) > 1 and any(role.kind in SURE for copy in kept for role in copy.read.roles):
        unclear = kept
    return _Sorted(tuple(kept), tuple(left_out), tuple(dict.fromkeys(unclear)))


def _original(one: Copy, kept: Sequence[Copy], archive: Archive) -> Copy | None:
    return next((other for other in kept[:_MOST_COMPARED] if repeats(one, other, archive)), None)


def _by_branches(found: _Sorted, archive: Archive, expected: int | None) -> _Sorted:
    """Groups that no word tells apart, where each is a whole model."""
    groups = branches([layer for copy in found.kept for layer in copy.layers.values()], archive)
    evidence = Surroundings(groups, archive).by_structure() if groups else Evidence.PARTS
    plain = plain_among(groups)
    if evidence is Evidence.UNCLEAR and len(plain) == 1 and expected == len(plain[0].layers):
        evidence = Evidence.COPIES
    if evidence is Evidence.COPIES:
        others = [copy for copy in groups if copy is not plain[0]]
        return _Sorted(plain[:1], (*others, *found.left_out))
    return _Sorted(found.kept, found.left_out, groups if evidence is Evidence.UNCLEAR else ())


def _choice(layers: Sequence[FoundLayer], found: _Sorted, weights: str | None, copies: tuple[str, ...]) -> Choice:
    mine = _prefixes(found.kept)
    chosen = tuple(layer for layer in layers if layer.tensors.prefix in mine)
    if found.left_out:
        weights = _prefix(found.kept, _prefixes(found.left_out)) or weights
    return Choice(chosen, weights, copies, tuple(_warnings(found, weights)))


def _prefixes(copies: Iterable[Copy]) -> set[str]:
    return {layer.tensors.prefix for copy in copies for layer in copy.layers.values()}


def _roots(copies: Iterable[Copy]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(root for copy in copies for root in copy.roots))


def _prefix(kept: Sequence[Copy], others: set[str]) -> str | None:
    """The prefix of what is judged: its root, or for a bare model the first part of all its layers' names."""
    roots = _roots(kept)
    if len(roots) == 1 and roots[0]:
        return roots[0]
    common = start([parts_of(layer) for copy in kept for layer in copy.layers.values()])
    first = next(iter(common), "")
    return first if first and not any(name.startswith(first + ".") for name in others) else None


def _warnings(found: _Sorted, weights: str | None) -> list[str]:
    lines = []
    if found.left_out:
        judged = "the plain weights" if weights is None else shown(weights)
        others = [f"{_listed(copy.roots)} ({copy.says})" for copy in found.left_out]
        lines.append(
            f"copies: this file holds the model {1 + len(others)} times; the verdicts are on {judged}, not on "
            f"{_shortened(others)}; --weights PREFIX (weights=) chooses another copy"
        )
    if found.unclear:
        lines.append(
            f"copies or parts: the layers below {_listed(_roots(found.unclear))} may belong to several models, but "
            "they are judged as the layers of one; if they do, choose one model with --weights PREFIX (weights=)"
        )
    return lines


def _about_all(layers: Sequence[FoundLayer], archive: Archive) -> tuple[str, ...]:
    """What is to be said where all layers were asked for and some are copies of others: which layers are whose."""
    found = _sorted(layers, archive, None)
    copies = dict.fromkeys((*found.kept, *found.left_out) if found.left_out else found.unclear)
    if not copies:
        return ()
    positions = {layer.tensors.prefix: index for index, layer in enumerate(layers)}
    told = [f"{_counted(sorted(positions[name] for name in _prefixes([copy])))} {_below(copy)}" for copy in copies]
    verb = "hold" if found.left_out else "may hold"
    return (f"all layers of the file are judged, and they {verb} one model {len(told)} times: {_shortened(told)}",)


def _counted(numbers: Sequence[int]) -> str:
    """Layer numbers in words: `layers 0 to 2`, or `layers 0, 2, 4` where they have gaps."""
    if len(numbers) == 1:
        return f"layer {numbers[0]}"
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"layers {numbers[0]} to {numbers[-1]}"
    return f"layers {_shortened(list(map(str, numbers)))}"


def _below(copy: Copy) -> str:
    place = f"below {_listed(copy.roots)}" if any(copy.roots) else "at the top level"
    return f"{place} ({copy.says})" if copy.read.roles else place


def _nothing_below(weights: str, layers: Iterable[FoundLayer]) -> str:
    prefixes: set[tuple[str, ...]] = set()
    for layer in layers:
        parts = parts_of(layer)
        numbers = (i for i, part in enumerate(parts) if part.isdecimal())
        depth = min(next(numbers, len(parts)), 8)
        prefixes |= {parts[:count] for count in range(1, depth + 1)}
    there = _listed(
        [".".join(parts) for parts in sorted(prefixes, key=lambda parts: (len(parts), parts)) if any(parts)]
    )
    return (
        f"expected the prefix of S6 layers for weights, found {shown(weights)}, below which there is none; "
        f"{f'layers lie below {there}' if there else 'the only layer has no prefix: leave it out'}"
    )


def _listed(prefixes: Sequence[str]) -> str:
    return _shortened([shown(prefix) if prefix else "the top level" for prefix in prefixes])


def _shortened(words: Sequence[str]) -> str:
    more = len(words) - _MOST_NAMED
    return ", ".join(words[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
