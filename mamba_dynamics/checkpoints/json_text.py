"""JSON from a stranger: one object, no key twice, no nesting that could exhaust the stack, no flood of objects."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from .._allowance import json_cost, require_within
from .._errors import CorruptFile
from .base import shown

#: The bound of the safetensors format on its header; no index or config comes near it.
MAX_JSON_BYTES = 100_000_000


def json_object(data: bytes, path: Path, what: str, size: int | None = None) -> dict[str, Any]:
    """The JSON object in `data`; `what` names it in the message of a `CorruptFile`.

    Raises `UnsafeFile` if it may take more memory than a file of `size` bytes may cost (by default, of its own size).
    """
    require_within(json_cost(data), len(data) if size is None else size, path, what)
    try:
        value = parsed_json(data, constants=False)
    except RecursionError:
        raise CorruptFile(f"{what} of {shown(path)} is nested too deeply to be one") from None
    except ValueError as error:
        raise CorruptFile(f"{what} of {shown(path)} is not valid JSON: {reason(error)}") from None
    if not isinstance(value, dict):
        raise CorruptFile(f"{what} of {shown(path)} is a JSON {type(value).__name__}, expected an object")
    return value


def parsed_json(data: bytes, *, constants: bool) -> Any:
    """The value; `ValueError` for a key twice in one object, and unless `constants` are taken for NaN and Infinity.

    The parser keeps the last value of a key, so its tables then hold fewer keys than the text. Lists of pairs, which
    would show them, cost half as much memory again.
    """
    kept = 0

    def count(table: dict[str, Any]) -> dict[str, Any]:
        nonlocal kept
        kept += len(table)
        return table

    value = json.loads(data.decode("utf-8"), object_hook=count, parse_constant=None if constants else _no_constant)
    if kept < _keys(data, kept):
        del value
        if len(data) < _NAMED:
            json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
        raise ValueError("duplicate key")
    return value


#: The call that Python names where a whole number has too many digits; it is not for users.
_LIMIT = "set_int_max_str_digits"
#: Bytes of a text that is read a second time to name its duplicate key.
_NAMED = 500_000
#: A string of a valid JSON text, and the colon that makes it a key.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"(?:[ \t\r\n]*+(:))?')
_COLON_APART = re.compile(rb'"[ \t\r\n]++:')


def _keys(data: bytes, kept: int) -> int:
    """How many keys a valid JSON text has."""
    # A key ends with a quote and a colon; a string may hold or begin with more of them, but then there are too many.
    if data.count(b'":') == kept and _COLON_APART.search(data) is None:
        return kept
    return sum(found.lastindex is not None for found in _STRING.finditer(data))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"duplicate key {shown(twice)}")
    return result


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def reason(error: ValueError) -> str:
    """Why a text does not parse, in one line."""
    if _LIMIT in str(error):
        return f"a number of more than {sys.get_int_max_str_digits()} digits"
    # A UnicodeDecodeError quotes no text; a JSONDecodeError quotes a position, never the document.
    return " ".join(str(error).split())
