"""`mamba-dynamics verify`: every theorem checked by algebra, over random cases, by certificates and counterexamples."""

import os
from typing import TYPE_CHECKING

import click

from .command import as_json, command
from .names import Name
from .names import theorems as known_theorems
from .output import UNDECIDED_OR_DISAGREES, print_json
from .progress import progress_on_stderr

if TYPE_CHECKING:
    from ..verification.verify import Refutation, TheoremReport, Verification


@command
@click.option(
    "--theorem",
    "theorems",
    multiple=True,
    type=Name(known_theorems),
    help="Only this theorem; may be given several times.",
)
@click.option("--cases", type=click.IntRange(min=1), default=200, help="Random cases per theorem.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the random cases.")
@click.option("--processes", type=click.IntRange(min=1), help="Processes; default: one per processor.")
@as_json
def verify(theorems: tuple[str, ...], cases: int, seed: int, processes: int | None, json: bool) -> None:
    """Check every theorem: its proof by algebra, its conclusion over random cases, its limits by counterexample."""
    from ..verification.document import verification_document
    from ..verification.verify import verify as verify_theorems

    with progress_on_stderr("pieces") as show:
        found = verify_theorems(
            theorems or None, cases=cases, seed=seed, processes=processes or os.cpu_count() or 1, progress=show
        )
    if json:
        print_json(verification_document(found))
    else:
        _print_tables(found)
    if not found.complete:
        raise click.exceptions.Exit(UNDECIDED_OR_DISAGREES)


def _print_tables(found: "Verification") -> None:
    from rich import box
    from rich.table import Table

    from .._outcomes import Truth
    from .console import Console

    console = Console()
    names = ("sec.", "by", "steps", "cases", "proved", "claims", "status")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("theorem", no_wrap=True, min_width=max(len(one.theorem.name) for one in found.theorems))
    for name in names:
        table.add_column(name, no_wrap=True)
    for one in found.theorems:
        settled = [step for _, step in one.steps]
        table.add_row(
            one.theorem.name,
            one.theorem.section,
            one.theorem.origin.value,
            f"{sum(step.truth is Truth.HOLDS for step in settled)}/{len(settled)}",
            f"{one.count(Truth.HOLDS)}/{len(one.cases)}",
            one.certificate.get("status", ""),
            f"{sum(claim.refuted for claim in one.refutations)}/{len(one.refutations)}" if one.refutations else "",
            one.truth.value,
        )
    console.print(table)
    for one in found.theorems:
        _print_exceptions(console, one)
    _print_claims(console, found)
    console.print(
        f"{len(found.theorems)} theorems, {found.cases} cases each, seed {found.seed}, {found.wall_seconds:.0f} s: "
        f"{found.truth.value}"
    )


def _print_exceptions(console, one: "TheoremReport") -> None:
    from .._outcomes import Truth

    for step, settled in one.steps:
        if settled.truth is not Truth.HOLDS:
            console.print(f"{one.theorem.name}: step {settled.truth.value}: {step.says}", markup=False)
    for verdict in [case for case in one.cases if case.truth is not Truth.HOLDS][:3]:
        worst = verdict.worst
        what = verdict.why if worst is None else f"{worst.expected.quantity}: expected {worst.expected.relation.value} "
        if worst is not None:
            what += f"{worst.expected.value}, found {worst.found}"
        console.print(f"{one.theorem.name}: case {verdict.index} {verdict.truth.value}: {what}", markup=False)


def _print_claims(console, found: "Verification") -> None:
    """The paper's own claims that fail; naive ones are counted, and spelled out in the JSON and the documentation."""
    claims = [(one.theorem.name, claim) for one in found.theorems for claim in one.refutations]
    papers = [(name, one) for name, one in claims if one.claim.origin.value == "paper"]
    if papers:
        console.print("claims of the paper that are not sharp, or fail:")
    for name, one in papers:
        console.print(f"- {one.claim.claim} ({name}): {_verdict(one)}; {one.claim.because}", markup=False)
    naive = [one for _, one in claims if one.claim.origin.value != "paper"]
    if naive:
        refuted = sum(one.refuted for one in naive)
        console.print(f"{refuted} of {len(naive)} naive claims refuted by their counterexamples (see --json)")


def _verdict(one: "Refutation") -> str:
    from .._outcomes import Truth

    if not one.refuted:
        return "NOT refuted"
    failed = next(judgement for judgement in one.judgements if judgement.truth is Truth.FAILS)
    found = failed.found if isinstance(failed.found, str) else f"{failed.found:.6g}"
    value = failed.expected.value
    expected = f"{value:.6g}" if isinstance(value, float | int) else str(value)
    error = f" +- {failed.standard_error:.0e}" if failed.standard_error is not None else ""
    token = "" if failed.expected.token is None else f" of token {failed.expected.token + 1}"
    return f"refuted ({failed.expected.quantity}{token}: claimed {expected}, found {found}{error})"
