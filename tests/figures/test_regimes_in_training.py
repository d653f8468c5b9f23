"""The figure's curves, read from the committed logs by hand."""

import json

import numpy as np
import pytest

from paper_figures.regimes_in_training.compute import RESULTS


def test_curves_are_those_of_the_logs(data):
    found = data("regimes_in_training")
    document = json.loads(RESULTS.read_text())
    for run in document["runs"]:
        arm, seed = run["arm"], run["seed"]
        for place, record in enumerate(run["records"]):
            assert found[f"{arm}_step"][place] == record["step"]
            for block, layer in enumerate(record["layers"]):
                assert found[f"{arm}_radial_median"][seed, place, block] == layer["radial_median"]
                share = layer["positive"] / (layer["positive"] + layer["negative"])
                assert found[f"{arm}_positive_share"][seed, place, block] == share


@pytest.mark.parametrize(("arm", "share", "cosine"), [("positive", 1, 1), ("negative", 0, -1)])
def test_held_signs_are_held(data, arm, share, cosine):
    found = data("regimes_in_training")
    np.testing.assert_array_equal(found[f"{arm}_positive_share"], share)
    # q = g^2 sum lambda_n (U x)_n^2 has the sign of lambda at every token.
    assert (cosine * found[f"{arm}_alignment_mean"] > 0.5).all()
