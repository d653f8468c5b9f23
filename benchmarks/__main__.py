"""Every row of the benchmark, ours and its peers side by side in one run.

    python -m benchmarks                              all rows
    python -m benchmarks scan gradient --rounds 9     some of them
    python -m benchmarks --json results.json          the document beside the table (--resume: add the rows it lacks)
    python -m benchmarks --list

Needs the extra `bench`, which installs the peers. Run it on an idle machine.
"""

import argparse
import json
import sys
from pathlib import Path

from mamba_dynamics._files import write_whole

from .report import document, row_document, table
from .rows import ROWS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to run (default: all)")
    parser.add_argument("--rounds", type=int, default=7, help="times each side runs, in turn (default: 7)")
    parser.add_argument("--quick", action="store_true", help="the headline size of each row alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as one JSON document")
    parser.add_argument("--resume", action="store_true", help="keep the rows that FILE has")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    given = parser.parse_args()
    if given.list:
        print("\n".join(f"{name:18} {row.title}" for name, row in ROWS.items()))
        return 0
    unknown = [name for name in given.rows if name not in ROWS]
    if unknown:
        parser.error(f"expected rows among {', '.join(ROWS)}, found {', '.join(unknown)}")
    kept = json.loads(given.json.read_text())["rows"] if given.resume and given.json and given.json.is_file() else {}
    found, wrong = dict(kept), False
    for name in given.rows or ROWS:
        if name in kept:
            continue
        found[name] = row_document(ROWS[name], given.rounds, quick=given.quick, progress=_progress)
        print(table(found[name]), flush=True)
        wrong |= any(side.get("differs", False) for size in found[name]["sizes"] for side in size["sides"].values())
        if given.json:
            text = json.dumps(document(found, f"python -m benchmarks {' '.join(sys.argv[1:])}"), indent=1) + "\n"
            write_whole(given.json, lambda file, text=text: file.write(text.encode()))
    return 1 if wrong else 0


def _progress(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
