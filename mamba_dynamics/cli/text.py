"""Texts and token ids as commands take them."""

import codecs
from pathlib import Path

from .._errors import CheckpointError
from ..checkpoints.base import shown
from ..checkpoints.files import open_regular
from .output import refuse

#: A longer text file is cut by the user, not by us: its states would not fit a laptop's memory.
MAX_BYTES = 10_000_000


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises `CheckpointError` for anything else."""
    with open_regular(path) as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise CheckpointError(
            f"{shown(path)}: expected at most {MAX_BYTES} bytes of text, found more; give a part of it"
        )
    try:
        # The mark that some editors put before a text is none of it.
        return raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{shown(path)}: expected UTF-8 text, found other bytes ({error.reason}); convert it"
        ) from None


def whole_numbers(given: str, option: str) -> list[int]:
    """Whole numbers from a comma list."""
    try:
        return [int(part) for part in given.split(",")]
    except ValueError:
        refuse(f"expected whole numbers I,J,..., found {given!r}", option)
