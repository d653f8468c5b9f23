"""`mamba-dynamics simulate`: integrate tokens into their asymptotic regime and compare with the theory."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import PATH, as_json, command
from .names import Tolerance
from .output import UNDECIDED_OR_DISAGREES, fail, finite, numbers, print_json, refuse, was_given

if TYPE_CHECKING:
    from .._layer import S6Layer
    from .._verdict import Verdict


@command
@click.option("--x0", required=True, help="Initial tokens: v1,v2,... or a .npy file (L x D) with --layer.")
@click.option("--mu", help="mu = S_C S_B; a comma list for several decay rates.")
@click.option("--s-delta", type=float, help="S_Delta, the slope of the step size.")
@click.option("--a", help="Decay rate a = exp(A_log); as many as --mu.")
@click.option("--dt-bias", default=0.0, help="Bias b of the step size softplus(S_Delta x + b).")
@click.option("--layer", type=PATH, help="A .npz with S_B, S_C, S_Delta (or dt_up, dt_down), A_log (or a), dt_bias.")
@click.option("--until", type=float, help="End time t; without it, until the scenario is decided.")
@click.option("--log-until", type=float, help="End time as ln(1 + t).")
@click.option("--rtol", type=Tolerance(), default=1e-12, help="Relative tolerance per step.")
@click.option("--atol", default=1e-12, help="Tolerance per step on logarithmic coordinates.")
@click.option("--max-steps", type=click.IntRange(min=1), default=4096, help="Budget of solver steps.")
@click.option("--certify", is_flag=True, help="Prove the scenario and bracket T* (D = 1, at most 8 tokens; seconds).")
@as_json
def simulate(
    x0: str,
    mu: str | None,
    s_delta: float | None,
    a: str | None,
    dt_bias: float,
    layer: Path | None,
    until: float | None,
    log_until: float | None,
    rtol: float,
    atol: float,
    max_steps: int,
    certify: bool,
    json: bool,
) -> None:
    """Integrate tokens under one S6 layer into their asymptotic regime, and compare with the theory."""
    if until is not None and log_until is not None:
        refuse("give one end time, not both --until and --log-until")
    for name, end in (("--until", until), ("--log-until", log_until)):
        if end is not None and not 0 <= end < math.inf:
            refuse(f"expected a finite time >= 0, found {end:g}; time runs forward from 0", name)
    system, tokens = _system(x0, mu, s_delta, a, dt_bias, layer)

    from .._simulation_document import simulation_document
    from .._verdict import classify

    verdict = classify(system, tokens, until=until, log_until=log_until, rtol=rtol, atol=atol, max_steps=max_steps)
    if json:
        print_json(simulation_document(verdict, certify=certify))
    else:
        _print_tables(verdict, certify=certify)
    _exit(verdict, certify=certify)


def _system(x0, mu, s_delta, a, dt_bias, layer) -> "tuple[S6Layer, object]":
    from .._layer import S6Layer
    from .arrays import read_layer, read_tokens

    if layer is not None:
        if mu is not None or a is not None or s_delta is not None or was_given("dt_bias"):
            refuse("--layer already holds the weights: leave out --mu, --s-delta, --a and --dt-bias")
        return read_layer(layer), read_tokens(Path(x0))
    if mu is None or s_delta is None or a is None:
        given = {"--mu": mu, "--s-delta": s_delta, "--a": a}
        missing = " and ".join(name for name, value in given.items() if value is None)
        refuse(f"give --mu, --s-delta and --a, or a --layer file; missing: {missing}")
    rates = numbers(a, "--a")
    if min(rates) < 0:
        fail(f"--a: expected decay rates a >= 0, found {min(rates):g}; a = exp(A_log) is positive, give its magnitude")
    slope, bias = finite(s_delta, "--s-delta"), finite(dt_bias, "--dt-bias")
    one = S6Layer.scalar(mu=numbers(mu, "--mu"), S_Delta=slope, a=rates, dt_bias=bias)
    return one, numbers(x0, "--x0")


def _exit(verdict: "Verdict", *, certify: bool) -> None:
    from .._outcomes import Outcome, Truth

    if verdict.trajectory.outcome is Outcome.SOLVER_FAILED:
        fail(f"expected the run to reach a decision, but {verdict.trajectory.why}; loosen --rtol or shorten --until")
    if verdict.agreement is not Truth.HOLDS or (certify and verdict.contradicted):
        raise click.exceptions.Exit(UNDECIDED_OR_DISAGREES)


def _print_tables(verdict: "Verdict", *, certify: bool) -> None:
    from rich.table import Table

    from .console import Console

    run, prediction, console = verdict.trajectory, verdict.prediction, Console()
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_row("theory", f"{prediction.scenario.value}: {prediction.why} [{prediction.source}]".replace("[", "\\["))
    facts.add_row("simulation", f"{run.outcome.value}: {run.why}")
    if run.blow_up:
        time = f"T* = {run.blow_up.time:.15g} +- {run.blow_up.error:.1e}"
        if run.blow_up.time in (0.0, math.inf):
            time = f"ln T* = {run.blow_up.log_time:.15g}"
        facts.add_row("blow-up", f"{time}, token {run.blow_up.token + 1}")
    facts.add_row("reached", f"ln(1 + t) = {run.log1p_t[-1]:.6g}")
    facts.add_row("work", f"{run.rhs_evaluations} right-hand sides, {run.steps} steps, {run.wall_seconds:.2f} s")
    facts.add_row("agreement", verdict.agreement.value)
    if certify:
        facts.add_row("certificate", _certificate(verdict))
    console.print(facts)
    console.print(_token_table(verdict))
    laws = dict.fromkeys(token.law.name.value for token in verdict.tokens if token.law)
    if laws:
        console.print(f"slope: predicted by {', '.join(laws)} (see mamba_dynamics.GrowthLaw); constant: measured")
    _print_formulas(console, verdict)


def _certificate(verdict: "Verdict") -> str:
    found = verdict.certificate
    if found is None:
        return "none for several channels"
    if found.scenario is None:
        return f"nothing is proved: {found.proof}"
    words = f"{found.scenario.value} is proved: {found.proof}"
    if found.blow_up_time is not None:
        words += f"; T* in {found.blow_up_time.str(14)}".replace("[", "\\[")
    return words + ("; it CONTRADICTS the simulation" if verdict.contradicted else "")


def _print_formulas(console, verdict: "Verdict") -> None:
    """Theory's laws as formulas, and what they took from the run."""
    if verdict.asymptotics is None:
        return
    for token in verdict.asymptotics.tokens:
        if token.expression is None or token.expression == 0:
            continue
        told = f"  (told by the run: {', '.join(token.told)})" if token.told else ""
        console.print(f"|x_{token.index + 1}| ~ {token.expression}{told}", markup=False, highlight=False)


def _token_table(verdict: "Verdict"):
    from rich import box
    from rich.table import Table

    names = ("token", "fate", "ln|x|", "slope", "measured", "+-", "constant", "law")
    table = Table(*names, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    for token in verdict.tokens:
        law, exponent, constant = token.law, token.exponent, token.constant
        known = law is not None and law.constant is not None
        table.add_row(
            str(token.index + 1),
            token.fate.value,
            f"{verdict.trajectory.log_norms[-1, token.index]:.6g}",
            _short(law.exponent if law else None),
            _short(exponent.value if exponent else None),
            f"{exponent.standard_error:.0e}" if exponent else "",
            _short(constant.value if constant and known else None),
            token.agreement.value if law else "no claim",
        )
    return table


def _short(value: float | None) -> str:
    return "" if value is None else f"{round(value, 12) + 0.0:.6g}"  # slopes at rounding level are 0
