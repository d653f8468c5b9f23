"""Each figure's data, computed once however many workers ask for them."""

import fcntl
import os
import time

import matplotlib as mpl
import pytest

mpl.use("Agg")

from paper_figures.catalogue import FIGURES
from paper_figures.make import data_of


@pytest.fixture(scope="session")
def figures_folder(tmp_path_factory):
    """One folder for all workers of this run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "figures"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def data(figures_folder):
    """name -> the figure's data."""

    def of(name):
        with open(figures_folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            began = time.process_time()
            found, reused = data_of(FIGURES[name], figures_folder)
            if not reused:
                (figures_folder / f"{name}.seconds").write_text(str(time.process_time() - began))
            return found

    return of
