"""`mamba-dynamics doctor`: what it says of the installation is so, and a wrong number does not pass."""

import json
import math
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import mpmath
import pytest
from click.testing import CliRunner

from mamba_dynamics import _self_check
from mamba_dynamics._self_check import CHECKS, SelfCheck, self_check
from mamba_dynamics.cli import app
from mamba_dynamics.cli.doctor import CORE, EXTRAS

PYPROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text("utf-8"))


def run(*arguments):
    return CliRunner().invoke(app, ["doctor", *arguments])


@pytest.fixture(scope="module")
def document():
    result = run("--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def quick(monkeypatch):
    """Only the checks that take no time, and one more as given."""

    def checks(**more):
        found = {name: CHECKS[name] for name in ("eigenvalues", "certified signs")}
        monkeypatch.setattr(_self_check, "CHECKS", found | {name: ("x", 1e-9, one) for name, one in more.items()})

    return checks


def test_every_check_is_ok(document):
    assert document["ok"] is True
    assert [check["name"] for check in document["checks"]] == list(CHECKS)
    for check in document["checks"]:
        assert check["ok"] is True
        assert check["problem"] is None
        assert check["error"] <= check["tolerance"] <= 1e-9


def test_what_is_expected_is_right(document):
    """The closed forms again, in 30 digits; the open one as an integral."""
    mpmath.mp.dps = 30
    ln2 = mpmath.log(2)
    known = {
        "sample": 4,
        "eigenvalues": 2,
        "certified signs": 2,
        "proved blow-up": 1 / (2 * ln2),
        "hidden attention": ln2 * 15 * mpmath.exp(-ln2),
        "decay": -mpmath.log(1 + 2 * ln2 * (mpmath.mpf(10) ** 200 - 1)) / 2,
        "blow-up": 1 / (2 * ln2),
        "blow-up, open step": mpmath.quad(lambda u: 1 / (u**3 * mpmath.log1p(mpmath.exp(u))), [1, 3, 20, mpmath.inf]),
    }
    expected = {check["name"]: check["expected"] for check in document["checks"]}
    assert expected == pytest.approx({name: float(value) for name, value in known.items()}, rel=1e-14)


def test_versions_and_devices(document):
    assert document["versions"]["jax"] == version("jax")
    assert document["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert document["jax"]["float64"] is True
    assert document["jax"]["devices"]
    required = {one.split(">")[0] for one in PYPROJECT["project"]["dependencies"]}
    assert required - {"click", "rich", "jaxtyping"} <= set(CORE), "every dependency that computes"


def test_every_extra_is_told(document):
    assert set(EXTRAS) == set(PYPROJECT["project"]["optional-dependencies"])
    for extra in document["extras"]:
        assert extra["installed"] == (not extra["missing"])
        assert extra["missing"] == [name for name, found in extra["packages"].items() if found is None]
    assert next(one for one in document["extras"] if one["name"] == "test")["packages"]["hypothesis"]


def test_an_extra_that_is_missing_says_how_to_get_it(quick, monkeypatch):
    quick()
    monkeypatch.setattr(
        sys.modules["mamba_dynamics.cli.doctor"], "_version", lambda name: None if name == "optax" else "1"
    )
    shown = " ".join(run().stdout.split())
    assert (
        "extra train to train models: mamba-dynamics train; not installed: pip install 'mamba-dynamics[train]'" in shown
    )
    assert "extra text to read tokenizer.json, for --text; installed" in shown


def test_text_says_ok_with_the_error(quick):
    quick()
    result = run()
    assert result.exit_code == 0
    assert "ok      eigenvalues" in result.stdout
    assert "(error 0e+00, at most 1e-13)" in result.stdout
    assert "program cache" in result.stdout


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        (lambda: (1.0, 1.0 + 1e-8), "error 1e-08, at most 1e-09: found 1.00000001, expected 1"),
        (lambda: (1.0, math.nan), "found nan"),
        (lambda: (1.0, -1.0), "found -1"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_check_that_fails_is_told(compute, said, quick):
    quick(bad=compute)
    result = run()
    assert result.exit_code == 3
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    assert said in line
    assert result.stderr.count("\n") == 1
    assert "checks failed (bad)" in result.stderr
    found = run("--json")
    assert found.exit_code == 3
    assert json.loads(found.stdout)["ok"] is False
    assert json.loads(found.stdout)["checks"][-1]["ok"] is False


def test_jax_that_does_not_start_is_told(quick, monkeypatch):
    quick(attention=CHECKS["hidden attention"][2])
    monkeypatch.setitem(sys.modules, "jax", None)
    result = run()
    assert result.exit_code == 3
    assert "JAX does not start" in result.stdout
    assert "ModuleNotFoundError" in result.stdout


def test_a_wrong_equation_does_not_pass(monkeypatch):
    """Half a per mille in mu is seen by both blow-up times, and a token that starts elsewhere by the decay."""
    solved = _self_check._run
    monkeypatch.setattr(_self_check, "_run", lambda mu, **more: solved(mu=1.0005 * mu, **more))
    failed = [check.name for check in self_check() if not check.ok]
    assert failed == ["decay", "blow-up", "blow-up, open step"]


def test_an_error_is_relative():
    assert SelfCheck("x", "", 1e-3, expected=-200.0, found=-200.1).error == pytest.approx(5e-4)
    assert SelfCheck("x", "", 1e-3).ok is False
