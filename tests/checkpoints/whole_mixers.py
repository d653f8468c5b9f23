"""Whole mixers around a layer that the package read, for every architecture of the fixtures.

The selective part (B, C, step sizes, scan, D) is the package's own `Mamba1Selection` or `Mamba2Selection`, made from an
`S6Layer`; so is the whole mixer where it is that of a language model. What lies around it (projections, convolutions,
order of the tokens, merge, gate) is read from the file by safetensors, in float64, as the reference implementation uses
it. `Reading.around` holds the choices made there, so that a test can make them wrongly.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import load_file

from mamba_dynamics import S6Layer, open_checkpoint
from mamba_dynamics._layer import RMSNorm
from mamba_dynamics.checkpoints.language_model import BlockWeights, Convolution
from mamba_dynamics.models.loading import load_block, load_mamba1_selection

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
#: Of the gated norm, where the config names it; 1e-5 elsewhere.
GATE_EPS = {"mamba2": "layer_norm_epsilon", "nemotron_h": "layer_norm_epsilon"}
GATE_EPS |= {"bamba": "rms_norm_eps", "granitemoehybrid": "rms_norm_eps"}
NO_NORM = RMSNorm(eps=0.0)
NO_CONVOLUTION = Convolution(weight=np.zeros((1, 1)))


@dataclass(frozen=True)
class Reading:
    """What was read of one mixer: the layer by the package, its tensors and config as they are stored."""

    name: str
    layer: S6Layer
    tensors: dict[str, np.ndarray]
    config: dict[str, Any]
    golden: dict[str, np.ndarray]
    around: dict[str, Any] = field(default_factory=dict)

    def with_layer(self, **arrays) -> "Reading":
        return replace(self, layer=replace(self.layer, **arrays))

    def with_around(self, **choices) -> "Reading":
        return replace(self, around=self.around | choices)

    def out(self) -> np.ndarray:
        """The mixer's output (L, d) for the golden input."""
        with jax.enable_x64(True):
            return np.asarray(MIXERS[self.layer.kind](self, np.asarray(self.golden["u"], float)))


def read(name: str, folder: Path | None = None) -> Reading:
    """The first mixer of a fixture, or of a folder made from it."""
    folder = FIXTURES / name if folder is None else folder
    checkpoint = open_checkpoint(folder)
    prefix = checkpoint.layers[0].name + "."
    stored = load_file(folder / "model.safetensors")
    tensors = {key.removeprefix(prefix): v.astype(float) for key, v in stored.items() if key.startswith(prefix)}
    config = folder / "config.json"
    with np.load(FIXTURES / name / "golden.npz") as golden:
        found = json.loads(config.read_text()) if config.exists() else {}
        return Reading(name, checkpoint.layer(0), tensors, found, dict(golden))


def linear(tensors, v, name):
    return v @ tensors[f"{name}.weight"].T + tensors.get(f"{name}.bias", 0.0)


def silu(v):
    return v / (1 + np.exp(-v))


def convolution(tensors, name="conv1d", rows=slice(None)) -> Convolution:
    bias = tensors.get(f"{name}.bias")
    return Convolution(weight=tensors[f"{name}.weight"][rows, 0], bias=None if bias is None else bias[rows])


def skipped(found, D) -> np.ndarray:
    """The output of the package's selective part with its skip term."""
    return np.asarray(found.scan + D * found.x)


def mamba1(reading: Reading, u):
    tensors = reading.tensors
    in_x, in_z = np.split(tensors["in_proj.weight"], 2)
    weights = BlockWeights(
        layer=reading.layer,
        norm=NO_NORM,
        in_x=in_x,
        in_z=in_z,
        out=tensors["out_proj.weight"],
        conv_x=convolution(tensors),
        skip=reading.layer.D_skip[0],
    )
    return load_block(weights, "float64").mixer(u)


def mamba2(reading: Reading, u):
    """With the feed-forward branch that may lie beside the scan."""
    weights, branch = mamba2_weights(reading)
    mixer = load_block(weights, "float64").mixer
    if (groups := reading.around.get("group_of_head")) is not None:
        mixer = replace(mixer, selection=_regrouped(mixer.selection, groups))
    stages = mixer.stages(u)
    out = stages.out
    if reading.around.get("gate_after_norm"):
        out = mixer.out_proj(mixer.gate_norm(stages.skipped) * silu(np.asarray(stages.gate)))
    z0, x0 = np.split(u @ reading.tensors["in_proj.weight"][: 2 * branch].T, 2, axis=1)
    return out + (silu(z0) * x0) @ reading.tensors["out_proj.weight"][:, :branch].T


def mamba2_weights(reading: Reading) -> tuple[BlockWeights, int]:
    """Rows [z0 | x0 | z | x | B | C | dt] of in_proj, with Falcon-H1's factors; the first two as wide as the branch."""
    layer, tensors, config, factors = reading.layer, reading.tensors, reading.config, reading.layer.multipliers
    E, GN = layer.d_inner, layer.groups * layer.d_state
    weight, bias = tensors["in_proj.weight"], tensors.get("in_proj.bias")
    branch = (len(weight) - 2 * E - 2 * GN - layer.heads) // 2
    cuts = np.cumsum([branch, branch, E, E, GN, GN])
    z, x = np.split(weight, cuts)[2:4]
    rows = reading.around.get("row_factors", config.get("ssm_multipliers", [1.0] * 5))
    biases = {}
    if bias is not None:
        parts = [factor * part for factor, part in zip(rows, np.split(bias, cuts)[2:], strict=True)]
        biases = dict(zip(("in_z_bias", "in_x_bias", "B_bias", "C_bias"), parts, strict=False))
    gate_eps = config.get(GATE_EPS.get(reading.name), 1e-5)
    gate_norm = RMSNorm(eps=gate_eps, weight=tensors["norm.weight"]) if "norm.weight" in tensors else None
    gate_norm = reading.around.get("gate_norm", lambda norm: norm)(gate_norm)
    weights = BlockWeights(
        layer=replace(layer, S_B=factors.B * layer.S_B, S_C=factors.C * layer.S_C, dt_down=factors.dt * layer.dt_down),
        norm=NO_NORM,
        in_x=factors.x * x,
        in_z=config.get("ssm_in_multiplier", 1.0) * rows[0] * z,
        out=tensors["out_proj.weight"][:, branch:],
        out_bias=tensors.get("out_proj.bias"),
        conv_x=convolution(tensors, rows=slice(0, E)),
        conv_B=convolution(tensors, rows=slice(E, E + GN)),
        conv_C=convolution(tensors, rows=slice(E + GN, None)),
        skip=np.repeat(layer.D_skip, E // layer.D_skip.size) if tensors["D"].size != E else tensors["D"],
        gate_norm=gate_norm,
        gate_groups=reading.around.get("gate_groups", layer.groups),
        **biases,
    )
    return weights, branch


def _regrouped(selection, group_of_head):
    """The same selective part where head h reads B and C of the group that is named for it."""
    spread = {}
    for part in ("B_proj", "C_proj", "conv_B", "conv_C"):
        module = getattr(selection, part)
        leaves = {key: getattr(module, key) for key in ("weight", "bias") if getattr(module, key) is not None}
        split = {key: np.split(np.asarray(leaf), selection.groups) for key, leaf in leaves.items()}
        spread[part] = replace(
            module, **{key: np.concatenate([of[g] for g in group_of_head]) for key, of in split.items()}
        )
    return replace(selection, **spread, groups=len(group_of_head))


def zamba(reading: Reading, u):
    """Rows of in_proj alternate between x and z; every head is a Mamba-1 on its own channels."""
    layer, xz = reading.layer, linear(reading.tensors, u, "in_proj")
    x, z = np.split(xz, 2, axis=1) if reading.around.get("in_halves") else (xz[:, 0::2], xz[:, 1::2])
    y = []
    for head, signal in enumerate(np.split(x, layer.groups, axis=1)):
        rows = slice(head * layer.steps, (head + 1) * layer.steps)
        own = load_mamba1_selection(layer.group(head), convolution(reading.tensors, rows=rows), "float64")
        y.append(skipped(own(u, signal), layer.D_skip[head]))
    return linear(reading.tensors, np.concatenate(y, axis=1) * silu(z), "out_proj")


def vim(reading: Reading, u):
    """Two causal directions, gated by one z and added: the second version halves the sum, the first shares the
    convolution's output between them."""
    layer, tensors = reading.layer, reading.tensors
    x, z = np.split(linear(tensors, u, "in_proj"), 2, axis=1)
    second = "conv1d_b.weight" in tensors
    names = ("conv1d", "conv1d_b") if second else ("conv1d", "conv1d")
    parts = [load_mamba1_selection(layer.group(k), convolution(tensors, names[k]), "float64") for k in (0, 1)]
    x = x if second else np.asarray(parts[0].conv(x))
    y = np.zeros_like(x)
    for own, D, order in zip(parts, layer.D_skip, _orders(reading, len(u)), strict=True):
        y[order] += skipped(own(u, x[order], conv=second), D)
    return linear(tensors, y * silu(z) / reading.around.get("divided_by", 2 if second else 1), "out_proj")


def vmamba(reading: Reading, u):
    """Four directions over a feature map u (H, W, d), put back and added; LayerNorm, gate."""
    layer, tensors = reading.layer, reading.tensors
    H, W, _ = u.shape
    x, z = np.split(linear(tensors, u, "in_proj"), 2, axis=2)
    x = silu(depthwise(tensors["conv2d.weight"], x) + tensors["conv2d.bias"]).reshape(H * W, -1)
    y = np.zeros_like(x)
    for direction, order in enumerate(_orders(reading, H * W, W)):
        own = load_mamba1_selection(layer.group(direction), NO_CONVOLUTION, "float64")
        y[order] += skipped(own(x, x[order], conv=False), layer.D_skip[direction])
    if reading.around.get("layer_norm", True):
        y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
        y = y * tensors["out_norm.weight"] + tensors["out_norm.bias"]
    return linear(tensors, y * silu(z.reshape(H * W, -1)), "out_proj")


def _orders(reading: Reading, length: int, width: int = 1) -> list[np.ndarray]:
    """Token numbers in the order that each direction sees: by rows, by columns of a map, and both backwards."""
    rows = np.arange(length)
    ahead = [rows] if width == 1 else [rows, rows.reshape(-1, width).T.ravel()]
    orders = [*ahead, *(order[::-1] for order in ahead)]
    return [orders[which] for which in reading.around.get("directions", range(len(orders)))]


def mamba_vision(reading: Reading, u):
    """Both halves of in_proj pass a convolution that looks both ways; the second lies beside the scan's output."""
    layer, tensors = reading.layer, reading.tensors
    x, z = np.split(linear(tensors, u, "in_proj"), 2, axis=1)
    x, z = (silu(depthwise(tensors[f"conv1d_{half}.weight"], v)) for half, v in (("x", x), ("z", z)))
    own = load_mamba1_selection(layer, NO_CONVOLUTION, "float64")
    y = skipped(own(u, x, conv=False), layer.D_skip[0])
    return linear(tensors, np.concatenate([y, z], axis=1), "out_proj")


def depthwise(kernel, v) -> np.ndarray:
    """A depthwise convolution (C, 1, *TAPS) of v (*POSITIONS, C) with padding "same", by JAX."""
    axes = "HW"[: v.ndim - 1]
    layout = (f"N{axes}C", f"OI{axes}", f"N{axes}C")
    ones = (1,) * len(axes)
    found = jax.lax.conv_general_dilated(
        v[None], kernel, ones, "SAME", dimension_numbers=layout, feature_group_count=v.shape[-1]
    )
    return np.asarray(found[0])


MIXERS = {
    "mamba1": mamba1,
    "mamba2": mamba2,
    "zamba": zamba,
    "vim": vim,
    "vmamba": vmamba,
    "mamba_vision": mamba_vision,
}
