"""One function, two programs: a kernel on a CUDA GPU, a loop anywhere else."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .._devices import has_gpu

#: States for which a thread of the kernels has registers.
MOST_STATES = 32


def on_gpu(kernel: Callable, loop: Callable) -> Callable:
    """`loop`, but `kernel` where the program is compiled for a CUDA GPU; arguments (entering, delta, a, B, C, ...)."""

    def either(entering, delta, a, B, C, *others):
        arguments = (entering, delta, a, B, C, *others)
        dtype = jnp.result_type(*arguments)
        if not has_gpu() or a.shape[1] > MOST_STATES or dtype not in (jnp.float32, jnp.float64):
            return loop(*arguments)
        alike = (jnp.asarray(one, dtype) for one in arguments)
        return jax.lax.platform_dependent(*alike, cuda=kernel, default=loop)

    return either


def differentiable_like(loop: Callable, either: Callable) -> Callable:
    """`either`, with the derivatives of `loop`: a kernel has none."""

    @jax.custom_jvp
    def same(*arguments):
        return either(*arguments)

    @same.defjvp
    def _derivative(primals, tangents):
        return same(*primals), jax.jvp(loop, primals, tangents)[1]

    return lambda *arguments: same(*arguments) if has_gpu() else loop(*arguments)
