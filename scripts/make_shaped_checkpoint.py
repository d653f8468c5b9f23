"""Make a Mamba-1 checkpoint of a published model's shape, with random S6 weights and everything else left empty.

    python scripts/make_shaped_checkpoint.py OUT [--layers 24] [--width 768] [--states 16] [--vocabulary 50280]
        [--dense]

The defaults are the shape of mamba-130m (517 MB of weights). The file is sparse: only the S6 tensors,
about 4 % of it, take disk space. For measuring what reading and classifying a checkpoint of that size costs.
With `--dense` every tensor is written, with values like those at the start of training: a model that can be run.
"""

import argparse
import json
import struct
from pathlib import Path

import numpy as np


def tensors(layers: int, width: int, states: int, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Hugging Face `mamba` checkpoint."""
    inner, rank = 2 * width, -(-width // 16)
    mixer = {
        "A_log": (inner, states),
        "D": (inner,),
        "conv1d.bias": (inner,),
        "conv1d.weight": (inner, 1, 4),
        "dt_proj.bias": (inner,),
        "dt_proj.weight": (inner, rank),
        "in_proj.weight": (2 * inner, width),
        "out_proj.weight": (width, inner),
        "x_proj.weight": (rank + 2 * states, inner),
    }
    shapes = {"backbone.embeddings.weight": (vocabulary, width), "backbone.norm_f.weight": (width,)}
    for i in range(layers):
        shapes[f"backbone.layers.{i}.norm.weight"] = (width,)
        shapes.update({f"backbone.layers.{i}.mixer.{name}": shape for name, shape in mixer.items()})
    return shapes


def config(layers: int, width: int, states: int, vocabulary: int) -> dict:
    """The config.json that belongs to `tensors`."""
    return {
        "model_type": "mamba",
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "state_size": states,
        "time_step_rank": -(-width // 16),
        "conv_kernel": 4,
        "num_hidden_layers": layers,
        "vocab_size": vocabulary,
    }


def value(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A tensor as at the start of training: norms and D 1, a = 1 ... N, step sizes 0.001 to 0.1, outputs of order 1."""
    if "norm" in name or name.endswith(".D"):
        return np.ones(shape)
    if name.endswith("A_log"):
        return np.broadcast_to(np.log(np.arange(1, shape[1] + 1)), shape)
    if name.endswith("dt_proj.bias"):
        return np.log(np.expm1(np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), shape))))  # softplus gives the step size
    if name.endswith("conv1d.bias"):
        return 0.5 * rng.standard_normal(shape)  # as its weights: four inputs to each output
    array = rng.standard_normal(shape, np.float32)
    array *= 0.02 if "embeddings" in name else shape[-1] ** -0.5  # in place: the embeddings are 154 MB
    return array


def write(
    folder: Path,
    layers: int = 24,
    width: int = 768,
    states: int = 16,
    vocabulary: int = 50280,
    seed: int = 0,
    dense: bool = False,
):
    """Write model.safetensors (sparse unless `dense`) and config.json into `folder`, one tensor at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    header, end = {}, 0
    shapes = tensors(layers, width, states, vocabulary)
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        start = file.tell()
        file.truncate(start + end)
        for name, shape in shapes.items():
            if dense or any(part in name for part in ("x_proj", "dt_proj", "A_log", "mixer.D")):
                file.seek(start + header[name]["data_offsets"][0])
                array = value(name, shape, rng) if dense else 0.05 * rng.standard_normal(shape)
                file.write(np.ascontiguousarray(array, "<f4").data)
    (folder / "config.json").write_text(json.dumps(config(layers, width, states, vocabulary), indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--vocabulary", type=int, default=50280)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dense", action="store_true", help="write every tensor, so that the model can be run")
    given = parser.parse_args()
    write(given.out, given.layers, given.width, given.states, given.vocabulary, given.seed, given.dense)


if __name__ == "__main__":
    main()
