"""Fast divergence, mu > 0 and s x_l0 > 0 for some token (theory 3.4), or s = 0 (theory 3.5).

Let T* be the first blow-up time and l* the first token that blows up at it.

    l < l*                          bounded on [0, T*]
    l = l*                          x ~ (3 mu |s| (T* - t))^(-1/3);  for s = 0, (2 mu delta (T* - t))^(-1/2)
    l > l*                          F_l(|x_l|) = p ln|x_k| + C + o(1), k the last non-zero token before l,
                                    F_l(u) = int e^{a Delta} du / u, Delta = softplus(sign(s x_l) |s| u + b),
                                    p = e^{-a Delta(0) Z}, Z the number of zero tokens between k and l

Where s x_l < 0, F_l(u) ~ ln u: x_l keeps a constant ratio to x_k, in the limit (for Z = 0). Where s x_l > 0, F_l is
exponential, so x_l is a logarithm of ln|x_k|: F_l ~ (1/3) ln 1/(T* - t) for the first such token, and one
more pair of logarithms for each later one. A zero token passes on the drive of the tokens before it,
weakened by one step of decay. The law holds in this form long before the limits of its parts do: a token
with s x_l < 0 that follows an iterated logarithm is itself so small that Delta has not vanished at any T* - t a
float can hold.

Theory needs to be told l*; everything else follows from signs. The hierarchy is proved for one decay
rate a (N = 1); with several, only tokens up to l* are predicted.
"""

from itertools import pairwise

import numpy as np

from .base import FloatArray, GrowthLaw, LawName, ScalarSystem


def laws(system: ScalarSystem, first_token: int) -> list[GrowthLaw | None]:
    """The law of every token, given l* (0-based); None where theory makes no claim."""
    found: list[GrowthLaw | None] = []
    previous = first_token
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
            zeros = token - previous - 1
            passed_on = float(np.exp(-system.a[0] * system.delta_0 * zeros))
            name = LawName.FOLLOWS if system.drive[token] < 0 else LawName.ITERATED_LOGARITHM
            found.append(GrowthLaw(name, exponent=passed_on, partner=previous))
        if system.active[token]:
            previous = token
    return found


def power(system: ScalarSystem) -> float:
    """The exponent of T* - t in the law of token l*."""
    return -0.5 if system.s == 0 else -1.0 / 3.0


def log_normalised(system: ScalarSystem, log_abs: FloatArray, log_remaining: FloatArray) -> FloatArray:
    """ln of 3 mu |s| (T* - t) |x|^3, or of 2 mu delta (T* - t) x^2 for s = 0: tends to 0 for token l*."""
    if system.s == 0:
        return np.log(2 * system.mu_bar) + system.log_delta_0 + log_remaining + 2 * log_abs
    return np.log(3 * system.mu_bar * abs(system.s)) + log_remaining + 3 * log_abs


def slow_variable(system: ScalarSystem, token: int, log_abs: FloatArray) -> FloatArray:
    """F_l(|x|) - F_l(|x_last|) along the values ln|x| (S,) of a token, 0-based.

    Gauss-Legendre between successive values, each split so that the integrand varies little. Summed from the end: for
    large biases the first pieces are so large that what is added late would be lost beside them.
    """
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.concatenate([np.linspace(p, q, 9)[:-1] for p, q in pairwise(log_abs)] + [log_abs[-1:]])
    half = np.diff(edges)[:, None] / 2
    y = edges[:-1, None] + half * (nodes + 1)
    z = system.drive[token] * abs(system.s) * np.exp(y) + system.b
    # Overflow means a token too large to be moved by one rounding error: its F is infinite, and says nothing.
    with np.errstate(over="ignore", invalid="ignore"):
        growth = np.exp(system.a[0] * np.logaddexp(0.0, z))
        pieces = (growth * half * weights).sum(axis=1)
        return -np.concatenate([np.cumsum(pieces[::-1])[::-1], [0.0]])[::8]
