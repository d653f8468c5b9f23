"""`classify --fail-on`: what stops a pipeline, what does not, and the documented ways to use it."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from mamba_dynamics import Scenario, Truth, classify_checkpoint
from mamba_dynamics.cli import app
from mamba_dynamics.cli.classify import end as classify_end
from mamba_dynamics.cli.gate import RULED_OUT, SHOWN_BY, Gate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how_to" / "gate_a_pipeline.md"


def run(*arguments):
    return CliRunner().invoke(app, ["classify", *map(str, arguments)])


def checkpoint(path, *signs, rank=4, D=4, S_Delta=0.0):
    """A file with one layer for each sign of sym(M), semidefinite of that rank; 0 makes one that is indefinite."""
    tensors, rng = {}, np.random.default_rng(0)
    for index, sign in enumerate(signs):
        C = rng.normal(size=(D, D)) + 2 * np.eye(D)
        C[rank:] = 0.0
        B = sign * C if sign else np.diag([1.0, -1.0] * (D // 2)) @ C
        weights = {
            "x_proj.weight": np.vstack([rng.normal(size=(1, D)), B, C]),
            "dt_proj.weight": S_Delta * np.ones((D, 1)),
            "dt_proj.bias": rng.normal(size=D),
            "A_log": rng.normal(size=(D, D)),
            "D": np.ones(D),
        }
        tensors |= {f"layers.{index}.mixer.{name}": value.astype(np.float32) for name, value in weights.items()}
    save_file(tensors, path)
    return path


@pytest.mark.parametrize(
    ("signs", "fail_on", "level", "code", "layers"),
    [
        ((-1, -1), "divergent", "certified", 0, []),
        ((-1, 1), "divergent", "certified", 4, [1]),
        ((-1, 1), "divergent,convergent", "certified", 4, [0, 1]),
        ((-1, 0), "divergent", "certified", 0, []),
        ((-1, 0), "divergent", "spectral", 4, [1]),
        ((-1, 0), "divergent, mixed", "certified", 4, [1]),
        ((1, 1), "mixed", "certified", 0, []),
    ],
)
def test_the_gate_asks_one_level(signs, fail_on, level, code, layers, tmp_path):
    result = run(
        checkpoint(tmp_path / "w.safetensors", *signs), "--fail-on", fail_on, "--fail-on-level", level, "--json"
    )
    assert result.exit_code == code, result.output
    gate = json.loads(result.stdout)["gate"]
    assert (gate["level"], gate["passed"], gate["layers"]) == (level, code == 0, layers)
    assert {part.strip() for part in fail_on.split(",")} <= set(gate["ruled_out"])
    assert ("--fail-on" in result.stderr) is (code == 4)


def test_the_certificate_is_asked_unless_told(tmp_path):
    """The eigenvalue rule calls this layer divergent, the certificate mixed."""
    path = checkpoint(tmp_path / "w.safetensors", 0)
    assert run(path, "--fail-on", "divergent").exit_code == 0
    result = run(path, "--fail-on", "divergent", "--fail-on", "mixed")
    assert result.exit_code == RULED_OUT
    assert result.stderr.count("\n") == 1
    assert "1 of 1 layer show" in result.stderr
    assert "at the level certified: layer 0" in result.stderr


def test_undecided_is_no_pass(tmp_path):
    """A zero eigenvalue leaves both levels without a word: neither passed nor caught, unless that is ruled out."""
    path = checkpoint(tmp_path / "w.safetensors", -1, rank=3)
    assert run(path, "--fail-on", "divergent").exit_code == 3
    assert run(path, "--fail-on", "undecided").exit_code == 4
    found = run(path, "--fail-on", "divergent", "--json")
    assert json.loads(found.stdout)["gate"]["passed"] is False


def test_what_other_levels_leave_open_does_not_stop_a_gate(tmp_path):
    """Without the gate the same run ends with code 3: its certificate is undecided, its rule is not."""
    path = checkpoint(tmp_path / "w.safetensors", -1, S_Delta=1.0)
    assert run(path).exit_code == 3
    assert run(path, "--fail-on", "divergent", "--fail-on-level", "spectral").exit_code == 0


def test_without_a_gate_nothing_changes(tmp_path):
    result = run(checkpoint(tmp_path / "w.safetensors", 1), "--json")
    assert result.exit_code == 0
    assert "gate" not in json.loads(result.stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fail-on", "explosive"), "'explosive'"),
        (("--fail-on", "fast_divergence"), "--fail-on-level tokens"),
        (("--fail-on", ""), "''"),
        (("--fail-on", "mixed", "--fail-on-level", "vibes"), "'vibes'"),
        (("--fail-on", "mixed", "--fail-on-level", "tokens"), "--random-tokens"),
        (("--fail-on", "mixed", "--fail-on-level", "tokens", "--text", "a", "--integrate", "0"), "--random-tokens"),
    ],
)
def test_a_gate_that_could_never_close_is_refused(arguments, said):
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in re.sub(r"[\s│]+", " ", result.stderr)


def tokens(scenario, *groups, agreement=Truth.HOLDS):
    return SimpleNamespace(scenario=scenario, simulated=groups or (scenario,), agreement=agreement, integrated=1)


@pytest.mark.parametrize(
    ("found", "fail_on", "code"),
    [
        (tokens(Scenario.SLOW_DIVERGENCE), "divergent", 4),
        (tokens(Scenario.FAST_DIVERGENCE), "divergent", 4),
        (tokens(Scenario.SLOW_DIVERGENCE), "fast_divergence", None),
        (tokens(Scenario.MIXED, Scenario.CONVERGENT, Scenario.FAST_DIVERGENCE), "fast_divergence", 4),
        (tokens(Scenario.EQUILIBRIUM), "divergent", None),
        (tokens(Scenario.UNDECIDED), "divergent", 3),
        (tokens(Scenario.UNDECIDED, Scenario.UNDECIDED, Scenario.FAST_DIVERGENCE), "fast_divergence", 4),
        (tokens(Scenario.CONVERGENT, agreement=Truth.FAILS), "divergent", 3),
        (None, "divergent", None),
    ],
)
def test_the_level_of_tokens(found, fail_on, code, tmp_path):
    """`divergent` stands for slow and fast; one group that shows a scenario is enough."""
    report = classify_checkpoint(checkpoint(tmp_path / "w.safetensors", -1))
    report = replace(report, layers=(replace(report.layers[0], tokens=found),))
    gate = Gate.of([fail_on], "tokens", integrates=True)
    if code is None:
        gate.end(report)
        return
    with pytest.raises(click.exceptions.Exit) as end:
        gate.end(report)
    assert end.value.exit_code == code


@pytest.mark.parametrize(("level", "code"), [("certified", RULED_OUT), ("spectral", None)])
def test_one_group_that_shows_a_scenario_is_enough(level, code, tmp_path):
    """Groups that differ make a layer mixed, which would hide the one that is ruled out."""
    report = classify_checkpoint(checkpoint(tmp_path / "w.safetensors", -1))
    weights = report.layers[0].weights
    groups = (weights.groups[0], replace(weights.groups[0], certified=Scenario.DIVERGENT))
    mixed = replace(weights, groups=groups, certified=Scenario.MIXED)
    gate = Gate.of(["divergent"], level, integrates=False)
    caught = gate.caught(replace(report, layers=(replace(report.layers[0], weights=mixed),)))
    assert len(caught) == (code == RULED_OUT)


def test_tokens_are_asked_by_the_command(tmp_path):
    path = checkpoint(tmp_path / "w.safetensors", 1, D=6, rank=6)
    arguments = ("--random-tokens", 2, "--fail-on", "divergent", "--fail-on-level", "tokens")
    assert run(path, *arguments).exit_code == RULED_OUT


def test_a_layer_that_cannot_be_read_passes_nothing(tmp_path):
    report = classify_checkpoint(checkpoint(tmp_path / "w.safetensors", -1, -1))
    broken = replace(report.layers[1], weights=None, error="layer 1: no A_log")
    report = replace(report, layers=(report.layers[0], broken))
    gate = Gate.of(["divergent"], "certified", integrates=False)
    assert gate.document(report)["passed"] is False
    with pytest.raises(click.exceptions.Exit) as end:
        classify_end(report, gate)
    assert end.value.exit_code == 1


def test_every_level_can_show_what_it_shows():
    assert set(SHOWN_BY) == {"spectral", "certified", "tokens"}
    assert SHOWN_BY["tokens"] == set(Scenario)


def shell(command, folder, *arguments):
    """A documented command, run by bash where `mamba-dynamics` is this package's."""
    binary = folder / "bin"
    binary.mkdir(exist_ok=True)
    (binary / "mamba-dynamics").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mamba_dynamics "$@"\n')
    (binary / "mamba-dynamics").chmod(0o755)
    environment = os.environ | {"PATH": f"{binary}:{os.environ['PATH']}", "PYTHONPATH": str(PAGE.parents[2])}
    return subprocess.run(["bash", "-c", command, "bash", *arguments], cwd=folder, env=environment, capture_output=True)


def test_the_documented_hook_stops_a_commit(tmp_path):
    (entry,) = re.findall(r"entry: bash -c '(.+)' --", PAGE.read_text("utf-8"))
    good = checkpoint(tmp_path / "good.safetensors", -1)
    bad = checkpoint(tmp_path / "bad.safetensors", 1)
    assert shell(entry, tmp_path, str(good)).returncode == 0
    for files in ((str(bad), str(good)), (str(good), str(bad))):
        assert shell(entry, tmp_path, *files).returncode == RULED_OUT


def test_the_documented_workflow_stops_a_job(tmp_path):
    steps = re.findall(r"^ +run: \|\n((?: {10}.+\n)+)", PAGE.read_text("utf-8"), re.MULTILINE)
    (script,) = [step for step in steps if "--fail-on" in step]
    (tmp_path / "out").mkdir()
    checkpoint(tmp_path / "out" / "model.safetensors", -1)
    assert shell("set -e\n" + script, tmp_path).returncode == 0
    assert (tmp_path / "report.html").is_file()
    checkpoint(tmp_path / "out" / "model.safetensors", 1)
    assert shell("set -e\n" + script, tmp_path).returncode == RULED_OUT
