"""A run and a study as text on stdout."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from .._errors import TrainingError
from .._settings import is_number
from ..checkpoints.base import shown
from .console import Console
from .output import as_markup

if TYPE_CHECKING:
    from ..training.loop import Trained


def best_record(trained: "Trained") -> dict[str, Any]:
    """Where the held-out loss was smallest. Raises `TrainingError` where a record of the log does not hold numbers."""
    for record in trained.records:
        if not all(is_number(record.get(name)) for name in ("step", "bits", "accuracy")):
            raise TrainingError(
                f"expected step, bits and accuracy in each record of a run, found {shown(record)}: delete its log.jsonl"
            )
    if not trained.records:
        raise TrainingError("expected records of a run, found none: delete its folder, or choose another --out")
    best = min(trained.records, key=lambda record: record["bits"])
    return {name: best[name] for name in ("step", "bits", "accuracy")}


def print_run(trained: "Trained", out: Path) -> None:
    """Where a run ended, and its best evaluation."""
    best, last = best_record(trained), trained.records[-1]
    early = ", stopped early" if trained.stopped_early else ""
    click.echo(f"step {last['step']}{early}: {last['bits']:.4f} bits, accuracy {last['accuracy']:.4f} held out")
    click.echo(f"best: {best['bits']:.4f} bits, accuracy {best['accuracy']:.4f} at step {best['step']} ({out})")


def print_study(document: dict[str, Any], out: Path) -> None:
    """Every arm with the mean over its seeds, every contrast with its interval and verdict."""
    from ..training.study import RESULTS, arm_summaries

    console = Console()
    console.print(f"[bold]{as_markup(document['title'])}[/bold]")
    arms = Table("arm", "runs", "diverged", f"{document['metric']} (mean)", "sd of seeds")
    for one in arm_summaries(document):
        counts = (str(one["finished"]), str(one["diverged"]))
        arms.add_row(as_markup(one["arm"]), *counts, _number(one["mean"]), _number(one["sd"]))
    console.print(arms)
    table = Table("arm", "against", "difference", "95 % interval", "p (Holm)", "verdict")
    for one in document["effects"]:
        interval = f"{_number(one['low'])} to {_number(one['high'])}"
        numbers = (_number(one["effect"]), interval, _number(one["p_holm"]))
        table.add_row(as_markup(one["arm"]), as_markup(one["against"]), *numbers, one["verdict"])
    console.print(table)
    click.echo(f"all runs: {out / RESULTS}")


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.4f}"
