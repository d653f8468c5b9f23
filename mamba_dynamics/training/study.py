"""A study: one experiment in several arms, each with the same seeds, and what their comparison says.

    study = read_study("e1-wikitext", {"recipe.steps": "100", "seeds": "3"})
    document = run_study(study, data="wikitext-2", out="runs/e1", jobs=2)
    document["effects"]

A study's spec is an experiment's with a few more keys: `seeds` (how many), `metric` ("bits" or "accuracy"), `question`,
`claim` (the paper's), `[arms.NAME]` with the values that an arm changes, and `[[contrasts]]` of one arm with another.
Runs are compared at their last evaluation, seed by seed: two arms of one seed begin with the same weights, where they
have the same, and see the same batches.
"""

import dataclasses
import json
import math
import os
import platform
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context, parent_process
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .._devices import on_processors_only
from .._documents import to_json
from .._errors import SolveError, TrainingDiverged, TrainingError
from .._files import folder_inside, write_whole
from .._stop import starting_processes
from ..checkpoints.base import shown
from .experiment import Experiment, build_task, checked_record, experiment_from, read_table
from .loop import Trained
from .statistics import ALPHA, detectable, holm, paired_effect

RESULTS = "results.json"
#: Seeds of a study: more are a mistake.
MOST_SEEDS = 10_000
#: Runs of a study, each with a process's memory and a folder.
MOST_RUNS = 100_000

Metric = Literal["bits", "accuracy"]
Expected = Literal["better", "worse", "equal", ""]


@dataclass(frozen=True)
class Contrast:
    """`arm` less `against`, pair by pair; `expects` is what the paper says of the arm, "" where it says nothing."""

    arm: str
    against: str
    expects: Expected = ""


@dataclass(frozen=True)
class Study:
    """A study's spec; `table` is that of its experiment before an arm changes it."""

    name: str
    title: str
    table: dict[str, Any]
    arms: dict[str, dict[str, Any]]
    contrasts: tuple[Contrast, ...]
    seeds: int = 5
    metric: Metric = "bits"
    question: str = ""
    claim: str = ""
    dynamics: bool = False

    def experiment(self, arm: str, seed: int) -> Experiment:
        """One run's spec."""
        return experiment_from(self.name, {**self.table, "seed": seed}, self.arms[arm])

    def runs(self) -> Iterator[tuple[str, int]]:
        """(arm, seed), seed by seed, so that a study that was stopped has whole pairs."""
        return ((arm, seed) for seed in range(self.seeds) for arm in self.arms)


#: Keys of a study's spec that an experiment's does not have.
OWN_KEYS = ("arms", "contrasts", "seeds", "metric", "question", "claim", "dynamics")


def is_study(name: str | PathLike[str]) -> bool:
    """Whether a spec has arms. Raises `TrainingError` where there is no such spec."""
    return "arms" in read_table(name)[1]


def read_study(name: str | PathLike[str], changes: dict[str, str] | None = None) -> Study:
    """A study by its name or path, with some values changed (those that an arm sets stay the arm's).

    Raises:
        TrainingError: no such spec, or a key or value that is not one.
    """
    stem, table = read_table(name, changes)
    own = {key: table.pop(key) for key in OWN_KEYS if key in table}
    contrasts, arms = own.pop("contrasts", []), own.pop("arms", {})
    if not isinstance(arms, dict) or not all(isinstance(one, dict) for one in arms.values()):
        raise TrainingError(f"expected arms to be tables of values, found {shown(arms)}: mend the spec")
    if not isinstance(contrasts, list):
        raise TrainingError(f"expected contrasts to be a list of tables, found {shown(contrasts)}: mend the spec")
    for arm in arms:
        if arm in ("", ".", "..") or any(sign in arm for sign in "/\\\0:"):
            raise TrainingError(f"expected arms with names of folders, found {shown(arm)}: mend the spec")
    contrasts = [checked_record(Contrast, one, "contrasts") for one in contrasts]
    title = table.get("title", "")
    study = checked_record(
        Study, {"name": stem, "title": title, "table": table, "arms": arms, "contrasts": contrasts, **own}, "study"
    )
    if not arms or not 1 <= study.seeds <= MOST_SEEDS:
        raise TrainingError(
            f"expected arms and 1 to {MOST_SEEDS} seeds, found {len(arms)} and {shown(study.seeds)}: mend the spec"
        )
    if len(arms) * study.seeds > MOST_RUNS:
        raise TrainingError(
            f"expected at most {MOST_RUNS} runs, found {len(arms) * study.seeds}: take fewer seeds or arms"
        )
    for contrast in study.contrasts:
        for arm in (contrast.arm, contrast.against):
            if arm not in arms:
                known = ", ".join(map(shown, [*arms][:8]))
                raise TrainingError(
                    f"expected an arm, such as {known}, in contrasts, found {shown(arm)}: mend the spec"
                )
    for arm in arms:
        study.experiment(arm, 0)
    return study


#: done, all, the run's record.
StudyProgress = Callable[[int, int, dict[str, Any]], None]


def run_study(
    study: Study,
    *,
    data: str | PathLike[str] | None,
    out: str | PathLike[str],
    jobs: int = 1,
    progress: StudyProgress = lambda *_: None,
) -> dict[str, Any]:
    """Train all runs of a study, each in one thread of one of `jobs` processes, and compare its arms.

    Runs that were finished before are not trained again, others go on. The document is returned, and written to
    `results.json` in `out`.

    Raises:
        DataError, TrainingError: see `experiment.run`; a run that diverges is a result and raises nothing.
    """
    folder = Path(out)
    wanted = list(study.runs())
    found: dict[tuple[str, int], dict[str, Any]] = {}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_worker) as pool:
        with starting_processes():
            futures: dict[Future, tuple[str, int]] = {
                pool.submit(_one_run, study, arm, seed, data, folder): (arm, seed) for arm, seed in wanted
            }
        try:
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                progress(len(found), len(wanted), found[futures[future]])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    document = study_document(study, [found[one] for one in wanted])
    write_whole(folder / RESULTS, lambda file: file.write(as_lines(document).encode()))
    return document


def _worker() -> None:
    """A run has one thread of a processor, so its numbers do not depend on how many run beside it.

    And none outlives a killed parent.
    """
    on_processors_only()
    one_thread = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {one_thread}".strip()
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _one_run(study: Study, arm: str, seed: int, data, folder: Path) -> dict[str, Any]:
    from .experiment import run
    from .models import parameters
    from .run_folder import logged

    experiment = study.experiment(arm, seed)
    into = folder_inside(folder, "runs", arm, str(seed))
    record: dict[str, Any] = {"arm": arm, "seed": seed}
    try:
        trained = run(experiment, data=data, out=into)
        measured = _measured(study, trained, experiment, data)
    except TrainingDiverged as error:
        records = [_rounded(one) for one in logged(into)]
        return {**record, "status": "diverged", "message": str(error).partition(":")[0], "records": records}
    last = trained.records[-1]
    record |= {"status": "finished", "parameters": parameters(trained.model)}
    record |= {name: last[name] for name in ("step", "bits", "accuracy")}
    record["records"] = [_rounded(one) for one in trained.records]
    return record | measured


def _measured(study: Study, trained: Trained, experiment: Experiment, data) -> dict[str, Any]:
    """The dynamics of a trained stack, where the study asks for them; weights that cannot be followed have diverged."""
    from .dynamics import measured_dynamics

    if not study.dynamics:
        return {}
    try:
        return {"dynamics": _rounded(measured_dynamics(trained.model.model, build_task(experiment, data)))}
    except (np.linalg.LinAlgError, ArithmeticError, SolveError) as error:
        why = " ".join(str(error).split())
        raise TrainingDiverged(f"expected a trained stack that can be followed, found {why}") from error


def _rounded(value: Any) -> Any:
    """Numbers to six digits, all that anyone will read of them."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def study_document(study: Study, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The study, its runs, and its effects as one JSON document."""
    packages = ("mamba-dynamics", "jax", "jaxlib", "equinox", "optax", "numpy")
    return {
        "schema_version": 1,
        "study": study.name,
        **{name: getattr(study, name) for name in ("title", "question", "claim", "metric", "seeds", "table", "arms")},
        "runs": runs,
        "effects": effects(study, runs),
        "versions": {name: version(name) for name in packages} | {"machine": platform.machine()},
    }


def effects(study: Study, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every contrast of a study: mean difference, interval, p value corrected after Holm, and a verdict in words.

    `effect` is arm less against, in the metric's unit. `detectable` is the smallest difference that so many pairs with
    differences that vary so much would find four times in five. `diverged` counts pairs that are missing because one of
    the two runs did not finish.
    """
    value = {(run["arm"], run["seed"]): run[study.metric] for run in runs if run["status"] == "finished"}
    seeds = sorted({run["seed"] for run in runs})
    found = []
    for contrast in study.contrasts:
        pairs = [((contrast.arm, seed), (contrast.against, seed)) for seed in seeds]
        whole = [(one, other) for one, other in pairs if one in value and other in value]
        found.append((contrast, paired_effect([value[one] - value[other] for one, other in whole])))
    adjusted = holm([effect.p if effect.p == effect.p else 1.0 for _, effect in found])
    return [
        {
            **dataclasses.asdict(contrast),
            "pairs": effect.pairs,
            "diverged": len(seeds) - effect.pairs,
            "effect": effect.mean,
            "low": effect.low,
            "high": effect.high,
            "sd": effect.sd,
            "p": effect.p,
            "p_holm": p,
            "detectable": detectable(effect.sd, effect.pairs),
            "verdict": verdict(contrast.expects, effect.mean if study.metric == "accuracy" else -effect.mean, p),
        }
        for (contrast, effect), p in zip(found, adjusted, strict=True)
    ]


def arm_summaries(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Of every arm: how many runs finished and how many diverged, the mean of the metric, its deviation over seeds."""
    found = []
    for arm in document["arms"]:
        runs = [run for run in document["runs"] if run["arm"] == arm]
        values = [run[document["metric"]] for run in runs if run["status"] == "finished"]
        found.append(
            {
                "arm": arm,
                "finished": len(values),
                "diverged": len(runs) - len(values),
                "mean": float(np.mean(values)) if values else math.nan,
                "sd": float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
            }
        )
    return found


def verdict(expects: Expected, gain: float, p: float) -> str:
    """In words: `gain` is how much better the arm did, p the corrected p value of no difference."""
    seen = p < ALPHA
    if expects in ("better", "worse"):
        if not seen:
            return "not reproduced at this scale"
        return "reproduced" if (gain > 0) == (expects == "better") else "reversed"
    if expects == "equal":
        return "a difference where none was expected" if seen else "no difference, as expected"
    if not seen:
        return "no difference seen"
    return "better" if gain > 0 else "worse"


def as_lines(document: dict[str, Any]) -> str:
    """The document as JSON with one line a run, so that a change of it can be read."""
    head = {key: value for key, value in document.items() if key != "runs"}
    runs = ",\n".join("    " + to_json(run) for run in document["runs"])
    return json.dumps(json.loads(to_json(head)), indent=1)[:-2] + f',\n "runs": [\n{runs}\n ]\n}}\n'
