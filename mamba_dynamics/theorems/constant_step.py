"""Closed forms for a constant step size, s = 0 (theory 3.5): tokens 1 and 2, before any blow-up.

With delta = softplus(b), p = e^{-a delta} and v = 1 / x_1^2: v = 1 / x_10^2 - 2 mu delta t. Token 2 is a Bernoulli
equation; u = 1 / x_2^2 as a function of v obeys du/dv = 1 + p u / v, so

    u = v / (1 - p) + K v^p,      K = (1 / x_20^2 - v_0 / (1 - p)) v_0^-p.

For mu > 0, v falls; the first blow-up is where v or u reaches zero: at v* = (-K (1 - p))^(1 / (1 - p)) if K < 0, token
2 first, else at v* = 0.
"""

from dataclasses import dataclass

import numpy as np

from .base import FloatArray, ScalarSystem


@dataclass(frozen=True)
class ConstantStep:
    """The closed form for the first two tokens (or the only one) of a system with s = 0, both non-zero."""

    slope: float
    v0: float
    p: float
    K: float

    @classmethod
    def of(cls, system: ScalarSystem) -> "ConstantStep":
        p = float(np.exp(-system.a[0] * system.delta_0))
        v0 = float(system.x0[0]) ** -2
        u0 = float(system.x0[1]) ** -2 if len(system.x0) > 1 else np.inf
        return cls(2 * system.mu_bar * system.delta_0, v0, p, (u0 - v0 / (1 - p)) * v0**-p)

    @property
    def v_end(self) -> float:
        """1 / x_1^2 at the first blow-up (mu > 0)."""
        return (-self.K * (1 - self.p)) ** (1 / (1 - self.p)) if self.K < 0 else 0.0

    @property
    def blow_up_time(self) -> float:
        return (self.v0 - self.v_end) / self.slope

    def log_square(self, token: int, log_t: FloatArray) -> FloatArray:
        """ln x^2 of token 0 or 1 as a function of ln t, before any blow-up."""
        with np.errstate(divide="ignore"):
            passed = np.log(abs(self.slope)) + log_t - np.log(self.v0)
            grown = np.log1p(-np.exp(passed)) if self.slope > 0 else np.logaddexp(0.0, passed)
        log_v = np.log(self.v0) + grown
        if token == 0:
            return -log_v
        return np.log(1 - self.p) - log_v - np.log1p(self.K * (1 - self.p) * np.exp((self.p - 1) * log_v))

    def log_square_before(self, token: int, remaining: FloatArray) -> FloatArray:
        """ln x^2 at T* - t (mu > 0), without cancellation."""
        v = self.v_end + self.slope * remaining
        if token == 0:
            return -np.log(v)
        if self.v_end == 0:
            return -np.log(v / (1 - self.p) + self.K * v**self.p)
        fallen = -np.expm1(-(1 - self.p) * np.log1p(self.slope * remaining / self.v_end))
        return -np.log(v / (1 - self.p) * fallen)
