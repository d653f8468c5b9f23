"""The report's own logic: which tokens each group sees, and what counts as decided."""

import re
import warnings

import numpy as np
import pytest

from mamba_dynamics import LayerShapeError, S6Layer, Scenario, TokenFate, Truth, classify_checkpoint, sample_path
from mamba_dynamics._tokens_verdict import tokens_verdict


def definite(sign, seed):
    S_C = np.random.default_rng(seed).normal(size=(3, 2))
    S_Delta = np.eye(2) if sign > 0 else np.zeros((2, 2))  # a negative definite one decides where steps cannot shut
    return S6Layer.from_matrices(S_B=sign * S_C, S_C=S_C, S_Delta=S_Delta, a=1.0)


def stacked(one, two, axis):
    keys = ("S_B", "S_C", "dt_down", "dt_bias", "a")
    arrays = {key: np.concatenate([getattr(one, key), getattr(two, key)]) for key in keys}
    return S6Layer(dt_up=None, group_axis=axis, **arrays)


def test_heads_see_their_own_channels_and_directions_see_all():
    one, two = definite(-1.0, 0), definite(-1.0, 1)
    x = np.random.default_rng(2).normal(size=(3, 4))
    heads = tokens_verdict(stacked(one, two, "head"), x)
    for part, verdict, layer in zip((x[:, :2], x[:, 2:]), heads.verdicts, (one, two), strict=True):
        alone = tokens_verdict(layer, part)
        np.testing.assert_array_equal(verdict.trajectory.log_norms[-1], alone.verdicts[0].trajectory.log_norms[-1])
    directions = tokens_verdict(stacked(one, two, "direction"), x[:, :2])
    alone = tokens_verdict(two, x[:, :2])
    np.testing.assert_array_equal(directions.alignment[1], alone.alignment[0])
    with pytest.raises(LayerShapeError, match=r"\(L, 4\)"):
        tokens_verdict(stacked(one, two, "head"), x[:, :2])


def test_groups_that_do_different_things_are_mixed():
    both = tokens_verdict(stacked(definite(-1.0, 0), definite(1.0, 1), "direction"), np.ones((2, 2)))
    assert both.scenario is Scenario.MIXED
    assert both.agreement is Truth.HOLDS
    assert len(both.fates) == 4


def test_one_undecided_group_leaves_the_layer_undecided():
    """`mixed` would say that its groups do different things, and exit as if all were decided."""
    from dataclasses import replace

    both = tokens_verdict(stacked(definite(-1.0, 0), definite(1.0, 1), "direction"), np.ones((2, 2)))
    assert both.decided
    one, two = both.runs
    open_end = replace(one, verdict=replace(one.verdict, simulated=Scenario.UNDECIDED), check=None)
    some = replace(both, runs=(open_end, two))
    assert some.scenario is Scenario.UNDECIDED
    assert not some.decided
    token = replace(one.verdict.tokens[0], fate=TokenFate.UNDECIDED)
    unsure = replace(one, verdict=replace(one.verdict, tokens=(token, *one.verdict.tokens[1:])), check=None)
    assert not replace(both, runs=(unsure, two)).decided


def test_progress_names_every_layer_once():
    seen = []
    classify_checkpoint(sample_path(), progress=lambda done, total, name: seen.append((done, total, name)))
    assert [done for done, _, _ in seen] == [0, 1, 2, 3, 4]
    assert seen[1][2] == "backbone.layers.1.mixer"
    assert {total for _, total, _ in seen} == {4}


@pytest.mark.parametrize("layers", [[2, 0, -1], slice(1, 3), [3], []])
def test_chosen_layers_are_those_of_the_whole_report(layers):
    every = [one.weights.groups[0].spectrum.spectrum.eigenvalues for one in classify_checkpoint(sample_path()).layers]
    chosen = np.arange(4)[layers]
    found = classify_checkpoint(sample_path(), layers=layers).layers
    assert [one.slot.index for one in found] == chosen.tolist()
    for one, index in zip(found, chosen, strict=True):
        assert np.array_equal(one.weights.groups[0].spectrum.spectrum.eigenvalues, every[index])


@pytest.mark.parametrize("layers", [[4], [-5], [0, 9]])
def test_no_such_layer(layers):
    with pytest.raises(LayerShapeError, match="expected a layer from 0 to 3"):
        classify_checkpoint(sample_path(), layers=layers)


@pytest.mark.parametrize("size", [1e308, 1e160])
def test_tokens_beyond_float64_are_refused(size):
    """q(x) = x . M x overflows from about 1e154 on, S_Delta x from about 1e308 on."""
    layer = definite(1.0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LayerShapeError, match=re.escape(f"token 2 with entries up to {size:.3g}")):
            tokens_verdict(layer, np.array([[1.0, 1.0], [size, size]]))
    assert np.isfinite(tokens_verdict(layer, np.full((1, 2), 1e150), integrate=0).statistics.q).all()
    with pytest.raises(LayerShapeError, match="stay within float64, found token 1"):
        classify_checkpoint(sample_path(), layers=[0], tokens=np.full((1, 192), size))
