"""XLA's flags for tests, which compile thousands of programs and run most of them once.

The compiler takes half of the time of all tests, and with these flags about a third of what it takes else. Rounding may
differ in last digits from the programs that users run; CONTRIBUTING says how to run tests on those.
"""

import os
import subprocess
import sys

CHEAP_COMPILATION = "--xla_cpu_use_fusion_emitters=false"


def compile_cheaply() -> None:
    """Set the flags for this process and its children, unless XLA_FLAGS is given or this XLA knows no such flags."""
    if "XLA_FLAGS" in os.environ:
        return
    environment = os.environ | {"XLA_FLAGS": CHEAP_COMPILATION, "JAX_PLATFORMS": "cpu"}
    # XLA ends a process that gives it an unknown flag.
    if (
        subprocess.run(
            [sys.executable, "-c", "import jax; jax.devices()"], env=environment, capture_output=True
        ).returncode
        == 0
    ):
        os.environ["XLA_FLAGS"] = CHEAP_COMPILATION
