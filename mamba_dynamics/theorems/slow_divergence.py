"""Slow divergence, mu > 0 and s x_l0 < 0 for every token (theory 3.3).

The paper bounds x_l by O((ln t)^l). Sharp: every token is Theta(ln t). With z = |s x_1|,

    z = ln t + 3 ln ln t + ln(mu e^b / s^2) + o(1),

and the ratios x_l / x_1 freeze at constants >= 1 that depend on the initial data (theory gives no
formula for them, so no constant is predicted for l >= 2).
"""

import numpy as np

from .base import FloatArray, GrowthLaw, LawName, ScalarSystem


def laws(system: ScalarSystem) -> list[GrowthLaw]:
    """The law of every token of a slowly diverging system; the first active token's constant is 1."""
    first = int(np.flatnonzero(system.active)[0])
    claim = [
        GrowthLaw(LawName.LOGARITHM_OF_TIME, exponent=1.0, constant=1.0 if token == first else None)
        for token in range(len(system.x0))
    ]
    return [
        law if active else GrowthLaw(LawName.ZERO, constant=0.0)
        for law, active in zip(claim, system.active, strict=True)
    ]


def expansion(system: ScalarSystem, log_t: FloatArray) -> FloatArray:
    """ln t + 3 ln ln t + ln(mu e^b / s^2), which |s x_1| follows up to o(1); ln t > 0."""
    log_t = np.asarray(log_t, float)
    return log_t + 3 * np.log(log_t) + np.log(system.mu_bar) + system.b - 2 * np.log(abs(system.s))
