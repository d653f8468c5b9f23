"""What a checkpoint without usable S6 layers holds instead, in one line."""

import re
from collections.abc import Iterable

from .base import Archive
from .tensors import printable

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


def refusal(archive: Archive) -> str:
    """The message for an archive in which no S6 layer was found."""
    return (
        f"expected S6 layers (a tensor named A_log), found {_found(archive.names)}; this theory speaks of Mamba, "
        "Mamba-2 and their hybrids only"
    )


def _found(names: tuple[str, ...]) -> str:
    for beside, words in _FOREIGN.items():
        count = sum(name.endswith("." + beside) for name in names)
        if count and any(name.rsplit(".", 1)[-1] == "A_log" for name in names):
            return f"{words} ({count})"
    for pattern, words in _FAMILIES:
        layers = {name[: match.start()] for name in names if (match := re.search(pattern, name))}
        if layers:
            return f"{words} (in {len(layers)} {'layers' if len(layers) > 1 else 'layer'})"
    if not names:
        return "no tensors at all"
    return f"{len(names)} tensors, among them {', '.join(printable(name, 60) for name in names[:3])}"
