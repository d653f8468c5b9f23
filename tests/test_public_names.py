"""The public names: exactly these, all documented, and cheap to import."""

import ast
import subprocess
import sys
from pathlib import Path

import mamba_dynamics

_NAMES = (
    "MambaDynamicsError CheckpointError UnsupportedArchitecture MissingTensor UnsafeFile CorruptFile NoSuchLayer "
    "LayerShapeError HypothesisError SolveError Scenario Outcome TokenFate Truth KnownBy S6Layer RMSNorm Norms "
    "Multipliers open_checkpoint Checkpoint sample_path weights_verdict WeightsVerdict token_dynamics "
    "AbstractTokenDynamics solve Horizon TokenTrajectory BlowUp predict_scenario predict_laws ScalarSystem "
    "GrowthLaw LawName Prediction classify Verdict TokenVerdict classify_checkpoint Report "
    "asymptotics Asymptotics TokenAsymptotics Growth CATALOGUE Theorem Case Hypothesis Expected Told "
    "verify Verification TheoremReport Estimate limiting_slope limiting_value significance "
    "fidelity Fidelity load_model MambaLM walk Visit Stages Block radial_rates ABLATIONS "
    "Consensus ConsensusCurve consensus TokenStatistics TokensVerdict tokens_verdict BlockFacts "
    "plot_alignments plot_channels plot_scenarios plot_spectra plot_step_sizes plot_symmetric_part "
    "plot_hidden_attention plot_consensus plot_radial_rates plot_trajectory STYLE TOKEN_COLOURS PREDICTED SIGNED "
    "own_blow_up_time blow_up_bound enclose Enclosure proved_scenario strictly_copositive "
    "DefiniteProjection DefiniteCertificate paper_threshold nearest_definite NearestDefinite soft_sort hard_order "
    "importance_scores ImportanceReordering with_definite with_reordering save_model load_refined "
    "SweepError solve_many Runs read_sweep Sweep run_sweep Swept Processes plot_phase_diagram OUTCOME_COLOURS "
)
PUBLIC = set(_NAMES.split())


def test_the_public_names_are_exactly_these():
    assert set(mamba_dynamics.__all__) == PUBLIC
    assert set(dir(mamba_dynamics)) >= PUBLIC


def test_every_public_name_resolves_and_is_documented():
    for name in mamba_dynamics.__all__:
        value = getattr(mamba_dynamics, name)
        assert value.__doc__, name
        if name not in (
            "CATALOGUE",
            "ABLATIONS",
            "STYLE",
            "TOKEN_COLOURS",
            "PREDICTED",
            "SIGNED",
            "OUTCOME_COLOURS",
        ):  # plain data
            assert value.__module__.startswith("mamba_dynamics"), name


def test_the_lazy_table_and_the_type_checker_s_imports_are_the_same():
    tree = ast.parse(Path(mamba_dynamics.__file__).read_text())
    imported = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert imported == {(module, name) for name, module in mamba_dynamics._MODULE_OF.items()}


def test_the_version_is_the_installed_one():
    assert mamba_dynamics.__version__[0].isdigit()


def test_unknown_names_are_refused():
    assert not hasattr(mamba_dynamics, "frobnicate")


def loaded_after(code: str) -> set[str]:
    """The top-level modules a fresh interpreter has loaded after running `code`."""
    ending = "\nimport sys; print('LOADED', *{name.split('.')[0] for name in sys.modules})"
    result = subprocess.run([sys.executable, "-c", code + ending], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.rpartition("LOADED")[2].split())


HEAVY = {"jax", "torch", "equinox", "diffrax", "sympy", "matplotlib"}


def test_importing_the_package_loads_nothing():
    loaded = loaded_after("import mamba_dynamics")
    assert "mamba_dynamics" in loaded
    assert not loaded & (HEAVY | {"numpy", "flint", "scipy", "click"})


def test_naming_the_weights_functions_loads_neither_jax_nor_torch():
    assert not loaded_after("import mamba_dynamics as m; m.open_checkpoint; m.weights_verdict") & HEAVY


def test_judging_weights_loads_numpy_alone():
    """No balls where rounding bounds suffice, nothing of the network, and no reader of pickles."""
    code = "import mamba_dynamics as m; m.weights_verdict(m.open_checkpoint(m.sample_path()).layer(0))"
    loaded = loaded_after(code)
    assert "numpy" in loaded
    assert not loaded & (HEAVY | {"flint", "http", "pickletools"})


def test_what_rounding_bounds_leave_open_is_judged_by_balls():
    code = "from mamba_dynamics.certificates import symmetric_signs; import numpy as np; one = np.eye(2)"
    assert "flint" not in loaded_after(code)
    assert "flint" in loaded_after(f"{code}; symmetric_signs(one, one)")


def test_help_loads_nothing_heavy():
    code = (
        "import runpy, sys; sys.argv = ['mamba-dynamics', '--help']\n"
        "try: runpy.run_module('mamba_dynamics', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code"
    )
    loaded = loaded_after(code)
    assert "click" in loaded
    assert not loaded & (HEAVY | {"numpy", "rich"})
