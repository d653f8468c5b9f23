"""The documentation site, built strictly and looked at in a browser, page by page: `pytest -m site`.

Needs the extra `docs` and Chromium (`apt-get install chromium`, or its path in the variable CHROMIUM).
"""

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

pytestmark = pytest.mark.site

ROOT = Path(__file__).resolve().parents[1]
PHONE, DESK = 380, 1440

#: Title and text of the page, menus included, outside code, formulas and what assistive technology alone reads.
VISIBLE_TEXT = """() => {
  const copy = document.body.cloneNode(true);
  copy.querySelectorAll("code, pre, .katex, script, style").forEach(one => one.remove());
  return document.title + " " + copy.textContent;
}"""
#: The page's own width if it is too large, or the elements that stick out of it and lie in no container that scrolls.
STICKING_OUT = """() => {
  const wide = document.scrollingElement.scrollWidth;
  if (wide > innerWidth) return [`the page is ${wide} pixels wide`];
  return [...document.querySelectorAll("article *")].filter(one => {
    if (one.getBoundingClientRect().right <= innerWidth + 1) return false;
    for (let parent = one; parent; parent = parent.parentElement)
      if (["auto", "scroll", "hidden"].includes(getComputedStyle(parent).overflowX)) return false;
    return true;
  }).map(one => one.outerHTML.slice(0, 120));
}"""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The site, built as the documentation says, into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout + result.stderr == "", "the build is quiet"
    return folder


@pytest.fixture(scope="session")
def pages(site):
    """Addresses of all pages but the one for what is not found, which has absolute links."""
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html") if path.name != "404.html")


@pytest.fixture(scope="session")
def server(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


@dataclass
class Visit:
    """What a browser found on one page: complaints, addresses asked for, pictures, formulas, what is too wide."""

    wrong: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    pictures: list[tuple[str, int, str]] = field(default_factory=list)
    formulas: int = 0
    formula_errors: int = 0
    text: str = ""
    sticking_out: list[str] = field(default_factory=list)


def visit(tab, address):
    """Open a page at a desk, look, and look again after the window has shrunk to a telephone's."""
    found = Visit()
    listeners = {
        "request": lambda one: found.asked.append(one.url),
        "requestfailed": lambda one: found.wrong.append(f"{one.failure}: {one.url}"),
        "pageerror": lambda one: found.wrong.append(f"script: {one}"),
        "response": lambda one: found.wrong.append(f"{one.status}: {one.url}") if one.status >= 400 else None,
        "console": lambda one: found.wrong.append(one.text) if one.type in ("error", "warning") else None,
    }
    for event, listener in listeners.items():
        tab.on(event, listener)
    tab.set_viewport_size({"width": DESK, "height": 900})
    tab.goto(address, wait_until="networkidle")
    found.pictures = tab.evaluate("() => [...document.images].map(one => [one.src, one.naturalWidth, one.alt])")
    found.formulas = tab.locator(".katex").count()
    found.formula_errors = tab.locator(".katex-error").count()
    found.text = tab.evaluate(VISIBLE_TEXT)
    tab.set_viewport_size({"width": PHONE, "height": 800})
    found.sticking_out = tab.evaluate(STICKING_OUT)
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    return found


@pytest.fixture(scope="session")
def visits(browser, server, pages):
    """Every page, opened once; light and dark by turns."""
    found = {}
    for scheme, some in (("light", pages[::2]), ("dark", pages[1::2])):
        with browser.new_context(color_scheme=scheme) as context:
            tab = context.new_page()
            found |= {page: visit(tab, server + page) for page in some}
    return found


class Document(HTMLParser):
    """Links and names of anchors of a page, and what its source has of formulas."""

    def __init__(self, text):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.formulas = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        self.links += [found[key] for key in ("href", "src") if found.get(key)]
        self.formulas += "arithmatex" in (found.get("class") or "").split()


@pytest.fixture(scope="session")
def documents(site, pages):
    return {page: Document((site / page).read_text("utf-8")) for page in pages}


def test_every_page_notebook_theorem_and_figure_is_there(site, pages, documents):
    from mamba_dynamics import CATALOGUE
    from paper_figures.catalogue import FIGURES

    expected = {f"theorems/{name}.html" for name in CATALOGUE} | {"changelog.html", "contributing.html"}
    expected |= {f"notebooks/{path.stem}.html" for path in (ROOT / "notebooks").glob("*.ipynb")}
    written = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    expected |= {path.with_suffix(".html").as_posix() for path in written if path.parts[0] != "assets"}
    assert expected <= set(pages)
    assert set(FIGURES) <= documents["figures.html"].anchors
    assert {f"figures/{name}.svg" for name in FIGURES} <= set(documents["figures.html"].links)
    reachable = {urljoin(page, link) for page, one in documents.items() for link in one.links}
    assert set(pages) <= {urldefrag(one)[0] for one in reachable}, "every page can be reached by a link"


def test_notebooks_show_what_their_cells_gave(site):
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        text = (site / "notebooks" / f"{path.stem}.html").read_text("utf-8")
        assert 'class="output"' in text or "Output of the cell" in text, path.stem


def test_links_lead_somewhere(site, documents):
    broken = []
    for page, document in documents.items():
        for link in document.links:
            if urlsplit(link).scheme:
                continue
            target, anchor = urldefrag(urljoin(page, unquote(link)))
            target = target or page
            if not (site / target).is_file():
                broken.append(f"{page}: {link}")
            elif anchor and target in documents and unquote(anchor) not in documents[target].anchors | {"__top", ""}:
                broken.append(f"{page}: no {link}")
    assert broken == []


def test_pages_load_without_complaint(visits):
    assert {page: one.wrong for page, one in visits.items() if one.wrong} == {}


def test_no_request_leaves_the_server(visits, server):
    own = (server, "data:", "blob:")
    assert all(one.asked for one in visits.values())
    assert [url for one in visits.values() for url in one.asked if not url.startswith(own)] == []


def test_pictures_are_shown_and_described(visits):
    assert any(one.pictures for one in visits.values())
    for page, one in visits.items():
        assert [src for src, width, alt in one.pictures if not (width and alt)] == [], page


def test_formulas_are_formulas(visits, documents):
    for page, one in visits.items():
        assert one.formula_errors == 0, page
        assert re.findall(r"\$[^$\n]+\$|\\\(|\\\[|\\[a-z]+\{", one.text) == [], page
        assert one.formulas >= documents[page].formulas, page
        if re.match(r"theorems/(?!index)", page):
            assert one.formulas, page


def test_pages_fit_a_telephone(visits):
    assert {page: one.sticking_out[:3] for page, one in visits.items() if one.sticking_out} == {}
