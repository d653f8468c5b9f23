"""Paths at which nothing lies: which part is missing, and what lies near by under a similar name."""

import os
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from .base import shown

#: So many names of a folder are compared.
_MOST_NAMES = 10_000


def absence(path: Path) -> str:
    """Words for a path that does not exist: "no such file or folder (did you mean 'model.safetensors'?)"."""
    path = path.absolute()
    missing = path
    while not os.path.lexists(missing.parent) and missing.parent != missing:
        missing = missing.parent
    near = _nearest(missing)
    meant = "" if near is None else f" (did you mean {shown(near / path.relative_to(missing))}?)"
    gone = f", nor a folder {shown(missing)}" if missing != path else ""
    return f"no such file or folder{gone}{meant}"


def _nearest(missing: Path) -> Path | None:
    """What lies in the folder of a missing file or folder under a name like its own."""
    try:
        with os.scandir(missing.parent) as entries:
            names = {entry.name.lower(): entry.name for entry in islice(entries, _MOST_NAMES)}
    except (OSError, ValueError):
        return None
    wanted = missing.name.lower()
    near = get_close_matches(wanted, names, n=1, cutoff=0.6)
    if not near:  # the name without its ending, or a beginning of it
        near = sorted(name for name in names if Path(name).stem == Path(wanted).stem)
    return missing.parent / names[near[0]] if near else None
