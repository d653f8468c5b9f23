"""What a device asks of programs: where they run, in which vectors, and how exact products are.

A program of many small steps that follow one another is faster on the processor: there a step costs microseconds,
while on a GPU each of its operations has to be launched. Wide programs belong on the GPU.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial, wraps
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.core import Tracer

Function = TypeVar("Function", bound=Callable[..., Any])

#: Coordinates of a state, L D, from which on a right-hand side is worth a GPU.
WORTH_A_GPU = 2**13

#: Products in the precision of their type: left alone, GPUs round the factors of float32 ones to 11 bits (TF32).
matmul, einsum = partial(jnp.matmul, precision="highest"), partial(jnp.einsum, precision="highest")

#: Compiler options: a processor's widest vectors, which XLA leaves alone unless told. Programs that are mostly long
#: loops over exponentials gain by them; other devices take no notice.
WIDEST_VECTORS: dict[str, Any] = {"xla_cpu_prefer_vector_width": 512}


def in_widest_vectors(function: Function) -> Function:
    """`function` as a program in a processor's widest vectors or, called within a program, as a part of that."""
    alone, part = jax.jit(function, compiler_options=WIDEST_VECTORS), jax.jit(function)

    @wraps(function)
    def call(*args, **kwargs):
        inside = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((args, kwargs)))
        return (part if inside else alone)(*args, **kwargs)

    return cast(Function, call)


@cache
def has_gpu() -> bool:
    """Whether JAX would compute on a GPU if nobody said otherwise."""
    return jax.default_backend() == "gpu"


def where_it_pays(coordinates: int) -> AbstractContextManager:
    """On the processor, unless a state has `coordinates` enough for a GPU, or the caller has named a device.

    The caller's way to do so is JAX's own, `jax.default_device`.
    """
    named = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    if not has_gpu() or coordinates >= WORTH_A_GPU or named is not None:
        return nullcontext()
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS leaves the processor out.
        return nullcontext()


def on_processors_only() -> None:
    """For processes that work side by side, before they compute: each would take most of a GPU's memory for itself."""
    jax.config.update("jax_platforms", "cpu")
