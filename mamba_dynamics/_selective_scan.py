"""The S6 recurrence, its chunked form for heads with one decay rate (SSD), and its hidden attention (theory section 1).

Symbols, for L tokens in D channels with N states:

    x (L, D), B (L, N), C (L, N)     tokens and their projections
    delta (L, D)                     step sizes, positive
    a (D, N)                         decay rates, A = -a

    h_{d,l} = exp(-a_d delta_ld) h_{d,l-1} + delta_ld B_l x_ld,      y_{dl} = C_l . h_{d,l}

(zero-order hold on A, Euler on B: what the reference implementations compute). In Mamba-2 a head of P channels shares
one step size and one rate, and the heads of a group share B and C:

    x (L, H, P), B, C (L, G, N), delta (L, H), a (H,)       head h uses group h // (H / G)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

#: Tokens that the chunked form treats as one matrix product.
CHUNK = 64
#: Tokens between two states that `trainable_scan` keeps for its reverse pass.
KEPT_EVERY = 16


@jax.jit
def selective_scan(
    x: Float[Array, "L D"],
    delta: Float[Array, "L D"],
    a: Float[Array, "D N"],
    B: Float[Array, "L N"],
    C: Float[Array, "L N"],
) -> Float[Array, "L D"]:
    """y of the recurrence above: O(L D N) work, O(L D + D N) memory."""
    h0 = jnp.zeros((B.shape[1], x.shape[1]), jnp.result_type(x, delta, a, B, C))
    return jax.lax.scan(_recurrence(a), h0, (delta * x, delta, B, C))[1]


def _recurrence(a: Float[Array, "D N"]):
    """h, (delta x, delta, B, C) of one token -> h after it, y."""
    # States first: the channels, of which there are many, lie side by side in memory.
    rates = a.T

    def step(h, token):
        u, d, b, c = token
        h = jnp.exp(-rates * d) * h + b[:, None] * u
        return h, c @ h

    return step


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
    return _scan_keeping_states(x, delta, a, B, C)[0]


def _scan_keeping_states(x, delta, a, B, C):
    """(y, the state before every chunk of KEPT_EVERY tokens)."""
    step = _recurrence(a)

    def chunk(h, tokens):
        after, y = jax.lax.scan(step, h, tokens)
        return after, (y, h)

    h0 = jnp.zeros((B.shape[1], x.shape[1]), jnp.result_type(x, delta, a, B, C))
    _, (y, kept) = jax.lax.scan(chunk, h0, _in_chunks(KEPT_EVERY, delta * x, delta, B, C))
    return y.reshape(-1, x.shape[1])[: len(x)], kept


def _in_chunks(size: int, *arrays):
    """Each (L, ...) as (chunks, size, ...); padded tokens, of step size 0, neither enter the state nor let it decay."""
    padding = -len(arrays[0]) % size
    padded = (jnp.pad(one, [(0, padding)] + [(0, 0)] * (one.ndim - 1)) for one in arrays)
    return tuple(one.reshape(-1, size, *one.shape[1:]) for one in padded)


def _forward(x, delta, a, B, C):
    y, kept = _scan_keeping_states(x, delta, a, B, C)
    return y, (x, delta, a, B, C, kept)


def _backward(saved, gy):
    x, delta, a, B, C, kept = saved
    rates, u = a.T, delta * x

    def again(h, token):
        u, e, b, gy = token
        decayed = e * h
        h = decayed + b[:, None] * u
        return h, (decayed, h @ gy)

    def back(carry, token):
        g, g_rates = carry
        u, d, e, b, c, gy, decayed = token
        g = g + c[:, None] * gy
        g_exponent = g * decayed
        g_d = -jnp.sum(g_exponent * rates, axis=0)
        return (e * g, g_rates - g_exponent * d), (b @ g, g_d, g @ u)

    def chunk(carry, chunked):
        h, (u, d, b, c, gy) = chunked
        e = jnp.exp(-rates * d[:, None, :])
        _, (decayed, g_c) = jax.lax.scan(again, h, (u, e, b, gy))
        carry, found = jax.lax.scan(back, carry, (u, d, e, b, c, gy, decayed), reverse=True)
        return carry, (*found, g_c)

    zero = jnp.zeros_like(kept[0])
    chunks = (kept, _in_chunks(KEPT_EVERY, u, delta, B, C, gy))
    (_, g_rates), found = jax.lax.scan(chunk, (zero, zero), chunks, reverse=True)
    g_u, g_d, g_B, g_C = (one.reshape(-1, one.shape[-1])[: len(x)] for one in found)
    gradients = (g_u * delta, g_d + g_u * x, g_rates.T, g_B, g_C)
    return tuple(g.astype(one.dtype) for g, one in zip(gradients, saved, strict=False))


trainable_scan.defvjp(_forward, _backward)


@jax.jit
def state_space_dual(
    x: Float[Array, "L H P"],
    delta: Float[Array, "L H"],
    a: Float[Array, " H"],
    B: Float[Array, "L G N"],
    C: Float[Array, "L G N"],
) -> Float[Array, "L H P"]:
    """y of the same recurrence for heads with one decay rate, a chunk of tokens at a time.

    Within a chunk y = (decay o C B^T) x as matrix products; between chunks the state (H, N, P) is passed on.
    O(L (CHUNK + N) H P) work, O(L H P + H N P + H CHUNK^2) memory.

        @inproceedings{dao2024transformers,
          title={Transformers are {SSM}s: Generalized Models and Efficient Algorithms Through Structured State Space
                 Duality},
          author={Dao, Tri and Gu, Albert},
          booktitle={International Conference on Machine Learning},
          year={2024}
        }
    """
    length, heads, _ = x.shape
    per_group = heads // B.shape[1]
    parts = _in_chunks(CHUNK, delta[..., None] * x, a * delta, B, C)
    causal = jnp.tril(jnp.ones((CHUNK, CHUNK), bool))

    def step(h, chunk):
        entering, decay, b, c = chunk
        elapsed = jnp.cumsum(decay, axis=0).T
        since = jnp.where(causal, elapsed[:, :, None] - elapsed[:, None, :], jnp.inf)
        pairs = jnp.repeat(jnp.einsum("lgn,jgn->glj", c, b), per_group, axis=0) * jnp.exp(-since)
        y = jnp.einsum("hlj,jhp->lhp", pairs, entering)
        b, c = (jnp.repeat(one, per_group, axis=1) for one in (b, c))
        y += jnp.einsum("lhn,hnp,hl->lhp", c, h, jnp.exp(-elapsed))
        remaining = jnp.exp(elapsed - elapsed[:, -1:])
        h = jnp.exp(-elapsed[:, -1])[:, None, None] * h + jnp.einsum("jhn,hj,jhp->hnp", b, remaining, entering)
        return h, y

    h0 = jnp.zeros((heads, B.shape[2], x.shape[2]), jnp.result_type(x, delta, a, B, C))
    return jax.lax.scan(step, h0, parts)[1].reshape(-1, *x.shape[1:])[:length]


@jax.jit
def hidden_attention(
    delta: Float[Array, "L D"],
    a: Float[Array, "D N"],
    B: Float[Array, "L N"],
    C: Float[Array, "L N"],
) -> Float[Array, "D L L"]:
    """The dense P with y_ld = sum_j P[d, l, j] x_jd, zero above the diagonal.

    P_dlj = delta_jd sum_n C_ln B_jn exp(-a_dn sum_{k=j+1..l} delta_kd). O(D N L^2): for inspection.
    """
    length = delta.shape[0]
    elapsed = jnp.cumsum(delta, axis=0).T
    since = elapsed[:, :, None] - elapsed[:, None, :]
    causal = jnp.tril(jnp.ones((length, length), bool))
    # Above the diagonal `since` is negative and its exponential may overflow: mask before, not after.
    since = jnp.where(causal, since, 0.0)

    def one_state(total, weights):
        b, c, rate = weights
        return total + c[:, None] * b[None, :] * jnp.exp(-rate[:, None, None] * since), None

    zero = jnp.zeros((delta.shape[1], length, length), jnp.result_type(delta, a, B, C))
    total, _ = jax.lax.scan(one_state, zero, (B.T, C.T, a.T))
    return jnp.where(causal, total * delta.T[:, None, :], 0.0)
