"""`mamba-dynamics report`: the same judgement as `classify`, as one HTML page to read and to send on."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from .._classification_document import scenario_counts
from .._documents import SCHEMA_VERSION
from .._files import require_replaceable, write_whole
from .checkpoint_options import judge, of_a_checkpoint
from .classify import end
from .command import PATH, as_json, command
from .output import fail, print_json


@command
@click.option("--out", type=PATH, required=True, help="The page to write: one HTML file that needs nothing else.")
@of_a_checkpoint
@as_json
def report(out: Path, json: bool, **given: Any) -> None:
    """Write what `classify` finds as one HTML page: in words, in pictures, layer by layer; for readers new to it."""
    if out.is_dir() or not out.parent.is_dir():
        found = "a folder" if out.is_dir() else "no folder to hold it"
        fail(f"expected a file to write for --out {out}, found {found}; give the name of an .html file")
    require_replaceable(out)
    found = judge(**given)
    page = found.to_html(command=shlex.join(["mamba-dynamics", *sys.argv[1:]])).encode()
    try:
        write_whole(out, lambda file: file.write(page))
    except OSError as error:
        fail(f"expected to write {out}, found {error.strerror}; choose another --out")
    if json:
        document = {"schema_version": SCHEMA_VERSION, "file": str(out), "bytes": len(page)}
        print_json(document | {"summary": {"scenario_counts": scenario_counts(found)}})
    else:
        click.echo(str(out))
    end(found)
