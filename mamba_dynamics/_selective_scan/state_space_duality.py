"""The scan of heads with one decay rate, as matrix products (SSD)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._devices import einsum
from .chunks import in_chunks

#: Tokens that are treated as one matrix product.
CHUNK = 64


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
    parts = in_chunks(CHUNK, delta[..., None] * x, a * delta, B, C)
    causal = jnp.tril(jnp.ones((CHUNK, CHUNK), bool))

    def step(h, chunk):
        entering, decay, b, c = chunk
        elapsed = jnp.cumsum(decay, axis=0).T
        since = jnp.where(causal, elapsed[:, :, None] - elapsed[:, None, :], jnp.inf)
        pairs = jnp.repeat(einsum("lgn,jgn->glj", c, b), per_group, axis=0) * jnp.exp(-since)
        y = einsum("hlj,jhp->lhp", pairs, entering)
        b, c = (jnp.repeat(one, per_group, axis=1) for one in (b, c))
        y += einsum("lhn,hnp,hl->lhp", c, h, jnp.exp(-elapsed))
        remaining = jnp.exp(elapsed - elapsed[:, -1:])
        h = jnp.exp(-elapsed[:, -1])[:, None, None] * h + einsum("jhn,hj,jhp->hnp", b, remaining, entering)
        return h, y

    h0 = jnp.zeros((heads, B.shape[2], x.shape[2]), jnp.result_type(x, delta, a, B, C))
    return jax.lax.scan(step, h0, parts)[1].reshape(-1, *x.shape[1:])[:length]
