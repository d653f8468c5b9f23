"""Blocks that look like those of an S6 scan, but are no layer of a known layout: found by names, told in words.

decay rates        A_log with other axes, or under another name: A_log_1, AT_log, A_log.0, A_f_log without A_log
projections        an x_proj and a dt_proj without decay rates
adapters           LoRA factors of an x_proj or dt_proj that lie apart from any layer
"""

import re
from collections.abc import Callable, Iterable, Mapping

from .._errors import UnsafeFile
from .base import Archive, shown
from .copy_words import MOST_PARTS, of_an_optimizer
from .directions import like_A_log
from .tensors import printable

#: No S6 model has more layers than a small part of this; a few bytes could claim any number, and each costs objects.
MOST_LAYERS = 2000
_PROJECTION = re.compile(r"(x_?proj|dt_?projs?)(?![a-z])")
_MOST_SHOWN = 3
#: What decay rates beside an x_proj may be called too; whether they are rates or logarithms, the file does not say.
_OTHER_RATES = ("A", "log_A", "logA", "Alog", "As", "log_a")

Blocks = dict[str, tuple[str, ...]]
"""{prefix: names below it that show what it is}."""


def unread_blocks(
    archive: Archive, ignored: Callable[[str, str], bool] = lambda prefix, name: False, *, adapters: bool = True
) -> Blocks:
    """Blocks that look like an S6 scan's; `ignored(prefix, full name)` leaves out those that were read or reported.

    Raises `UnsafeFile` where there are more than any model has.
    """
    rates: dict[str, list[str]] = {}
    projections: dict[str, list[str]] = {}
    for name in archive.names:
        prefix, found = _split(name)
        if not found or ignored(prefix, name) or of_an_optimizer(name.split(".", MOST_PARTS)):
            continue
        (rates if like_A_log(found.partition(".")[0]) else projections).setdefault(prefix, []).append(found)
        if max(len(rates), len(projections)) > MOST_LAYERS:
            raise UnsafeFile(
                f"expected at most {MOST_LAYERS} S6 layers in a model, found more blocks with tensors named like theirs"
            )
    scans = {
        prefix: names for prefix, names in projections.items() if prefix not in rates and _is_scan(names, adapters)
    }
    return {prefix: tuple(names) for prefix, names in (rates | scans).items()}


def _split(name: str) -> tuple[str, str]:
    """(prefix, the rest from the first part that belongs to a scan on); an empty rest where no part does."""
    if "_log" not in name and "proj" not in name:
        return name, ""
    start = 0
    while True:
        end = name.find(".", start)
        part = name[start:] if end < 0 else name[start:end]
        if like_A_log(part) or _PROJECTION.match(part):
            return name[:start], name[start:]
        if end < 0:
            return name, ""
        start = end + 1


def _is_scan(names: list[str], adapters: bool) -> bool:
    """Whether projections are a scan's: both of them, or adapters of one."""
    if any("lora_" in name for name in names):
        return adapters
    return {name[0] for name in names} == {"x", "d"}


def unread_words(archive: Archive, blocks: Mapping[str, tuple[str, ...]]) -> str:
    """What such blocks hold, and why they are not read."""
    prefix, names = next(iter(blocks.items()))
    listed = [f"{printable(name, 60)} {shown(tuple(archive.shape(prefix + name)))}" for name in sorted(names)]
    place = (printable(prefix.rstrip(".")) or "(top level)") + (", ..." if len(blocks) > 1 else "")
    count = f"{len(blocks)} block{'' if len(blocks) == 1 else 's'}"
    return f"{count} with {', '.join(listed[:_MOST_SHOWN])} ({place}): {_reason(archive, prefix, names)}"


def _reason(archive: Archive, prefix: str, names: Iterable[str]) -> str:
    heads = [name.partition(".")[0] for name in names]
    if any("lora_" in name for name in names):
        return "adapters that lie apart from their weights; merge them into the model and save it"
    if not any(map(like_A_log, heads)):
        other = next((name for name in _OTHER_RATES if prefix + name in archive), None)
        if other is not None:
            return f"decay rates that may be those in {other}; if A = -exp({other}), rename it to A_log"
        return "a scan's projections without A_log, which holds its decay rates; save the complete block"
    if any(re.match(r"A[TL]_log", head) for head in heads):
        return "a recurrence over two axes of an image (Mamba2D), with a rate for each"
    if any(head not in ("A_log", "A_logs") for head in heads):
        return (
            "scans of several inputs, or copies; which input meets which projection is not in the file, so rename the "
            "tensors of one scan to A_log, x_proj, dt_proj and D"
        )
    if any("." in name for name in names):
        return "a list of scans; save each as a block of its own, with A_log, x_proj, dt_proj and D"
    return "known are A_log with one axis (Mamba-2), two (Mamba) or three (Zamba), and A_logs of VMamba"
