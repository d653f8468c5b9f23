"""The recurrence, token by token or, on a GPU, as a kernel."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._devices import in_widest_vectors, matmul
from .by_device import differentiable_like, on_gpu


@in_widest_vectors
def selective_scan(
    x: Float[Array, "L D"],
    delta: Float[Array, "L D"],
    a: Float[Array, "D N"],
    B: Float[Array, "L N"],
    C: Float[Array, "L N"],
) -> Float[Array, "L D"]:
    """y of the recurrence: O(L D N) work, O(L D + D N) memory."""
    return _scan(delta * x, delta, a, B, C)


def scan_with_sizes(
    entering: Float[Array, "L D"],
    delta: Float[Array, "L D"],
    a: Float[Array, "D N"],
    B: Float[Array, "L N"],
    C: Float[Array, "L N"],
) -> tuple[Float[Array, "L D"], Float[Array, " L"]]:
    """(y, |h_l|_F^2) of the recurrence, `entering` being delta x."""
    return _scan_with_sizes(entering, delta, a, B, C)


def recurrence(a: Float[Array, "D N"]):
    """h, (delta x, delta, B, C) of one token -> h after it, y."""
    # States first: the channels, of which there are many, lie side by side in memory.
    rates = a.T

    def step(h, token):
        u, d, b, c = token
        h = jnp.exp(-rates * d) * h + b[:, None] * u
        return h, matmul(c, h)

    return step


def start(entering, delta, a, B, C) -> Float[Array, "N D"]:
    """h before the first token."""
    return jnp.zeros((B.shape[1], entering.shape[1]), jnp.result_type(entering, delta, a, B, C))


def _loop(entering, delta, a, B, C):
    h0 = start(entering, delta, a, B, C)
    return jax.lax.scan(recurrence(a), h0, (entering, delta, B, C))[1]


def _loop_with_sizes(entering, delta, a, B, C):
    step = recurrence(a)

    def sized(h, token):
        h, y = step(h, token)
        return h, (y, jnp.sum(h * h))

    h0 = start(entering, delta, a, B, C)
    return jax.lax.scan(sized, h0, (entering, delta, B, C))[1]


def _kernel(*arguments):
    from . import kernels

    return kernels.scan(*arguments)[0]


def _kernel_with_sizes(*arguments):
    from . import kernels

    y, squares = kernels.scan(*arguments)
    return y, jnp.sum(squares, axis=1)


_scan = differentiable_like(_loop, on_gpu(_kernel, _loop))
_scan_with_sizes = differentiable_like(_loop_with_sizes, on_gpu(_kernel_with_sizes, _loop_with_sizes))
