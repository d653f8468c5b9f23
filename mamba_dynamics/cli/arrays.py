"""Layers and tokens from .npz and .npy files: numbers only, never pickled objects.

An array's header says how large it is, and a compressed archive may hold anything. So headers are read first, and no
array is filled that is out of proportion to the file. Numbers go to float64 a chunk at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .._allowance import require_within
from .._errors import CheckpointError, CorruptFile, LayerShapeError, MissingTensor
from .._layer import S6Layer
from ..checkpoints.base import shown
from ..checkpoints.files import WeightFile, open_regular
from ..checkpoints.npy_header import read_npy_header
from ..checkpoints.zip_directory import directory_of, unpacked

_KNOWN = ("S_B", "S_C", "S_Delta", "dt_up", "dt_down", "A_log", "a", "dt_bias")
_NPY, _ZIP = b"\x93NUMPY", b"PK\3\4"
#: How a layer gets into the file that is read here, and what reads a checkpoint's.
_SAVE = "save the layer's arrays with numpy.savez, or judge the layers of a checkpoint: mamba-dynamics classify FILE"
#: Bytes of a float64, and values that are converted at a time.
_DOUBLE, _CHUNK = 8, 1 << 18


def read_tokens(path: Path) -> np.ndarray:
    """Tokens (L, D) from a .npy file, as float64.

    Raises `CorruptFile` for anything but a numeric array.
    """
    with _opened(path, "tokens") as (file, stream):
        if _start(file) == _ZIP:
            raise CorruptFile(
                f"{shown(path)}: expected one array in .npy format, found {_archive(file)}; save tokens with numpy.save"
            )
        return _array(stream, "tokens", file, 0)


def read_layer(path: Path) -> S6Layer:
    """A one-group layer from an .npz file with the arrays `S6Layer.from_matrices` takes."""
    with _opened(path, "a layer") as (file, _):
        if _start(file) != _ZIP:
            raise CorruptFile(f"{shown(path)}: expected an .npz archive of weights, found another file; {_SAVE}")
        if not any(name.endswith(".npy") for name in directory_of(file)):
            raise CorruptFile(f"{shown(path)}: expected an .npz archive of weights, found {_archive(file)}; {_SAVE}")
        arrays = _arrays(file)
    missing = [key for key in ("S_B", "S_C") if key not in arrays]
    if "S_Delta" not in arrays and not {"dt_up", "dt_down"} <= arrays.keys():
        missing.append("S_Delta (or dt_up and dt_down)")
    if "A_log" not in arrays and "a" not in arrays:
        missing.append("A_log (or a)")
    if missing:
        found = ", ".join(sorted(arrays)) or "none of them"
        raise MissingTensor(
            f"{shown(path)}: expected {', '.join(missing)}, found {found}; add the missing arrays to the .npz"
        )
    S_Delta = arrays["S_Delta"] if "S_Delta" in arrays else (arrays["dt_up"], arrays["dt_down"])
    rates = {key: arrays[key] for key in ("A_log", "a") if key in arrays}
    try:
        return S6Layer.from_matrices(
            S_B=arrays["S_B"],
            S_C=arrays["S_C"],
            S_Delta=S_Delta,
            dt_bias=arrays.get("dt_bias", 0.0),
            name=path.name,
            **rates,
        )
    except ValueError as error:
        raise LayerShapeError(
            f"{shown(path)}: expected matrices that fit together, found {shown(error)}; S_B and S_C have shape (N, D)"
        ) from None


def _arrays(file: WeightFile) -> dict[str, np.ndarray]:
    """The arrays of an archive that a layer is made of."""
    names = [f"{key}.npy" for key in _KNOWN]
    found: dict[str, np.ndarray] = {}
    for name, record in directory_of(file).items():
        if name in names:
            held = sum(array.nbytes for array in found.values())
            key = name.removesuffix(".npy")
            with unpacked(file, record) as member:
                found[key] = _array(member, key, file, held)
    return found


def _archive(file: WeightFile) -> str:
    """What a zip archive is, by the names of its entries."""
    names = directory_of(file)
    if any(name.endswith("data.pkl") for name in names):
        return "a torch file"
    return "an .npz archive" if any(name.endswith(".npy") for name in names) else "a zip archive without arrays"


@contextmanager
def _opened(path: Path, what: str) -> "Iterator[tuple[WeightFile, BinaryIO]]":
    try:
        file = WeightFile.at(path)
        with file.unchanged(), open_regular(path) as stream:
            yield file, stream
    except OSError as error:
        raise CheckpointError(f"{shown(path)}: expected a file with {what}, found {error.strerror}") from None


def _start(file: WeightFile) -> bytes:
    return file.read(0, min(len(_ZIP), file.size)).tobytes()


def _array(stream: BinaryIO, key: str, file: WeightFile, held: int) -> np.ndarray:
    """One array in .npy format as float64; `held` bytes are taken by others already."""
    where = f"{key} of {shown(file.path)}"
    header = read_npy_header(stream, where)
    require_within(held + _DOUBLE * header.numbers, file.size, file.path, f"the array {key}")
    values = np.empty(header.numbers, np.float64)
    for start in range(0, header.numbers, _CHUNK):
        part = values[start : start + _CHUNK]
        with np.errstate(invalid="ignore"):  # a signalling NaN is found below, as any other
            part[:] = np.frombuffer(_exactly(stream, part.size * header.dtype.itemsize, where), header.dtype)
        if not np.isfinite(part).all():
            raise LayerShapeError(
                f"expected finite numbers in {where}, found NaN or infinite ones; check how it was made"
            )
    return values.reshape(header.shape, order="F" if header.fortran else "C")


def _exactly(stream: BinaryIO, count: int, where: str) -> bytearray:
    data = bytearray(count)
    view, done = memoryview(data), 0
    while done < count and (got := stream.readinto(view[done:])):  # type: ignore[attr-defined]
        done += got
    if done < count:
        raise CorruptFile(f"expected {where} to be whole, found a file that ends before its last number; save it again")
    return data
