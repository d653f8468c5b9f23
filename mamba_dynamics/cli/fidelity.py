"""`mamba-dynamics fidelity`: how ODE-like a language model is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import LayerShapeError
from .output import UNDECIDED_OR_DISAGREES, one_line_errors, print_json

if TYPE_CHECKING:
    import numpy as np

    from .._fidelity import Fidelity
    from ..checkpoints import Checkpoint

#: What is read where no text is given.
TEXT = "The old man sat by the window."


@one_line_errors
def fidelity(
    path: Annotated[
        str | None,
        typer.Argument(
            help="A language model's folder or file, or its id on the Hugging Face hub; without it, the bundled sample "
            "model."
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help=f"What the model reads. Default: {TEXT!r}")] = None,
    text_file: Annotated[Path | None, typer.Option(help="A UTF-8 file with what the model reads.")] = None,
    token_ids: Annotated[str | None, typer.Option(help="Token ids instead of text: 1,2,3.")] = None,
    layer: Annotated[
        int | None, typer.Option(help="Integrate the S6 part of this layer only (0-based; negative from the end).")
    ] = None,
    doublings: Annotated[int, typer.Option(min=1, max=16, help="Stacks of up to 2^N copies of an S6 layer.")] = 8,
    halvings: Annotated[int, typer.Option(min=1, max=12, help="Euler steps in depth down to 2^-N of a layer.")] = 4,
    rtol: Annotated[float, typer.Option(help="Tolerance of the reference flow in depth, per step.")] = 1e-8,
    max_steps: Annotated[int, typer.Option(min=1, help="Budget of solver steps of every integration.")] = 256,
    integrate: Annotated[int, typer.Option(min=1, help="Integrate the S6 part from the first N tokens only.")] = 32,
    ablations: Annotated[
        bool, typer.Option("--ablations/--no-ablations", help="Also leave out norm, conv, gate, skip and all of them.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say how ODE-like a language model is: the paper's limit, the residual stream as a flow, and what is dropped."""
    from .._fidelity import fidelity as measure
    from ..checkpoints import open_checkpoint
    from .progress import progress_on_stderr

    if not 0 < rtol < 1:
        raise typer.BadParameter(f"expected a tolerance between 0 and 1, found {rtol:g}", param_hint="--rtol")
    if sum(one is not None for one in (text, text_file, token_ids)) > 1:
        raise typer.BadParameter("give one of --text, --text-file and --token-ids")
    checkpoint = open_checkpoint(_path(path))
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
        raise typer.Exit(UNDECIDED_OR_DISAGREES)


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
