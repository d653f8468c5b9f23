"""`load_model`: a whole language model in memory, from token ids to logits.

    model = load_model("path/to/model")            # float32; dtype="float64" on request
    model(ids)                                     # logits (L, V)
    model.states(ids)                              # the residual stream before each block and after the last

`walk` visits the same blocks with one of them in memory at a time.
"""

import math
from os import PathLike

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .._devices import matmul
from ..checkpoints import Checkpoint, open_checkpoint
from ..checkpoints.language_model import language_model_weights
from .block import Block
from .loading import Precision, in_precision, load_block, load_norm
from .primitives import RMSNormalisation


@eqx.filter_jit
def block_update(block: Block, residual: Float[Array, "L d"]) -> Float[Array, "L d"]:
    """One compilation serves all blocks of a shape."""
    return block(residual)


@eqx.filter_jit
def _logits(norm: RMSNormalisation, head, residual):
    return matmul(norm(residual), jnp.asarray(head).T)


class MambaLM(eqx.Module):
    """A Mamba language model: embedding, blocks, final norm, head (the embedding itself where it is tied).

    Computes in `dtype` whatever JAX's x64 flag says.
    """

    embedding: Float[Array, "V d"]
    blocks: tuple[Block, ...]
    final_norm: RMSNormalisation
    head: Float[Array, "V d"] | None
    dtype: Precision = eqx.field(static=True)

    def __call__(self, ids: ArrayLike) -> Float[Array, "L V"]:
        """Logits of the next token after every prefix of the token ids (L,)."""
        with in_precision(self.dtype):
            *_, last = self._stream(ids)
            return self.logits(last)

    def logits(self, residual: Float[Array, "L d"]) -> Float[Array, "L V"]:
        """Logits of the next token from the residual stream behind the last block."""
        return _logits(self.final_norm, self.embedding if self.head is None else self.head, residual)

    def states(self, ids: ArrayLike) -> Float[Array, "K L d"]:
        """The residual stream before every block and after the last, K = number of blocks + 1."""
        with in_precision(self.dtype):
            return jnp.stack(list(self._stream(ids)))

    def bits_per_token(self, ids: ArrayLike) -> float:
        """Mean cost of every token but the first, given all before it, in bits."""
        ids = np.asarray(ids)
        with in_precision(self.dtype):
            log_probability = jax.nn.log_softmax(self(ids[:-1]))
            found = log_probability[np.arange(len(ids) - 1), ids[1:]]
            return float(-jnp.mean(found)) / math.log(2)

    def continued(self, residual: Float[Array, "L d"]) -> Float[Array, "L d"]:
        """The residual stream behind the last block, from that before the first."""
        *_, last = self._through_blocks(residual)
        return last

    def _stream(self, ids: ArrayLike):
        return self._through_blocks(self.embedding[jnp.asarray(ids)])

    def _through_blocks(self, residual: Float[Array, "L d"]):
        yield residual
        for block in self.blocks:
            residual = residual + block_update(block, residual)
            yield residual


def load_model(
    checkpoint: Checkpoint | str | PathLike[str], *, dtype: Precision = "float32", ignore_reordering: bool = False
) -> MambaLM:
    """Load a language model whole: architectures mamba, falcon_mamba, mamba2, and both kinds of mamba_ssm.

    Args:
        checkpoint: an opened checkpoint, or anything `open_checkpoint` takes.
        dtype: precision of the weights and of all computation.
        ignore_reordering: leave out the importance reordering of a model that was saved with one (`load_refined` keeps
            it); without this such a model is refused.

    Raises:
        CheckpointError: not such a model, or a broken file; see `open_checkpoint`.
    """
    opened = checkpoint if isinstance(checkpoint, Checkpoint) else open_checkpoint(checkpoint)
    weights = language_model_weights(opened, ignore_reordering=ignore_reordering)
    with in_precision(dtype):
        embedding = weights.head() if weights.tied else weights.embedding(np.arange(weights.vocabulary))
        model = MambaLM(
            embedding=np.asarray(embedding, dtype),  # pyright: ignore[reportArgumentType]
            blocks=tuple(load_block(weights.block(i), dtype) for i in range(len(weights))),
            final_norm=load_norm(weights.final_norm(), dtype),
            head=None if weights.tied else np.asarray(weights.head(), dtype),  # pyright: ignore[reportArgumentType]
            dtype=dtype,
        )
        return jax.tree.map(jnp.asarray, model)
