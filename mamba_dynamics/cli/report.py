"""`mamba-dynamics report`: the same judgement as `classify`, as one HTML page to read and to send on."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .._classification_document import scenario_counts
from .._documents import SCHEMA_VERSION
from .._files import write_whole
from . import checkpoint_options as given
from .classify import end
from .output import fail, one_line_errors, print_json


@one_line_errors
def report(
    out: Annotated[Path, typer.Option(help="The page to write: one HTML file that needs nothing else.")],
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
    """Write what `classify` finds as one HTML page: in words, in pictures, layer by layer; for readers new to it."""
    if out.is_dir() or not out.parent.is_dir():
        found = "a folder" if out.is_dir() else "no folder to hold it"
        fail(f"expected a file to write for --out {out}, found {found}; give the name of an .html file")
    found = given.judge(
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
    page = found.to_html(command=shlex.join(["mamba-dynamics", *sys.argv[1:]])).encode()
    try:
        write_whole(out, lambda file: file.write(page))
    except OSError as error:
        fail(f"expected to write {out}, found {error.strerror}; choose another --out")
    if json:
        document = {"schema_version": SCHEMA_VERSION, "file": str(out), "bytes": len(page)}
        print_json(document | {"summary": {"scenario_counts": scenario_counts(found)}})
    else:
        typer.echo(str(out))
    end(found)
