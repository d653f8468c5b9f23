"""XLA's flags for tests, which compile thousands of programs and run most of them once.

Compiling is a large part of the time of all tests. Rounding may differ in last digits from the programs that users run;
CONTRIBUTING says how to run tests on those.
"""

import os
import subprocess
import sys
from typing import Any

CHEAP_COMPILATION = "--xla_cpu_use_fusion_emitters=false"
#: For programs of which nothing is measured, such as a few steps of training: no optimisation at all.
CHEAPEST_COMPILATION = f"{CHEAP_COMPILATION} --xla_backend_optimization_level=0"


def compile_cheaply() -> None:
    """Set the flags for this process and its children, unless XLA_FLAGS is given or this XLA knows no such flags."""
    # Two workers on two cores: the threads of either one's linear algebra would wait for the other's.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "XLA_FLAGS" in os.environ:
        return
    environment = os.environ | {"XLA_FLAGS": CHEAPEST_COMPILATION, "JAX_PLATFORMS": "cpu"}
    # XLA ends a process that gives it an unknown flag.
    probe = subprocess.run([sys.executable, "-c", "import jax; jax.devices()"], env=environment, capture_output=True)
    if probe.returncode == 0:
        os.environ["XLA_FLAGS"] = CHEAP_COMPILATION


def compile_for_nothing(monkeypatch: Any) -> None:
    """The cheapest flags for the processes that a test starts, if any were set at all."""
    if os.environ.get("XLA_FLAGS") == CHEAP_COMPILATION:
        monkeypatch.setenv("XLA_FLAGS", CHEAPEST_COMPILATION)
