"""The fuzzer: damaged files for every reader, each checked for what `check` demands.

    python tests/hostile/fuzz.py --inputs 200000            # over all readers, by their shares
    python tests/hostile/fuzz.py --parser npz --inputs 5000 --seed 7
    python tests/hostile/fuzz.py --seconds 40               # as many as there is time for, reader after reader

Input number N of a reader and a seed is always the same. One that breaks a demand is kept in a folder that is named.
"""

import argparse
import math
import resource
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from check import Broken, check
from parsers import PARSERS, Parser

from mamba_dynamics import MambaDynamicsError

#: Of so many inputs one is measured to the byte; all of them are under the system's limit.
TRACED = 20


@dataclass
class Result:
    """What became of the inputs of one reader."""

    parser: Parser
    answers: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def inputs(self) -> int:
        return sum(self.answers.values()) + len(self.broken)


def fuzz(parser: Parser, *, inputs: int, seconds: float, seed: int, kept: Path) -> Result:
    """Give a reader inputs until their number or the time is used up."""
    result = Result(parser)
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        path = parser.prepare(Path(folder) / "f")
        for whole in parser.seeds:
            path.write_bytes(whole)
            with suppress(MambaDynamicsError):  # what it imports is imported now
                parser.read(path)
            check(parser, path, whole)
        began = time.monotonic()
        for number in range(inputs):
            data = parser.input(seed, number)
            try:
                result.answers[check(parser, path, data, traced=number % TRACED == 0)] += 1
            except Broken as error:
                result.broken.append((number, str(error)))
                (kept / f"{parser.name.replace(' ', '-')}-{seed}-{number}").write_bytes(data)
                path = parser.prepare(Path(folder) / "f")
            if parser.name in ("run", "log of a run", "state of a run"):
                path = parser.prepare(Path(folder) / "f")
            if time.monotonic() - began > seconds:
                break
    result.seconds = time.monotonic() - began
    return result


def plan(names: list[str], inputs: int | None, seconds: float | None) -> list[tuple[Parser, int, float]]:
    """(reader, inputs, seconds) of all readers that can be run here."""
    chosen = [PARSERS[name] for name in names or PARSERS if PARSERS[name].available]
    shares = sum(one.share for one in chosen)
    each = [math.ceil((inputs or 10**9) * one.share / shares) for one in chosen]
    time_for_each = float("inf") if seconds is None else seconds / len(chosen)
    return [(one, count, time_for_each) for one, count in zip(chosen, each, strict=True)]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--parser", action="append", choices=list(PARSERS), help="only this reader; may be repeated")
    options.add_argument("--inputs", type=int, help="inputs in all")
    options.add_argument("--seconds", type=float, help="time in all")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    kept = Path(tempfile.mkdtemp(prefix="hostile-kept-"))
    failed = total = 0
    print(f"{'reader':21} {'inputs':>8} {'read':>8} {'refused':>8} {'broken':>7} {'seconds':>8}")
    for parser, inputs, seconds in plan(given.parser, given.inputs, given.seconds):
        found = fuzz(parser, inputs=inputs, seconds=seconds, seed=given.seed, kept=kept)
        read, failed, total = found.answers["read"], failed + len(found.broken), total + found.inputs
        refused = found.inputs - read - len(found.broken)
        print(
            f"{parser.name:21} {found.inputs:8} {read:8} {refused:8} {len(found.broken):7} {found.seconds:8.1f}",
            flush=True,
        )
        for number, why in found.broken[:5]:
            print(f"    input {number}: {why}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"{total} inputs, {failed} broken, {peak:.0f} MB at most; kept in {kept}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
