"""The pages under docs/theorems: in step with the catalogue, and evidence that holds."""

import json
import sys
from pathlib import Path

import pytest

from mamba_dynamics import CATALOGUE
from mamba_dynamics.theorems.steps import domain_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from make_theorem_pages import EVIDENCE, FOLDER, pages, read_evidence, write

THEOREMS = pytest.mark.parametrize("theorem", CATALOGUE.values(), ids=CATALOGUE)


@pytest.fixture(scope="module")
def evidence():
    return json.loads((FOLDER / EVIDENCE).read_text())


def test_the_committed_pages_are_those_of_the_committed_evidence(evidence):
    texts = pages(evidence)
    assert {path.name for path in FOLDER.glob("*.md")} == texts.keys()
    for name, text in texts.items():
        assert (FOLDER / name).read_text() == text, f"{name}: run python scripts/make_theorem_pages.py"


@THEOREMS
def test_the_evidence_is_of_today_s_catalogue(theorem, evidence):
    """Statement, hypotheses, steps and claims are those of the code; run `verify` anew where this fails."""
    one = {each["name"]: each for each in evidence["theorems"]}[theorem.name]
    case = theorem.pool.case(evidence["seed"], 0)
    assert (one["title"], one["statement"]) == (theorem.title, theorem.statement)
    assert [each["name"] for each in one["hypotheses"]] == [h.name for h in theorem.hypotheses(case.layer, case.x0)]
    steps = [(step.says, str(step.formula), domain_of(step)) for step in theorem.steps]
    assert [(step["says"], step["formula"], step["domain"]) for step in one["symbolic"]["steps"]] == steps
    claims = [(claim.claim, claim.because) for claim in theorem.weaker]
    assert [(claim["claim"], claim["because"]) for claim in one["counterexamples_to_weaker_claim"]] == claims


@THEOREMS
def test_the_evidence_holds(theorem, evidence):
    one = {each["name"]: each for each in evidence["theorems"]}[theorem.name]
    assert one["status"] == one["symbolic"]["status"] == one["numeric"]["status"] == "holds"
    assert one["numeric"]["held"] == one["numeric"]["cases"] == 200
    assert all(claim["refuted"] for claim in one["counterexamples_to_weaker_claim"])


def test_every_page_says_what_a_reader_needs(evidence):
    texts = pages(evidence)
    for name, theorem in CATALOGUE.items():
        text = texts[f"{name}.md"]
        assert theorem.statement in text
        assert f"mamba-dynamics verify --theorem {name}" in text
        assert text.count("$$") == 2 * len(theorem.steps)
        assert "Claims that fail" in text
        assert f"({name}.md)" in texts["index.md"], "the index lists every theorem"


def test_links_lead_to_pages(evidence):
    for name, text in pages(evidence).items():
        for link in text.split("](")[1:]:
            assert (FOLDER / link.split(")")[0]).exists(), f"{name}: {link.split(')')[0]}"


def test_writing_is_whole_and_removes_pages_of_lost_theorems(evidence, tmp_path):
    (tmp_path / "forgotten.md").write_text("an old page")
    write(evidence, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*pages(evidence), EVIDENCE}
    assert json.loads((tmp_path / EVIDENCE).read_text()) == evidence


def test_partial_evidence_is_refused(evidence, tmp_path):
    path = tmp_path / "part.json"
    path.write_text(json.dumps({**evidence, "theorems": evidence["theorems"][1:]}))
    with pytest.raises(SystemExit, match="well_posedness"):
        read_evidence(path)
