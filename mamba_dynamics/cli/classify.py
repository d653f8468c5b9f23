"""`mamba-dynamics classify`: what a checkpoint's layers do, from their weights and from tokens."""

from typing import TYPE_CHECKING, Any

import click

from .checkpoint_options import integrates, judge, of_a_checkpoint
from .command import as_json, command
from .names import Name, levels, scenarios
from .output import UNDECIDED_OR_DISAGREES, fail, print_json, refuse, was_given

if TYPE_CHECKING:
    from .._report import LayerReport, Report
    from .gate import Gate

#: So many unlike reasons one line tells.
_MOST_REASONS = 4


@command
@of_a_checkpoint
@click.option(
    "--fail-on",
    multiple=True,
    type=Name(scenarios, comma=True),
    help="End with code 4 if a layer shows one of these scenarios: a comma list.",
)
@click.option(
    "--fail-on-level",
    type=Name(levels, strict=True),
    default="certified",
    help="The evidence that --fail-on asks: spectral, certified or tokens.",
)
@as_json
def classify(fail_on: tuple[str, ...], fail_on_level: str, json: bool, **given: Any) -> None:
    """Say what tokens do in each S6 layer of a checkpoint: eigenvalue rule, certificate, and the tokens' own ODE."""
    gate = None
    if not fail_on and was_given("fail_on_level"):
        refuse("--fail-on-level goes with --fail-on")
    if fail_on:
        from .gate import Gate

        gate = Gate.of(fail_on, fail_on_level, integrates=integrates(given))
    report = judge(**given)
    _show(report, gate, json)
    end(report, gate)


def end(report: "Report", gate: "Gate | None" = None) -> None:
    """Exit as the report asks: 1 for a layer that could not be read, 3 for one that is undecided or contradicted.

    With a gate it is this that decides between 0, 3 and its own code.
    """
    if report.errors:
        fail(reasons(report))
    if gate is not None:
        gate.end(report)
    elif not report.decided:
        raise click.exceptions.Exit(UNDECIDED_OR_DISAGREES)


def reasons(report: "Report") -> str:
    """Why layers could not be read: each reason once, with the number of its layers and the first one's name."""
    found: dict[str, list[LayerReport]] = {}
    for layer in report.layers:
        if layer.error is not None:
            reason = layer.error.replace(layer.slot.name, "") if layer.slot.name else layer.error
            found.setdefault(reason, []).append(layer)
    words = [_reason(layers) for layers in found.values()]
    more = len(words) - _MOST_REASONS
    return "; ".join(words[:_MOST_REASONS]) + (f"; and {more} more reasons: --json lists them" if more > 0 else "")


def _reason(layers: "list[LayerReport]") -> str:
    return f"in {len(layers)} layers, the first: {layers[0].error}" if len(layers) > 1 else str(layers[0].error)


def _show(report: "Report", gate: "Gate | None", json: bool) -> None:
    if json:
        from .._classification_document import classification_document

        print_json(classification_document(report) | ({} if gate is None else {"gate": gate.document(report)}))
        return
    from .classification_text import print_report

    print_report(report)
