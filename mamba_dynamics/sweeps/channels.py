"""The channels of a checkpoint's layers as one-dimensional systems (theory section 4, the channel-wise reduction).

Channel d alone has mu_n = S_C[n, d] S_B[n, d] (times the constants that a config puts on M), s = (S_Delta)_dd, its own
decay rates and bias, and theory section 3.6 is about it.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from .._errors import SweepError
from .._layer import S6Layer
from ..checkpoints import Checkpoint, open_checkpoint
from ..checkpoints.base import shown
from ..sample import sample_path
from .design import FloatArray

_KEYS = ("path", "weights", "layers", "channels")


@dataclass(frozen=True, eq=False)
class Channels:
    """Weights of chosen channels of chosen layers: mu, a (layers, channels, N), s_delta, dt_bias (layers, channels).

    `warnings` are the checkpoint's.
    """

    layers: list[int]
    channels: list[int]
    mu: FloatArray
    a: FloatArray
    s_delta: FloatArray
    dt_bias: FloatArray
    warnings: tuple[str, ...] = ()

    @property
    def states(self) -> int:
        return self.mu.shape[2]

    def axes(self) -> list[tuple[str, FloatArray]]:
        return [("layer", np.array(self.layers, float)), ("channel", np.array(self.channels, float))]

    def parameters(self) -> dict[str, FloatArray]:
        """By the names of a sweep's parameters, each (layers, channels)."""
        found = {f"mu_{n + 1}": self.mu[..., n] for n in range(self.states)}
        found |= {f"a_{n + 1}": self.a[..., n] for n in range(self.states)}
        return found | {"s_delta": self.s_delta, "dt_bias": self.dt_bias}

    def digest(self) -> str:
        """SHA-256 of the weights: a checkpoint that was trained on is another sweep."""
        parts = (self.mu, self.a, self.s_delta, self.dt_bias)
        return sha256(b"".join(np.ascontiguousarray(part, "<f8").tobytes() for part in parts)).hexdigest()


def read_channels(table: dict[str, Any]) -> Channels:
    """What a spec's [checkpoint] asks for.

    Raises:
        SweepError: the table, or a layer whose channels are no systems of their own; CheckpointError: see
            `open_checkpoint`.
    """
    for key in table:
        if key not in _KEYS:
            raise SweepError(
                f"expected one of {', '.join(_KEYS)} in [checkpoint], found {shown(key)}: check its spelling"
            )
    path = table.get("path")
    if not isinstance(path, str):
        raise SweepError(f"expected path = 'sample' or a checkpoint's path in [checkpoint], found {shown(path)}")
    weights = table.get("weights")
    if not isinstance(weights, str | None):
        raise SweepError(f"expected the prefix of layers for weights in [checkpoint], found {shown(weights)}")
    checkpoint = open_checkpoint(sample_path() if path == "sample" else path, weights=weights)
    layers = _chosen(table.get("layers", "all"), len(checkpoint), "layers")
    width = min(checkpoint.layers[one].d_inner for one in layers)
    channels = _chosen(table.get("channels", "all"), width, "channels")
    parts = [_reduced(_layer(checkpoint, one), channels) for one in layers]
    states = {mu.shape[1] for mu, *_ in parts}
    if len(states) > 1:
        raise SweepError(f"expected layers with one number of states, found {sorted(states)}: choose layers alike")
    mu, a, s_delta, dt_bias = (np.stack(part) for part in zip(*parts, strict=True))
    return Channels(layers, channels, mu, a, s_delta, dt_bias, checkpoint.warnings)


def _chosen(given: Any, count: int, what: str) -> list[int]:
    if given == "all":
        return list(range(count))
    fits = isinstance(given, list) and given and all(type(one) is int and 0 <= one < count for one in given)
    if not fits or len(set(given)) < len(given):
        raise SweepError(
            f"expected 'all' or a list of positions from 0 to {count - 1} for {what}, found {shown(given)}"
        )
    return given


def _layer(checkpoint: Checkpoint, index: int) -> S6Layer:
    layer = checkpoint.layer(index)
    reasons = {
        "tensors that were not understood": bool(checkpoint.layers[index].left_out),
        "norms on B, C or Delta": layer.norms.any,
        f"projections that read {layer.acts_on}": not layer.closed,
        f"{layer.groups} groups": layer.groups != 1,
        "step sizes for heads": layer.steps != layer.channels,
        f"clipped step sizes {layer.dt_limit}": layer.dt_limit != (0.0, float("inf")),
    }
    found = next((reason for reason, there in reasons.items() if there), None)
    if found is not None:
        raise SweepError(f"{layer.name}: expected a layer whose channels are one-dimensional systems, found {found}")
    return layer


def _reduced(layer: S6Layer, channels: list[int]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    mu = layer.gain * (layer.C_map() * layer.B_map()).T[channels]
    a = np.broadcast_to(layer.a[0], (layer.steps, layer.d_state))[channels]
    s_delta = layer.multipliers.dt * layer.S_Delta_diagonal()[channels]
    return mu, np.array(a), s_delta, layer.dt_bias[0][channels]
