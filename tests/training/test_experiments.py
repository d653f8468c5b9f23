"""Experiments as a user runs them: specs, models with the refinements, and a run that is killed and goes on."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import equinox as eqx
import jax
import numpy as np
import pytest
from cheap_compilation import compile_for_nothing
from click.testing import CliRunner

from mamba_dynamics import MambaDynamicsError
from mamba_dynamics.cli import app
from mamba_dynamics.training.experiment import (
    Experiment,
    ModelSpec,
    TaskSpec,
    build_model,
    build_task,
    cost_of,
    experiment_names,
    read_experiment,
    run,
)
from mamba_dynamics.training.models import Sizes, Trainable, new_language_model, parameters
from mamba_dynamics.training.recipe import Recipe
from mamba_dynamics.training.study import is_study

SMALL = {
    "task.length": "12",
    "task.kinds": "4",
    "task.batch": "4",
    "model.width": "8",
    "model.layers": "1",
    "model.states": "4",
    "recipe.steps": "12",
    "recipe.warmup": "2",
    "recipe.evaluate_every": "3",
    "recipe.save_every": "3",
}


def small(**changes):
    return read_experiment("induction-heads", SMALL | {key.replace("__", "."): value for key, value in changes.items()})


def command(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def settings(**changes):
    return [part for key, value in (SMALL | changes).items() for part in ("--set", f"{key}={value}")]


@pytest.mark.parametrize("name", [name for name in experiment_names() if not is_study(name)])
def test_every_spec_is_whole(name):
    spec = read_experiment(name)
    assert spec.title
    assert spec.name == name


def test_a_new_model_is_initialised_as_the_reference_does():
    sizes = Sizes(vocabulary=11, width=64, layers=3)
    model = new_language_model(sizes, jax.random.key(0))
    selection = model.blocks[0].mixer.selection
    np.testing.assert_allclose(selection.a, np.tile(np.arange(1.0, 17), (128, 1)), rtol=1e-6)
    np.testing.assert_array_equal(selection.D_skip, 1)
    steps = np.logaddexp(0, np.asarray(selection.dt_bias, float))
    assert 1e-3 * 0.999 < steps.min() < 2e-3 < 5e-2 < steps.max() < 0.1 * 1.001
    # uniform(-b, b) has variance b^2 / 3; 128 x 64 entries know theirs to 3 %.
    np.testing.assert_allclose(np.var(model.blocks[0].mixer.in_x.weight), 1 / 64 / 3, rtol=0.05)
    np.testing.assert_allclose(np.var(selection.S_B), 1 / 128 / 3, rtol=0.1)
    assert model.embedding.shape == (11, 64)


def test_a_new_model_s_parameters_are_counted():
    E, d, N, R, V = 16, 8, 4, 1, 5
    block = 2 * E * d + E * 4 + E + (R + 2 * N) * E + E * R + E + E * N + E + d * E + d
    model = new_language_model(Sizes(V, d, 2, N), jax.random.key(0))
    assert parameters(model) == parameters(Trainable.of(model)) == 2 * block + V * d + d


def test_rates_are_trained_by_their_logarithms():
    model = new_language_model(Sizes(5, 8, 2, 4), jax.random.key(0))
    trainable = Trainable.of(model)
    for one, other in zip(jax.tree.leaves(trainable.model), jax.tree.leaves(model), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    moved = eqx.tree_at(lambda one: one.A_log[1], trainable, trainable.A_log[1] + 1)
    np.testing.assert_allclose(
        moved.model.blocks[1].mixer.selection.a, np.e * np.asarray(model.blocks[1].mixer.selection.a), rtol=1e-6
    )


@pytest.mark.parametrize(
    "sign", [*(pytest.param(one, marks=pytest.mark.long) for one in ("positive", "negative")), "mixed"]
)
def test_a_definite_model_stays_definite_while_it_trains(sign, tmp_path):
    spec = small(model__sign=sign)
    trained = run(spec, data=None, out=tmp_path)
    certificate = trained.model.model.blocks[0].mixer.selection.definite.certificate()
    positive = {"positive": 4, "negative": 0, "mixed": 2}[sign]
    assert (certificate.inertia.positive, certificate.inertia.negative) == (positive, 4 - positive)


def skips(model):
    return np.asarray(model.rest.blocks[0].mixer.selection.D_skip)


@pytest.mark.parametrize(
    ("skip", "at_start", "moves"), [("learned", 1, True), ("negative", -1, True), ("frozen", 1, False)]
)
def test_controls_of_the_skip(skip, at_start, moves, tmp_path):
    spec = small(model__skip=skip)
    before = build_model(spec, build_task(spec, None))
    np.testing.assert_array_equal(skips(before), at_start)
    after = run(spec, data=None, out=tmp_path).model
    assert (skips(after) != skips(before)).any() == moves


@pytest.mark.parametrize("changes", [{"model.skip": "none"}, {"model.gate": "false"}])
def test_parts_are_left_out(changes, tmp_path):
    spec = read_experiment("induction-heads", SMALL | changes)
    (block,) = build_model(spec, build_task(spec, None)).model.blocks
    assert block.mixer.without == {"skip" if "model.skip" in changes else "gate"}


@pytest.mark.parametrize("order", ["x", pytest.param("x_and_gate", marks=pytest.mark.long), "restored"])
def test_a_reordered_model_trains_its_importance(order, tmp_path):
    spec = small(model__order=order)
    before = build_model(spec, build_task(spec, None))
    after = run(spec, data=None, out=tmp_path).model
    first, last = (one.rest.blocks[0].mixer.reordering for one in (before, after))
    assert last.mode == order
    assert (np.asarray(first.K) != np.asarray(last.K)).any()


def test_images_are_classified(shared, tmp_path):
    changes = {
        "task.name": "images",
        "task.patch": "14",
        "task.training_images": "9000",
        "task.batch": "50",
        "recipe.learning_rate": "0.01",
    }
    spec = read_experiment("induction-heads", SMALL | changes)
    trained = run(spec, data=shared / "data" / "mnist-10k", out=tmp_path)
    # Twelve steps from chance, 0.1.
    assert trained.records[-1]["accuracy"] > 0.2


def test_a_number_beyond_float64_is_refused():
    with pytest.raises(MambaDynamicsError, match=r"for recipe.learning_rate, found 1000"):
        read_experiment("induction-heads", {"recipe.learning_rate": "1" + "0" * 400})


def test_text_is_modelled(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abab" * 400)
    changes = {"task.name": "bytes", "task.batch": "64", "task.lengths": "[8, 16]", "recipe.learning_rate": "0.03"}
    spec = read_experiment("induction-heads", SMALL | changes)
    trained = run(spec, data=tmp_path / "a.txt", out=tmp_path / "run")
    assert trained.records[-1]["bits"] < 6 < 8


def test_the_command_trains_and_reports(tmp_path):
    result = command("induction-heads", "--out", tmp_path, *settings(), "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [record["step"] for record in document["records"]] == [3, 6, 9, 12]
    assert document["experiment"]["recipe"]["steps"] == 12
    assert "step 12" in command("induction-heads", "--out", tmp_path, *settings()).stdout


def test_a_killed_run_goes_on_with_the_same_losses(tmp_path, monkeypatch):
    compile_for_nothing(monkeypatch)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # What is promised of processors only.
    arguments = [
        sys.executable,
        "-m",
        "mamba_dynamics",
        "train",
        "induction-heads",
        *settings(**{"recipe.steps": "60"}),
    ]

    def start(out):
        return subprocess.Popen([*arguments, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start(tmp_path / "whole").wait() == 0
    whole = (tmp_path / "whole" / "log.jsonl").read_bytes()
    killed, log = start(tmp_path / "killed"), tmp_path / "killed" / "log.jsonl"
    deadline = time.monotonic() + 120
    # At a moment that no checkpoint decides: some time after the first records.
    while not (log.exists() and len(log.read_bytes().splitlines()) >= 3):
        assert time.monotonic() < deadline
        assert killed.poll() is None, "the run ended before it could be killed"
        time.sleep(0.001)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    before = log.read_bytes()
    assert len(before) < len(whole)
    assert start(tmp_path / "killed").wait() == 0
    assert log.read_bytes() == whole


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model.nothing": "1"}, r"^expected one of width, .* in model, found 'nothing'"),
        ({"model.sign": "up"}, r"^expected 'standard' or .* for model.sign, found 'up'"),
        ({"recipe.steps": "many"}, r"^expected .*int.* for recipe.steps, found 'many'"),
        ({"task.lengths": '["a"]'}, r"^expected .* for task.lengths, found"),
        ({"task.name": "bytes"}, r"^expected --data, found none"),
        ({"model.width": "0"}, r"^expected width of at least 1, found 0"),
    ],
)
def test_wrong_values_get_one_line(changes, line, tmp_path):
    with pytest.raises(MambaDynamicsError, match=line):
        run(read_experiment("induction-heads", SMALL | changes), data=None, out=tmp_path)


def test_wrong_files_and_usage_get_one_line(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("[task\n")
    for name, words in (("nothing", "choose from"), (broken, "expected TOML"), (tmp_path / "no.toml", "choose from")):
        result = command(name, "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert words in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert command("induction-heads").exit_code == 2
    assert command("induction-heads", "--out", tmp_path, "--set", "steps").exit_code == 2
    assert "induction-heads" in command("--list").stdout


NASTY = ["0", "-1", "1e308", "-1e308", "5e-324", "inf", "-inf", "nan", "9" * 30, "-" + "9" * 400, "true", "0.5", "1e39"]
NASTY += ["2147483648", "4294967296", "10000000", "[]", "[1]", "[0, inf]", '"x"', "{}", "1979-05-27"]


@pytest.mark.parametrize(
    ("kind", "part"), [(TaskSpec, "task"), (ModelSpec, "model"), (Recipe, "recipe"), (Experiment, "")], ids=str
)
def test_any_number_in_any_field_makes_a_model_or_gets_one_line(kind, part):
    for field in dataclasses.fields(kind):
        for value in NASTY:
            key = f"{part}.{field.name}".strip(".")
            try:
                experiment = read_experiment("induction-heads", SMALL | {key: value})
                if max(experiment.model.width, experiment.model.states, experiment.task.length) < 1000:
                    build_model(experiment, build_task(experiment, None))
            except MambaDynamicsError as error:
                line = str(error)
                assert line.isprintable(), (key, value)
                assert len(line) < 400, (key, value)


#: Each is asked for by one line of a spec; the numbers are the closed forms of `Cost`.
BEYOND = {
    "layers": ({"model.layers": "1001"}, "at most 1000 layers, found 1001"),
    "weights": ({"model.width": "10000", "model.layers": "10"}, "bytes for weights and what trains them, found"),
    "states": ({"model.states": "10000000"}, "bytes for weights and what trains them, found"),
    "batch": ({"task.batch": "10000000"}, "bytes for a batch in the model, found"),
    "length": ({"task.length": "10000000"}, "bytes for a batch in the model, found"),
    "kinds": ({"task.kinds": "10000000", "task.batch": "64"}, "bytes for a batch in the model, found"),
    "depth": ({"model.repeats": "10000000"}, "bytes for a batch in the model, found"),
    "log": ({"recipe.steps": "1000000000", "recipe.evaluate_every": "1"}, "bytes for the log, found 900000000000"),
}

SCRIPT = """
import resource, sys
from mamba_dynamics._errors import TrainingError
from mamba_dynamics.training.experiment import read_experiment
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_experiment("induction-heads", dict(one.split("=") for one in sys.argv[1:]))
except TrainingError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


@pytest.mark.parametrize("name", BEYOND)
def test_what_no_machine_holds_is_told_with_the_number(name):
    changes, says = BEYOND[name]
    with pytest.raises(MambaDynamicsError) as error:
        read_experiment("induction-heads", SMALL | changes)
    assert says in str(error.value)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_a_spec_of_a_few_lines_takes_no_memory():
    changes = [f"{key}={value}" for key, value in (SMALL | BEYOND["weights"][0]).items()]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *changes], capture_output=True, text=True, check=True)
    kilobytes, said = done.stdout.split(" ", 1)
    assert int(kilobytes) < 64_000
    assert "bytes for weights" in said


@pytest.mark.parametrize("name", [name for name in experiment_names() if not is_study(name)])
def test_the_weights_of_a_run_are_no_more_than_its_cost_says(name):
    experiment = dataclasses.replace(read_experiment(name), task=dataclasses.replace(small().task, kinds=4))
    model = build_model(experiment, build_task(experiment, None))
    assert parameters(model) <= cost_of(experiment).weights <= 3 * parameters(model)


def test_a_log_that_a_stranger_wrote_gets_one_line(tmp_path):
    assert command("induction-heads", "--out", tmp_path, *settings()).exit_code == 0
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 12, "bits": "x", "accuracy": null}\n')
    found = command("induction-heads", "--out", tmp_path, *settings())
    assert found.exit_code == 1
    assert "expected step, bits and accuracy in each record" in found.stderr
    assert found.stderr.count("\n") == 1
