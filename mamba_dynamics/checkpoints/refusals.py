"""What a checkpoint without usable S6 layers holds instead, in one line."""

import re
from collections.abc import Iterable

from .base import Archive
from .tensors import printable
from .unread import unread_blocks, unread_words

#: Names beside an `A_log` that show another recurrence, and what it is.
_FOREIGN = {
    "bcdt_proj.weight": "Mamba-2 layers with a second projection of the scan's input (PLaMo-2)",
    "in_proj_qkvz.weight": "gated delta rule layers",
    "in_proj_qkv.weight": "gated delta rule layers",
    "q_proj.weight": "gated delta rule layers",
    "qkv_proj.weight": "gated delta rule layers",
}

#: Name patterns of other architectures, one match per layer, and what they are.
_FAMILIES = (
    (r"(?:^|\.)(?:B_bias|C_bias)$", "Mamba-3 layers, whose decay comes from the token and not from a stored A_log"),
    (r"(?:^|\.)(?:time_mix|time_mixing)|(?:^|\.)att\.time_", "RWKV time mixing"),
    (
        r"(?:^|\.)(?:log_A_real|inv_A_real|A_real|kernel\.log_dt)$",
        "S4 layers, whose B and C do not depend on the token",
    ),
    (r"(?:^|\.)rg_lru\.", "real-gated linear recurrent units"),
    (r"(?:^|\.)(?:retention|lightning_attn)\.", "retention layers"),
    (r"(?:^|\.)(?:self_attn|self_attention|attention|attn)\.", "attention, as in a transformer"),
)


def foreign(suffixes: Iterable[str]) -> bool:
    """Whether an `A_log` with these names beside it belongs to another recurrence."""
    return not _FOREIGN.keys().isdisjoint(suffixes)


def foreign_at(archive: Archive, prefix: str) -> bool:
    """Whether the block at a prefix belongs to another recurrence."""
    return any(prefix + suffix in archive for suffix in _FOREIGN)


def refusal(archive: Archive) -> str:
    """The message for an archive in which no S6 layer was found."""
    return (
        f"expected S6 layers (a tensor named A_log), found {_found(archive)}; this theory speaks of Mamba, "
        "Mamba-2 and their hybrids only"
    )


def _found(archive: Archive) -> str:
    names = archive.names
    if (words := _other_recurrence(names)) is not None:
        return words
    if blocks := unread_blocks(archive, adapters=False):
        return unread_words(archive, blocks)
    for pattern, words in _FAMILIES:
        layers = {name[: match.start()] for name in names if (match := re.search(pattern, name))}
        if layers:
            return f"{words} (in {_count(len(layers), 'layer')})"
    return _listed(names)


def _other_recurrence(names: tuple[str, ...]) -> str | None:
    """What a file with an A_log holds beside it that makes it another recurrence."""
    for beside, words in _FOREIGN.items():
        count = sum(name.endswith("." + beside) for name in names)
        if count and any(name.rsplit(".", 1)[-1] == "A_log" for name in names):
            return f"{words} ({count})"
    return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(names: tuple[str, ...]) -> str:
    named = [name for name in names if name]
    if not names:
        return "no tensors at all"
    if not named:
        return "1 tensor without a name (the file holds a single tensor, not a model's named weights)"
    return f"{_count(len(names), 'tensor')}, among them {', '.join(printable(name, 60) for name in named[:3])}"
