"""The regimes that the runs of the study e1-wikitext logged, as arrays; the runs themselves take an hour."""

import json
from pathlib import Path

import numpy as np

from mamba_dynamics.plotting import regime_curves

RESULTS = Path(__file__).parents[1] / "results" / "e1-wikitext.json"


def compute(seed: int) -> dict[str, np.ndarray]:
    document = json.loads(RESULTS.read_text(encoding="utf-8"))
    arms = list(document["arms"])
    data = {"arms": np.array(arms)}
    for arm in arms:
        runs = [run["records"] for run in document["runs"] if run["arm"] == arm]
        data |= {f"{arm}_{name}": values for name, values in regime_curves(runs).items()}
    return data
