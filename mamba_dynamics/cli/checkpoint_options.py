"""The options of every command that judges a checkpoint: which layers, which tokens, how they are integrated."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .command import PATH, argument
from .names import CheckpointPath, Name, Tolerance, variants
from .output import dashed, listed, refuse, was_given

if TYPE_CHECKING:
    from .._report import Report

weights_option = click.option(
    "--weights",
    metavar="PREFIX",
    help="Only the layers whose names begin with PREFIX: a copy of the model such as ema_model, or a part; '' for all.",
)

groups_option = click.option("--groups", type=int, help="Number of B/C groups, where a Mamba-2 file has no config.")
variant_option = click.option(
    "--variant",
    type=Name(variants, strict=True),
    help="Sign map of a definite parametrisation: positive, negative, mixed.",
)

_OPTIONS = (
    argument(
        "path",
        type=CheckpointPath(),
        says="A weight file, a model folder, or ORG/NAME[@REVISION] on the Hugging Face hub; without it, the bundled "
        "sample model.",
    ),
    click.option("--layer", type=int, help="Only this S6 layer (0-based; negative from the end)."),
    click.option("--layers", help="Only these S6 layers: START:STOP, 0-based, STOP excluded."),
    groups_option,
    weights_option,
    variant_option,
    click.option("--tokens", type=PATH, help="Integrate from these tokens: a .npy file (L x d_inner)."),
    click.option("--random-tokens", type=click.IntRange(min=1), help="Integrate from L standard normal tokens."),
    click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the random tokens."),
    click.option("--text", help="Integrate from the tokens of this text, read by the model."),
    click.option("--text-file", type=PATH, help="The same, from a text file (UTF-8)."),
    click.option("--token-ids", help="The same, from token ids I,J,... of its vocabulary."),
    click.option(
        "--integrate",
        type=click.IntRange(min=0),
        help="Integrate only the first N tokens (of a text: 16 unless told; 0: none).",
    ),
    click.option(
        "--depth",
        type=click.IntRange(min=1),
        help="Cycle the layers to this depth when measuring the tokens' consensus.",
    ),
    click.option("--rtol", type=Tolerance(), default=1e-8, help="Tolerance of the integration."),
    click.option("--max-steps", type=click.IntRange(min=1), default=2048, help="Budget of solver steps per run."),
)
_TEXTS = ("text", "text_file", "token_ids")
_TOKENS = ("tokens", "random_tokens", *_TEXTS)
#: option -> those of which one has to be given for it to mean anything
_GOES_WITH = {
    "seed": ("random_tokens",),
    "depth": _TEXTS,
    "integrate": _TOKENS,
    "rtol": _TOKENS,
    "max_steps": _TOKENS,
}


def of_a_checkpoint(run: Callable[..., None]) -> Callable[..., None]:
    """Declare the options that `judge` takes; those that contradict each other, or mean nothing alone, are refused."""

    @functools.wraps(run)
    def checked(**given: Any) -> None:
        _require_meaning(given)
        run(**given)

    for option in reversed(_OPTIONS):
        checked = option(checked)
    return checked


def _require_meaning(given: Mapping[str, Any]) -> None:
    if sum(given[name] is not None for name in _TOKENS) > 1:
        refuse(f"give one of {listed(_TOKENS, 'and')}")
    if given["layer"] is not None and given["layers"] is not None:
        refuse("give --layer or --layers, not both")
    for name, others in _GOES_WITH.items():
        if was_given(name) and all(given[other] is None for other in others):
            refuse(f"{dashed(name)} goes with {listed(others, 'or')}")


def integrates(given: Mapping[str, Any]) -> bool:
    """Whether tokens are integrated under these options."""
    return any(given[name] is not None for name in _TOKENS) and given["integrate"] != 0


def judge(
    *,
    path: str | None,
    layer: int | None,
    layers: str | None,
    groups: int | None,
    variant: str | None,
    weights: str | None,
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
    from .progress import progress_on_stderr
    from .text import read_text, whole_numbers

    chosen = _selection(layer, layers)
    given = None
    if tokens is not None:
        from .arrays import read_tokens

        given = read_tokens(tokens)
    with progress_on_stderr("layers") as progress:
        return classify_checkpoint(
            _path(path),
            layers=chosen,
            groups=groups,
            variant=variant,
            weights=weights,
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
    if layers is None:
        return None if layer is None else [layer]
    try:
        start, stop = (int(part) if part.strip() else None for part in layers.split(":"))
    except ValueError:
        refuse(f"expected START:STOP in whole numbers, such as 0:3, found {layers!r}", "--layers")
    return slice(start, stop)
