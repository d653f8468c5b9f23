"""TOML from a stranger: a spec's text, with bounds on what its few bytes may ask of the parser.

The parser of the standard library keeps every beginning of a dotted key, so `a.a.a. ... = 1` costs the square of its
length, and it recurses into nested arrays.
"""

import tomllib
from pathlib import Path
from typing import Any

from .._errors import CheckpointError, TrainingError
from ..checkpoints.base import shown
from ..checkpoints.files import open_regular

#: A spec has a few kilobytes, and a dotted key a few parts.
MOST_BYTES, MOST_DOTS = 200_000, 64


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file.

    Raises:
        TrainingError: not a regular file, too large, or no TOML.
    """
    try:
        with open_regular(path) as file:
            raw = file.read(MOST_BYTES + 1)
    except (CheckpointError, OSError) as error:
        raise TrainingError(f"expected a spec, found {error}") from None
    if len(raw) > MOST_BYTES:
        raise TrainingError(f"expected a spec of at most {MOST_BYTES} bytes, found more in {shown(path)}")
    try:
        return parse_toml(raw.decode("utf-8"))
    except ValueError as error:
        raise TrainingError(f"expected TOML, found {shown(error)} in {shown(path)}: mend the file") from None


def parse_toml(text: str) -> dict[str, Any]:
    """The table that a text holds; a plain `ValueError` for anything else."""
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise ValueError(f"a line with more than {MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("arrays nested too deeply") from None
