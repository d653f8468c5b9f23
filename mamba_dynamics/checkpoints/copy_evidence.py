"""Whether groups of layers that repeat are copies of one model, parts of one model, or unclear.

A whole model has an embedding or a head beside its layers; copies of one have nothing beside them in the file but what
keeps books of the training.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from enum import Enum
from functools import cached_property
from math import prod

from .base import Archive
from .copy_groups import Copy, own_word, plain_among
from .copy_words import SURE, read_path

#: So much of a name is searched: patterns may take the square of a longer one.
_LONGEST_LOOKED_AT = 200
_EMBEDDING = re.compile(r"(?:^|[._])(?:\w*embed\w*|emb|wte|tok\w*)[._]", re.IGNORECASE)
_HEAD = re.compile(r"(?:^|[._])(?:\w*head\w*|classifier|decoder_out|output|fc|logits)[._]", re.IGNORECASE)
_BOOKS = re.compile(
    r"(?:lr_?)?schedulers?|optimizers?|optimizer_states?|(?:grad_?)?scaler|callbacks|loops|rng\w*|args|epoch|step|config"
)
#: Pairs of names of which the second may be an average of the first, or the other half of two towers.
_PAIRS = (frozenset({"q", "k"}), frozenset({"query", "key"}), frozenset({"context", "target"}))
#: Words for the parts of one model, which may well be alike.
_PARTS = (
    "encoder decoder enc dec left right fwd bwd fw bw forward backward audio video text image img visual vision speech "
    "query key document doc passage question context source target src tgt up down coarse fine local global spatial "
    "temporal time freq frequency row col rgb depth flow high low first second stage branch tower path stream"
)


class Evidence(Enum):
    COPIES = "copies"
    UNCLEAR = "unclear"
    PARTS = "parts"


class Surroundings:
    """All tensors of a file, seen from groups of its layers that repeat."""

    def __init__(self, copies: Sequence[Copy], archive: Archive):
        self._copies, self._archive = copies, archive
        self._whole: dict[str, tuple[bool, bool]] = {}
        self._shapes: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {}

    def by_words(self, one: Copy, other: Copy) -> Evidence:
        """What two of the groups are, by the words that tell them apart and by what lies around their layers."""
        kinds = {role.kind for role in one.roles_beside(other)}
        if kinds & SURE:
            return Evidence.COPIES
        if not kinds:
            return Evidence.COPIES if self._same_tensors(one, other) else Evidence.UNCLEAR
        whole = all(any(self._holds(copy)) for copy in (one, other))
        if "weak" in kinds:
            return self._by_weak_words(one, other, whole)
        nested = "number" not in kinds and len(one.layers) > 1
        return Evidence.COPIES if (whole or nested) and not self._beside else Evidence.UNCLEAR

    def by_structure(self) -> Evidence:
        """What the groups are, where no word tells: copies are whole language models with nothing beside them.

        Which of them holds the weights shows only where one alone has a plain name, or where all are numbered.
        """
        names = [own_word(copy, self._copies) or copy.roots[0].rpartition(".")[2] for copy in self._copies]
        words = [frozenset(re.split(r"[_\W\d]+", name.lower())) for name in names]
        if len(words) == 2 and words[0] ^ words[1] in _PAIRS:
            return Evidence.UNCLEAR
        first, *others = self._copies
        parts = any(one & {*_PARTS.split()} for one in words)
        one_plain = len(plain_among(self._copies)) == 1
        otherwise = Evidence.UNCLEAR if one_plain and not parts and any(first.layers) else Evidence.PARTS
        if self._beside or not all(self._same_tensors(other, first) for other in others):
            return otherwise
        numbers = all(name.isdecimal() for name in names)
        nested = any(part.isdecimal() for stem in first.layers for part in stem)
        if numbers and not nested:  # layers, whatever each of them holds
            return Evidence.PARTS
        holds = self._holds(first)
        if all(holds):
            return Evidence.COPIES if (one_plain or numbers) and not parts else Evidence.UNCLEAR
        return Evidence.UNCLEAR if any(holds) and not parts else otherwise

    def _by_weak_words(self, one: Copy, other: Copy, whole: bool) -> Evidence:
        if not (one.read.bare or other.read.bare):
            return Evidence.COPIES
        if one.read.places and other.read.places:
            return Evidence.UNCLEAR if whole else Evidence.PARTS
        wordless = not one.read.words or not other.read.words
        return Evidence.UNCLEAR if self._beside or (wordless and not whole) else Evidence.COPIES

    def _holds(self, copy: Copy) -> tuple[bool, bool]:
        """Whether there are an embedding and a head below the copy's first root."""
        root = copy.roots[0]
        if root not in self._whole:
            inside = [name[len(root) :][:_LONGEST_LOOKED_AT] for name in names_below(root, self._archive)]
            self._whole[root] = any(map(_EMBEDDING.search, inside)), any(map(_HEAD.search, inside))
        return self._whole[root]

    def _same_tensors(self, one: Copy, other: Copy) -> bool:
        """Whether one root of each holds the same names with the same shapes."""
        if len(one.roots) != 1 or len(other.roots) != 1:
            return False
        return self._below(one.roots[0], other.roots[0]) == self._below(other.roots[0], one.roots[0])

    def _below(self, root: str, other: str) -> dict[str, tuple[int, ...]]:
        """Shapes by name below a root, without those below another root that lies in it."""
        nested = (
            other if names_below(other, self._archive) and f"{other}.".startswith(f"{root}." if root else "") else ""
        )
        if (root, nested) not in self._shapes:
            inner = set(names_below(nested, self._archive)) if nested else set()
            names = [name for name in names_below(root, self._archive) if name not in inner]
            shapes = {name[len(root) + bool(root) :]: self._archive.shape(name) for name in names}
            self._shapes[root, nested] = shapes
        return self._shapes[root, nested]

    @cached_property
    def _beside(self) -> bool:
        """Whether tensors of a model lie outside of all groups."""
        roots = [root for copy in self._copies for root in copy.roots]
        below = {name for root in roots for name in names_below(root, self._archive)}
        return any(of_a_model(name, self._archive) for name in self._archive.names if name not in below)


def of_a_model(name: str, archive: Archive) -> bool:
    """Whether a tensor is neither a counter nor a state of the training, and no word says that it is a copy's."""
    first = name.partition(".")[0].lower()
    size = prod(archive.shape(name))
    return size > 1 and not _BOOKS.fullmatch(first) and not read_path(name.split(".")[:-1]).roles


def names_below(prefix: str, archive: Archive) -> tuple[str, ...]:
    """The names below a prefix, which ends in no dot; all names for the empty one."""
    if not prefix:
        return archive.names
    start, stop = (bisect_left(archive.names, prefix + sign) for sign in (".", "/"))  # "/" follows "."
    return archive.names[start:stop]
