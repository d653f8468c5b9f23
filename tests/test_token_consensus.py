"""The measures of consensus on tokens whose directions are known, and along a model."""

import numpy as np
import pytest

from mamba_dynamics import Consensus, consensus, sample_path, walk

IDS = np.frombuffer(b"for index in range(10):\n    print(index)\n", np.uint8)


def test_collinear_tokens_agree_whatever_their_size_and_sign():
    direction = np.random.default_rng(0).normal(size=7)
    found = Consensus.of(np.outer([3.0, -1e-8, 1e8, 0.2], direction))
    assert found.leading_share == pytest.approx(1.0)
    assert found.participation_ratio == pytest.approx(1.0)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_orthogonal_tokens_fill_as_many_directions(count):
    found = Consensus.of(np.diag([1.0, 20.0, 3.0, 0.1, 7.0])[:count])
    assert found.leading_share == pytest.approx(1 / count)
    assert found.participation_ratio == pytest.approx(count)


def test_two_tokens_at_an_angle():
    """Eigenvalues of [[1, c], [c, 1]] / 2 are (1 +- c) / 2."""
    c = np.cos(0.7)
    found = Consensus.of(np.array([[1.0, 0.0], [2 * c, 2 * np.sin(0.7)]]))
    assert found.leading_share == pytest.approx((1 + c) / 2)
    assert found.participation_ratio == pytest.approx(2 / (1 + c * c))


def test_zero_tokens_have_no_direction():
    tokens = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    assert Consensus.of(tokens).participation_ratio == pytest.approx(2.0)
    assert np.isnan(Consensus.of(np.zeros((2, 3))).leading_share)


def test_along_a_model_it_is_the_gram_matrix_of_the_residual_stream():
    curve = consensus(sample_path(), IDS, depth=6)
    assert curve.leading_share.shape == curve.participation_ratio.shape == (7,)
    for visit in walk(sample_path(), IDS, depth=6):
        units = np.asarray(visit.after, float)
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        eigenvalues = np.linalg.eigvalsh(units @ units.T / len(units))
        assert curve.leading_share[visit.position + 1] == pytest.approx(eigenvalues.max(), rel=1e-6)
        assert curve.participation_ratio[visit.position + 1] == pytest.approx(1 / np.sum(eigenvalues**2), rel=1e-6)


def test_cycled_layers_draw_the_tokens_together():
    """The published experiment on the sample: the leading share rises along the depth, further with the gate here."""
    with_gate, without = (consensus(sample_path(), IDS, depth=40, without=parts) for parts in ((), ("gate",)))
    for curve in (with_gate, without):
        assert curve.leading_share[-1] > 2 * curve.leading_share[0]
        assert curve.participation_ratio[-1] < 0.4 * curve.participation_ratio[0]
    assert with_gate.leading_share[-1] != pytest.approx(without.leading_share[-1], abs=0.05)


def test_progress_counts_the_blocks():
    seen = []
    consensus(sample_path(), IDS, depth=3, progress=lambda *call: seen.append(call))
    assert [(done, total) for done, total, _ in seen] == [(0, 3), (1, 3), (2, 3)]
