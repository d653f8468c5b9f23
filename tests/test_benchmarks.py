"""The benchmark suite: arithmetic on made-up timings, processes, a row, and the page of its results."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from mamba_dynamics import S6Layer, token_dynamics

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import measure, report  # noqa: E402
from benchmarks.measure import Command, Measured, SideFailed, Timing  # noqa: E402
from benchmarks.rows import ROWS, trajectory  # noqa: E402
from benchmarks.rows.base import OURS, Row  # noqa: E402


def measured(*seconds, answer=None, **counts):
    timings = tuple(Timing(one, 2 * one) for one in seconds)
    return Measured(1.0, timings, 2**20, None if answer is None else np.array(answer), counts)


def row(**changes):
    given = {"name": "made-up", "title": "Made up", "sides": {OURS: None, "peer": None}, "sizes": (1, 2, 4)}
    return Row(**{**given, "scale": float, "tolerance": 1e-3, **changes})


@pytest.mark.parametrize(("takes", "calls"), [(3.0, 1), (measure.SHORT, 1), (0.06, 1 + 2), (1e-3, 1 + 100)])
def test_a_short_call_is_repeated_after_one_that_does_not_count(monkeypatch, takes, calls):
    """The first call of a turn takes twice as long here if it is a short one: its caches are cold."""
    clock, made = [0.0], []

    def run():
        clock[0] += takes if made or takes >= measure.SHORT else 2 * takes
        made.append(len(made))
        return made[-1]

    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(measure.time, "process_time", lambda: 2 * clock[0])
    timing, found = measure._steadied(run)
    assert timing == pytest.approx({"seconds": takes, "processor": 2 * takes})
    assert found == len(made) - 1 == calls - 1


def test_a_command_keeps_its_bytecode_as_an_installed_package_does(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    line = [sys.executable, "-c", "import sys; sys.exit(sys.dont_write_bytecode)"]
    one = measure.interleaved("made-up", {OURS: Command(lambda size: line)}, 1, 1)[OURS]
    assert isinstance(one, Measured), one


@pytest.fixture
def found(monkeypatch):
    """`row_document` on timings that are given: size -> {side: Measured}."""

    def run(one, timings, rate=1.0):
        monkeypatch.setattr(report, "interleaved", lambda name, sides, size, rounds: timings(size))
        monkeypatch.setattr(report, "ceiling", lambda kind: rate)
        return report.row_document(one, 3, quick=False, progress=lambda _: None)

    return run


def test_ratios_are_taken_round_by_round(found):
    sides = {OURS: measured(1.0, 2.0, 4.0), "peer": measured(3.0, 4.0, 20.0)}
    document = found(row(), lambda size: sides)
    ratio = document["sizes"][0]["sides"]["peer"]["ratio"]
    assert (ratio["median"], ratio["min"], ratio["max"]) == (3.0, 2.0, 5.0)
    assert document["sizes"][0]["sides"]["peer"]["processor_seconds"]["median"] == 8.0


def test_a_side_that_did_a_part_of_the_work_is_scaled_up(found):
    sides = {OURS: measured(1.0), "peer": measured(2.0, repeated=24)}
    assert found(row(), lambda size: sides)["sizes"][0]["sides"]["peer"]["ratio"]["median"] == 48.0


def test_growth_is_the_exponent_of_a_power(found):
    document = found(row(), lambda size: {OURS: measured(3.0 * size**1.5), "peer": measured(7.0)})
    assert document["growth"][OURS] == pytest.approx(1.5)
    assert document["growth"]["peer"] == pytest.approx(0.0, abs=1e-12)


def test_the_distance_to_the_ceiling(found):
    work = {"exp float32": 50.0, "flops float32": 100.0}
    document = found(row(work=lambda size: work), lambda size: {OURS: measured(6.0), "peer": "absent"}, rate=100.0)
    assert document["sizes"][0]["sides"][OURS]["times_the_ceiling"] == pytest.approx(6.0 / 1.5)
    assert document["sizes"][0]["sides"]["peer"] == {"failed": "absent"}
    assert "failed: absent" in report.table(document)


@pytest.mark.parametrize(("off", "differs"), [(0.0, False), (1e-3, False), (1e-2, True), (np.nan, True)])
def test_answers_that_are_apart_are_found(found, off, differs):
    sides = {OURS: measured(1.0, answer=[1.0, 2.0]), "peer": measured(1.0, answer=[1.0 + off, 2.0])}
    assert found(row(), lambda size: sides)["sizes"][0]["sides"]["peer"]["differs"] == differs


def test_counts_are_compared_where_sides_count(found):
    sides = {OURS: measured(1.0, rhs=10), "peer": measured(1.0, rhs=25)}
    assert found(row(count="rhs"), lambda size: sides)["sizes"][0]["sides"]["peer"]["count_ratio"] == 2.5


def test_a_command_is_timed_from_start_to_end_with_its_children():
    line = [sys.executable, "-c", "import time; time.sleep(0.3); bytearray(50_000_000)"]
    one = measure.interleaved("made-up", {OURS: Command(lambda size: line)}, 1, 2)[OURS]
    assert isinstance(one, Measured)
    assert all(0.3 < timing.seconds < 30 for timing in one.timings)
    assert all(timing.processor < timing.seconds for timing in one.timings)
    assert 50_000_000 < one.peak < 120_000_000


def test_the_peak_of_a_command_is_its_own():
    """Not that of this process, which holds more than a bare interpreter when it starts it."""
    held = bytearray(200_000_000)
    one = measure.interleaved("made-up", {OURS: Command(lambda size: [sys.executable, "-c", ""])}, 1, 1)[OURS]
    assert isinstance(one, Measured)
    assert 1_000_000 < one.peak < 50_000_000
    assert len(held) == 200_000_000


def test_a_command_that_fails_says_its_last_words():
    line = [sys.executable, "-c", "raise SystemExit('no such peer')"]
    found = measure.interleaved("made-up", {"peer": Command(lambda size: line)}, 1, 1)
    assert found["peer"] == "no such peer"


def test_a_worker_that_is_slow_is_given_up(monkeypatch):
    monkeypatch.setattr(measure, "PATIENCE", 0.01)
    with pytest.raises(SideFailed, match=r"no answer within 0.01 s"):
        measure._Worker("scan", OURS, 256)


class Tensor:
    """What the suite asks of one of torch: to leave its graph and its GPU."""

    def __init__(self, values, on_gpu=True):
        self.values, self.on_gpu = values, on_gpu

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self.values, on_gpu=False)

    def __array__(self, dtype=None, copy=None):
        assert not self.on_gpu
        return np.array(self.values, dtype)


@pytest.mark.parametrize(
    "answer",
    [
        [[1.0, 2.0], [3.0]],
        (np.array([[1.0, 2.0]]), Tensor([3.0])),
        (jax.numpy.array([1.0]), (Tensor([[2.0], [3.0]]),)),
    ],
)
def test_answers_in_several_parts_are_compared_as_one(answer):
    assert measure._numbers(answer).tolist() == [1.0, 2.0, 3.0]


def test_a_run_ends_when_its_answer_is_there(monkeypatch):
    waited = []
    cuda = SimpleNamespace(is_available=lambda: True, synchronize=lambda: waited.append("torch"))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(jax, "block_until_ready", lambda answer: waited.append(answer))
    assert measure._timed(lambda: "answer", 2)[1] == "answer"
    assert waited == 2 * ["answer", "torch"]


def test_the_memory_of_a_side_on_a_gpu_is_the_gpu_s(monkeypatch):
    cuda = SimpleNamespace(is_available=lambda: True, memory_allocated=lambda: 3, max_memory_allocated=lambda: 7)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert (measure._reset_peak(), measure._peak()) == (3, 7)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert measure._peak() > 2**20
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    stats = {"bytes_in_use": 5, "peak_bytes_in_use": 11}
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(memory_stats=lambda: stats)])
    assert (measure._reset_peak(), measure._peak()) == (5, 11)


@pytest.mark.long
def test_a_row_as_a_user_runs_it(tmp_path):
    """A peer that is not installed, or one that is: ours is measured either way, and nothing differs."""
    line = [sys.executable, "-m", "benchmarks", "scan", "--quick", "--rounds", "2", "--json", str(tmp_path / "a.json")]
    run = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    document = json.loads((tmp_path / "a.json").read_text())
    (size,) = document["rows"]["scan"]["sizes"]
    ours, sharded, associative = (
        size["sides"][name] for name in (OURS, "ours, channels on all cores", "associative_scan")
    )
    assert ours["ratio"] == {"median": 1.0, "min": 1.0, "max": 1.0}
    assert size["work"] == {"exp float32": 1024 * 1536 * 16}
    # The states alone are L x D x N float32, and ours holds none of them but one.
    assert associative["peak_bytes"] > 4 * 1024 * 1536 * 16
    assert sharded["difference"] == 0.0
    assert associative["difference"] < 1e-5
    assert "times_the_ceiling" in ours
    assert "Vector field" in run.stdout


def test_an_unknown_row_is_named():
    run = subprocess.run([sys.executable, "-m", "benchmarks", "sideways"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert "found sideways" in run.stderr


@pytest.mark.parametrize("name", trajectory.CASES)
def test_the_field_that_scipy_integrates_is_that_of_the_dynamics(name):
    case = trajectory.CASES[name]
    layer = S6Layer.scalar(mu=case.mu, S_Delta=case.s, a=trajectory.A, dt_bias=trajectory.BIAS)
    with jax.enable_x64(True):
        expected = token_dynamics(layer)(0.0, np.array(case.x0), None)
    np.testing.assert_allclose(trajectory.field_of(case.mu, case.s)(0.0, np.array(case.x0)), expected, rtol=1e-13)


def test_every_row_has_a_headline_and_our_side_first():
    for name, one in ROWS.items():
        assert one.name == name
        assert next(iter(one.sides)) == OURS
        assert one.sizes[one.headline]
        assert all(amount > 0 for amount in one.work(one.sizes[0]).values())


def test_the_page_shows_the_results():
    sys.path.insert(0, str(ROOT / "scripts"))
    from make_benchmarks_page import PAGE, RESULTS, RESULTS_GPU, page

    results = json.loads(RESULTS.read_text())
    assert PAGE.read_text() == page(results, json.loads(RESULTS_GPU.read_text()))
    assert list(results["rows"]) == list(ROWS)
