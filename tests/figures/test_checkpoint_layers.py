"""The layers of the trained sample, against dense matrices and a forward pass in plain numpy."""

import numpy as np
import pytest
from numpy_mamba import NumpyMamba

from mamba_dynamics import sample_path
from paper_figures.checkpoint_layers.compute import TEXT

RANK, STATES = 6, 16


@pytest.fixture(scope="module")
def layers(data):
    return data("checkpoint_layers")


@pytest.fixture(scope="module")
def steps():
    return list(NumpyMamba(sample_path()).steps(np.frombuffer(TEXT.encode(), np.uint8)))


def maps(step):
    """(S_B, S_C) as they lie in the file."""
    rows = step.weights["mixer.x_proj.weight"]
    return rows[RANK : RANK + STATES], rows[RANK + STATES :]


def largest(eigenvalues, count):
    """The `count` eigenvalues that are largest in modulus, by real part."""
    return np.sort(eigenvalues[np.argsort(np.abs(eigenvalues))[-count:]].real)


def test_spectra_are_those_of_the_dense_matrices(layers, steps):
    for layer, step in enumerate(steps):
        S_B, S_C = maps(step)
        M = S_C.T @ S_B
        assert M.shape == (192, 192)
        found = layers["spectrum"][layer]
        np.testing.assert_allclose(found, largest(np.linalg.eigvals(M), STATES), rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(layers["spectrum_sign"][layer], np.sign(found))
        symmetric = np.linalg.eigvalsh((M + M.T) / 2)
        np.testing.assert_allclose(layers["symmetric_part"][layer], largest(symmetric, 2 * STATES), rtol=1e-9)


def test_sym_M_has_as_many_positive_as_negative_eigenvalues(layers, steps):
    """Theory 4.7: N of each, as the 2N rows of S_B and S_C are independent."""
    for layer, step in enumerate(steps):
        assert np.linalg.matrix_rank(np.vstack(maps(step))) == 2 * STATES
        assert np.sum(layers["symmetric_part_sign"][layer] > 0) == STATES
        assert np.sum(layers["symmetric_part_sign"][layer] < 0) == STATES
    np.testing.assert_array_equal(layers["certified"], "mixed")


def test_one_positive_eigenvalue_is_divergent_by_the_paper_s_rule(layers):
    assert np.all(layers["spectrum"].max(axis=1) > 0)
    np.testing.assert_array_equal(layers["spectral"], "divergent")


def test_channels_are_the_signs_of_the_diagonal(layers, steps):
    for layer, step in enumerate(steps):
        S_B, S_C = maps(step)
        mu = np.diagonal(S_C.T @ S_B)
        found = [layers[name][layer] for name in ("convergent", "slow_or_fast", "degenerate")]
        assert found == [np.sum(mu < 0), np.sum(mu > 0), np.sum(mu == 0)]


def test_alignments_are_those_of_the_tokens_of_a_plain_forward_pass(layers, steps):
    for layer, step in enumerate(steps):
        B, C = (step.x @ S.T for S in maps(step))
        q = np.sum(B * C, axis=1)
        cosines = q / (np.linalg.norm(B, axis=1) * np.linalg.norm(C, axis=1))
        # The package's forward pass is in float32, whose rounding some cancelling sums amplify.
        np.testing.assert_allclose(layers["alignment"][layer], cosines, atol=2e-4)
        wanted = "convergent" if np.all(q < 0) else "divergent" if np.all(q > 0) else "mixed"
        assert layers["tokens"][layer] == wanted


def test_the_first_layers_pull_most_tokens_towards_zero_and_the_last_pushes_most_away(layers):
    negative = np.mean(layers["alignment"] < 0, axis=1)
    assert np.all(negative[:-1] > 0.5)
    assert negative[-1] < 0.5
    shares = layers["convergent"] / 192
    assert np.all(shares[:-1] > 0.5)
    assert shares[-1] < 0.5
