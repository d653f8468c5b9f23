"""`mamba-dynamics train`: an experiment trained on the CPU, which goes on where it was stopped."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import fail, one_line_errors, print_json

if TYPE_CHECKING:
    from ..training.loop import Progress, Trained

#: Seconds between two lines of progress where stderr is no terminal.
BETWEEN_LINES = 10.0


@one_line_errors
def train(
    experiment: Annotated[str | None, typer.Argument(help="A spec's name (see --list), or a TOML file.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with the task's files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; one that was stopped goes on.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say which specs there are, and train nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Train a model on an experiment's task; killed at any moment and started again, it goes on bit for bit.

    The run's folder holds what it is (run.json), one record an evaluation (log.jsonl) and checkpoints.
    """
    _require_optax()
    from ..training.experiment import experiment_names, read_experiment, run

    if list_:
        for name in experiment_names():
            typer.echo(f"{name:20}  {read_experiment(name).title}")
        return
    if experiment is None or out is None:
        raise typer.BadParameter("expected the name of an experiment and --out FOLDER (or --list)")
    spec = read_experiment(experiment, _changes(set_ or []))
    with _progress() as show:
        trained = run(spec, data=data, out=out, progress=show)
    if json:
        print_json({"schema_version": 1, "experiment": spec.as_dict(), "out": str(out), **_found(trained)})
    else:
        _print_end(trained, out)


def _require_optax() -> None:
    from importlib.util import find_spec

    if find_spec("optax") is None:
        fail("training needs optax, which is not installed: pip install 'mamba-dynamics[train]'")


def _changes(settings: list[str]) -> dict[str, str]:
    pairs = [setting.partition("=") for setting in settings]
    for key, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"expected KEY=VALUE, found {key!r}", param_hint="--set")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _found(trained: "Trained") -> dict:
    best = min(trained.records, key=lambda record: record["bits"])
    return {
        "records": trained.records,
        "best": {name: best[name] for name in ("step", "bits", "accuracy")},
        "stopped_early": trained.stopped_early,
    }


def _print_end(trained: "Trained", out: Path) -> None:
    last, best = trained.records[-1], _found(trained)["best"]
    early = ", stopped early" if trained.stopped_early else ""
    typer.echo(f"step {last['step']}{early}: {last['bits']:.4f} bits, accuracy {last['accuracy']:.4f} held out")
    typer.echo(f"best: {best['bits']:.4f} bits, accuracy {best['accuracy']:.4f} at step {best['step']} ({out})")


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
            print(text, file=sys.stderr, flush=True)

    return show
