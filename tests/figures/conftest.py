"""Each figure's data, computed once however many workers ask for them, and kept for the next run and the site."""

import fcntl
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")

from paper_figures.catalogue import FIGURES
from paper_figures.make import data_of

#: Where the documentation's build keeps them too. Data are used again only while the code they come from is the same.
FOLDER = Path(__file__).resolve().parents[2] / "build" / "figures"


@pytest.fixture(scope="session")
def figures_folder():
    FOLDER.mkdir(parents=True, exist_ok=True)
    return FOLDER


@pytest.fixture(scope="session")
def data(figures_folder):
    """name -> the figure's data."""

    def of(name):
        with open(figures_folder / f".{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return data_of(FIGURES[name], figures_folder)[0]

    return of
