"""The report as a page: what it says is what the report holds, a stranger's names stay text, and nothing is fetched.

tests/test_report_in_browser.py opens it.
"""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from mamba_dynamics import Scenario, Truth, classify_checkpoint, report_page, sample_path
from mamba_dynamics._block_facts import BlockFacts
from mamba_dynamics._classification_document import classification_document
from mamba_dynamics._documents import to_json
from mamba_dynamics._layer import DROPPED_BY_THE_LIMIT
from mamba_dynamics._report import Text
from mamba_dynamics.checkpoints.architectures import ARCHITECTURES
from mamba_dynamics.checkpoints.layouts import LAYOUTS
from mamba_dynamics.cli import app
from mamba_dynamics.report_page.words import DROPPED, LEVELS, PROVED, SEEN, disagreements

FIXTURES = Path(__file__).parent / "fixtures"
SCRIPT = "<script>alert(1)</script>"
#: Elements of HTML without an end tag.
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """A page as a browser's parser sees it: elements with their attributes, their text, and the tables' rows."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text, self.scripts, self.rows = [], [], "", [], []
        self.feed(source)
        self.close()
        assert self.open == [], "every element ends"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts[-1] += data
        elif "style" not in self.open:
            self.text += data
            if {"td", "th"} & set(self.open):
                self.rows[-1][-1] += data


def attributes(page, name):
    return [found[name] for _, found in page.elements if name in found]


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def report():
    """The sample with three tokens, not integrated; the facts of a text are made up, as reading one takes seconds."""
    found = classify_checkpoint(sample_path(), random_tokens=3, integrate=0)
    block = BlockFacts(np.array([0.5, -0.1, 0.02]), 1.0, -0.3, True)
    curve = SimpleNamespace(leading_share=np.linspace(0.2, 0.8, 5), participation_ratio=np.linspace(3, 1, 5))
    text = Text(np.array([97, 98, 99]), ["a", "b", "c"], {"full": curve, "without_gate": curve})
    return replace(found, layers=tuple(replace(layer, block=block) for layer in found.layers), text=text)


@pytest.fixture(scope="module")
def first(report):
    """Its first layer alone, whose page is made faster."""
    return replace(report, layers=report.layers[:1])


@pytest.fixture(scope="module")
def page(report):
    return Page(report.to_html(command="mamba-dynamics report --text abc"))


def checkpoint_with(folder, prefix, D=6, N=6, sign=-1.0, rank=6):
    """One layer of that name, with sym(M) semidefinite of that rank by construction and a constant step size."""
    rng = np.random.default_rng(3)
    C = rng.normal(size=(N, D)) + 2 * np.eye(N, D)
    C[rank:] = 0.0
    weights = {
        "x_proj.weight": np.vstack([rng.normal(size=(1, D)), sign * C, C]),
        "dt_proj.weight": np.zeros((D, 1)),
        "dt_proj.bias": rng.normal(size=D),
        "A_log": rng.normal(size=(D, N)),
        "D": np.ones(D),
    }
    folder.mkdir(exist_ok=True)
    save_file({prefix + name: value.astype(np.float32) for name, value in weights.items()}, folder / "w.safetensors")
    return folder / "w.safetensors"


def test_the_table_says_what_the_weights_say(page):
    weights = load_file(sample_path() / "model.safetensors")
    rows = [row for row in page.rows if len(row) == 8 and row[0].isdigit()]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    for i, row in enumerate(rows):
        x_proj = weights[f"backbone.layers.{i}.mixer.x_proj.weight"].astype(float)
        B, C = x_proj[6:22], x_proj[22:38]
        real = np.linalg.eigvals(B @ C.T).real
        assert row[7] == "192 × 16"
        assert row[5] == f"{np.sum(real > 0)} / {np.sum(real < 0)}"
        symmetric = np.linalg.eigvalsh(B.T @ C + C.T @ B)
        large = 1e-9 * np.abs(symmetric).max()
        assert row[6] == f"{np.sum(symmetric > large)} / {np.sum(symmetric < -large)}"
        assert row[3] == f"{np.mean((B * C).sum(axis=0) < 0):.0%}"
        median = np.median(np.log1p(np.exp(weights[f"backbone.layers.{i}.mixer.dt_proj.bias"].astype(float))))
        assert row[4] == f"{median:.3g}"
        assert row[1:3] == ["mixed", "divergent"]


def test_the_tokens_of_each_layer_are_listed(report, page):
    rows = [row for row in page.rows if len(row) == 5 and row[0].isdigit()]
    assert [row[:2] for row in rows] == 4 * [["1", "a"], ["2", "b"], ["3", "c"]]
    shown = [float(row[2].replace("−", "-")) for row in rows]
    np.testing.assert_allclose(shown, np.ravel([layer.tokens.alignment for layer in report.layers]), atol=6e-4)


def test_every_part_is_there(page):
    assert attributes(page, "id")[:3] == ["main", "evidence", "read"]
    for words in ("In all 4 layers, it provably depends on the token", "What is left out", "--text abc", "numpy 2."):
        assert words in page.text
    for dropped in DROPPED_BY_THE_LIMIT:
        assert dropped in page.text
    assert "In 4 of 4 layers. What is proved stands." in page.text
    pictures = [found for tag, found in page.elements if tag == "svg"]
    assert len(pictures) == 8
    assert all(one["role"] == "img" and len(one["aria-label"]) > 30 for one in pictures)
    assert [tag for tag, _ in page.elements].count("details") == 4 + 2


def test_tables_are_named_and_their_headers_say_what_they_head(page):
    tags = [tag for tag, _ in page.elements]
    assert tags.count("caption") == tags.count("table") == 6
    assert all(found.get("scope") in ("row", "col") for tag, found in page.elements if tag == "th")


def test_the_document_of_classify_is_inside(report, page):
    data, code = page.scripts
    assert json.loads(data) == json.loads(to_json(classification_document(report)))
    assert "createObjectURL" in code


def test_nothing_is_fetched(page):
    """Addresses are anchors of the page, data, or the one link that a reader may follow."""
    for tag, found in page.elements:
        for key in ("src", "href", "action", "poster", "srcset"):
            address = found.get(key, "#")
            assert address.startswith(("#", "data:")) or (tag, address) == ("a", "https://arxiv.org/abs/2410.03292")


def test_ids_are_unique_and_references_lead_somewhere(first):
    source = first.to_html()
    found = Page(source)
    ids = attributes(found, "id")
    assert len(ids) == len(set(ids))
    links = {one[1:] for one in attributes(found, "href") if one.startswith("#")}
    clips = set(re.findall(r"url\(#([^)]+)\)", source))
    assert clips
    assert links | clips <= set(ids)


def test_the_same_report_gives_the_same_page(first):
    assert first.to_html() == first.to_html()


@pytest.mark.parametrize(
    "prefix", [SCRIPT + ".", '" onload="alert(1)" x=".', "</style><svg/onload=alert(1)>.", "{{7*7}}."]
)
def test_a_tensor_s_name_stays_text(prefix, tmp_path):
    folder = tmp_path / prefix.replace("/", "_")
    path = checkpoint_with(folder, prefix)
    found = Page(classify_checkpoint(path, random_tokens=2, integrate=0).to_html(command=f"x {prefix}"))
    name = json.loads(found.scripts[0])["layers"][0]["name"]
    assert name == prefix.rstrip(".")
    assert found.text.count(name) >= 2, "as a layer's name and in the command"
    assert str(path) in found.text
    assert_harmless(found)


def assert_harmless(page):
    """Nothing of a stranger's has become an element, an attribute or a script."""
    assert len(page.scripts) == 2
    assert not [key for _, found in page.elements for key in found if key.startswith("on")]
    assert [tag for tag, _ in page.elements].count("style") == 1
    assert "49" not in page.text.split("Layer 0", 1)[1][:40]


def test_a_text_s_pieces_stay_text(first):
    """In tables, on axes and in the document; direction marks and control characters are spelled out."""
    pieces = [SCRIPT, '"><b onload=x>', "\u202eevil\x00"]
    found = Page(replace(first, text=replace(first.text, pieces=pieces)).to_html())
    assert [row[1] for row in found.rows if len(row) == 5][1:4] == [*pieces[:2], r"\u202eevil\x00"]
    assert_harmless(found)
    drawn = Page(replace(first, text=replace(first.text, pieces=[SCRIPT, "<b>", "&amp;"])).to_html())
    assert drawn.text.count(SCRIPT) == 2, "in the layer's table and on the axis"
    assert drawn.text.count("&amp;") == 2
    assert_harmless(drawn)


def test_pieces_that_no_font_has_are_left_to_the_tables(first):
    found = Page(replace(first, text=replace(first.text, pieces=["日", "本", "語"])).to_html())
    assert found.text.count("日") == 1


def test_a_layer_that_cannot_be_read_says_why(report):
    broken = replace(report.layers[1], weights=None, tokens=None, block=None, error="layer 1: <b>no A_log</b>")
    found = Page(replace(report, layers=(report.layers[0], broken, *report.layers[2:])).to_html())
    assert "This layer could not be read. layer 1: <b>no A_log</b>" in found.text
    assert ["1", "unreadable", "", "", "", "", "", "192 × 16"] in found.rows
    nothing = Page(replace(report, layers=(broken,), text=None).to_html())
    assert "None of the layers could be read." in nothing.text


@pytest.mark.parametrize("name", ["mamba2", "zamba", "vim", "falcon_h1", "mamba_ssm_mamba2"])
def test_every_kind_of_layer_has_a_page(name):
    """Several groups, heads and directions; no channels of their own; why no tokens are integrated."""
    report = classify_checkpoint(FIXTURES / name, layers=[0], random_tokens=3, integrate=0)
    found = Page(report.to_html())
    assert len(found.scripts) == 2
    assert f"N{report.layers[0].tokens.why_not[1:]}." in found.text
    assert "Tokens of layer 0" in found.text


def test_integrated_tokens_and_their_blow_up(tmp_path):
    """A positive definite layer blows up; every number shown is the run's."""
    report = classify_checkpoint(checkpoint_with(tmp_path, "layers.0.mixer.", sign=1.0), random_tokens=2)
    (layer,) = report.layers
    blow_up = layer.tokens.verdicts[0].trajectory.blow_up
    row = next(row for row in Page(report.to_html()).rows if len(row) == 10 and row[0] == "0")
    assert row[2:5] == ["divergent", layer.tokens.scenario.value.replace("_", " "), f"{blow_up.time:.4g}"]


def test_disagreements_are_said(report):
    layer = report.layers[0]
    assert [one[0].isupper() for one in disagreements(layer, None)] == [True, True]
    seen = replace(layer.tokens, runs=())
    against = {"spectral": Truth.FAILS, "certified": Truth.UNDECIDED}
    found = disagreements(replace(layer, tokens=seen), against)
    assert found[2] == "The paper's rule is divergent, but these tokens are undecided"


def test_words_for_everything():
    assert set(SEEN) == set(Scenario)
    assert set(PROVED) == {
        Scenario.CONVERGENT,
        Scenario.DIVERGENT,
        Scenario.MIXED,
        Scenario.CONSTANT,
        Scenario.UNDECIDED,
    }
    assert set(LEVELS) == {"spectral", "certified", "tokens"}
    parts = {*DROPPED_BY_THE_LIMIT, "norms on B, C and the step size"}
    parts |= {part for row in [*ARCHITECTURES, *LAYOUTS] for part in row.dropped}
    assert parts <= set(DROPPED)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """The contrast ratio of the Web Content Accessibility Guidelines, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast(scheme):
    style = (Path(report_page.__file__).parent / "template" / "report.css").read_text("utf-8")
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in style.split("@media screen", 1))
    colours = light if scheme == "light" else light | dark
    assert set(dark) == set(light), "every colour has a value for both"
    for text in ("ink", "muted", "link"):
        for ground in ("paper", "sheet"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for mark in ("convergent", "divergent", "neutral", "range", "ink"):
        assert contrast(colours[mark], colours["paper"]) >= 3, mark
    for cell in ("convergent", "constant", "fast-divergence"):
        assert contrast(colours[cell], colours["paper"]) >= 4.5, f"a scenario's name in its cell: {cell}"
    for cell in ("equilibrium", "divergent", "slow-divergence", "mixed", "undecided"):
        assert contrast(colours[cell], colours["ink"]) >= 4.5, f"a scenario's name in its cell: {cell}"


def test_the_command_writes_the_page(tmp_path):
    result = run("--layer", 0, "--out", tmp_path / "report.html", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    source = (tmp_path / "report.html").read_bytes()
    assert found["bytes"] == len(source)
    assert found["file"] == str(tmp_path / "report.html")
    assert found["summary"]["scenario_counts"]["certified"] == {"mixed": 1}
    assert Page(source.decode()).rows
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_undecided_layers_end_with_code_3(tmp_path):
    """An eigenvalue that vanishes leaves the rule without a word; the page is written all the same."""
    path = checkpoint_with(tmp_path, "layers.0.mixer.", rank=5)
    assert run(path, "--out", tmp_path / "report.html").exit_code == 3
    assert "The paper's rule does not apply" in Page((tmp_path / "report.html").read_text("utf-8")).text


def test_what_cannot_be_written_is_said_in_one_line(tmp_path, monkeypatch):
    for out in (tmp_path, tmp_path / "missing" / "report.html"):
        result = run("--out", out)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "expected a file to write" in result.stderr
    old = tmp_path / "report.html"
    old.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    result = run("--layer", 0, "--out", old)
    assert result.exit_code == 1
    assert "found No space left on device" in result.stderr
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
