"""What the theory says about a model while it is trained: the regime of every block, beside what the block really does.

Nothing here is a function of the loss. Signs of eigenvalues, and of M altogether, belong to a representative of the
block (theory section 8); the sign of D relative to M and the radial rates say what the block does with its tokens.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._block_facts import BlockFacts
from .._linalg import alignment, spectrum_of_M, spectrum_of_symmetric_part
from ..models import Visit
from ..models.block import Block
from ..refinements.surgery import plain_selection
from .batches import AbstractTask, PatchBatch
from .models import Iterated, SequenceClassifier, Trainable, core_of

#: Held-out sequences whose tokens are looked at.
SEQUENCES = 4


def regimes_probe(task: AbstractTask) -> Callable[[Trainable], dict[str, Any]]:
    """A probe for `train`: {"layers": one record a block passed}, on the first held-out sequences of a task.

    positive, negative, zero: eigenvalues of M by the sign of their real part, as `spectrum_of_M` counts them, and
    symmetric_positive, symmetric_negative: those of sym(M). largest, smallest: of their real parts, of M.
    alignment_mean, alignment_negative: the mean of cos(S_C x, S_B x) over tokens, the share below zero.
    skip_sign: the mean of sign(D). skip_correlation: of the scan with D x, the sign of D relative to M as the tokens
    see it; null where one of them does not vary. radial_median, radial_growing: the median of <u, Block(u)> / |u|^2
    over tokens, the share above zero. size: the root mean square of the residual stream before the block.
    """
    batch = next(iter(task.held_out()))
    sequences = (batch.patches if isinstance(batch, PatchBatch) else batch.tokens)[:SEQUENCES]

    def probe(trainable: Trainable) -> dict[str, Any]:
        model = trainable.model
        residuals = [_first(model, one) for one in sequences]
        core, repeats = core_of(model), model.repeats if isinstance(model, Iterated) else 1
        weights = [_of_weights(block) for block in core.blocks]
        layers = []
        for position in range(repeats * len(core.blocks)):
            block = core.blocks[position % len(core.blocks)]
            visits = [Visit(position % len(core.blocks), position, block, u, _stages(block, u)) for u in residuals]
            layers.append({**weights[position % len(core.blocks)], **_of_tokens(visits)})
            residuals = [visit.after for visit in visits]
        return {"layers": layers}

    return probe


@eqx.filter_jit
def _stages(block: Block, residual: Float[Array, "L d"]):
    return block.stages(residual)


def _first(model: Any, sequence: np.ndarray) -> Float[Array, "L d"]:
    """The residual stream before the first block."""
    if isinstance(model, SequenceClassifier):
        return model.embedded(jnp.asarray(sequence))
    return core_of(model).embedding[jnp.asarray(sequence)]


def _factors(block: Block) -> tuple[np.ndarray, np.ndarray]:
    selection = plain_selection(block.mixer.selection)
    return np.asarray(selection.S_B, np.float64), np.asarray(selection.S_C, np.float64)


def _of_weights(block: Block) -> dict[str, Any]:
    S_B, S_C = _factors(block)
    spectrum, symmetric = spectrum_of_M(S_B, S_C), spectrum_of_symmetric_part(S_B, S_C)
    return {
        "positive": spectrum.positive,
        "negative": spectrum.negative,
        "zero": spectrum.zero,
        "largest": spectrum.largest,
        "smallest": spectrum.smallest,
        "symmetric_positive": symmetric.positive,
        "symmetric_negative": symmetric.negative,
        "skip_sign": float(np.mean(np.sign(np.asarray(block.mixer.selection.D_skip)))),
    }


def _of_tokens(visits: list[Visit]) -> dict[str, Any]:
    S_B, S_C = _factors(visits[0].block)
    cosines = np.concatenate([alignment(S_B, S_C, np.asarray(visit.stages.x, np.float64)) for visit in visits])
    facts = [BlockFacts.of(visit) for visit in visits]
    rates = np.concatenate([one.radial_rates for one in facts])
    residual = np.concatenate([np.asarray(visit.residual, np.float64) for visit in visits])
    return {
        "alignment_mean": float(np.nanmean(cosines)),
        "alignment_negative": float(np.mean(cosines[np.isfinite(cosines)] < 0)),
        "skip_correlation": float(np.mean([one.skip_correlation for one in facts])),
        "radial_median": float(np.median(rates)),
        "radial_growing": float(np.mean(rates > 0)),
        "size": float(np.sqrt(np.mean(residual**2))),
    }
