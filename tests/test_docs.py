"""The documentation's sources: every page has a place, every public name a reference, and what is generated is current.

The site itself is built and looked at by tests/test_site.py.
"""

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import mamba_dynamics
from mamba_dynamics.cli import COMMANDS, app

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import make_cli_reference
from plain_mathematics import typeset, typeset_cell, without_latex

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CONFIG = (ROOT / "mkdocs.yml").read_text("utf-8")
#: Pages that the build makes: scripts/site_hooks.py.
MADE = {"figures.md", "notebooks/index.md", "changelog.md", "contributing.md"}


def in_navigation():
    return re.findall(r"^ +- [^:\n]+: (\S+\.md)$", CONFIG, re.MULTILINE)


def test_every_page_is_in_the_navigation_once():
    """Theorem pages are listed by the build, from the catalogue; tests/test_theorem_pages.py has a page for each."""
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    written = {page for page in pages if not page.startswith(("theorems/", "assets/"))} | {"theorems/index.md"}
    listed = in_navigation()
    assert len(listed) == len(set(listed))
    assert written - set(listed) == set(), "pages without a place in the nav of mkdocs.yml"
    assert set(listed) - written == MADE, "the nav of mkdocs.yml lists pages that are not there"


def test_every_public_name_has_one_reference():
    references = re.findall(
        r"^::: mamba_dynamics\.(\S+)$",
        "\n".join(path.read_text("utf-8") for path in sorted((DOCS / "api").glob("*.md"))),
        re.MULTILINE,
    )
    missing = set(mamba_dynamics.__all__) - set(references)
    assert not missing, f"add `::: mamba_dynamics.NAME` to a page under docs/api for {', '.join(sorted(missing))}"
    assert sorted(references) == sorted(mamba_dynamics.__all__)


def test_the_command_line_reference_is_current():
    text = make_cli_reference.PAGE.read_text("utf-8")
    assert make_cli_reference.page(text) == text, "run python scripts/make_cli_reference.py"


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"report"}))
def test_the_synopsis_has_every_option(name):
    """`report` refers to those of `classify`."""
    synopsis = make_cli_reference.PAGE.read_text("utf-8").split("```")[1]
    lines = re.findall(rf"^mamba-dynamics {name}\b.*(?:\n .*)*", synopsis, re.MULTILINE)
    assert lines
    for parameter in make_cli_reference.command(name).params:
        names = [*parameter.opts, *parameter.secondary_opts] if parameter.param_type_name == "option" else ["["]
        assert any(re.search(rf"{re.escape(one)}(?![a-z-])", "\n".join(lines)) for one in names), parameter.name


def test_the_command_line_reference_names_every_option_of_the_help():
    text = make_cli_reference.PAGE.read_text("utf-8")
    for name in COMMANDS:
        section = text.partition(f"### {name}\n")[2].partition("\n### ")[0]
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).stdout
        options = set(re.findall(r"(?<![\w-])--[a-z0-9-]+", shown)) - {"--help"}
        assert options
        for option in options:
            assert f"`{option}`" in section or option in section, f"{name} {option}"


def test_nothing_is_asked_of_another_server():
    """No fonts, scripts or pictures from elsewhere: only links lead away."""
    assert re.search(r"^ +font: false$", CONFIG, re.MULTILINE)
    assert not re.search(r"https?://", CONFIG)
    for page in DOCS.rglob("*.md"):
        assert not re.search(r"!\[[^]]*\]\(https?:|<(?:img|script|link|iframe)\b", page.read_text("utf-8")), page


def test_formulas_are_typeset_from_files_of_the_repository():
    folder = DOCS / "assets" / "katex"
    for name in ("katex.min.js", "katex.min.css", "auto-render.min.js", "LICENSE"):
        assert (folder / name).stat().st_size > 1000
    fonts = set(re.findall(r"fonts/[\w-]+\.woff2", (folder / "katex.min.css").read_text("utf-8")))
    assert fonts
    assert fonts == {f"fonts/{path.name}" for path in (folder / "fonts").iterdir()}


@pytest.mark.parametrize(
    ("plain", "set_"),
    [
        ("mu < 0", "μ &lt; 0"),
        ("kappa_l = 1 - q^{l-1} <= 1", "κ<sub>l</sub> = 1 - q<sup>l−1</sup> ≤ 1"),
        ("x_l0 > 0", "x<sub>l0</sub> > 0"),
        ("T* >= t^(-1/2)", "T\\* ≥ t<sup>−1/2</sup>"),
        ("(S_Delta x)_d", "(S<sub>Δ</sub> x)<sub>d</sub>"),
        ("dx_d/dt = q Delta_d x_d", "dx<sub>d</sub>/dt = q Δ<sub>d</sub> x<sub>d</sub>"),
        ("x_d*^2", "x<sub>d\\*</sub><sup>2</sup>"),
        ("e^{-a delta_0}", "e<sup>−a δ<sub>0</sub></sup>"),
        ("a negative sum of mu_n, sum_d x_d", "a negative sum of μ<sub>n</sub>, Σ<sub>d</sub> x<sub>d</sub>"),
        ("see frozen_ratios", "see frozen\\_ratios"),
        ("the multiplier, an interval", "the multiplier, an interval"),
    ],
)
def test_plain_mathematics_is_set(plain, set_):
    assert typeset(plain) == set_


def test_bars_do_not_split_a_cell():
    assert typeset_cell("|x_l|") == "\\|x<sub>l</sub>\\|"


def test_titles_in_menus_have_no_latex():
    title = r"B1. Slow: $\mu > 0$, $s\,x_{l0} < 0$ for every token"
    assert without_latex(title) == "B1. Slow: μ > 0, s x_l0 < 0 for every token"
