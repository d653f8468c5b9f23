"""Tokens a chunk at a time."""

import jax.numpy as jnp
from jaxtyping import Array


def in_chunks(size: int, *arrays: Array) -> tuple[Array, ...]:
    """Each (L, ...) as (chunks, size, ...); padded tokens, of step size 0, neither enter the state nor let it decay."""
    padding = -len(arrays[0]) % size
    padded = (jnp.pad(one, [(0, padding)] + [(0, 0)] * (one.ndim - 1)) for one in arrays)
    return tuple(one.reshape(-1, size, *one.shape[1:]) for one in padded)
