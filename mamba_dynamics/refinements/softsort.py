"""Sorting as a differentiable function of the scores.

    v (L,) scores, ascending order wanted; w = -v
    P = softmax over each row of  -|sort_desc(w) 1^T - 1 w^T|^p / tau        (L, L), row-stochastic

As tau -> 0 (scores without ties) P tends to the permutation matrix for which P v is ascending.

    @inproceedings{prillo2020softsort,
      title={{SoftSort}: A Continuous Relaxation for the argsort Operator},
      author={Prillo, Sebastian and Eisenschlos, Julian},
      booktitle={International Conference on Machine Learning},
      year={2020}
    }
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..dynamics.base import AnyArray


def soft_sort(
    scores: Float[AnyArray, " L"], *, tau: float = 1.0, p: int = 1, hard: bool = False
) -> Float[Array, "L L"]:
    """The relaxed permutation P that sorts tokens by ascending score: row i weighs the tokens that come i-th.

    Args:
        scores: one per token, (L,).
        tau: temperature > 0, in the scores' own unit to the power p; the paper's 1.
        p: 1 or 2, the power of the differences; the paper's 1.
        hard: return the permutation matrix itself, with the gradient of the relaxed one (straight through).
    """
    require_relaxation(tau, p)
    scores = jnp.asarray(scores)
    apart = jnp.abs(jnp.sort(scores)[:, None] - scores[None, :])
    soft = jax.nn.softmax(-(apart**p) / tau, axis=1)
    if not hard:
        return soft
    permutation = jax.nn.one_hot(hard_order(scores), scores.shape[0], dtype=soft.dtype)
    # In this order the difference is exactly 0, so the value is a permutation to the last bit.
    return permutation + (soft - jax.lax.stop_gradient(soft))


def hard_order(scores: Float[AnyArray, " L"]) -> Int[Array, " L"]:
    """The tokens' indices by ascending score; equal scores keep their order."""
    return jnp.argsort(jnp.asarray(scores), stable=True)


def require_relaxation(tau: float, p: int) -> None:
    if not 0 < tau < np.inf:
        raise ValueError(f"tau should be a positive number, found {tau}")
    if p not in (1, 2):
        raise ValueError(f"p should be 1 or 2, found {p}")
