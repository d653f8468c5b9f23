"""Layers and tokens from .npz and .npy files: numbers only, never pickled objects."""

from pathlib import Path

import numpy as np

from .._errors import CorruptFile, LayerShapeError, MissingTensor
from .._layer import S6Layer

_KNOWN = ("S_B", "S_C", "S_Delta", "dt_up", "dt_down", "A_log", "a", "dt_bias")


def read_tokens(path: Path) -> np.ndarray:
    """Tokens (L, D) from a .npy file, as float64.

    Raises `CorruptFile` for anything but a numeric array.
    """
    array = _load(path, "tokens")
    if not isinstance(array, np.ndarray):
        raise CorruptFile(
            f"{path}: expected one array in .npy format, found an .npz archive; save tokens with numpy.save"
        )
    return _numeric(array, path, "tokens")


def read_layer(path: Path) -> S6Layer:
    """A one-group layer from an .npz file with the arrays `S6Layer.from_matrices` takes."""
    archive = _load(path, "a layer")
    if isinstance(archive, np.ndarray):
        raise CorruptFile(
            f"{path}: expected an .npz archive of weights, found a single array; save it with numpy.savez"
        )
    with archive:
        try:
            arrays = {key: _numeric(archive[key], path, key) for key in archive.files if key in _KNOWN}
        except ValueError as error:
            raise CorruptFile(f"{path}: expected numeric arrays, found one that cannot be read ({error})") from None
    missing = [key for key in ("S_B", "S_C") if key not in arrays]
    if "S_Delta" not in arrays and not {"dt_up", "dt_down"} <= arrays.keys():
        missing.append("S_Delta (or dt_up and dt_down)")
    if "A_log" not in arrays and "a" not in arrays:
        missing.append("A_log (or a)")
    if missing:
        found = ", ".join(sorted(arrays)) or "none of them"
        raise MissingTensor(f"{path}: expected {', '.join(missing)}, found {found}; add the missing arrays to the .npz")
    S_Delta = arrays["S_Delta"] if "S_Delta" in arrays else (arrays["dt_up"], arrays["dt_down"])
    rates = {key: arrays[key] for key in ("A_log", "a") if key in arrays}
    return S6Layer.from_matrices(
        S_B=arrays["S_B"],
        S_C=arrays["S_C"],
        S_Delta=S_Delta,
        dt_bias=arrays.get("dt_bias", 0.0),
        name=path.name,
        **rates,
    )


def _load(path: Path, what: str):
    if not path.is_file():
        found = "something that is not a regular file" if path.exists() else "nothing there"
        raise CorruptFile(f"{path}: expected a file with {what}, found {found}; check the path")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        why = " ".join(str(error).split())
        raise CorruptFile(
            f"{path}: expected {what} in numpy format, found something else ({why}); save it with numpy"
        ) from None


def _numeric(array: np.ndarray, path: Path, key: str) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise CorruptFile(f"{path}: expected real numbers in {key}, found dtype {array.dtype}; convert it to float64")
    if not np.all(np.isfinite(array)):
        bad = int(np.sum(~np.isfinite(array)))
        raise LayerShapeError(
            f"{path}: expected finite numbers in {key}, found {bad} NaN or infinite; check how it was made"
        )
    return array.astype(np.float64)
