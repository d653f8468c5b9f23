"""Convergent tokens, mu < 0 (theory 3.2 and 3.6): x_l = O(t^-1/2) (paper), with sharp constants.

    2 |mu| delta_0 t x_l(t)^2 -> kappa_l,    kappa_l = max(0, 1 - K_l),   K_l = sum_{j<l} kappa_j phi(delta_0 (l - j)),

phi(tau) = sum_n mu_n e^{-a_n tau} / mu, kappa_j = 0 for a zero token. Where K_l > 1 the token decays faster,
like t^(-K_l / 2).

That holds for tokens that do tend to zero. A large token with s x_l < 0 has shut its step size: it is left with what
the token before it passes on, K_{l-1} + kappa_{l-1} in units of 1 / (2 t), which is max(1, K_{l-1}) behind an active
token, but K_{l-1} behind a zero token. For mu_n of both signs that can be negative, and then the token grows like
t^(-K_{l-1} / 2), from large enough a start (`may_escape`).
"""

from fractions import Fraction

import numpy as np

from .._layer import nearest_float
from .base import FloatArray, GrowthLaw, LawName, ScalarSystem, log_step_size


def decay_kernel(system: ScalarSystem, tau: FloatArray) -> FloatArray:
    """phi(tau): what the hidden attention keeps of a token after an elapsed step size tau; phi(0) = 1."""
    rates = np.exp(-np.multiply.outer(np.asarray(tau, float), system.a))
    total = sum(system.products, Fraction(0))
    return rates @ np.array([nearest_float(one / total) for one in system.products])


def kappa(system: ScalarSystem) -> tuple[FloatArray, FloatArray]:
    """(kappa, K), each (L,): the limits of 2 |mu| delta_0 t x_l^2 and the sums they come from."""
    length = len(system.x0)
    phi = decay_kernel(system, np.array([system.delta_0 * gap for gap in range(length)]))
    limits, sums = np.zeros(length), np.zeros(length)
    for token in range(length):
        sums[token] = limits[:token] @ phi[token:0:-1]
        limits[token] = max(0.0, 1.0 - sums[token]) if system.x0[token] != 0 else 0.0
    return limits, sums


#: A drive this close to none at all is not trusted to have a sign.
_EDGE = 1e-9


def may_escape(system: ScalarSystem) -> list[int]:
    """Tokens (0-based) that need not tend to zero although the sum of mu_n is negative: none for mu_n of one sign.

    They lie behind a zero token which itself lies behind an active one, have s x_l < 0, and what reaches them with
    their own step size shut, K_{l-1}, is not clearly inwards.
    """
    if system.one_signed:
        return []
    _, sums = kappa(system)
    started = np.cumsum(system.active) > 0
    return [
        token
        for token in range(1, len(system.x0))
        if system.active[token]
        and not system.active[token - 1]
        and started[token - 1]
        and system.drive[token] < 0
        and sums[token - 1] < _EDGE
    ]


def laws(system: ScalarSystem) -> list[GrowthLaw]:
    """The law of every token of a convergent system."""
    return [_law(active, limit, total) for active, limit, total in zip(system.active, *kappa(system), strict=True)]


def _law(active: bool, limit: float, total: float) -> GrowthLaw:
    if not active:
        return GrowthLaw(LawName.ZERO, constant=0.0)
    if total == 1.0:
        # On the boundary the leading orders cancel and a logarithm decides: no exponent is claimed.
        return GrowthLaw(LawName.POWER_OF_TIME)
    return GrowthLaw(LawName.POWER_OF_TIME, exponent=-0.5 * max(1.0, total), constant=limit if limit > 0 else None)


def log_bound(system: ScalarSystem, token: int, log_t: FloatArray) -> FloatArray:
    """ln x_l(t)^2 <= this at every t >= 0, for N = 1, as a function of ln t: the logarithm of

    x_0^2 / (1 + 2 |mu| m x_0^2 t), m = min(Delta(0), Delta(x_0)).
    """
    log_square = 2 * np.log(abs(system.x0[token]))
    slowest = min(system.log_delta_0, float(log_step_size(system.s * system.x0[token] + system.b)))
    log_rate = np.log(2 * abs(system.mu_bar)) + slowest + log_square
    return log_square - np.logaddexp(0.0, log_rate + np.asarray(log_t, float))
