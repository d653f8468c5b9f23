"""Tokens in several dimensions, D > 1 (theory section 4).

    dx_ld/dt = sum_{j<=l} P_dlj(x) x_jd,
    P_dlj    = Delta_d(x_j) sum_n (C_l)_n (B_j)_n exp(-a_dn sum_{k=j+1..l} Delta_d(x_k)),

with B_l = S_B x_l, C_l = S_C x_l and Delta(x) = softplus(S_Delta x + b), S_Delta kept in factors. Norms
on B, C and the low-rank part of Delta, where an architecture has them, are part of the field.

Coordinates: each token as amplitude and direction, x_l = e^{y_l} v_l with |v_l| = 1, so that one token can
run away while another vanishes and both keep their relative precision. Growth clock: by Cauchy-Schwarz
|dx_l/dt| <= |C_l| |h_l|_F for the scan's state h_l (D, N), so rho = sum_l |C_l| |h_l|_F / |x_l|. Where all B_l or
all C_l vanish on non-zero tokens, these rest and rho must not vanish with their speed, or the run would step over a
rest point at a finite s: both norms include a share of what may cancel in the read-outs (`Projection.cross_terms`).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._selective_scan import hidden_attention, scan_with_sizes, selective_scan
from .base import AbstractLogDynamics, AbstractTokenDynamics
from .first_token import FirstTokenLogDynamics
from .step_size import log_step_size, step_size
from .weights import SelectiveWeights

#: Only a coordinate that is zero can have a larger exponent: 0 e^LARGEST = 0, where 0 e^710 would be NaN.
LARGEST = 700.0


class TokenDynamics(AbstractTokenDynamics):
    """dx_l/dt = sum_{j<=l} P_lj x_j for tokens x of shape (L, D)."""

    weights: SelectiveWeights

    @property
    def channels(self) -> int:
        return self.weights.channels

    def _scan_inputs(self, x):
        delta = step_size(self.weights.raw_step_size(x))
        return delta, jnp.asarray(self.weights.a), self.weights.B(x), self.weights.C(x)

    def __call__(self, t: Any, x: Float[Array, "L D"], args: Any) -> Float[Array, "L D"]:
        return selective_scan(x, *self._scan_inputs(x))

    def hidden_attention(self, x: Float[Array, "L D"]) -> Float[Array, "D L L"]:
        return hidden_attention(*self._scan_inputs(x))

    def in_log_coordinates(self, x0: Float[np.ndarray, "L D"]) -> AbstractLogDynamics:
        if x0.shape[0] == 1:
            return FirstTokenLogDynamics.at(self.weights, x0[0])
        return TokenLogDynamics.at(self.weights, x0)


class TokenLogDynamics(AbstractLogDynamics):
    """`TokenDynamics` in amplitudes and directions and the growth clock; state (y (L,), v (L, D))."""

    weights: SelectiveWeights
    active: Bool[np.ndarray, " L"]
    y0: Float[np.ndarray, " L"]
    v0: Float[np.ndarray, "L D"]

    @classmethod
    def at(cls, weights: SelectiveWeights, x0: Float[np.ndarray, "L D"]) -> "TokenLogDynamics":
        # Scaled by the largest entry first: squares of 1e-200 or 1e200 would leave float64's range.
        largest = np.max(np.abs(x0), axis=1)
        active = largest > 0
        direction = x0 / np.where(active, largest, 1.0)[:, None]
        norm = np.where(active, np.linalg.norm(direction, axis=1), 1.0)
        y0 = np.log(np.where(active, largest, 1.0)) + np.log(norm)
        return cls(weights=weights, active=active, y0=y0, v0=direction / norm[:, None])

    def initial_state(self):
        return jnp.asarray(self.y0), jnp.asarray(self.v0)

    # A program that calls it from many places traces it once.
    @eqx.filter_jit
    def _velocities(self, state):
        """(dx_l/dt e^-y_l, the bound on its norm, ln of the factor taken out of both); zero for zero tokens."""
        y, v = state
        z = self.weights.raw_step_size(jnp.exp(y)[:, None] * v)
        B, log_B = self.weights.B.scaled(y, v)
        C, log_C = self.weights.C.scaled(y, v)
        log_delta = log_step_size(z)
        # Common factor of everything that enters the scan: see ScalarLogDynamics.
        scale = self.log_input(state, log_B, log_delta)
        entering = v * jnp.exp(jnp.minimum((log_B + y)[:, None] + log_delta - scale, LARGEST))
        entering = jnp.where(self.active[:, None], entering, 0.0)
        crossed = self.weights.B.cross_terms(v), self.weights.C.cross_terms(v)
        velocity, bound = _scan_with_bound(entering, step_size(z), jnp.asarray(self.weights.a), B, C, crossed)
        relative = jnp.where(self.active, jnp.exp(log_C - y), 0.0)
        return relative[:, None] * velocity, relative * bound, scale

    def log_input(self, state, log_B, log_delta):
        """ln of the largest factor with which a coordinate enters the scan.

        Of coordinates that are not zero, for a large token may keep only those whose step size has vanished.
        """
        y, v = state
        present = self.active[:, None] & (v != 0)
        return jnp.max(jnp.where(present, jnp.log(jnp.abs(v)) + log_delta + (log_B + y)[:, None], -jnp.inf))

    def field(self, state):
        _, v = state
        velocity, bound, scale = self._velocities(state)
        total = jnp.sum(bound)
        radial = jnp.sum(v * velocity, axis=1) / jnp.where(self.active, jnp.sum(v * v, axis=1), 1.0)
        return (radial / total, (velocity - radial[:, None] * v) / total), scale + jnp.log(total)

    @eqx.filter_jit
    def log_bounds(self, state):
        """ln of each token's own term in rho, its bound on |dx_l/dt| / |x_l|, shape (L,); -inf for a zero token."""
        _, bound, scale = self._velocities(state)
        return jnp.log(bound) + scale

    def restlessness(self, state):
        velocity, bound, _ = self._velocities(state)
        speed = jnp.linalg.norm(velocity, axis=1)
        return jnp.where(self.active, jnp.where(bound > 0, speed / bound, 1.0), 0.0)

    def log_tokens(self, state):
        y, v = state
        return y[:, None] + jnp.log(jnp.abs(v)), jnp.sign(v)

    def log_norms(self, state):
        y, v = state
        return jnp.where(self.active, y + jnp.log(jnp.linalg.norm(v, axis=1)), -jnp.inf)


def _scan_with_bound(entering, delta, a, B, C, crossed):
    """The scan's output (L, D) and, per token, |C_l| |h_l|_F >= |output_l|, cross terms included."""
    more_B, more_C = crossed
    output, squares = scan_with_sizes(entering, delta, a, B, C)
    size = jnp.sqrt(squares + more_B * jnp.sum(entering * entering, axis=1))
    return output, jnp.sqrt(jnp.sum(C * C, axis=1) + more_C) * size
