"""Golden arrays of whole language models: what `transformers` computes from a folder, layer by layer.

    python scripts/make_model_goldens.py tests/fixtures     (needs torch, transformers, safetensors)

For the fixtures `mamba`, `falcon_mamba`, `mamba2` (made by `make_fixtures.py`) and the bundled sample, writes
`OUT/NAME/language_model.npz`. For prompts of length L = 1, 2, k - 1, k and 257 (k the width of the convolution), each
the start of one text, it holds in float32

    ids_L     (L,)              token ids, int32
    states_L  (layers + 1, L, d)  residual stream before each layer, and after the last one, before the final norm
    logits_L  (L, V)            after the final norm and the head

The arrays are those of the library's float32 slow path, without a cache. The states come from hooks, because
`output_hidden_states` of these three models gives the stream after each layer and then after the final norm, and never
the embeddings. Every array is compared with a sequential float64 reference that reads the file by itself (mixers from
`reference_mixers.py`), and with the library's own result with a cache: the script fails above 1e-4. In transformers
5.24.0 none of these models differs from the reference at any of the lengths, so the library is trusted for all of them.
What it gets wrong is the continuation of a cache, which nothing here uses: several tokens at once start from a zero
state in `mamba` and `falcon_mamba`, and one token alone forgets `time_step_limit` in `mamba2`.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from reference_mixers import Weights, reference_mamba1, reference_mamba2, rms
from safetensors.numpy import load_file

LONGEST = 257
#: Largest difference allowed between float32 and float64, and between cache and no cache; entries are up to about 25.
TOLERANCE = 1e-4
SAMPLE = Path(__file__).resolve().parents[1] / "mamba_dynamics" / "sample"

#: The sample reads bytes; it was trained on Python sources.
TEXT = '''"""Pairs of tokens that stay close to each other."""

import math


def nearest(points, radius=0.5):
    found = []
    for i, p in enumerate(points):
        for q in points[:i]:
            if math.dist(p, q) < radius:
                found.append((q, p))
    return found


class Empty(Exception):
    pass
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    print(f"transformers {transformers.__version__}, torch {torch.__version__}; largest entries and differences")
    print(f"{'':14}{'|logit|':>10}{'|state|':>10}{'float64':>10}{'cache':>10}{'bytes':>10}")
    for name in ("mamba", "falcon_mamba", "mamba2", "sample"):
        folder = SAMPLE if name == "sample" else out / name
        golden, *differences = goldens(folder, byte_ids(TEXT) if name == "sample" else random_ids(folder))
        if not all(value <= TOLERANCE for value in differences):  # not a number fails too
            raise SystemExit(f"{name}: differs from the reference and with a cache by {differences}, above {TOLERANCE}")
        file = out / name / "language_model.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, **golden)
        largest = [max(np.abs(v).max() for k, v in golden.items() if k.startswith(key)) for key in ("logits", "states")]
        numbers = [f"{value:10.4f}" for value in largest] + [f"{value:10.1e}" for value in differences]
        print(f"{name:14}{''.join(numbers)}{file.stat().st_size:10d}")


def byte_ids(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("ascii"), np.uint8)[:LONGEST].astype(np.int32)


def random_ids(folder: Path) -> np.ndarray:
    return np.random.default_rng(0).integers(config_of(folder)["vocab_size"], size=LONGEST, dtype=np.int32)


def config_of(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def goldens(folder: Path, ids: np.ndarray) -> tuple[dict[str, np.ndarray], float, float]:
    """The arrays, and how far they are from the reference and from the library's result with a cache."""
    if len(ids) != LONGEST:
        raise SystemExit(f"{folder}: expected {LONGEST} token ids, found {len(ids)}")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    k = config_of(folder)["conv_kernel"]
    golden, from_reference, from_cached = {}, [], []
    for length in (1, 2, k - 1, k, LONGEST):
        prompt = ids[:length]
        arrays = library(model, prompt, use_cache=False)
        golden |= {f"ids_{length}": prompt, f"states_{length}": arrays[0], f"logits_{length}": arrays[1]}
        from_reference.append(difference(arrays, reference(folder, prompt)))
        from_cached.append(difference(arrays, library(model, prompt, use_cache=True)))
    return golden, float(np.max(from_reference)), float(np.max(from_cached))


def difference(ours: tuple[np.ndarray, ...], others: tuple[np.ndarray, ...]) -> float:
    return float(np.max([np.abs(a - b).max() for a, b in zip(ours, others, strict=True)]))


@torch.no_grad()
def library(model: torch.nn.Module, ids: np.ndarray, use_cache: bool) -> tuple[np.ndarray, np.ndarray]:
    """Residual stream at the entrance of every layer and of the final norm, and the logits."""
    states: list[torch.Tensor] = []
    places = [*model.backbone.layers, model.backbone.norm_f]
    hooks = [place.register_forward_pre_hook(lambda _, given: states.append(given[0][0].clone())) for place in places]
    logits = model(torch.tensor(ids[None], dtype=torch.long), use_cache=use_cache).logits[0]
    for hook in hooks:
        hook.remove()
    return torch.stack(states).numpy(), logits.numpy()


def reference(folder: Path, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same two arrays in float64, from the file and the config alone."""
    config = config_of(folder)
    weights = {name: value.astype(np.float64) for name, value in load_file(folder / "model.safetensors").items()}
    eps = config["layer_norm_epsilon"]
    states = [weights["backbone.embeddings.weight"][ids]]
    for i in range(config["num_hidden_layers"]):
        layer = below(weights, f"backbone.layers.{i}.")
        u = rms(states[-1], eps, layer["norm.weight"])
        states.append(states[-1] + mixer(config, below(layer, "mixer."), u))
    head = weights["backbone.embeddings.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    return np.array(states), rms(states[-1], eps, weights["backbone.norm_f.weight"]) @ head.T


def below(weights: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def mixer(config: dict, weights: Weights, u: np.ndarray) -> np.ndarray:
    if config["model_type"] == "mamba2":  # the gated norm: gate first, then each group by its own mean square
        options = {"groups": config["n_groups"], "norm_eps": config["layer_norm_epsilon"]}
        return reference_mamba2(weights, u, dt_limit=tuple(config["time_step_limit"]), **options)["out"]
    return reference_mamba1(weights, u, norm_eps=config.get("mixer_rms_eps"))["out"]  # weight-less, falcon_mamba alone


if __name__ == "__main__":
    warnings.simplefilter("error", RuntimeWarning)
    main()
