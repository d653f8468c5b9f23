"""Completion by the shell: every name that a command takes, without JAX or torch."""

import os
import shutil
import stat
import subprocess
import sys

import pytest
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from mamba_dynamics._outcomes import Scenario
from mamba_dynamics.cli import COMMANDS, app
from mamba_dynamics.cli import names as known
from mamba_dynamics.theorems.catalogue import CATALOGUE
from paper_figures.catalogue import FIGURES
from paper_figures.make import FORMATS

VARIABLE = "_MAMBA_DYNAMICS_COMPLETE"


def completed(*words, shell=BashComplete):
    """(values, types) that complete the last word."""
    found = shell(app, {}, "mamba-dynamics", VARIABLE).get_completions(list(words[:-1]), words[-1])
    return [one.value for one in found], {one.type for one in found}


def test_the_names_are_those_of_the_catalogues():
    assert set(known.theorems()) == CATALOGUE.keys()
    assert known.figures() == sorted(FIGURES)
    assert set(known.formats()) == set(FORMATS)
    assert known.scenarios() == [one.value for one in Scenario]
    pytest.importorskip("optax", reason="the extra `train` is not installed here")
    from mamba_dynamics.training.experiment import experiment_names

    assert known.experiments() == experiment_names()


def test_the_names_of_sweeps_are_those_of_the_designs():
    pytest.importorskip("xarray", reason="the extra `sweep` is not installed here")
    from mamba_dynamics.sweeps.spec import sweep_names

    assert known.sweeps() == sweep_names()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["cl"], ["classify"]),
        ([""], list(COMMANDS)),
        (["--v"], ["--version"]),
        (["classify", "--lay"], ["--layer", "--layers"]),
        (["classify", "--variant", ""], ["positive", "negative", "mixed"]),
        (["classify", "--variant", "p"], ["positive"]),
        (["classify", "--fail-on", "fast"], ["fast_divergence"]),
        (["classify", "--fail-on", "mixed,slow"], ["mixed,slow_divergence"]),
        (["classify", "--fail-on", "mixed,mi"], []),
        (["classify", "--fail-on-level", "t"], ["tokens"]),
        (["verify", "--theorem", "dich"], ["dichotomy"]),
        (["figures", "atten"], ["attention_sink"]),
        (["figures", "attention_sink", "gau"], ["gauge"]),
        (["figures", "--formats", "png,s"], ["png,svg"]),
        (["train", "e2"], ["e2-copying", "e2-mnist"]),
        (["sweep", "sc"], ["scenarios"]),
    ],
)
def test_names_are_completed(words, values):
    assert completed(*words) == (values, {"plain"} if values else set())


@pytest.mark.parametrize(
    "words",
    [
        ["classify", ""],
        ["classify", "models/"],
        ["report", "--out", "pa"],
        ["fidelity", "mo"],
        ["classify", "--tokens", ""],
        ["classify", "--text-file", "a"],
        ["train", "./my"],
        ["sweep", "my-own"],
        ["simulate", "--layer", ""],
    ],
)
def test_paths_are_left_to_the_shell(words):
    assert completed(*words) == ([words[-1]], {"file"})


@pytest.mark.parametrize("words", [["cl"], ["classify", "--variant", ""], ["verify", "--theorem", "d"], ["train", "e"]])
def test_completion_imports_neither_jax_nor_torch(words):
    code = (
        "import sys; from mamba_dynamics.cli import app\n"
        "from click.shell_completion import BashComplete\n"
        f"found = BashComplete(app, {{}}, 'mamba-dynamics', '').get_completions({words[:-1]!r}, {words[-1]!r})\n"
        "bad = {'jax', 'torch', 'sympy', 'matplotlib', 'diffrax'} & set(sys.modules); assert found and not bad, bad"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def on_the_path(tmp_path):
    """An environment in which `mamba-dynamics` is this package."""
    script = tmp_path / "bin" / "mamba-dynamics"
    script.parent.mkdir()
    program = f"#!{sys.executable}\nfrom mamba_dynamics.cli import main\nmain()\n"
    script.write_text(program)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return os.environ | {"PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed here")
def test_a_real_bash_completes(on_the_path, tmp_path):
    """The line that the documentation tells one to write, and what bash then does at a press of the key."""
    (tmp_path / "model.safetensors").touch()
    program = """
        eval "$(_MAMBA_DYNAMICS_COMPLETE=bash_source mamba-dynamics)"
        press() {
            COMP_WORDS=(mamba-dynamics "$@"); COMP_CWORD=$#; COMPREPLY=()
            _mamba_dynamics_completion mamba-dynamics; echo "${COMPREPLY[*]}"
        }
        complete -p mamba-dynamics
        press ver
        press verify --theorem scaling
        press classify --variant neg
    """
    result = subprocess.run(
        ["bash", "-c", program], env=on_the_path, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    function, *answers = result.stdout.splitlines()
    assert "_mamba_dynamics_completion mamba-dynamics" in function
    assert answers == ["verify", "scaling_symmetry", "negative"]


@pytest.mark.parametrize("shell", [ZshComplete, FishComplete])
def test_other_shells_get_a_script(on_the_path, shell):
    environment = on_the_path | {VARIABLE: f"{shell.name}_source"}
    result = subprocess.run(["mamba-dynamics"], env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert f"{VARIABLE}={shell.name}_complete" in result.stdout
    assert completed("verify", "--theorem", "dich", shell=shell) == (["dichotomy"], {"plain"})
