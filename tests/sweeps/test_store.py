"""Stores: what xarray finds in them, and that they are the same bits however they came to be.

How often a sweep is killed, and on how many devices, is told by variables (2 of each if they are not set), for every
device compiles the program anew:

    KILLS=20 DEVICES=8 pytest tests/sweeps/test_store.py -m long -k killed
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

mpl.use("Agg")

from mamba_dynamics import Outcome, S6Layer, solve, token_dynamics
from mamba_dynamics._errors import SweepError
from mamba_dynamics.cli import app
from mamba_dynamics.sweeps.run import run_sweep
from mamba_dynamics.sweeps.spec import read_sweep, sweep_from

KILLS, DEVICES = int(os.environ.get("KILLS", "2")), int(os.environ.get("DEVICES", "2"))

SPEC = """
title = "small"
chunk = 12

[fixed]
a = [0.5, 2.0]
mu_2 = 0.0
x0 = [-0.5, 0.25, 1.0, 0.1]
L = 4

[grid]
dt_bias = [-1.0, 0.5]
x0_2 = [-1.0, 0.0, 0.7]
s_delta = [-1.0, 0.5, 1.0, 2.0, -0.5]
mu_1 = [-1.0, 0.0, 0.6, 1.0]
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "small.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def store(spec, tmp_path_factory):
    """The whole sweep by one process on one device."""
    out = tmp_path_factory.mktemp("store") / "whole"
    swept = run_sweep(read_sweep(spec), out)
    assert swept.computed == swept.cells == 120
    return out


def contents(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def invoke(*arguments):
    return CliRunner().invoke(app, ["sweep", *map(str, arguments)])


def start(*arguments, devices=1):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    command = [sys.executable, "-m", "mamba_dynamics", "sweep", *map(str, arguments)]
    return subprocess.Popen(
        command, env=os.environ | {"XLA_FLAGS": flags}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def test_a_store_is_labelled(store):
    with xr.open_zarr(store) as dataset:
        assert dataset.outcome.dims == ("dt_bias", "x0_2", "s_delta", "mu_1")
        np.testing.assert_array_equal(dataset.s_delta, [-1.0, 0.5, 1.0, 2.0, -0.5])
        np.testing.assert_array_equal(dataset.token, [1, 2, 3, 4])
        assert dataset.log_abs_x_final.dims[-1] == "token"
        for variable in dataset.variables.values():
            assert variable.attrs["units"] == "1"
            assert len(variable.attrs["long_name"]) > 3
        flags = dict(
            zip(dataset.outcome.attrs["flag_meanings"].split(), dataset.outcome.attrs["flag_values"], strict=True)
        )
        assert set(flags) == {one.value for one in Outcome} | {"not_done"}
        convergent = dataset.outcome.sel(mu_1=-1.0)
        assert np.all(convergent == flags["converged_to_zero"])
        assert dataset.attrs["spec"]["grid"]["mu_1"] == [-1.0, 0.0, 0.6, 1.0]
        assert dataset.attrs["mamba_dynamics_version"]


def test_a_cell_is_what_its_labels_say(store):
    with xr.open_zarr(store) as dataset:
        one = dataset.sel(dt_bias=0.5, x0_2=0.7, s_delta=2.0, mu_1=0.6)
        layer = S6Layer.scalar(mu=[0.6, 0.0], S_Delta=2.0, a=[0.5, 2.0], dt_bias=0.5)
        run = solve(token_dynamics(layer), [-0.5, 0.7, 1.0, 0.1])
        assert float(one.blow_up_time) == pytest.approx(run.blow_up.time, rel=1e-9)
        assert int(one.blow_up_token) == run.blow_up.token + 1
        np.testing.assert_array_equal(one.sign, [-1, 1, 1, 1])
        zero = dataset.sel(x0_2=0.0)
        assert np.all(np.isneginf(zero.log_abs_x_final.sel(token=2)))


def test_a_store_that_is_whole_is_left_alone(store, spec):
    before = contents(store)
    assert run_sweep(read_sweep(spec), store).computed == 0
    assert contents(store) == before


@pytest.mark.parametrize(
    ("what", "other"), [("jax.__version__", "0.0.1"), ("mamba_dynamics.sweeps.store._ENGINE", ("batch", "stepping"))]
)
def test_the_store_of_another_engine_is_refused(what, other, store, spec, monkeypatch):
    """Half of its numbers would be those of one method, half of another."""
    before = contents(store)
    monkeypatch.setattr(what, other)
    with pytest.raises(SweepError, match="another engine: choose another --out"):
        run_sweep(read_sweep(spec), store)
    assert contents(store) == before


def test_another_sweep_is_refused(store, spec, tmp_path):
    before = contents(store)
    with pytest.raises(SweepError, match="another spec: choose another --out") as caught:
        run_sweep(read_sweep(spec, {"fixed.a": "[0.5, 1.0]"}), store)
    assert "\n" not in str(caught.value)
    assert contents(store) == before
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(SweepError, match="a new folder or the store of a sweep"):
        run_sweep(read_sweep(spec), tmp_path)
    with pytest.raises(SweepError, match="choose another --out"):
        run_sweep(read_sweep(spec), tmp_path / "note.txt")


def link_a_folder(own: Path, elsewhere: Path) -> None:
    shutil.rmtree(own / "outcome" / "c")
    shutil.rmtree(own / "steps" / "c")
    (own / "steps" / "c").symlink_to(elsewhere)


def link_a_file(own: Path, elsewhere: Path) -> None:
    (own / "steps" / "zarr.json").unlink()
    (own / "steps" / "zarr.json").symlink_to(elsewhere / "0")


def link_nowhere(own: Path, elsewhere: Path) -> None:
    (own / "a.partial").symlink_to(elsewhere / "absent")


def pipe_the_metadata(own: Path, elsewhere: Path) -> None:
    (own / "zarr.json").unlink()
    os.mkfifo(own / "zarr.json")


def pipe_a_chunk(own: Path, elsewhere: Path) -> None:
    chunk = min(own.glob("outcome/c/*/*/*/*"))
    chunk.unlink()
    os.mkfifo(chunk)


@pytest.mark.parametrize("plant", [link_a_folder, link_a_file, link_nowhere, pipe_the_metadata, pipe_a_chunk])
def test_a_store_of_links_and_pipes_is_refused(plant, store, spec, tmp_path):
    own, elsewhere = tmp_path / "own", tmp_path / "elsewhere"
    shutil.copytree(store, own)
    elsewhere.mkdir()
    (elsewhere / "0").write_text("precious")
    plant(own, elsewhere)
    _, error = start(spec, "--out", own).communicate(timeout=60)
    assert len(error.splitlines()) == 1, error
    assert "expected a store of folders and regular files, found a" in error
    assert [one.read_text() for one in elsewhere.iterdir()] == ["precious"]
    (tmp_path / "linked").symlink_to(store)
    assert run_sweep(read_sweep(spec), tmp_path / "linked").computed == 0, "the store itself may be a link"


DAMAGE = [b"garbage", b"", b"\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00\x07"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_chunk_gets_one_line_and_is_computed_again(damage, store, spec, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(store, own)
    chunk = min(own.glob("outcome/c/*/*/*/*"))
    chunk.write_bytes(damage)
    result = invoke(spec, "--out", own)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert f"expected '{chunk}' as a sweep writes it, found it damaged" in result.stderr
    chunk.unlink()
    assert invoke(spec, "--out", own).exit_code == 0
    assert contents(own) == contents(store)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_picture_of_a_damaged_store_is_refused(damage, store, spec, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(store, own)
    (own / "s_delta" / "c" / "0").write_bytes(damage)
    cuts = ["--slice", "dt_bias=-1", "--slice", "x0_2=-1"]
    result = invoke(spec, "--out", own, "--plot", tmp_path / "a.svg", *cuts)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert f"expected '{own}' as a sweep writes it, found it damaged" in result.stderr


@pytest.mark.long
def test_killed_and_started_again_on_several_devices(store, spec, tmp_path):
    """However often it is killed: no more than the chunk at work is lost, and the end is the same, bit for bit."""
    out, chance, done = tmp_path / "killed", random.Random(0), 0
    for _ in range(KILLS):
        process = start(spec, "--out", out, devices=DEVICES)
        deadline = time.monotonic() + 240
        wanted = min(done + chance.randint(0, 2), 8)
        while process.poll() is None and len(list(out.glob("outcome/c/*/*/*/*"))) < wanted + 1:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        files = list(out.glob("outcome/c/*/*/*/*"))
        assert len([one for one in files if one.suffix != ".partial"]) >= done, "a chunk that was done is kept"
        done = len(files)
        if done:
            with xr.open_zarr(out) as dataset:
                assert set(np.unique(dataset.outcome)) - {-1}
    document = json.loads(finish(start(spec, "--out", out, "--json", devices=DEVICES)))
    assert document["devices"] == DEVICES
    assert document["computed"] < document["cells"] == 120
    assert contents(out) == contents(store)


@pytest.mark.long
def test_two_processes_give_the_result_of_one(store, spec, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "shared"
    options = ["--out", out, "--coordinator", f"127.0.0.1:{port}", "--num-processes", 2, "--json"]
    both = [start(spec, *options, "--process-id", number) for number in range(2)]
    first, second = (finish(process) for process in both)
    assert second == ""
    document = json.loads(first)
    assert 0 < document["computed"] < document["cells"]
    assert document["outcomes"]["not_done"] == 0
    assert contents(out) == contents(store)


def test_an_interrupted_sweep_says_so_and_goes_on(store, spec, tmp_path, monkeypatch):
    from mamba_dynamics.sweeps import run

    calls, whole = [], run.solve_many

    def interrupted(**arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(**arguments)

    monkeypatch.setattr(run, "solve_many", interrupted)
    result = invoke(spec, "--out", tmp_path / "out")
    assert result.exit_code == 130
    assert result.stderr.strip() == "interrupted"
    monkeypatch.undo()
    assert invoke(spec, "--out", tmp_path / "out").exit_code == 0
    assert contents(tmp_path / "out") == contents(store)


def test_the_command_s_document_and_picture(store, spec, tmp_path):
    picture = tmp_path / "picture.svg"
    cuts = ["--slice", "dt_bias=0.5", "--slice", "x0_2=0.7"]
    result = invoke(spec, "--out", store, "--json", "--plot", picture, *cuts)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["schema_version"] == 1
    assert document["axes"] == {"dt_bias": 2, "x0_2": 3, "s_delta": 5, "mu_1": 4}
    assert sum(document["outcomes"].values()) == document["cells"] == 120
    assert document["outcomes"]["converged_to_zero"] == 30
    assert (document["undecided"], document["failed"], document["computed"]) == (0, 0, 0)
    assert picture.read_text().startswith("<?xml")
    text = invoke(spec, "--out", store)
    assert "120 cells" in text.stdout
    assert "25.00%" in text.stdout


def test_undecided_cells_are_marked_and_told_by_the_exit_code(spec, tmp_path):
    changes = ["--set", "fixed.max_steps=5", "--set", "grid.mu_1=[0.0, 1.0]", "--set", "grid.dt_bias=[0.5]"]
    result = invoke(spec, "--out", tmp_path / "short", *changes, "--json")
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert document["undecided"] == document["outcomes"]["budget_exhausted"] == 15
    assert document["cells"] == 30


def test_random_cells_carry_their_parameters(tmp_path):
    table = {
        "chunk": 16,
        "fixed": {"mu_2": 0.0, "a": 1.0, "L": 4, "log_until": 2.0},
        "random": {
            "cells": 20,
            "mu_1": {"uniform": [-1, -0.1]},
            "s_delta": {"uniform": [-1, 1]},
            "x0": {"normal": [0, 1]},
        },
    }
    sweep = sweep_from("one", table)
    run_sweep(sweep, tmp_path / "out")
    with xr.open_zarr(tmp_path / "out") as dataset:
        assert dataset.mu_1.dims == dataset.x0_4.dims == ("cell",)
        np.testing.assert_array_equal(dataset.mu_1, sweep.parameters((slice(0, 20),))["mu"][0])
        np.testing.assert_allclose(dataset.log1p_t_final, 2.0, rtol=1e-12)


def test_shorter_cells_have_no_more_tokens(tmp_path):
    table = {"fixed": {"mu": [1.0, 0.0], "a": 1, "s_delta": -1, "x0": [1.0, 0.5, 2.0, 1.0]}, "grid": {"L": [2, 4]}}
    run_sweep(sweep_from("one", table), tmp_path / "out")
    with xr.open_zarr(tmp_path / "out") as dataset:
        np.testing.assert_array_equal(np.isnan(dataset.log_abs_x_final), [[0, 0, 1, 1], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "expected the name of a sweep"),
        (["nonsense", "--out", "x"], 1, "choose from"),
        (["scenarios", "--out", "x", "--set", "grid.a"], 2, "KEY=VALUE"),
        (["scenarios", "--out", "x", "--set", "grid.a=[-1]"], 1, "a_1 >= 0"),
        (["scenarios", "--out", "x", "--plot", "x.gif"], 2, ".png"),
        (["scenarios", "--out", "x", "--slice", "a=one"], 2, "a number for a"),
        (["scenarios", "--out", "x", "--process-id", "0"], 2, "together"),
        (["scenarios", "--out", "/proc/x"], 1, "choose another --out"),
    ],
)
def test_wrong_usage_is_one_line(arguments, code, says):
    result = invoke(*arguments)
    assert result.exit_code == code, result.output
    assert says in " ".join(result.output.replace("│", " ").split())


def test_the_list_of_sweeps():
    result = invoke("--list")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["random", "sample-channels", "scenarios"]
