"""What a theorem predicts of one system: a scenario, and a growth law for each token.

Nothing under `theorems` imports the dynamics or the solver, nor they it: prediction and simulation
meet only in the verdict, or the check would be circular. Theory is given weights and initial tokens;
the one thing it may be told from a simulation is which token blows up first (`l*`, section 3.4).

Symbols as in theory section 3: mu_n, a_n (N,), s, b; delta_0 = softplus(b).
"""

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._errors import HypothesisError, LayerShapeError
from .._layer import S6Layer
from .._outcomes import Scenario

FloatArray = NDArray[np.float64]

#: BibTeX of the paper whose claims are checked.
PAPER = r"""@inproceedings{vo2025demystifying,
  title={Demystifying the Token Dynamics of Deep Selective State Space Models},
  author={Vo, Thieu and Pham, Duy-Tung and Tong, Xin T. and Nguyen, Tan Minh},
  booktitle={International Conference on Learning Representations},
  year={2025},
  note={arXiv:2410.03292}
}"""


@dataclass(frozen=True)
class ScalarSystem:
    """A one-dimensional S6 layer with its initial tokens: all that section 3 speaks about."""

    mu: FloatArray
    a: FloatArray
    s: float
    b: float
    x0: FloatArray

    def __post_init__(self):
        if np.any(self.a < 0):
            raise HypothesisError(
                f"expected decay rates a >= 0, found {self.a.min():g}; a = exp(A_log) is positive in every checkpoint"
            )

    @classmethod
    def of(cls, layer: S6Layer, x0: FloatArray) -> "ScalarSystem":
        """What section 3 needs of a layer with D = 1 and tokens of shape (L,) or (L, 1)."""
        if layer.channels != 1:
            raise LayerShapeError(
                f"{layer.name}: expected one channel, found D = {layer.channels}; section 3 is about D = 1"
            )
        if x0.ndim == 2 and x0.shape[1] == 1:
            x0 = x0[:, 0]
        mu = layer.gain * layer.S_C[0, :, 0] * layer.S_B[0, :, 0]
        rates = np.broadcast_to(layer.a[0, 0], mu.shape)
        return cls(mu, rates, float(layer.S_Delta()[0, 0]), float(layer.dt_bias[0, 0]), x0)

    @property
    def mu_bar(self) -> float:
        """The sum of mu_n, exactly rounded: its sign decides the first token's fate."""
        return math.fsum(self.mu.tolist())

    @property
    def delta_0(self) -> float:
        """softplus(b), the step size of a token at zero."""
        return float(np.logaddexp(0.0, self.b))

    @property
    def active(self) -> NDArray[np.bool_]:
        """Tokens that are not zero (a zero token stays zero)."""
        return self.x0 != 0

    @property
    def drive(self) -> FloatArray:
        """sign(s x_l0): +1 where a token's growth enlarges its own step size."""
        return np.sign(self.s) * np.sign(self.x0)

    @property
    def one_signed(self) -> bool:
        """Whether all non-zero mu_n have one sign, so that every rate r_l has it (always so for N = 1)."""
        return bool(np.all(self.mu >= 0) or np.all(self.mu <= 0))


class LawName(enum.StrEnum):
    """The kinds of growth a token can show; see `GrowthLaw`."""

    ZERO = "zero"
    CONSTANT = "constant"
    POWER_OF_TIME = "power_of_t"
    LOGARITHM_OF_TIME = "logarithm_of_t"
    BOUNDED = "bounded_at_blow_up"
    POWER_OF_REMAINING_TIME = "power_of_remaining_time"
    ITERATED_LOGARITHM = "iterated_logarithm"
    FOLLOWS = "follows"


@dataclass(frozen=True)
class GrowthLaw:
    """One token's asymptotic law, as a slope that can be measured.

    name                       exponent is the limit of              constant is the limit of
    power_of_t                 d ln|x| / d ln t                      2 |mu| delta_0 t x^2 (kappa)
    logarithm_of_t             d ln|s x| / d ln(ln t + 3 ln ln t)    |s x| / ln t
    power_of_remaining_time    d ln|x| / d ln(T* - t)                (T* - t) / its law, see `theorems.fast_divergence`
    iterated_logarithm         d F(|x|) / d ln|x_partner|            none
    follows                    d F(|x|) / d ln|x_partner|            none
    bounded_at_blow_up         d ln|x| / d ln(T* - t), namely 0      none
    constant, zero             none                                  x_0

    F is `theorems.fast_divergence.slow_variable`: for `follows` it tends to ln|x|, a constant ratio.

    `partner` is the 0-based index of the token whose law this one follows.
    """

    name: LawName
    exponent: float | None = None
    constant: float | None = None
    partner: int | None = None


@dataclass(frozen=True)
class Prediction:
    """What theory says of a system: a scenario, why, and where the statement comes from."""

    scenario: Scenario
    why: str
    source: str
