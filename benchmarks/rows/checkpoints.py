"""Checkpoints of published shapes with random S6 weights, made once and kept in `build/benchmarks`."""

import subprocess
import sys
from pathlib import Path

from ..measure import ROOT

#: name -> layers, width: mamba-130m, 370m and 2.8b.
SHAPES = {"mamba-130m": (24, 768), "mamba-370m": (48, 1024), "mamba-2.8b": (64, 2560)}


def checkpoint(name: str, *, dense: bool = False) -> Path:
    """A folder with the checkpoint. Without `dense` the file is sparse: all but the S6 tensors are holes."""
    layers, width = SHAPES[name]
    folder = ROOT / "build" / "benchmarks" / (name + "-dense" * dense)
    if not (folder / "config.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        script = str(ROOT / "scripts" / "make_shaped_checkpoint.py")
        line = [sys.executable, script, str(folder), "--layers", str(layers), "--width", str(width)]
        subprocess.run([*line, *(["--dense"] if dense else [])], check=True, stdout=subprocess.DEVNULL)
    return folder
