"""`mamba-dynamics fidelity`: how ODE-like a language model is."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._errors import LayerShapeError
from .checkpoint_options import groups_option, variant_option, weights_option
from .command import PATH, argument, as_json, command
from .names import CheckpointPath, Tolerance
from .output import UNDECIDED_OR_DISAGREES, print_json, refuse

if TYPE_CHECKING:
    import numpy as np

    from .._fidelity import Fidelity
    from ..checkpoints import Checkpoint

#: What is read where no text is given.
TEXT = "The old man sat by the window."


@command
@argument(
    "path",
    type=CheckpointPath(),
    says="A language model's folder or file, or its id on the Hugging Face hub; without it, the bundled sample model.",
)
@weights_option
@groups_option
@variant_option
@click.option("--text", help=f"What the model reads. Default: {TEXT!r}")
@click.option("--text-file", type=PATH, help="A UTF-8 file with what the model reads.")
@click.option("--token-ids", help="Token ids instead of text: 1,2,3.")
@click.option("--layer", type=int, help="Integrate the S6 part of this layer only (0-based; negative from the end).")
@click.option("--doublings", type=click.IntRange(1, 16), default=8, help="Stacks of up to 2^N copies of an S6 layer.")
@click.option("--halvings", type=click.IntRange(1, 12), default=4, help="Euler steps in depth down to 2^-N of a layer.")
@click.option("--rtol", type=Tolerance(), default=1e-8, help="Tolerance of the reference flow in depth, per step.")
@click.option(
    "--max-steps", type=click.IntRange(min=1), default=256, help="Budget of solver steps of every integration."
)
@click.option(
    "--integrate", type=click.IntRange(min=1), default=32, help="Integrate the S6 part from the first N tokens only."
)
@click.option("--ablations/--no-ablations", default=True, help="Also leave out norm, conv, gate, skip and all of them.")
@as_json
def fidelity(
    path: str | None,
    weights: str | None,
    groups: int | None,
    variant: str | None,
    text: str | None,
    text_file: Path | None,
    token_ids: str | None,
    layer: int | None,
    doublings: int,
    halvings: int,
    rtol: float,
    max_steps: int,
    integrate: int,
    ablations: bool,
    json: bool,
) -> None:
    """Say how ODE-like a language model is: the paper's limit, the residual stream as a flow, and what is dropped."""
    from .._fidelity import fidelity as measure
    from ..checkpoints import open_checkpoint
    from .progress import progress_on_stderr

    if sum(one is not None for one in (text, text_file, token_ids)) > 1:
        refuse("give one of --text, --text-file and --token-ids")
    checkpoint = open_checkpoint(_path(path), groups=groups, variant=variant, weights=weights)
    ids = _ids(checkpoint, text, text_file, token_ids)
    with progress_on_stderr("pieces") as progress:
        found = measure(
            checkpoint,
            ids,
            layers=None if layer is None else [layer],
            ablations=ablations,
            doublings=doublings,
            halvings=halvings,
            rtol=rtol,
            max_steps=max_steps,
            integrate=integrate,
            progress=progress,
        )
    _show(found, json)
    if not found.decided:
        raise click.exceptions.Exit(UNDECIDED_OR_DISAGREES)


def _ids(checkpoint: "Checkpoint", text: str | None, text_file: Path | None, token_ids: str | None) -> "np.ndarray":
    """Token ids (L,), by the checkpoint's own tokenizer unless they are given."""
    import numpy as np

    from ..checkpoints.language_model import language_model_weights
    from ..checkpoints.tokenizer import tokenizer_of
    from .text import read_text, whole_numbers

    if token_ids is not None:
        return np.array(whole_numbers(token_ids, "--token-ids"))
    tokenizer = tokenizer_of(checkpoint, language_model_weights(checkpoint).vocabulary)
    if text_file is not None:
        text = read_text(text_file)
    ids = tokenizer.ids(TEXT if text is None else text)
    if ids.size == 0:
        raise LayerShapeError("expected a text of at least one token, found an empty one; give some text")
    return ids


def _path(path: str | None) -> str:
    if path is not None:
        return path
    from ..sample import sample_path

    return str(sample_path())


def _show(found: "Fidelity", json: bool) -> None:
    if json:
        from .._fidelity_document import fidelity_document

        print_json(fidelity_document(found))
        return
    from .fidelity_text import print_fidelity

    print_fidelity(found)
