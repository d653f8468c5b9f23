"""Progress on stderr, for work that takes more than a moment."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Nothing is shown for work that is over sooner than this many seconds.
PATIENCE = 0.5


@contextmanager
def progress_on_stderr(unit: str) -> Iterator[Callable[[int, int, str], None]]:
    """A callback (done, total, name) that draws a bar on stderr when that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total, name: None
        return
    began, bar = time.monotonic(), None

    def show(done: int, total: int, name: str) -> None:
        nonlocal bar
        if bar is None and (time.monotonic() - began > PATIENCE or total == 1):
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn(unit),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            bar = Progress(*columns, console=Console(stderr=True), transient=True)
            bar.start()
            bar.add_task(name, total=total)
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done, description=name)

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()
