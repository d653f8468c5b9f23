"""`consensus`: how far the tokens of a text come to point the same way, layer after layer (theory section 9).

The published experiment cycles a model's layers to depth 200 and compares blocks with and without their output gate;
it can be repeated on any checkpoint whose forward pass is known.
"""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike

from .._consensus import Consensus
from ..checkpoints import Checkpoint, open_checkpoint
from .loading import Precision
from .walk import walk


@dataclass(frozen=True, eq=False)
class ConsensusCurve:
    """Both measures of the residual stream's tokens before the first block and after each, (depth + 1,)."""

    leading_share: np.ndarray
    participation_ratio: np.ndarray

    @classmethod
    def of(cls, found: list[Consensus]) -> "ConsensusCurve":
        return cls(np.array([one.leading_share for one in found]), np.array([one.participation_ratio for one in found]))


def consensus(
    checkpoint: Checkpoint | str | PathLike[str],
    ids: ArrayLike,
    *,
    depth: int | None = None,
    without: tuple[str, ...] = (),
    dtype: Precision = "float32",
    progress: Callable[[int, int, str], None] | None = None,
) -> ConsensusCurve:
    """Measure the tokens' consensus along a walk; arguments as in `walk`, of which only a few rows are kept.

    Without their gate or norm, blocks may let the residual stream overflow; the measures are then NaN.
    """
    opened = checkpoint if isinstance(checkpoint, Checkpoint) else open_checkpoint(checkpoint)
    total = len(opened) if depth is None else depth
    found: list[Consensus] = []
    for visit in walk(opened, ids, depth=depth, without=without, dtype=dtype):
        if progress:
            progress(visit.position, total, "consensus" + "".join(f", without {part}" for part in without))
        if not found:
            found.append(Consensus.of(np.asarray(visit.residual)))
        after = np.asarray(visit.after)
        found.append(Consensus.of(after) if np.all(np.isfinite(after)) else Consensus(np.nan, np.nan))
    return ConsensusCurve.of(found)
