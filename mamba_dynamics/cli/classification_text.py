"""The report on a checkpoint as people read it in a terminal."""

from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .._classification_document import scenario_counts

if TYPE_CHECKING:
    from .._report import LayerReport, Report, TokensVerdict
    from .._weights_verdict import WeightsVerdict


def print_report(report: "Report") -> None:
    """Print the checkpoint's facts, a table of its layers, what tokens did, and what to bear in mind."""
    console = Console()
    checkpoint = report.checkpoint
    share = report.bytes_read / checkpoint.bytes_total if checkpoint.bytes_total else 0.0
    console.print(f"[bold]{_printable(str(checkpoint.path))}[/bold]")
    console.print(
        f"{_printable(checkpoint.architecture)}, {checkpoint.format}, {len(checkpoint)} S6 layers; "
        f"read {report.bytes_read:,} of {checkpoint.bytes_total:,} bytes ({share:.0%})"
    )
    console.print(_table(report))
    for layer in report.layers:
        if layer.tokens is not None:
            _print_tokens(console, layer, layer.tokens)
    _print_summary(console, report)


def _printable(text: str) -> str:
    return escape("".join(char if char.isprintable() else ascii(char)[1:-1] for char in text))


def _table(report: "Report") -> Table:
    headers = ["layer", "kind", "D x N", "eig +/-", "sym +/-", "mu_d<0", "rule", "certified"]
    with_tokens = any(layer.tokens is not None for layer in report.layers)
    table = Table(
        *headers, *(["tokens"] if with_tokens else []), box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1)
    )
    for layer in report.layers:
        slot, weights = layer.slot, layer.weights
        cells = [str(slot.index), slot.kind, f"{slot.d_inner}x{slot.d_state}"]
        if weights is None:
            table.add_row(*cells, "unreadable")
            continue
        tokens = [] if layer.tokens is None else [layer.tokens.scenario.value]
        table.add_row(*cells, *_signs(weights), weights.spectral.value, weights.certified.value, *tokens)
    return table


def _signs(weights: "WeightsVerdict") -> list[str]:
    """eig(M) and sym(M), positive / negative (ranges over several groups), and the share of channels with mu_d < 0."""
    groups = weights.groups
    rows = [
        [(g.spectrum.positive, g.spectrum.negative) for g in groups],
        [(g.symmetric_part.positive, g.symmetric_part.negative) for g in groups],
    ]
    shares = [g.channels_convergent / weights.layer.channels for g in groups]
    return [*(f"{_range([p for p, _ in row])}/{_range([n for _, n in row])}" for row in rows), f"{np.mean(shares):.0%}"]


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def _print_tokens(console: Console, layer: "LayerReport", tokens: "TokensVerdict") -> None:
    cosines = tokens.alignment[np.isfinite(tokens.alignment)]
    mean = (
        f"mean alignment {cosines.mean():+.3f}, negative for {np.mean(cosines < 0):.0%}"
        if cosines.size
        else "no alignment"
    )
    console.print(f"\n[bold]layer {layer.slot.index}[/bold] with {tokens.count} tokens: {mean}")
    if tokens.verdicts is None:
        console.print(f"  {tokens.why_not}")
        return
    for index, verdict in enumerate(tokens.verdicts):
        run = verdict.trajectory
        where = (
            f"  {layer.weights.layer.group_axis} {index + 1}: " if len(tokens.verdicts) > 1 and layer.weights else "  "
        )
        if run.blow_up:
            time = f"T* = {run.blow_up.time:.10g} +- {run.blow_up.error:.0e}"
            console.print(
                f"{where}{run.outcome.value} at {time}, first token {run.blow_up.token + 1} (a layer is a step of 1)"
            )
        else:
            console.print(f"{where}{run.outcome.value}: {run.why}")
        console.print(_fates(verdict))


def _fates(verdict) -> Table:
    table = Table("token", "fate", "|x| at the start", "|x| at the end", box=None, padding=(0, 2))
    norms = verdict.trajectory.log_norms
    for token in verdict.tokens:
        start, end = norms[0, token.index], norms[-1, token.index]
        table.add_row(str(token.index + 1), token.fate.value, _size(start), _size(end))
    return table


def _size(log_norm: float) -> str:
    if log_norm == -np.inf:
        return "0"
    return f"{np.exp(log_norm):.4g}" if abs(log_norm) < 11 else f"e^{log_norm:.5g}"


def _print_summary(console: Console, report: "Report") -> None:
    judged = [layer.weights for layer in report.layers if layer.weights is not None]
    contradicted = sum(bool(weights.disagreements) for weights in judged)
    counts = scenario_counts(report)
    console.print(f"\ncertified: {_counted(counts['certified'])}   eigenvalue rule: {_counted(counts['spectral'])}")
    if contradicted:
        console.print(
            f"In {contradicted} of {len(judged)} layers the paper's eigenvalue rule is not the whole truth: sym(M) is "
            "indefinite or single channels go the other way, so what happens depends on the token (--tokens, "
            "--random-tokens)."
        )
    warnings = dict.fromkeys([*report.checkpoint.warnings, *(line for one in judged for line in one.warnings)])
    for line in warnings:
        console.print(f"note: {_printable(line)}")
    if judged:
        console.print(f"dropped by the infinite-depth limit: {', '.join(judged[0].layer.dropped)}")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"
