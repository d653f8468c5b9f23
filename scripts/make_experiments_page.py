"""Write docs/experiments.md from the committed results of the studies in paper_figures/results.

python scripts/make_experiments_page.py
"""

import json
import statistics
from pathlib import Path
from typing import Any

from mamba_dynamics.training.study import arm_summaries

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "paper_figures" / "results"
PAGE = ROOT / "docs" / "experiments.md"

INTRODUCTION = """# Experiments

What the paper's two [refinements](refinements.md) do to small models, against its own claims: **E1** holds the sign of
$M$ fixed, **E2** scans tokens by importance, **E3** follows the tokens of trained weight-tied stacks. All models are
small and trained for minutes on a CPU, so "not reproduced" means: not at this scale.

Arms are compared seed by seed at the last evaluation: two arms of one seed see the same batches and begin with the same
weights, where they have the same. A difference comes with Student's 95 % interval and a p value after Holm's correction
over all comparisons of the study; *finds* is the smallest true difference that so many pairs, with differences that
vary so much, would find four times in five. Nothing is left out: a run that diverged is counted. Every run, with its
log, is in `paper_figures/results`; the commands below make the files again.

{summary}

## What is seen

* **Exclusion (E1).** In language models with norm, gate, projections and $D$, no effect of the sign of $M$ is seen on
  either text, and none larger than the column *finds* of those studies is likely. One S6 layer iterated 16 times that
  reads the normalised stream ends a little worse where $M$ is negative, within what seeds alone do. Without the norm
  (E3), the paper's own stack, the negative model is the worst, as the paper says; positive and mixed cannot be told
  apart, and neither beats the standard layer.
* **Reordering (E2).** On selective copying the paper's version (x alone is permuted) learns, soft or hard and at every
  tau, what the model without it does not in the same time. On MNIST patches every version is worse than none. The
  controls say why to be careful: a fixed random order costs next to nothing on MNIST, so it is the order's dependence
  on the tokens that hurts there.
* **Dynamics (E3).** In the trained negative stacks almost every token shrinks, and goes on for thousands of passes
  beyond the trained depth, at the rate of the ODE, whose own exponent is still far from its limit -1/2 there. In the
  positive ones every token grows, and blows up after little more than the trained depth. Where the ODE of an
  indefinite layer comes to rest, the stack's finite steps may still carry a token away.

## Regimes while a model is trained

![Regimes while a model is trained](figures/regimes_in_training.svg)

The regimes of every block at every evaluation are in the log of each run (`layers` in `log.jsonl`), and
`mamba-dynamics train NAME --data FOLDER --out OUT --plot FILE.svg` draws those of one run. By construction a definite
layer keeps its signs, so the first two rows of its column are straight lines, and the scan works with $D x$ (positive)
or against it (negative). A standard layer keeps about as many positive as negative eigenvalues. What the blocks do to
their tokens, the last row, is nearly the same in all four arms: the first block shortens the median token, the last
lengthens it. That is not settled by the sign of $M$.
"""

#: What cannot be read off a table.
NOTES = {
    "e1-tied": "Nothing stands between the sign of $M$ and the tokens here, and they do follow it (the last table).",
    "e1-controls": (
        "Standard and definite layers differ in more than the sign: their comparison is one of parametrisations too."
    ),
    "e2-mnist": 'The rows "random" tell what scanning in another order than the text\'s costs by itself.',
    "e2-copying": (
        "Sorting gathers the symbols before the scan: this task asks for just that. Where the output goes back to the "
        'places of the text ("restored"), most of the gain is gone.'
    ),
    "e3-dynamics": (
        "The stack is the Euler scheme of the S6-only ODE. The first token of each text, which hears no other, is "
        "followed by both."
    ),
}


def page() -> str:
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    rows = [f"| [{one['title']}](#{one['study']}) | {one['claim']} | {_tally(one)} |" for one in documents]
    summary = "\n".join(["| study | the paper says | comparisons here |", "|---|---|---|", *rows])
    return "\n".join([INTRODUCTION.format(summary=summary), *map(_section, documents)])


def _tally(document: dict[str, Any]) -> str:
    verdicts = [effect["verdict"] for effect in document["effects"]]
    return ", ".join(f"{verdicts.count(one)} {one}" for one in sorted(set(verdicts)))


def _section(document: dict[str, Any]) -> str:
    metric, task = document["metric"], document["table"]["task"]["name"]
    data = "" if task == "selective-copying" else " --data FOLDER"
    lines = [
        f"## {document['title']} {{ #{document['study']} }}",
        "",
        document["question"],
        "",
        f"*The paper:* {document['claim']}",
        "",
        "```bash",
        f"mamba-dynamics train {document['study']}{data} --out runs/{document['study']} --jobs 2",
        "```",
        "",
        f"{document['seeds']} seeds an arm; held-out {metric}, the last evaluation.",
        "",
        f"| arm | finished | diverged | {metric} | sd over seeds |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['arm']} | {one['finished']} | {one['diverged']} | {_number(one['mean'])} | {_number(one['sd'])} |"
        for one in arm_summaries(document)
    ]
    lines += ["", "| arm | against | the paper expects | difference | 95 % interval | p (Holm) | finds | verdict |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    lines += [
        f"| {one['arm']} | {one['against']} | {one['expects'] or '-'} | {_signed(one['effect'])} | "
        f"{_signed(one['low'])} to {_signed(one['high'])} | {_number(one['p_holm'])} | {_number(one['detectable'])} | "
        f"{one['verdict']} |"
        for one in document["effects"]
    ]
    if document["study"] in NOTES:
        lines += ["", NOTES[document["study"]]]
    if any("dynamics" in run for run in document["runs"]):
        lines += ["", *_dynamics(document)]
    return "\n".join(lines) + "\n"


def _dynamics(document: dict[str, Any]) -> list[str]:
    """What the tokens of the trained stacks do, by arm."""
    lines = [
        "Tokens of the trained stacks, medians over the finished runs: the share that the trained passes shorten; "
        "d ln|x| / d ln(passes) of the median token over the last three octaves of 4,096 passes, where none blew up; "
        "the runs in which some token blew up, and after how many passes.",
        "",
        "| arm | shortened | exponent | blew up | at pass |",
        "|---|---|---|---|---|",
    ]
    for arm in document["arms"]:
        found = [run["dynamics"] for run in document["runs"] if run["arm"] == arm and "dynamics" in run]
        exponents = [one["tokens"]["exponent"][1] for one in found if one["tokens"]["exponent"]]
        passes = [one["tokens"]["blew_up_at"] for one in found if one["tokens"]["blew_up_at"]]
        shortened = _median([one["shrinking"] for one in found])
        lines.append(
            f"| {arm} | {shortened} | {_median(exponents)} | {len(passes)} of {len(found)} | {_median(passes)} |"
        )
    firsts = [
        (run["arm"], one)
        for run in document["runs"]
        for one in run.get("dynamics", {}).get("first_tokens", ())
        if "ode_outcome" in one
    ]
    if firsts:
        lines += ["", *_against_ode(list(document["arms"]), firsts)]
    return lines


def _against_ode(arms: list[str], firsts: list[tuple[str, dict[str, Any]]]) -> list[str]:
    lines = [
        "First tokens, stack and ODE: the largest difference of their length ratios over the trained depth, and of "
        "their exponents at 4,096 passes; the ODE's own exponent at ln t = 60 (theory: -1/2 for a token that tends to "
        "zero); "
        "the median of T* / h beside that of the pass at which the stack blew up; the first tokens where one "
        "blew up and the other did not.",
        "",
        "| arm | first tokens | ratio | exponent | ODE, ln t = 60 | T* / h | stack | disagree |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        found = [one for name, one in firsts if name == arm]
        both = [one for one in found if None not in (one["exponent"], one["ode_exponent"])]
        late = [one["ode_late_exponent"] for one in found if one["ode_late_exponent"] is not None]
        blown = [one for one in found if None not in (one["blew_up_at"], one["ode_blew_up_at"])]
        apart = sum((one["blew_up_at"] is None) != (one["ode_blew_up_at"] is None) for one in found)
        lines.append(
            f"| {arm} | {len(found)} | {max(abs(one['ratio'] - one['ode_ratio']) for one in found):.4f} | "
            + (f"{max(abs(one['exponent'] - one['ode_exponent']) for one in both):.5f}" if both else "-")
            + f" | {_median(late)} | {_median([one['ode_blew_up_at'] for one in blown])} | "
            f"{_median([one['blew_up_at'] for one in blown])} | {apart} |"
        )
    return lines


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.4g}" if values else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
