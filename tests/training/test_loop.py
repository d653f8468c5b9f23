"""The loop: it learns, it goes on bit for bit after a stop at any step, and it stops on what is no number."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamba_dynamics import MambaDynamicsError
from mamba_dynamics._errors import TrainingDiverged, TrainingError
from mamba_dynamics._files import write_whole
from mamba_dynamics.training import loop
from mamba_dynamics.training.loop import train
from mamba_dynamics.training.recipe import Recipe, optimiser
from mamba_dynamics.training.run_folder import LOG, STATE, RunFolder
from mamba_dynamics.training.text import NextByte

#: Every byte is followed by its successor: a table of pairs learns it.
TEXT = np.tile(np.arange(16, dtype=np.uint8), 40)
TASK = NextByte(TEXT, TEXT[:129], lengths=(8, 16), batch_bytes=64, seed=0)
RECIPE = Recipe(steps=40, learning_rate=0.3, warmup=4, decay=0.0, evaluate_every=5, save_every=10)


class Pairs(eqx.Module):
    """Logits of the next byte from the present one."""

    table: jax.Array

    def __call__(self, tokens):
        return self.table[tokens]


def pairs():
    return Pairs(jnp.zeros((256, 256)))


class Stopped(Exception):
    pass


def stop_after(last):
    def progress(step, *_):
        if step == last:
            raise Stopped

    return progress


def test_it_learns_and_says_so(tmp_path):
    found = train(TASK, pairs(), RECIPE, tmp_path)
    assert [record["step"] for record in found.records] == list(range(5, 41, 5))
    assert found.records[-1]["accuracy"] == 1.0
    assert found.records[-1]["bits"] < 0.1 < 4 < 8.1
    assert not found.stopped_early


def test_the_first_loss_is_that_of_a_uniform_guess(tmp_path):
    seen = []
    train(TASK, pairs(), RECIPE, tmp_path, progress=lambda step, steps, bits, rate: seen.append((step, bits)))
    assert [step for step, _ in seen] == list(range(1, 41))
    assert seen[0][1] == pytest.approx(8.0, abs=1e-6)


@pytest.mark.parametrize("last", [1, 5, 10, 13, 29, 40])
def test_a_stopped_run_goes_on_bit_for_bit(last, tmp_path):
    whole = train(TASK, pairs(), RECIPE, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(TASK, pairs(), RECIPE, tmp_path / "stopped", progress=stop_after(last))
    steps = []
    resumed = train(TASK, pairs(), RECIPE, tmp_path / "stopped", progress=lambda step, *_: steps.append(step))
    assert steps[0] == max(1, (last - 1) // 10 * 10 + 1)
    assert resumed.records == whole.records
    for name in (LOG, STATE, "best.eqx"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    np.testing.assert_array_equal(resumed.model.table, whole.model.table)


def test_a_finished_run_is_not_run_again(tmp_path):
    first = train(TASK, pairs(), RECIPE, tmp_path)
    again = train(TASK, pairs(), RECIPE, tmp_path, progress=stop_after(1))
    assert again.records == first.records


def test_the_caller_s_model_stays_whole(tmp_path):
    model = pairs()
    train(TASK, model, RECIPE, tmp_path)
    np.testing.assert_array_equal(model.table, 0.0)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(tmp_path):
    def apply(model, batch):
        # The tenth step reads a window of this length for the first time after a checkpoint.
        return jax.vmap(model)(batch.tokens) * jnp.where(jnp.max(model.table) > 0.5, jnp.nan, 1.0)

    recipe = Recipe(steps=40, learning_rate=0.1, warmup=4, evaluate_every=5, save_every=2)
    with pytest.raises(TrainingDiverged, match=r"^expected a finite loss, found nan at step") as caught:
        train(TASK, pairs(), recipe, tmp_path, apply=apply)
    assert "\n" not in str(caught.value)
    rule = optimiser(recipe)
    assert rule is not None
    kept = int((tmp_path / STATE).read_bytes().split(b"\n")[0])
    assert 2 <= kept < 40
    for line in (tmp_path / LOG).read_text().splitlines():
        assert np.isfinite(json.loads(line)["bits"])


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    recipe = Recipe(steps=40, learning_rate=1e-12, warmup=0, decay=0.0, evaluate_every=2, save_every=2, patience=3)
    found = train(TASK, pairs(), recipe, tmp_path, apply=lambda model, batch: jax.vmap(model)(batch.tokens) * 0)
    assert found.stopped_early
    assert found.records[-1]["step"] == 8


def test_what_a_probe_sees_is_recorded(tmp_path):
    found = train(TASK, pairs(), RECIPE, tmp_path, probe=lambda model: {"largest": float(model.table.max())})
    largest = [record["largest"] for record in found.records]
    assert largest == sorted(largest)
    assert largest[0] > 0


def test_another_run_s_folder_is_not_touched(tmp_path):
    train(TASK, pairs(), RECIPE, tmp_path, description={"seed": 0})
    before = (tmp_path / LOG).read_bytes()
    with pytest.raises(TrainingError, match="another seed"):
        train(TASK, pairs(), RECIPE, tmp_path, description={"seed": 1})
    assert (tmp_path / LOG).read_bytes() == before


def test_a_line_cut_short_by_a_kill_is_dropped(tmp_path):
    folder = RunFolder(tmp_path, {})
    folder.log({"step": 1})
    with (tmp_path / LOG).open("ab") as log:
        log.write(b'{"step": 2, "bi')
    assert folder.records() == [{"step": 1}]


def test_a_damaged_checkpoint_gets_one_line(tmp_path):
    train(TASK, pairs(), RECIPE, tmp_path)
    (tmp_path / STATE).write_bytes(b"40\nnonsense")
    with pytest.raises(TrainingError, match="expected a checkpoint of this run, found"):
        train(TASK, pairs(), RECIPE, tmp_path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    write_whole(tmp_path / "file", lambda out: out.write(b"old"))

    def fail(out):
        out.write(b"ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "file", fail)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_only_matrices_decay_and_rates_do_not():
    class Weights(eqx.Module):
        matrix: jax.Array
        bias: jax.Array
        A_log: jax.Array

    weights = Weights(jnp.ones((2, 2)), jnp.ones(2), jnp.ones((2, 2)))
    rule = optimiser(Recipe(steps=10, learning_rate=0.1, warmup=0, decay=0.5))
    zero = jax.tree.map(jnp.zeros_like, weights)
    change, _ = rule.update(zero, rule.init(weights), weights)
    after = optax.apply_updates(weights, change)
    np.testing.assert_allclose(after.matrix, 1 - 0.1 * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(after.bias, 1)
    np.testing.assert_array_equal(after.A_log, 1)


@pytest.mark.parametrize(
    "changes", [{"steps": 0}, {"learning_rate": 0.0}, {"clip": -1.0}, {"warmup": 40}, {"save_every": 0}]
)
def test_impossible_recipes_get_one_line(changes):
    with pytest.raises(MambaDynamicsError, match=r"^expected .*found"):
        Recipe(**({"steps": 40} | changes))


def poisoned_after(step, part, monkeypatch):
    """From the update of a step on, the part's first array holds infinite numbers."""
    update, done = loop._update, []

    def poisoned(fixed, model, optimiser_state):
        state = dict(zip(("model", "optimiser", "loss"), update(fixed, model, optimiser_state), strict=True))
        done.append(step)
        if len(done) == step:
            state[part] = jax.tree.map(lambda leaf: leaf * jnp.inf if eqx.is_inexact_array(leaf) else leaf, state[part])
        return tuple(state.values())

    monkeypatch.setattr(loop, "_update", poisoned)


def failing_probe(step):
    calls = []

    def probe(_):
        calls.append(step)
        if len(calls) == step:
            raise np.linalg.LinAlgError("Array must not contain\n infs or NaNs")
        return {}

    return probe


class Unmeasurable(NextByte):
    """A task whose held-out loss is no number, though that of its batches is."""

    def held_out(self):
        for batch in super().held_out():
            yield batch._replace(weights=np.full_like(batch.weights, np.inf))


SAVED = Recipe(steps=12, learning_rate=0.3, warmup=0, decay=0.0, evaluate_every=2, save_every=3)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("model", "expected finite weights, found some that are not at step 9"),
        ("optimiser", "expected finite weights, found some that are not at step 9"),
        ("model between", "expected a finite loss, found nan at step 8"),
        ("probe", "expected weights that can be examined, found Array must not contain infs or NaNs at step 8"),
        ("held out", "expected a finite loss on what is held out, found nan at step 8"),
    ],
)
def test_wherever_it_diverges_the_last_good_checkpoint_is_kept(where, says, tmp_path, monkeypatch):
    whole = train(TASK, pairs(), SAVED, tmp_path / "whole")
    out, task, probe = tmp_path / "out", TASK, lambda _: {}
    if where in ("model", "optimiser"):
        poisoned_after(9, where, monkeypatch)
    elif where == "model between":
        poisoned_after(7, "model", monkeypatch)
    elif where == "probe":
        probe = failing_probe(4)
    else:
        with pytest.raises(Stopped):
            train(TASK, pairs(), SAVED, out, progress=stop_after(7))
        task = Unmeasurable(TEXT, TEXT[:129], lengths=(8, 16), batch_bytes=64, seed=0)
    with pytest.raises(TrainingDiverged, match=f"^{says}: .*; the last good checkpoint is kept in") as caught:
        train(task, pairs(), SAVED, out, probe=probe)
    assert "\n" not in str(caught.value)
    assert (out / STATE).read_bytes().startswith(b"6\n")
    monkeypatch.undo()
    again = train(TASK, pairs(), SAVED, out)
    assert again.records == whole.records
    np.testing.assert_array_equal(again.model.table, whole.model.table)


def test_before_the_first_checkpoint_there_is_none_to_speak_of(tmp_path, monkeypatch):
    poisoned_after(2, "model", monkeypatch)
    with pytest.raises(TrainingDiverged, match=r"at step 2: .*; no checkpoint was saved before$"):
        train(TASK, pairs(), SAVED, tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"decay": 1e308}, r"recipe.decay from 0 to 1e\+06, found 1e\+308"),
        ({"learning_rate": np.inf}, r"recipe.learning_rate from 1e-30 to 1e\+06, found inf"),
        ({"learning_rate": np.nan}, r"recipe.learning_rate from 1e-30 to 1e\+06, found nan"),
        ({"clip": 1e39}, r"recipe.clip from 1e-30 to 1e\+06, found 1e\+39"),
        ({"final_share": -0.1}, r"recipe.final_share from 0 to 1e\+06, found -0.1"),
        ({"steps": -1}, r"recipe.steps from 1 to 1e\+09, found -1"),
        ({"steps": 10**5000}, r"recipe.steps from 1 to 1e\+09, found far more"),
        ({"warmup": -(10**5000)}, r"recipe.warmup from 0 to below the 10 steps, found far less"),
        ({"save_every": 2**31}, r"recipe.save_every from 1 to 1e\+09, found 2147483648"),
        ({"patience": 10**30}, r"recipe.patience from 0 to 1e\+09, found far more"),
        ({"betas": (0.9, np.nan)}, r"recipe.betas from 0 to below 1, found \(0.9, nan\)"),
    ],
)
def test_a_number_beyond_its_range_is_told_with_the_range(changes, says):
    with pytest.raises(TrainingError, match=f"^expected {says}: mend the spec$"):
        Recipe(**{"steps": 10, "warmup": 0} | changes)
