"""`self_check`: does this installation compute what is known in closed form? A few seconds, from the file to the ODE.

With a constant step size delta = softplus(0) = ln 2 one token of one channel obeys dx/dt = mu delta x^3, so

    x(t) = x0 / sqrt(1 - 2 mu delta x0^2 t),    T* = 1 / (2 mu delta x0^2) for mu > 0.

Where the step size follows the token, T* is an integral that ball arithmetic encloses (`own_blow_up_time`): there the
simulation meets a proof. The other checks are identities of small matrices, and the bundled file.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ._layer import S6Layer
from ._linalg import spectrum_of_M
from .certificates import own_blow_up_time, symmetric_signs
from .checkpoints import open_checkpoint
from .sample import sample_path

if TYPE_CHECKING:
    from ._trajectory import TokenTrajectory

#: Numbers that are computed directly: a few roundings.
ROUNDING = 1e-13
#: Numbers at the end of an integration: some hundred steps, each to 1e-12.
INTEGRATION = 1e-9

LN2 = math.log(2.0)
#: ln(1 + t) at t = 1e200, where the decaying token is looked at.
LATE = 200 * math.log(10.0)
#: M = [[1, 2], [-2, 1]]: eigenvalues 1 + 2i and 1 - 2i, sym(M) the identity.
TURN = np.array([[1.0, 2.0], [-2.0, 1.0]])


@dataclass(frozen=True)
class SelfCheck:
    """A number that is known, to a relative `tolerance`; `problem` says why it was not found."""

    name: str
    formula: str
    tolerance: float
    expected: float | None = None
    found: float | None = None
    problem: str | None = None

    @property
    def error(self) -> float | None:
        """The relative error, None where there is no number."""
        if self.found is None or self.expected is None:
            return None
        return abs(self.found - self.expected) / abs(self.expected)

    @property
    def ok(self) -> bool:
        return self.error is not None and self.error <= self.tolerance


def self_check() -> Iterator[SelfCheck]:
    """Every check in turn; one that raises is a check that fails, whatever it raises."""
    for name, (formula, tolerance, compute) in CHECKS.items():
        try:
            expected, found = (float(one) for one in compute())
        except Exception as error:  # a broken installation may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            yield SelfCheck(name, formula, tolerance, problem=reason)
        else:
            yield SelfCheck(name, formula, tolerance, expected, found)


def _sample() -> tuple[float, float]:
    checkpoint = open_checkpoint(sample_path())
    return 4, sum(checkpoint.layer(index).channels == 192 for index in range(len(checkpoint)))


def _eigenvalues() -> tuple[float, float]:
    return 2.0, np.abs(spectrum_of_M(TURN, np.eye(2)).eigenvalues.imag).max()


def _certified_signs() -> tuple[float, float]:
    found = symmetric_signs(TURN, np.eye(2))
    return 2, math.nan if found is None else found.positive


def _proved_blow_up() -> tuple[float, float]:
    found = own_blow_up_time(1.0, 0.0, 0.0, 1.0)
    return 0.5 / LN2, math.nan if found is None else float(found)


def _hidden_attention() -> tuple[float, float]:
    import jax
    import jax.numpy as jnp

    from .dynamics import token_dynamics

    with jax.enable_x64(True):
        P = token_dynamics(S6Layer.scalar(mu=1.0, S_Delta=0.0, a=1.0)).hidden_attention(jnp.array([3.0, 5.0]))
        return 7.5 * LN2, float(P[1, 0])


def _decay() -> tuple[float, float]:
    found = _run(mu=-1.0, S_Delta=0.0, log_until=LATE).log_abs[-1, 0]
    return -0.5 * math.log1p(2 * LN2 * math.expm1(LATE)), found


def _blow_up() -> tuple[float, float]:
    return 0.5 / LN2, _time(_run(mu=1.0, S_Delta=0.0))


def _blow_up_with_open_step() -> tuple[float, float]:
    proved = own_blow_up_time(1.0, 1.0, 0.0, 1.0)
    return math.nan if proved is None else float(proved), _time(_run(mu=1.0, S_Delta=1.0))


def _run(mu: float, S_Delta: float, log_until: float | None = None) -> "TokenTrajectory":
    from ._solve import solve
    from .dynamics import token_dynamics

    return solve(token_dynamics(S6Layer.scalar(mu=mu, S_Delta=S_Delta, a=1.0)), [1.0], log_until=log_until)


def _time(run: "TokenTrajectory") -> float:
    return math.nan if run.blow_up is None else run.blow_up.time


#: name -> (what is known, tolerance, what computes the number that is known and the one that is found)
CHECKS: dict[str, tuple[str, float, Callable[[], tuple[float, float]]]] = {
    "sample": ("the bundled model has 4 layers of 192 channels", 0.0, _sample),
    "eigenvalues": ("those of [[1, 2], [-2, 1]] are 1 ± 2i", ROUNDING, _eigenvalues),
    "certified signs": ("its symmetric part has 2 positive ones", 0.0, _certified_signs),
    "proved blow-up": ("T* = 1 / (2 ln 2), by ball arithmetic", ROUNDING, _proved_blow_up),
    "hidden attention": ("P_21 = 3 · 5 · ln 2 · e^(-ln 2)", ROUNDING, _hidden_attention),
    "decay": ("ln x = -ln(1 + 2 ln 2 t) / 2 at t = 1e200", INTEGRATION, _decay),
    "blow-up": ("T* = 1 / (2 ln 2), by integration", INTEGRATION, _blow_up),
    "blow-up, open step": (
        "T* = ∫ du / (u³ softplus u), enclosed by ball arithmetic",
        INTEGRATION,
        _blow_up_with_open_step,
    ),
}
