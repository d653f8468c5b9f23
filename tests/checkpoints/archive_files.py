"""Weight files made by hand, byte by byte: whole ones, broken ones and hostile ones."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from mamba_dynamics._errors import CheckpointError, CorruptFile, UnsafeFile
from mamba_dynamics.checkpoints.archives import open_archive
from mamba_dynamics.checkpoints.base import Archive

VALUES = np.arange(6.0, dtype=np.float32).reshape(3, 2)


def safetensors_bytes(
    header: dict[str, Any] | bytes, payload: bytes = b"", *, claimed_length: int | None = None
) -> bytes:
    """A safetensors file with any header, true or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed_length is None else claimed_length) + text + payload


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    """One tensor of a safetensors header; whole for a payload of eight bytes unless told otherwise."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def write_safetensors(path: Path, **tensors: np.ndarray) -> Path:
    """A whole file of float32 tensors, written without the code under test or any library."""
    header, payload = {}, b""
    for name, values in tensors.items():
        data = values.astype("<f4").tobytes()
        header[name] = entry("F32", values.shape, (len(payload), len(payload) + len(data)))
        payload += data
    path.write_bytes(safetensors_bytes(header, payload))
    return path


def write_index(path: Path, weight_map: Any) -> Path:
    path.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return path


def write_torch_like(path: Path, data_pkl: bytes, *, compression: int = zipfile.ZIP_STORED, **records: bytes) -> Path:
    """A zip archive laid out as torch lays it out."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data_pkl)
        archive.writestr("archive/byteorder", "little")
        for name, data in records.items():
            archive.writestr(f"archive/data/{name.lstrip('_')}", data)
        archive.writestr("archive/version", "3\n")
    return path


def rewrite_pickle(source: Path, target: Path, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a torch file whose pickle is `change(pickle)`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for record in old.infolist():
            data = old.read(record)
            new.writestr(record.filename, change(data) if record.filename.endswith("/data.pkl") else data)
    return target


class RunsCode:
    """Pickles to a program that touches a file."""

    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.witness}'",)


def pickle_that_runs_code(witness: Path) -> bytes:
    return pickle.dumps({"weight": RunsCode(witness)}, protocol=2)


def write_cache(
    root: Path, tensors: dict[str, np.ndarray], *, revision: str = "abc123", main: str | None = "abc123"
) -> Path:
    """A model's Hugging Face cache folder: blobs, a snapshot of links to them, refs/main."""
    model = root / "models--org--name"
    (model / "blobs").mkdir(parents=True, exist_ok=True)
    snapshot = model / "snapshots" / revision
    snapshot.mkdir(parents=True)
    write_safetensors(model / "blobs" / f"blob-of-{revision}", **tensors)
    (snapshot / "model.safetensors").symlink_to(f"../../blobs/blob-of-{revision}")
    if main is not None:
        (model / "refs").mkdir(exist_ok=True)
        (model / "refs" / "main").write_text(main)
    return model


def within_seconds(action: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The result or the exception of `action`; an assertion fails if it hangs."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(action())
        except Exception as error:
            outcome.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, f"no answer within {seconds} s"
    return outcome[0]


def values_of(archive: Archive) -> dict[str, list[float]]:
    return {name: archive.read(name).ravel().tolist() for name in archive.names}


def refusal(path: Path, kind: type[CheckpointError]) -> str:
    """The message with which opening `path` is refused, which must be one line of plain ASCII."""
    with pytest.raises(CheckpointError) as caught:
        open_archive(path)
    assert isinstance(caught.value, kind)
    assert kind is not CheckpointError or not isinstance(caught.value, CorruptFile | UnsafeFile)
    message = str(caught.value)
    assert message.isascii()
    assert message.isprintable()
    assert "Traceback" not in message
    return message
