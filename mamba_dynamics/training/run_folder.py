"""A run's folder: what it is, its log, its checkpoints. Killed at any moment, it holds a state to go on from.

    run.json            what the run is; a folder of another run is not touched
    log.jsonl           one record an evaluation
    state.eqx           the last checkpoint: model, optimiser, step
    best.eqx            the model with the smallest held-out loss so far

Each file is written whole or not at all. The log is cut back to the checkpoint when a run goes on, so that what comes
after is written once, and its records are the same as if nothing had happened. Times are not in it.
"""

import io
import json
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import equinox as eqx
import jax
import numpy as np

from .._allowance import json_cost, require_within
from .._documents import to_json
from .._errors import CheckpointError, TrainingError
from .._files import append_line, remove_leftovers, write_whole
from ..checkpoints.base import shown
from ..checkpoints.files import open_regular
from ..checkpoints.json_text import reason

RUN, LOG, STATE, BEST = "run.json", "log.jsonl", "state.eqx", "best.eqx"
#: The first line of a checkpoint, the number of its step, is shorter.
_STEP_BYTES = 32
#: No number in it is wider.
_NUMBER_BYTES = 16


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path, description: dict[str, Any]):
        """Open or make a run's folder.

        Raises:
            TrainingError: the folder holds a run of another description, or cannot be written.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._claim(json.loads(to_json(description)))
            for name in (RUN, LOG, STATE, BEST):
                remove_leftovers(path / name)
        except OSError as error:
            raise TrainingError(
                f"expected to write a run into {path}, found: {error.strerror}; choose another --out"
            ) from error

    def _claim(self, description: dict[str, Any]) -> None:
        file = self.path / RUN
        if not file.exists():
            write_whole(file, lambda out: out.write((json.dumps(description, indent=2) + "\n").encode()))
            return
        found = _table(_read(file), file)
        changed = sorted(key for key in description.keys() | found.keys() if description.get(key) != found.get(key))
        if changed:
            what = shown(", ".join(changed))[1:-1]
            raise TrainingError(
                f"expected {self.path} to be empty or to hold this run, found one with another {what}: "
                "choose another --out"
            )

    def save(self, state: Any, step: int) -> None:
        """Keep `state` as the checkpoint of `step`."""

        def write(out: BinaryIO) -> None:
            out.write(f"{step}\n".encode())
            eqx.tree_serialise_leaves(out, state)

        write_whole(self.path / STATE, write)

    def has_checkpoint(self) -> bool:
        return (self.path / STATE).exists()

    def save_best(self, model: Any) -> None:
        write_whole(self.path / BEST, lambda out: eqx.tree_serialise_leaves(out, model))

    def restore(self, like: Any) -> tuple[Any, int]:
        """(the last checkpoint, its step), or (`like`, 0) where there is none; the log is cut back to that step."""
        file, step = self.path / STATE, 0
        if file.exists():
            try:
                with open_regular(file) as saved:
                    step = int(saved.read(_STEP_BYTES).split(b"\n")[0])
                    saved.seek(len(f"{step}\n"))
                    with io.BufferedReader(saved) as buffered:  # type: ignore[arg-type]
                        like = eqx.tree_deserialise_leaves(buffered, like, filter_spec=_leaf)
            except Exception as error:
                # Its arrays are read by numpy, whose errors for a damaged file are of many kinds.
                why = shown(" ".join(str(error).split()))
                raise TrainingError(f"expected a checkpoint of this run, found {why} in {file}: delete it") from error
        kept = [record for record in self.records() if record["step"] <= step]
        write_whole(self.path / LOG, lambda out: out.writelines(map(_line, kept)))
        return like, step

    def log(self, record: dict[str, Any]) -> None:
        """Add a record: one line, written at once."""
        append_line(self.path / LOG, _line(record))

    def records(self) -> list[dict[str, Any]]:
        """All whole records; a line that was being written when the run was killed is none."""
        return logged(self.path)


def logged(folder: Path) -> list[dict[str, Any]]:
    """All whole records of a run's log; none where there is no log.

    Raises:
        TrainingError: a line that is no record.
    """
    file = folder / LOG
    if not file.exists():
        return []
    text = _read(file)
    *lines, _ = text.split(b"\n")
    records = [_table(line, file) for line in lines]
    if not all(type(record.get("step")) is int for record in records):
        raise TrainingError(f"expected records of a run in {shown(file)}, found one without its step: delete the file")
    return records


def _read(file: Path) -> bytes:
    """A regular file, whole."""
    try:
        with open_regular(file) as stream:
            text = stream.read()
            require_within(json_cost(text), len(text), file, "it")
            return text
    except CheckpointError as error:
        raise TrainingError(f"expected a file of a run, found another: {error}") from None


def _table(text: bytes, file: Path) -> dict[str, Any]:
    """The JSON object that a file, or a line of it, holds."""
    try:
        found = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        why = shown(reason(error) if isinstance(error, ValueError) else str(error))
        raise TrainingError(f"expected {shown(file)} as a run writes it, found {why}: delete it") from None
    if not isinstance(found, dict):
        raise TrainingError(f"expected {shown(file)} as a run writes it, found a {type(found).__name__}: delete it")
    return found


def _leaf(file: BinaryIO, like: Any) -> Any:
    """One array or number of a checkpoint, read only after its header was seen to claim what `like` has."""
    if isinstance(like, jax.Array | np.ndarray | np.generic | bool | int | float | complex):
        start = file.tell()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("an array of an unknown version")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if shape != np.shape(like) or dtype.itemsize > _NUMBER_BYTES:
            raise ValueError(f"an array of shape {shape}, where one of {np.shape(like)} belongs")
        file.seek(start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eqx.default_deserialise_filter_spec(file, like)


def _line(record: dict[str, Any]) -> bytes:
    return (to_json(record) + "\n").encode()
