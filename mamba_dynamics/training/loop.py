"""`train`: the loop. Everything it does is a function of the task, the model and the recipe, so a run that is killed
and started again gives the losses it would have given, bit for bit on the same machine.
"""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from .._errors import TrainingDiverged
from .batches import AbstractTask, Batch, PatchBatch
from .recipe import Recipe, optimiser
from .run_folder import RunFolder

#: model, batch -> logits of its targets.
Predict = Callable[[Any, Batch], Array]
#: step, steps, training loss in bits, tokens a second.
Progress = Callable[[int, int, float, float], None]
#: model -> what to record of it at every evaluation.
Probe = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished run: the model of the last step, all records of its log, and whether it stopped before its steps."""

    model: Any
    records: list[dict[str, Any]]
    stopped_early: bool


def predict(model: Any, batch: Batch) -> Array:
    """The model applied to each sequence of the batch."""
    return jax.vmap(model)(batch.patches if isinstance(batch, PatchBatch) else batch.tokens)


def train(
    task: AbstractTask,
    model: Any,
    recipe: Recipe,
    out: str | PathLike[str],
    *,
    description: dict[str, Any] | None = None,
    apply: Predict = predict,
    probe: Probe = lambda _: {},
    progress: Progress = lambda *_: None,
) -> Trained:
    """Train a model, or go on with a run that was stopped.

    Args:
        task: batches by step, and what to evaluate on.
        model: a tree whose floating arrays are trained; called by `apply`.
        out: the run's folder (see `run_folder`).
        description: what else tells this run from another, beside the recipe.
        apply: from model and batch to logits, (B, L, V) for tokens, (B, classes) for patches.
        probe: recorded at every evaluation.
        progress: called at every step.

    Raises:
        TrainingDiverged: a loss, on the batch or on what is held out, or a weight that is no number, or a probe that
            cannot be computed; the last checkpoint is kept, and holds numbers only.
        TrainingError: `out` holds another run.
    """
    folder = RunFolder(Path(out), {"recipe": recipe.as_dict(), **(description or {})})
    rule = optimiser(recipe)
    # The updates reuse the memory of what they are given: the caller's model stays whole.
    model = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True) if eqx.is_inexact_array(leaf) else leaf, model)
    state = _State(model, rule.init(eqx.filter(model, eqx.is_inexact_array)), _Watch())
    state, done = folder.restore(state)
    step = _stepper(rule, apply)
    began, read, losses = time.perf_counter(), 0, []
    for now in range(done + 1, recipe.steps + 1):
        if _out_of_patience(state.watch, recipe):
            break
        batch = task.batch(now)
        state, loss = step(state, batch)
        read += batch.size
        losses.append(float(loss))
        _require_finite(folder, now, "a finite loss", losses[-1])
        progress(now, recipe.steps, losses[-1] / math.log(2), read / (time.perf_counter() - began))
        evaluates, saves = (
            now % every == 0 or now == recipe.steps for every in (recipe.evaluate_every, recipe.save_every)
        )
        # An update may leave no number behind, which the next loss would show: too late for a checkpoint.
        if (evaluates or saves) and not _all_finite(state):
            raise _diverged(folder, now, "finite weights", "some that are not")
        if evaluates:
            found = _evaluate(apply, state.model, task)
            _require_finite(folder, now, "a finite loss on what is held out", found["bits"])
            probed = _probed(probe, state.model, folder, now)
            if found["bits"] < state.watch.best:
                folder.save_best(state.model)
            state = eqx.tree_at(lambda one: one.watch, state, state.watch.after(found["bits"]))
            folder.log({"step": now, "training_bits": losses[-1] / math.log(2), **found, **probed})
        if saves:
            folder.save(state, now)
    return Trained(state.model, folder.records(), _out_of_patience(state.watch, recipe))


def _require_finite(folder: RunFolder, step: int, what: str, found: float) -> None:
    if not math.isfinite(found):
        raise _diverged(folder, step, what, found)


def _diverged(folder: RunFolder, step: int, what: str, found: object) -> TrainingDiverged:
    last = f"the last good checkpoint is kept in {folder.path}"
    kept = last if folder.has_checkpoint() else "no checkpoint was saved before"
    return TrainingDiverged(
        f"expected {what}, found {found} at step {step}: the learning rate is likely too high; {kept}"
    )


def _probed(probe: Probe, model: Any, folder: RunFolder, step: int) -> dict[str, Any]:
    """What is recorded of a model; weights that are finite, but so large that it cannot be computed, have diverged."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return probe(model)
    except (np.linalg.LinAlgError, ArithmeticError) as error:
        found = " ".join(str(error).split())
        raise _diverged(folder, step, "weights that can be examined", found) from error


@eqx.filter_jit
def _all_finite(state: Any) -> Bool[Array, ""]:
    leaves = jax.tree.leaves(eqx.filter(state, eqx.is_inexact_array))
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


class _Watch(eqx.Module):
    """The smallest held-out loss and how many evaluations ago it was; saved with the rest."""

    best: float = math.inf
    since: int = 0

    def after(self, bits: float) -> "_Watch":
        return _Watch(bits, 0) if bits < self.best else _Watch(self.best, self.since + 1)


class _State(eqx.Module):
    model: Any
    optimiser: Any
    watch: _Watch


def _out_of_patience(watch: _Watch, recipe: Recipe) -> bool:
    return 0 < recipe.patience <= watch.since


def _stepper(rule: optax.GradientTransformation, apply: Predict):
    def step(state: _State, batch: Batch) -> tuple[_State, Float[Array, ""]]:
        model, optimiser_state, loss = _update((rule, apply, batch), state.model, state.optimiser)
        return _State(model, optimiser_state, state.watch), loss

    return step


@eqx.filter_jit(donate="all-except-first")
def _update(fixed, model, optimiser_state):
    # Compiled once for all runs of a process that share optimiser, model structure and shapes.
    rule, apply, batch = fixed
    loss, gradient = eqx.filter_value_and_grad(partial(_loss, apply))(model, batch)
    change, optimiser_state = rule.update(gradient, optimiser_state, eqx.filter(model, eqx.is_inexact_array))
    return eqx.apply_updates(model, change), optimiser_state, loss


def _loss(apply: Predict, model: Any, batch: Batch) -> Float[Array, ""]:
    """Mean cost of a target, in nats."""
    cost, weights, _ = _scores(apply(model, batch), batch)
    return jnp.sum(cost * weights) / jnp.sum(weights)


def _scores(logits: Array, batch: Batch) -> tuple[Array, Array, Array]:
    """(the cost of each target in nats, how much it counts, whether it is the likeliest)."""
    if isinstance(batch, PatchBatch):
        targets, weights = jnp.asarray(batch.labels), jnp.ones(len(batch.labels), logits.dtype)
    else:
        targets, weights = jnp.asarray(batch.targets), jnp.asarray(batch.weights)
    cost = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return cost, weights, jnp.argmax(logits, axis=-1) == targets


@eqx.filter_jit
def _score(apply, model, batch):
    cost, weights, right = _scores(apply(model, batch), batch)
    return jnp.sum(cost * weights), jnp.sum(right * weights), jnp.sum(weights)


def _evaluate(apply: Predict, model: Any, task: AbstractTask) -> dict[str, float]:
    """Held-out cost of a target in bits, and the share of targets that are the likeliest."""
    scores = [np.asarray(_score(apply, model, batch), float) for batch in task.held_out()]
    with np.errstate(invalid="ignore", over="ignore"):
        cost, right, count = np.sum(scores, axis=0)
        return {"bits": float(cost / count / math.log(2)), "accuracy": float(right / count)}
