"""Verdicts from weights alone."""

import json

import numpy as np
import pytest

from mamba_dynamics._layer import Multipliers, S6Layer
from mamba_dynamics._outcomes import KnownBy, Scenario
from mamba_dynamics._weights_verdict import weights_verdict


def layer_of(M, **fields):
    M = np.asarray(M, float)
    return S6Layer.from_matrices(S_B=M, S_C=np.eye(len(M)), S_Delta=np.zeros_like(M), a=1.0, **fields)


@pytest.mark.parametrize(
    ("M", "spectral", "certified"),
    [
        ([[-1, 10], [0, -1]], Scenario.CONVERGENT, Scenario.MIXED),
        ([[0.1, -10], [0, 0.1]], Scenario.DIVERGENT, Scenario.MIXED),
        ([[-1, 1], [-1, -1]], Scenario.CONVERGENT, Scenario.CONVERGENT),
        ([[3, 1], [1, 2]], Scenario.DIVERGENT, Scenario.DIVERGENT),
        ([[0, 0], [0, 0]], Scenario.CONSTANT, Scenario.CONSTANT),
        ([[0, 1], [-1, 0]], Scenario.UNDECIDED, Scenario.UNDECIDED),
        ([[-1, 0], [0, 0]], Scenario.UNDECIDED, Scenario.UNDECIDED),
    ],
)
def test_the_eigenvalue_rule_beside_the_certificate(M, spectral, certified):
    verdict = weights_verdict(layer_of(M))
    assert (verdict.spectral, verdict.certified) == (spectral, certified)
    assert verdict.known_by is KnownBy.CERTIFIED
    contradicted = certified is Scenario.MIXED
    assert any("indefinite" in line for line in verdict.disagreements) == contradicted


def test_a_negative_multiplier_flips_every_sign():
    flipped = weights_verdict(layer_of([[-1, 1], [-1, -1]], multipliers=Multipliers(B=-2.0)))
    assert (flipped.spectral, flipped.certified) == (Scenario.DIVERGENT, Scenario.DIVERGENT)
    assert flipped.groups[0].channels_divergent == 2


@pytest.mark.parametrize("factor", [-2.0, 0.5])
def test_spectra_are_those_of_the_matrix_with_its_multiplier(factor):
    layer = layer_of([[-1, 3], [0.5, 2]], multipliers=Multipliers(B=factor))
    (group,) = weights_verdict(layer).groups
    M = layer.input_output_matrix()
    np.testing.assert_allclose(group.spectrum.spectrum.eigenvalues.real, np.sort(np.linalg.eigvals(M).real), rtol=1e-12)
    np.testing.assert_allclose(
        group.symmetric_part.spectrum.eigenvalues.real, np.linalg.eigvalsh((M + M.T) / 2), rtol=1e-12
    )
    assert group.spectrum.spectrum.positive == group.spectrum.positive == 1


@pytest.mark.parametrize("scale", [1e-160, 1e-310])
def test_a_dead_layer_is_named(scale):
    verdict = weights_verdict(layer_of(scale * np.array([[1.0, 2.0], [3.0, -4.0]])))
    assert verdict.groups[0].dead
    assert any("dead layer" in line for line in verdict.warnings)
    assert verdict.certified is Scenario.UNDECIDED


def test_groups_that_differ_are_mixed():
    one, two = layer_of([[-1, 1], [-1, -1]]), layer_of([[3, 1], [1, 2]])
    both = S6Layer(
        dt_up=None,
        group_axis="head",
        **{
            key: np.concatenate([getattr(one, key), getattr(two, key)])
            for key in ("S_B", "S_C", "dt_down", "dt_bias", "a")
        },
    )
    verdict = weights_verdict(both)
    assert [group.certified for group in verdict.groups] == [Scenario.CONVERGENT, Scenario.DIVERGENT]
    assert verdict.certified is Scenario.MIXED


def test_a_real_layer(real_layer):
    """Figures measured by an independent script, with the file read by another library."""
    layer, _ = real_layer
    verdict = weights_verdict(layer)
    (group,) = verdict.groups
    expected = [
        -2.56548, -1.94101, -0.83998 - 1.07386j, -0.83998 + 1.07386j, -0.53050 - 0.32800j, -0.53050 + 0.32800j,
        -0.41737, -0.15966, 0.07822, 0.10871 - 0.41218j, 0.10871 + 0.41218j, 0.16705 - 0.93725j, 0.16705 + 0.93725j,
        0.27874, 1.15739, 4.90298,
    ]  # fmt: skip
    np.testing.assert_allclose(group.spectrum.spectrum.eigenvalues, expected, atol=6e-6)
    assert (group.spectrum.positive, group.spectrum.negative) == (8, 8)
    assert (group.symmetric_part.positive, group.symmetric_part.negative) == (16, 16)
    assert group.symmetric_part.spectrum.smallest == pytest.approx(-5.9222, abs=5e-5)
    assert group.symmetric_part.spectrum.largest == pytest.approx(8.4218, abs=5e-5)
    assert group.channels_convergent == 905
    assert verdict.certified is Scenario.MIXED
    assert group.symmetric_part.known_by is KnownBy.CERTIFIED
    assert json.dumps(verdict.spectral) == '"divergent"'


def test_a_layer_keeps_its_weights_whatever_their_giver_does():
    """A view that cannot be written to shares the memory of one that can; frozen arrays are shared."""
    mine = np.ones((1, 2, 3))
    view = mine[:]
    view.flags.writeable = False
    frozen = np.full((1, 2, 3), 2.0)
    frozen.flags.writeable = False
    others = {"dt_down": np.zeros((1, 1, 3)), "dt_up": np.zeros((1, 3, 1)), "dt_bias": np.zeros((1, 3))}
    layer = S6Layer(S_B=view, S_C=frozen, a=np.ones((1, 3, 2)), **others)
    mine[:] = np.nan
    assert np.all(layer.S_B == 1)
    assert layer.S_C is frozen
    assert not layer.a.flags.writeable
    named = layer.described(name="another", index=4)
    assert (named.name, named.index) == ("another", 4)
    assert named.S_B is layer.S_B
    assert layer.name == "layer"
