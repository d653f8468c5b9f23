"""The scans of a block whose projections are modules of its own: one, or one for each direction.

    A_log              x_proj         dt_proj         D           forward
    A_b_log            x_proj_b       dt_proj_b       D_b         Vim's second direction
    A_s_log, A_c_log   x_proj_s ...   dt_proj_s ...   D_s ...     directions of other projects, under any tag
    A_log_TAG          x_proj_TAG     dt_proj_TAG     D_TAG       the same with the tag at the end

A tag without projections of its own shares those of the forward scan, as in Vim's first version. A block without a
forward scan is not read: where scans are only numbered (`A_log_1`, `A_log_2`), projects differ in which scan reads the
projections of which input, and the file does not say.
"""

import re
from typing import NamedTuple

from .._errors import UnsafeFile
from .tensors import LayerTensors

#: Endings of A_log that name a copy or a piece of it, and no direction.
_NO_TAGS = {"orig", "mask", "g", "v", "ema", "avg", "mean", "init", "old", "shadow", "scale", "bias", "grad", "zero"}
_TAGGED = re.compile(r"A_(?:(?P<inside>[A-Za-z0-9]\w*)_log|log_(?P<after>[A-Za-z0-9]\w*))")
#: Names of decay rates in general, for blocks that are not read.
_LIKE_A_LOG = re.compile(r"A\w*_logs?(?:\d+|_\w+)?")
_LONGEST = 100
#: A few bytes name a scan, and each costs a dozen rows of a table.
_MOST_TAGS = 100


class Scan(NamedTuple):
    """Names of one scan's tensors; `tag` is empty for the forward one.

    `dt_last` says that the rows of its x_proj are [B; C; dt] and not [dt; B; C].
    """

    tag: str
    A_log: str
    x_proj: str
    dt_proj: str
    D: str
    dt_last: bool = False


FORWARD = Scan("", "A_log", "x_proj", "dt_proj", "D")
#: MambaBEAT's name and order of rows.
SELECTION = FORWARD._replace(x_proj="selection", dt_last=True)


def has_selection(tensors: LayerTensors) -> bool:
    """Whether B, C and the step size come from a module `selection`, as in MambaBEAT."""
    return tensors.has("selection.weight") and not any(suffix.startswith("x_proj.") for suffix in tensors.suffixes)


def scans(tensors: LayerTensors) -> tuple[Scan, ...]:
    """The forward scan, then those of all tags: Vim's `b` first, then in the order of their names.

    Raises `UnsafeFile` where there are more than any block has.
    """
    tagged = sorted(filter(None, map(_tag, tensors.suffixes)), key=lambda found: (found[0] != "b", found))
    if len(tagged) > _MOST_TAGS:
        raise UnsafeFile(
            f"{tensors.name}: expected at most {_MOST_TAGS} scans beside A_log, found {len(tagged)} tensors named like "
            "their decay rates; no block has so many"
        )
    modules = {suffix.partition(".")[0] for suffix in tensors.suffixes}
    if not tagged and has_selection(tensors):
        return (SELECTION,)
    return (FORWARD, *(_scan(modules, tag, name) for tag, name in tagged))


def like_A_log(name: str) -> bool:
    """Whether a tensor, by its last name, holds decay rates: A_log, A_s_log, A_log_1, AT_log, A_logs."""
    return len(name) <= _LONGEST and _LIKE_A_LOG.fullmatch(name) is not None


def has_directions(tensors: LayerTensors) -> bool:
    return any(_tag(suffix) for suffix in tensors.suffixes)


def direction_warnings(found: tuple[Scan, ...]) -> list[str]:
    """What is to be said of the scans beyond the forward one."""
    return [
        f"direction {k} sees the tokens in reverse order"
        if scan.tag == "b"
        else f"direction {k} ({scan.A_log}) sees the tokens in another order"
        for k, scan in enumerate(found)
        if k
    ]


def _tag(suffix: str) -> tuple[str, str] | None:
    """(tag, name) of a tensor that holds the decay rates of another direction."""
    match = _TAGGED.fullmatch(suffix) if len(suffix) <= _LONGEST else None
    tag = match and (match["inside"] or match["after"])
    return (tag, suffix) if tag and tag not in _NO_TAGS else None


def _scan(modules: set[str], tag: str, A_log: str) -> Scan:
    """A direction's names, given the modules and bare parameters of its block."""
    own = (f"x_proj_{tag}", f"dt_proj_{tag}")
    x_proj, dt_proj = (FORWARD.x_proj, FORWARD.dt_proj) if modules.isdisjoint(own) else own
    D = f"D_{tag}"
    return Scan(tag, A_log, x_proj, dt_proj, D if D in modules or x_proj == own[0] else FORWARD.D)
