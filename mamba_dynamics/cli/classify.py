"""`mamba-dynamics classify`: what a checkpoint's layers do, from their weights and from tokens."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import UNDECIDED_OR_DISAGREES, fail, one_line_errors, print_json

if TYPE_CHECKING:
    from .._report import Report


@one_line_errors
def classify(
    path: Annotated[
        str | None, typer.Argument(help="A weight file or a model folder; without it, the bundled sample model.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Only this S6 layer (0-based; negative from the end).")] = None,
    layers: Annotated[
        str | None, typer.Option(help="Only these S6 layers: START:STOP, 0-based, STOP excluded.")
    ] = None,
    groups: Annotated[
        int | None, typer.Option(help="Number of B/C groups, where a Mamba-2 file has no config.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="Sign map of a definite parametrisation: positive, negative, mixed.")
    ] = None,
    tokens: Annotated[Path | None, typer.Option(help="Integrate from these tokens: a .npy file (L x d_inner).")] = None,
    random_tokens: Annotated[int | None, typer.Option(min=1, help="Integrate from L standard normal tokens.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random tokens.")] = 0,
    text: Annotated[str | None, typer.Option(help="Integrate from the tokens of this text, read by the model.")] = None,
    text_file: Annotated[Path | None, typer.Option(help="The same, from a text file (UTF-8).")] = None,
    token_ids: Annotated[str | None, typer.Option(help="The same, from token ids I,J,... of its vocabulary.")] = None,
    integrate: Annotated[
        int | None, typer.Option(min=0, help="Integrate only the first N tokens (of a text: 16 unless told; 0: none).")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Cycle the layers to this depth when measuring the tokens' consensus.")
    ] = None,
    rtol: Annotated[float, typer.Option(help="Tolerance of the integration.")] = 1e-8,
    max_steps: Annotated[int, typer.Option(min=1, help="Budget of solver steps per run.")] = 2048,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say what tokens do in each S6 layer of a checkpoint: eigenvalue rule, certificate, and the tokens' own ODE."""
    from .._report import classify_checkpoint
    from .arrays import read_tokens
    from .progress import progress_on_stderr
    from .text import read_text, whole_numbers

    if sum(one is not None for one in (tokens, random_tokens, text, text_file, token_ids)) > 1:
        raise typer.BadParameter("give one of --tokens, --random-tokens, --text, --text-file and --token-ids")
    if depth is not None and text is text_file is token_ids is None:
        raise typer.BadParameter("--depth goes with --text, --text-file or --token-ids")
    chosen = _selection(layer, layers)
    given = None if tokens is None else read_tokens(tokens)
    with progress_on_stderr("layers") as progress:
        report = classify_checkpoint(
            _path(path),
            layers=chosen,
            groups=groups,
            variant=variant,
            tokens=given,
            random_tokens=random_tokens,
            seed=seed,
            text=text if text_file is None else read_text(text_file),
            ids=None if token_ids is None else whole_numbers(token_ids, "--token-ids"),
            depth=depth,
            integrate=integrate,
            rtol=rtol,
            max_steps=max_steps,
            progress=progress,
        )
    _show(report, json)
    if report.errors:
        fail("; ".join(report.errors))
    if not all(one.decided for one in report.layers):
        raise typer.Exit(UNDECIDED_OR_DISAGREES)


def _path(path: str | None) -> str:
    if path is not None:
        return path
    from ..sample import sample_path

    return str(sample_path())


def _selection(layer: int | None, layers: str | None) -> list[int] | slice | None:
    if layer is not None and layers is not None:
        raise typer.BadParameter("give --layer or --layers, not both")
    if layers is None:
        return None if layer is None else [layer]
    try:
        start, stop = (int(part) if part.strip() else None for part in layers.split(":"))
    except ValueError:
        raise typer.BadParameter(f"expected START:STOP, found {layers!r}", param_hint="--layers") from None
    return slice(start, stop)


def _show(report: "Report", json: bool) -> None:
    if json:
        from .._classification_document import classification_document

        print_json(classification_document(report))
        return
    from .classification_text import print_report

    print_report(report)
