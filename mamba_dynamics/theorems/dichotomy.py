"""The dichotomy of one-dimensional tokens (theory 3.1 and 3.6; the paper's main theorem for N = 1).

mu < 0: convergent. mu > 0: slow divergence if s x_l0 < 0 for every token, fast divergence if s x_l0 > 0
for some token. For N decay rates mu is replaced by the sum of mu_n wherever a proof allows.
"""

import numpy as np

from .._outcomes import Scenario
from .base import Prediction, ScalarSystem

_PAPER = "paper, main theorem (theory 3.1)"
_GENERAL = "general decay rates (theory 3.6)"


def predict_scenario(system: ScalarSystem) -> Prediction:
    """The scenario of a one-dimensional system, or `undecided` with the reason."""
    mu, drive = system.mu_bar, system.drive[system.active]
    if not system.active.any():
        return Prediction(Scenario.CONSTANT, "every token is zero and stays zero", "theory 3.1")
    if not system.mu.any():
        return Prediction(Scenario.CONSTANT, "mu = 0: the vector field is zero", "theory 3.1")
    if not system.one_signed:
        return _with_mixed_signs(system, mu)
    if mu < 0:
        return Prediction(Scenario.CONVERGENT, f"mu = {mu:.6g} < 0", _PAPER)
    if system.s == 0:
        why = f"mu = {mu:.6g} > 0 and s = 0: a constant step size, so x' = mu delta x^3 blows up"
        return Prediction(Scenario.FAST_DIVERGENCE, why, "constant step size (theory 3.5)")
    if np.any(drive > 0):
        first = int(np.flatnonzero(system.drive > 0)[0]) + 1
        why = f"mu = {mu:.6g} > 0 and s x_l0 > 0 for {np.sum(drive > 0)} token(s), the first being token {first}"
        return Prediction(Scenario.FAST_DIVERGENCE, why, _PAPER)
    return Prediction(Scenario.SLOW_DIVERGENCE, f"mu = {mu:.6g} > 0 and s x_l0 < 0 for every token", _PAPER)


def _with_mixed_signs(system: ScalarSystem, mu: float) -> Prediction:
    first = int(np.flatnonzero(system.active)[0])
    if mu < 0:
        return Prediction(Scenario.CONVERGENT, f"sum of mu_n = {mu:.6g} < 0, whatever the single signs", _GENERAL)
    if mu > 0 and (system.s == 0 or system.drive[first] > 0):
        why = f"sum of mu_n = {mu:.6g} > 0 and the first active token (token {first + 1}) blows up by itself"
        return Prediction(Scenario.FAST_DIVERGENCE, why, _GENERAL)
    if mu > 0 and system.active.sum() == 1:
        return Prediction(Scenario.SLOW_DIVERGENCE, f"sum of mu_n = {mu:.6g} > 0 and s x_0 < 0", _GENERAL)
    if mu == 0 and system.active.sum() == 1:
        return Prediction(Scenario.CONSTANT, "the sum of mu_n is zero: the only active token does not move", _GENERAL)
    why = f"sum of mu_n = {mu:.6g} with mu_n of both signs: later tokens may shrink or grow, no theorem covers them"
    return Prediction(Scenario.UNDECIDED, why, _GENERAL)
