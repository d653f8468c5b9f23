"""Consensus of 50 bytes in the residual stream of the bundled sample, its layers cycled, with and without gate."""

import numpy as np

from mamba_dynamics import consensus, open_checkpoint, sample_path

TEXT = "def area(radius):\n    return 3.14 * radius * radius"[:50]
DEPTH = 200


def compute(seed: int) -> dict[str, np.ndarray]:
    ids = np.frombuffer(TEXT.encode(), np.uint8)
    cases: dict[str, tuple[str, ...]] = {"full": (), "without_gate": ("gate",)}
    data = {"tokens": np.asarray(len(ids)), "layers": np.asarray(len(open_checkpoint(sample_path())))}
    for name, parts in cases.items():
        curve = consensus(sample_path(), ids, depth=DEPTH, without=parts, dtype="float64")
        data |= {f"{name}_share": curve.leading_share, f"{name}_ratio": curve.participation_ratio}
    return data
