"""Standard streams that are closed or on a full disk, as processes meet them: the documented exit codes, one line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    shutil.which("sh") is None or not Path("/dev/full").exists(), reason="needs a shell and /dev/full"
)

PRINTING = {
    "classify": ("classify",),
    "classify --json": ("classify", "--json"),
    "--help": ("--help",),
    "classify --help": ("classify", "--help"),
    "--version": ("--version",),
    "figures --list": ("figures", "--list"),
    "report": ("report", "--out", "page.html"),
}


def run(arguments, streams: str, folder: Path) -> subprocess.CompletedProcess:
    """The command with its streams as a shell redirects them."""
    command = ["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-m", "mamba_dynamics", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(("streams", "why"), [(">&-", "it is closed"), (">/dev/full", "No space left on device")])
@pytest.mark.parametrize("name", PRINTING)
def test_a_result_that_cannot_be_written_gets_one_line(name, streams, why, tmp_path):
    found = run(PRINTING[name], streams, tmp_path)
    assert found.returncode == 1, found.stderr
    (line,) = found.stderr.splitlines()
    assert line.startswith("mamba-dynamics: expected to ")
    assert line.endswith(f"stdout, found: {why}")


@pytest.mark.parametrize("streams", ["2>&-", "<&-", "2>&- <&-", "2>/dev/full"])
@pytest.mark.parametrize("name", ["classify", "--help", "--version", "report"])
def test_without_the_other_streams_nothing_changes(name, streams, tmp_path):
    found, whole = run(PRINTING[name], streams, tmp_path), run(PRINTING[name], "", tmp_path)
    assert whole.returncode == 0
    assert found.returncode == 0
    assert found.stdout == whole.stdout
    assert found.stderr == ""


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", ">&- 2>&- <&-", ">&- 2>/dev/full"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("classify", "nothing-here.pt"), 1), (("classify", "--nonsense"), 2), (("nonsense",), 2), ((), 2)],
)
def test_a_line_that_cannot_be_written_leaves_its_code(arguments, code, streams, tmp_path):
    found = run(arguments, streams, tmp_path)
    assert found.returncode == code
    assert found.stdout + found.stderr == ""


def test_with_all_closed_a_file_holds_what_was_meant_for_it(tmp_path):
    wanted = run(PRINTING["report"], "", tmp_path)
    assert wanted.returncode == 0
    page = (tmp_path / "page.html").read_bytes()
    (tmp_path / "page.html").unlink()
    found = run(PRINTING["report"], ">&- 2>&- <&-", tmp_path)
    assert found.returncode == 1, "nobody could read where the page lies"
    assert (tmp_path / "page.html").read_bytes() == page
