"""What an S6 layer reads from a token: B, C and the raw step size, with the norms some architectures add."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._devices import einsum
from .base import AnyArray

#: Terms that may cancel in a row of S x count by this share in the bounds on speeds, squared like a norm's parts.
CROSSED = 1e-2


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
        return self.scaled_rows(log_amplitude, _rows(self.matrix, direction))

    def scaled_rows(
        self, log_amplitude: Float[Array, " *L"], rows: Float[Array, "*L N"]
    ) -> tuple[Float[Array, "*L N"], Float[Array, " *L"]]:
        """`scaled` from the plain products S v of the directions."""
        weighted = self.gain * (rows if self.weight is None else rows * self.weight)
        if self.eps is None:
            return weighted, log_amplitude
        log_mean_square = 2 * log_amplitude + jnp.log(jnp.mean(rows**2, axis=-1))
        return weighted, log_amplitude - 0.5 * jnp.logaddexp(log_mean_square, jnp.log(self.eps))

    def cross_terms(self, direction: Float[Array, "L D"]) -> Float[Array, " L"]:
        """What is added to |w|^2, for `scaled`'s w, so that a clock goes on where S x vanishes and x does not.

        CROSSED^2 sum_n (p_n - sum_d p_nd^2 / p_n) with p_nd the squares of the terms of w_n and p_n their sum: smooth,
        0 for a row that has one term, so cannot vanish by cancellation, and else positive.
        """
        gain = self.gain if self.weight is None else self.gain * jnp.asarray(self.weight)
        largest = jnp.max(jnp.abs(jnp.asarray(self.matrix)), axis=1)
        share = jnp.asarray(self.matrix) / jnp.where(largest > 0, largest, 1.0)[:, None]
        total, fourth = _rows(share**2, direction**2), _rows(share**4, direction**4)
        crossed = total - fourth / jnp.where(total > 0, total, 1.0)
        return CROSSED**2 * jnp.sum((gain * largest) ** 2 * jnp.maximum(crossed, 0.0), axis=1)


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
        return (low if self.dt_up is None else _rows(self.dt_up, low)) + self.dt_bias


def _rows(matrix: Float[AnyArray, "N D"], x: Float[Array, "L D"]) -> Float[Array, "L N"]:
    """x S^T, with no transpose of S written down: for one token XLA would compile that for half a second."""
    return einsum("ld,nd->ln", x, jnp.asarray(matrix))
