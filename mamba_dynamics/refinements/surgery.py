"""`with_definite` and `with_reordering`: a model whose Mamba-1 mixers carry the refinements, gradients included.

    refined = with_definite(model, "positive", key=key)      # new, random S_B and S_C
    refined = with_definite(model, "positive")               # the nearest to the model's own
    refined = with_reordering(refined, K, hard=True)

Both return a new model and leave the given one as it is. Everything else of the model is shared.
"""

from collections.abc import Iterable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .._errors import HypothesisError, LayerShapeError
from ..dynamics.base import AnyArray
from ..models import MambaLM
from ..models.mixers import AbstractSelection, Mamba1Selection
from ..models.primitives import CausalConvolution, RMSNormalisation
from .definite import DefiniteProjection, Sign
from .importance import ImportanceReordering
from .nearest import nearest_definite


class DefiniteSelection(AbstractSelection):
    """A Mamba-1 selection whose S_B and S_C are those of a `DefiniteProjection`."""

    conv: CausalConvolution | None
    definite: DefiniteProjection
    dt_down: Float[AnyArray, "R E"]
    dt_up: Float[AnyArray, "E R"] | None
    dt_bias: Float[AnyArray, " E"]
    a: Float[AnyArray, "E N"]
    D_skip: Float[AnyArray, " E"]
    B_norm: RMSNormalisation | None = None
    C_norm: RMSNormalisation | None = None
    dt_norm: RMSNormalisation | None = None

    def merged(self) -> Mamba1Selection:
        """The same selection with plain weights."""
        fields = {name: getattr(self, name) for name in _SHARED}
        return Mamba1Selection(S_B=self.definite.S_B, S_C=self.definite.S_C, **fields)

    @classmethod
    def around(cls, selection: Mamba1Selection, definite: DefiniteProjection) -> "DefiniteSelection":
        return cls(definite=definite, **{name: getattr(selection, name) for name in _SHARED})

    def __call__(self, u, signal, conv=True, reordering=None):
        return self.merged()(u, signal, conv, reordering)

    def hidden_attention(self, scanned, index):
        return self.merged().hidden_attention(scanned, index)

    def flipped(self):
        """S_B -> -S_B instead of S_C: the opposite signs of lambda, so the flip stays inside the parametrisation."""
        fields = {name: getattr(self, name) for name in _SHARED}
        return DefiniteSelection(definite=self.definite.negated(), **fields)


_SHARED = ("conv", "dt_down", "dt_up", "dt_bias", "a", "D_skip", "B_norm", "C_norm", "dt_norm")


def with_definite(
    model: MambaLM,
    sign: Sign,
    *,
    key: Array | None = None,
    threshold: float | None = None,
    scale: float = 1.0,
    blocks: Iterable[int] | None = None,
) -> MambaLM:
    """The model with a `DefiniteProjection` in place of S_B and S_C.

    Args:
        sign, threshold, scale: as in `DefiniteProjection.initial`.
        key: a JAX random key for new weights. Without one, the nearest to the model's own (`nearest_definite`), which
            leaves norms on B and C out of account.
        blocks: which blocks, by position; default all.

    Raises:
        HypothesisError: a block is not Mamba-1, or see `nearest_definite`.
    """

    def refine(mixer, index):
        selection = plain_selection(mixer.selection)
        states, channels = selection.S_B.shape
        if key is None:
            S_B, S_C = (np.asarray(one, np.float64) for one in (selection.S_B, selection.S_C))
            definite = nearest_definite(S_B, S_C, sign, threshold=threshold, scale=scale).projection
        else:
            own, sizes = jax.random.fold_in(key, index), {"d_state": states, "channels": channels}
            definite = DefiniteProjection.initial(
                sign, **sizes, key=own, threshold=threshold, scale=scale, dtype=model.dtype
            )
        definite = jax.tree.map(lambda leaf: jnp.asarray(leaf, model.dtype), definite)
        return eqx.tree_at(lambda one: one.selection, mixer, DefiniteSelection.around(selection, definite))

    return _refined(model, blocks, refine)


def with_reordering(model: MambaLM, K: ArrayLike, *, blocks: Iterable[int] | None = None, **options) -> MambaLM:
    """The model with an `ImportanceReordering` before its scans. It is then no longer causal.

    Args:
        K: weights of the scores, (E,) for every block alike or (number of those blocks, E). The mean over channels,
            `np.full(E, 1 / E)`, is a choice that needs no training.
        blocks: which blocks, by position; default all.
        options: tau, p, hard, mode of `ImportanceReordering`.

    Raises:
        HypothesisError: a block is not Mamba-1. LayerShapeError: K does not fit.
    """
    chosen = _positions(model, blocks)
    weights = np.asarray(K)

    def refine(mixer, index):
        channels = plain_selection(mixer.selection).S_B.shape[1]
        if weights.shape not in ((channels,), (len(chosen), channels)):
            raise LayerShapeError(
                f"K should have shape ({channels},) or ({len(chosen)}, {channels}), found {weights.shape}"
            )
        own = weights if weights.ndim == 1 else weights[chosen.index(index)]
        reordering = ImportanceReordering(K=jnp.asarray(own, model.dtype), **options)
        return eqx.tree_at(lambda one: one.reordering, mixer, reordering, is_leaf=lambda leaf: leaf is None)

    return _refined(model, chosen, refine)


def plain_selection(selection: AbstractSelection) -> Mamba1Selection:
    """A Mamba-1 selection with plain weights, whatever it was made of. Raises `HypothesisError` for Mamba-2."""
    if isinstance(selection, DefiniteSelection):
        return selection.merged()
    if isinstance(selection, Mamba1Selection):
        return selection
    raise HypothesisError(
        "expected Mamba-1 mixers, whose B, C and step sizes read the scan's input, found Mamba-2, where they read u "
        "and B and C pass SiLU: the paper's refinements speak of Mamba-1"
    )


def _positions(model: MambaLM, blocks: Iterable[int] | None) -> list[int]:
    chosen = list(range(len(model.blocks))) if blocks is None else list(blocks)
    wrong = [index for index in chosen if not 0 <= index < len(model.blocks)]
    if wrong or len(set(chosen)) != len(chosen):
        raise LayerShapeError(f"blocks should be different positions in 0..{len(model.blocks) - 1}, found {chosen}")
    return chosen


def _refined(model: MambaLM, blocks: Iterable[int] | None, refine) -> MambaLM:
    with jax.enable_x64(model.dtype == "float64"):
        new = list(model.blocks)
        for index in _positions(model, blocks):
            new[index] = eqx.tree_at(lambda one: one.mixer, new[index], refine(new[index].mixer, index))
    return eqx.tree_at(lambda one: one.blocks, model, tuple(new))
