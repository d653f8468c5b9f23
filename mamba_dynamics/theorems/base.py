"""What a theorem predicts of one system: a scenario, and a growth law for each token.

Nothing under `theorems` imports the dynamics or the solver, nor they it: prediction and simulation
meet only in the verdict, or the check would be circular. Theory is given weights and initial tokens;
the one thing it may be told from a simulation is which token blows up first (`l*`, section 3.4).

Symbols as in theory section 3: mu_n, a_n (N,), s, b; delta_0 = softplus(b).
"""

import enum
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .._errors import HypothesisError, LayerShapeError
from .._layer import S6Layer, joined_states, nearest_float
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
    """A one-dimensional S6 layer with its initial tokens: all that section 3 speaks about.

    States of equal decay rate are one state, and joined. `products` and `exact_s` are mu_n and s exactly: as products
    of stored weights they need not be floats, and every sign is taken of them. They follow from mu and s if not given.
    """

    mu: FloatArray
    a: FloatArray
    s: float
    b: float
    x0: FloatArray
    products: tuple[Fraction, ...] = field(default=(), repr=False)
    exact_s: Fraction | None = field(default=None, repr=False)

    def __post_init__(self):
        if np.any(self.a < 0):
            raise HypothesisError(
                f"expected decay rates a >= 0, found {self.a.min():g}; a = exp(A_log) is positive in every checkpoint"
            )
        exact = self.products or [Fraction(one) for one in self.mu.tolist()]
        products, rates = joined_states(exact, self.a)
        object.__setattr__(self, "products", products)
        object.__setattr__(self, "mu", np.array([nearest_float(one) for one in products]))
        object.__setattr__(self, "a", rates)

    @classmethod
    def of(cls, layer: S6Layer, x0: FloatArray) -> "ScalarSystem":
        """What section 3 needs of a layer with D = 1 and tokens of shape (L,) or (L, 1)."""
        if layer.channels != 1:
            raise LayerShapeError(
                f"{layer.name}: expected one channel, found D = {layer.channels}; section 3 is about D = 1"
            )
        if layer.norms.any:
            raise HypothesisError(
                f"{layer.name}: section 3 is about layers without norms on B, C and Delta, found some"
            )
        if x0.ndim == 2 and x0.shape[1] == 1:
            x0 = x0[:, 0]
        products, rates, slope = layer.scalar_weights()
        mu = np.array([nearest_float(one) for one in products])
        return cls(mu, rates, nearest_float(slope), float(layer.dt_bias[0, 0]), x0, products, slope)

    @property
    def slope(self) -> Fraction:
        """s exactly."""
        return Fraction(self.s) if self.exact_s is None else self.exact_s

    @property
    def mu_bar(self) -> float:
        """The sum of mu_n, exactly rounded."""
        return nearest_float(sum(self.products, Fraction(0)))

    @property
    def sign_of_mu(self) -> int:
        """The exact sign of the sum of mu_n: it decides the first token's fate."""
        return _sign(sum(self.products, Fraction(0)))

    @property
    def cancels(self) -> bool:
        """Whether floats cannot follow this system: its mu_n all but cancel, or a product of weights underflows."""
        largest = nearest_float(max(abs(one) for one in self.products))
        lost = any(one != 0 and abs(nearest_float(one)) < np.finfo(float).tiny for one in (*self.products, self.slope))
        return lost or (self.sign_of_mu != 0 and abs(self.mu_bar) <= _CANCELS * largest)

    @property
    def exact_numbers(self) -> tuple[list[Fraction], Fraction, list[float], float, list[float]]:
        """(mu_n, s, a_n, b, x_l0), the numbers a certificate is about: mu_n and s as exact products."""
        return list(self.products), self.slope, self.a.tolist(), self.b, self.x0.tolist()

    @property
    def delta_0(self) -> float:
        """softplus(b), the step size of a token at zero."""
        return float(np.logaddexp(0.0, self.b))

    @property
    def log_delta_0(self) -> float:
        """ln softplus(b), also where softplus(b) underflows."""
        return float(log_step_size(self.b))

    @property
    def active(self) -> NDArray[np.bool_]:
        """Tokens that are not zero (a zero token stays zero)."""
        return self.x0 != 0

    @property
    def drive(self) -> FloatArray:
        """sign(s x_l0): +1 where a token's growth enlarges its own step size."""
        return _sign(self.slope) * np.sign(self.x0)

    @property
    def one_signed(self) -> bool:
        """Whether all non-zero mu_n have one sign, so that every rate r_l has it (always so for N = 1)."""
        return all(one >= 0 for one in self.products) or all(one <= 0 for one in self.products)


#: A sum of mu_n this small beside them is rounding error of a float64 simulation.
_CANCELS = 2.0**-48


def _sign(value: Fraction) -> int:
    return (value > 0) - (value < 0)


def log_step_size(z: FloatArray | float) -> FloatArray:
    """ln softplus(z), also where softplus(z) ~ e^z underflows."""
    z = np.asarray(z, float)
    return np.where(z < -40.0, z, np.log(np.logaddexp(0.0, np.maximum(z, -40.0))))


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
