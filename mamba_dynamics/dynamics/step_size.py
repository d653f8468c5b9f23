"""The step size Delta = softplus(z) and its logarithm, for every z a trajectory meets.

softplus underflows at z = -745, where slow divergence has only begun (it goes to z = -1e5), so the dynamics carry
ln Delta instead. Both come from one exponential e = e^-|z| and one polynomial, which compilers turn into vector
instructions, as they do not with logarithms of 1 + e^z:

    softplus(z) = max(z, 0) + e Q,      Q = ln(1 + e) / e = 2 / (2 + e) atanh(w) / w,      w = e / (2 + e) in [0, 1/3].
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .base import AnyArray

#: Below this, ln softplus(z) = z - e^z / 2 + ... differs from z by less than its rounding.
TAIL = -37.0
#: Where s x is this far below -|b|, a step size is shut: what it drives has all but stopped growing.
SHUT = 50.0


def _atanh_coefficients(degree: int = 12) -> list[float]:
    """atanh(w) / w as a polynomial in w^2, lowest first, for w^2 in [0, 1/9]."""
    nodes = (1 - np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))) / 18
    roots = np.sqrt(nodes)
    fitted = np.polynomial.Chebyshev.fit(nodes, np.arctanh(roots) / roots, degree, domain=[0, 1 / 9])
    return fitted.convert(kind=np.polynomial.Polynomial, domain=[-1, 1]).coef.tolist()


_ATANH = _atanh_coefficients()


@jax.custom_jvp
def step_size(z: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """softplus(z) = ln(1 + e^z)."""
    small, quotient = exponential_and_quotient(z)
    return jnp.maximum(z, 0.0) + small * quotient


@jax.custom_jvp
def log_step_size(z: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """ln softplus(z), exact to rounding for every finite z (tends to z as z tends to minus infinity)."""
    small, quotient = exponential_and_quotient(z)
    return jnp.minimum(z, 0.0) + jnp.log(jnp.where(z > 0, z + small * quotient, quotient))


def log_growth_to_shut(
    drive: Float[AnyArray, "*shape"], dt_bias: Float[AnyArray, "*shape"], log_abs: Float[AnyArray, "*shape"]
) -> Float[Array, "*shape"]:
    """How much ln|x| has still to grow until drive |x| is down to -(SHUT + |dt_bias|); 0 where drive >= 0, or it is."""
    return jnp.maximum(log_size_when_shut(drive, dt_bias) - log_abs, 0.0)


def log_size_when_shut(drive: Float[AnyArray, "*shape"], dt_bias: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """ln|x| where drive |x| is down to -(SHUT + |dt_bias|); -inf where it never will be, for drive >= 0."""
    shut = jnp.log(SHUT + jnp.abs(dt_bias)) - jnp.log(jnp.abs(drive))
    return jnp.where(drive < 0, shut, -jnp.inf)


def exponential_and_quotient(z: Float[AnyArray, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """(e, Q), each positive."""
    small = jnp.exp(-jnp.abs(z))
    ratio = small / (2.0 + small)
    square, value = ratio * ratio, jnp.full_like(ratio, _ATANH[-1])
    for coefficient in _ATANH[-2::-1]:
        value = value * square + coefficient
    return small, 2.0 * value / (2.0 + small)


@step_size.defjvp
def _(primals, tangents):
    return step_size(*primals), jax.nn.sigmoid(*primals) * tangents[0]


@log_step_size.defjvp
def _(primals, tangents):
    (z,), (change,) = primals, tangents
    small, quotient = exponential_and_quotient(z)
    slope = jnp.where(z > 0, 1.0 / (z + small * quotient), 1.0 / quotient) / (1.0 + small)
    return log_step_size(z), slope * change
