"""What mkdocs is told beyond mkdocs.yml: the pages that are made when the site is built, and their places.

    theorems/, notebooks/     sections of the navigation, from the catalogue and the folder
    figures.md                the gallery, its pictures made from the figures' own code
    notebooks/*.md            the notebooks, executed
    changelog, contributing   the files of the top level

Figures' data, executed notebooks and compiled programs are kept under build/, so a second build takes seconds.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import site_figures
import site_notebooks
from make_theorem_pages import sections
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
TOP_LEVEL = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def on_config(config: Any) -> Any:
    """Fill in the sections of the navigation that are lists of files."""
    filled = {
        "Theorems": [{title: [f"theorems/{name}.md" for name in names]} for title, names in sections().items()],
        "Notebooks": [f"notebooks/{path.stem}.md" for path in site_notebooks.NOTEBOOKS],
    }
    config.nav = [
        {title: [entry, *filled[title]] if title in filled else entry}
        for one in config.nav
        for title, entry in one.items()
    ]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here."""
    cache = ROOT / "build"
    made = site_figures.gallery(cache) | site_notebooks.pages(cache)
    made |= {name: inside_docs((ROOT / source).read_text("utf-8")) for name, source in TOP_LEVEL.items()}
    for uri, content in made.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Give entries of the table of contents the indices and powers of their headings, which mkdocs strips."""
    inner = dict(re.findall(r'<h[1-6] id="([^"]+)">(.*?)<a class="headerlink"', html))
    for entry in _entries(page.toc):
        heading = inner.get(entry.id, "")
        if "<su" in heading and "<code" not in heading:
            entry.title = heading


def _entries(toc: Any) -> Iterator[Any]:
    for entry in toc:
        yield entry
        yield from _entries(entry.children)


def inside_docs(text: str) -> str:
    """A page of the top level with its links as they are from within docs/."""
    for name, source in TOP_LEVEL.items():
        text = text.replace(f"]({source})", f"]({name})")
    return re.sub(r"\]\(docs/", "](", text)
