"""The step size Delta = softplus(z) and its logarithm, for every z a trajectory meets.

softplus underflows at z = -745, where slow divergence has only begun (it goes to z = -1e5), so the
dynamics carry ln Delta instead.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .base import AnyArray

#: Below this, ln softplus(z) = z - e^z / 2 + ... differs from z by less than its rounding.
TAIL = -37.0
#: Where s x is this far below -|b|, a step size is shut: what it drives has all but stopped growing.
SHUT = 50.0


def step_size(z: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """softplus(z) = ln(1 + e^z)."""
    return jnp.logaddexp(z, 0.0)


def log_step_size(z: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """ln softplus(z), exact to rounding for every finite z (tends to z as z tends to minus infinity)."""
    return jnp.where(z < TAIL, z, jnp.log(step_size(jnp.maximum(z, TAIL))))
