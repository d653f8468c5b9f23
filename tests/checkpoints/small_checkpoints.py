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


def jamba(seed=0):
    """Every tensor that a Mamba-1 layer may have: norms and biases too."""
    rng = np.random.default_rng(seed)
    return mamba1(seed) | {
        "x_proj.bias": rng.standard_normal(R + 2 * N),
        "b_layernorm.weight": rng.standard_normal(N),
        "c_layernorm.weight": rng.standard_normal(N),
        "dt_layernorm.weight": rng.standard_normal(R),
        "in_proj.bias": rng.standard_normal(2 * E),
        "out_proj.bias": rng.standard_normal(D_MODEL),
        "conv1d.weight": rng.standard_normal((E, 1, 4)),
        "conv1d.bias": rng.standard_normal(E),
    }


def full_rank(seed=0):
    """A Mamba-1 layer whose step size has its own projection from x."""
    rng = np.random.default_rng(seed)
    layer = jamba(seed) | {
        "x_proj.weight": rng.standard_normal((2 * N, E)),
        "x_proj.bias": rng.standard_normal(2 * N),
        "dt_proj.weight": rng.standard_normal((E, E)),
    }
    del layer["dt_layernorm.weight"]
    return layer


def mamba_beat(seed=0):
    """A Mamba-1 layer whose x_proj is called selection, with rows [B; C; dt]."""
    rng, layer = np.random.default_rng(seed), mamba1(seed)
    del layer["x_proj.weight"]
    return layer | {
        "selection.weight": rng.standard_normal((2 * N + R, E)),
        "selection.bias": rng.standard_normal(2 * N + R),
    }


def directions(*tags, seed=0):
    """A Mamba-1 layer with further scans: {tag} makes A_{tag}_log, x_proj_{tag} and so on."""
    layer = mamba1(seed)
    for k, tag in enumerate(tags):
        other = mamba1(seed + 1 + k)
        layer |= {
            f"A_{tag}_log": other["A_log"],
            f"D_{tag}": other["D"],
            f"x_proj_{tag}.weight": other["x_proj.weight"],
            f"dt_proj_{tag}.weight": other["dt_proj.weight"],
            f"dt_proj_{tag}.bias": other["dt_proj.bias"],
            f"conv1d_{tag}.weight": np.zeros((E, 1, 4)),
        }
    return layer


def full_mamba2(seed=0):
    """Every tensor that a Mamba-2 layer may have."""
    rng, layer = np.random.default_rng(seed), mamba2(seed)
    return layer | {
        "in_proj.bias": rng.standard_normal(len(layer["in_proj.weight"])),
        "conv1d.bias": rng.standard_normal(len(layer["conv1d.weight"])),
        "norm.weight": rng.standard_normal(8),
        "in_proj.layer_norm_weight": rng.standard_normal(D_MODEL),
        "out_proj.bias": rng.standard_normal(D_MODEL),
    }


def zamba(seed=0, heads=2):
    rng = np.random.default_rng(seed)
    return _around(rng) | {
        "A_log": rng.standard_normal((heads, E, N)),
        "x_proj_weight": rng.standard_normal((heads, R + 2 * N, E)),
        "x_proj_bias": rng.standard_normal((heads, R + 2 * N)),
        "dt_proj_weight": rng.standard_normal((heads, E, R)),
        "dt_proj_bias": rng.standard_normal((heads, E)),
        "D": rng.standard_normal((heads, E)),
    }


def vmamba(seed=0, scans=4):
    rng = np.random.default_rng(seed)
    return _around(rng) | {
        "A_logs": rng.standard_normal((scans * E, N)),
        "x_proj_weight": rng.standard_normal((scans, R + 2 * N, E)),
        "x_proj_bias": rng.standard_normal((scans, R + 2 * N)),
        "dt_projs_weight": rng.standard_normal((scans, E, R)),
        "dt_projs_bias": rng.standard_normal((scans, E)),
        "Ds": rng.standard_normal(scans * E),
    }


def vmamba_m2(seed=0, scans=4, heads=3):
    rng = np.random.default_rng(seed)
    return _around(rng) | {
        "A_logs": rng.standard_normal((scans, heads)),
        "x_proj_weight": rng.standard_normal((scans, heads + 2 * N, E)),
        "x_proj_bias": rng.standard_normal((scans, heads + 2 * N)),
        "dt_projs_bias": rng.standard_normal((scans, heads)),
        "Ds": rng.standard_normal((scans, heads, E // heads)),
    }


def _around(rng):
    names = ("in_proj.weight", "in_proj.bias", "conv1d.weight", "conv1d.bias", "out_proj.weight", "out_proj.bias")
    shapes = ((2 * E, D_MODEL), (2 * E,), (E, 1, 4), (E,), (D_MODEL, E), (D_MODEL,))
    return {name: rng.standard_normal(shape) for name, shape in zip(names, shapes, strict=True)}


def arrays_of(layer):
    """The arrays of a layer by name, those of its norms included."""
    found = {name: getattr(layer, name) for name in ("S_B", "S_C", "dt_down", "dt_up", "dt_bias", "a", "D_skip")}
    norms = {f"norm_{axis}": getattr(layer.norms, axis) for axis in ("B", "C", "dt")}
    return found | {name: None if norm is None else norm.weight for name, norm in norms.items()}
