"""Slow divergence, mu > 0 and s x_l0 < 0 for every token (theory 3.3).

The paper bounds x_l by O((ln t)^l). Sharp: every token is Theta(ln t). With z = |s x_1|,

    z = ln t + 3 ln ln t + ln(mu e^b / s^2) + o(1),

and the ratios x_l / x_1 freeze at constants >= 1 that depend on the initial data (theory gives no
formula for them). A token right after a zero token is the exception: the zero token weakens the drive
that it receives by phi(delta_0), phi(tau) = sum_n mu_n e^{-a_n tau} / mu (e^{-a Delta(0)} for N = 1). Where that is
below 1 (not so for a = 0), only its own term can keep it growing with the rest, and its ratio to x_1 tends to 1
whatever the initial data: it comes down like x_1^(phi(delta_0) - 1), and stays where x_l^2 Delta(x_l) makes up for
what is missing.
For mu_n of one sign.
"""

import numpy as np

from .base import FloatArray, GrowthLaw, LawName, ScalarSystem
from .convergent import decay_kernel


def laws(system: ScalarSystem) -> list[GrowthLaw]:
    """The law of every token of a slowly diverging system, with its constant |s x_l| / ln t where theory has one."""
    return [_law(system, token) for token in range(len(system.x0))]


def _law(system: ScalarSystem, token: int) -> GrowthLaw:
    if not system.active[token]:
        return GrowthLaw(LawName.ZERO, constant=0.0)
    is_first = not system.active[:token].any()
    known = is_first or comes_down_to_first(system, token)
    return GrowthLaw(LawName.LOGARITHM_OF_TIME, exponent=1.0, constant=1.0 if known else None)


def comes_down_to_first(system: ScalarSystem, token: int) -> bool:
    """Whether an active token lies behind a zero token that weakens what it receives, so that x_l / x_1 tends to 1."""
    behind_zero = token > 0 and not system.active[token - 1]
    return behind_zero and bool(decay_kernel(system, np.array(system.delta_0)) < 1)


def expansion(system: ScalarSystem, log_t: FloatArray) -> FloatArray:
    """ln t + 3 ln ln t + ln(mu e^b / s^2), which |s x_1| follows up to o(1); ln t > 0."""
    log_t = np.asarray(log_t, float)
    return log_t + 3 * np.log(log_t) + np.log(system.mu_bar) + system.b - 2 * np.log(abs(system.s))
