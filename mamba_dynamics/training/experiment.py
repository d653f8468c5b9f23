"""An experiment: what to train on, which model, how; read from TOML, with single values changed by name.

    experiment = read_experiment("induction-heads", {"recipe.steps": "500", "seed": "1"})
    run(experiment, data=None, out="runs/0")

The specs that come with the package are the files in `experiments/`. A spec has the tables [task], [model] and
[recipe]; their keys are the fields of `TaskSpec`, `ModelSpec` and `Recipe`, and what is left out has the default there.
"""

import dataclasses
from copy import deepcopy
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import equinox as eqx
import jax
import jax.numpy as jnp

from .._errors import DataError, TrainingError
from .._settings import is_number, read_toml, set_value, spec_path, toml_value
from ..checkpoints.base import shown
from ..refinements import ImportanceReordering, MeanImportance, RandomOrder, Reversed, with_definite
from .batches import AbstractTask
from .cost import Cost
from .data_files import data_file
from .images import Classification, mnist
from .loop import Progress, Trained, train
from .models import (
    EMBEDDING_SCALE,
    Iterated,
    Sizes,
    Trainable,
    new_classifier,
    new_language_model,
    new_s6_model,
    parameters,
)
from .recipe import LARGEST, LEAST, Recipe, require_within
from .regimes import regimes_probe
from .synthetic import InductionHeads, SelectiveCopying
from .text import BYTE_VALUES, NextByte, read_bytes, split

SPECS = Path(__file__).parent / "experiments"

TaskName = Literal["bytes", "images", "selective-copying", "induction-heads"]
Sign = Literal["standard", "positive", "negative", "mixed"]
Form = Literal["mamba", "s6", "normed-s6"]
Order = Literal["none", "x", "x_and_gate", "restored"]
Rule = Literal["importance", "importance-reversed", "mean", "mean-reversed", "random"]
Skip = Literal["learned", "negative", "frozen", "none"]


#: Sizes of a model, a task or a study that a CPU cannot train are mistakes, or made to exhaust memory.
MOST = 10_000_000
#: Patches of an image, as the cost of a run counts them: those of MNIST with a side of 4.
IMAGE_PATCHES = 49


def require_counts(record: Any, *names: str, least: int = 1) -> None:
    """Raise `TrainingError` for a field of a spec's record that is no size."""
    for name in names:
        value = getattr(record, name)
        if not least <= value <= MOST:
            bound = f"at least {least}" if value < least else f"at most {MOST}"
            found = value if abs(value) < 2**63 else "far less" if value < 0 else "far more"
            raise TrainingError(f"expected {name} of {bound}, found {found}")


@dataclass(frozen=True)
class TaskSpec:
    """What to train on.

    name: which task. batch: tokens an update for bytes, sequences for the others.
    bytes: training and validation are files of the data folder (without validation, the last tenth of training is held
    out); lengths are those of the windows; evaluation_bytes bounds an evaluation.
    images: the first training_images of an IDX folder, in patches of side `patch`.
    selective-copying, induction-heads: `length` tokens of `kinds`, the former with `symbols` to remember.
    """

    name: TaskName
    batch: int = 32
    training: str = ""
    validation: str = ""
    lengths: tuple[int, ...] = (256,)
    evaluation_bytes: int = 65536
    training_images: int = 8000
    patch: int = 4
    length: int = 64
    kinds: int = 16
    symbols: int = 8

    def __post_init__(self):
        require_counts(self, "batch", "evaluation_bytes", "training_images", "patch", "length", "kinds", "symbols")
        if not self.lengths or not all(1 <= length <= MOST for length in self.lengths):
            raise TrainingError(f"expected task.lengths from 1 to {MOST}, found {shown(self.lengths)}: mend the spec")


@dataclass(frozen=True)
class ModelSpec:
    """Which model: its sizes, and the paper's refinements with their controls.

    form: "mamba" blocks, "s6" layers alone, or "normed-s6" layers that read the normalised stream (the latter two for
    language models only), see `new_s6_model`. repeats: how often all blocks are passed, with the same weights (language
    models only). depth_step: h of an S6 layer alone. dt_rank: of S_Delta, 0 for the usual one.
    sign: "standard", or the sign of a definite projection; threshold and scale are its least |lambda| and g.
    order: "none", or what a reordering moves (see `mamba_dynamics.models.reordering`), with tau, p and hard.
    rule: what the tokens are ordered by: a learned "importance", the "mean" of S_Delta x + b, either of them reversed,
    or one "random" order for all sequences.
    skip: D "learned" from +1, "negative" from -1, "frozen" at +1, "none". gate: whether blocks have their gate.
    """

    width: int = 64
    layers: int = 2
    states: int = 16
    form: Form = "mamba"
    repeats: int = 1
    dt_rank: int = 0
    embedding_scale: float = EMBEDDING_SCALE
    depth_step: float = 1.0
    sign: Sign = "standard"
    threshold: float = 0.7
    scale: float = 1.0
    order: Order = "none"
    rule: Rule = "importance"
    tau: float = 1.0
    p: int = 1
    hard: bool = False
    skip: Skip = "learned"
    gate: bool = True

    def __post_init__(self):
        require_counts(self, "width", "layers", "states", "repeats", "p")
        require_counts(self, "dt_rank", least=0)
        require_within("model.p", self.p, 1, 2)
        for name in ("embedding_scale", "depth_step"):
            require_within(f"model.{name}", getattr(self, name), -LARGEST, LARGEST)
        for name in ("threshold", "scale"):
            require_within(f"model.{name}", getattr(self, name), 0, LARGEST)
        require_within("model.tau", self.tau, LEAST, LARGEST)


@dataclass(frozen=True)
class Experiment:
    """A whole spec; `seed` is that of the weights and of the batches."""

    name: str
    title: str
    task: TaskSpec
    model: ModelSpec
    recipe: Recipe
    seed: int = 0

    def __post_init__(self):
        if not 0 <= self.seed < 2**32:
            raise TrainingError(f"expected a seed from 0 to {2**32 - 1}, found {shown(self.seed)}: mend the spec")
        cost_of(self).require_affordable()

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def cost_of(experiment: Experiment) -> Cost:
    """What a run asks for, without its data."""
    task, recipe = experiment.task, experiment.recipe
    places = {"bytes": 1, "images": IMAGE_PATCHES, "induction-heads": task.length}
    places["selective-copying"] = task.length + task.symbols
    kinds = task.kinds + 2 if task.name in ("induction-heads", "selective-copying") else BYTE_VALUES
    return Cost(
        _sizes(experiment.model, kinds), task.batch * places[task.name], -(-recipe.steps // recipe.evaluate_every)
    )


def _sizes(spec: ModelSpec, vocabulary: int) -> Sizes:
    return Sizes(
        vocabulary=vocabulary,
        width=spec.width,
        layers=spec.layers,
        states=spec.states,
        dt_rank=spec.dt_rank or None,
        repeats=spec.repeats,
        embedding_scale=spec.embedding_scale,
        depth_step=spec.depth_step,
    )


def experiment_names() -> list[str]:
    """The specs that come with the package."""
    return sorted(path.stem for path in SPECS.glob("*.toml"))


def read_experiment(name: str | PathLike[str], changes: dict[str, str] | None = None) -> Experiment:
    """A spec by its name or path, with some values changed.

    Args:
        name: of a spec that comes with the package, or a path to a TOML file.
        changes: "recipe.steps", "model.sign", "seed", ... -> the value, as TOML or as a bare word.

    Raises:
        TrainingError: no such spec, or a key or value that is not one.
    """
    stem, table = read_table(name, changes)
    if "arms" in table:
        raise TrainingError(f"expected an experiment, found {shown(stem)}, a study of several: `read_study` reads it")
    return experiment_from(stem, table)


def read_table(name: str | PathLike[str], changes: dict[str, str] | None = None) -> tuple[str, dict[str, Any]]:
    """(name, table) of a spec, with some values changed; see `read_experiment`."""
    path = spec_path(name, SPECS, "an experiment", TrainingError)
    table = read_toml(path, TrainingError)
    for key, text in (changes or {}).items():
        set_value(table, key, toml_value(text), TrainingError)
    return path.stem, table


def experiment_from(name: str, table: dict[str, Any], changes: dict[str, Any] | None = None) -> Experiment:
    """The experiment of a table, with some values changed ("model.sign" -> "positive").

    Raises:
        TrainingError: a key or value that is not one.
    """
    whole = deepcopy(table)
    for key, value in (changes or {}).items():
        set_value(whole, key, value, TrainingError)
    parts = {
        "task": checked_record(TaskSpec, whole.pop("task", {}), "task"),
        "model": checked_record(ModelSpec, whole.pop("model", {}), "model"),
        "recipe": checked_record(Recipe, whole.pop("recipe", {}), "recipe"),
    }
    return checked_record(Experiment, {"name": name, "title": "", **whole, **parts}, "experiment")


def run(
    experiment: Experiment,
    *,
    data: str | PathLike[str] | None,
    out: str | PathLike[str],
    progress: Progress = lambda *_: None,
) -> Trained:
    """Train, or go on with what was stopped. `data` is the folder that the task's files are in.

    Raises:
        DataError: the task's files cannot be used. TrainingError: see `train`.
    """
    task = build_task(experiment, data)
    model = build_model(experiment, task)
    description = {"experiment": experiment.as_dict(), "parameters": parameters(model)}
    return train(
        task, model, experiment.recipe, out, description=description, probe=regimes_probe(task), progress=progress
    )


def reads_files(experiment: Experiment) -> bool:
    """Whether the task is made of a folder's files, and not drawn from the seed."""
    return experiment.task.name not in ("induction-heads", "selective-copying")


def build_task(experiment: Experiment, data: str | PathLike[str] | None) -> AbstractTask:
    """The task of a spec on the files of a folder."""
    spec, seed = experiment.task, experiment.seed
    if spec.name == "induction-heads":
        return InductionHeads(length=spec.length, kinds=spec.kinds, batch_size=spec.batch, seed=seed)
    if spec.name == "selective-copying":
        return SelectiveCopying(
            length=spec.length, symbols=spec.symbols, kinds=spec.kinds, batch_size=spec.batch, seed=seed
        )
    if data is None:
        raise DataError(f"expected --data, found none: {experiment.name} reads files")
    if spec.name == "images":
        return mnist(Path(data), side=spec.patch, training=spec.training_images, batch_size=spec.batch, seed=seed)
    training, validation = _texts(spec, Path(data))
    return NextByte(training, validation, spec.lengths, spec.batch, seed, spec.evaluation_bytes)


def _texts(spec: TaskSpec, data: Path):
    training = read_bytes(data_file(data, spec.training) if spec.training else data)
    return (training, read_bytes(data_file(data, spec.validation))) if spec.validation else split(training)


def build_model(experiment: Experiment, task: AbstractTask) -> Trainable:
    """A new model of a spec, for a task.

    Raises `TrainingError` where the spec asks for a model that the task cannot have.
    """
    spec = experiment.model
    of_weights, of_refinements = jax.random.split(jax.random.key(experiment.seed))
    sizes = _sizes(spec, _outputs(task))
    if isinstance(task, Classification):
        if spec.form != "mamba" or spec.repeats != 1:
            raise TrainingError("expected form = mamba and repeats = 1 for images: other models are of language only")
        _, length, patch = task.images.shape
        model = new_classifier(sizes, patch=patch, length=length, key=of_weights)
        model = eqx.tree_at(lambda one: one.core, model, _refined(model.core, spec, of_refinements))
    else:
        if spec.form == "mamba":
            model = new_language_model(sizes, of_weights)
        else:
            model = new_s6_model(sizes, of_weights, normed=spec.form == "normed-s6")
        model = _refined(model, spec, of_refinements)
        if spec.repeats > 1:
            model = Iterated(model, spec.repeats)
    return Trainable.of(model, frozen_skip=spec.skip == "frozen")


def _outputs(task: AbstractTask) -> int:
    """How many logits a target has."""
    if isinstance(task, Classification):
        return task.classes
    return task.vocabulary if isinstance(task, InductionHeads | SelectiveCopying) else BYTE_VALUES


def _refined(model, spec: ModelSpec, key):
    """The model with a spec's refinements and controls."""
    if spec.sign != "standard":
        model = with_definite(model, spec.sign, key=key, threshold=spec.threshold, scale=spec.scale)
    blocks = [_controlled(block, spec, jax.random.fold_in(key, i)) for i, block in enumerate(model.blocks)]
    return eqx.tree_at(lambda one: one.blocks, model, tuple(blocks))


def _controlled(block, spec: ModelSpec, key):
    without = [part for part, left_out in (("skip", spec.skip == "none"), ("gate", not spec.gate)) if left_out]
    block = block.left_out(*without)
    if spec.skip == "negative":
        block = eqx.tree_at(lambda one: one.mixer.selection.D_skip, block, replace_fn=jnp.negative)
    if spec.order != "none":
        channels = block.mixer.selection.D_skip.shape[0]
        reordering = _reordering(spec, channels, key)
        block = eqx.tree_at(lambda one: one.mixer.reordering, block, reordering, is_leaf=lambda leaf: leaf is None)
    return block


def _reordering(spec: ModelSpec, channels: int, key):
    relaxation: dict[str, Any] = {"tau": spec.tau, "p": spec.p, "hard": spec.hard, "mode": spec.order}
    if spec.rule == "random":
        # The same for all blocks of a model and all its seeds.
        return RandomOrder(seed=0, mode=spec.order)  # pyright: ignore[reportArgumentType]
    of_mean = spec.rule.startswith("mean")
    rule = MeanImportance(**relaxation) if of_mean else ImportanceReordering.initial(channels, key=key, **relaxation)
    return Reversed(rule=rule, mode=rule.mode) if spec.rule.endswith("reversed") else rule


def checked_record(kind, table: dict[str, Any], where: str):
    """A record of the kind from a table, every key and type checked."""
    fields = {one.name: one for one in dataclasses.fields(kind)}
    if not isinstance(table, dict):
        raise TrainingError(f"expected a table at {where}, found {shown(table)}: mend the spec")
    for key in table:
        if key not in fields:
            raise TrainingError(
                f"expected one of {', '.join(fields)} in {where}, found {shown(key)}: check its spelling"
            )
    missing = [
        name
        for name, one in fields.items()
        if name not in table and one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise TrainingError(f"expected {', '.join(missing)} in {where}, found none: add it to the spec")
    return kind(**{key: _fitted(value, fields[key].type, f"{where}.{key}") for key, value in table.items()})


def _fitted(value: Any, wanted: Any, where: str) -> Any:
    choices, origin = get_args(wanted), get_origin(wanted)
    if isinstance(value, list):
        value = tuple(value)
    if wanted is float and type(value) is int and is_number(value):
        value = float(value)
    if wanted in (int, float, bool, str):
        fits = type(value) is wanted
    elif origin is Literal:
        fits = value in choices
    elif origin is tuple:
        items = value if isinstance(value, tuple) else (None,)
        fits = all(type(one) is choices[0] for one in items) and (choices[-1] is Ellipsis or len(items) == len(choices))
    elif origin is dict:
        fits = isinstance(value, dict)
    else:
        fits = dataclasses.is_dataclass(wanted)
    if not fits:
        expected = " or ".join(map(repr, choices)) if origin is Literal else str(wanted)
        raise TrainingError(f"expected {expected} for {where}, found {shown(value)}")
    return value
