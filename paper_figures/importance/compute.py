"""Importance scores and mean step sizes of a sentence's tokens in every layer of the bundled sample."""

import numpy as np

from mamba_dynamics import open_checkpoint, sample_path, walk

SENTENCE = "Return the number of items."
#: The layer whose order is drawn.
LAYER = 3


def compute(seed: int) -> dict[str, np.ndarray]:
    checkpoint, ids = open_checkpoint(sample_path()), np.frombuffer(SENTENCE.encode(), np.uint8)
    scores, step_sizes = [], []
    for visit in walk(checkpoint, ids, dtype="float64"):
        raw = checkpoint.layer(visit.index).raw_step_sizes(np.asarray(visit.stages.x))
        # K = 1 / D in every channel, as the sample has learned none.
        scores.append(raw.mean(axis=1))
        step_sizes.append(np.logaddexp(0.0, raw).mean(axis=1))
    return {
        "pieces": np.array([piece.replace(" ", "␣") for piece in SENTENCE]),
        "score": np.stack(scores),
        "step_size": np.stack(step_sizes),
        "order": np.argsort(scores[LAYER], kind="stable"),
        "ordered_layer": np.asarray(LAYER),
    }
