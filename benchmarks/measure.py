"""Sides of a row take turns, each in a process of its own: seconds, processor seconds, peak memory, answers.

A side is either a `Call`, a function that a worker process prepares once and then runs when it is told to, or a
`Command`, a whole process from start to end. The peak of a call is what it needs above its prepared inputs, in a GPU's
memory where it runs on one. A run ends when its answer is there, on whatever device.
"""

import json
import math
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]

#: Seconds that a side may take to prepare and run once.
PATIENCE = 60
#: Runs of a call that take less are repeated until they have taken so many seconds together.
SHORT = 0.2

#: What one run of a side found: the numbers that sides are compared by.
Answer = np.ndarray
#: size -> what runs once and returns its answer (or a dict that holds it under "answer", beside counts).
Call = Callable[[Any], Callable[[], Any]]


class SideFailed(Exception):
    """A side cannot run here, and why."""


@dataclass(frozen=True)
class Command:
    """size -> the command line of a whole process, or SideFailed. `environment` is added to this one's.

    One that takes minutes may run a `single` time, which then stands for every round.
    """

    line: Callable[[Any], list[str]]
    environment: dict[str, str] | None = None
    single: bool = False


@dataclass(frozen=True)
class Timing:
    """One run of a side. `seconds` of wall time, `processor` seconds of all its threads."""

    seconds: float
    processor: float


@dataclass(frozen=True)
class Measured:
    """All runs of one side at one size. `first` includes compilation; `peak` in bytes; `counts` are the side's own."""

    first: float
    timings: tuple[Timing, ...]
    peak: int
    answer: Answer | None
    counts: dict[str, Any]

    @property
    def seconds(self) -> np.ndarray:
        return np.array([one.seconds for one in self.timings])


def interleaved(row: str, sides: dict[str, Call | Command], size: Any, rounds: int) -> dict[str, Measured | str]:
    """Every side `rounds` times, in turn; a side that cannot run here is the reason why, in words."""
    with ExitStack() as stack:
        runners: dict[str, _Worker | _Process] = {}
        found: dict[str, Measured | str] = {}
        for name, side in sides.items():
            try:
                runners[name] = stack.enter_context(_runner(row, name, side, size))
            except SideFailed as error:
                found[name] = str(error)
        timings: dict[str, list[Timing]] = {name: [] for name in runners}
        for _ in range(rounds):
            for name, runner in list(runners.items()):
                try:
                    timings[name].append(runner.once())
                except SideFailed as error:
                    found[name] = str(error)
                    del runners[name]
        for name, runner in runners.items():
            found[name] = runner.done(tuple(timings[name]))
    return {name: found[name] for name in sides}


@contextmanager
def _runner(row: str, name: str, side: Any, size: Any) -> "Iterator[_Worker | _Process]":
    runner = _Process(side, size) if isinstance(side, Command) else _Worker(row, name, size)
    try:
        yield runner
    finally:
        runner.close()


#: Starts a command and tells what it took. A small process: to a child's peak counts what its parent held at the start.
_STARTER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds, processor = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
code = os.waitstatus_to_exitcode(status)
print(json.dumps({"seconds": seconds, "processor": processor, "maxrss": usage.ru_maxrss, "code": code}))
"""


class _Process:
    """A command, run from start to end each time."""

    def __init__(self, side: Command, size: Any):
        self.line, self.environment = side.line(size), {**os.environ, **(side.environment or {})}
        # Peers come with their bytecode; a checkout shall keep its own from the first run, which does not count.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.peak = 0
        started = self._timed()
        self.first, self.stands_for_all = started.seconds, started if side.single else None

    def once(self) -> Timing:
        return self.stands_for_all or self._timed()

    def _timed(self) -> Timing:
        starter = [sys.executable, "-I", "-S", "-c", _STARTER, *self.line]
        run = subprocess.run(starter, cwd=ROOT, env=self.environment, capture_output=True, text=True)
        found = json.loads(run.stdout)
        if found["code"] not in (0, 3):
            raise SideFailed((run.stderr.strip() or f"exit code {found['code']}").splitlines()[-1])
        self.peak = max(self.peak, _bytes(found["maxrss"]))
        return Timing(found["seconds"], found["processor"])

    def done(self, timings: tuple[Timing, ...]) -> Measured:
        return Measured(self.first, timings, self.peak, None, {})

    def close(self) -> None:
        pass


class _Worker:
    """A process that has prepared a call and runs it when it is told to."""

    def __init__(self, row: str, name: str, size: Any):
        self.folder = tempfile.TemporaryDirectory(prefix="bench-")
        line = [sys.executable, "-m", "benchmarks.measure", row, name, json.dumps(size), self.folder.name]
        # All sides of a row are alive at once: none may take a GPU's memory before it needs it.
        environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(line, cwd=ROOT, env=environment, text=True, **pipes)
        try:
            self.first = self._reply()["seconds"]
        except SideFailed:
            self.close()
            raise

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise SideFailed(f"no answer within {PATIENCE} s")
        line = self.process.stdout.readline()
        if not line:
            said = self.process.stderr.read().strip().splitlines()
            raise SideFailed(said[-1] if said else f"exit code {self.process.wait()}")
        return json.loads(line)

    def _ask(self, what: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self._reply()

    def once(self) -> Timing:
        return Timing(**self._ask("run"))

    def done(self, timings: tuple[Timing, ...]) -> Measured:
        last = self._ask("done")
        answer = np.load(Path(self.folder.name) / "answer.npy") if last["answered"] else None
        return Measured(self.first, timings, last["peak"], answer, last["counts"])

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()


# ------------------------------------------------------------------------------------------- in the worker process


def _serve(row: str, side: str, size: Any, folder: Path) -> None:
    from .rows import ROWS

    if ROWS[row].one_core and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    run = ROWS[row].sides[side](size)
    before = _reset_peak()
    say = _own_channel()
    timing, found = _timed(run)
    say(timing)
    for line in sys.stdin:
        if line.strip() == "run":
            timing, found = _steadied(run)
            say(timing)
            continue
        counts = {key: value for key, value in found.items() if key != "answer"} if isinstance(found, dict) else {}
        answer = found.get("answer") if isinstance(found, dict) else found
        if answer is not None:
            np.save(folder / "answer.npy", _numbers(answer))
        say({"peak": max(_peak() - before, 0), "answered": answer is not None, "counts": counts})


def _own_channel() -> Callable[[dict[str, Any]], None]:
    """What is said to the parent; whatever else a library prints goes to stderr."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(what: dict[str, Any]) -> None:
        channel.write(json.dumps(what) + "\n")
        channel.flush()

    return say


def _steadied(run: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """One run; of a short one the mean of several, after one that does not count.

    Another process has just had the caches, and threads are asleep: to wake them costs as much as a short run.
    """
    timing, found = _timed(run)
    if timing["seconds"] >= SHORT:
        return timing, found
    return _timed(run, math.ceil(SHORT / timing["seconds"]))


def _timed(run: Callable[[], Any], times: int = 1) -> tuple[dict[str, float], Any]:
    """(the mean of so many runs, what the last one found)."""
    began, used = time.perf_counter(), time.process_time()
    for _ in range(times - 1):
        _finish(run())
    found = _finish(run())
    passed = {"seconds": time.perf_counter() - began, "processor": time.process_time() - used}
    return {name: value / times for name, value in passed.items()}, found


def _finish(found: Any) -> Any:
    """Wait for what devices are still computing."""
    if "jax" in sys.modules:
        sys.modules["jax"].block_until_ready(found)
    if (cuda := _torch_cuda()) is not None:
        cuda.synchronize()
    return found


def _torch_cuda() -> Any:
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None


def _numbers(answer: Any) -> Answer:
    """An array, a tensor of torch, or several of them on end."""
    if isinstance(answer, (tuple, list)):
        return np.concatenate([np.ravel(_numbers(one)) for one in answer])
    return np.asarray(answer.detach().cpu() if hasattr(answer, "detach") else answer)


def _gpu_memory() -> tuple[int, int] | None:
    """(bytes in use, their peak) on the GPU that this side computes on; None if it does not."""
    if (cuda := _torch_cuda()) is not None:
        return cuda.memory_allocated(), cuda.max_memory_allocated()
    jax = sys.modules.get("jax")
    if jax is None or jax.default_backend() != "gpu":
        return None
    found = jax.local_devices()[0].memory_stats()
    return found["bytes_in_use"], found["peak_bytes_in_use"]


def _reset_peak() -> int:
    """The memory in use now, from which on the peak is counted, where the system can forget the one before."""
    if (of_gpu := _gpu_memory()) is not None:
        return of_gpu[0]
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    if (of_gpu := _gpu_memory()) is not None:
        return of_gpu[1]
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        return _bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _bytes(maxrss: int) -> int:
    return maxrss if sys.platform == "darwin" else 1024 * maxrss


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), Path(sys.argv[4]))
