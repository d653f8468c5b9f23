"""Closed forms for a constant step size, s = 0 (theory 3.5): tokens 1 and 2, before any blow-up.

With delta = softplus(b), p = e^{-a delta} and v = 1 / x_1^2: v = 1 / x_10^2 - 2 mu delta t. Token 2 is a Bernoulli
equation; u = 1 / x_2^2 as a function of v obeys du/dv = 1 + p u / v, so

    u = v / (1 - p) + K v^p,      K = (1 / x_20^2 - v_0 / (1 - p)) v_0^-p.

Computed as u = (v / v_0)^p (u_0 + v_0 E(ln(v / v_0))), E(y) = (e^{(1 - p) y} - 1) / (1 - p), which is y for a = 0 and
loses no digits to 1 - p. For mu > 0, v falls; the first blow-up is where v or u reaches zero: where E = -u_0 / v_0 if
that is reached, token 2 first, else at v = 0.
"""

from dataclasses import dataclass

import numpy as np

from .base import FloatArray, ScalarSystem


@dataclass(frozen=True)
class ConstantStep:
    """The closed form for the first two tokens (or the only one) of a system with s = 0, both non-zero.

    `slope` is 2 mu delta, `shed` 1 - p.
    """

    slope: float
    v0: float
    u0: float
    shed: float

    @classmethod
    def of(cls, system: ScalarSystem) -> "ConstantStep":
        v0 = float(system.x0[0]) ** -2
        u0 = float(system.x0[1]) ** -2 if len(system.x0) > 1 else np.inf
        shed = float(-np.expm1(-system.a[0] * system.delta_0))
        return cls(2 * system.mu_bar * system.delta_0, v0, u0, shed)

    @property
    def log_fall(self) -> float:
        """ln(v / v_0) at the first blow-up (mu > 0); -inf where token 1 is the first."""
        ratio = self.u0 / self.v0
        if self.shed * ratio >= 1:
            return -np.inf
        return float(np.log1p(-self.shed * ratio) / self.shed) if self.shed else -ratio

    @property
    def blow_up_time(self) -> float:
        return float(-np.expm1(self.log_fall)) * self.v0 / self.slope

    def _E(self, y: FloatArray) -> FloatArray:
        return np.expm1(self.shed * y) / self.shed if self.shed else y

    def log_square(self, token: int, log_t: FloatArray) -> FloatArray:
        """ln x^2 of token 0 or 1 as a function of ln t, before any blow-up."""
        passed = np.log(abs(self.slope)) + log_t - np.log(self.v0)
        with np.errstate(divide="ignore"):
            grown = np.log1p(-np.exp(passed)) if self.slope > 0 else np.logaddexp(0.0, passed)
        return self._log_square(token, grown, self.u0 + self.v0 * self._E(grown) if token else grown)

    def log_square_before(self, token: int, remaining: FloatArray) -> FloatArray:
        """ln x^2 at T* - t (mu > 0), without cancellation."""
        v_end = self.v0 * np.exp(self.log_fall)
        grown = np.log((v_end + self.slope * remaining) / self.v0)
        if v_end == 0:
            return self._log_square(token, grown, self.u0 + self.v0 * self._E(grown) if token else grown)
        # u_0 + v_0 E vanishes at the end: its difference from there.
        left = np.log1p(self.slope * remaining / v_end)
        return self._log_square(token, grown, self.v0 * np.exp(self.shed * self.log_fall) * self._E(left))

    def _log_square(self, token: int, log_ratio: FloatArray, bracket: FloatArray) -> FloatArray:
        """-ln v, or -ln u from its two factors, given ln(v / v_0)."""
        if token == 0:
            return -np.log(self.v0) - log_ratio
        return -(1 - self.shed) * log_ratio - np.log(bracket)
