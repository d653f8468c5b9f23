"""Ctrl-C and SIGTERM: one line, an exit code that says which, nothing half written and nothing left running.

    130   Ctrl-C (SIGINT)          143   SIGTERM          141   the reader of stdout went away (`| head`)

The first signal raises `Stopped`, so that what is open is closed on the way out: bars are taken down, temporary files
removed, processes ended. A library may swallow an exception, or wait; so a second signal, and a few seconds, end the
process without asking, after the same cleaning.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from ._files import discard_unfinished

#: Seconds after a signal at which the process ends however busy it is.
PATIENCE = 3.0
READER_GONE = 128 + 13

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_SHOW_CURSOR = "\x1b[?25h"


class Stopped(BaseException):
    """The process was asked to end; no `Exception`, so that nothing takes it for an error of its own."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def stoppable(run: Callable[[], object]) -> None:
    """Run a command line; a signal ends the process with 128 and the signal's number, and one line on stderr."""
    stop = _Stop()
    for number in _SIGNALS:
        signal.signal(number, stop.on_signal)
    try:
        run()
    except BaseException:
        # Whatever a library made of it on its way here.
        if stop.number is None:
            raise
    if stop.number is not None:
        stop.leave()


@contextlib.contextmanager
def signals_kept_from_children() -> Iterator[None]:
    """Processes that are started inside are not interrupted by a terminal's Ctrl-C: the parent ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Stop:
    def __init__(self):
        self.number: int | None = None

    def on_signal(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            self.leave(at_once=True)
        self.number = number
        # An exception that is raised where none can be caught is printed by Python; so are those of threads.
        sys.unraisablehook = threading.excepthook = lambda *_: None
        threading.Thread(target=self._watch, daemon=True).start()
        raise Stopped(number)

    def _watch(self) -> None:
        """End what a pool still starts, so that nobody waits for it, and in the end the process."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            _end_children()
            time.sleep(0.05)
        self.leave()

    def leave(self, *, at_once: bool = False) -> None:
        """End the process: no library has a say any more, and `at_once` not even its cleaning."""
        assert self.number is not None
        discard_unfinished()
        _end_children()
        if not at_once:
            cleaning = threading.Thread(target=_give_back_semaphores, daemon=True)
            cleaning.start()
            cleaning.join(1.0)
        with contextlib.suppress(OSError, ValueError):
            cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
            os.write(2, f"{cursor}mamba-dynamics: {_WORDS[signal.Signals(self.number)]}\n".encode())
        os._exit(128 + self.number)


def _end_children() -> None:
    """Kill the processes of pools."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None:
        return
    for child in multiprocessing.active_children():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            child.kill()


def _give_back_semaphores() -> None:
    """Run what `multiprocessing` runs at an exit: the semaphores of pools have names, which the system would keep."""
    if "multiprocessing.util" in sys.modules:
        with contextlib.suppress(Exception):
            sys.modules["multiprocessing.util"]._run_finalizers(0)
