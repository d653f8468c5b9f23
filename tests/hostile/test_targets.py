"""What lies in place of a file that a command writes: a regular file or a link to one is replaced, all else refused."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mamba_dynamics._files import append_line, write_whole
from mamba_dynamics.cli import app


def device(place: Path) -> None:
    """A node like /dev/null, of the test's own."""
    try:
        os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError as error:
        pytest.skip(f"making a device is not allowed here: {error}")


def listening(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(place))  # such names have at most 107 bytes


KINDS = {"a device": device, "a named pipe": os.mkfifo, "a socket": listening, "a folder": Path.mkdir}


def identity(place: Path) -> tuple[int, int]:
    found = place.lstat()
    return found.st_ino, stat.S_IFMT(found.st_mode)


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused(kind, linked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "node"
    KINDS[kind](target)
    if linked:
        (tmp_path / "link").symlink_to("node")
        (tmp_path / "chain").symlink_to("link")
        target = tmp_path / "chain"
    before = identity(target)
    with pytest.raises(OSError, match=f"a link to {kind}" if linked else f"{kind} in place of a file"):
        write_whole(target, lambda out: out.write(b"x"))
    assert identity(target) == before
    assert len(list(tmp_path.iterdir())) == (3 if linked else 1)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files have no names here")
def test_a_link_to_an_open_file_is_refused(tmp_path):
    """Such a link leads to a regular file where stdout was redirected to one, as with --out /dev/stdout > page."""
    with (tmp_path / "page").open("wb") as page:
        links = [tmp_path / "number", tmp_path / "stdout", tmp_path / "chain"]
        links[0].symlink_to(f"/proc/self/fd/{page.fileno()}")
        links[1].symlink_to("/dev/stdout")
        links[2].symlink_to("number")
        for link in [*links, Path(f"/dev/fd/{page.fileno()}")]:
            with pytest.raises(OSError, match="a link to an open file of a process"):
                write_whole(link, lambda out: out.write(b"x"))
            assert link.is_symlink()


@pytest.mark.parametrize("leads_to", ["file", "absent", "itself"])
def test_other_links_are_replaced(leads_to, tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "itself").symlink_to(leads_to)
    write_whole(tmp_path / "itself", lambda out: out.write(b"x"))
    assert not (tmp_path / "itself").is_symlink()
    assert (tmp_path / "itself").read_bytes() == b"x"
    assert (tmp_path / "file").read_bytes() == b"precious"
    assert not (tmp_path / "absent").exists()


def test_a_line_is_added_to_a_regular_file_only(tmp_path):
    device(tmp_path / "log")
    with pytest.raises(OSError, match="a device in place of a file"):
        append_line(tmp_path / "log", b"x")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="a named pipe in place of a file"):
        append_line(tmp_path / "pipe", b"x")
    os.close(reader)


@pytest.mark.parametrize("kind", ["a device", "a named pipe"])
def test_a_report_says_so_in_one_line(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    KINDS[kind](tmp_path / "page")
    before = identity(tmp_path / "page")
    found = CliRunner().invoke(app, ["report", "--out", "page"])
    assert found.exit_code == 1
    assert found.stderr.splitlines() == [
        f"mamba-dynamics: expected to read or write page, found: {kind} in place of a file"
    ]
    assert identity(tmp_path / "page") == before


def test_old_data_of_a_figure_are_not_waited_for(tmp_path):
    (tmp_path / "regimes_in_training").mkdir()
    os.mkfifo(tmp_path / "regimes_in_training" / "data.npz")
    command = [sys.executable, "-m", "mamba_dynamics", "figures", "regimes_in_training", "--out", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 1
    assert "found a named pipe in place of a file" in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
