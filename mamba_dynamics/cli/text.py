"""Texts and token ids as commands take them."""

from pathlib import Path

import typer

from .._errors import CheckpointError

#: A longer text file is cut by the user, not by us: its states would not fit a laptop's memory.
MAX_BYTES = 10_000_000


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises `CheckpointError` for anything else."""
    if not path.is_file():
        found = "something that is not a regular file" if path.exists() else "nothing there"
        raise CheckpointError(f"{path}: expected a text file, found {found}; check the path")
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(
            f"{path}: expected at most {MAX_BYTES} bytes of text, found {path.stat().st_size}; give a part of it"
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: expected UTF-8 text, found other bytes ({error.reason}); convert it") from None


def whole_numbers(given: str, option: str) -> list[int]:
    """Whole numbers from a comma list."""
    try:
        return [int(part) for part in given.split(",")]
    except ValueError:
        raise typer.BadParameter(f"expected whole numbers I,J,..., found {given!r}", param_hint=option) from None
