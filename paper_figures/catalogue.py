"""Which figures there are: every folder with a `figure.toml`, read once and checked on reading."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

FOLDER = Path(__file__).parent

#: What `compute` gives `plot`: arrays of numbers, or of strings for labels.
Data = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class PaperFigure:
    """One figure.

    `claim` is the statement it shows, one sentence; `caption` says what is drawn; `theorems` names the entries of
    `mamba_dynamics.CATALOGUE` it belongs to; `paper` is where the paper makes its claim, empty for what is new here;
    `seconds` bounds its run time on two cores.
    """

    name: str
    title: str
    claim: str
    caption: str
    paper: str
    theorems: tuple[str, ...]
    seconds: int

    @cached_property
    def compute(self) -> Callable[[int], dict[str, np.ndarray]]:
        """seed -> the figure's data."""
        return import_module(f"paper_figures.{self.name}.compute").compute

    @cached_property
    def plot(self) -> "Callable[[Data], MatplotlibFigure]":
        """The figure's data -> the figure."""
        return import_module(f"paper_figures.{self.name}.plot").plot


def _read(path: Path) -> PaperFigure:
    text: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return PaperFigure(name=path.parent.name, **{**text, "theorems": tuple(text["theorems"])})


#: Name -> figure, in alphabetical order.
FIGURES: Mapping[str, PaperFigure] = {
    figure.name: figure for figure in map(_read, sorted(FOLDER.glob("*/figure.toml")))
}
