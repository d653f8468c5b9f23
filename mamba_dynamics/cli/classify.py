"""`mamba-dynamics classify`: what a checkpoint's layers do, from their weights and from tokens."""

from typing import TYPE_CHECKING, Annotated

import typer

from . import checkpoint_options as given
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
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say what tokens do in each S6 layer of a checkpoint: eigenvalue rule, certificate, and the tokens' own ODE."""
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
    _show(report, json)
    end(report)


def end(report: "Report") -> None:
    """Exit as the report asks: 1 for a layer that could not be read, 3 for one that is undecided or contradicted."""
    if report.errors:
        fail("; ".join(report.errors))
    if not all(one.decided for one in report.layers):
        raise typer.Exit(UNDECIDED_OR_DISAGREES)


def _show(report: "Report", json: bool) -> None:
    if json:
        from .._classification_document import classification_document

        print_json(classification_document(report))
        return
    from .classification_text import print_report

    print_report(report)
