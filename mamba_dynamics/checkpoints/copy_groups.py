"""Layers grouped by the words in their paths, and whether the layers of one group repeat those of another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from .base import Archive
from .copy_words import MOST_PARTS, SURE, Path, Role, is_wrapper, read_path
from .layouts import FoundLayer

Stem = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Copy:
    """Layers whose paths hold the same words, by the paths without them; `roots` are the prefixes they lie below."""

    read: Path
    layers: dict[Stem, FoundLayer]
    roots: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, int]:
        """Plain weights first, and of those the larger part."""
        return sum(role.rank for role in self.read.roles), -len(self.layers)

    @property
    def says(self) -> str:
        return max(self.read.roles, key=lambda role: role.rank).says if self.read.roles else "other weights"

    def roles_beside(self, other: "Copy") -> set[Role]:
        """The roles that the words of only one of the two have."""
        return {role for _, role in {*self.read.words} ^ {*other.read.words} if role is not None}

    @cached_property
    def unwrapped(self) -> dict[Stem, FoundLayer]:
        """The layers by their paths without the wrappers and numbers that all of them begin with."""
        common = start(self.layers)
        return self._without(next((i for i, part in enumerate(common) if not is_wrapper(part)), len(common)))

    @cached_property
    def below_common(self) -> dict[Stem, FoundLayer]:
        """The layers by their paths without all that they begin with."""
        return self._without(len(start(self.layers)))

    def _without(self, count: int) -> dict[Stem, FoundLayer]:
        return {stem[count:]: layer for stem, layer in self.layers.items()}

    def members(self) -> tuple["Copy", ...]:
        """One copy for each number in front of all its paths: `ema.0.backbone`, `ema_0.999.backbone`."""
        if not self.read.roles or not all(len(stem) > 1 and stem[0].isdecimal() for stem in self.layers):
            return ()
        found: dict[str, dict[Stem, FoundLayer]] = {}
        for stem, layer in self.layers.items():
            found.setdefault(stem[0], {})[stem[1:]] = layer
        read = self.read._replace(root=self.read.root + 1)
        return tuple(
            Copy(read, layers, _roots((layer, read.root) for layer in layers.values())) for layers in found.values()
        )


def parts_of(layer: FoundLayer) -> Stem:
    return tuple(layer.tensors.prefix.removesuffix(".").split(".", MOST_PARTS))


def start(paths: Iterable[Stem]) -> Stem:
    """The parts with which all paths begin."""
    paths = [*paths]
    low, high = min(paths, default=()), max(paths, default=())
    return low[: next((i for i, part in enumerate(low) if i == len(high) or part != high[i]), len(low))]


def grouped(layers: Iterable[FoundLayer]) -> list[Copy]:
    """The layers by the words in their paths; first what is judged first."""
    found: dict[object, list[tuple[Path, FoundLayer]]] = {}
    for layer in layers:
        read = read_path(parts_of(layer))
        found.setdefault(read.words, []).append((read, layer))
    copies = []
    for members in found.values():
        by_stem = {read.stem: layer for read, layer in members}
        if len(by_stem) < len(members):  # the words do not tell these layers apart
            by_stem = {parts_of(layer): layer for _, layer in members}
        copies.append(Copy(members[0][0], by_stem, _roots((layer, read.root) for read, layer in members)))
    return sorted(copies, key=lambda copy: copy.rank)


def repeats(one: Copy, other: Copy, archive: Archive) -> bool:
    """Whether the layers of `one` are all among those of `other`, by names and shapes.

    Only where a sure word tells the two apart may `one` hold a part of the other's layers, and only where it names a
    copy, as "student" does not, may they lie under other nouns.
    """
    sure = [role for role in one.roles_beside(other) if role.kind in SURE]
    for mine, its in ((one.layers, other.layers), (one.unwrapped, other.unwrapped)):
        first = {stem[:1] for stem in mine}
        wanted = mine.keys() if sure else {stem for stem in its if stem[:1] in first}
        if mine.keys() == wanted and mine.keys() <= its.keys():
            return all(_alike(layer, its[stem], archive) for stem, layer in mine.items())
    if not any(role.rank > 1 for role in sure):
        return False
    mine, its = one.below_common, other.below_common
    return mine.keys() == its.keys() and all(_alike(mine[stem], its[stem], archive) for stem in mine)


def branches(layers: Sequence[FoundLayer], archive: Archive) -> tuple[Copy, ...]:
    """The groups below the first part in which the layers' paths differ, if all of them are alike.

    Else plain layers first and groups that repeat them below a word of their own: `layers` and `fisher.layers`.
    """
    paths = {parts_of(layer): layer for layer in layers}
    depth = len(start(paths))
    found: dict[Stem, dict[Stem, FoundLayer]] = {}
    for path, layer in paths.items():
        found.setdefault(path[: depth + 1], {})[path[depth + 1 :]] = layer
    groups = tuple(Copy(Path(root), layers, (".".join(root),)) for root, layers in found.items())
    if len(paths) < len(layers):
        return ()
    return groups if _all_alike(groups, archive) else _beside_plain(paths, depth, archive)


def plain_among(groups: Sequence[Copy]) -> tuple[Copy, ...]:
    """The groups whose roots say no more than that a model lies below, where they differ from the others'."""
    return tuple(copy for copy in groups if own_word(copy, groups) is None)


def own_word(copy: Copy, groups: Sequence[Copy]) -> str | None:
    """The first part of a group's root that is no wrapper, behind what the roots of all groups begin with."""
    common = len(start([_root_parts(one) for one in groups]))
    return next((part for part in _root_parts(copy)[common:] if not is_wrapper(part)), None)


def _root_parts(copy: Copy) -> Stem:
    return tuple(copy.roots[0].split(".")) if copy.roots[0] else ()


def _beside_plain(paths: Mapping[Stem, FoundLayer], depth: int, archive: Archive) -> tuple[Copy, ...]:
    """The layers below wrappers or below nothing, and groups that repeat all of them below a word of their own."""
    stems = {path: _unwrapped(path[depth:]) for path in paths}
    below: dict[str, dict[Stem, Stem]] = {}
    for path, stem in stems.items():
        if len(stem) > 1 and not stem[0].isdecimal():
            below.setdefault(stem[0], {})[_unwrapped(stem[1:])] = path
    known = set(stems.values())
    found = {word: inner for word, inner in below.items() if inner.keys() <= known}
    taken = {path for inner in found.values() for path in inner.values()}
    plain = {stem: path for path, stem in stems.items() if path not in taken}
    if not found or not plain or len(plain) + len(taken) < len(paths):
        return ()
    groups = tuple(_group(inner, paths) for inner in (plain, *found.values()))
    return groups if _all_alike(groups, archive) else ()


def _group(inner: Mapping[Stem, Stem], paths: Mapping[Stem, FoundLayer]) -> Copy:
    roots = dict.fromkeys(".".join(path[: len(path) - len(stem)]) for stem, path in inner.items())
    return Copy(Path(()), {stem: paths[path] for stem, path in inner.items()}, tuple(roots))


def _unwrapped(stem: Stem) -> Stem:
    """A path without the wrappers' words, not numbers, that it begins with."""
    first = (i for i, part in enumerate(stem) if part.isdecimal() or not is_wrapper(part))
    return stem[next(first, len(stem)) :]


def _all_alike(groups: Sequence[Copy], archive: Archive) -> bool:
    """Whether there are several groups, and each repeats the first by names and shapes."""
    if len(groups) < 2:
        return False
    first = groups[0].layers
    same = all(group.layers.keys() == first.keys() for group in groups)
    return same and all(_alike(group.layers[stem], first[stem], archive) for group in groups[1:] for stem in first)


def _roots(layers: Iterable[tuple[FoundLayer, int]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(".".join(parts_of(layer)[:root]) for layer, root in layers))


def _alike(one: FoundLayer, other: FoundLayer, archive: Archive) -> bool:
    """Whether two layers have one layout, and the tensors that both hold have the same shapes."""
    mine, its = one.tensors, other.tensors
    return one.layout.kind == other.layout.kind and all(
        archive.shape(mine.prefix + suffix) == archive.shape(its.prefix + suffix)
        for suffix in mine.suffixes & its.suffixes
    )
