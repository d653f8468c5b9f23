"""Notebooks run from top to bottom, quickly, on public names only, and are committed without outputs."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mamba_dynamics

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
#: Seconds a notebook may take.
MINUTE = 60


def code_cells(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def source(path):
    return "\n\n".join("".join(cell["source"]) for cell in code_cells(path))


def test_there_are_notebooks():
    assert NOTEBOOKS


@EVERY
def test_it_runs_from_top_to_bottom(path, tmp_path):
    environment = os.environ | {"MPLBACKEND": "Agg"}
    script = tmp_path / "notebook.py"
    script.write_text(source(path))
    command = [sys.executable, "-W", "error", str(script)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=2 * MINUTE)
    assert result.returncode == 0, result.stderr
    assert "nan" not in result.stdout.split()


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
