"""A figure's data on disk: one npz of plain arrays, written whole or not at all, and never read when it is stale."""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import mamba_dynamics
from mamba_dynamics._errors import CheckpointError
from mamba_dynamics._files import folder_inside, write_whole
from mamba_dynamics.checkpoints.files import open_regular

from .catalogue import FOLDER, Data, PaperFigure

DATA = "data.npz"
#: Results of studies that take too long to be run for a figure.
RESULTS = sorted((FOLDER / "results").glob("*.json"))
#: The array that says what the data were computed from, and the one that says how long it took.
FINGERPRINT, SECONDS = "fingerprint", "processor_seconds"
#: Errors for what is no regular file, and for one that is damaged.
_NO_DATA = (
    CheckpointError, OSError, ValueError, EOFError, KeyError, MemoryError, NotImplementedError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


def fingerprint(figure: PaperFigure, seed: int) -> str:
    """A digest of all that the data depend on: seed, the figure's `compute.py`, the package, committed results."""
    package = Path(mamba_dynamics.__file__).parent
    digest = hashlib.sha256(f"seed {seed}".encode())
    for path in [FOLDER / figure.name / "compute.py", *sorted(package.rglob("*.py")), *RESULTS]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def read(folder: Path, wanted: str | None = None) -> Data | None:
    """The data in `folder`; None where there are none, they are damaged, or their fingerprint is not the wanted one."""
    try:
        with open_regular(folder / DATA) as raw, np.load(raw, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
    except _NO_DATA:
        return None
    found = str(data.pop(FINGERPRINT, ""))
    data.pop(SECONDS, None)
    return data if wanted is None or found == wanted else None


def processor_seconds(folder: Path) -> float:
    """How long the data in `folder` took to compute, over all processors."""
    with open_regular(folder / DATA) as raw, np.load(raw, allow_pickle=False) as file:
        return float(file[SECONDS])


def write(folder: Path, data: Data, found: str, seconds: float = np.nan) -> None:
    """Put the data into `folder`, under the fingerprint `found`; `seconds` is what they took to compute."""
    for name, array in data.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"expected plain arrays, found objects in {name!r}")
    arrays: dict[str, Any] = {**data, FINGERPRINT: np.asarray(found), SECONDS: np.asarray(seconds)}
    write_whole(folder_inside(folder.parent, folder.name) / DATA, lambda file: np.savez_compressed(file, **arrays))
