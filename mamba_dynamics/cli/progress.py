"""Progress on stderr, for work that takes more than a moment: a bar in a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .._streams import tell

#: Nothing is shown for work that is over sooner than this many seconds.
PATIENCE = 0.5
#: Seconds between two lines where stderr is no terminal.
BETWEEN_LINES = 20.0


@contextmanager
def progress_on_stderr(unit: str) -> Iterator[Callable[[int, int, str], None]]:
    """A callback (done, total, name) that draws a bar on stderr, or writes lines where that is no terminal."""
    if not sys.stderr.isatty():
        yield _lines(unit)
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


def _lines(unit: str) -> Callable[[int, int, str], None]:
    began = last = time.monotonic()

    def show(done: int, total: int, name: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= BETWEEN_LINES and 0 < done < total:
            last = now
            left = (now - began) * (total - done) / done
            tell(f"{done} of {total} {unit}, about {left:.0f} s left ({name})")

    return show
