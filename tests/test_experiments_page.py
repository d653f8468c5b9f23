"""The page of the experiments is current, and its numbers follow from the runs that are committed."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mamba_dynamics.training.experiment import experiment_names
from mamba_dynamics.training.study import is_study, read_study

ROOT = Path(__file__).resolve().parents[1]
RESULTS = sorted((ROOT / "paper_figures" / "results").glob("*.json"))
EVERY = pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)


def test_the_page_is_the_one_its_script_writes():
    script = runpy.run_path(str(ROOT / "scripts" / "make_experiments_page.py"))
    assert (ROOT / "docs" / "experiments.md").read_text() == script["page"]()


def test_every_study_has_results():
    assert {path.stem for path in RESULTS} == {name for name in experiment_names() if is_study(name)}


@EVERY
def test_results_are_of_the_committed_spec(path):
    document, study = json.loads(path.read_text()), read_study(path.stem)
    assert document["table"] == study.table
    assert document["arms"] == study.arms
    assert [(run["arm"], run["seed"]) for run in document["runs"]] == list(study.runs())


@EVERY
def test_effects_follow_from_the_runs(path):
    document = json.loads(path.read_text())
    value = {(run["arm"], run["seed"]): run.get(document["metric"]) for run in document["runs"]}
    for effect in document["effects"]:
        pairs = [(value[effect["arm"], seed], value[effect["against"], seed]) for seed in range(document["seeds"])]
        first, second = np.transpose([pair for pair in pairs if None not in pair])
        found = stats.ttest_rel(first, second)
        interval = found.confidence_interval(0.95)
        wanted = [np.mean(first) - np.mean(second), interval.low, interval.high, found.pvalue]
        np.testing.assert_allclose(
            [effect[key] for key in ("effect", "low", "high", "p")], wanted, rtol=1e-6, atol=1e-12
        )
