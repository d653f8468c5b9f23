"""Start-up: the time to the first result of the commands, beside an interpreter that imports numpy."""

import sys
import tempfile

from ..measure import Command
from .base import OURS, Row

_COMMANDS = {
    "--help": ["--help"],
    "classify": ["classify"],
    "simulate": ["simulate", "--mu", "1", "--s-delta", "1", "--a", "1", "--x0", "0.5,3"],
}


def _line(command: str) -> list[str]:
    return [sys.executable, "-m", "mamba_dynamics", *_COMMANDS[command]]


def _bare(command: str) -> list[str]:
    return [sys.executable, "-c", "import numpy"]


#: Removed when the process that measures ends.
_CACHE = tempfile.TemporaryDirectory(prefix="bench-cache-")

START_UP = Row(
    name="start-up",
    title="Start-up",
    sides={
        OURS: Command(_line, {"JAX_COMPILATION_CACHE_DIR": ""}),
        "ours, compilation cache": Command(
            _line, {"JAX_COMPILATION_CACHE_DIR": _CACHE.name, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        ),
        "python, numpy": Command(_bare),
    },
    sizes=tuple(_COMMANDS),
    headline=0,
)
