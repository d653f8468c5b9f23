"""Copies of one model in one file: which layers are judged, and which are left out and named.

A training checkpoint holds weights and their moving average, a student and its teacher, an optimizer's state under the
parameters' names, the members of an ensemble. They are no layers of one another. What tells them from the parts of one
model (an encoder and a decoder, two towers, stages) is both

    structure   the layers under one root have the names and shapes of those under another     copy_groups
    evidence    the roots' words say copies (copy_words), or each root holds a whole model     copy_evidence
                and nothing lies beside them

With both, the copy of the lowest rank is judged: the weights themselves rather than an average of them, because they
are what a state dict holds unless it says otherwise, what training goes on from, and what its logs speak of. With less,
all layers are judged; where that may be wrong a warning says so. A config that counts the layers decides what is left
open. Only names and shapes are looked at.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .._errors import CheckpointError
from .base import Archive, shown
from .copy_evidence import Evidence, Surroundings, names_below, of_a_model
from .copy_groups import Copy, branches, grouped, parts_of, repeats, start
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
    of_file = _sorted(layers, archive, expected)
    if weights == "":
        return Choice(tuple(layers), weights, warnings=tuple(_all_copies(layers, of_file)), whole=False)
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
    if evidence is Evidence.UNCLEAR and expected == len(groups[0].layers):
        evidence = Evidence.COPIES
    if evidence is Evidence.COPIES:
        return _Sorted(groups[:1], (*groups[1:], *found.left_out))
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


def _all_copies(layers: Sequence[FoundLayer], found: _Sorted) -> list[str]:
    """What is said where all layers are judged, copies too: which positions are those of which copy."""
    if not found.left_out:
        return _warnings(found, None)
    positions = {layer.tensors.prefix: i for i, layer in enumerate(layers)}
    copies = sorted(
        (sorted(positions[prefix] for prefix in _prefixes([copy])), _listed(copy.roots))
        for copy in (*found.kept, *found.left_out)
    )
    words = [f"{_ranges(mine)} below {roots}" for mine, roots in copies]
    return [
        f"copies: this file holds the model {1 + len(found.left_out)} times, and all layers are judged: "
        f"{_shortened(words)}; --weights PREFIX (weights=) chooses one copy"
    ]


def _ranges(positions: Sequence[int]) -> str:
    """ "layers 0 to 2, 6" of the positions 0, 1, 2 and 6."""
    runs: list[list[int]] = []
    for i in positions:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    words = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"{'layer' if len(positions) == 1 else 'layers'} {_shortened(words)}"


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
