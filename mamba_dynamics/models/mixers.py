"""The mixer of a Mamba block, stage by stage.

    signal, gate = in_proj u          x = SiLU(conv(signal))          the scan's input: the theory's tokens
    B, C, delta                       functions of x (Mamba-1) or of u (Mamba-2)
    scan                              y_l = C_l . h_l, see `mamba_dynamics._selective_scan`
    skipped = scan + D x              gated = skipped SiLU(gate)      out = out_proj gated

Mamba-2 normalises the gated output before out_proj. A reordering (see `reordering`) permutes x between the first line
and the second; the stages x, B, C, delta and scan are then in the order of the scan. What the infinite-depth limit
drops can be left out by name, to see what it changes: "conv" (with its SiLU), "gate", "skip".
"""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._devices import matmul
from .._errors import HypothesisError
from .._selective_scan import hidden_attention, state_space_dual, trainable_scan
from ..dynamics.base import AnyArray
from .primitives import CausalConvolution, Linear, RMSNormalisation, Scaling
from .reordering import AbstractReordering

#: Parts of a mixer that can be left out.
OPTIONAL_PARTS = ("conv", "gate", "skip")


class Stages(NamedTuple):
    """Everything a mixer computes on the way, for L tokens in E channels (STEPS step sizes, G groups, N states).

    `order` is the matrix P of a reordering, None where there is none.
    """

    u: Float[Array, "L d"]
    signal: Float[Array, "L E"]
    gate: Float[Array, "L E"]
    x: Float[Array, "L E"]
    B: Float[Array, "L G N"]
    C: Float[Array, "L G N"]
    delta: Float[Array, "L STEPS"]
    scan: Float[Array, "L E"]
    skipped: Float[Array, "L E"]
    gated: Float[Array, "L E"]
    out: Float[Array, "L d"]
    order: Float[Array, "L L"] | None = None


class Scanned(NamedTuple):
    """The stages of the selective part alone; `order` is the matrix P of a reordering."""

    x: Float[Array, "L E"]
    B: Float[Array, "L G N"]
    C: Float[Array, "L G N"]
    delta: Float[Array, "L STEPS"]
    scan: Float[Array, "L E"]
    order: Float[Array, "L L"] | None = None


class AbstractSelection(eqx.Module):
    """The selective part of a mixer: from its signal (and u) to the scan's output."""

    D_skip: eqx.AbstractVar[Float[AnyArray, " E"]]

    @abc.abstractmethod
    def __call__(
        self,
        u: Float[Array, "L d"],
        signal: Float[Array, "L E"],
        conv: bool = True,
        reordering: AbstractReordering | None = None,
    ) -> Scanned:
        """Convolve (unless `conv` is False), reorder, project, scan."""

    @abc.abstractmethod
    def hidden_attention(self, scanned: Scanned, index: int) -> Float[Array, "L L"]:
        """The dense P with scan = P x in one channel (Mamba-1) or head (Mamba-2), zero above the diagonal."""

    @abc.abstractmethod
    def flipped(self) -> "AbstractSelection":
        """The same scan with the opposite sign. Raises `HypothesisError` where no weights give it."""


class Mamba1Selection(AbstractSelection):
    """B, C and delta read the scan's own input x, each channel with its own step size and N decay rates.

    `conv` is None where there is no convolution (and no SiLU) before the scan, `dt_up` where `dt_down` (E, E) is the
    whole of S_Delta.
    """

    conv: CausalConvolution | None
    S_B: Float[AnyArray, "N E"]
    S_C: Float[AnyArray, "N E"]
    dt_down: Float[AnyArray, "R E"]
    dt_up: Float[AnyArray, "E R"] | None
    dt_bias: Float[AnyArray, " E"]
    a: Float[AnyArray, "E N"]
    D_skip: Float[AnyArray, " E"]
    B_norm: RMSNormalisation | None = None
    C_norm: RMSNormalisation | None = None
    dt_norm: RMSNormalisation | None = None

    def __call__(self, u, signal, conv=True, reordering=None):
        x = self.conv(signal) if conv and self.conv is not None else signal
        order = None if reordering is None else reordering.order(self.raw_step_sizes(self.projected(x)[0]))
        x = x if order is None else matmul(order, x)
        low, B, C = self.projected(x)
        delta = self.step_sizes(low)
        scan = trainable_scan(x, delta, jnp.asarray(self.a), B, C)
        return Scanned(x, B[:, None], C[:, None], delta, scan, order)

    def projected(self, x: Float[Array, "L E"]) -> tuple[Float[Array, "L R"], Float[Array, "L N"], Float[Array, "L N"]]:
        """(the low-rank read-out of the step sizes, B, C), normalised where the architecture does."""
        low, B, C = (matmul(x, jnp.asarray(matrix).T) for matrix in (self.dt_down, self.S_B, self.S_C))
        return _normed(self.dt_norm, low), _normed(self.B_norm, B), _normed(self.C_norm, C)

    def raw_step_sizes(self, low: Float[Array, "L R"]) -> Float[Array, "L E"]:
        """S_Delta x + b, before softplus."""
        return (low if self.dt_up is None else matmul(low, jnp.asarray(self.dt_up).T)) + self.dt_bias

    def step_sizes(self, low: Float[Array, "L R"]) -> Float[Array, "L E"]:
        return jax.nn.softplus(self.raw_step_sizes(low))

    def hidden_attention(self, scanned, index):
        rates = jnp.asarray(self.a)[index][None]
        return hidden_attention(scanned.delta[:, index, None], rates, scanned.B[:, 0], scanned.C[:, 0])[0]

    def flipped(self):
        return eqx.tree_at(lambda one: one.S_C, self, -self.S_C)


class Mamba2Selection(AbstractSelection):
    """B, C and delta read u, B and C pass a convolution and SiLU of their own; a head has one step size and rate."""

    conv: CausalConvolution
    conv_B: CausalConvolution
    conv_C: CausalConvolution
    B_proj: Linear
    C_proj: Linear
    dt_proj: Linear
    a: Float[AnyArray, " H"]
    D_skip: Float[AnyArray, " E"]
    groups: int = eqx.field(static=True)
    dt_limit: tuple[float, float] = eqx.field(static=True)

    def __call__(self, u, signal, conv=True, reordering=None):
        if reordering is not None:
            raise HypothesisError(
                "expected a mixer whose B, C and step sizes are functions of the scan's input, found Mamba-2, where "
                "they are functions of u: a reordering of x has no counterpart there"
            )
        x, B, C = signal, self.B_proj(u), self.C_proj(u)
        if conv:
            x, B, C = self.conv(x), self.conv_B(B), self.conv_C(C)
        B, C = (one.reshape(len(u), self.groups, -1) for one in (B, C))
        delta = jnp.clip(jax.nn.softplus(self.dt_proj(u)), *self.dt_limit)
        heads = x.reshape(len(x), delta.shape[1], -1)
        scan = state_space_dual(heads, delta, jnp.asarray(self.a), B, C).reshape(x.shape)
        return Scanned(x, B, C, delta, scan)

    def hidden_attention(self, scanned, index):
        group = index * self.groups // self.a.shape[0]
        states = scanned.B.shape[2]
        rates = jnp.broadcast_to(jnp.asarray(self.a)[index], (1, states))
        B, C = scanned.B[:, group], scanned.C[:, group]
        return hidden_attention(scanned.delta[:, index, None], rates, B, C)[0]

    def flipped(self):
        raise HypothesisError(
            "expected a mixer whose C is linear in the scan's input, found Mamba-2: there C passes SiLU, and "
            "SiLU(-v) is not -SiLU(v), so no weights flip the sign of the scan: it is no matter of convention"
        )


class Mixer(eqx.Module):
    """One mixer: projections around the selective part, with `without` naming the parts left out."""

    in_x: Linear | Scaling
    in_z: Linear | Scaling
    selection: AbstractSelection
    out_proj: Linear | Scaling
    gate_norm: RMSNormalisation | None = None
    without: frozenset[str] = eqx.field(static=True, default=frozenset())
    reordering: AbstractReordering | None = None

    def __check_init__(self):
        unknown = self.without - set(OPTIONAL_PARTS)
        if unknown:
            raise ValueError(f"parts that can be left out are {', '.join(OPTIONAL_PARTS)}, found {sorted(unknown)}")

    def __call__(self, u: Float[Array, "L d"]) -> Float[Array, "L d"]:
        return self.stages(u).out

    def stages(self, u: Float[Array, "L d"]) -> Stages:
        signal, gate = self.in_x(u), self.in_z(u)
        found = self.selection(u, signal, "conv" not in self.without, self.reordering)
        skipped = found.scan if "skip" in self.without else found.scan + self.selection.D_skip * found.x
        if self.reordering is not None and found.order is not None:
            if self.reordering.mode == "restored":
                skipped = matmul(found.order.T, skipped)
            elif self.reordering.mode == "x_and_gate":
                gate = matmul(found.order, gate)
        gated = skipped if "gate" in self.without else skipped * jax.nn.silu(gate)
        normed = gated if self.gate_norm is None else self.gate_norm(gated)
        return Stages(u, signal, gate, *found[:5], skipped, gated, self.out_proj(normed), found.order)

    def hidden_attention(self, stages: Stages, index: int) -> Float[Array, "L L"]:
        """The dense P with scan = P x in one channel (Mamba-1) or head (Mamba-2)."""
        found = Scanned(stages.x, stages.B, stages.C, stages.delta, stages.scan)
        return self.selection.hidden_attention(found, index)

    def flipped(self) -> "Mixer":
        """(S_C, D, W_out) -> (-S_C, -D, -W_out), which leaves the mixer's function as it is (theory section 8).

        Raises `HypothesisError` for Mamba-2, where no weights flip the scan, and without a W_out to flip with it.
        """
        if not isinstance(self.out_proj, Linear):
            raise HypothesisError(
                "expected an output projection to flip with the scan, found none: the sign of M is no convention here"
            )
        selection = self.selection.flipped()
        selection = eqx.tree_at(lambda one: one.D_skip, selection, -selection.D_skip)
        return eqx.tree_at(lambda one: (one.selection, one.out_proj.weight), self, (selection, -self.out_proj.weight))


def _normed(norm: RMSNormalisation | None, rows: Float[Array, "L N"]) -> Float[Array, "L N"]:
    return rows if norm is None else norm(rows)
