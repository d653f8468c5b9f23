"""`config.json`: read with limits, looked up by type.

A config comes from the same stranger as the weights. It is read only when it is a regular file
of at most `MAX_BYTES`, must hold one JSON object, and a value of the wrong type is an error that
names its key. Values are only compared with the shapes of tensors, or used where shapes cannot
tell (groups, norms, multipliers); nothing is ever imported or executed because of a config.

Infinite numbers appear in three spellings, all accepted: the bare token `Infinity`, the string
"Infinity", and the object {"__float__": "Infinity"} of recent transformers releases.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._allowance import json_cost, require_within
from .._errors import CorruptFile
from .base import shown
from .folder import Folder
from .json_text import parsed_json, reason

MAX_BYTES = 10_000_000


@dataclass(frozen=True)
class Range:
    """The numbers that a key may have: from `low`, or above it where `above` is true, to `high`.

    NaN lies in no range, and a whole number beyond float64 neither, which has no float that stands for it.
    """

    low: float
    high: float
    above: bool = False

    def holds(self, value: float) -> bool:
        if isinstance(value, int) and abs(value) > sys.float_info.max:
            return False
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        start = f"above {self.low:g}" if self.above else f"from {self.low:g}"
        end = "" if self.high == math.inf else f" and at most {self.high:g}" if self.above else f" to {self.high:g}"
        return f"a number {start}{end}"


@dataclass(frozen=True)
class Config:
    """A JSON object and the words that say where it was found.

    The typed look-ups return None for an absent or null key and raise `CorruptFile` for a value
    of another type.
    """

    values: Mapping[str, Any]
    source: str = "config.json"

    def integer(self, key: str) -> int | None:
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**63:
            raise self._wrong(key, "a positive whole number", value)
        return value

    def number(self, key: str, within: "Range") -> float | None:
        value = self.values.get(key)
        return None if value is None else self._number(key, value, within)

    def numbers(self, key: str, count: int, within: "Range") -> tuple[float, ...] | None:
        """A list of `count` numbers, each within the range."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != count:
            raise self._wrong(key, f"a list of {count} numbers", value)
        return tuple(self._number(key, item, within) for item in value)

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a string", value)
        return value

    def section(self, key: str) -> "Config | None":
        """A nested object, or None where it is absent."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(key, "an object", value)
        return Config(value, f"{key} in {self.source}")

    def _number(self, key: str, value: Any, within: "Range") -> float:
        if isinstance(value, dict) and set(value) == {"__float__"}:
            value = value["__float__"]
        if isinstance(value, str) and value in ("Infinity", "inf"):
            value = math.inf
        if isinstance(value, bool) or not isinstance(value, int | float) or not within.holds(value):
            raise self._wrong(key, str(within), value)
        return float(value)

    def _wrong(self, key: str, expected: str, found: Any) -> CorruptFile:
        return CorruptFile(
            f"{self.source}: {key} should be {expected}, found {_excerpt(found)}; "
            "correct the file, or remove it to rely on the tensors alone"
        )


def read_config(folder: Folder, name: str = "config.json") -> Config | None:
    """The `config.json` of a folder, or another file of that kind; None where there is none.

    Raises `UnsafeFile` when it is not a regular file or a link out of the folder, `CorruptFile` when
    it is too large or not one JSON object.
    """
    file = folder.find(name)
    if file is None:
        return None
    path = file.path
    if file.size > MAX_BYTES:
        raise CorruptFile(
            f"{shown(path)}: expected at most {MAX_BYTES} bytes, found more; a model's config.json has a few kilobytes"
        )
    raw = file.read(0, file.size).tobytes()
    require_within(json_cost(raw), len(raw), path, "the config")
    try:
        values = parsed_json(raw, constants=True)
    except RecursionError:
        raise CorruptFile(f"{shown(path)}: expected a model's config, found JSON nested too deeply to be one") from None
    except ValueError as error:
        why = ascii(reason(error))[1:-1][:120]
        raise CorruptFile(f"{shown(path)}: expected JSON, found text that does not parse ({why})") from None
    if not isinstance(values, dict):
        raise CorruptFile(f"{shown(path)}: expected a JSON object, found {_excerpt(values)}")
    return Config(values, name)


def _excerpt(value: Any, limit: int = 60) -> str:
    """A stranger's value in one line of plain ASCII, at most about `limit` characters."""
    if isinstance(value, list | dict):
        return f"a JSON {'array' if isinstance(value, list) else 'object'} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**limit:
        return f"a number of more than {limit} digits"
    text = ascii(value)
    return text if len(text) <= limit else text[:limit] + "..."
