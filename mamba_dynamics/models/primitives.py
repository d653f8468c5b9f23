"""What a Mamba block is made of beside its scan: norm, causal convolution, SiLU, projections."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._devices import matmul
from ..dynamics.base import AnyArray


class Linear(eqx.Module):
    """x -> W x + b."""

    weight: Float[AnyArray, "M D"]
    bias: Float[AnyArray, " M"] | None = None

    def __call__(self, x: Float[Array, "*L D"]) -> Float[Array, "*L M"]:
        y = matmul(x, jnp.asarray(self.weight).T)
        return y if self.bias is None else y + self.bias


class Scaling(eqx.Module):
    """x -> factor x, in the place of a `Linear` that a model does without."""

    factor: float = eqx.field(static=True, default=1.0)

    def __call__(self, x: Float[Array, "*L D"]) -> Float[Array, "*L D"]:
        return self.factor * x


class RMSNormalisation(eqx.Module):
    """x -> weight * x / sqrt(mean(x^2) + eps), the mean over each of `groups` equal parts of the last axis."""

    weight: Float[AnyArray, " D"] | None
    eps: float = eqx.field(static=True)
    groups: int = eqx.field(static=True, default=1)

    def __call__(self, x: Float[Array, "*L D"]) -> Float[Array, "*L D"]:
        parts = x.reshape(*x.shape[:-1], self.groups, -1)
        mean_square = jnp.mean(parts * parts, axis=-1, keepdims=True)
        normalised = (parts * jax.lax.rsqrt(mean_square + self.eps)).reshape(x.shape)
        return normalised if self.weight is None else normalised * self.weight


class CausalConvolution(eqx.Module):
    """A depthwise convolution over the tokens, then SiLU; the last of the k taps weighs the present token."""

    weight: Float[AnyArray, "E k"]
    bias: Float[AnyArray, " E"] | None = None

    def __call__(self, signal: Float[Array, "L E"]) -> Float[Array, "L E"]:
        length, taps = signal.shape[0], self.weight.shape[1]
        padded = jnp.pad(signal, ((taps - 1, 0), (0, 0)))
        weight = jnp.asarray(self.weight)
        total = sum(weight[:, tap] * padded[tap : tap + length] for tap in range(taps))
        return jax.nn.silu(total if self.bias is None else total + self.bias)
