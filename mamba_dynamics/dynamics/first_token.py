"""The first token of a several-dimensional layer (theory section 4, points 1, 4, 5, 6 and 8).

By causality it is autonomous, and it keeps every coordinate's sign:

    dx_d/dt = q(x) Delta_d(x) x_d,      q(x) = C . B.

Coordinates: y_d = ln|x_d|, so that a coordinate that decays like t^(-2.1) beside one that decays like
t^(-1/2) keeps its relative precision for ever. Growth clock: rho = |C| |B| <Delta>, the mean of Delta_d
weighted by x_d^2, which bounds the relative speed of |x|.

|C| and |B| include a share of what may cancel in them (`Projection.cross_terms`). Without it rho would vanish with the
speed where S_B x = 0 or S_C x = 0: the rest points of a layer with one state (N = 1), which the token reaches only as
t -> infinity, would lie at a finite s, and the run would step over them.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .base import AbstractLogDynamics
from .step_size import log_step_size
from .weights import SelectiveWeights


class FirstTokenLogDynamics(AbstractLogDynamics):
    """Token 1 alone in y_d = ln|x_d| and the growth clock; state (D,), zero coordinates held at 0."""

    weights: SelectiveWeights
    sign: Float[np.ndarray, " D"]
    y0: Float[np.ndarray, " D"]

    @classmethod
    def at(cls, weights: SelectiveWeights, x0: Float[np.ndarray, " D"]) -> "FirstTokenLogDynamics":
        sign = np.sign(x0)
        with np.errstate(divide="ignore"):
            return cls(weights=weights, sign=sign, y0=np.where(sign == 0, 0.0, np.log(np.abs(x0))))

    def initial_state(self):
        return jnp.asarray(self.y0)

    def _scaled_token(self, state: Float[Array, " D"]):
        """(ln of the largest coordinate, x divided by it)."""
        largest = jnp.max(jnp.where(self.sign == 0, -jnp.inf, state))
        return largest, jnp.asarray(self.sign) * jnp.exp(jnp.where(self.sign == 0, -jnp.inf, state - largest))

    def _read_out(self, largest, v):
        """(q, the bound on |q|), both up to a common factor, and ln of that."""
        B, log_B = self.weights.B.scaled(largest[None], v[None])
        C, log_C = self.weights.C.scaled(largest[None], v[None])
        square_B = jnp.sum(B * B) + self.weights.B.cross_terms(v[None])[0]
        square_C = jnp.sum(C * C) + self.weights.C.cross_terms(v[None])[0]
        return jnp.dot(C[0], B[0]), jnp.sqrt(square_B) * jnp.sqrt(square_C), log_B[0] + log_C[0]

    def field(self, state):
        largest, v = self._scaled_token(state)
        x = v * jnp.exp(largest)
        log_delta = log_step_size(self.weights.raw_step_size(x[None])[0])
        q, largest_q, log_q = self._read_out(largest, v)
        log_scale = jnp.max(jnp.where(self.sign == 0, -jnp.inf, log_delta))
        delta = jnp.exp(log_delta - log_scale)
        weighted = jnp.sum(delta * v * v) / jnp.sum(v * v)
        bound = largest_q * weighted
        velocity = jnp.where(self.sign == 0, 0.0, q * delta / bound)
        return velocity, log_scale + log_q + jnp.log(bound)

    @eqx.filter_jit
    def is_drawn_to_rest(self, state):
        """Whether |q| falls along the orbit, (dq/dx) (Delta x) < 0: without that no token near q = 0 stays there."""
        largest, v = self._scaled_token(state)
        log_delta = log_step_size(self.weights.raw_step_size((v * jnp.exp(largest))[None])[0])
        along = jnp.where(
            self.sign == 0, 0.0, jnp.exp(log_delta - jnp.max(log_delta, where=self.sign != 0, initial=-jnp.inf))
        )

        def q_in_units_of_the_token(state):
            q, _, log_q = self._read_out(*self._scaled_token(state))
            return q * jnp.exp(log_q - 2 * largest)

        return jax.jvp(q_in_units_of_the_token, (state,), (along,))[1] < 0

    def log_tokens(self, state):
        return jnp.where(self.sign == 0, -jnp.inf, state)[None], jnp.broadcast_to(self.sign, (1, *state.shape))

    def log_norms(self, state):
        largest, v = self._scaled_token(state)
        return (largest + jnp.log(jnp.linalg.norm(v)))[None]

    def restlessness(self, state):
        q, largest_q, _ = self._read_out(*self._scaled_token(state))
        return (jnp.abs(q) / largest_q)[None]
