"""`S6Layer`: the one normal form in which every architecture's S6 weights reach the theory.

Symbols (the paper's on the left, axis names in capitals):

    S_B, S_C   (GROUPS, STATES, CHANNELS)   B_l = S_B x_l,  C_l = S_C x_l
    dt_down    (GROUPS, RANK, CHANNELS)     low-rank factor of S_Delta that reads the token
    dt_up      (GROUPS, STEPS, RANK)        the other factor, S_Delta = dt_up @ dt_down
    dt_bias    (GROUPS, STEPS)              b:  Delta = softplus(S_Delta x + b)
    a          (GROUPS, STEPS, STATES)      decay rates, A = -a = -exp(A_log)
    D_skip     (GROUPS, STEPS)              the skip term D (dropped by the limit, kept for reports)

One *group* is one pair (S_B, S_C), so one input-output matrix M = S_C^T S_B. Mamba-1 has one
group; Mamba-2 has `n_groups`, shared by its heads; Zamba has one per head; bidirectional and
cross-scan vision models have one per scan direction. `STEPS` counts the step sizes of a group:
one per channel in Mamba-1 (STEPS = CHANNELS), one per head in Mamba-2.

The record holds numpy arrays only, so weights can be judged without JAX; the differentiable
object is the dynamics made from it (`token_dynamics`).
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._errors import HypothesisError, LayerShapeError

FloatArray = NDArray[np.float64]

#: What the infinite-depth limit of a bare S6 layer leaves out of every block.
DROPPED_BY_THE_LIMIT = (
    "layer normalisation",
    "input and output projections",
    "causal convolution and SiLU",
    "output gate",
    "D skip",
    "different weights per layer",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class RMSNorm:
    """Root-mean-square normalisation v -> weight * v / sqrt(mean(v^2) + eps).

    `weight` has the shape of the normalised axis, or is None for a norm without weights.
    """

    eps: float
    weight: FloatArray | None = None


@dataclass(frozen=True, kw_only=True)
class Norms:
    """Norms between the projections and the scan; None where the architecture has none.

    `known` is False where the file alone cannot tell (`falcon_mamba` without its config).
    """

    B: RMSNorm | None = None
    C: RMSNorm | None = None
    dt: RMSNorm | None = None
    known: bool = True

    @property
    def any(self) -> bool:
        return any(norm is not None for norm in (self.B, self.C, self.dt))


@dataclass(frozen=True, kw_only=True)
class Multipliers:
    """Constant factors a config puts on x, B, C and the raw step size (Falcon-H1); 1 elsewhere."""

    x: float = 1.0
    B: float = 1.0
    C: float = 1.0
    dt: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class S6Layer:
    """The weights of one S6 layer, in the normal form described in this module's docstring.

    `d_inner` is the layer's whole inner width (all heads together). `acts_on` names the vector
    the projections read: "x", the scan's own input (Mamba-1, where M acts on tokens as in the
    paper), or "u", the normed residual stream (Mamba-2). `heads_per_group` is 1 for Mamba-1.
    Arrays are stored as read-only float64, which holds BF16, F16 and F32 weights exactly; those that are already so are
    shared.

    Raises `LayerShapeError` when the shapes do not fit together or a weight is not finite.
    """

    S_B: FloatArray
    S_C: FloatArray
    dt_down: FloatArray
    dt_up: FloatArray | None
    dt_bias: FloatArray
    a: FloatArray
    D_skip: FloatArray | None = None
    name: str = "layer"
    index: int = 0
    kind: str = "mamba1"
    group_axis: str = "group"
    acts_on: str = "x"
    d_inner: int | None = None
    heads: int = 1
    norms: Norms = field(default_factory=Norms)
    multipliers: Multipliers = field(default_factory=Multipliers)
    dt_limit: tuple[float, float] = (0.0, float("inf"))
    dropped: tuple[str, ...] = DROPPED_BY_THE_LIMIT
    warnings: tuple[str, ...] = ()

    def __post_init__(self):
        for key in ("S_B", "S_C", "dt_down", "dt_up", "dt_bias", "a", "D_skip"):
            value = getattr(self, key)
            if value is not None:
                array = value if _is_frozen(value) else np.array(value, dtype=np.float64)
                if not np.all(np.isfinite(array)):
                    bad = int(np.sum(~np.isfinite(array)))
                    raise LayerShapeError(
                        f"{self.name}: {key} should be finite, found {bad} NaN or infinite of {array.size} values; "
                        "check where the weights come from"
                    )
                array.flags.writeable = False
                object.__setattr__(self, key, array)
        self._check_shapes()
        if self.d_inner is None:
            object.__setattr__(self, "d_inner", self.channels)

    def _check_shapes(self):
        if self.S_B.ndim != 3:
            raise LayerShapeError(
                f"{self.name}: S_B should have axes (groups, states, channels), found shape "
                f"{self.S_B.shape}; build a layer from plain matrices with S6Layer.from_matrices"
            )
        G, N, D = self.S_B.shape
        K = self.dt_bias.shape[-1]
        R = self.dt_down.shape[1] if self.dt_down.ndim == 3 else -1
        expected = {
            "S_C": [(G, N, D)],
            "dt_down": [(G, R, D)],
            "dt_up": [(G, K, R)],
            "dt_bias": [(G, K)],
            "a": [(G, K, N), (G, K, 1)],
            "D_skip": [(G, K)],
        }
        for key, shapes in expected.items():
            value = getattr(self, key)
            if value is not None and value.shape not in shapes:
                wanted = " or ".join(map(str, shapes))
                raise LayerShapeError(
                    f"{self.name}: {key} should have shape {wanted} to fit S_B {self.S_B.shape} "
                    f"and dt_bias {self.dt_bias.shape}, found {value.shape}; check which tensor it was read from"
                )
        if self.dt_up is None and R != K:
            raise LayerShapeError(
                f"{self.name}: without dt_up, dt_down should have {K} rows (one per step size), found {R}; "
                "pass both factors of S_Delta"
            )

    @property
    def groups(self) -> int:
        return self.S_B.shape[0]

    @property
    def d_state(self) -> int:
        return self.S_B.shape[1]

    @property
    def channels(self) -> int:
        """D: the dimension of the vector the projections act on."""
        return self.S_B.shape[2]

    @property
    def steps(self) -> int:
        """How many step sizes a group has: D in Mamba-1, heads per group in Mamba-2."""
        return self.dt_bias.shape[1]

    @property
    def closed(self) -> bool:
        """Whether the S6-only ODE is closed: projections read the scan's own input."""
        return self.acts_on == "x"

    @property
    def gain(self) -> float:
        """The constant factor of M that the multipliers contribute."""
        return self.multipliers.B * self.multipliers.C

    def B_map(self, group: int = 0) -> FloatArray:
        """S_B of a group, (N, D), with the weights of a norm on B folded in (exact up to float32 weights).

        A norm also divides by a positive number that depends on the token; signs are not affected.
        """
        return _fold(self.norms.B, self.S_B[group])

    def C_map(self, group: int = 0) -> FloatArray:
        """S_C of a group, (N, D), folded as in `B_map`."""
        return _fold(self.norms.C, self.S_C[group])

    def S_Delta_diagonal(self, group: int = 0) -> FloatArray:
        """(S_Delta)_dd for every channel, shape (D,), in O(R D); needs STEPS = CHANNELS."""
        if self.steps != self.channels:
            raise LayerShapeError(
                f"{self.name}: S_Delta has {self.steps} rows for {self.channels} channels (one step size per head), "
                "so it has no diagonal; use dt_down"
            )
        if self.dt_up is None:
            return np.diagonal(self.dt_down[group]).copy()
        return np.einsum("dr,rd->d", self.dt_up[group], self.dt_down[group])

    def S_Delta(self, group: int = 0) -> FloatArray:
        """The dense product dt_up @ dt_down, (STEPS, D): for small layers and inspection only."""
        return self.dt_down[group] if self.dt_up is None else self.dt_up[group] @ self.dt_down[group]

    def input_output_matrix(self, group: int = 0) -> FloatArray:
        """The dense M = S_C^T S_B, (D, D), norm weights and multipliers included: for small layers only."""
        return self.gain * self.C_map(group).T @ self.B_map(group)

    def step_size_at_zero(self) -> FloatArray:
        """Delta(0) = softplus(b), clipped to `dt_limit`, shape (GROUPS, STEPS)."""
        return np.clip(np.logaddexp(0.0, self.dt_bias), *self.dt_limit)

    def raw_step_sizes(self, tokens: ArrayLike, group: int = 0) -> FloatArray:
        """S_Delta x + b of tokens (L, D) in a group, before softplus, (L, STEPS); a norm on it included."""
        low = np.asarray(tokens, float) @ self.dt_down[group].T
        norm = self.norms.dt
        if norm is not None:
            # Powers of two change no digit, and keep squares of large numbers finite.
            exponents = np.maximum(np.frexp(np.abs(low).max(axis=1, keepdims=True, initial=0.0))[1], 0)
            low = np.ldexp(low, -exponents)
            low = low / np.sqrt(np.mean(low**2, axis=1, keepdims=True) + np.ldexp(norm.eps, -2 * exponents))
            low = low if norm.weight is None else low * norm.weight
        raw = low if self.dt_up is None else low @ self.dt_up[group].T
        return self.multipliers.dt * raw + self.dt_bias[group]

    def step_sizes_bounded_below(self, group: int = 0) -> bool:
        """Whether Delta has a positive lower bound over all tokens: S_Delta = 0, a norm on it, or a lower limit."""
        constant = not self.dt_down[group].any() or (self.dt_up is not None and not self.dt_up[group].any())
        return constant or self.norms.dt is not None or self.dt_limit[0] > 0

    def scalar_weights(self, group: int = 0) -> tuple[tuple[Fraction, ...], FloatArray, Fraction]:
        """(mu_n, a_n, s) of a layer with D = 1: exact products of the stored numbers, states of equal rate joined."""
        B, C = self.B_map(group)[:, 0].tolist(), self.C_map(group)[:, 0].tolist()
        products = [Fraction(self.gain) * Fraction(c) * Fraction(b) for b, c in zip(B, C, strict=True)]
        rates = np.broadcast_to(self.a[group, 0], len(products))
        down = [Fraction(one) for one in self.dt_down[group][:, 0].tolist()]
        up = [Fraction(1)] if self.dt_up is None else [Fraction(one) for one in self.dt_up[group][0].tolist()]
        slope = sum((u * d for u, d in zip(up, down, strict=True)), Fraction(0)) * Fraction(self.multipliers.dt)
        return *joined_states(products, rates), slope

    def group(self, index: int) -> "S6Layer":
        """The layer with one of its groups only."""
        pick = {
            key: None if getattr(self, key) is None else getattr(self, key)[index : index + 1]
            for key in ("S_B", "S_C", "dt_down", "dt_up", "dt_bias", "a", "D_skip")
        }
        name = self.name if self.groups == 1 else f"{self.name}[{self.group_axis} {index}]"
        return replace(self, name=name, **pick)

    def described(self, **facts: Any) -> "S6Layer":
        """The layer with another name, index, kind or list of what was dropped; arrays are shared."""
        layer = copy(self)
        for key, value in facts.items():
            object.__setattr__(layer, key, value)
        return layer

    @classmethod
    def from_matrices(
        cls,
        *,
        S_B: ArrayLike,
        S_C: ArrayLike,
        S_Delta: ArrayLike | Sequence[ArrayLike],
        a: ArrayLike | None = None,
        A_log: ArrayLike | None = None,
        dt_bias: ArrayLike = 0.0,
        **fields,
    ) -> "S6Layer":
        """A one-group Mamba-1 layer from plain matrices.

        Args:
            S_B, S_C: shape (N, D).
            S_Delta: shape (D, D), or its factors (dt_up (D, R), dt_down (R, D)) as a tuple.
            a: decay rates, shape (D, N), (D, 1) or a scalar; or give `A_log` (a = exp(A_log)).
            dt_bias: b, shape (D,) or a scalar.
        """
        if (a is None) == (A_log is None):
            raise LayerShapeError("from_matrices: give exactly one of a and A_log (a = exp(A_log))")
        S_B, S_C = np.atleast_2d(np.asarray(S_B, float)), np.atleast_2d(np.asarray(S_C, float))
        D = S_B.shape[1]
        dt_up, dt_down = S_Delta if isinstance(S_Delta, tuple) else (None, S_Delta)
        with np.errstate(over="ignore"):  # what overflows is refused below
            rates = np.asarray(a, float) if A_log is None else np.exp(np.asarray(A_log, float))
        if rates.ndim < 2:
            rates = np.broadcast_to(rates.reshape(-1, 1) if rates.ndim else rates, (D, 1))
        return cls(
            S_B=S_B[None],
            S_C=S_C[None],
            dt_down=np.atleast_2d(np.asarray(dt_down, float))[None],
            dt_up=None if dt_up is None else np.atleast_2d(np.asarray(dt_up, float))[None],
            dt_bias=np.broadcast_to(np.asarray(dt_bias, float), (D,))[None],
            a=rates[None],
            **fields,
        )

    @classmethod
    def scalar(cls, *, mu: ArrayLike, S_Delta: float, a: ArrayLike, dt_bias: float = 0.0, **fields) -> "S6Layer":
        """A one-dimensional layer (D = 1), theory section 3.

        Args:
            mu: mu_n = S_C[n] S_B[n]; a number, or a sequence of N of them (general A, section 3.6).
            S_Delta: s, the slope of the step size.
            a: decay rates a_n, as many as `mu`.
            dt_bias: b.
        """
        mu, rates = np.atleast_1d(np.asarray(mu, float)), np.atleast_1d(np.asarray(a, float))
        if mu.ndim != 1 or mu.shape != rates.shape:
            raise LayerShapeError(f"scalar: mu and a should have equal lengths, found {mu.shape} and {rates.shape}")
        return cls.from_matrices(
            S_B=np.ones((mu.size, 1)), S_C=mu[:, None], S_Delta=[[S_Delta]], a=rates[None], dt_bias=dt_bias, **fields
        )


def _is_frozen(value: Any) -> bool:
    """Whether an array is float64 and nobody can write to its memory."""
    if not isinstance(value, np.ndarray) or value.dtype != np.float64:
        return False
    while isinstance(value, np.ndarray):
        if value.flags.writeable:
            return False
        value = value.base
    return value is None


def _fold(norm: RMSNorm | None, projection: FloatArray) -> FloatArray:
    return projection if norm is None or norm.weight is None else norm.weight[:, None] * projection


def joined_states(mu: Sequence[Fraction], a: FloatArray) -> tuple[tuple[Fraction, ...], FloatArray]:
    """(mu_n, a_n) with states of equal decay rate made one, in the order of their first: they are one state.

    Exactly, so that what cancels does cancel, and the signs are those of the system and not of its description.
    """
    sums: dict[float, Fraction] = {}
    for weight, rate in zip(mu, a.tolist(), strict=True):
        sums[rate] = sums.get(rate, Fraction(0)) + weight
    return tuple(sums.values()), np.array(list(sums))


def nearest_float(value: Fraction) -> float:
    """An exact number as a float: 0 where it underflows.

    Raises:
        HypothesisError: it overflows.
    """
    try:
        return float(value)
    except OverflowError:
        raise HypothesisError(
            "expected weights with products within float64's range, found one above 1.8e308; rescale the tokens "
            "(x, S_Delta, M)"
        ) from None
