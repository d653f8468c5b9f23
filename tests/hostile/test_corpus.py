"""Every file of the corpus: one line on stderr, exit code 1, nothing run, and no more memory than its size allows."""

import os
import sys
import time
import tracemalloc
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parent))
from corpus import CASES, NEEDS

from mamba_dynamics._allowance import allowance
from mamba_dynamics.cli import app

#: An answer takes a moment; on a machine that is busy, more.
SECONDS = 60
#: What the command itself takes, modules it imports among it: measured with a file that is refused at once.
COMMAND = 60_000_000


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_gets_one_line(tmp_path, monkeypatch, name):
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is an extra, and is not installed here")
    arguments = [str(argument) for argument in CASES[name](tmp_path)]
    size = sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file() and not one.is_symlink())
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    tracemalloc.start()
    began = time.monotonic()
    try:
        result = CliRunner().invoke(app, arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    # Where single layers cannot be read, the table of all is shown first.
    assert result.stdout == "" or "unreadable" in result.stdout
    assert result.stderr.count("\n") == 1
    assert result.stderr.rstrip("\n").isprintable()
    assert len(result.stderr) < 2000
    assert os.listdir(here) == [], "the file ran code"
    assert time.monotonic() - began < SECONDS
    assert peak < allowance(size) + COMMAND
