"""`mamba-dynamics figures`: the paper's figures and ours, data and pictures, each from one name."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._close_names import did_you_mean
from .command import PATH, argument, as_json, command
from .names import Name
from .names import figures as known_figures
from .names import formats as formats_of_pictures
from .output import fail, print_json, refuse
from .progress import progress_on_stderr

if TYPE_CHECKING:
    from paper_figures.catalogue import PaperFigure
    from paper_figures.make import Made


@command
@argument("names", nargs=-1, metavar="[NAME]...", type=Name(known_figures), says="Figures to make; default: all.")
@click.option("--out", type=PATH, help="Folder for data and pictures, made if need be.")
@click.option(
    "--formats", type=Name(formats_of_pictures, comma=True), default="png,svg,pdf", help="Comma list of png, svg, pdf."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of what is random.")
@click.option("--list", "listed", is_flag=True, help="Say which figures there are, and make none.")
@as_json
def figures(names: tuple[str, ...], out: Path | None, formats: str, seed: int, listed: bool, json: bool) -> None:
    """Make figures: OUT/NAME/data.npz and OUT/NAME/NAME.png, .svg, .pdf.

    Data that an earlier run left in OUT from the same code and seed are used again.
    """
    wanted = _wanted(names)
    if listed:
        _print_list(wanted, json)
        return
    if out is None:
        refuse("expected a folder for the figures (or --list)", "--out")
    endings = _endings(formats)
    from paper_figures.make import make

    made: "list[Made]" = []
    with progress_on_stderr("figures") as show:
        for done, figure in enumerate(wanted):
            show(done, len(wanted), figure.name)
            try:
                made.append(make(figure, out, seed=seed, formats=endings))
            except OSError as error:
                fail(f"expected to write {figure.name} into {out}, found {error.strerror}: choose another --out")
            if not json:
                click.echo(made[-1].files[1])
    if json:
        print_json({"schema_version": 1, "seed": seed, "figures": [_document(one) for one in made]})


def _wanted(names: tuple[str, ...]) -> "list[PaperFigure]":
    from paper_figures.catalogue import FIGURES

    for name in names:
        if name not in FIGURES:
            meant = did_you_mean(name, FIGURES)
            fail(f"expected the name of a figure, found {name!r}: {meant}choose from {', '.join(FIGURES)}")
    return [FIGURES[name] for name in dict.fromkeys(names or FIGURES)]


def _endings(text: str) -> list[str]:
    from paper_figures.make import FORMATS

    endings = list(dict.fromkeys(text.split(",")))
    for ending in endings:
        if ending not in FORMATS:
            refuse(f"expected some of {', '.join(FORMATS)}, found {ending!r}", "--formats")
    return endings


def _print_list(wanted: "list[PaperFigure]", json: bool) -> None:
    if json:
        print_json({"schema_version": 1, "figures": [_facts(figure) for figure in wanted]})
        return
    width = max(len(figure.name) for figure in wanted)
    for figure in wanted:
        click.echo(f"{figure.name:{width}}  {figure.title}")


def _document(made: "Made") -> dict[str, Any]:
    files = {file.suffix.removeprefix("."): str(file) for file in made.files}
    return {**_facts(made.figure), "files": files, "reused_data": made.reused, "wall_seconds": made.seconds}


def _facts(figure: "PaperFigure") -> dict[str, Any]:
    return {
        "name": figure.name,
        "title": figure.title,
        "claim": figure.claim,
        "paper": figure.paper or None,
        "theorems": list(figure.theorems),
    }
