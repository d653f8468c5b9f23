"""Studies: arms with the same seeds, runs that blow up, comparisons and verdicts, and every spec at a small size."""

import contextlib
import dataclasses
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from cheap_compilation import compile_for_nothing
from click.testing import CliRunner

from mamba_dynamics import MambaDynamicsError
from mamba_dynamics.cli import app
from mamba_dynamics.training import study as study_module
from mamba_dynamics.training.experiment import build_model, build_task, experiment_names, read_experiment
from mamba_dynamics.training.models import parameters
from mamba_dynamics.training.study import Contrast, Study, arm_summaries, effects, is_study, read_study, run_study

SPEC = """
title = "Two signs, and one that blows up"
question = "?"
claim = "negative is worse"
seeds = 2

[task]
name = "induction-heads"
length = 6
kinds = 4
batch = 4

[model]
form = "s6"
width = 6
states = 2
layers = 1
repeats = 3
embedding_scale = 0.3
depth_step = 0.1

[recipe]
steps = 4
warmup = 1
evaluate_every = 2
save_every = 2

[arms.negative]
"model.sign" = "negative"

[arms.positive]
"model.sign" = "positive"

[arms.large]
"model.sign" = "positive"
"model.embedding_scale" = 50.0

[[contrasts]]
arm = "negative"
against = "positive"
expects = "worse"

[[contrasts]]
arm = "large"
against = "positive"
"""

STUDIES = [name for name in experiment_names() if is_study(name)]


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "signs.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def trained(spec, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, run_study(read_study(spec), data=None, out=out, jobs=2)


def test_every_run_is_there_in_order(trained):
    _, document = trained
    assert [(run["arm"], run["seed"]) for run in document["runs"]] == [
        (arm, seed) for seed in (0, 1) for arm in ("negative", "positive", "large")
    ]
    run = document["runs"][0]
    assert run["status"] == "finished"
    assert run["step"] == 4
    assert run["bits"] == pytest.approx(run["records"][-1]["bits"], rel=1e-5)
    assert [len(record["layers"]) for record in run["records"]] == [3, 3]


def test_tokens_too_large_for_the_layer_blow_up_and_the_run_says_so(trained):
    _, document = trained
    lost = [run for run in document["runs"] if run["arm"] == "large"]
    assert all(run["status"] == "diverged" for run in lost)
    assert all(re.match(r"expected a finite loss, found nan at step 1", run["message"]) for run in lost)
    of_signs, of_lost = document["effects"]
    assert (of_signs["pairs"], of_signs["diverged"]) == (2, 0)
    assert (of_lost["pairs"], of_lost["diverged"]) == (0, 2)
    assert arm_summaries(document)[2]["diverged"] == 2


def test_a_finished_study_is_not_trained_again_and_says_the_same(spec, trained):
    out, document = trained
    written = (out / "results.json").read_bytes()
    states = {path: path.stat().st_mtime_ns for path in out.rglob("state.eqx")}
    assert len(states) == 4
    result = CliRunner().invoke(app, ["train", str(spec), "--out", str(out), "--plot", str(out / "a.svg")])
    assert result.exit_code == 0, result.output
    assert "negative" in result.stdout
    assert (out / "results.json").read_bytes() == written
    assert {path: path.stat().st_mtime_ns for path in out.rglob("state.eqx")} == states
    assert (out / "a.svg").read_text().startswith("<?xml")
    assert json.loads(written)["runs"][1]["bits"] == document["runs"][1]["bits"]


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found in /proc")
def test_workers_end_with_a_parent_that_is_killed(spec, tmp_path):
    line = [sys.executable, "-m", "mamba_dynamics", "train", str(spec), "--out", str(tmp_path), "--jobs", "2"]
    endless = ["--set", "recipe.steps=10000000", "--set", "recipe.evaluate_every=1000000"]
    parent = subprocess.Popen([*line, *endless], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # The third child is multiprocessing's own resource tracker.
        wait_for(lambda: len(children(parent.pid)) >= 3 and len(list(tmp_path.rglob("run.json"))) == 2)
        workers = children(parent.pid)
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not any(alive(one) for one in workers))


def wait_for(happened):
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    """Whether the process runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_two_arms_of_a_seed_begin_with_the_same_embedding_and_batches(spec):
    study = read_study(spec)
    of_arms = [study.experiment(arm, 1) for arm in ("negative", "positive")]
    tasks = [build_task(one, None) for one in of_arms]
    models = [build_model(one, task).model.core for one, task in zip(of_arms, tasks, strict=True)]
    np.testing.assert_array_equal(models[0].embedding, models[1].embedding)
    np.testing.assert_array_equal(tasks[0].batch(3).tokens, tasks[1].batch(3).tokens)
    other = build_model(study.experiment("negative", 0), tasks[0]).model.core
    assert (np.asarray(other.embedding) != np.asarray(models[0].embedding)).any()


def study_of(expects, metric="bits"):
    return Study("s", "", {}, {"a": {}, "b": {}}, (Contrast("a", "b", expects),), seeds=4, metric=metric)


def runs_of(a, b, metric="bits"):
    return [
        {"arm": arm, "seed": seed, "status": "finished", metric: value}
        for arm, values in (("a", a), ("b", b))
        for seed, value in enumerate(values)
    ]


LOW, HIGH, NEAR = [1.0, 1.1, 1.2, 1.3], [2.0, 2.11, 2.19, 2.3], [1.1, 1.0, 1.3, 1.2]


@pytest.mark.parametrize(
    ("expects", "a", "b", "metric", "verdict"),
    [
        ("better", LOW, HIGH, "bits", "reproduced"),
        ("better", HIGH, LOW, "bits", "reversed"),
        ("worse", HIGH, LOW, "bits", "reproduced"),
        ("better", HIGH, LOW, "accuracy", "reproduced"),
        ("worse", HIGH, LOW, "accuracy", "reversed"),
        ("better", LOW, NEAR, "bits", "not reproduced at this scale"),
        ("equal", LOW, NEAR, "bits", "no difference, as expected"),
        ("equal", LOW, HIGH, "bits", "a difference where none was expected"),
        ("", LOW, HIGH, "bits", "better"),
        ("", LOW, HIGH, "accuracy", "worse"),
        ("", LOW, NEAR, "bits", "no difference seen"),
    ],
)
def test_verdicts_in_words(expects, a, b, metric, verdict):
    (effect,) = effects(study_of(expects, metric), runs_of(a, b, metric))
    assert effect["verdict"] == verdict
    assert effect["effect"] == pytest.approx(np.mean(a) - np.mean(b))


def test_many_comparisons_are_corrected():
    # One alone would be seen at 5 %; among ten it is not.
    values = [0.0, 0.4, 0.5, 0.9], [0.0, 0.0, 0.0, 0.0]
    one = Study("s", "", {}, {"a": {}, "b": {}}, (Contrast("a", "b"),), seeds=4)
    ten = Study("s", "", {}, {"a": {}, "b": {}}, (Contrast("a", "b"),) * 10, seeds=4)
    (alone,), among = effects(one, runs_of(*values)), effects(ten, runs_of(*values))
    assert among[0]["p_holm"] == pytest.approx(min(1, 10 * alone["p"]))


@pytest.mark.parametrize("name", STUDIES)
def test_a_spec_says_what_it_asks(name):
    study = read_study(name)
    assert study.title
    assert study.question.endswith("?")
    assert study.claim
    assert study.seeds >= 5
    assert study.contrasts


def small(name, shared):
    """Settings and data of a study at a size that says nothing, for a machine that has seconds."""
    changes = {
        "seeds": "1",
        "recipe.steps": "2",
        "recipe.warmup": "1",
        "recipe.evaluate_every": "2",
        "model.width": "8",
        "model.layers": "1",
        "model.states": "2",
    }
    study = read_study(name)
    if study.table["task"]["name"] == "selective-copying":
        changes |= {"task.length": "8", "task.symbols": "2"}
    if study.table["task"]["name"] == "bytes":
        changes |= {"task.batch": "32", "task.lengths": "[4]", "task.evaluation_bytes": "64"}
    folders = {"images": "mnist-10k", "bytes": "tiny-shakespeare" if "shakespeare" in name else "wikitext-2"}
    if study.table["task"]["name"] == "images":
        changes |= {"task.batch": "4", "task.training_images": "9990", "task.patch": "14"}
    data = folders.get(study.table["task"]["name"])
    return changes, None if data is None else shared / "data" / data


@pytest.mark.parametrize("name", STUDIES)
def test_every_arm_of_a_study_can_be_built(name, shared):
    changes, data = small(name, shared)
    study = read_study(name, changes)
    task = build_task(study.experiment(next(iter(study.arms)), 0), data)
    sizes = {arm: parameters(build_model(study.experiment(arm, 0), task)) for arm in study.arms}
    assert min(sizes.values()) > 0


@pytest.fixture(scope="module")
def worker():
    """One process for all studies, which share many programs: compiling is what they spend their time with."""
    with pytest.MonkeyPatch.context() as environment:
        compile_for_nothing(environment)
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=study_module._worker)
        # It starts with the first task, and in this environment.
        pool.submit(time.sleep, 0).result()
    with pool:
        yield pool


def every_value(study):
    """The first arms that together set every option of the study to every one of its values."""
    seen, arms = set(), {}
    for name, arm in study.arms.items():
        values = {(option, str(value)) for option, value in arm.items() if option != "model.tau"}
        if not arms or values - seen:
            arms[name], seen = arm, seen | values
    contrasts = tuple(one for one in study.contrasts if {one.arm, one.against} <= set(arms))
    return dataclasses.replace(study, arms=arms, contrasts=contrasts)


def test_few_arms_set_every_value():
    """As many as an option has values, not as there are pairs of them; a smaller tau is no other value."""
    study = read_study("e1-controls")
    chosen = every_value(study)
    assert len(study.arms) == 12
    assert 4 <= len(chosen.arms) < 12
    for option in ("model.skip", "model.sign", "model.gate"):
        assert {arm.get(option) for arm in chosen.arms.values()} == {arm.get(option) for arm in study.arms.values()}
    assert not any(arm.get("model.tau", 1.0) < 1 for arm in every_value(read_study("e2-copying")).arms.values())


@pytest.mark.parametrize("every_arm", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs_at_a_small_size(name, every_arm, worker, shared, tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "ProcessPoolExecutor", lambda *_, **__: contextlib.nullcontext(worker))
    changes, data = small(name, shared)
    study = read_study(name, changes)
    study = study if every_arm else every_value(study)
    assert len(study.arms) >= 4
    document = run_study(study, data=data, out=tmp_path)
    assert [run["arm"] for run in document["runs"]] == list(study.arms)
    assert all(run["status"] == "finished" for run in document["runs"])
    assert [effect["pairs"] for effect in document["effects"]] == [1] * len(study.contrasts)
    assert all(("dynamics" in run) == study.dynamics for run in document["runs"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            SPEC.replace('against = "positive"', 'against = "sideways"'),
            r"expected an arm, such as 'negative', 'positive', 'large', in contrasts, found 'sideways'",
        ),
        (SPEC.replace('expects = "worse"', 'expects = "bad"'), r"expected 'better' or .* found 'bad'"),
        (SPEC.replace("seeds = 2", "seeds = 0"), r"expected arms and 1 to 10000 seeds, found 3 and 0"),
        (SPEC.replace('"model.sign" = "negative"', '"model.sign" = "up"'), r"for model.sign, found 'up'"),
    ],
)
def test_a_wrong_spec_gets_one_line(text, line, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(MambaDynamicsError, match=line):
        read_study(path)


def test_a_study_is_no_experiment():
    with pytest.raises(MambaDynamicsError, match=r"^expected an experiment, found 'e1-wikitext', a study"):
        read_experiment("e1-wikitext")


def test_a_trained_stack_that_cannot_be_followed_is_a_run_that_diverged(spec, tmp_path, monkeypatch):
    from mamba_dynamics.training import dynamics

    def fail(*_):
        raise np.linalg.LinAlgError("Array must not contain\n infs or NaNs")

    monkeypatch.setattr(dynamics, "measured_dynamics", fail)
    run = study_module._one_run(read_study(spec, {"dynamics": "true"}), "negative", 0, None, tmp_path)
    assert run["status"] == "diverged"
    assert run["message"] == "expected a trained stack that can be followed, found Array must not contain infs or NaNs"
    assert [record["step"] for record in run["records"]] == [2, 4]
