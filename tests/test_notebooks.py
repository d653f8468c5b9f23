"""Notebooks run from top to bottom without a warning, on public names only, and are committed without outputs."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import mamba_dynamics

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from execute_notebook import INLINE, command, kept

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
#: Seconds a notebook may take.
MINUTE = 60


def code_cells(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def source(path):
    return "\n\n".join("".join(cell["source"]) for cell in code_cells(path))


def test_there_are_notebooks():
    assert NOTEBOOKS


def execute(path, target):
    environment = os.environ | INLINE | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command(path, target), capture_output=True, text=True, cwd=ROOT, env=environment, timeout=2 * MINUTE
    )


@EVERY
def test_it_runs_from_top_to_bottom(path):
    """Executed where the site's build finds it; an executed notebook of the same code is not executed again."""
    target = kept(path, ROOT / "build")
    if not target.exists():
        result = execute(path, target)
        assert result.returncode == 0, result.stderr
    outputs = [output for cell in code_cells(target) for output in cell["outputs"]]
    texts = ["".join(one.get("text", one.get("data", {}).get("text/plain", ""))) for one in outputs]
    assert any(texts)
    assert "nan" not in " ".join(texts).split()


def test_a_cell_that_warns_stops_it(tmp_path):
    """With the warning's own words; nothing is kept."""
    cells = [nbformat.v4.new_code_cell("import warnings; warnings.warn('a warning of a cell')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "it.ipynb")
    result = execute(tmp_path / "it.ipynb", tmp_path / "executed.ipynb")
    assert result.returncode == 1
    assert re.search(r"UserWarning\S*: a warning of a cell", result.stderr)
    assert not (tmp_path / "executed.ipynb").exists()


@EVERY
def test_it_uses_public_names_only(path):
    for node in ast.walk(ast.parse(source(path))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mamba_dynamics"):
            assert node.module == "mamba_dynamics"
            assert {alias.name for alias in node.names} <= set(mamba_dynamics.__all__)
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_"), node.attr


@EVERY
def test_it_is_committed_without_outputs(path):
    for cell in code_cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
