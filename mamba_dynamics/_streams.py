"""stdin, stdout and stderr that are closed or cannot be written: the same exit codes as ever, and no traceback.

A process that starts without one of them would give its number to the next file it opens, and what is meant for a
person would be written there. So they are opened again first: stdin is empty, stderr swallows what it is told, and
writing on stdout fails, as nobody would read the result.
"""

import contextlib
import errno
import os
import sys

#: Those that may be missing: number, name, and how the number is opened again. Nothing can be written on a file that is
#: open for reading.
_STANDARD = ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY))


def open_closed_streams() -> None:
    """Open the standard streams that are closed; to be called before any file is opened."""
    for number, name, how in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            # The system gives the lowest number that is free, and those before this one are taken.
            os.open(os.devnull, how)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def tell(line: str) -> None:
    """Write a line on stderr; where that cannot be written there is nobody to tell."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def forget(number: int) -> None:
    """What is left in the buffer of stdout (1) or stderr (2) goes nowhere: it cannot be written."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def stdout_fault() -> OSError | None:
    """Why what was printed cannot be written out, or None where it was; after a fault, nothing is left of it."""
    try:
        sys.stdout.flush()
    except OSError as error:
        forget(1)
        if error.errno == errno.EBADF:
            error.strerror = "it is closed"
        return error
    return None


def forget_unwritable_stderr() -> None:
    """Python would end with a code of its own where stderr cannot be written."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        forget(2)
