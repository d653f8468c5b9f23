"""Write docs/benchmarks.md and its picture from benchmarks/results.json, its last part from results_gpu.json.

python -m benchmarks --json benchmarks/results.json
python -m benchmarks scan gradient forward --json benchmarks/results_gpu.json    (on a machine with a GPU)
python scripts/make_benchmarks_page.py
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS, RESULTS_GPU = ROOT / "benchmarks" / "results.json", ROOT / "benchmarks" / "results_gpu.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "images" / "benchmarks.svg"

INTRODUCTION = """# Benchmarks

Ours and its peers, in turn in one run; every number is a ratio to ours of that run, the median with its range. A call
of less than 0.2 s is repeated until it has taken so long, after one that does not count. "Of the
ceiling" is the time over that of the machine's own best for the work that cannot be avoided (exponentials, products,
measured by plain loops in the same run), so 1 is the limit. Memory is the peak above the prepared inputs, for a whole
process all of it. The extra `bench` installs the peers.

```bash
pip install 'mamba-dynamics[bench]'
python -m benchmarks --json benchmarks/results.json     # all rows; python -m benchmarks --list names them
```

![Time of the peers over ours](images/benchmarks.svg)
"""


ON_A_GPU = """## On a GPU

The same command on a machine with a GPU, where every side computes on it and memory is the GPU's. Growth is less than
linear there, for short runs do not fill it. `transformers` runs its plain torch path here, token by token; with a
package of CUDA kernels beside it, which was not installed, it would be another peer.
"""


def page(results: dict[str, Any], on_gpu: dict[str, Any]) -> str:
    sections = [_section(row, "##") for row in results["rows"].values()]
    of_gpu = [_section(row, "###") for row in on_gpu["rows"].values()]
    parts = [INTRODUCTION, _measured(results), "", *sections, ON_A_GPU, _measured(on_gpu), "", *of_gpu]
    return "\n".join(parts).rstrip() + "\n"


def _measured(results: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items() if value != "not installed")
    gpu = f", {results['gpu']}" if results.get("gpu") else ""
    where = f"{results['cores']} cores ({results['machine']}){gpu}, {versions}"
    return f"What follows was measured by `{results['command']}` on {where}."


def _section(row: dict[str, Any], heading: str) -> str:
    lines = [f"{heading} {row['title']}", "", "```bash", f"python -m benchmarks {row['name']}", "```", ""]
    if row["note"]:
        lines += [row["note"][0].upper() + row["note"][1:] + ".", ""]
    lines += ["| size | side | time over ours | of the ceiling | memory, MiB | right-hand sides over ours |"]
    lines += ["|---|---|---|---|---|---|"]
    for size in row["sizes"]:
        lines += [f"| {size['size']} | {name} | {_cells(side)} |" for name, side in size["sides"].items()]
    exponents = [f"{name} {value:.2f}" for name, value in row["growth"].items() if value is not None]
    if exponents:
        lines += ["", f"Time grows as a power of the size with exponents: {', '.join(exponents)}."]
    return "\n".join([*lines, ""])


def _cells(side: dict[str, Any]) -> str:
    if "failed" in side:
        return f"{side['failed']} | | | "
    ratio = side.get("ratio")
    cells = [
        f"{ratio['median']:.3g} ({ratio['min']:.3g} to {ratio['max']:.3g})" if ratio else "",
        f"{side['times_the_ceiling']:.2f}" if "times_the_ceiling" in side else "",
        f"{side['peak_bytes'] / 2**20:.0f}",
        f"{side['count_ratio']:.3g}" if "count_ratio" in side else "",
    ]
    return " | ".join(cells)


def draw(results: dict[str, Any]) -> None:
    """Every peer's time over ours at the last size of each row that all sides share."""
    import matplotlib.pyplot as plt

    from mamba_dynamics.style import STYLE

    with plt.rc_context({**STYLE, "svg.hashsalt": "benchmarks"}):
        bars = [(row["title"], *one) for row in results["rows"].values() for one in _peers(row)]
        figure, axes = plt.subplots(figsize=(7.5, 0.26 * len(bars) + 1))
        for k, (_, _, ratio) in enumerate(bars):
            axes.barh(k, ratio["median"], left=0, color="C0" if ratio["median"] >= 1 else "C1", height=0.7)
            axes.plot([ratio["min"], ratio["max"]], [k, k], color="black", linewidth=1)
        axes.set_yticks(range(len(bars)), [f"{title}: {name}" for title, name, _ in bars], fontsize=6)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set(xscale="log", xlabel="time over ours")
        axes.invert_yaxis()
        figure.savefig(PICTURE, bbox_inches="tight", metadata={"Date": None})


def _peers(row: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    size = row["sizes"][-1]["sides"]
    return [(name, side["ratio"]) for name, side in size.items() if "ratio" in side and name != "ours"]


def main() -> None:
    results, on_gpu = (json.loads(path.read_text(encoding="utf-8")) for path in (RESULTS, RESULTS_GPU))
    PAGE.write_text(page(results, on_gpu), encoding="utf-8")
    draw(results)


if __name__ == "__main__":
    main()
