"""The S6 recurrence and its hidden attention (theory section 1).

Symbols, for L tokens in D channels with N states:

    x (L, D), B (L, N), C (L, N)     tokens and their projections
    delta (L, D)                     step sizes, positive
    a (D, N)                         decay rates, A = -a

    h_{d,l} = exp(-a_d delta_ld) h_{d,l-1} + delta_ld B_l x_ld,      y_ld = C_l . h_{d,l}

(zero-order hold on A, Euler on B: what the reference implementations compute).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.jit
def selective_scan(
    x: Float[Array, "L D"],
    delta: Float[Array, "L D"],
    a: Float[Array, "D N"],
    B: Float[Array, "L N"],
    C: Float[Array, "L N"],
) -> Float[Array, "L D"]:
    """y of the recurrence above: O(L D N) work, O(L D + D N) memory."""

    def step(h, token):
        u, d, b, c = token
        h = jnp.exp(-a * d[:, None]) * h + u[:, None] * b
        return h, h @ c

    h0 = jnp.zeros((x.shape[1], B.shape[1]), jnp.result_type(x, delta, a, B, C))
    return jax.lax.scan(step, h0, (delta * x, delta, B, C))[1]


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
