"""Growth laws as curves: ln|x_l| along a run's clock, to be drawn over what was measured.

A law speaks in the limit and leaves numbers open: a constant factor, a frozen ratio, the constant in F = p ln|x_k| + C.
Each of these is taken from the tokens' sizes at the end of the clock, which the caller tells; all else is theory.
"""

from collections.abc import Sequence

import numpy as np

from . import fast_divergence, slow_divergence
from .base import FloatArray, GrowthLaw, LawName, ScalarSystem

#: Points between a token's first and last size on which F is inverted, and Newton steps after that.
_POINTS, _NEWTON = 256, 3


def predicted_log_abs(
    system: ScalarSystem,
    laws: Sequence[GrowthLaw | None],
    log_t: FloatArray,
    log_remaining: FloatArray | None,
    log_abs_end: FloatArray,
) -> FloatArray:
    """ln|x_l| as each law has it, (S, L); nan where there is no law, or where it does not speak yet.

    Args:
        system: the layer's numbers and its initial tokens.
        laws: one per token, from `predict_laws`.
        log_t: ln t, (S,). log_remaining: ln(T* - t), (S,), where there is a blow-up.
        log_abs_end: ln|x_l| at the end of the clock, (L,): it fixes what a law leaves open.
    """
    found = np.full((len(log_t), len(laws)), np.nan)
    for token, law in enumerate(laws):
        if law is None:
            continue
        end = float(log_abs_end[token])
        if law.name is LawName.CONSTANT:
            found[:, token] = end
        elif law.name is LawName.POWER_OF_TIME:
            found[:, token] = _power_of_time(system, law, log_t, end)
        elif law.name is LawName.LOGARITHM_OF_TIME:
            known = 0.0 if law.constant is not None else end - float(log_abs_end[np.flatnonzero(system.active)[0]])
            found[:, token] = known + _logarithm_of_time(system, log_t)
        elif law.name is LawName.BOUNDED:
            found[:, token] = end
        elif law.name is LawName.POWER_OF_REMAINING_TIME and log_remaining is not None:
            nothing = np.zeros_like(log_remaining)
            normalised = fast_divergence.log_normalised(system, nothing, log_remaining)
            found[:, token] = fast_divergence.power(system) * normalised
        elif law.partner is not None and law.exponent is not None:
            found[:, token] = _behind(system, token, law.exponent, found[:, law.partner], end)
    return found


def _power_of_time(system: ScalarSystem, law: GrowthLaw, log_t: FloatArray, end: float) -> FloatArray:
    """(kappa / (2 |mu| delta_0 t))^(1/2); without a constant, the power through the last point."""
    if law.exponent is None:
        return np.full_like(log_t, np.nan)
    if law.constant is None:
        return end + law.exponent * (log_t - log_t[-1])
    return 0.5 * (np.log(law.constant) - np.log(2 * abs(system.mu_bar)) - system.log_delta_0 - log_t)


def _logarithm_of_time(system: ScalarSystem, log_t: FloatArray) -> FloatArray:
    """ln of the expansion of |s x_1| over |s|, from where the expansion is positive on."""
    size = np.full_like(log_t, np.nan)
    late = log_t > 1.0
    size[late] = slow_divergence.expansion(system, log_t[late])
    return np.log(np.where(size > 0, size, np.nan)) - np.log(abs(system.s))


def _behind(system: ScalarSystem, token: int, power: float, log_partner: FloatArray, end: float) -> FloatArray:
    """F(|x|) = p ln|x_k| + C solved for ln|x|, C from the last point; nan where |x| would be less than at the start."""
    found, sizes = np.full_like(log_partner, np.nan), np.linspace(np.log(abs(system.x0[token])), end, _POINTS)
    F = fast_divergence.slow_variable(system, token, sizes)
    wanted = power * (log_partner - log_partner[-1])
    known = wanted >= F[0]
    log_abs = np.interp(wanted[known], F, sizes)
    for _ in range(_NEWTON):
        with np.errstate(over="ignore"):
            z = system.drive[token] * abs(system.s) * np.exp(log_abs) + system.b
        missing = wanted[known] - fast_divergence.slow_variable(system, token, log_abs)
        log_abs = log_abs + missing * np.exp(-system.a[0] * np.logaddexp(0.0, z))
    found[known] = log_abs
    return found
