"""`run_sweep`: compute what is missing in a store, on all devices of this machine and as one of several processes.

Units of work are dealt out by number: process p of P computes units p, p + P, ... on its own devices and writes them
itself into the folder that all of them see. They never exchange results, so that what each computes does not depend
on how many there are.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import jax

from .._errors import SweepError
from .batch import solve_many
from .spec import Sweep
from .store import Store

#: Seconds between two looks at what the other processes have done.
BETWEEN_LOOKS = 0.1

#: done, total (cells of this process), cells per second
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Processes:
    """This process among those that share a sweep; `coordinator` is host:port of the first."""

    coordinator: str
    count: int
    number: int


@dataclass(frozen=True)
class Swept:
    """What a store holds after a run: cells by outcome, those that this call computed, and the devices used."""

    path: Path
    cells: int
    computed: int
    counts: dict[str, int]
    devices: int

    @property
    def undecided(self) -> int:
        """Cells that the budget did not decide."""
        return self.counts["budget_exhausted"]

    @property
    def failed(self) -> int:
        """Cells in which the solver could not go on."""
        return self.counts["solver_failed"]


def run_sweep(
    sweep: Sweep,
    out: str | PathLike[str],
    *,
    processes: Processes | None = None,
    devices: Sequence[Any] | None = None,
    progress: Progress = lambda *_: None,
) -> Swept:
    """Compute a sweep into a store, or go on with what was stopped.

    Args:
        sweep: from `read_sweep`.
        out: folder of the store (zarr); one that was stopped goes on.
        processes: where several processes share the work: each calls this with its own number.
        devices: where to compute; all local ones if not given.
        progress: called after each unit of work.

    Raises:
        SweepError: the store is another sweep's, or cannot be written; or the other processes are not found.
    """
    if processes is not None:
        _join(processes)
    number, count = (0, 1) if processes is None else (processes.number, processes.count)
    store = Store(Path(out), sweep, version("mamba-dynamics"))
    if number == 0:
        store.claim()
    _wait(store.exists)
    store.require_own()
    mine = [unit for i, unit in enumerate(sweep.blocks()) if i % count == number]
    computed = _compute(sweep, store, mine, devices, progress)
    _wait(lambda: all(store.is_done(place) for place, _ in sweep.blocks()))
    if number == 0:
        store.clean()
    return Swept(store.path, sweep.cells, computed, store.counts(), len(devices or jax.local_devices()))


def _compute(sweep: Sweep, store: Store, mine, devices, progress: Progress) -> int:
    sizes = {place: _size(block) for place, block in mine}
    missing = [unit for unit in mine if not store.is_done(unit[0])]
    total = sum(sizes.values())
    before = done = total - sum(sizes[place] for place, _ in missing)
    began = time.monotonic()
    for place, block in missing:
        store.write(block, solve_many(**sweep.parameters(block), devices=devices))
        done += sizes[place]
        progress(done, total, (done - before) / max(time.monotonic() - began, 1e-9))
    return done - before


def _size(block: tuple[slice, ...]) -> int:
    size = 1
    for one in block:
        size *= one.stop - one.start
    return size


def _join(processes: Processes) -> None:
    if not 0 <= processes.number < processes.count:
        raise SweepError(
            f"expected a process number from 0 to {processes.count - 1}, found {processes.number}; count from 0"
        )
    if jax.distributed.is_initialized():
        return
    try:
        # Processes never exchange results, so that they need no collectives (whose library writes on stdout).
        jax.config.update("jax_cpu_collectives_implementation", None)
        jax.distributed.initialize(processes.coordinator, processes.count, processes.number)
    except (RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SweepError(
            f"expected {processes.count} processes to meet at {processes.coordinator}, found: {why}; start them all "
            "with the same --coordinator"
        ) from error


def _wait(until: Callable[[], bool]) -> None:
    """Until the others have done their part; if one of them dies, JAX ends this process too."""
    while not until():
        time.sleep(BETWEEN_LOOKS)
