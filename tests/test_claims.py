"""The page of the paper's claims: current, complete, and pointing at theorems, figures and notebooks that exist."""

import json
import runpy
from pathlib import Path

import pytest

from mamba_dynamics import CATALOGUE
from mamba_dynamics.theorems.contract import Origin
from paper_figures.catalogue import FIGURES

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "make_claims_page.py"))
CLAIMS = SCRIPT["read"]()
EVERY = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["title"])


def test_the_page_is_the_one_its_script_writes():
    assert (ROOT / "docs" / "claims.md").read_text() == SCRIPT["page"]()


@EVERY
def test_it_points_at_what_exists(claim):
    assert set(claim["theorems"]) <= set(CATALOGUE)
    assert claim["figure"] in FIGURES
    assert (ROOT / "notebooks" / f"{claim['notebook']}.ipynb").is_file()
    assert claim["found"] in SCRIPT["FINDINGS"]


def test_every_theorem_of_the_paper_and_every_refuted_claim_of_it_is_there():
    named = {name for claim in CLAIMS for name in claim["theorems"]}
    papers = {name for name, theorem in CATALOGUE.items() if theorem.origin is Origin.PAPER}
    evidence = json.loads((ROOT / "docs" / "theorems" / "evidence.json").read_text())
    refuted = {
        one["name"]
        for one in evidence["theorems"]
        if any(claim["origin"] == "paper" for claim in one["counterexamples_to_weaker_claim"])
    }
    assert papers | refuted <= named


@EVERY
def test_a_claim_said_to_fail_has_a_refuted_counterexample(claim):
    evidence = json.loads((ROOT / "docs" / "theorems" / "evidence.json").read_text())
    found = {one["name"]: one for one in evidence["theorems"]}
    if claim["found"] in ("fails", "not sharp") and "generic_inertia" not in claim["theorems"]:
        counterexamples = [
            one["refuted"] for name in claim["theorems"] for one in found[name]["counterexamples_to_weaker_claim"]
        ]
        assert counterexamples
        assert all(counterexamples)
    if claim["found"] in ("holds", "sharpened"):
        for name in claim["theorems"]:
            assert found[name]["numeric"]["failed"] == found[name]["numeric"]["undecided"] == 0
