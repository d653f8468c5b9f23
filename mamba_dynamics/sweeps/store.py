"""A sweep's store: a zarr folder that xarray opens with labelled coordinates.

    dataset = xr.open_zarr("store")                 dataset.outcome, dataset.blow_up_time, ...

Dimensions are the sweep's axes and `token`. A chunk of cells is the unit of work: it is done when its part of `outcome`
is there, which is written last; every file is put in its place whole. So a store is a pure function of its spec: no
times, no names of machines. Cells that are not done are -1 in `outcome`; those that failed or stayed undecided have
codes of their own.
"""

import json
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
import zarr

from .._documents import to_json
from .._errors import SweepError
from .._files import kind_of, remove_leftovers, whole_folder
from ..checkpoints.base import shown
from .batch import Runs
from .spec import Sweep
from .stepping import OUTCOMES, RUNNING

#: What the store is a function of.
IDENTITY = ("mamba_dynamics_version", "engine", "spec", "seed", "chunk", "channels")
#: The modules whose numbers those of a store are.
_ENGINE = ("batch", "duration", "elementary", "expansion", "multiderivative", "stepping")

#: variable -> (type, value of cells that are not done, has an axis of tokens, long name)
VARIABLES: dict[str, tuple[str, Any, bool, str]] = {
    "log1p_t_final": ("float64", np.nan, False, "ln(1 + t) at the end of the run"),
    "blow_up_time": ("float64", np.nan, False, "blow-up time T*"),
    "blow_up_time_error": ("float64", np.nan, False, "estimate of the error of T*"),
    "blow_up_token": ("int16", 0, False, "first token that blows up, from 1; 0 for none"),
    "log_abs_x_final": ("float64", np.nan, True, "ln|x| at the end of the run; -inf for a token that is zero"),
    "sign": ("int8", 0, True, "sign of x, which never changes"),
    "slope": ("float64", np.nan, True, "d ln|x| / d ln t at the end; at a blow-up d ln|x| / d ln(T* - t)"),
    "steps": ("int32", 0, False, "solver steps, rejected ones included"),
    "rhs_evaluations": ("int32", 0, False, "evaluations of the vector field"),
    "outcome": ("int8", RUNNING, False, "how the integration ended"),
}

LONG_NAMES = {
    "mu": "mu = S_C S_B, product of the output and input weights",
    "s_delta": "S_Delta, slope of the step size",
    "a": "decay rate a",
    "dt_bias": "bias b of the step size softplus(S_Delta x + b)",
    "x0": "initial token x(0)",
    "L": "number of tokens",
    "until": "end time t",
    "log_until": "end time as ln(1 + t)",
    "rtol": "relative tolerance per step",
    "atol": "absolute tolerance per step on ln|x|",
    "max_steps": "budget of solver steps",
    "cell": "number of the random cell",
    "layer": "position of the layer in the checkpoint, from 0",
    "channel": "channel of the layer, from 0",
    "token": "token, from 1",
}
_COUNTS = {"L": "int64", "max_steps": "int64", "cell": "int64", "layer": "int64", "channel": "int64"}


class Store:
    """The files of one sweep."""

    def __init__(self, path: Path, sweep: Sweep, version: str):
        self.path, self.sweep, self.version = path, sweep, version
        self._group: zarr.Group | None = None

    def claim(self) -> None:
        """Make the store, or make sure that it is this sweep's.

        Raises:
            SweepError: something else is there, or it cannot be written.
        """
        try:
            if not self.path.exists():
                self._make()
            self.require_own()
        except OSError as error:
            raise SweepError(f"expected to write {self.path}, found {error.strerror}: choose another --out") from error

    def exists(self) -> bool:
        return self.path.exists()

    def clean(self) -> None:
        """Remove the parts of files that kills have left; to be called when nobody writes."""
        for part in self.path.rglob("*.partial"):
            part.unlink()

    def require_own(self) -> None:
        """Raises `SweepError` if the store is not of this sweep, or holds anything but folders and regular files."""
        _require_plain(self.path)
        try:
            attributes = dict(zarr.open_group(self.path, mode="r").attrs)
        except PermissionError:
            raise
        except Exception:
            # zarr's errors for what is no store are of many kinds.
            attributes = {}
        if "spec" not in attributes:
            raise SweepError(f"expected a new folder or the store of a sweep, found {self.path}: choose another --out")
        own = self._attributes()
        changed = [name for name in IDENTITY if attributes.get(name) != own[name]]
        if changed:
            raise SweepError(
                f"expected {self.path} to hold this sweep, found one with another {', '.join(changed)}: choose another "
                "--out, or go on with the spec and versions it was begun with"
            )

    def is_done(self, place: tuple[int, ...]) -> bool:
        """Whether a unit of work is in the store."""
        return self._unit(place).is_file()

    def _unit(self, place: tuple[int, ...]) -> Path:
        """The file that is written last of a unit of work."""
        return self.path.joinpath("outcome", "c", *map(str, place))

    def write(self, block: tuple[slice, ...], runs: Runs) -> None:
        """Put the runs of one unit of work into the store."""
        if self._group is None:
            self._group = zarr.open_group(self.path, mode="r+")
        cells = tuple(one.stop - one.start for one in block)
        for name, values in _columns(runs, self.sweep.lengths(block)).items():
            with whole(self.path / name):
                array = self._group[name]
                assert isinstance(array, zarr.Array), "no array"
                if VARIABLES[name][2]:
                    array[*block, slice(None)] = values.T.reshape(*cells, -1)
                else:
                    array[block] = values.reshape(cells)

    def counts(self) -> dict[str, int]:
        """How many cells ended in each outcome, and how many are not done."""
        with whole(self.path / "outcome"):
            array = zarr.open_group(self.path, mode="r")["outcome"]
            assert isinstance(array, zarr.Array), "no array"
        found = np.zeros(len(OUTCOMES) + 1, np.int64)
        for place, block in self.sweep.blocks():
            with whole(self._unit(place)):
                found += np.bincount(np.asarray(array[block]).ravel() - RUNNING, minlength=len(found))
        return {"not_done": int(found[0])} | {one.value: int(n) for one, n in zip(OUTCOMES, found[1:], strict=True)}

    def _make(self) -> None:
        """The whole store without results, in its place in one step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.path)
        with whole_folder(self.path) as new:
            self._fill(new)

    def _fill(self, new: Path) -> None:
        sweep = self.sweep
        coordinates(sweep).to_zarr(new, mode="w", zarr_format=3, consolidated=False)
        group = zarr.open_group(new, mode="r+")
        group.attrs.update(self._attributes())
        for name, (kind, fill, by_token, long_name) in VARIABLES.items():
            tail = (sweep.tokens,) if by_token else ()
            attributes: dict[str, Any] = {"long_name": long_name, "units": "1"}
            if name == "outcome":
                attributes |= outcome_attributes()
            group.create_array(
                name,
                shape=sweep.shape + tail,
                chunks=sweep.chunk_shape + tail,
                dtype=kind,
                fill_value=fill,
                dimension_names=[axis.name for axis in sweep.axes] + (["token"] if by_token else []),
                attributes=attributes,
            )
        with warnings.catch_warnings():
            # Readers that do not know consolidated metadata read the rest, which is there as well.
            warnings.filterwarnings("ignore", message="Consolidated metadata")
            zarr.consolidate_metadata(new)

    def _attributes(self) -> dict[str, Any]:
        sweep = self.sweep
        channels = None if sweep.channels is None else sweep.channels.digest()
        return {
            "title": sweep.title,
            "mamba_dynamics_version": self.version,
            "engine": _engine(),
            "spec": json.loads(to_json(sweep.table)),
            "seed": sweep.seed,
            "chunk": list(sweep.chunk_shape),
            "channels": channels,
        }


@contextmanager
def whole(part: Path) -> Iterator[None]:
    """Inside, a part of a store is read. Raises `SweepError` where it is damaged."""
    try:
        yield
    except (OSError, MemoryError, SweepError):
        raise
    except Exception as error:
        # Those of zarr and its codecs for a damaged store are of many kinds.
        why = shown(" ".join(str(error).split()) or type(error).__name__)
        raise SweepError(
            f"expected {shown(part)} as a sweep writes it, found it damaged ({why}): delete it, or the whole "
            "store, and start the sweep again"
        ) from None


def _require_plain(folder: Path) -> None:
    """Raises `SweepError` where a store holds a link, a pipe or a device: writing or reading it would lead elsewhere.

    The store itself may be a link, as the user says.
    """
    waiting = [folder] if folder.is_dir() else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    _refuse(Path(entry.path))


def _refuse(part: Path) -> None:
    try:
        mode = part.lstat().st_mode
    except FileNotFoundError:
        return  # a temporary file of another process, put in its place meanwhile
    if not stat.S_ISREG(mode):
        raise SweepError(
            f"expected a store of folders and regular files, found {kind_of(mode)} at {shown(part)}: remove it, or "
            "choose another --out"
        )


def _engine() -> str:
    """SHA-256 of the engine's sources and of JAX's version: another one's numbers differ within the tolerances."""
    sources = [files("mamba_dynamics.sweeps").joinpath(f"{name}.py").read_bytes() for name in _ENGINE]
    return sha256(b"".join([jax.__version__.encode(), *sources])).hexdigest()


def outcome_attributes() -> dict[str, Any]:
    """What the codes mean, as the CF conventions have it."""
    return {
        "flag_values": [RUNNING, *range(len(OUTCOMES))],
        "flag_meanings": " ".join(["not_done", *(one.value for one in OUTCOMES)]),
    }


def coordinates(sweep: Sweep) -> xr.Dataset:
    """The axes' labels, what each random cell or channel was given, and the numbers of the tokens."""
    names = [axis.name for axis in sweep.axes]
    found = {axis.name: _labelled(axis.name, (axis.name,), axis.values) for axis in sweep.axes}
    found["token"] = _labelled("token", ("token",), np.arange(1, sweep.tokens + 1))
    for name, quantity in sweep.quantities.items():
        along = tuple(names[axis] for axis in quantity.axes)
        if along == ("cell",) or along == ("layer", "channel"):
            found[name] = _labelled(name, along, quantity.values)
    dataset = xr.Dataset(coords=found)
    for variable in dataset.variables.values():
        variable.encoding = {"_FillValue": None}
    return dataset


def _labelled(name: str, along: tuple[str, ...], values: np.ndarray) -> tuple:
    base, _, place = name.rpartition("_")
    numbered = base in ("mu", "a", "x0") and place.isdigit()
    words = f"{LONG_NAMES[base]}, number {place}" if numbered else LONG_NAMES[name]
    return along, values.astype(_COUNTS.get(name, values.dtype)), {"long_name": words, "units": "1"}


def _columns(runs: Runs, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """The store's variables, cells last; tokens that a shorter cell does not have are NaN, and 0 in sign."""
    there = np.arange(len(runs.log_abs_x))[:, None] < lengths
    return {
        "log1p_t_final": runs.log1p_t,
        "blow_up_time": runs.blow_up_time,
        "blow_up_time_error": runs.blow_up_time_error,
        "blow_up_token": runs.blow_up_token + 1,
        "log_abs_x_final": np.where(there, runs.log_abs_x, np.nan),
        "sign": runs.sign,
        "slope": np.where(there, runs.slope, np.nan),
        "steps": runs.steps,
        "rhs_evaluations": runs.rhs_evaluations,
        "outcome": runs.outcome,
    }
