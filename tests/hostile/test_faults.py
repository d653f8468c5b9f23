"""Faults as real processes meet them: signals at any moment, a full disk, a read-only folder, a reader that went away.

The moments are random: the seed is in the test's name where it fails, HOSTILE_SEED repeats it, HOSTILE_ROUNDS asks for
more of them.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mamba_dynamics._files import write_whole

SEED = int(os.environ.get("HOSTILE_SEED", random.SystemRandom().randrange(10**6)))
ROUNDS = int(os.environ.get("HOSTILE_ROUNDS", "1"))

TRAIN = (
    "train", "induction-heads", "--set", "task.length=12", "--set", "task.kinds=4", "--set", "model.width=8",
    "--set", "model.layers=1", "--set", "recipe.warmup=1", "--set", "recipe.steps=4000",
    "--set", "recipe.evaluate_every=20", "--set", "recipe.save_every=5", "--out", "{out}/run",
)  # fmt: skip

#: What takes longer than a run of all tests allows; tests/training kills a run and goes on with it every time.
LONG = pytest.mark.skipif(ROUNDS < 2, reason="takes half a minute: HOSTILE_ROUNDS=2 runs it")

#: Each with how long it takes, so that the moments of a signal fall anywhere in its life; {out} is its folder.
COMMANDS = {
    "classify": (("classify", "--json"), 1.5),
    "classify --text": (("classify", "--text", "The old man", "--integrate", "2"), 4.0),
    "report": (("report", "--out", "{out}/report.html"), 1.5),
    "figures": (("figures", "regimes_in_training", "--out", "{out}"), 3.0),
    "verify": (("verify", "--theorem", "dichotomy", "--cases", "40", "--processes", "2"), 4.0),
    "simulate": (("simulate", "--mu", "1", "--s-delta", "1", "--a", "1", "--x0", "1,2,3"), 3.0),
    "train": (TRAIN, 5.0),
}  # fmt: skip
SIGNALS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM}


def start(arguments, out: Path, **options) -> subprocess.Popen:
    """The command in a session of its own, as a terminal starts it."""
    filled = [part.replace("{out}", str(out)) for part in arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([sys.executable, "-m", "mamba_dynamics", *filled], start_new_session=True, **options)


def run(arguments, out: Path, **options) -> subprocess.CompletedProcess:
    process = start(arguments, out, **options)
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def wait_until_it_listens(process: subprocess.Popen) -> None:
    """Python itself starts, and dies by a signal as it likes, until the first lines of the package are run."""
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.005)


def nothing_left(process: subprocess.Popen) -> bool:
    """Whether no process of its session lives a few seconds later."""
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def require_whole(out: Path) -> None:
    """Every file is whole and none is temporary."""
    for file in (one for one in out.rglob("*") if one.is_file()):
        assert not file.name.startswith("."), f"{file.name} was left behind"
        if file.suffix == ".html":
            assert file.read_text().rstrip().endswith("</html>")
        if file.name in ("run.json", "results.json"):
            json.loads(file.read_text())
        if file.name == "log.jsonl":
            for line in file.read_text().splitlines():
                json.loads(line)


@pytest.mark.skipif(sys.platform != "linux", reason="the moments are taken from /proc")
@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_at_any_moment(name, tmp_path):
    arguments, seconds = COMMANDS[name]
    rng = random.Random(f"{SEED} {name}")
    for number in range(ROUNDS):
        out = tmp_path / str(number)
        out.mkdir()
        kind, moment = rng.choice(list(SIGNALS)), seconds * rng.random()
        process = start(arguments, out)
        wait_until_it_listens(process)
        time.sleep(moment)
        if process.poll() is None:
            if kind == "Ctrl-C":
                os.killpg(process.pid, SIGNALS[kind])  # a terminal tells all processes of the command
            else:
                process.send_signal(SIGNALS[kind])
        stdout, stderr = process.communicate(timeout=60)
        where = f"HOSTILE_SEED={SEED}, {kind} after {moment:.2f} s: {stderr}"
        assert nothing_left(process), where
        require_whole(out)
        if process.returncode in (0, 3):
            continue  # it was done before
        assert process.returncode == 128 + SIGNALS[kind], where
        assert stderr == f"mamba-dynamics: {'interrupted' if kind == 'Ctrl-C' else 'terminated'}\n", where
        if name == "classify":
            assert stdout == "" or json.loads(stdout), where


def test_a_second_signal_ends_it_at_once(tmp_path):
    process = start(TRAIN, tmp_path)
    wait_until_it_listens(process)
    for _ in range(20):
        process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == "mamba-dynamics: interrupted\n"


@LONG
def test_a_stopped_training_goes_on(tmp_path):
    state = tmp_path / "run" / "state.eqx"
    before = 0
    for _ in range(2):
        process = start(TRAIN, tmp_path)
        began = time.monotonic()
        while saved_step(state) == before and process.poll() is None and time.monotonic() - began < 120:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        require_whole(tmp_path)
        assert before < saved_step(state) < 4000
        before = saved_step(state)
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(20, 20 * len(steps) + 1, 20)), "each evaluation once"


def saved_step(state: Path) -> int:
    return int(state.read_bytes().split(b"\n")[0]) if state.exists() else 0


# --- file systems --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 256 kB; it is filled, or made read-only, by the tests."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mounting a small file system is not allowed here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, free: int) -> None:
    """Leave about `free` bytes."""
    with (place / "filler").open("wb") as file:
        status = os.statvfs(place)
        file.write(bytes(max(0, status.f_bavail * status.f_frsize - free)))


WRITERS = {
    "report": ("report", "--out", "{out}/report.html"),
    "figures": ("figures", "regimes_in_training", "--out", "{out}"),
    "train": TRAIN,
}  # fmt: skip


@pytest.mark.parametrize("name", ["report", "figures", pytest.param("train", marks=LONG)])
def test_a_full_disk_gets_one_line(name, small_disk):
    fill(small_disk, 12_000)
    found = run(WRITERS[name], small_disk)
    assert found.returncode == 1
    # Before it lie lines of progress, where it took long.
    assert "No space left on device" in found.stderr.splitlines()[-1], found.stderr
    assert "Traceback" not in found.stderr
    (small_disk / "filler").unlink()
    assert not (small_disk / "report.html").exists()
    assert not [one for one in small_disk.rglob(".*") if one.is_file()], "a temporary file was left behind"


@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_folder_gets_one_line(name, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    found = run(WRITERS[name], small_disk)
    assert found.returncode == 1
    assert len(found.stderr.splitlines()) == 1, found.stderr
    assert "Read-only file system" in found.stderr


def test_a_report_on_a_full_disk_leaves_the_old_one(small_disk):
    (small_disk / "report.html").write_text("old")
    fill(small_disk, 12_000)
    assert run(WRITERS["report"], small_disk).returncode == 1
    assert (small_disk / "report.html").read_text() == "old"


# --- planted files -------------------------------------------------------------------------------

ONE_STEP = (*TRAIN[:-2], "--set", "recipe.steps=1", "--set", "recipe.warmup=0", *TRAIN[-2:])
PLACES = {
    "report": ("report.html", WRITERS["report"]),
    "figures": ("regimes_in_training/data.npz", WRITERS["figures"]),
    "train --plot": ("plot.svg", (*ONE_STEP[:-1], "{out}/run", "--plot", "{out}/plot.svg")),
    "log.jsonl of train": ("run/log.jsonl", ONE_STEP),
    "state.eqx of train": ("run/state.eqx", ONE_STEP),
}
REPLACED = ("report", "figures", "train --plot", "log.jsonl of train")


def planted_names(target: Path) -> list[Path]:
    """Names that a writer has used, or might use, for what is not yet whole."""
    return [target.with_name(name) for name in (f".{target.name}.partial", f"{target.name}.partial", f".{target.name}")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "link") for name in REPLACED] + [("report", kind) for kind in ("dangling link", "pipe", "folder")],
)
def test_what_lies_under_a_foreseeable_name_is_left_alone(name, kind, tmp_path):
    inside, arguments = PLACES[name]
    secret, target = tmp_path / "secret.txt", tmp_path / "out" / inside
    secret.write_text("precious")
    target.parent.mkdir(parents=True)
    before = planted_names(target)
    for planted in before:
        plant(planted, kind, secret)
    assert run(arguments, tmp_path / "out").returncode in (0, 3)
    assert secret.read_text() == "precious"
    assert target.is_file()
    assert not target.is_symlink()
    left = [one for one in target.parent.iterdir() if one.name.startswith(".") and one not in before]
    assert left == []


def plant(place: Path, kind: str, secret: Path) -> None:
    if kind == "link":
        place.symlink_to(secret)
    elif kind == "dangling link":
        place.symlink_to(secret.with_name("new.txt"))
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()


@pytest.mark.parametrize("name", [*REPLACED, "state.eqx of train"])
def test_a_link_in_place_of_the_target_is_replaced(name, tmp_path):
    inside, arguments = PLACES[name]
    secret, target = tmp_path / "secret.txt", tmp_path / "out" / inside
    secret.write_text("")
    target.parent.mkdir(parents=True)
    target.symlink_to(secret)
    found = run(arguments, tmp_path / "out")
    assert secret.read_text() == ""
    if name == "state.eqx of train":
        # What a run goes on from is read first, and this is none.
        assert found.returncode == 1
        assert "expected a checkpoint of this run" in found.stderr
        return
    assert found.returncode in (0, 3)
    assert not target.is_symlink()
    assert target.stat().st_size > 0


def test_a_link_in_place_of_a_folder_of_figures_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "regimes_in_training").symlink_to(tmp_path / "elsewhere")
    found = run(WRITERS["figures"], tmp_path / "out")
    assert found.returncode == 1
    assert len(found.stderr.splitlines()) == 1, found.stderr
    assert "a link in place of a folder" in found.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_new_file_has_the_rights_that_the_user_gives_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", lambda out: out.write(b"x"))
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_file_with_the_longest_name_there_is_is_written(tmp_path):
    target = tmp_path / ("é" * 127)
    write_whole(target, lambda out: out.write(b"x"))
    assert target.read_bytes() == b"x"


# --- stdout --------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("classify",), ("classify", "--json")])
def test_a_full_stdout_gets_one_line(arguments, tmp_path):
    with open("/dev/full", "w") as full:
        found = run(arguments, tmp_path, stdout=full)
    assert found.returncode == 1
    assert len(found.stderr.splitlines()) == 1, found.stderr
    assert "No space left on device" in found.stderr


@pytest.mark.parametrize("arguments", [("classify",), ("classify", "--json"), ("train", "--list"), ("--help",)])
def test_a_reader_that_goes_away_is_no_error_to_speak_of(arguments, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    found = run(arguments, tmp_path, stdout=writing)
    os.close(writing)
    assert found.stderr == ""
    assert found.returncode == 141


# --- files that change ---------------------------------------------------------------------------

READER = """
import sys
from mamba_dynamics import CheckpointError, open_checkpoint
checkpoint = open_checkpoint(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
try:
    checkpoint.layer(0)
except CheckpointError as error:
    print(error)
"""


@pytest.mark.parametrize("change", ["truncated", "replaced", "removed"])
def test_a_file_that_changes_while_it_is_open(change, tmp_path):
    whole = (Path(__file__).resolve().parents[1] / "fixtures" / "mamba" / "model.safetensors").read_bytes()
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole)
    command = [sys.executable, "-c", READER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        if change == "truncated":
            os.truncate(path, 4096)
        elif change == "replaced":
            (tmp_path / "other").write_bytes(whole)
            os.replace(tmp_path / "other", path)
        else:
            path.unlink()
        answer, _ = process.communicate("go on\n", timeout=60)
    assert process.returncode == 0, "it was killed"
    assert "since it was opened" in answer
