"""The JSON contract (schema_version 1): documents made of plain Python values, and how they are written.

NaN and infinities never appear as bare tokens: they become null, and the document's `null_reasons` says
why, by path. Numbers that overflow float64 are carried as natural logarithms in fields named `log_...`.
Token and group indices are 1-based here, as in the paper; arrays in Python are 0-based.
"""

import json
import math
from typing import Any

import numpy as np

SCHEMA_VERSION = 1


def to_json(document: dict[str, Any]) -> str:
    """One JSON document on one line, with every non-finite number null and explained."""
    reasons: dict[str, str] = dict(document.get("null_reasons", {}))
    plain = _plain(document, "", reasons)
    if reasons:
        plain["null_reasons"] = reasons
    return json.dumps(plain, allow_nan=False, ensure_ascii=True)


def printable(text: str) -> str:
    """A stranger's text with its control characters escaped, those that turn the direction of writing among them."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _plain(value: Any, path: str, reasons: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{path}.{key}" if path else str(key), reasons) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", reasons) for index, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        reasons.setdefault(path, _why_not_finite(value))
        return None
    return str(value) if isinstance(value, str) else value


def _why_not_finite(value: float) -> str:
    if math.isnan(value):
        return "not a number: the quantity is undefined here"
    return (
        "overflows float64: see the field's log_ counterpart" if value > 0 else "minus infinity: the logarithm of zero"
    )
