"""The fuzzer: inputs for every reader, damaged or written anew, each checked for what `outside` and `guard` demand.

    python tests/hostile/fuzz.py --inputs 300000            # over all readers, by their shares
    python tests/hostile/fuzz.py --parser npz --inputs 5000 --seed 7
    python tests/hostile/fuzz.py --seconds 60               # as many as there is time for, reader after reader
    python tests/hostile/fuzz.py --until-each-kind          # how soon each kind of `kinds` is found in a reader with it

Input number N of a reader and a seed is always the same. The files of one that breaks a demand are kept in a folder
that is named. Inputs are read by processes, and their memory and deaths are measured from outside, for every reader.
"""

import argparse
import itertools
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from guard import Broken
from outside import Watched
from parsers import PARSERS, Parser

#: Broken inputs of a reader after which it is given no more.
ENOUGH = 1000


@dataclass
class Result:
    """What became of the inputs of one reader; `broken` holds (input's number, why)."""

    parser: Parser
    answers: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def inputs(self) -> int:
        return sum(self.answers.values()) + len(self.broken)


def fuzz(parser: Parser, processes: Sequence[Watched], *, inputs: int, seconds: float, seed: int, kept: Path) -> Result:
    """Give a reader inputs, dealt to the processes, until their number or the time is used up."""
    result, numbers, began = Result(parser), itertools.count(), time.monotonic()

    def feed(process: Watched) -> None:
        while (number := next(numbers)) < inputs and len(result.broken) < ENOUGH:
            try:
                answer = process.answer(parser.name, seed, number, own_process=parser.own_process)
                result.answers[answer] += 1
            except Broken as error:
                result.broken.append((number, str(error)))
                _keep(parser, seed, number, kept)
            if time.monotonic() - began > seconds:
                break

    with ThreadPoolExecutor(len(processes)) as pool:
        list(pool.map(feed, processes))  # an error of a generator is raised here
    result.seconds = time.monotonic() - began
    result.broken.sort()
    return result


def _keep(parser: Parser, seed: int, number: int, kept: Path) -> None:
    folder = kept / f"{parser.name.replace(' ', '-')}-{seed}-{number}"
    path = parser.prepare(folder)
    case = parser.case(seed, number)
    parser.put(case, path)
    (folder / "what-was-done.txt").write_text(case.says, encoding="utf-8", errors="backslashreplace")


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
    options.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that read at the same time")
    options.add_argument("--until-each-kind", action="store_true", help="look for each known kind of fault, then end")
    given = options.parse_args()
    kept = Path(tempfile.mkdtemp(prefix="hostile-kept-"))
    with ExitStack() as stack:
        processes = [stack.enter_context(Watched()) for _ in range(given.processes)]
        if given.until_each_kind:
            from kinds import search

            return search(processes, given.parser or (), seed=given.seed, seconds=given.seconds or 600.0)
        return _table(plan(given.parser, given.inputs, given.seconds), processes, given.seed, kept)


def _table(rows: list[tuple[Parser, int, float]], processes: Sequence[Watched], seed: int, kept: Path) -> int:
    failed = total = 0
    print(f"{'reader':24} {'inputs':>8} {'read':>8} {'refused':>8} {'broken':>7} {'seconds':>8}")
    for parser, inputs, seconds in rows:
        found = fuzz(parser, processes, inputs=inputs, seconds=seconds, seed=seed, kept=kept)
        read, failed, total = found.answers["read"], failed + len(found.broken), total + found.inputs
        refused = found.inputs - read - len(found.broken)
        print(
            f"{parser.name:24} {found.inputs:8} {read:8} {refused:8} {len(found.broken):7} {found.seconds:8.1f}",
            flush=True,
        )
        for number, why in found.broken[:5]:
            print(f"    input {number}: {why}", flush=True)
    print(f"{total} inputs, {failed} broken; kept in {kept}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
