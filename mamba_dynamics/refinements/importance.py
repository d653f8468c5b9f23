"""Importance scores and the reordering of tokens by them (theory section 6).

    score_l = K . (S_Delta x_l + b)          one number per token; K (E,) is learned

Later tokens receive more, and tokens with a larger S_Delta x diverge faster, so the paper scans the tokens by
ascending score. **This breaks causality**: where a token stands depends on the scores of all others, so its output
depends on later tokens too. In a model that predicts the next token, the target leaks into the prediction; the
paper's code does it anyway. Bits per token of a reordered model are therefore no measure of how well it predicts.

    @inproceedings{vo2025demystifying,
      title={Demystifying the Token Dynamics of Deep Selective State Space Models},
      author={Vo, Thieu N and Pham, Duy-Tung and Tong, Xin T and Nguyen, Tan Minh},
      booktitle={International Conference on Learning Representations},
      year={2025}
    }
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .._devices import matmul
from .._errors import LayerShapeError
from .._layer import S6Layer
from ..dynamics.base import AnyArray
from ..models.mixers import Mamba1Selection
from ..models.reordering import MODES, AbstractReordering, Mode
from .softsort import require_relaxation, soft_sort


def importance_scores(layer: S6Layer | Mamba1Selection, x: ArrayLike, K: ArrayLike) -> Float[AnyArray, " L"]:
    """K . (S_Delta x_l + b) of every token, shape (L,).

    Args:
        layer: one group of an `S6Layer`, or the selective part of a model's Mamba-1 mixer.
        x: the scan's inputs, (L, E).
        K: the weights of the channels, (E,).
    """
    if isinstance(layer, S6Layer):
        if layer.groups != 1:
            raise LayerShapeError(
                f"{layer.name}: expected one group, found {layer.groups}; pick one with layer.group(i)"
            )
        return layer.raw_step_sizes(x) @ np.asarray(K)
    return matmul(layer.raw_step_sizes(layer.projected(jnp.asarray(x))[0]), jnp.asarray(K))


class ImportanceReordering(AbstractReordering):
    """Tokens by ascending importance, through `soft_sort`; put into a model by `with_reordering`.

    K: the weights of the score, (E,). tau, p, hard: as in `soft_sort`. mode: what is reordered beside x, see
    `mamba_dynamics.models.reordering`; "x" is the paper's.
    """

    K: Float[AnyArray, " E"]
    tau: float = eqx.field(static=True, default=1.0)
    p: int = eqx.field(static=True, default=1)
    hard: bool = eqx.field(static=True, default=False)
    mode: Mode = eqx.field(static=True, default="x")

    def __check_init__(self):
        require_relaxation(self.tau, self.p)
        if self.mode not in MODES:
            raise ValueError(f"mode should be one of {', '.join(MODES)}, found {self.mode!r}")

    def scores(self, raw_step_sizes: Float[Array, "L E"]) -> Float[Array, " L"]:
        return matmul(raw_step_sizes, jnp.asarray(self.K))

    def order(self, raw_step_sizes):
        return soft_sort(self.scores(raw_step_sizes), tau=self.tau, p=self.p, hard=self.hard)

    @classmethod
    def initial(cls, channels: int, *, key: Array, dtype: Any = np.float32, **options) -> "ImportanceReordering":
        """K uniform on (-1, 1) / sqrt(E), as a linear layer starts; `options` are tau, p, hard and mode."""
        return cls(K=channels**-0.5 * jax.random.uniform(key, (channels,), dtype, -1, 1), **options)
