"""Files of a data folder, which a spec from a stranger may name: none of them leads out of it."""

from pathlib import Path

from .._errors import CheckpointError, DataError
from ..checkpoints.base import shown
from ..checkpoints.files import open_regular


def data_file(folder: Path, name: str) -> Path:
    """The file or folder `name` below `folder`.

    Raises:
        DataError: it lies outside, by its name or as a link.
    """
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"expected a file of {shown(folder)}, found {shown(error)} at {shown(name)}") from None
    if not inside:
        raise DataError(
            f"expected a file of {shown(folder)}, found {shown(name)}, which leads out of it: put the file itself there"
        )
    return path


def read_data_file(path: Path) -> bytes:
    """The bytes of a regular file. Raises `DataError` for anything else, without waiting for a pipe."""
    try:
        with open_regular(path) as file:
            return file.read()
    except (OSError, CheckpointError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"expected to read {shown(path)}, found: {reason}; check its permissions") from error
