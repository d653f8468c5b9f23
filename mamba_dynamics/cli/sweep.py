"""`mamba-dynamics sweep`: a phase diagram computed into a store, which goes on where it was stopped."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._errors import SweepError
from .command import PATH, argument, as_json, command, picture
from .names import Name, sweeps
from .output import UNDECIDED_OR_DISAGREES, fail, key_values, print_json, refuse, save_figure
from .progress import progress_on_stderr

if TYPE_CHECKING:
    from ..sweeps.run import Processes, Swept
    from ..sweeps.spec import Sweep


@command
@argument("spec", type=Name(sweeps, files=True), says="A spec's name (see --list), or a TOML file.")
@click.option("--out", type=PATH, help="Folder of the store; one that was stopped goes on.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value.")
@picture("Picture to draw: the phase diagram.")
@click.option("--slice", "slices", multiple=True, metavar="AXIS=VALUE", help="Where to cut an axis for --plot.")
@click.option("--x", help="Horizontal axis of --plot.")
@click.option("--y", help="Vertical axis of --plot.")
@click.option("--coordinator", help="HOST:PORT of the first of several processes that share the work.")
@click.option("--num-processes", type=click.IntRange(min=1), help="How many processes share the work.")
@click.option("--process-id", type=click.IntRange(min=0), help="The number of this process, from 0.")
@click.option("--list", "listed", is_flag=True, help="Say which specs there are, and compute nothing.")
@as_json
def sweep(
    spec: str | None,
    out: Path | None,
    settings: tuple[str, ...],
    plot: Path | None,
    slices: tuple[str, ...],
    x: str | None,
    y: str | None,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    listed: bool,
    json: bool,
) -> None:
    """Integrate systems over a grid, a random design or a checkpoint's channels; killed at any moment, it goes on."""
    _require_extra()
    from ..sweeps.run import run_sweep
    from ..sweeps.spec import read_sweep, sweep_names

    if listed:
        for name in sweep_names():
            one = read_sweep(name)
            click.echo(f"{name:20}  {one.cells:8}  {one.title}")
        return
    if spec is None or out is None:
        missing = "--out" if spec is not None else "the name" if out is not None else "both"
        refuse(f"expected the name of a sweep and --out STORE (or --list), {missing} missing")
    processes, cuts = _processes(coordinator, num_processes, process_id), _cuts(slices)
    one = read_sweep(spec, key_values(settings, "--set"))
    for line in () if one.channels is None else one.channels.warnings:
        click.echo(f"note: {line}", err=True)
    if plot is not None:
        _require_drawable(one, cuts, x, y)
    with progress_on_stderr("cells") as show:
        swept = run_sweep(
            one, out, processes=processes, progress=lambda done, total, rate: show(done, total, f"{rate:,.0f} cells/s")
        )
    if processes is not None and processes.number > 0:
        return
    if plot is not None:
        _draw(out, plot, cuts, x, y)
    if json:
        print_json(_document(one, swept))
    else:
        _print(swept)
    if swept.undecided or swept.failed:
        raise click.exceptions.Exit(UNDECIDED_OR_DISAGREES)


def _require_extra() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("xarray", "zarr") if find_spec(name) is None]
    if missing:
        fail(f"sweeps need {' and '.join(missing)}, not installed: pip install 'mamba-dynamics[sweep]'")


def _processes(coordinator: str | None, count: int | None, number: int | None) -> "Processes | None":
    given = [one is not None for one in (coordinator, count, number)]
    if not any(given):
        return None
    if coordinator is None or count is None or number is None:
        refuse("expected --coordinator, --num-processes and --process-id together")
    from ..sweeps.run import Processes

    return Processes(coordinator, count, number)


def _require_drawable(one: "Sweep", cuts: dict[str, float], x: str | None, y: str | None) -> None:
    """What cannot be drawn is said before anything is computed."""
    from ..plotting.sweeps import axes_to_draw

    axes = {axis.name: axis.values for axis in one.axes}
    columns = [name for name, found in one.quantities.items() if [one.axes[i].name for i in found.axes] == ["cell"]]
    try:
        axes_to_draw(axes, columns, where=cuts, x=x, y=y)
    except SweepError as error:
        refuse(str(error), "--slice, --x, --y")


def _cuts(settings: tuple[str, ...]) -> dict[str, float]:
    cuts = {}
    for name, text in key_values(settings, "--slice").items():
        try:
            cuts[name] = float(text)
        except ValueError:
            cuts[name] = math.nan
        if not math.isfinite(cuts[name]):
            refuse(f"expected a number for {name}, found {text!r}", "--slice")
    return cuts


def _draw(out: Path, plot: Path, cuts: dict[str, float], x: str | None, y: str | None) -> None:
    import xarray as xr

    from ..plotting import plot_phase_diagram
    from ..sweeps.store import whole

    with whole(out), xr.open_zarr(out) as dataset:
        figure = plot_phase_diagram(dataset, x=x, y=y, where=cuts).figure
    save_figure(figure, plot)


def _document(one: "Sweep", swept: "Swept") -> dict[str, Any]:
    return {
        "schema_version": 1,
        "sweep": {"name": one.name, "title": one.title, "seed": one.seed, "spec": one.table},
        "store": str(swept.path),
        "axes": {axis.name: len(axis.values) for axis in one.axes},
        "cells": swept.cells,
        "computed": swept.computed,
        "outcomes": swept.counts,
        "undecided": swept.undecided,
        "failed": swept.failed,
        "devices": swept.devices,
    }


def _print(swept: "Swept") -> None:
    for name, count in swept.counts.items():
        if count:
            click.echo(f"{name:26} {count:10}  {count / swept.cells:7.2%}")
    click.echo(f"{swept.cells} cells in {swept.path} ({swept.computed} computed now)")
