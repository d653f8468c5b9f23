"""Tokens on a line, D = 1 (theory section 3).

Symbols: mu_n = S_C[n] S_B[n] and decay rates a_n, n = 1..N; s = S_Delta; b = dt_bias;
Delta_l = softplus(s x_l + b). With h_{l,n} = x_l^2 Delta_l + exp(-a_n Delta_l) h_{l-1,n},

    dx_l/dt = x_l r_l,       r_l = sum_n mu_n h_{l,n}.

Coordinates: y_l = ln|x_l|, signs being invariant. Growth clock: rho = sum_l sum_n |mu_n| h_{l,n},
which for N = 1 is the sum of the tokens' logarithmic speeds. A zero token stays zero and
contributes only its decay Delta(0) to the later ones.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._selective_scan import hidden_attention, selective_scan
from .base import AbstractLogDynamics, AbstractTokenDynamics, AnyArray
from .step_size import TAIL, log_growth_to_shut, log_step_size, step_size


class ScalarTokenDynamics(AbstractTokenDynamics):
    """dx_l/dt = sum_{j<=l} P_lj x_j for tokens x of shape (L,)."""

    mu: Float[AnyArray, " N"]
    s: Float[AnyArray, ""]
    a: Float[AnyArray, " N"]
    dt_bias: Float[AnyArray, ""]

    @property
    def channels(self) -> int:
        return 1

    def _scan_inputs(self, x):
        delta = step_size(self.s * x + self.dt_bias)[:, None]
        # B = x and C = mu x, one column for each of the N states.
        ones = jnp.ones((1, self.mu.shape[0]))
        return delta, jnp.asarray(self.a)[None], x[:, None] * ones, x[:, None] * jnp.asarray(self.mu)[None]

    def __call__(self, t: Any, x: Float[Array, " L"], args: Any) -> Float[Array, " L"]:
        return selective_scan(x[:, None], *self._scan_inputs(x))[:, 0]

    def hidden_attention(self, x: Float[Array, " L"]) -> Float[Array, "L L"]:
        return hidden_attention(*self._scan_inputs(x))[0]

    def log_hidden_attention(
        self, log_abs: Float[np.ndarray, "*S L"], sign: Float[np.ndarray, "*S L"]
    ) -> Float[np.ndarray, "*S L L"]:
        """ln|P_lj| of tokens given as ln|x| and sign x: most of P underflows where tokens grow slowly.

        -inf where P_lj = 0, so above the diagonal and for zero tokens. The sign of P_lj is that of x_l x_j sum_n
        mu_n e^{-a_n (...)}.
        """
        z = np.asarray(self.s) * sign * np.exp(log_abs) + np.asarray(self.dt_bias)
        with np.errstate(divide="ignore"):
            log_step = np.where(z < TAIL, z, np.log(np.logaddexp(0.0, np.maximum(z, TAIL))))
            elapsed = np.cumsum(np.logaddexp(0.0, z), axis=-1)
            gap = np.maximum(elapsed[..., :, None] - elapsed[..., None, :], 0.0)
            exponents = -np.multiply.outer(gap, np.asarray(self.a))
            slowest = exponents.max(axis=-1)
            kept = slowest + np.log(np.abs(np.exp(exponents - slowest[..., None]) @ np.asarray(self.mu)))
        pairs = log_abs[..., :, None] + (log_abs + log_step)[..., None, :] + kept
        return np.where(np.tri(log_abs.shape[-1], dtype=bool), pairs, -np.inf)

    def in_log_coordinates(self, x0: Float[np.ndarray, " L"]) -> "ScalarLogDynamics":
        sign = np.sign(x0)
        with np.errstate(divide="ignore"):
            y0 = np.where(sign == 0, 0.0, np.log(np.abs(x0)))
        return ScalarLogDynamics(dynamics=self, sign=sign, y0=y0)


class ScalarLogDynamics(AbstractLogDynamics):
    """`ScalarTokenDynamics` in y_l = ln|x_l| and the growth clock; state (L,), zero tokens held at 0."""

    dynamics: ScalarTokenDynamics
    sign: Float[np.ndarray, " L"]
    y0: Float[np.ndarray, " L"]

    def initial_state(self):
        return jnp.asarray(self.y0)

    # A program that calls it from many places traces it once.
    @eqx.filter_jit
    def _rates(self, state):
        """(r_l, its bound sum_n |mu_n| h_ln, ln of the factor taken out of both), zero tokens included."""
        mu, a = jnp.asarray(self.dynamics.mu), jnp.asarray(self.dynamics.a)
        z = self.dynamics.s * self.sign * jnp.exp(state) + self.dynamics.dt_bias
        exponent = jnp.where(self.sign == 0, -jnp.inf, 2 * state + log_step_size(z))
        # Common factor of all rates: without it every one of them underflows in slow divergence.
        scale = jnp.max(exponent)

        def step(h, token):
            own, delta = token
            h = own + jnp.exp(-a * delta) * h
            return h, (mu @ h, jnp.abs(mu) @ h)

        _, (rate, bound) = jax.lax.scan(step, jnp.zeros_like(a), (jnp.exp(exponent - scale), step_size(z)))
        return rate, bound, scale

    def field(self, state):
        rate, bound, scale = self._rates(state)
        active = self.sign != 0
        total = jnp.sum(jnp.where(active, bound, 0.0))
        return jnp.where(active, rate / total, 0.0), scale + jnp.log(total)

    def restlessness(self, state):
        rate, bound, _ = self._rates(state)
        # A rate so far below the largest one that it underflows is unknown, not zero: not at rest.
        return jnp.where(self.sign == 0, 0.0, jnp.where(bound > 0, jnp.abs(rate) / bound, 1.0))

    def log_growth_to_shut(self, state):
        return log_growth_to_shut(self.dynamics.s * self.sign, self.dynamics.dt_bias, state)

    def log_tokens(self, state):
        return self.log_norms(state), jnp.broadcast_to(self.sign, state.shape)

    def log_norms(self, state):
        return jnp.where(self.sign == 0, -jnp.inf, state)
