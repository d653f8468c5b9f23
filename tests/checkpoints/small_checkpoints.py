"""Small checkpoints written by hand, and the one-line message that opening them raises."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mamba_dynamics.checkpoints import open_checkpoint

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
E, N, R, D_MODEL = 6, 3, 2, 4


def mamba1(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "A_log": rng.standard_normal((E, N)),
        "D": rng.standard_normal(E),
        "x_proj.weight": rng.standard_normal((R + 2 * N, E)),
        "dt_proj.weight": rng.standard_normal((E, R)),
        "dt_proj.bias": rng.standard_normal(E),
        "in_proj.weight": rng.standard_normal((2 * E, D_MODEL)),
        "out_proj.weight": rng.standard_normal((D_MODEL, E)),
    }


def mamba2(seed=0, heads=2, groups=2, width=8):
    rng = np.random.default_rng(seed)
    return {
        "A_log": rng.standard_normal(heads),
        "D": rng.standard_normal(heads),
        "dt_bias": rng.standard_normal(heads),
        "in_proj.weight": rng.standard_normal((2 * width + 2 * groups * N + heads, D_MODEL)),
        "out_proj.weight": rng.standard_normal((D_MODEL, width)),
        "conv1d.weight": rng.standard_normal((width + 2 * groups * N, 1, 4)),
    }


def write(folder, layers, config=None, extra=None):
    """A checkpoint from {prefix: tensors}; float64, so that values come back exactly."""
    tensors = {prefix + name: value for prefix, layer in layers.items() for name, value in layer.items()}
    save_file(tensors | (extra or {}), folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


def copy_fixture(name, folder, **changes):
    """A fixture with other values in its config; None removes config.json."""
    shutil.copy(FIXTURES / name / "model.safetensors", folder)
    config = json.loads((FIXTURES / name / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def message(error, path, **options):
    """The one-line message that opening `path` raises."""
    with pytest.raises(error) as caught:
        open_checkpoint(path, **options)
    assert type(caught.value) is error
    text = str(caught.value)
    assert "\n" not in text
    assert text.isascii()
    assert len(text) < 600
    return text
