"""A run's folder: what it is, its log, its checkpoints. Killed at any moment, it holds a state to go on from.

    run.json            what the run is; a folder of another run is not touched
    log.jsonl           one record an evaluation
    state.eqx           the last checkpoint: model, optimiser, step
    best.eqx            the model with the smallest held-out loss so far

Each file is written whole or not at all. The log is cut back to the checkpoint when a run goes on, so that what comes
after is written once, and its records are the same as if nothing had happened. Times are not in it.
"""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import equinox as eqx

from .._documents import to_json
from .._errors import TrainingError
from .._files import write_whole

RUN, LOG, STATE, BEST = "run.json", "log.jsonl", "state.eqx", "best.eqx"


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
        except OSError as error:
            raise TrainingError(
                f"expected to write a run into {path}, found: {error.strerror}; choose another --out"
            ) from error

    def _claim(self, description: dict[str, Any]) -> None:
        file = self.path / RUN
        if not file.exists():
            write_whole(file, lambda out: out.write((json.dumps(description, indent=2) + "\n").encode()))
            return
        found = json.loads(file.read_text(encoding="utf-8"))
        changed = sorted(key for key in description.keys() | found.keys() if description.get(key) != found.get(key))
        if changed:
            raise TrainingError(
                f"expected {self.path} to be empty or to hold this run, found one with another {', '.join(changed)}: "
                "choose another --out"
            )

    def save(self, state: Any, step: int) -> None:
        """Keep `state` as the checkpoint of `step`."""

        def write(out: BinaryIO) -> None:
            out.write(f"{step}\n".encode())
            eqx.tree_serialise_leaves(out, state)

        write_whole(self.path / STATE, write)

    def save_best(self, model: Any) -> None:
        write_whole(self.path / BEST, lambda out: eqx.tree_serialise_leaves(out, model))

    def restore(self, like: Any) -> tuple[Any, int]:
        """(the last checkpoint, its step), or (`like`, 0) where there is none; the log is cut back to that step."""
        file, step = self.path / STATE, 0
        if file.exists():
            try:
                with file.open("rb") as saved:
                    step = int(saved.readline())
                    like = eqx.tree_deserialise_leaves(saved, like)
            except (ValueError, RuntimeError, EOFError) as error:
                raise TrainingError(f"expected a checkpoint of this run, found {error} in {file}: delete it") from error
        kept = [record for record in self.records() if record["step"] <= step]
        write_whole(self.path / LOG, lambda out: out.writelines(map(_line, kept)))
        return like, step

    def log(self, record: dict[str, Any]) -> None:
        """Add a record: one line, written at once."""
        with (self.path / LOG).open("ab") as out:
            out.write(_line(record))
            out.flush()
            os.fsync(out.fileno())

    def records(self) -> list[dict[str, Any]]:
        """All whole records; a line that was being written when the run was killed is none."""
        return logged(self.path)


def logged(folder: Path) -> list[dict[str, Any]]:
    """All whole records of a run's log; none where there is no log."""
    file = folder / LOG
    if not file.exists():
        return []
    *lines, _ = file.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines]


def _line(record: dict[str, Any]) -> bytes:
    return (to_json(record) + "\n").encode()
