"""JSON from a stranger: one object, no key twice, no nesting that could exhaust the stack, no flood of objects."""

import json
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
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise CorruptFile(f"{what} of {shown(path)} is nested too deeply to be one") from None
    except ValueError as error:
        raise CorruptFile(f"{what} of {shown(path)} is not valid JSON: {_reason(error)}") from None
    if not isinstance(value, dict):
        raise CorruptFile(f"{what} of {shown(path)} is a JSON {type(value).__name__}, expected an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"duplicate key {shown(twice)}")
    return result


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _reason(error: ValueError) -> str:
    # A UnicodeDecodeError quotes no text; a JSONDecodeError quotes a position, never the document.
    return " ".join(str(error).split())
