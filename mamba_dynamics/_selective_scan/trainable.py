"""The recurrence for training, with a reverse pass that keeps little in memory."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._devices import matmul
from .by_device import on_gpu
from .chunks import in_chunks
from .recurrence import recurrence, start

#: Tokens between two states that are kept for the reverse pass.
KEPT_EVERY = 16


@jax.custom_vjp
def trainable_scan(
    x: Float[Array, "L D"],
    delta: Float[Array, "L D"],
    a: Float[Array, "D N"],
    B: Float[Array, "L N"],
    C: Float[Array, "L N"],
) -> Float[Array, "L D"]:
    """`selective_scan` with a reverse pass written by hand, for training; it has no forward-mode derivative.

    Between the passes lives one state in `KEPT_EVERY`, O(L D + L D N / KEPT_EVERY) memory, never L x D x N: the reverse
    pass recomputes a chunk at a time, where it stays in cache: first its exponentials, all at once, which XLA shares
    out among the cores, then the decayed states e_l h_{l-1}. With g_l = dLoss/dh_l and e_l = exp(-a delta_l),

        g_l = C_l gy_l + e_{l+1} g_{l+1},      dLoss/d(-a delta_l) = g_l e_l h_{l-1}.
    """
    return _scan_keeping_states(delta * x, delta, a, B, C)[0]


def _loop_keeping_states(entering, delta, a, B, C):
    """(y, the state before every chunk of KEPT_EVERY tokens)."""
    step = recurrence(a)

    def chunk(h, tokens):
        after, y = jax.lax.scan(step, h, tokens)
        return after, (y, h)

    h0 = start(entering, delta, a, B, C)
    _, (y, kept) = jax.lax.scan(chunk, h0, in_chunks(KEPT_EVERY, entering, delta, B, C))
    return y.reshape(-1, entering.shape[1])[: len(entering)], kept


def _loop_backwards(entering, delta, a, B, C, kept, gy):
    """dLoss / d(entering, delta in the exponential, a, B, C)."""
    rates = a.T

    def again(h, token):
        u, e, b, gy = token
        decayed = e * h
        h = decayed + b[:, None] * u
        return h, (decayed, matmul(h, gy))

    def back(carry, token):
        g, g_rates = carry
        u, d, e, b, c, gy, decayed = token
        g = g + c[:, None] * gy
        g_exponent = g * decayed
        g_d = -jnp.sum(g_exponent * rates, axis=0)
        return (e * g, g_rates - g_exponent * d), (matmul(b, g), g_d, matmul(g, u))

    def chunk(carry, chunked):
        h, (u, d, b, c, gy) = chunked
        e = jnp.exp(-rates * d[:, None, :])
        _, (decayed, g_c) = jax.lax.scan(again, h, (u, e, b, gy))
        carry, found = jax.lax.scan(back, carry, (u, d, e, b, c, gy, decayed), reverse=True)
        return carry, (*found, g_c)

    zero = jnp.zeros_like(kept[0])
    chunks = (kept, in_chunks(KEPT_EVERY, entering, delta, B, C, gy))
    (_, g_rates), found = jax.lax.scan(chunk, (zero, zero), chunks, reverse=True)
    g_u, g_d, g_B, g_C = (one.reshape(-1, one.shape[-1])[: len(entering)] for one in found)
    return g_u, g_d, g_rates.T, g_B, g_C


def _kernel_keeping_states(*arguments):
    from . import kernels

    return kernels.scan_keeping_states(*arguments, every=KEPT_EVERY)


def _kernel_backwards(*arguments):
    from . import kernels

    return kernels.gradients(*arguments, every=KEPT_EVERY)


_scan_keeping_states = on_gpu(_kernel_keeping_states, _loop_keeping_states)
_backwards = on_gpu(_kernel_backwards, _loop_backwards)


def _forward(x, delta, a, B, C):
    y, kept = _scan_keeping_states(delta * x, delta, a, B, C)
    return y, (x, delta, a, B, C, kept)


def _backward(saved, gy):
    x, delta, a, B, C, kept = saved
    g_u, g_d, g_a, g_B, g_C = _backwards(delta * x, delta, a, B, C, kept, gy)
    gradients = (g_u * delta, g_d + g_u * x, g_a, g_B, g_C)
    return tuple(g.astype(one.dtype) for g, one in zip(gradients, saved, strict=False))


trainable_scan.defvjp(_forward, _backward)
