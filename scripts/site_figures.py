"""The gallery: every figure of paper_figures with its claim, its caption and the command that makes it."""

import os
import re
import sys
from pathlib import Path

from plain_mathematics import typeset
from site_jobs import Job, run_all

from paper_figures.catalogue import FIGURES, PaperFigure
from paper_figures.make import make
from paper_figures.store import fingerprint, read

#: Pictures are drawn for a paper's column, with its small type; a page shows them this much larger.
ENLARGED = 1.5

INTRODUCTION = """# Figures

Each figure shows one claim. Its data are computed by the command below it (seeded, on the CPU, in under a minute) and
compared with the theory by `tests/figures`; the pictures here were drawn from them when this site was built.
`mamba-dynamics figures --out DIR` makes all of them, as PNG, SVG and PDF.
"""


def gallery(cache: Path) -> dict[str, str | bytes]:
    """Address -> content: the page and its pictures. Data that are current under `cache` are used again."""
    folder = cache / "figures"
    compute_stale(folder, cache)
    content: dict[str, str | bytes] = {}
    entries = []
    for figure in FIGURES.values():
        picture = make(figure, folder, formats=["svg"]).files[1].read_bytes()
        content[f"figures/{figure.name}.svg"] = picture
        entries.append(entry(figure, picture))
    return content | {"figures.md": "\n".join([INTRODUCTION, *entries])}


def compute_stale(folder: Path, cache: Path) -> None:
    """Compute data that are missing or out of date, several at a time, those that take longest first."""
    stale = [one for one in FIGURES.values() if read(folder / one.name, fingerprint(one, 0)) is None]
    command = (sys.executable, "-m", "mamba_dynamics", "figures", "--out", os.fspath(folder), "--formats", "svg")
    jobs = [Job(f"figure {one.name}", (*command, one.name)) for one in sorted(stale, key=lambda one: -one.seconds)]
    run_all(jobs, cache)


def entry(figure: PaperFigure, picture: bytes) -> str:
    theorems = ", ".join(f"[{name}](theorems/{name}.md)" for name in figure.theorems)
    where = f"In the paper: {figure.paper}." if figure.paper else "New here."
    checked = f" Theorems: {theorems}." if theorems else ""
    return f"""
## {typeset(figure.title)} {{ #{figure.name} }}

**{typeset(figure.claim)}**

![{figure.claim}](figures/{figure.name}.svg){{ width="{width(picture)}" }}

{typeset(figure.caption)}

{where}{checked}

```bash
mamba-dynamics figures {figure.name} --out figures
```
"""


def width(picture: bytes) -> int:
    """The width of an SVG picture on the page, in CSS pixels."""
    found = re.search(rb'<svg [^>]*?width="([0-9.]+)pt"', picture)
    if found is None:
        raise ValueError("expected a picture by matplotlib with its width in points")
    return round(float(found[1]) * 96 / 72 * ENLARGED)
