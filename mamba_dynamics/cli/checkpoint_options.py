"""The options of every command that judges a checkpoint: which layers, which tokens, how they are integrated."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .._report import Report

PathArgument = Annotated[
    str | None,
    typer.Argument(
        help="A weight file, a model folder, or ORG/NAME[@REVISION] on the Hugging Face hub; without it, the bundled "
        "sample model."
    ),
]
Layer = Annotated[int | None, typer.Option(help="Only this S6 layer (0-based; negative from the end).")]
Layers = Annotated[str | None, typer.Option(help="Only these S6 layers: START:STOP, 0-based, STOP excluded.")]
Groups = Annotated[int | None, typer.Option(help="Number of B/C groups, where a Mamba-2 file has no config.")]
Variant = Annotated[str | None, typer.Option(help="Sign map of a definite parametrisation: positive, negative, mixed.")]
Tokens = Annotated[Path | None, typer.Option(help="Integrate from these tokens: a .npy file (L x d_inner).")]
RandomTokens = Annotated[int | None, typer.Option(min=1, help="Integrate from L standard normal tokens.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the random tokens.")]
TextGiven = Annotated[str | None, typer.Option(help="Integrate from the tokens of this text, read by the model.")]
TextFile = Annotated[Path | None, typer.Option(help="The same, from a text file (UTF-8).")]
TokenIds = Annotated[str | None, typer.Option(help="The same, from token ids I,J,... of its vocabulary.")]
Integrate = Annotated[
    int | None, typer.Option(min=0, help="Integrate only the first N tokens (of a text: 16 unless told; 0: none).")
]
Depth = Annotated[
    int | None, typer.Option(min=1, help="Cycle the layers to this depth when measuring the tokens' consensus.")
]
Rtol = Annotated[float, typer.Option(help="Tolerance of the integration.")]
MaxSteps = Annotated[int, typer.Option(min=1, help="Budget of solver steps per run.")]


def judge(
    *,
    path: str | None,
    layer: int | None,
    layers: str | None,
    groups: int | None,
    variant: str | None,
    tokens: Path | None,
    random_tokens: int | None,
    seed: int,
    text: str | None,
    text_file: Path | None,
    token_ids: str | None,
    integrate: int | None,
    depth: int | None,
    rtol: float,
    max_steps: int,
) -> "Report":
    """`classify_checkpoint` with the options as given on the command line, its progress shown on stderr."""
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
        return classify_checkpoint(
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
