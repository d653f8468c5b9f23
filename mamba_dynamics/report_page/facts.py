"""What the page shows of each layer, as plain values: strings as they are read, numbers to sort by."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._classification_document import levels_agree
from .._documents import printable
from .._outcomes import Scenario
from .words import about_layer, disagreements, first_blow_up, signed, spoken

if TYPE_CHECKING:
    from .._report import LayerReport, Report
    from .._tokens_verdict import TokensVerdict
    from .._weights_verdict import WeightsVerdict

#: Tokens and groups that a layer's own part shows; the embedded document has all of them.
MOST_TOKENS, MOST_GROUPS = 64, 4


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text, and what its column is sorted by; `scenario` names the colour beside it."""

    text: str
    key: float | str
    scenario: str = ""


@dataclass(frozen=True)
class TokenTable:
    """The tokens of one group: a title and rows of cells under `headers`."""

    title: str
    headers: tuple[str, ...]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class LayerFacts:
    """One layer: its row in the table of layers, and its own part of the page."""

    index: int
    name: str
    row: dict[str, Cell]
    sentences: list[str]
    facts: list[tuple[str, str]]
    token_tables: list[TokenTable]
    left_out: str
    warnings: list[str]
    disagreements: list[str]


#: The columns of the table of layers: header -> what it means.
COLUMNS = {
    "layer": "Position among the S6 layers, from 0",
    "proved": "What exact arithmetic proves",
    "rule": "The paper's rule",
    "tokens": "What the integrated tokens do",
    "T*": "When the first token becomes infinite, in layers of step 1; a bound where only a beginning is decided",
    "channels": "Share of channels that alone would converge",
    "step": "Median step size of a token close to zero",
    "M: + / −": "Eigenvalues of M above and below zero, structural zeros left out; a range over several groups",
    "sym M: + / −": "The same for the symmetric part of M",
    "D × N": "Channels × states",
}
#: Those that only integrated tokens fill.
OF_TOKENS = {"tokens", "T*"}

#: The columns of the tables of tokens.
TOKEN_COLUMNS = {
    "token": "Its place in the sequence, from 1",
    "text": "What it stands for",
    "alignment": "The sign and size of its own drive, from −1 (towards zero) to 1 (away)",
    "raw step": "Its importance: the mean over channels of what becomes its step size",
    "size at first": "Its length before the run",
    "at the end": "Its length where the run ended",
    "fate": "What it does in the run",
    "whole block": "How much the model's whole block lengthens it, relative to its length",
}


def layer_facts(report: "Report") -> list[LayerFacts]:
    """Every layer of the report, in order."""
    return [_layer(report, layer) for layer in report.layers]


def _layer(report: "Report", layer: "LayerReport") -> LayerFacts:
    weights, tokens = layer.weights, layer.tokens
    pieces = None if report.text is None or report.text.pieces is None else report.text.pieces
    tables = [] if tokens is None else list(_token_tables(layer, tokens, pieces))
    return LayerFacts(
        index=layer.slot.index,
        name=printable(layer.slot.name),
        row=_row(layer),
        sentences=[printable(one) for one in about_layer(layer)],
        facts=[] if weights is None else list(_facts(layer, weights)),
        token_tables=tables,
        left_out=_left_out(tokens),
        warnings=[] if weights is None else [printable(one) for one in weights.warnings],
        disagreements=[printable(one) for one in disagreements(layer, levels_agree(layer))],
    )


def _row(layer: "LayerReport") -> dict[str, Cell]:
    slot, weights, tokens = layer.slot, layer.weights, layer.tokens
    row = {name: Cell("", "") for name in COLUMNS}
    row["layer"] = Cell(str(slot.index), slot.index)
    row["D × N"] = Cell(f"{slot.d_inner} × {slot.d_state}", slot.d_inner or 0)
    if weights is None:
        return row | {"proved": Cell("unreadable", "unreadable")}
    row["proved"], row["rule"] = _scenario(weights.certified), _scenario(weights.spectral)
    if weights.closed:
        share = float(np.mean([one.channels_convergent for one in weights.groups])) / weights.channels
        row["channels"] = Cell(f"{share:.0%}", share)
    median = float(np.median(weights.step_size_at_zero))
    row["step"] = Cell(f"{median:.3g}", median)
    row["M: + / −"] = _signs([(g.spectrum.positive, g.spectrum.negative) for g in weights.groups])
    row["sym M: + / −"] = _signs([(g.symmetric_part.positive, g.symmetric_part.negative) for g in weights.groups])
    if tokens is not None and tokens.integrated:
        row["tokens"] = _scenario(tokens.scenario)
        if (first := first_blow_up(tokens)) is not None:
            row["T*"] = Cell(f"{'≤ ' if first[0] else ''}{first[1]:.4g}", first[1])
    return row


def _scenario(scenario: Scenario) -> Cell:
    return Cell(spoken(scenario), scenario.value, scenario.value)


def _signs(counts: list[tuple[int, int]]) -> Cell:
    positive, negative = zip(*counts, strict=True)
    return Cell(f"{_range(positive)} / {_range(negative)}", max(positive))


def _range(values: tuple[int, ...]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}–{high}"


def _facts(layer: "LayerReport", weights: "WeightsVerdict") -> Iterator[tuple[str, str]]:
    """(what, value) for the list of facts of one layer."""
    slot, groups, sizes = layer.slot, weights.groups, weights.step_size_at_zero
    yield "Kind", printable(slot.kind)
    if slot.heads > 1 or len(groups) > 1:
        yield "Heads, groups", f"{slot.heads}, {len(groups)}"
    for place, group in enumerate(groups[:MOST_GROUPS]):
        where = "" if len(groups) == 1 else f", {weights.group_axis} {place + 1}"
        real = group.spectrum.spectrum.eigenvalues.real
        symmetric = group.symmetric_part.spectrum
        yield f"Eigenvalues of M{where}", f"real parts {_between(real.min(), real.max())}"
        yield (
            f"Symmetric part of M{where}",
            f"{group.definiteness.replace('_', ' ')}, eigenvalues {_between(symmetric.smallest, symmetric.largest)} "
            f"({group.symmetric_part.known_by.value})",
        )
    if len(groups) > MOST_GROUPS:
        yield "Further groups", f"{len(groups) - MOST_GROUPS}, in the data at the end"
    yield "Step size of a token close to zero", f"{sizes.min():.4g} to {sizes.max():.4g}, median {np.median(sizes):.4g}"
    if layer.tokens is not None:
        raw = layer.tokens.statistics
        yield "Raw step sizes of the tokens", _between(raw.raw_step_min.min(), raw.raw_step_max.max())
    if layer.block is not None:
        yield "Tokens that the whole block lengthens", f"{layer.block.growing:.0%}"
        yield "Mean sign of the skip D", signed(layer.block.skip_sign_mean, "+.2f")
        yield "Correlation of the scan with the skip", signed(layer.block.skip_correlation, "+.2f")
    if layer.tokens is not None and layer.tokens.verdicts is not None:
        runs = zip(layer.tokens.verdicts[:MOST_GROUPS], layer.tokens.simulated, strict=False)
        for place, (run, seen) in enumerate(runs):
            where = "" if len(groups) == 1 else f", {weights.group_axis} {place + 1}"
            yield f"The run{where}", f"{spoken(seen)}: {run.trajectory.why}"
            yield f"What theory expects{where}", run.prediction.why


def _between(low: float, high: float) -> str:
    return f"from {signed(low, '+.4g')} to {signed(high, '+.4g')}"


def _token_tables(layer: "LayerReport", tokens: "TokensVerdict", pieces: list[str] | None) -> Iterator[TokenTable]:
    each, several = tokens.statistics, len(tokens.alignment) > 1
    shown = min(tokens.integrated or tokens.count, MOST_TOKENS)
    radial = None if layer.block is None else layer.block.radial_rates
    for group in range(min(len(tokens.alignment), MOST_GROUPS)):
        run = tokens.verdicts[group].trajectory if tokens.verdicts is not None else None
        headers = ["token", *(["text"] if pieces is not None else []), "alignment", "raw step"]
        headers += ["size at first", "at the end", "fate"] if run is not None else []
        headers += ["whole block"] if radial is not None else []
        rows = []
        for i in range(shown):
            row = [Cell(str(i + 1), i)]
            row += [] if pieces is None else [Cell(printable(pieces[i]), pieces[i])]
            row += [_signed(each.alignment[group, i]), _signed(each.importance[group, i])]
            if run is not None:
                fate = tokens.fates_by_group[group][i]
                row += [_size(run.log_norms[0, i]), _size(run.log_norms[-1, i])]
                row += [Cell(fate.value.replace("_", " "), fate.value, fate.value)]
            row += [] if radial is None else [_signed(radial[i])]
            rows.append(row)
        axis = layer.weights.group_axis if layer.weights is not None else "group"
        where = f", {axis} {group + 1}" if several else ""
        yield TokenTable(f"Tokens of layer {layer.slot.index}{where}", tuple(headers), rows)


def _left_out(tokens: "TokensVerdict | None") -> str:
    """What the tables of tokens do not show."""
    if tokens is None:
        return ""
    shown = min(tokens.integrated or tokens.count, MOST_TOKENS)
    some = [f"{tokens.count - shown} further tokens"] if tokens.count > shown else []
    more = len(tokens.alignment) - MOST_GROUPS
    some += [f"{more} further groups"] if more > 0 else []
    return f"{' and '.join(some)}: in the data at the end." if some else ""


def _signed(value: float) -> Cell:
    return Cell(signed(value, "+.3f"), float(value)) if np.isfinite(value) else Cell("", "")


def _size(log_norm: float) -> Cell:
    if log_norm == -np.inf:
        return Cell("0", "-1e999")
    return Cell(f"{np.exp(log_norm):.4g}" if abs(log_norm) < 690 else f"e^{log_norm:.5g}", float(log_norm))
