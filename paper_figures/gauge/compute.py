"""Radial rates, signs of q and the skip beside the scan, from the weights as stored and from their flipped form."""

from typing import Any

import numpy as np

from mamba_dynamics import Block, Stages, radial_rates, sample_path, walk

SENTENCE = "Return the number of items."


def compute(seed: int) -> dict[str, np.ndarray]:
    ids = np.frombuffer(SENTENCE.encode(), np.uint8)
    data: dict[str, list] = {}
    for visit in walk(sample_path(), ids):
        for form, block in (("stored", visit.block), ("flipped", visit.block.flipped())):
            for name, value in _facts(visit.residual, block, block.stages(visit.residual)).items():
                data.setdefault(f"{form}_{name}", []).append(value)
    pieces = np.array([piece.replace(" ", "␣") for piece in SENTENCE])
    return {"pieces": pieces} | {name: np.stack(values) for name, values in data.items()}


def _facts(residual: Any, block: Block, stages: Stages) -> dict[str, Any]:
    q = np.einsum("lgn,lgn->l", np.asarray(stages.B, float), np.asarray(stages.C, float))
    D = np.asarray(block.mixer.selection.D_skip, float)
    scan, skip = np.asarray(stages.scan, float).ravel(), (D * np.asarray(stages.x, float)).ravel()
    return {
        "radial_rates": np.asarray(radial_rates(residual, stages.out)),
        "q_negative": np.mean(q < 0),
        "D_sign": np.mean(np.sign(D)),
        "skip_correlation": np.corrcoef(scan, skip)[0, 1],
    }
