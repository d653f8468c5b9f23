"""The scan as attention: its dense lower triangular matrix."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


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
