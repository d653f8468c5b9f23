"""What an S6 layer reads from a token: B, C and the raw step size, with the norms some architectures add."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .base import AnyArray

#: Terms that cancel in a row of S x count by this share in the bounds on speeds, squared like a norm's parts.
CANCELLED = 1e-2


class Projection(eqx.Module):
    """x -> gain * S x, or gain * weight * u / sqrt(mean(u^2) + eps) with u = S x."""

    matrix: Float[AnyArray, "N D"]
    gain: float = 1.0
    eps: float | None = None
    weight: Float[AnyArray, " N"] | None = None

    def __call__(self, x: Float[Array, "L D"]) -> Float[Array, "L N"]:
        rows, log_scale = self.scaled(jnp.zeros(x.shape[0]), x)
        return rows * jnp.exp(log_scale)[:, None]

    def scaled(
        self, log_amplitude: Float[Array, " L"], direction: Float[Array, "L D"]
    ) -> tuple[Float[Array, "L N"], Float[Array, " L"]]:
        """(w, c) such that the read-out of the tokens e^y v is e^c w, without ever forming e^y."""
        return self.scaled_rows(log_amplitude, direction @ jnp.asarray(self.matrix).T)

    def scaled_rows(
        self, log_amplitude: Float[Array, " *L"], rows: Float[Array, "*L N"]
    ) -> tuple[Float[Array, "*L N"], Float[Array, " *L"]]:
        """`scaled` from the plain products S v of the directions."""
        weighted = self.gain * (rows if self.weight is None else rows * self.weight)
        if self.eps is None:
            return weighted, log_amplitude
        log_mean_square = 2 * log_amplitude + jnp.log(jnp.mean(rows**2, axis=-1))
        return weighted, log_amplitude - 0.5 * jnp.logaddexp(log_mean_square, jnp.log(self.eps))

    def cancelled(self, direction: Float[Array, "L D"], rows: Float[Array, "L N"]) -> Float[Array, " L"]:
        """What is added to |w|^2, for `scaled`'s w (`rows`), so that a clock goes on where S x vanishes and x does not.

        CANCELLED^2 sum_n (s_n^2 - w_n^2), s_n the sum of the absolute terms of w_n: smooth, and 0 without cancellation.
        """
        terms = self.gain * (jnp.abs(direction) @ jnp.abs(jnp.asarray(self.matrix)).T)
        terms = terms if self.weight is None else terms * self.weight
        return CANCELLED**2 * jnp.sum(jnp.maximum(terms**2 - rows**2, 0.0), axis=1)


class SelectiveWeights(eqx.Module):
    """The weights of one S6 scan in D dimensions: how B, C and Delta follow from a token, and the decay rates a."""

    B: Projection
    C: Projection
    dt_down: Projection
    dt_up: Float[AnyArray, "D R"] | None
    dt_bias: Float[AnyArray, " D"]
    a: Float[AnyArray, "D N"]

    @property
    def channels(self) -> int:
        return self.B.matrix.shape[1]

    def raw_step_size(self, x: Float[Array, "L D"]) -> Float[Array, "L D"]:
        """S_Delta x + b."""
        low = self.dt_down(x)
        return (low if self.dt_up is None else low @ jnp.asarray(self.dt_up).T) + self.dt_bias
