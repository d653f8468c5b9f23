"""What the flip of M's sign turns and leaves, against a forward pass in plain numpy."""

import numpy as np
import pytest
from numpy_mamba import NumpyMamba

from mamba_dynamics import sample_path
from paper_figures.gauge.compute import SENTENCE

RANK, STATES = 6, 16


@pytest.fixture(scope="module")
def gauge(data):
    return data("gauge")


@pytest.fixture(scope="module")
def model():
    return NumpyMamba(sample_path())


def flipped(model):
    """The model with (S_C, D, W_out) -> (-S_C, -D, -W_out) in every layer."""
    other = NumpyMamba(sample_path())
    for name, value in model.weights.items():
        if name.endswith(("mixer.D", "out_proj.weight")):
            other.weights[name] = -value
        if name.endswith("x_proj.weight"):
            other.weights[name] = np.concatenate([value[: RANK + STATES], -value[RANK + STATES :]])
    return other


@pytest.mark.parametrize("form", ["stored", "flipped"])
def test_every_fact_is_that_of_a_plain_forward_pass(gauge, model, form):
    steps = (model if form == "stored" else flipped(model)).steps(np.frombuffer(SENTENCE.encode(), np.uint8))
    for layer, step in enumerate(steps):
        update = step.after - step.before
        rates = np.sum(step.before * update, axis=1) / np.sum(step.before**2, axis=1)
        # The package computes in float32; a rate is a sum of 96 products of both signs.
        np.testing.assert_allclose(gauge[f"{form}_radial_rates"][layer], rates, atol=1e-5)
        B, C = np.split(step.x @ step.weights["mixer.x_proj.weight"][RANK:].T, 2, axis=1)
        assert gauge[f"{form}_q_negative"][layer] == np.mean(np.sum(B * C, axis=1) < 0)
        D = step.weights["mixer.D"]
        assert gauge[f"{form}_D_sign"][layer] == np.mean(np.sign(D))
        correlation = np.corrcoef(step.scan.ravel(), (D * step.x).ravel())[0, 1]
        np.testing.assert_allclose(gauge[f"{form}_skip_correlation"][layer], correlation, atol=1e-5)


def test_the_flip_turns_every_token_s_q_and_the_sign_of_D(gauge):
    np.testing.assert_allclose(gauge["stored_q_negative"] + gauge["flipped_q_negative"], 1.0)
    np.testing.assert_array_equal(gauge["flipped_D_sign"], -gauge["stored_D_sign"])
    assert np.all(np.abs(gauge["stored_D_sign"]) > 0)


def test_the_flip_leaves_radial_rates_and_the_skip_s_correlation_to_the_last_bit(gauge):
    """Two changes of sign are exact in floating point."""
    np.testing.assert_array_equal(gauge["flipped_radial_rates"], gauge["stored_radial_rates"])
    np.testing.assert_array_equal(gauge["flipped_skip_correlation"], gauge["stored_skip_correlation"])


def test_in_the_first_layers_the_scan_works_against_the_skip(gauge):
    assert np.all(gauge["stored_skip_correlation"][:-1] < -0.2)
    assert gauge["stored_skip_correlation"][-1] > 0.1
