"""Importance scores, recomputed from the file by a forward pass in plain numpy."""

import numpy as np
import pytest
from numpy_mamba import NumpyMamba

from mamba_dynamics import sample_path
from paper_figures.importance.compute import LAYER, SENTENCE

RANK = 6


@pytest.fixture(scope="module")
def importance(data):
    return data("importance")


@pytest.fixture(scope="module")
def raw():
    """S_Delta x + b of every layer, (layers, L, D)."""
    steps = NumpyMamba(sample_path()).steps(np.frombuffer(SENTENCE.encode(), np.uint8))
    found = []
    for step in steps:
        S_Delta = step.weights["mixer.dt_proj.weight"] @ step.weights["mixer.x_proj.weight"][:RANK]
        found.append(step.x @ S_Delta.T + step.weights["mixer.dt_proj.bias"])
    return np.stack(found)


def test_scores_are_the_paper_s_with_equal_weights_for_every_channel(importance, raw):
    K = np.full(192, 1 / 192)
    np.testing.assert_allclose(importance["score"], raw @ K, rtol=1e-10)


def test_step_sizes_are_the_mean_softplus(importance, raw):
    np.testing.assert_allclose(importance["step_size"], np.log1p(np.exp(raw)).mean(axis=2), rtol=1e-10)


def test_softplus_of_the_score_is_a_lower_bound_of_the_mean_step_size(importance):
    """Jensen's inequality: softplus is convex."""
    assert np.all(np.log1p(np.exp(importance["score"])) < importance["step_size"])


def test_the_order_is_that_of_ascending_scores(importance, raw):
    sorted_scores = raw[LAYER].mean(axis=1)[importance["order"]]
    assert np.all(np.diff(sorted_scores) > 0)
    # SoftSort (theory section 6): P = softmax_row(-|sort_desc(v) 1' - 1 v'| / tau), at v = -score and small tau.
    v = -raw[LAYER].mean(axis=1)
    logits = -np.abs(np.sort(v)[::-1][:, None] - v[None]) / 1e-6
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_array_equal(P.argmax(axis=1), importance["order"])


def test_every_layer_has_an_order_of_its_own(importance):
    orders = np.argsort(importance["score"], axis=1)
    assert len(np.unique(orders, axis=0)) == len(orders)


def test_the_score_is_no_monotone_function_of_the_mean_step_size(importance):
    for score, size in zip(importance["score"], importance["step_size"], strict=True):
        assert np.any(np.diff(size[np.argsort(score)]) < 0)
        assert np.any(np.diff(size[np.argsort(score)]) > 0)


def test_the_pieces_spell_the_sentence(importance):
    assert "".join(importance["pieces"].tolist()).replace("␣", " ") == SENTENCE
