"""`walk`: token states through the layers of a checkpoint, one layer's weights in memory at a time.

    for visit in walk("path/to/model", ids):
        visit.residual, visit.stages.x, visit.after

Only the embedding's rows of the given tokens and one block are read at a time, so a model of any size can be walked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from ..checkpoints import Checkpoint, open_checkpoint
from ..checkpoints.language_model import language_model_weights
from .block import Block, radial_rates
from .loading import Precision, in_precision, load_block
from .mixers import Stages


@dataclass(frozen=True, eq=False)
class Visit:
    """One layer of a walk: `index` is the layer's, `position` counts the blocks passed (they differ in a cycled walk).

    `residual` (L, d) is the residual stream before the block, `stages` all that its mixer computes, `after` (L, d)
    the residual stream behind it.
    """

    index: int
    position: int
    block: Block
    residual: Float[Array, "L d"]
    stages: Stages

    @property
    def dtype(self) -> Precision:
        return "float64" if self.residual.dtype == jnp.float64 else "float32"

    @property
    def after(self) -> Float[Array, "L d"]:
        with in_precision(self.dtype):
            return self.residual + self.stages.out

    @property
    def radial_rates(self) -> Float[Array, " L"]:
        """<u, Block(u)> / |u|^2 of every token: positive where this block lengthens it in the residual stream."""
        with in_precision(self.dtype):
            return radial_rates(self.residual, self.stages.out)

    def hidden_attention(self, index: int) -> Float[Array, "L L"]:
        """The dense P with scan = P x in one channel (Mamba-1) or head (Mamba-2), 0-based; zero above the diagonal."""
        with in_precision(self.dtype):
            return self.block.mixer.hidden_attention(self.stages, index)


@eqx.filter_jit
def _stages(block: Block, residual: Float[Array, "L d"]) -> Stages:
    return block.stages(residual)


def walk(
    checkpoint: Checkpoint | str | PathLike[str],
    ids: ArrayLike,
    *,
    depth: int | None = None,
    without: tuple[str, ...] = (),
    dtype: Precision = "float32",
) -> Iterator[Visit]:
    """Visit every block of a language model with the states of the token ids (L,).

    Args:
        checkpoint: an opened checkpoint, or anything `open_checkpoint` takes.
        ids: token ids (L,), L >= 1.
        depth: how many blocks to pass; beyond their number the walk begins again with the first. Default: each once.
        without: parts of every block to leave out, of "norm", "conv", "gate", "skip".
        dtype: precision of the computation.

    Raises:
        CheckpointError: not a language model whose forward pass is known. LayerShapeError: ids outside the vocabulary.
    """
    weights = language_model_weights(checkpoint if isinstance(checkpoint, Checkpoint) else open_checkpoint(checkpoint))
    rows = weights.embedding(ids)  # pyright: ignore[reportArgumentType]
    count = len(weights)
    with in_precision(dtype):
        residual = jnp.asarray(rows, dtype)
    for position in range(count if depth is None else depth):
        block = load_block(weights.block(position % count), dtype).left_out(*without)
        with in_precision(dtype):
            visit = Visit(position % count, position, block, residual, _stages(block, residual))
            residual = visit.after
        yield visit
