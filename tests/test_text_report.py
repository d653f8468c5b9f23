"""Checkpoints judged by the tokens of a text that the model itself reads."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mamba_dynamics import (
    LayerShapeError,
    Outcome,
    S6Layer,
    Scenario,
    TokenFate,
    Truth,
    classify_checkpoint,
    open_checkpoint,
    sample_path,
    walk,
)
from mamba_dynamics._block_facts import BlockFacts
from mamba_dynamics._classification_document import levels_agree
from mamba_dynamics._report import LayerReport
from mamba_dynamics._tokens_verdict import tokens_verdict
from mamba_dynamics.cli import app

FIXTURES = Path(__file__).parent / "fixtures"
TEXT = "if x is None:"
#: A budget that decides nothing: for what does not depend on the integration.
SHORT = ("--max-steps", "1", "--integrate", "1")


def document(*arguments, codes=(0, 3)):
    result = CliRunner().invoke(app, ["classify", *map(str, arguments), "--json"])
    assert result.exit_code in codes, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def report():
    return document("--text", TEXT, *SHORT)


def test_every_layer_s_tokens_are_the_inputs_of_its_scan(report):
    checkpoint = open_checkpoint(sample_path())
    for visit, layer in zip(walk(checkpoint, list(TEXT.encode())), report["layers"], strict=True):
        x, weights = np.asarray(visit.stages.x, float), checkpoint.layer(visit.index)
        B, C = x @ weights.S_B[0].T, x @ weights.S_C[0].T
        q = (B * C).sum(axis=1)
        (found,) = layer["tokens"]["groups"]
        np.testing.assert_allclose(found["q"], q, rtol=1e-9)
        cosines = q / np.linalg.norm(B, axis=1) / np.linalg.norm(C, axis=1)
        np.testing.assert_allclose(found["alignment"], cosines, rtol=1e-9)
        raw = x @ weights.dt_down[0].T @ weights.dt_up[0].T + weights.dt_bias[0]
        np.testing.assert_allclose(found["importance"], raw.mean(axis=1), rtol=1e-9)
        steps = layer["tokens"]["raw_step"]
        np.testing.assert_allclose([steps["min"], steps["mean"], steps["max"]], [raw.min(), raw.mean(), raw.max()])
        assert layer["tokens"]["q_negative_fraction"] == np.mean(q < 0)
        assert layer["tokens"]["count"] == len(TEXT)
        assert layer["tokens"]["integrated"] == 1


def test_the_block_s_own_facts(report):
    for visit, layer in zip(walk(sample_path(), list(TEXT.encode())), report["layers"], strict=True):
        u, update = np.asarray(visit.residual, float), np.asarray(visit.stages.out, float)
        rates = (u * update).sum(axis=1) / (u * u).sum(axis=1)
        np.testing.assert_allclose(layer["block"]["radial_rates"], rates, rtol=1e-6)
        assert layer["block"]["growing_fraction"] == np.mean(rates > 0)
        D = open_checkpoint(sample_path()).layer(visit.index).D_skip[0]
        assert layer["block"]["skip_sign_mean"] == np.mean(np.sign(D))
        skip, scan = (D * np.asarray(visit.stages.x)).ravel(), np.asarray(visit.stages.scan).ravel()
        assert layer["block"]["skip_correlation"] == pytest.approx(np.corrcoef(skip, scan)[0, 1], abs=1e-5)
        assert layer["block"]["sign_is_convention"] is True


def test_the_radial_report_does_not_change_with_the_representative():
    """... nor does the correlation of scan and skip, while the signs of the scan and of D do: theory section 8."""
    for visit in walk(sample_path(), list(TEXT.encode())):
        flipped = visit.block.flipped()
        other = replace(visit, block=flipped, stages=flipped.stages(visit.residual))
        one, two = BlockFacts.of(visit), BlockFacts.of(other)
        np.testing.assert_allclose(two.radial_rates, one.radial_rates, rtol=1e-3, atol=1e-6)
        assert two.skip_sign_mean == -one.skip_sign_mean
        assert two.skip_correlation == pytest.approx(one.skip_correlation, abs=1e-5)
        np.testing.assert_allclose(other.stages.scan, -visit.stages.scan, rtol=1e-4, atol=1e-4)


def test_the_text_and_its_consensus(report):
    text = report["text"]
    assert text["ids"] == list(TEXT.encode())
    assert "".join(text["pieces"]) == TEXT.replace(" ", "␣")
    for name in ("full", "without_gate"):
        assert len(text["consensus"][name]["leading_share"]) == 5
        assert 1 <= text["consensus"][name]["participation_ratio"][-1] <= len(TEXT)
    assert text["consensus"]["full"]["leading_share"][0] == text["consensus"]["without_gate"]["leading_share"][0]
    assert text["consensus"]["full"]["leading_share"][1] != text["consensus"]["without_gate"]["leading_share"][1]


def test_text_file_and_token_ids_are_the_same_text(report, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    for source in (("--text-file", tmp_path / "text.txt"), ("--token-ids", ",".join(map(str, TEXT.encode())))):
        found = document(*source, *SHORT)
        assert found["text"] == report["text"]
        assert [layer["block"] for layer in found["layers"]] == [layer["block"] for layer in report["layers"]]


def test_depth_cycles_the_layers():
    found = document("--text", TEXT, "--depth", "9", "--layer", "0", *SHORT)
    assert len(found["text"]["consensus"]["full"]["leading_share"]) == 10
    assert [layer["index"] for layer in found["layers"]] == [0]


@pytest.mark.parametrize("name", ["mamba", "falcon_mamba", "mamba2"])
def test_every_architecture_with_a_forward_pass(name):
    found = document(FIXTURES / name, "--token-ids", "1,2,3,4,5", "--max-steps", "64")
    assert found["text"]["pieces"] is None
    for layer in found["layers"]:
        assert layer["tokens"]["count"] == 5
        assert len(layer["block"]["radial_rates"]) == 5
        assert layer["block"]["sign_is_convention"] is (name != "mamba2")
        assert (layer["tokens"]["why_no_scenarios"] is None) is (name != "mamba2")


def test_the_first_tokens_do_what_they_do_without_the_later_ones():
    """By causality, and so `--integrate` changes nothing about the tokens it keeps."""
    rng = np.random.default_rng(0)
    layer = S6Layer.from_matrices(
        S_B=rng.normal(size=(2, 3)), S_C=rng.normal(size=(2, 3)), S_Delta=0.3 * rng.normal(size=(3, 3)), a=1.0
    )
    x = rng.normal(size=(4, 3))
    few, alone = tokens_verdict(layer, x, integrate=2), tokens_verdict(layer, x[:2])
    assert few.integrated == 2
    assert few.count == 4
    assert few.fates == alone.fates
    np.testing.assert_array_equal(few.verdicts[0].trajectory.log_norms, alone.verdicts[0].trajectory.log_norms)


# Verdicts survive halved tolerances, or are undecided.


def blowing_up():
    layer = S6Layer.from_matrices(S_B=np.eye(2), S_C=np.eye(2), S_Delta=np.zeros((2, 2)), a=1.0)
    return tokens_verdict(layer, np.array([[1.0, 0.5], [0.2, -0.3]]))


def test_a_verdict_that_survives():
    found = blowing_up()
    assert found.runs[0].check is not None
    assert found.scenario is Scenario.FAST_DIVERGENCE
    assert TokenFate.UNDECIDED not in found.fates
    assert found.prefixes == (None,)


def test_what_halved_tolerances_do_not_repeat_is_undecided():
    found = blowing_up()
    (pair,) = found.runs
    check = pair.check

    def with_check(other):
        return replace(found, runs=(replace(pair, check=other),))

    earlier = replace(check.trajectory.blow_up, time=0.9 * check.trajectory.blow_up.time)
    other_time = replace(check, trajectory=replace(check.trajectory, blow_up=earlier))
    assert with_check(other_time).scenario is Scenario.UNDECIDED
    assert with_check(replace(check, simulated=Scenario.CONVERGENT)).scenario is Scenario.UNDECIDED
    second = replace(check.tokens[1], fate=TokenFate.CONVERGENT)
    other_fate = with_check(replace(check, tokens=(check.tokens[0], second)))
    assert other_fate.fates == [found.fates[0], TokenFate.UNDECIDED]


def test_halved_means_half():
    (pair,) = blowing_up().runs
    one, other = pair.verdict.trajectory, pair.check.trajectory
    assert one.outcome is other.outcome is Outcome.BLEW_UP
    assert other.steps > one.steps


# A prefix can be decided where the whole is not.


@pytest.mark.long
def test_the_longest_decided_prefix_speaks_for_its_own_tokens():
    """Token 1 of the sample's last layer comes to rest; with so small a budget the whole text decides nothing."""
    checkpoint = open_checkpoint(sample_path())
    (*_, visit) = walk(checkpoint, list(TEXT.encode()))
    layer, x = checkpoint.layer(visit.index), np.asarray(visit.stages.x, float)[:3]
    found = tokens_verdict(layer, x, max_steps=256)
    alone = tokens_verdict(layer, x[:1], max_steps=256)
    assert alone.scenario is not Scenario.UNDECIDED
    assert found.scenario is Scenario.UNDECIDED
    (prefix,) = found.prefixes
    assert prefix.count >= 1
    assert prefix.scenario is not Scenario.UNDECIDED
    assert found.fates[: prefix.count] == list(prefix.fates)
    assert found.fates[0] is alone.fates[0]
    assert set(found.fates[prefix.count :]) == {TokenFate.UNDECIDED}
    zeroed = prefix.verdict.trajectory.log_norms[-1, 0]
    assert zeroed == pytest.approx(alone.verdicts[0].trajectory.log_norms[-1, 0], abs=1e-5)


def test_a_prefix_that_blows_up_settles_the_scenario_but_not_the_fates():
    found = blowing_up()
    (pair,) = found.runs
    whole = replace(pair, verdict=replace(pair.verdict, simulated=Scenario.UNDECIDED), check=None)
    settled = replace(found, runs=(whole,), prefixes=(replace(pair, count=1),))
    assert settled.scenario is Scenario.FAST_DIVERGENCE
    assert settled.fates == [TokenFate.UNDECIDED] * 2


@pytest.mark.parametrize(
    ("said", "seen", "truth"),
    [
        (Scenario.DIVERGENT, Scenario.FAST_DIVERGENCE, Truth.HOLDS),
        (Scenario.CONVERGENT, Scenario.CONVERGENT, Truth.HOLDS),
        (Scenario.DIVERGENT, Scenario.EQUILIBRIUM, Truth.FAILS),
        (Scenario.MIXED, Scenario.CONVERGENT, Truth.UNDECIDED),
        (Scenario.CONVERGENT, Scenario.UNDECIDED, Truth.UNDECIDED),
    ],
)
def test_rule_certificate_and_tokens_are_compared(said, seen, truth):
    class Weights:
        spectral = certified = said

    class Tokens:
        scenario = seen

    slot = open_checkpoint(sample_path()).layers[0]
    assert levels_agree(LayerReport(slot, Weights(), Tokens())) == {"spectral": truth, "certified": truth}
    assert levels_agree(LayerReport(slot, Weights())) is None


# Text output and bad input.


def test_the_text_output_tells_what_matters():
    result = CliRunner().invoke(app, ["classify", "--text", TEXT, *SHORT], env={"COLUMNS": "100"})
    assert result.exit_code == 3
    for words in ("the model's own tokens", "grows", "leaves a block as it is", "leading share", "without gate"):
        assert words in " ".join(result.stdout.split())
    result = CliRunner().invoke(app, ["classify", "--text", TEXT, "--layer", "1", *SHORT], env={"COLUMNS": "100"})
    assert "radial" in result.stdout
    assert "by causality" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--text", ""), 1, "empty"),
        (("--token-ids", "1,300"), 1, "0..255"),
        (("--token-ids", "1,x"), 2, "whole numbers"),
        (("--token-ids", "99999999999999999999"), 1, "64-bit"),
        (("--text", "a", "--random-tokens", "2"), 2, "one of"),
        (("--depth", "3"), 2, "--depth"),
        (("--text-file", "no such file"), 1, "no file at 'no such file'"),
        ((FIXTURES / "jamba", "--text", "a"), 1, "--tokens"),
        ((FIXTURES / "mamba", "--text", "a"), 1, "tokenizer.json"),
    ],
)
def test_bad_input_is_one_line(arguments, code, words):
    result = CliRunner().invoke(app, ["classify", *map(str, arguments)])
    assert result.exit_code == code
    assert words in result.stderr
    if code == 1:
        assert len(result.stderr.strip().splitlines()) == 1


def test_a_text_file_that_is_not_utf8(tmp_path):
    (tmp_path / "text").write_bytes(b"\xff\xfe\x00")
    result = CliRunner().invoke(app, ["classify", "--text-file", str(tmp_path / "text")])
    assert result.exit_code == 1
    assert "UTF-8" in result.stderr


def test_several_kinds_of_tokens_are_refused():
    with pytest.raises(LayerShapeError, match="one kind"):
        classify_checkpoint(sample_path(), text="a", random_tokens=1)


# A tokenizer of the checkpoint's own.


@pytest.fixture
def with_tokenizer(tmp_path):
    """The tiny Mamba with a tokenizer of whole words."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((FIXTURES / "mamba" / name).read_bytes())
    vocabulary = {word: i for i, word in enumerate(["[UNK]", "the", "cat", "sat", "on", "mat"])}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None}
    tokenizer |= {"pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None, "model": model}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    return tmp_path


def test_the_checkpoint_s_own_tokenizer_is_used(with_tokenizer):
    pytest.importorskip("tokenizers", reason="the extra text is not installed")
    found = document(with_tokenizer, "--text", "the cat sat on the mat", *SHORT)
    assert found["text"]["ids"] == [1, 2, 3, 4, 1, 5]
    assert found["text"]["pieces"] == ["the", "cat", "sat", "on", "the", "mat"]


def test_a_broken_tokenizer_is_one_line(with_tokenizer):
    pytest.importorskip("tokenizers", reason="the extra text is not installed")
    (with_tokenizer / "tokenizer.json").write_text("{}")
    result = CliRunner().invoke(app, ["classify", str(with_tokenizer), "--text", "the cat"])
    assert result.exit_code == 1
    assert "does not load" in result.stderr


def test_without_the_extra_the_message_says_what_to_install(with_tokenizer, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    result = CliRunner().invoke(app, ["classify", str(with_tokenizer), "--text", "the cat"])
    assert result.exit_code == 1
    assert "mamba-dynamics[text]" in result.stderr


def test_a_tokenizer_may_not_lie_elsewhere(with_tokenizer, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "tokenizer.json"
    (with_tokenizer / "tokenizer.json").rename(elsewhere)
    (with_tokenizer / "tokenizer.json").symlink_to(elsewhere)
    result = CliRunner().invoke(app, ["classify", str(with_tokenizer), "--text", "the cat"])
    assert result.exit_code == 1
    assert "link out of" in result.stderr


def test_progress_in_a_log_begins_again_with_every_part(monkeypatch, capsys):
    """Consensus comes after minutes of integrating: its first call has nothing done, so no time left to tell."""
    from mamba_dynamics.cli import progress

    monkeypatch.setattr(progress, "BETWEEN_LINES", 0.0)
    with progress.progress_on_stderr("layers") as show:
        show(0, 4, "first")
        show(2, 4, "third")
        show(4, 4, "")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("2 of 4 layers")
