"""One block of the residual stream, u -> u + mixer(norm(u)), and what it does to each token's size.

The **radial rate** of a token is <u, Block(u)> / |u|^2: by which share the block's update lengthens (or shortens) it in
the residual stream. It is read from the block's function alone, so no change of sign in the representation of its
weights (theory section 8) can alter it.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .mixers import Mixer, Stages
from .primitives import RMSNormalisation

#: Parts of a block that can be left out, in the order of a forward pass.
ABLATIONS = ("norm", "conv", "gate", "skip")


class Block(eqx.Module):
    """The update mixer(norm(u)) of one block; `norm` is None where it has been left out."""

    norm: RMSNormalisation | None
    mixer: Mixer

    def __call__(self, residual: Float[Array, "L d"]) -> Float[Array, "L d"]:
        """The update that the block adds to the residual stream."""
        return self.stages(residual).out

    def stages(self, residual: Float[Array, "L d"]) -> Stages:
        return self.mixer.stages(residual if self.norm is None else self.norm(residual))

    def left_out(self, *parts: str) -> "Block":
        """The block without some of `ABLATIONS`: what the infinite-depth limit drops, one by one or together."""
        norm = None if "norm" in parts else self.norm
        mixer = self.mixer
        without = mixer.without | (set(parts) - {"norm"})
        return Block(
            norm,
            Mixer(
                in_x=mixer.in_x,
                in_z=mixer.in_z,
                selection=mixer.selection,
                out_proj=mixer.out_proj,
                gate_norm=mixer.gate_norm,
                without=frozenset(without),
                reordering=mixer.reordering,
            ),
        )

    def flipped(self) -> "Block":
        """The same function from weights with the opposite scenario of the S6-only ODE; see `Mixer.flipped`."""
        return Block(self.norm, self.mixer.flipped())


def radial_rates(residual: Float[Array, "L d"], update: Float[Array, "L d"]) -> Float[Array, " L"]:
    """<u_l, Block(u)_l> / |u_l|^2 of every token; NaN for a token that is zero."""
    return jnp.sum(residual * update, axis=-1) / jnp.sum(residual * residual, axis=-1)
