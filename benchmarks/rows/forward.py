"""A forward pass of a language model of mamba-130m's shape, float32, against `transformers` on the same device."""

import numpy as np

from .base import OURS, Row
from .checkpoints import checkpoint
from .scan import on_its_device

VOCABULARY = 50280


def _ids(tokens: int) -> np.ndarray:
    return np.random.default_rng(0).integers(VOCABULARY, size=tokens)


def _ours(tokens: int):
    import equinox as eqx

    from mamba_dynamics import load_model

    model = load_model(checkpoint("mamba-130m", dense=True))
    run = eqx.filter_jit(lambda model, ids: model(ids))
    return lambda: run(model, _ids(tokens))


def _transformers(tokens: int):
    import torch
    from transformers import MambaForCausalLM

    torch.set_grad_enabled(False)
    model = MambaForCausalLM.from_pretrained(checkpoint("mamba-130m", dense=True), dtype=torch.float32).eval()
    ids = on_its_device(_ids(tokens))[None]
    model = model.to(ids.device)
    return lambda: model(ids, use_cache=False).logits[0]


FORWARD = Row(
    name="forward",
    title="Forward pass, mamba-130m's shape, float32",
    sides={OURS: _ours, "transformers": _transformers},
    sizes=(128, 256, 512),
    label=lambda tokens: f"{tokens} tokens",
    scale=float,
    # Every weight meets every token once, embeddings only as the head.
    work=lambda tokens: {
        "flops float32": 2.0 * tokens * (24 * (768 * 3072 + 1536 * 80 + 48 * 1536 + 1536 * 768) + 50280 * 768),
        "exp float32": 24.0 * tokens * 1536 * 16,
    },
    tolerance=1e-3,
)
