"""The Mamba-1 language model in plain numpy and float64, one token and one state at a time: an oracle for tests.

It shares no code with the package: it reads a Hugging Face `mamba` folder and follows the published equations.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Weights = dict[str, NDArray[np.float64]]


class Step(NamedTuple):
    """One block of a forward pass: its weights, the residual stream around it, and the input x of its scan, (L, E)."""

    weights: Weights
    before: NDArray[np.float64]
    x: NDArray[np.float64]
    after: NDArray[np.float64]


class NumpyMamba:
    """A `mamba` folder, ready to turn token ids (L,) into logits (L, V)."""

    def __init__(self, folder: Path):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights: Weights = {
            name: value.astype(np.float64) for name, value in load_file(folder / "model.safetensors").items()
        }

    def logits(self, tokens: NDArray[np.integer]) -> NDArray[np.float64]:
        embeddings = self.weights["backbone.embeddings.weight"]
        *_, last = self.steps(tokens)
        return self._norm(last.after, self.weights["backbone.norm_f.weight"]) @ embeddings.T

    def steps(self, tokens: NDArray[np.integer], depth: int | None = None, gated: bool = True) -> Iterator[Step]:
        """Block after block, beginning again with the first beyond their number; without their gate on request."""
        count = self.config["num_hidden_layers"]
        residual = self.weights["backbone.embeddings.weight"][tokens]
        for position in range(count if depth is None else depth):
            prefix = f"backbone.layers.{position % count}."
            layer = {name[len(prefix) :]: value for name, value in self.weights.items() if name.startswith(prefix)}
            x, update = self._mixer(layer, self._norm(residual, layer["norm.weight"]), gated)
            yield Step(layer, residual, x, residual + update)
            residual = residual + update

    def bits_per_byte(self, text: bytes) -> float:
        """Mean cost of each byte of the text but the first, given all bytes before it."""
        tokens = np.frombuffer(text, np.uint8)
        logits = self.logits(tokens[:-1])
        log_normaliser = np.log(np.exp(logits).sum(axis=1))
        nats = log_normaliser - logits[np.arange(len(logits)), tokens[1:]]
        return float(nats.mean() / math.log(2))

    def _norm(self, u: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        mean_square = (u**2).mean(axis=1, keepdims=True)
        return weight * u / np.sqrt(mean_square + self.config["layer_norm_epsilon"])

    def _mixer(
        self, w: Weights, u: NDArray[np.float64], gated: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        E, R, N = (self.config[key] for key in ("intermediate_size", "time_step_rank", "state_size"))
        projected = u @ w["mixer.in_proj.weight"].T
        signal, gate = projected[:, :E], projected[:, E:]
        x = np.stack([_silu(_conv_at(signal, t, w)) for t in range(len(u))])
        dt_raw, B, C = np.split(x @ w["mixer.x_proj.weight"].T, [R, R + N], axis=1)
        dt = np.log1p(np.exp(dt_raw @ w["mixer.dt_proj.weight"].T + w["mixer.dt_proj.bias"]))
        A = -np.exp(w["mixer.A_log"])
        h, y = np.zeros((E, N)), np.empty_like(x)
        for t in range(len(u)):
            h = np.exp(dt[t][:, None] * A) * h + (dt[t] * x[t])[:, None] * B[t]
            y[t] = h @ C[t] + w["mixer.D"] * x[t]
        return x, (y * _silu(gate) if gated else y) @ w["mixer.out_proj.weight"].T


def _conv_at(signal: NDArray[np.float64], t: int, w: Weights) -> NDArray[np.float64]:
    """The causal depthwise convolution at time t, (E,): tap k - 1 weighs the present, tap 0 the oldest."""
    taps = w["mixer.conv1d.weight"][:, 0, :]
    k = taps.shape[1]
    total = w["mixer.conv1d.bias"].copy()
    for back in range(min(k, t + 1)):
        total += taps[:, k - 1 - back] * signal[t - back]
    return total


def _silu(v: NDArray[np.float64]) -> NDArray[np.float64]:
    return v / (1.0 + np.exp(-v))
