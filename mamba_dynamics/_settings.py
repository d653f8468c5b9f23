"""TOML tables whose single values are changed by name: "recipe.steps" -> "500"."""

import tomllib
from pathlib import Path
from typing import Any

from ._errors import MambaDynamicsError


def read_toml(path: Path, error: type[MambaDynamicsError]) -> dict[str, Any]:
    """The table of a file; raises `error` for anything that is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as found:
        raise error(f"expected TOML, found {found} in {path}: mend the file") from found


def toml_value(text: str) -> Any:
    """A TOML value, or a bare word as it stands."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def set_value(table: dict[str, Any], key: str, value: Any, error: type[MambaDynamicsError]) -> None:
    """Change one value; dots in the key lead into tables. Raises `error` where one leads into a value."""
    first, _, rest = key.partition(".")
    if not rest:
        table[first] = value
        return
    inner = table.setdefault(first, {})
    if not isinstance(inner, dict):
        raise error(f"expected a table to hold {rest!a}, found {first} = {inner!a}: check the spelling of {key!a}")
    set_value(inner, rest, value, error)
