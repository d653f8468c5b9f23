"""Consensus along the depth, against the eigenvalues of Gram matrices of a forward pass in plain numpy."""

import numpy as np
import pytest
from numpy_mamba import NumpyMamba

from mamba_dynamics import sample_path
from paper_figures.consensus.compute import DEPTH, TEXT


@pytest.fixture(scope="module")
def curves(data):
    return data("consensus")


def gram_eigenvalues(tokens):
    """Eigenvalues of <z_l, z_m> / L for unit tokens z, which add up to 1."""
    units = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
    return np.linalg.eigvalsh(units @ units.T / len(units))


@pytest.mark.parametrize(("case", "gated"), [("full", True), ("without_gate", False)])
def test_both_measures_after_every_block(curves, case, gated):
    ids = np.frombuffer(TEXT.encode(), np.uint8)
    steps = NumpyMamba(sample_path()).steps(ids, depth=DEPTH, gated=gated)
    found = [gram_eigenvalues(stream) for step in steps for stream in (step.before, step.after)]
    each = np.stack([found[0], *found[1::2]])
    np.testing.assert_allclose(each.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(curves[f"{case}_share"], each[:, -1], rtol=1e-7)
    np.testing.assert_allclose(curves[f"{case}_ratio"], 1 / np.sum(each**2, axis=1), rtol=1e-7)


def test_one_or_two_directions_hold_all_tokens_in_the_end(curves):
    for case in ("full", "without_gate"):
        assert curves[f"{case}_share"][-1] > 0.7
        assert curves[f"{case}_ratio"][-1] < 2
        assert curves[f"{case}_ratio"][0] > 9


def test_here_the_gate_does_not_hinder_consensus(curves):
    """The opposite of the published finding on a Mamba-2 model (0.45 with the gate, 0.8 without)."""
    assert curves["full_share"][-1] > curves["without_gate_share"][-1] + 0.1
    after_the_model = int(curves["layers"])
    assert curves["full_share"][after_the_model] < curves["without_gate_share"][after_the_model]


def test_fifty_tokens(curves):
    assert curves["tokens"] == len(TEXT) == 50
