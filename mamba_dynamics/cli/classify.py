"""`mamba-dynamics classify`: what a checkpoint's layers do, from their weights and from tokens."""

from typing import TYPE_CHECKING, Annotated

import typer

from . import checkpoint_options as given
from .gate import Gate
from .output import UNDECIDED_OR_DISAGREES, fail, one_line_errors, print_json

if TYPE_CHECKING:
    from .._report import Report


@one_line_errors
def classify(
    path: given.PathArgument = None,
    layer: given.Layer = None,
    layers: given.Layers = None,
    groups: given.Groups = None,
    variant: given.Variant = None,
    tokens: given.Tokens = None,
    random_tokens: given.RandomTokens = None,
    seed: given.Seed = 0,
    text: given.TextGiven = None,
    text_file: given.TextFile = None,
    token_ids: given.TokenIds = None,
    integrate: given.Integrate = None,
    depth: given.Depth = None,
    rtol: given.Rtol = 1e-8,
    max_steps: given.MaxSteps = 2048,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(help="End with code 4 if a layer shows one of these scenarios: a comma list."),
    ] = None,
    fail_on_level: Annotated[
        str, typer.Option(help="The evidence that --fail-on asks: spectral, certified or tokens.")
    ] = "certified",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say what tokens do in each S6 layer of a checkpoint: eigenvalue rule, certificate, and the tokens' own ODE."""
    integrates = any(one is not None for one in (tokens, random_tokens, text, text_file, token_ids)) and integrate != 0
    gate = Gate.of(fail_on, fail_on_level, integrates=integrates) if fail_on else None
    report = given.judge(
        path=path,
        layer=layer,
        layers=layers,
        groups=groups,
        variant=variant,
        tokens=tokens,
        random_tokens=random_tokens,
        seed=seed,
        text=text,
        text_file=text_file,
        token_ids=token_ids,
        integrate=integrate,
        depth=depth,
        rtol=rtol,
        max_steps=max_steps,
    )
    _show(report, gate, json)
    end(report, gate)


def end(report: "Report", gate: Gate | None = None) -> None:
    """Exit as the report asks: 1 for a layer that could not be read, 3 for one that is undecided or contradicted.

    With a gate it is this that decides between 0, 3 and its own code.
    """
    if report.errors:
        fail("; ".join(report.errors))
    if gate is not None:
        gate.end(report)
    elif not all(one.decided for one in report.layers):
        raise typer.Exit(UNDECIDED_OR_DISAGREES)


def _show(report: "Report", gate: Gate | None, json: bool) -> None:
    if json:
        from .._classification_document import classification_document

        print_json(classification_document(report) | ({} if gate is None else {"gate": gate.document(report)}))
        return
    from .classification_text import print_report

    print_report(report)
