"""Ctrl-C and SIGTERM: one line, an exit code that says which, nothing half written and nothing left running.

    130   Ctrl-C (SIGINT)          143   SIGTERM          141   the reader of stdout went away (`| head`)

The process ends where the signal finds it, after its temporary files are removed and its processes are killed. No
exception is raised for it: compiled libraries abort where one passes through them, and some swallow it.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from ._files import discard_unfinished

READER_GONE = 128 + 13

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
#: A terminal's line emptied, and its cursor shown: a bar may have been drawn there.
_CLEAR = "\r\x1b[K\x1b[?25h"
#: Seconds that giving back semaphores may take.
_PATIENCE = 1.0


def end_by_signals() -> None:
    """From now on SIGINT and SIGTERM end the process with 128 and their number, and one line on stderr."""
    for number in _WORDS:
        signal.signal(number, _STOP.on_signal)


@contextlib.contextmanager
def starting_processes() -> Iterator[None]:
    """Inside, processes are started: a signal waits until they are known, and no Ctrl-C of a terminal reaches them.

    The parent ends them. Nothing changes in a program that did not ask for `end_by_signals`.
    """
    if signal.getsignal(signal.SIGTERM) != _STOP.on_signal:
        yield
        return
    _STOP.waiting = True
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _STOP.waiting = False
        if _STOP.number is not None:
            _STOP.leave(_STOP.number)


class _Stop:
    def __init__(self):
        self.number: int | None = None
        self.waiting = False

    def on_signal(self, number: int, _: FrameType | None) -> None:
        first, self.number = self.number is None, self.number or number
        if not self.waiting:
            self.leave(self.number, at_once=not first)

    def leave(self, number: int, *, at_once: bool = False) -> NoReturn:
        """End the process; `at_once` where it was asked before."""
        discard_unfinished()
        _kill_children()
        if not at_once:
            cleaning = threading.Thread(target=_give_back_semaphores, daemon=True)
            cleaning.start()
            cleaning.join(_PATIENCE)
        with contextlib.suppress(OSError):
            clear = _CLEAR if os.isatty(2) else ""
            os.write(2, f"{clear}mamba-dynamics: {_WORDS[signal.Signals(number)]}\n".encode())
        os._exit(128 + number)


_STOP = _Stop()


def _kill_children() -> None:
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
