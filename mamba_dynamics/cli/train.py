"""`mamba-dynamics train`: an experiment or a study trained on the CPU, which goes on where it was stopped."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._streams import tell
from .command import PATH, argument, as_json, command, picture
from .names import Name, experiments
from .output import fail, key_values, print_json, refuse, save_figure
from .progress import progress_on_stderr
from .train_text import best_record, print_run, print_study

if TYPE_CHECKING:
    from ..training.experiment import Experiment
    from ..training.loop import Progress

#: Seconds between two lines of progress where stderr is no terminal.
BETWEEN_LINES = 10.0


@command
@argument("experiment", type=Name(experiments, files=True), says="A spec's name (see --list), or a TOML file.")
@click.option("--data", type=PATH, help="Folder with the task's files.")
@click.option("--out", type=PATH, help="Folder of the run; one that was stopped goes on.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Runs of a study that are trained at a time.")
@picture("Picture to draw: regimes, or a study's effects.")
@click.option("--list", "listed", is_flag=True, help="Say which specs there are, and train nothing.")
@as_json
def train(
    experiment: str | None,
    data: Path | None,
    out: Path | None,
    settings: tuple[str, ...],
    jobs: int,
    plot: Path | None,
    listed: bool,
    json: bool,
) -> None:
    """Train a model on an experiment's task; killed at any moment and started again, it goes on bit for bit.

    The run's folder holds what it is (run.json), one record an evaluation (log.jsonl) and checkpoints. A study trains
    all its arms and seeds, each in a folder of its own, and compares them (results.json).
    """
    _require_extra()
    from ..training.experiment import experiment_names, read_table
    from ..training.study import is_study

    if listed:
        for name in experiment_names():
            click.echo(f"{name:20}  {read_table(name)[1].get('title', '')}")
        return
    if experiment is None or out is None:
        missing = "--out" if experiment is not None else "the name" if out is not None else "both"
        refuse(f"expected the name of an experiment and --out FOLDER (or --list), {missing} missing")
    changes = key_values(settings, "--set")
    if is_study(experiment):
        _study(experiment, changes, data, out, jobs, plot, json)
    else:
        _experiment(experiment, changes, data, out, plot, json)


def _experiment(name: str, changes: dict[str, str], data: Path | None, out: Path, plot: Path | None, json: bool):
    from ..training.experiment import read_experiment, run

    spec = read_experiment(name, changes)
    _require_use_of(data, [spec])
    with _progress() as show:
        trained = run(spec, data=data, out=out, progress=show)
    if plot is not None:
        from ..plotting import plot_regimes

        save_figure(plot_regimes({spec.name: [trained.records]})[0, 0].figure, plot)
    if json:
        found = {"records": trained.records, "best": best_record(trained), "stopped_early": trained.stopped_early}
        print_json({"schema_version": 1, "experiment": spec.as_dict(), "out": str(out), **found})
    else:
        print_run(trained, out)


def _study(name: str, changes: dict[str, str], data: Path | None, out: Path, jobs: int, plot: Path | None, json: bool):
    from ..training.study import read_study, run_study

    study = read_study(name, changes)
    _require_use_of(data, [study.experiment(arm, 0) for arm in study.arms])
    with progress_on_stderr("runs") as show:
        document = run_study(
            study,
            data=data,
            out=out,
            jobs=jobs,
            progress=lambda done, total, run: show(done, total, f"{run['arm']}, seed {run['seed']}"),
        )
    if plot is not None:
        from ..plotting import plot_effects

        save_figure(plot_effects(document["effects"], study.metric).figure, plot)
    if json:
        print_json(document)
    else:
        print_study(document, out)


def _require_use_of(data: Path | None, experiments: "list[Experiment]") -> None:
    from ..training.experiment import reads_files

    if data is not None and not any(map(reads_files, experiments)):
        refuse(f"{experiments[0].name} draws its data from the seed and reads no files: leave it out", "--data")


def _require_extra() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("optax", "scipy") if find_spec(name) is None]
    if missing:
        fail(f"training needs {' and '.join(missing)}, not installed: pip install 'mamba-dynamics[train]'")


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar with loss, rate and time left, or a line now and then where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("compiling")
        yield lambda step, steps, bits, rate: bar.update(
            task, total=steps, completed=step, description=f"{bits:.3f} bits, {rate:,.0f} tokens/s"
        )


def _lines() -> "Progress":
    began = last = time.monotonic()
    first = 0

    def show(step: int, steps: int, bits: float, rate: float) -> None:
        nonlocal last, first
        now, first = time.monotonic(), first or step
        if now - last >= BETWEEN_LINES:
            last = now
            left = (now - began) * (steps - step) / (step - first + 1)
            text = f"step {step} of {steps}: {bits:.3f} bits, {rate:,.0f} tokens/s, about {left:.0f} s left"
            tell(text)

    return show
