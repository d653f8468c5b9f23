"""Tokens near a given state, in a frozen chart: the form in which stiff stretches are integrated.

Amplitudes y and the clock are held at a state's values, so that x_l = e^{y_l} v_l moves by

    dv/dtau = F(v),      tau = e^{log_scale} t,

which is dx/dt itself in units that keep every token's relative precision.

A token on the null cone q_l = B_l . C_l = 0 is held there by a strong force along Delta_l x_l. In the limit this is a
differential-algebraic equation of index 2 on a curved surface, on which methods that are linear in the Jacobian
lose their order. So q_l is made a coordinate of its own, which brings the index down to 1:

    dv_l/dtau = F_l(v, q) = kept_l(v) C_l(v) + u_l(v) q_l,        dq_l/dtau = (dq_l/dv_l) F_l(v, q),

u = Delta B-scale v, kept = exp(-a Delta) h_{l-1}. `lift` starts on q = B . C, and `settle` returns to it along u.

The Jacobian has the structure of the scan: causal, so block lower triangular, and in each diagonal block, since a
token acts only through its own coordinates and through p = P v_l in R^K (B, C and the low-rank step size),
diagonal + U_l P. (c I - J) w = r is therefore solved token after token by the Woodbury identity, with the scan's
state carried in linearised form: O(L D (N + K)) per solve after O(L D K^2) once, and no D x D matrix.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .step_size import log_step_size, step_size
from .tokens import LARGEST, TokenLogDynamics
from .weights import Projection, SelectiveWeights

Tokens = Float[Array, "L D"]
#: Tokens v and, as the last column, q.
Lifted = Float[Array, "L Q"]
#: Tokens that a step's duration binds to the surface by less than this e-folds are left where they are.
LOOSE = 1e-2
#: Newton steps back to the surface q = B . C: it is a parabola along u, and the start is within the tolerance of it.
NEWTON_STEPS = 3


class FrozenTokens(eqx.Module):
    """`TokenLogDynamics` in the chart of a state (y, v): tokens v (L, D), time tau = e^log_scale t."""

    weights: SelectiveWeights
    active: Array
    y: Float[Array, " L"]
    log_B: Float[Array, " L"]
    log_C: Float[Array, " L"]
    log_scale: Float[Array, ""]

    @classmethod
    def at(cls, dynamics: TokenLogDynamics, state) -> "FrozenTokens":
        y, v = state
        weights, active = dynamics.weights, jnp.asarray(dynamics.active)
        log_B, log_C = weights.B.scaled(y, v)[1], weights.C.scaled(y, v)[1]
        log_delta = log_step_size(weights.raw_step_size(jnp.exp(y)[:, None] * v))
        return cls(weights, active, y, log_B, log_C, dynamics.log_input(state, log_B, log_delta))

    def lift(self, v: Tokens) -> Lifted:
        """(v, q)."""
        return jnp.concatenate([v, self._coefficients(v).own[:, None]], axis=1)

    def settle(self, w: Lifted, duration) -> Tokens:
        """v moved along u to where B . C = q, as far as q is bound to v's surface within this duration."""
        v, q = w[:, :-1], w[:, -1]
        one = self._coefficients(v)
        slope = jnp.sum(one.gradient * one.along, axis=1)
        pull = -duration * slope
        tied = pull > LOOSE
        target = one.own + pull**2 / (1 + pull**2) * (q - one.own)
        moved = v
        for _ in range(NEWTON_STEPS):
            step = jnp.where(tied, (target - self._coefficients(moved).own) / jnp.where(tied, slope, 1.0), 0.0)
            moved = moved + step[:, None] * one.along
        return moved

    def velocity(self, w: Lifted) -> Lifted:
        """(dv/dtau, dq/dtau)."""
        one = self._coefficients(w[:, :-1])
        velocity = one.velocity(w[:, -1], self._states(one)[1])
        return jnp.concatenate([velocity, jnp.sum(one.gradient * velocity, axis=1)[:, None]], axis=1)

    def shifted_solver(self, w: Lifted, shift) -> Callable[[Lifted], Lifted]:
        """r -> (shift I - J(w))^-1 r."""
        one = self._coefficients(w[:, :-1])
        block = self._blocks(one, w[:, -1], shift)
        N = one.b.shape[1]

        def step(dh, token):
            r, one, block = token
            before = one.relative * ((block.decay * dh) @ one.c)
            free = (r[:-1] + before) / block.pivot
            onto_q = (r[-1] + one.gradient @ (block.diagonal * free + before)) / block.row_scale
            found = jax.scipy.linalg.lu_solve(block.factors, jnp.append(self.products(free), onto_q))
            x = free + block.U @ found
            read = one.reads_jacobian @ found[:-1]
            dz = self.up @ read[2:]
            du = one.weight * x + one.u * (one.log_slope * dz + read[0] / one.phi[0])
            db = one.plain_B * found[:N]
            dh = block.decay * dh - self.a * block.kept * (one.slope * dz)[:, None]
            return dh + du[:, None] * one.b + one.u[:, None] * db, jnp.append(x, found[-1])

        return lambda r: jax.lax.scan(step, jnp.zeros_like(self.a), (r, one, block))[1]

    @property
    def a(self) -> Float[Array, "D N"]:
        return jnp.asarray(self.weights.a)

    @property
    def up(self) -> Float[Array, "D R"]:
        return jnp.eye(self.weights.channels) if self.weights.dt_up is None else jnp.asarray(self.weights.dt_up)

    def products(self, v: Float[Array, "*L D"]) -> Float[Array, "*L K"]:
        """P v: the rows of S_B, S_C and of the low-rank step size, joined."""
        weights = self.weights
        return jnp.concatenate([v @ jnp.asarray(one.matrix).T for one in (weights.B, weights.C, weights.dt_down)], -1)

    def _split(self, products):
        N = self.weights.B.matrix.shape[0]
        return jnp.split(products, [N, 2 * N], axis=-1)

    def _reads(self, y, log_B, log_C, products):
        """What a token reads beside the linear B and C: their norms' factors and the low-rank step size, joined."""
        rows_B, rows_C, rows_low = self._split(products)
        factor_B = jnp.exp(self.weights.B.scaled_rows(y, rows_B)[1] - log_B)
        factor_C = jnp.exp(self.weights.C.scaled_rows(y, rows_C)[1] - log_C)
        low, log_low = self.weights.dt_down.scaled_rows(y, rows_low)
        return jnp.concatenate([jnp.stack([factor_B, factor_C]), low * jnp.exp(log_low)])

    def _coefficients(self, v: Tokens) -> "_Coefficients":
        weights, active = self.weights, self.active[:, None]
        args = (self.y, self.log_B, self.log_C, self.products(v))
        read = jax.vmap(self._reads)(*args)
        phi, low = read[:, :2], read[:, 2:]
        rows_B, rows_C, _ = self._split(args[-1])
        plain_B, plain_C = (jnp.broadcast_to(_plain(one), rows_B.shape) for one in (weights.B, weights.C))
        b, c = rows_B * plain_B, rows_C * plain_C
        z = low @ self.up.T + weights.dt_bias
        log_delta = log_step_size(z)
        log_weight = (self.log_B + self.y)[:, None] + log_delta - self.log_scale
        weight = jnp.where(active, jnp.exp(jnp.minimum(log_weight, LARGEST)) * phi[:, :1], 0.0)
        relative = jnp.where(active, jnp.exp(self.log_C - self.y)[:, None] * phi[:, 1:], 0.0)
        return _Coefficients(
            phi=phi,
            reads_jacobian=jnp.where(active[..., None], jax.vmap(jax.jacfwd(self._reads, argnums=3))(*args), 0.0),
            plain_B=plain_B,
            plain_C=plain_C,
            b=b,
            c=c,
            own=jnp.sum(b * c, axis=1),
            gradient=(c * plain_B) @ jnp.asarray(weights.B.matrix) + (b * plain_C) @ jnp.asarray(weights.C.matrix),
            delta=step_size(z),
            slope=jax.nn.sigmoid(z),
            log_slope=jnp.exp(jax.nn.log_sigmoid(z) - log_delta),
            weight=weight,
            u=v * weight,
            relative=relative,
            along=relative * v * weight,
        )

    def _states(self, one: "_Coefficients"):
        """(exp(-a Delta_l), exp(-a Delta_l) h_{l-1}), each (L, D, N)."""

        def step(h, token):
            u, delta, b = token
            decay = jnp.exp(-self.a * delta[:, None])
            kept = decay * h
            return kept + u[:, None] * b, (decay, kept)

        return jax.lax.scan(step, jnp.zeros_like(self.a), (one.u, one.delta, one.b))[1]

    def _blocks(self, one: "_Coefficients", q, shift) -> "_Blocks":
        decay, kept = self._states(one)
        velocity = one.velocity(q, kept)
        diagonal = one.relative * one.weight * q[:, None]
        pivot = shift - diagonal
        U = jnp.concatenate([self._low_rank(one, q, kept, velocity), one.along[:, :, None]], axis=2) / pivot[:, :, None]
        K = U.shape[2] - 1
        upper = jnp.eye(K, K + 1) - jnp.swapaxes(self.products(jnp.swapaxes(U, 1, 2)), 1, 2)
        onto_B, onto_C, _ = self._split(self.products(velocity))
        turning = jnp.concatenate([onto_C * one.plain_C * one.plain_B, onto_B * one.plain_B * one.plain_C], axis=1)
        lower = -shift * jnp.einsum("ld,ldk->lk", one.gradient, U)
        row_scale = shift + jnp.abs(lower[:, -1])
        lower = lower.at[:, : turning.shape[1]].add(-turning).at[:, -1].add(shift) / row_scale[:, None]
        factors = jax.vmap(jax.scipy.linalg.lu_factor)(jnp.concatenate([upper, lower[:, None, :]], axis=1))
        return _Blocks(decay, kept, diagonal, pivot, U, row_scale, factors)

    def _low_rank(self, one: "_Coefficients", q, kept, velocity):
        """U_l (L, D, K): how dv_l/dtau answers to the products P v_l with q held, through C and what else is read."""
        direct = one.relative[:, :, None] * kept * one.plain_C[:, None, :]
        faded = jnp.einsum("dn,ldn,ln->ld", self.a, kept, one.c) * one.slope
        through_step = one.along * q[:, None] * one.log_slope - one.relative * faded
        through_factors = jnp.stack([one.along * q[:, None] / one.phi[:, :1], velocity / one.phi[:, 1:]], axis=2)
        through_reads = jnp.concatenate([through_factors, through_step[:, :, None] * self.up], axis=2)
        N = direct.shape[2]
        return (through_reads @ one.reads_jacobian).at[:, :, N : 2 * N].add(direct)


class _Coefficients(NamedTuple):
    """The coefficients of F and its derivatives at v, token by token. A zero token keeps nothing but its step size."""

    phi: Float[Array, "L 2"]  # factors of the norms on B and C
    reads_jacobian: Float[Array, "L F K"]
    plain_B: Float[Array, "L N"]  # constant factors of B and C
    plain_C: Float[Array, "L N"]
    b: Float[Array, "L N"]  # B and C without phi
    c: Float[Array, "L N"]
    own: Float[Array, " L"]  # b . c
    gradient: Float[Array, "L D"]  # d own / dv
    delta: Float[Array, "L D"]
    slope: Float[Array, "L D"]  # d Delta / dz
    log_slope: Float[Array, "L D"]  # d ln Delta / dz
    weight: Float[Array, "L D"]  # u = weight v enters the scan
    u: Float[Array, "L D"]
    relative: Float[Array, "L D"]  # the scan's output times this is dv/dtau
    along: Float[Array, "L D"]  # dF / dq

    def velocity(self, q, kept) -> Tokens:
        return self.relative * jnp.einsum("ldn,ln->ld", kept, self.c) + self.along * q[:, None]


class _Blocks(NamedTuple):
    """The diagonal blocks of shift I - J, in the unknowns p = P dv and dq of each token.

        dv = (r + before) / pivot + U (p, dq),     p = P dv,
        shift dq = r_q + gradient . dF + (d gradient) . F,     dF = diagonal dv + before + pivot U (p, dq).

    dq is an unknown of its own: from dv it would be a difference of numbers up to 1e9 times its size.
    """

    decay: Float[Array, "L D N"]
    kept: Float[Array, "L D N"]
    diagonal: Float[Array, "L D"]
    pivot: Float[Array, "L D"]
    U: Float[Array, "L D M"]
    row_scale: Float[Array, " L"]
    factors: tuple[Float[Array, "L M M"], Array]


def _plain(projection: Projection) -> Float[Array, " N"]:
    """The constant factor of a projection, a norm's division left out."""
    ones = jnp.ones(projection.matrix.shape[0])
    return projection.gain * (ones if projection.weight is None else ones * jnp.asarray(projection.weight))
