"""`DefiniteProjection`: S_B and S_C for which M is symmetric, with signs of its eigenvalues chosen (theory section 7).

    raw       (N,)         lambda_n = sign_n (softplus(raw_n) + threshold)
    free      (F,)         the entries above the diagonal of U, row by row, F = N D - N (N + 1) / 2
    U         (N, D)       upper trapezoidal with ones on its diagonal, N <= D
    scale     g            1 in the paper

    S_C = g U,   S_B = g diag(lambda) U,   M = S_C^T S_B = g^2 U^T diag(lambda) U

U has full row rank, whatever its free entries, so by Sylvester's law of inertia M has as many positive and negative
eigenvalues as lambda has entries of that sign, and D - N zeros: it is semidefinite, not definite, unless N = D.
Parameters and matrices of this form are in bijection (for |lambda| > threshold).

    @inproceedings{vo2025demystifying,
      title={Demystifying the Token Dynamics of Deep Selective State Space Models},
      author={Vo, Thieu N and Pham, Duy-Tung and Tong, Xin T and Nguyen, Tan Minh},
      booktitle={International Conference on Learning Representations},
      year={2025}
    }
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike, NDArray

from .._errors import LayerShapeError
from ..certificates import SignCounts, eigenvalue_signs
from ..checkpoints.definite import THRESHOLD
from ..dynamics.base import AnyArray

Sign = Literal["positive", "negative", "mixed"]


def paper_threshold(sign: Sign) -> float:
    """The paper's least |lambda|: 0.7 for one sign; none for mixed, whose lambda may come as close to 0 as it likes."""
    _require_sign(sign)
    return 0.0 if sign == "mixed" else THRESHOLD


def sign_pattern(sign: Sign, d_state: int) -> tuple[int, ...]:
    """The signs of lambda: all +1, all -1, or (mixed) the first N // 2 of them +1 and the others -1."""
    _require_sign(sign)
    positive = {"positive": d_state, "negative": 0, "mixed": d_state // 2}[sign]
    return (1,) * positive + (-1,) * (d_state - positive)


@dataclass(frozen=True)
class DefiniteCertificate:
    """What is proved about one projection's numbers, as computed in floating point.

    `inertia` counts the eigenvalues of g^2 U^T diag(lambda) U by sign, exactly. `stored` counts those of S_C^T S_B,
    whose S_B holds rounded products, by the sign of their real parts; None if undecided. `symmetric` tells whether no
    product was rounded, so that both are the same matrix; if not, the symmetric part of the stored one has up to N
    further eigenvalues of the size of the rounding, of either sign.
    """

    inertia: SignCounts
    stored: SignCounts | None
    symmetric: bool


class DefiniteProjection(eqx.Module):
    """The parameters of a definite S_B, S_C as described in this module's docstring; `signs` are frozen."""

    raw: Float[AnyArray, " N"]
    free: Float[AnyArray, " F"]
    channels: int = eqx.field(static=True)
    signs: tuple[int, ...] = eqx.field(static=True)
    threshold: float = eqx.field(static=True)
    scale: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        states = len(self.signs)
        if not 1 <= states <= self.channels:
            raise LayerShapeError(f"expected 1 <= N <= D, found N = {states} states and D = {self.channels} channels")
        if not set(self.signs) <= {1, -1}:
            raise LayerShapeError(f"signs should be 1 or -1, found {self.signs}")
        if not (0 <= self.threshold < np.inf and 0 < self.scale < np.inf):
            raise LayerShapeError(
                f"expected threshold >= 0 and scale > 0, both finite, found {self.threshold:g} and {self.scale:g}"
            )

    @property
    def d_state(self) -> int:
        """N."""
        return len(self.signs)

    @property
    def lambdas(self) -> Float[Array, " N"]:
        """lambda: the signs of M's non-zero eigenvalues are theirs (the eigenvalues themselves are others)."""
        magnitude = jax.nn.softplus(jnp.asarray(self.raw)) + self.threshold
        return jnp.asarray(self.signs, magnitude.dtype) * magnitude

    @property
    def U(self) -> Float[Array, "N D"]:
        free = jnp.asarray(self.free)
        above = np.triu_indices(self.d_state, 1, self.channels)
        return jnp.eye(self.d_state, self.channels, dtype=free.dtype).at[above].set(free)

    @property
    def S_C(self) -> Float[Array, "N D"]:
        return self.scale * self.U

    @property
    def S_B(self) -> Float[Array, "N D"]:
        return self.lambdas[:, None] * self.S_C

    def x_proj(self, dt_down: Float[AnyArray, "R D"]) -> Float[Array, "ROWS D"]:
        """The weight of a Mamba-1 layer's x_proj, rows [dt; B; C], ROWS = R + 2 N, around its low-rank factor."""
        return jnp.concatenate([jnp.asarray(dt_down), self.S_B, self.S_C])

    def negated(self) -> "DefiniteProjection":
        """M -> -M by the same parameters with the opposite signs: positive becomes negative, and back."""
        opposite = tuple(-sign for sign in self.signs)
        return DefiniteProjection(self.raw, self.free, self.channels, opposite, self.threshold, self.scale)

    def certificate(self) -> DefiniteCertificate:
        """Prove the signs of M's eigenvalues; see `DefiniteCertificate`."""
        with jax.enable_x64(True):
            lambdas, B, C = (np.asarray(one, np.float64) for one in (self.lambdas, self.S_B, self.S_C))
        signs = np.sign(lambdas)
        # Ones on the diagonal of a trapezoidal U prove its rank N, and Sylvester's law gives the rest.
        positive, negative = int(np.sum(signs > 0)), int(np.sum(signs < 0))
        inertia = SignCounts(positive, negative, self.channels - positive - negative)
        return DefiniteCertificate(inertia, eigenvalue_signs(B, C), _proportional_rows(B, C))

    def exact_factors(self, dtype: Any = np.float32) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """(S_B, S_C) whose S_C^T S_B is exactly symmetric, with the signs of lambda, in the given precision.

        lambda (away from zero) and g U are rounded to half of the precision's digits, so that their products fit:
        relative to the parametrisation, entries of S_B and S_C move by 2^-12 and 2^-11 (float32).
        """
        bits = (np.finfo(np.dtype(dtype)).nmant + 1) // 2
        with jax.enable_x64(True):
            lambdas, C = (np.asarray(one, np.float64) for one in (self.lambdas, self.S_C))
        C = _round_to(C, bits, np.rint)
        lambdas = np.sign(lambdas) * _round_to(np.abs(lambdas), bits, np.ceil)
        return (lambdas[:, None] * C).astype(dtype), C.astype(dtype)

    @classmethod
    def initial(
        cls,
        sign: Sign,
        *,
        d_state: int,
        channels: int,
        key: Array,
        threshold: float | None = None,
        scale: float = 1.0,
        dtype: Any = np.float32,
    ) -> "DefiniteProjection":
        """Random parameters with entries of the size a standard layer starts with.

        A standard x_proj starts with uniform(-1, 1) / sqrt(D) in S_B and S_C. Here raw starts like that, and the free
        entries of g U like uniform(-1, 1) / sqrt(D |lambda_n|): then the standard deviations of the entries of S_B and
        of S_C, beside the diagonal, have the standard layer's product 1 / (3 D) in every state. With the paper's
        scale of 1 the diagonal is larger than all of this: for tokens with uncorrelated entries of one size, ones on
        the diagonal alone triple the mean square of C_n. `scale=channels**-0.5` takes that away.

        Args:
            sign: "positive", "negative" or "mixed". d_state: N. channels: D.
            key: a JAX random key.
            threshold: least |lambda|; default `paper_threshold(sign)`: 0.7, and for mixed none.
            scale: g; 1 in the paper.
            dtype: precision of the parameters.
        """
        threshold = paper_threshold(sign) if threshold is None else threshold
        of_raw, of_free = jax.random.split(key)
        size = channels**-0.5
        raw = size * jax.random.uniform(of_raw, (d_state,), dtype, -1, 1)
        rows = np.triu_indices(d_state, 1, channels)[0]
        per_state = size / (scale * jnp.sqrt(jax.nn.softplus(raw) + threshold))
        free = per_state[rows] * jax.random.uniform(of_free, rows.shape, dtype, -1, 1)
        return cls(raw, free, channels, sign_pattern(sign, d_state), threshold, scale)

    @classmethod
    def from_factors(
        cls, lambdas: ArrayLike, U: ArrayLike, *, threshold: float, scale: float = 1.0
    ) -> "DefiniteProjection":
        """The parameters of given lambda (N,) and U (N, D); of the latter only what lies above the diagonal is read.

        Raises:
            LayerShapeError: shapes do not fit, or some |lambda| is not above the threshold.
        """
        values, matrix = np.asarray(lambdas), np.asarray(U)
        if values.ndim != 1 or matrix.ndim != 2 or len(matrix) != len(values):
            raise LayerShapeError(f"expected lambda (N,) and U (N, D), found {values.shape} and {matrix.shape}")
        above = np.abs(values) - threshold
        if not np.all(above > 0):
            raise LayerShapeError(
                f"expected every |lambda| above the threshold {threshold:g}, found {np.abs(values).min():g}; softplus "
                "never reaches 0, so lower the threshold or move lambda away from it"
            )
        raw = above + np.log(-np.expm1(-above))
        free = matrix[np.triu_indices(len(matrix), 1, matrix.shape[1])]
        signs = tuple(np.sign(values).astype(int).tolist())
        return cls(raw, free, matrix.shape[1], signs, threshold, scale)


def _require_sign(sign: str) -> None:
    if sign not in get_args(Sign):
        raise LayerShapeError(f"sign should be one of {', '.join(get_args(Sign))}, found {sign!r}")


def _proportional_rows(B: NDArray[np.float64], C: NDArray[np.float64]) -> bool:
    """Whether B[n] is exactly a multiple of C[n] for every n, which makes C^T B exactly symmetric."""
    for n, (row_B, row_C) in enumerate(zip(B.tolist(), C.tolist(), strict=True)):
        ratio = Fraction(row_B[n]) / Fraction(row_C[n])
        if any(Fraction(b) != ratio * Fraction(c) for b, c in zip(row_B, row_C, strict=True)):
            return False
    return True


def _round_to(values: NDArray[np.float64], bits: int, how) -> NDArray[np.float64]:
    """Values with that many significant binary digits."""
    mantissas, exponents = np.frexp(values)
    return np.ldexp(how(np.ldexp(mantissas, bits)), exponents - bits)
