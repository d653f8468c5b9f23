"""Fast divergence, mu > 0 and s x_l0 > 0 for some token (theory 3.4), or s = 0 (theory 3.5).

Let T* be the first blow-up time and l* the first token that blows up at it.

    l < l*                          bounded on [0, T*]
    l = l*                          x ~ (3 mu |s| (T* - t))^(-1/3);  for s = 0, (2 mu delta (T* - t))^(-1/2)
    l > l*, s x_l < 0               ln|x_l| = p ln|x_m| + C + o(1) for the last token m < l with s x_m > 0, m >= l*
    the next l > l* with s x_l > 0  F(x_l) = p ln|x_m| + C + o(1), F(u) = int e^{a Delta(u)} du / u, for the previous
                                    such token m: (1/3) ln 1/(T* - t) for the first, one more logarithm each

p = e^{-a Delta(0) Z} with Z the number of zero tokens strictly between m and l: a zero token passes on the
drive of the tokens before it, weakened by one step of decay; tokens that diverge with s x < 0 pass it on
whole, for their step size tends to zero. Without zero tokens p = 1, a constant ratio.

Theory needs to be told l*; everything else follows from signs. The hierarchy is proved for one decay
rate a (N = 1); with several, only tokens up to l* are predicted.
"""

from itertools import pairwise

import numpy as np

from .base import FloatArray, GrowthLaw, LawName, ScalarSystem


def laws(system: ScalarSystem, first_token: int) -> list[GrowthLaw | None]:
    """The law of every token, given l* (0-based); None where theory makes no claim."""
    found: list[GrowthLaw | None] = []
    leader = first_token
    for token in range(len(system.x0)):
        if not system.active[token]:
            found.append(GrowthLaw(LawName.ZERO, constant=0.0))
        elif token < first_token:
            found.append(GrowthLaw(LawName.BOUNDED, exponent=0.0))
        elif token == first_token:
            found.append(GrowthLaw(LawName.POWER_OF_REMAINING_TIME, exponent=power(system), constant=1.0))
        elif system.s == 0 or len(system.mu) > 1:
            found.append(None)
        else:
            zeros = int(np.sum(~system.active[leader:token]))
            passed_on = float(np.exp(-system.a[0] * system.delta_0 * zeros))
            follows = system.drive[token] < 0
            name = LawName.FOLLOWS if follows else LawName.ITERATED_LOGARITHM
            found.append(GrowthLaw(name, exponent=passed_on, partner=leader))
            leader = leader if follows else token
    return found


def power(system: ScalarSystem) -> float:
    """The exponent of T* - t in the law of token l*."""
    return -0.5 if system.s == 0 else -1.0 / 3.0


def normalised(system: ScalarSystem, log_abs: FloatArray, log_remaining: FloatArray) -> FloatArray:
    """3 mu |s| (T* - t) |x|^3, or 2 mu delta (T* - t) x^2 for s = 0: tends to 1 for token l*."""
    if system.s == 0:
        return np.exp(np.log(2 * system.mu_bar * system.delta_0) + log_remaining + 2 * log_abs)
    return np.exp(np.log(3 * system.mu_bar * abs(system.s)) + log_remaining + 3 * log_abs)


def slow_variable(system: ScalarSystem, log_abs: FloatArray) -> FloatArray:
    """F(|x|) - F(|x_first|) along increasing ln|x| (S,), F(u) = int e^{a Delta(s u)} du / u with s x > 0.

    Gauss-Legendre between successive values, each split so that the integrand varies little.
    """
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.concatenate([np.linspace(p, q, 9)[:-1] for p, q in pairwise(log_abs)] + [log_abs[-1:]])
    half = np.diff(edges)[:, None] / 2
    y = edges[:-1, None] + half * (nodes + 1)
    growth = np.exp(system.a[0] * np.logaddexp(0.0, abs(system.s) * np.exp(y) + system.b))
    total = np.concatenate([[0.0], np.cumsum((growth * half * weights).sum(axis=1))])
    return total[::8]
