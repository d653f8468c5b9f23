"""Every figure is listed, says what it shows, is drawn in three formats, and the same bytes come out twice."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mamba_dynamics import CATALOGUE
from mamba_dynamics.cli import app
from paper_figures import store
from paper_figures.catalogue import FIGURES, FOLDER
from paper_figures.make import FORMATS, draw, make

EVERY = pytest.mark.parametrize("name", FIGURES)
README = (FOLDER / "README.md").read_text()


def run(*arguments):
    return CliRunner().invoke(app, ["figures", *map(str, arguments)])


def test_every_folder_is_a_figure():
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir() and path.name not in ("__pycache__", "results")}
    assert folders == set(FIGURES)


@EVERY
def test_it_has_its_files_and_names_theorems_of_the_catalogue(name):
    figure = FIGURES[name]
    for file in ("__init__.py", "compute.py", "plot.py"):
        assert (FOLDER / name / file).is_file()
    assert set(figure.theorems) <= set(CATALOGUE)
    assert figure.claim.endswith(".")
    assert figure.seconds < 60
    assert (Path(__file__).parent / f"test_{name}.py").is_file(), "a figure's data are tested against the theory"


@EVERY
def test_plotting_computes_nothing(name):
    source = (FOLDER / name / "plot.py").read_text()
    imports = re.findall(r"^(?:from|import) (mamba_dynamics\S*)", source, re.MULTILINE)
    assert set(imports) <= {"mamba_dynamics.style", "mamba_dynamics.plotting"}


@pytest.mark.parametrize(
    # The site draws all of them; here one is drawn twice, the others where there is time.
    "name",
    [pytest.param(name, marks=[] if name == "slow_divergence_bound" else pytest.mark.long) for name in FIGURES],
)
def test_it_is_drawn_the_same_twice_with_labelled_axes(name, data, tmp_path):
    found = data(name)
    first, second = (draw(FIGURES[name], found, tmp_path / folder) for folder in ("first", "second"))
    assert [file.suffix[1:] for file in first] == list(FORMATS)
    for one, other in zip(first, second, strict=True):
        assert one.stat().st_size > 2000
        assert one.read_bytes() == other.read_bytes()


@EVERY
def test_its_axes_are_labelled(name, data):
    import matplotlib.pyplot as plt

    figure = FIGURES[name].plot(data(name))
    try:
        axes = [ax for ax in figure.axes if ax.axison]
        assert axes
        shared_x = [ax for ax in axes if ax.get_xlabel()]
        shared_y = [ax for ax in axes if ax.get_ylabel()]
        assert shared_x
        assert shared_y
        assert not plt.get_fignums() or figure.number in plt.get_fignums()
    finally:
        plt.close("all")


@EVERY
def test_it_keeps_its_time(name, data, figures_folder):
    data(name)
    assert store.processor_seconds(figures_folder / name) < 2 * FIGURES[name].seconds, (
        "two cores have twice the seconds"
    )


@EVERY
def test_the_readme_lists_it(name):
    assert f"| [{name}]({name}/figure.toml) |" in README
    assert f"`mamba-dynamics figures {name} --out DIR`" in README


def test_data_are_used_again_until_they_are_stale_or_damaged(tmp_path, monkeypatch):
    figure = FIGURES["slow_divergence_bound"]
    calls = []
    compute = figure.compute
    monkeypatch.setitem(figure.__dict__, "compute", lambda seed: calls.append(seed) or compute(seed))
    assert not make(figure, tmp_path, formats=["svg"]).reused
    assert make(figure, tmp_path, formats=["svg"]).reused
    (tmp_path / figure.name / store.DATA).write_bytes(b"damaged")
    assert not make(figure, tmp_path, formats=["svg"]).reused
    assert not make(figure, tmp_path, seed=1, formats=["svg"]).reused
    assert calls == [0, 0, 1]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def write_half(file, **_):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", write_half)
    with pytest.raises(OSError, match="disk full"):
        store.write(tmp_path, {"x": np.ones(2)}, "")
    assert not list(tmp_path.iterdir())


def test_objects_are_refused(tmp_path):
    with pytest.raises(TypeError, match="plain arrays"):
        store.write(tmp_path, {"x": np.array([object()])}, "")


def test_the_command_makes_and_reports_a_figure(tmp_path):
    result = run("slow_divergence_bound", "--out", tmp_path, "--formats", "svg,png", "--json")
    assert result.exit_code == 0
    (found,) = json.loads(result.stdout)["figures"]
    assert found["name"] == "slow_divergence_bound"
    assert set(found["files"]) == {"npz", "svg", "png"}
    assert all(Path(file).is_file() for file in found["files"].values())


def test_the_command_lists():
    lines = run("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(FIGURES)


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("nope", "--out", "x"), 1, "expected the name of a figure, found 'nope': choose from"),
        (("--out", "x", "--formats", "gif"), 2, "expected some of png, svg, pdf"),
        ((), 2, "expected a folder for the figures"),
        (("slow_divergence_bound", "--out", "/dev/null/x"), 1, "expected to write slow_divergence_bound into"),
    ],
)
def test_bad_input_gets_one_line(arguments, code, line):
    result = run(*arguments)
    assert result.exit_code == code
    assert line in " ".join(result.stderr.split())
