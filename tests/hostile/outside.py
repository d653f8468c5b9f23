"""Readers measured from outside: what a process that reads an input takes, says and dies of.

A `Watched` process reads inputs one after the other. Before each the system is told to forget the process's peak of
resident memory (`clear_refs`), and after it the peak is read (`VmHWM`): the file's memory beyond what the process had.
Demanded of every input: it is answered within SECONDS, the process lives, its memory grows by twice the files' size and
64 MB at most, and nothing is written to stdout or stderr. What the reader's answer must be, the process itself checks.
"""

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from guard import Broken

from mamba_dynamics._allowance import allowance

#: An input takes milliseconds; a machine that is busy, more. A reader with a process of its own has a minute for it.
SECONDS, SECONDS_OF_A_PROCESS = 20.0, 120.0
#: Until a process has imported what it needs, read a reader's valid files and written the input.
_SECONDS_TO_START = 300.0
_FORGET_PEAK = b"5"
_MEMORY_FILES = Path("/dev/shm")


class Watched:
    """A process that reads the inputs of a table's readers. Use it in a `with` statement."""

    def __init__(self, table: str = "parsers"):
        self.table = table
        self.folder = Path(tempfile.mkdtemp(prefix="hostile-", dir=_MEMORY_FILES if _MEMORY_FILES.is_dir() else None))
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_) -> None:
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answer(self, name: str, seed: int, number: int, *, own_process: bool = False) -> str:
        """ "read", or the name of the package's error. Raises `Broken`."""
        if self.process is None:
            self._start()
        try:
            _, size = self._ask(json.dumps([name, seed, number]), _SECONDS_TO_START)
            before = self._forget_peak()
            answer, fault = self._ask("go", SECONDS_OF_A_PROCESS if own_process else SECONDS)
        except Broken:
            self._end()
            raise
        grown, said = self._peak() - before, self._said()
        if fault is not None:
            raise Broken(fault)
        if grown > allowance(size):
            raise Broken(f"resident memory grew by {grown} bytes for files of {size}, beyond {allowance(size)}")
        if said:
            raise Broken(f"it wrote {said[:300]!r}")
        return answer

    def _start(self) -> None:
        replies, theirs = os.pipe()
        self._chatter = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 (closed by _end)
        command = [sys.executable, str(Path(__file__).with_name("worker.py")), self.table, str(self.folder)]
        self.process = subprocess.Popen(
            [*command, str(theirs)],
            stdin=subprocess.PIPE,
            stdout=self._chatter,
            stderr=self._chatter,
            pass_fds=[theirs],
        )
        os.close(theirs)
        self._replies = os.fdopen(replies, "rb")
        self._heard = selectors.DefaultSelector()
        self._heard.register(self._replies, selectors.EVENT_READ)
        self._refs = os.open(f"/proc/{self.process.pid}/clear_refs", os.O_WRONLY)
        self._status = os.open(f"/proc/{self.process.pid}/status", os.O_RDONLY)

    def _end(self) -> None:
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self._heard.close()
        for stream in (self.process.stdin, self._replies, self._chatter):
            with suppress(BrokenPipeError):
                stream.close()
        os.close(self._refs)
        os.close(self._status)
        self.process = None

    def _ask(self, line: str, seconds: float) -> list:
        try:
            os.write(self.process.stdin.fileno(), line.encode() + b"\n")
        except BrokenPipeError:
            raise Broken(self._death()) from None
        if not self._heard.select(seconds):
            raise Broken(f"no answer within {seconds} seconds")
        reply = self._replies.readline()
        if not reply:
            raise Broken(self._death())
        return json.loads(reply)

    def _death(self) -> str:
        code = self.process.wait()
        words = [line for line in self._said().decode(errors="replace").splitlines() if "ResourceWarning" not in line]
        if code < 0:
            return f"signal {-code} ({signal.Signals(-code).name}) ended it"
        return f"it ended itself with code {code}: {words[-1][:200] if words else 'not a word'}"

    def _forget_peak(self) -> int:
        os.write(self._refs, _FORGET_PEAK)
        return self._peak()

    def _peak(self) -> int:
        """Bytes of resident memory, at most, since the peak was forgotten."""
        text = os.pread(self._status, 8192, 0)
        start = text.index(b"VmHWM:") + 6
        return 1024 * int(text[start : text.index(b"kB", start)])

    def _said(self) -> bytes:
        end = os.fstat(self._chatter.fileno()).st_size
        if not end:
            return b""
        said = os.pread(self._chatter.fileno(), 20_000, 0)
        os.ftruncate(self._chatter.fileno(), 0)
        os.lseek(self._chatter.fileno(), 0, os.SEEK_SET)
        return said
