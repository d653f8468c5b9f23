"""Weights-only classification as a whole process, from a file in the page cache."""

import sys

from ..measure import Command, SideFailed
from .base import OURS, Row
from .checkpoints import SHAPES, checkpoint

_NAIVE = """
import sys, numpy
from transformers import MambaModel
model = MambaModel.from_pretrained(sys.argv[1])
for layer in model.layers:
    mixer = layer.mixer
    projections = mixer.x_proj.weight.detach().numpy()[mixer.time_step_rank:].astype("float64")
    S_B, S_C = projections.reshape(2, -1, mixer.intermediate_size)
    found = numpy.linalg.eigvals(S_C.T @ S_B).real
    print((found > 1e-9).sum(), (found < -1e-9).sum())
"""


_FLOOR = """
import json, sys, numpy
path = sys.argv[1] + "/model.safetensors"
with open(path, "rb") as file:
    header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    start = file.tell()
    names = ("x_proj.weight", "A_log", "dt_proj.weight", "dt_proj.bias")
    for name, entry in header.items():
        if name.endswith(names):
            begin, end = entry["data_offsets"]
            file.seek(start + begin)
            numpy.frombuffer(file.read(end - begin), "uint8")
"""


def _ours(name: str) -> list[str]:
    return [sys.executable, "-m", "mamba_dynamics", "classify", str(checkpoint(name)), "--json"]


def _naive(name: str) -> list[str]:
    if name != "mamba-130m":
        raise SideFailed("not run: eigenvalues of all D x D matrices would take hours")
    return [sys.executable, "-c", _NAIVE, str(checkpoint(name))]


def _floor(name: str) -> list[str]:
    return [sys.executable, "-c", _FLOOR, str(checkpoint(name))]


CLASSIFICATION = Row(
    name="classification",
    title="Weights-only classification, whole process",
    sides={
        OURS: Command(_ours),
        "python, numpy, read": Command(_floor),
        "transformers + numpy eigvals": Command(_naive, single=True),
    },
    sizes=("mamba-130m", "mamba-370m", "mamba-2.8b"),
    scale=lambda name: float(SHAPES[name][0] * SHAPES[name][1]),
    headline=0,
    note="'python, numpy, read' starts Python with numpy and reads the same tensors: the floor; transformers runs once",
)
