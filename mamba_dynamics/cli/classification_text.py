"""The report on a checkpoint as people read it in a terminal."""

from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.table import Table

from .._classification_document import blow_up_companions, scenario_counts
from .._outcomes import Scenario
from .console import Console
from .output import as_markup, counted

if TYPE_CHECKING:
    from .._report import LayerReport, Report
    from .._tokens_verdict import TokensVerdict
    from .._verdict import Verdict
    from .._weights_verdict import WeightsVerdict


def print_report(report: "Report") -> None:
    """Print the checkpoint's facts, a table of its layers, what tokens did, and what to bear in mind."""
    console = Console()
    checkpoint = report.checkpoint
    share = report.bytes_read / checkpoint.bytes_total if checkpoint.bytes_total else 0.0
    part = f" ({share:.0%})" if share <= 1 else ", some of them more than once"
    commit = "" if checkpoint.revision is None else f" (commit {checkpoint.revision})"
    below = f" below {as_markup(checkpoint.weights)}" if checkpoint.weights else ""
    console.print(f"[bold]{as_markup(str(checkpoint.path))}[/bold]{commit}")
    console.print(
        f"{as_markup(checkpoint.architecture)}, {checkpoint.format}, {counted(len(checkpoint), 'S6 layer')}{below}; "
        f"read {report.bytes_read:,} of {checkpoint.bytes_total:,} bytes{part}"
    )
    console.print(_table(report))
    pieces = report.text.pieces if report.text is not None else None
    if report.text is not None:
        _print_read_text(console, report)
    # Every token of every layer is too much to read: the JSON has them all.
    if report.text is None or len(report.layers) == 1:
        for layer in report.layers:
            if layer.tokens is not None:
                _print_tokens(console, layer, layer.tokens, pieces)
    _print_summary(console, report)


def _table(report: "Report") -> Table:
    headers = ["layer", "kind", "D x N", "eig+/-", "sym+/-", "mu<0", "rule", "certified"]
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
    shares = [g.channels_convergent / weights.channels for g in groups]
    return [*(f"{_range([p for p, _ in row])}/{_range([n for _, n in row])}" for row in rows), f"{np.mean(shares):.0%}"]


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def _print_tokens(console: Console, layer: "LayerReport", tokens: "TokensVerdict", pieces: list[str] | None) -> None:
    """One layer's tokens, each on a line, and what the first blow-up does to the others."""
    console.print(
        f"\n[bold]layer {layer.slot.index}[/bold] with {counted(tokens.count, 'token')}: {_alignment(tokens)}"
    )
    if tokens.verdicts is None:
        console.print(f"  {tokens.why_not}")
        return
    if tokens.integrated < tokens.count:
        first = "token" if tokens.integrated == 1 else f"{tokens.integrated} tokens"
        console.print(f"  the first {first} integrated; by causality no later token changes what they do")
    for group, verdict in enumerate(tokens.verdicts):
        several = len(tokens.verdicts) > 1 and layer.weights is not None
        where = f"  {layer.weights.group_axis} {group + 1}: " if several and layer.weights else "  "
        console.print(where + _outcome(verdict, tokens.simulated[group]))
        prefix = tokens.prefixes[group]
        if prefix is not None:
            words = "token 1" if prefix.count == 1 else f"tokens 1 to {prefix.count}"
            console.print(f"  {words}, which by causality know nothing of the later ones: {prefix.scenario.value}")
        console.print(_fates(layer, tokens, group, pieces))


def _alignment(tokens: "TokensVerdict") -> str:
    cosines = tokens.alignment[np.isfinite(tokens.alignment)]
    if not cosines.size:
        return "no alignment"
    return f"mean alignment {cosines.mean():+.3f}, negative for {np.mean(cosines < 0):.0%}"


def _outcome(verdict: "Verdict", simulated: Scenario) -> str:
    run = verdict.trajectory
    unsettled = verdict.simulated is not simulated
    doubt = "; halved tolerances show something else: undecided" if unsettled else ""
    if run.blow_up is None:
        return f"{run.outcome.value}: {run.why}{doubt}"
    found = blow_up_companions(verdict)
    others = [f"token {one['token']} at {one['ratio']:.4g} times its size" for one in found if one["ratio"] != 1.0]
    together = f", together with {', '.join(others)}" if others else ""
    time = f"T* = {run.blow_up.time:.10g} +- {run.blow_up.error:.0e} (a layer is a step of 1)"
    return f"{run.outcome.value} at {time}: first token {run.blow_up.token + 1}{together}{doubt}"


def _fates(layer: "LayerReport", tokens: "TokensVerdict", group: int, pieces: list[str] | None) -> Table:
    """A line per integrated token."""
    read = pieces is not None
    headers = [*(["text"] if read else []), "cos", "S_Delta x + b", "|x| at 0", "at the end", "fate"]
    radial = layer.block.radial_rates if layer.block is not None else None
    table = Table("token", *headers, *(["radial"] if radial is not None else []), box=None, padding=(0, 1))
    assert tokens.verdicts is not None
    norms, each = tokens.verdicts[group].trajectory.log_norms, tokens.statistics
    for i, fate in enumerate(tokens.fates_by_group[group]):
        cells = [str(i + 1), *([as_markup(pieces[i])] if pieces is not None else [])]
        cells += [f"{each.alignment[group, i]:+.3f}", f"{each.importance[group, i]:+.3f}"]
        cells += [_size(norms[0, i]), _size(norms[-1, i]), fate.value]
        table.add_row(*cells, *([f"{radial[i]:+.3f}"] if radial is not None else []))
    return table


def _print_read_text(console: Console, report: "Report") -> None:
    """What the model's own tokens do, a line per layer, and how far they agree with each other along the depth."""
    assert report.text is not None
    headers = ["layer", "mean cos", "q<0", "S_Delta x + b", "tokens' ODE", "T*", "grows", "D", "corr"]
    table = Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    for layer in report.layers:
        if layer.tokens is None or layer.block is None:
            continue
        tokens, each, block = layer.tokens, layer.tokens.statistics, layer.block
        cosines = tokens.alignment[np.isfinite(tokens.alignment)]
        blow_ups = [one.trajectory.blow_up for one in tokens.verdicts or () if one.trajectory.blow_up is not None]
        time = f"{min(one.time for one in blow_ups):.4g}" if blow_ups else ""
        seen = tokens.scenario.value if tokens.verdicts is not None else "not closed"
        table.add_row(
            *(str(layer.slot.index), f"{cosines.mean():+.3f}" if cosines.size else "", f"{np.mean(each.q < 0):.0%}"),
            *(f"{each.raw_step_mean.min():+.2f}..{each.raw_step_mean.max():+.2f}", seen, time),
            *(f"{block.growing:.0%}", f"{block.skip_sign_mean:+.2f}", f"{block.skip_correlation:+.2f}"),
        )
    console.print(f"\n[bold]the model's own tokens[/bold], {len(report.text.ids)} of them")
    console.print(table)
    console.print(_gauge(report))
    for name, curve in report.text.consensus.items():
        steps = np.unique(np.linspace(0, len(curve.leading_share) - 1, 6).astype(int))
        shares = "  ".join(f"{i}: {curve.leading_share[i]:.2f}" for i in steps)
        ratios = "  ".join(f"{i}: {curve.participation_ratio[i]:.1f}" for i in steps)
        console.print(f"consensus, {name.replace('_', ' ')}: leading share {shares}; participation ratio {ratios}")


def _gauge(report: "Report") -> str:
    blocks = [layer.block for layer in report.layers if layer.block is not None]
    invariant = (
        "grows: the share of tokens that the whole block lengthens in the residual stream; corr: of the scan with D x, "
        "negative where the scan works against the skip"
    )
    if all(one.sign_is_convention for one in blocks):
        return (
            f"{invariant}. Neither depends on the representative. The sign of M does: (S_C, D, W_out) -> (-S_C, -D, "
            "-W_out) leaves a block as it is and flips the scenario together with D, whose mean sign stands beside it."
        )
    return f"{invariant}; D: its mean sign. C passes SiLU here: no change of weights flips M."


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
            f"In {contradicted} of {counted(len(judged), 'layer')} the paper's eigenvalue rule is not the whole truth: "
            "sym(M) is indefinite or single channels go the other way, so what happens depends on the token (--text, "
            "--tokens, --random-tokens)."
        )
    warnings = dict.fromkeys([*report.checkpoint.warnings, *(line for one in judged for line in one.warnings)])
    for line in warnings:
        console.print(f"note: {as_markup(line)}")
    if judged:
        console.print(f"dropped by the infinite-depth limit: {', '.join(judged[0].dropped)}")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"
