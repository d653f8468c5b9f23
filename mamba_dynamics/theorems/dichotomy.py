"""The dichotomy of one-dimensional tokens (theory 3.1 and 3.6; the paper's main theorem for N = 1).

mu < 0: convergent. mu > 0: slow divergence if s x_l0 < 0 for every token, fast divergence if s x_l0 > 0
for some token. For N decay rates mu is replaced by the sum of mu_n wherever a proof allows: not for mu_n of both signs
where a zero token lies between others, which can turn the drive that it passes on outwards.
"""

import numpy as np

from .._outcomes import Scenario
from . import convergent
from .base import Prediction, ScalarSystem

_PAPER = "paper, main theorem (theory 3.1)"
_GENERAL = "general decay rates (theory 3.6)"


def predict_scenario(system: ScalarSystem) -> Prediction:
    """The scenario of a one-dimensional system, or `undecided` with the reason."""
    mu, sign, drive = _in_words(system), system.sign_of_mu, system.drive[system.active]
    if not system.active.any():
        return Prediction(Scenario.CONSTANT, "every token is zero and stays zero", "theory 3.1")
    if not any(system.products):
        return Prediction(Scenario.CONSTANT, "mu = 0: the vector field is zero", "theory 3.1")
    if not system.one_signed:
        return _with_mixed_signs(system, mu, sign)
    if sign < 0:
        return Prediction(Scenario.CONVERGENT, f"mu = {mu} < 0", _PAPER)
    if system.slope == 0:
        why = f"mu = {mu} > 0 and s = 0: a constant step size, so x' = mu delta x^3 blows up"
        return Prediction(Scenario.FAST_DIVERGENCE, why, "constant step size (theory 3.5)")
    if np.any(drive > 0):
        first = int(np.flatnonzero(system.drive > 0)[0]) + 1
        why = f"mu = {mu} > 0 and s x_l0 > 0 for {np.sum(drive > 0)} token(s), the first being token {first}"
        return Prediction(Scenario.FAST_DIVERGENCE, why, _PAPER)
    return Prediction(Scenario.SLOW_DIVERGENCE, f"mu = {mu} > 0 and s x_l0 < 0 for every token", _PAPER)


def _with_mixed_signs(system: ScalarSystem, mu: str, sign: int) -> Prediction:
    first = int(np.flatnonzero(system.active)[0])
    if sign < 0 and (escaping := convergent.may_escape(system)):
        why = (
            f"sum of mu_n = {mu} < 0 with mu_n of both signs, and a zero token before token {escaping[0] + 1} turns "
            "the drive that it receives outwards: it may grow where its own step size is shut"
        )
        return Prediction(Scenario.UNDECIDED, why, _GENERAL)
    if sign < 0:
        return Prediction(Scenario.CONVERGENT, f"sum of mu_n = {mu} < 0, with mu_n of both signs", _GENERAL)
    if sign > 0 and (system.slope == 0 or system.drive[first] > 0):
        why = f"sum of mu_n = {mu} > 0 and the first active token (token {first + 1}) blows up by itself"
        return Prediction(Scenario.FAST_DIVERGENCE, why, _GENERAL)
    if sign > 0 and system.active.sum() == 1:
        return Prediction(Scenario.SLOW_DIVERGENCE, f"sum of mu_n = {mu} > 0 and s x_0 < 0", _GENERAL)
    if sign == 0 and system.active.sum() == 1:
        return Prediction(Scenario.CONSTANT, "the sum of mu_n is zero: the only active token does not move", _GENERAL)
    why = f"sum of mu_n = {mu} with mu_n of both signs: later tokens may shrink or grow, no theorem covers them"
    return Prediction(Scenario.UNDECIDED, why, _GENERAL)


def _in_words(system: ScalarSystem) -> str:
    """The sum of mu_n; its sign is exact even where its size underflows."""
    underflows = system.mu_bar == 0 and system.sign_of_mu != 0
    return f"{'+' if system.sign_of_mu > 0 else '-'}(less than 1e-308)" if underflows else f"{system.mu_bar:.6g}"
