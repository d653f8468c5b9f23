"""Specs in TOML, and single values of theirs changed by name: "recipe.steps" -> "500".

A spec may be a stranger's, so there are bounds on what its few bytes may ask of the parser: that of the standard
library keeps every beginning of a dotted key, so `a.a.a. ... = 1` costs the square of its length, and it recurses into
nested arrays.
"""

import sys
import tomllib
from os import PathLike
from pathlib import Path
from typing import Any

from ._close_names import did_you_mean
from ._errors import CheckpointError, MambaDynamicsError
from .checkpoints.base import shown
from .checkpoints.files import open_regular
from .checkpoints.json_text import reason

#: A spec has a few kilobytes, and a dotted key a few parts.
MOST_BYTES, MOST_DOTS = 200_000, 64
#: The parser takes a kilobyte or two for each part of a dotted table's name.
MOST_DOTS_IN_ALL = 40_000


def spec_path(name: str | PathLike[str], folder: Path, what: str, error: type[MambaDynamicsError]) -> Path:
    """The file of a spec: a path that ends in .toml, or the name of one in `folder`.

    Raises `error` where there is no such file, with the names that there are.
    """
    given = str(name)
    if given.endswith(".toml") and (path := Path(given)).exists():
        return path
    if not given.endswith(".toml") and (path := folder / f"{given}.toml").is_file():
        return path
    names = sorted(path.stem for path in folder.glob("*.toml"))
    found = f"found no file {shown(given)}" if given.endswith(".toml") else f"found {shown(given)}"
    meant = did_you_mean(given.removesuffix(".toml"), names)
    raise error(f"expected {what}, {found}: {meant}choose from {', '.join(names)}, or the path of a .toml file")


def read_toml(path: Path, error: type[MambaDynamicsError]) -> dict[str, Any]:
    """The table of a TOML file; raises `error` where it is no regular file, too large, or no TOML."""
    try:
        with open_regular(path) as file:
            raw = file.read(MOST_BYTES + 1)
    except (CheckpointError, OSError) as found:
        raise error(f"expected a spec, found {found}") from None
    if len(raw) > MOST_BYTES:
        raise error(f"expected a spec of at most {MOST_BYTES} bytes, found more in {shown(path)}")
    try:
        return parse_toml(raw.decode("utf-8"))
    except ValueError as found:
        raise error(f"expected TOML, found {shown(reason(found))} in {shown(path)}: mend the file") from None


def parse_toml(text: str) -> dict[str, Any]:
    """The table that a text holds; a plain `ValueError` for anything else."""
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise ValueError(f"a line with more than {MOST_DOTS} dots")
    if text.count(".") > MOST_DOTS_IN_ALL:
        raise ValueError(f"more than {MOST_DOTS_IN_ALL} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("arrays nested too deeply") from None


def toml_value(text: str) -> Any:
    """A TOML value, or a bare word as it stands."""
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def set_value(table: dict[str, Any], key: str, value: Any, error: type[MambaDynamicsError]) -> None:
    """Change one value; dots in the key lead into tables. Raises `error` where one leads into a value."""
    first, _, rest = key.partition(".")
    if not rest:
        table[first] = value
        return
    inner = table.setdefault(first, {})
    if not isinstance(inner, dict):
        raise error(f"expected a table at {shown(first)}, found {shown(inner)}: mend the spec")
    set_value(inner, rest, value, error)


def is_number(value: Any) -> bool:
    """Whether a value of a spec is an integer or a float that float64 holds; NaN and infinities are, True is not."""
    # TOML's integers have any length.
    return type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)
