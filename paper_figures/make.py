"""Make a figure: its data, unless they are there already, and its pictures."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from mamba_dynamics import STYLE
from mamba_dynamics._files import folder_inside, write_whole

from .catalogue import Data, PaperFigure
from .store import DATA, fingerprint, read, write

# Subsetting fonts for the PDF tells of their time stamps.
logging.getLogger("fontTools").setLevel(logging.ERROR)

FORMATS = ("png", "svg", "pdf")
#: Without dates the same data give the same bytes.
METADATA = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}


@dataclass(frozen=True)
class Made:
    """A figure on disk: `reused` where its data were found and not computed; `files`, data first."""

    figure: PaperFigure
    files: tuple[Path, ...]
    reused: bool
    seconds: float


def make(figure: PaperFigure, out: Path, *, seed: int = 0, formats: Sequence[str] = FORMATS) -> Made:
    """Write `out/NAME/data.npz` and `out/NAME/NAME.{png,svg,pdf}`.

    Data that an earlier run computed from the same code and seed are used again, so a stopped run goes on where it
    was.
    """
    began = time.monotonic()
    data, reused = data_of(figure, out, seed=seed)
    files = draw(figure, data, out / figure.name, formats)
    return Made(figure, (out / figure.name / DATA, *files), reused, time.monotonic() - began)


def data_of(figure: PaperFigure, out: Path, *, seed: int = 0) -> tuple[Data, bool]:
    """The figure's data, from `out` or computed and kept there, and whether they were found."""
    wanted = fingerprint(figure, seed)
    found = read(out / figure.name, wanted)
    if found is not None:
        return found, True
    began = time.process_time()
    data = {name: np.asarray(array) for name, array in figure.compute(seed).items()}
    write(out / figure.name, data, wanted, time.process_time() - began)
    return data, False


def draw(figure: PaperFigure, data: Data, folder: Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
    """The pictures, one file a format."""
    import matplotlib.pyplot as plt

    folder_inside(folder.parent, folder.name)
    files = tuple(folder / f"{figure.name}.{ending}" for ending in formats)
    with mpl.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        picture = figure.plot(data)
        try:
            for file, ending in zip(files, formats, strict=True):
                settings: dict[str, Any] = {"format": ending, "metadata": METADATA[ending]}
                write_whole(file, lambda out, settings=settings: picture.savefig(out, **settings))
        finally:
            plt.close(picture)
    return files
