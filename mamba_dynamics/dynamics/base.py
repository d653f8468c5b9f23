"""What every token dynamics offers: the ODE as the paper writes it, and the form that is integrated.

`AbstractTokenDynamics` is the ODE dx/dt = f(x) of an S6 layer in the infinite-depth limit, theory
section 2. It depends on the tokens alone (autonomous), and its vector field is the S6 scan.

`AbstractLogDynamics` is the same ODE in logarithmic coordinates and in the *growth clock*

    ds = rho(x) dt,

where rho bounds the tokens' logarithmic speeds: |d ln|x_l| / dt| <= rho. In this clock the coordinates are
smooth and move at a speed of at most one in every scenario: x ~ t^(-1/2), ln t and (T* - t)^(-1/3) are
all nearly straight lines of ln|x| against s. Time is then a mere quadrature, t = int ds / rho, done in
logarithms afterwards (`mamba_dynamics.dynamics.clocks`), so that neither t = 1e16 nor ln t = 1e5 nor
T* - t = 1e-250 loses a digit. rho never vanishes where the tokens come to rest at a non-zero point:
it bounds the speed, it does not follow it.
"""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

State = PyTree[Array]

#: Weights are kept as numpy arrays, so that they take on the precision of the computation they enter.
AnyArray = Array | np.ndarray


class AbstractLogDynamics(eqx.Module):
    """The token ODE in logarithmic coordinates and the growth clock."""

    @abc.abstractmethod
    def initial_state(self) -> State:
        """The coordinates of the tokens this was built from."""

    @abc.abstractmethod
    def field(self, state: State) -> tuple[State, Float[Array, ""]]:
        """(d state / ds, ln rho) at a state."""

    @abc.abstractmethod
    def log_tokens(self, state: State) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """(ln|x|, sign x), each of the tokens' own shape; ln 0 = -inf with sign 0."""

    @abc.abstractmethod
    def log_norms(self, state: State) -> Float[Array, " L"]:
        """ln|x_l| (Euclidean norm) of every token; -inf for a token that is zero."""

    @abc.abstractmethod
    def restlessness(self, state: State) -> Float[Array, " L"]:
        """Every token's speed over its own bound in rho, in [0, 1]: near 0 only at rest; 0 for a zero token."""

    def log_growth_to_shut(self, state: State) -> Float[Array, " L"]:
        """How much ln|x_l| has still to grow until token l shuts its own step size: 0 where it never does, or has.

        A run that grows as if step sizes were constant may turn there from fast to slow.
        """
        return jnp.zeros_like(self.log_norms(state))

    def __call__(self, s: Any, state: State, args: Any) -> State:
        return self.field(state)[0]

    def log_rate(self, state: State) -> Float[Array, ""]:
        return self.field(state)[1]


class AbstractTokenDynamics(eqx.Module):
    """The ODE dx/dt = f(x) of one S6 layer: callable as `(t, x, args) -> dx/dt`."""

    @property
    @abc.abstractmethod
    def channels(self) -> int:
        """D."""

    @abc.abstractmethod
    def __call__(self, t: Any, x: Float[Array, "..."], args: Any) -> Float[Array, "..."]:
        """The vector field at tokens x: the S6 scan, O(L D N)."""

    @abc.abstractmethod
    def hidden_attention(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The dense matrix P(x) with dx/dt = P x, for inspection."""

    @abc.abstractmethod
    def in_log_coordinates(self, x0: Float[np.ndarray, "..."]) -> AbstractLogDynamics:
        """The same ODE from x0 in the form that `solve` integrates."""
