"""Deliberate faults in the dynamics, the meters and the theory: `verify` must catch each of them.

Every fault is a replacement in a copy of the package; the copy's own command is then run in a process of its own.
The untouched copy, run the same way over all theorems concerned, holds: so it is the fault that was caught.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import mamba_dynamics

PACKAGE = Path(mamba_dynamics.__file__).parent
CASES = 6


class Fault(NamedTuple):
    """In `file`, `right` (which occurs once) becomes `wrong`; `theorems` are those that should notice."""

    file: str
    right: str
    wrong: str
    theorems: tuple[str, ...]


FAULTS = {
    "decay with the wrong sign": Fault(
        "dynamics/scalar.py", "jnp.exp(-a * delta) * h", "jnp.exp(a * delta) * h", ("convergent_constants",)
    ),
    "decay with the wrong sign in the scan": Fault(
        "_selective_scan/recurrence.py",
        "h = jnp.exp(-rates * d) * h",
        "h = jnp.exp(rates * d) * h",
        ("well_posedness",),
    ),
    "softplus without its logarithm": Fault(
        "dynamics/step_size.py",
        "return small, 2.0 * value / (2.0 + small)",
        "return small, jnp.ones_like(small)",
        ("blow_up_time",),
    ),
    "step size without its bias": Fault(
        "dynamics/scalar.py",
        "jnp.exp(state) + self.dynamics.dt_bias",
        "jnp.exp(state)",
        ("convergent_constants", "slow_divergence_law"),
    ),
    "B discretised by zero-order hold": Fault(
        "dynamics/scalar.py",
        "h = own + jnp.exp(-a * delta) * h",
        "h = -jnp.expm1(-a * delta) / (a * delta) * own + jnp.exp(-a * delta) * h",
        ("convergent_constants",),
    ),
    "decay applied to the token itself": Fault(
        "dynamics/scalar.py",
        "h = own + jnp.exp(-a * delta) * h",
        "h = jnp.exp(-a * delta) * (own + h)",
        ("convergent_constants",),
    ),
    "the causal mask off by one": Fault(
        "dynamics/scalar.py",
        "np.tri(log_abs.shape[-1], dtype=bool)",
        "np.tri(log_abs.shape[-1], k=-1, dtype=bool)",
        ("attention_convergent",),
    ),
    "the decay between tokens off by one": Fault(
        "dynamics/scalar.py",
        "elapsed[..., :, None] - elapsed[..., None, :]",
        "elapsed[..., :, None] - elapsed[..., None, :] + np.logaddexp(0.0, z)[..., None, :]",
        ("attention_convergent",),
    ),
    "hidden attention without its step size": Fault(
        "dynamics/scalar.py", "(log_abs + log_step)[..., None, :]", "log_abs[..., None, :]", ("attention_convergent",)
    ),
    "every channel with the mean step size": Fault(
        "dynamics/first_token.py",
        "q * delta / bound",
        "q * weighted / bound",
        ("unequal_biases",),
    ),
    "twice the time that remains at a blow-up": Fault(
        "_solve.py",
        "self.clock.log_remaining(), backwards=True)",
        "self.clock.log_remaining(), backwards=True) + np.log(2.0)",
        ("blow_up_power",),
    ),
    "kappa off by one factor q": Fault(
        "theorems/convergent.py", "phi[token:0:-1]", "(phi[1] * phi[token:0:-1])", ("convergent_constants",)
    ),
    "exponent -1/3 replaced by -1/2": Fault(
        "theorems/fast_divergence.py", "else -1.0 / 3.0", "else -1.0 / 2.0", ("blow_up_power",)
    ),
    "fast divergence called slow": Fault(
        "theorems/dichotomy.py",
        "return Prediction(Scenario.FAST_DIVERGENCE, why, _PAPER)",
        "return Prediction(Scenario.SLOW_DIVERGENCE, why, _PAPER)",
        ("dichotomy",),
    ),
    "the bound with the larger step size": Fault(
        "theorems/convergent.py", "slowest = min(", "slowest = max(", ("convergent_bound",)
    ),
    "a zero token that keeps its constant": Fault(
        "theorems/convergent.py", "if system.x0[token] != 0 else 0.0", "if token >= 0 else 0.0", ("zero_tokens",)
    ),
    "the second-order term of slow divergence dropped": Fault(
        "verification/meters/growth.py",
        "log_t + 3 * np.log(log_t) + np.log(system.mu_bar)",
        "log_t + np.log(system.mu_bar)",
        ("slow_divergence_law",),
    ),
    "a wrong step in a proof": Fault(
        "theorems/catalogue/blow_up_bounds.py",
        "function=-1 / (3 * mu * S * x**3)",
        "function=-1 / (2 * mu * S * x**3)",
        ("blow_up_bounds",),
    ),
    "the integral of the blow-up time with u^4": Fault(
        "certificates/blow_up_time.py", "return (-2 * v).exp()", "return (-3 * v).exp()", ("blow_up_time",)
    ),
}


@pytest.fixture
def copy(tmp_path):
    # With the byte code: it carries its source's time and size, so that of the file with the fault is made anew.
    shutil.copytree(PACKAGE, tmp_path / "mamba_dynamics")
    return tmp_path


def verify(folder: Path, theorems, cases=CASES):
    """(exit code, document) of the copy's command, in a process that sees the copy only."""
    chosen = [argument for name in theorems for argument in ("--theorem", name)]
    command = [sys.executable, "-m", "mamba_dynamics", "verify", *chosen, "--cases", str(cases), "--processes", "1"]
    # A GPU has a scan of its own, without the fault.
    environment = os.environ | {"PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu"}
    result = subprocess.run([*command, "--json"], cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode in (0, 3), result.stderr
    return result.returncode, json.loads(result.stdout)


#: The others, and the copy without any, are `long`.
ALWAYS = {"decay with the wrong sign in the scan"}


@pytest.mark.parametrize(
    "name", [one if one in ALWAYS else pytest.param(one, marks=pytest.mark.long) for one in FAULTS]
)
def test_a_fault_is_caught(name, copy):
    fault = FAULTS[name]
    path = copy / "mamba_dynamics" / fault.file
    source = path.read_text(encoding="utf-8")
    assert source.count(fault.right) == 1, "the fault no longer fits the source: move it along"
    path.write_text(source.replace(fault.right, fault.wrong), encoding="utf-8")
    code, found = verify(copy, fault.theorems)
    assert code == 3
    assert "fails" in [theorem["status"] for theorem in found["theorems"]], found["status"]


@pytest.mark.long
def test_the_untouched_copy_holds(copy):
    theorems = sorted({name for fault in FAULTS.values() for name in fault.theorems})
    code, found = verify(copy, theorems)
    assert [theorem["status"] for theorem in found["theorems"]] == ["holds"] * len(theorems)
    assert code == 0
