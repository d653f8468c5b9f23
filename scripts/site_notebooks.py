"""The notebooks as pages, executed: each cell's code, and below it what the code gave."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from execute_notebook import INLINE, command, kept
from plain_mathematics import without_latex
from site_jobs import Job, run_all

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

INTRODUCTION = """# Notebooks

Every notebook runs on public names only, in under a minute, without a GPU and without the network. These pages were
executed when this site was built; a cell that fails would have stopped it.
"""

Content = dict[str, str | bytes]


def pages(cache: Path) -> Content:
    """Address -> content: a page for each notebook, its pictures, the notebook itself, and the list of them."""
    executed = {path: kept(path, cache) for path in NOTEBOOKS}
    jobs = [
        Job(f"notebook {path.stem}", command(path, target), INLINE)
        for path, target in executed.items()
        if not target.exists()
    ]
    run_all(jobs, cache)
    content: Content = {"notebooks/index.md": index()}
    for path, target in executed.items():
        content |= page(path.stem, json.loads(target.read_text("utf-8")))
        content[f"notebooks/{path.name}"] = path.read_bytes()
    return content


def navigation() -> list[dict[str, str]]:
    """Title -> page of each notebook, with titles as menus can show them."""
    return [{without_latex(heading(path)): f"notebooks/{path.stem}.md"} for path in NOTEBOOKS]


def index() -> str:
    lines = [INTRODUCTION, "| notebook | what it does |", "|---|---|"]
    for path in NOTEBOOKS:
        says = in_site(introduction(path)).replace("|", "\\|")
        lines.append(f"| [{heading(path)}]({path.stem}.md) | {says} |")
    return "\n".join([*lines, ""])


def heading(path: Path) -> str:
    return first_cell(path).partition("\n")[0].lstrip("# ")


def introduction(path: Path) -> str:
    """The whole sentences of the first paragraph."""
    paragraph = " ".join(first_cell(path).partition("\n")[2].strip().split("\n\n")[0].split())
    return paragraph[: max(paragraph.rfind(". "), paragraph.rfind(".") if paragraph.endswith(".") else -1) + 1]


def first_cell(path: Path) -> str:
    return "".join(json.loads(path.read_text("utf-8"))["cells"][0]["source"])


def page(stem: str, notebook: dict[str, Any]) -> Content:
    """The page of an executed notebook and its pictures."""
    pictures: Content = {}
    parts: list[str] = []
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(in_site(source))
        elif cell["cell_type"] == "code" and source:
            parts.append(fenced("python", source))
            parts += outputs(cell, f"{stem}-{number}", pictures)
    parts.append(f"Executed from [{stem}.ipynb]({stem}.ipynb) of the folder `notebooks`.")
    return {f"notebooks/{stem}.md": "\n\n".join(parts) + "\n", **pictures}


def outputs(cell: dict[str, Any], name: str, pictures: Content) -> Iterator[str]:
    """What a cell gave, as Markdown; pictures are put beside the page."""
    for number, output in enumerate(cell["outputs"]):
        if output["output_type"] == "stream":
            yield text_block("".join(output["text"]))
            continue
        data = {kind: "".join(value) for kind, value in output["data"].items() if isinstance(value, str | list)}
        if "image/png" in data:
            file = f"{name}-{number}.png"
            pictures[f"notebooks/{file}"] = base64.b64decode(data["image/png"])
            size = output.get("metadata", {}).get("image/png", {}).get("width")
            yield f"![Output of the cell above]({file})" + (f'{{ width="{size}" }}' if size else "")
        elif "text/html" in data:
            yield f'<div class="output">{data["text/html"]}</div>'
        elif "text/markdown" in data:
            yield data["text/markdown"]
        elif "text/latex" in data:
            yield data["text/latex"]
        else:
            yield text_block(data.get("text/plain", ""))


def text_block(text: str) -> str:
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip()
    return f'<div class="output" markdown>\n\n{fenced("text", without_colours)}\n\n</div>'


def fenced(language: str, text: str) -> str:
    return f"````{language}\n{text}\n````"


def in_site(text: str) -> str:
    """Links from the folder of the notebooks, as they are within the site."""
    text = re.sub(r"\]\(\.\./docs/", "](../", text)
    return re.sub(r"\]\(([\w./-]+)\.ipynb\)", r"](\1.md)", text)
