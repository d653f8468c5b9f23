"""Hypotheses as code: each returns its truth, how it is known, its value and its margin.

Signs of mu and of s x_l0 are decided on the exact stored floats (rational arithmetic or exact sums), so they are
certified; conditions that involve exponentials are computed in float64 and only checked, undecided near their edge.
"""

from collections.abc import Callable

import numpy as np

from .._layer import S6Layer
from .._outcomes import KnownBy, Truth
from ..certificates import channel_signs
from . import convergent
from .base import FloatArray, ScalarSystem
from .contract import Case, Hypothesis

Hypotheses = Callable[[S6Layer, FloatArray], tuple[Hypothesis, ...]]

#: A system with D = 2, to break D = 1.
TWO_CHANNELS = Case(S6Layer.from_matrices(S_B=np.eye(2), S_C=np.eye(2), S_Delta=np.eye(2), a=1.0), np.ones((1, 2)))

#: A condition that is only checked is undecided when its margin is below this.
EDGE = 1e-9


def all_of(*parts: Callable[[S6Layer, FloatArray], Hypothesis]) -> Hypotheses:
    """The hypotheses of a theorem from single ones, each a function (layer, x0) -> Hypothesis.

    Later ones are not asked where an earlier one that they presuppose (D = 1, say) fails.
    """

    def hypotheses(layer: S6Layer, x0: FloatArray) -> tuple[Hypothesis, ...]:
        found: list[Hypothesis] = []
        for part in parts:
            found.append(part(layer, x0))
            if found[-1].name in _PRESUPPOSED and found[-1].truth is not Truth.HOLDS:
                break
        return tuple(found)

    return hypotheses


def certified(name: str, holds: bool, value: float | None = None) -> Hypothesis:
    """A fact decided on the exact stored numbers; the margin of a signed value is its size."""
    truth = Truth.HOLDS if holds else Truth.FAILS
    margin = None if value is None else abs(float(value))
    return Hypothesis(name, truth, KnownBy.CERTIFIED, None if value is None else float(value), margin)


def checked(name: str, value: float, margin: float) -> Hypothesis:
    """A fact computed in floating point: it holds where `margin`, signed, is clearly positive."""
    truth = Truth.UNDECIDED if abs(margin) < EDGE else Truth.HOLDS if margin > 0 else Truth.FAILS
    return Hypothesis(name, truth, KnownBy.CHECKED, float(value), abs(float(margin)))


_PRESUPPOSED = {"D = 1", "D >= 2", "D = 2", "L = 1", "L = 2"}


def one_channel(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    return certified("D = 1", layer.channels == 1, layer.channels)


def several_channels(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    return certified("D >= 2", layer.channels >= 2, layer.channels)


def one_token(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    return certified("L = 1", len(x0) == 1, len(x0))


def one_rate(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    rates = np.unique(layer.a)
    return certified("one decay rate a", rates.size == 1, rates.size)


def rate_positive(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    least = float(layer.a.min())
    return certified("a > 0", least > 0, least)


def mu_negative(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    sign, value = _mu(layer)
    return certified("mu < 0", sign < 0, value)


def mu_positive(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    sign, value = _mu(layer)
    return certified("mu > 0", sign > 0, value)


def mu_not_zero(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    sign, value = _mu(layer)
    return certified("mu != 0", sign != 0, value)


def mu_zero(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    sign, value = _mu(layer)
    return certified("mu = 0", sign == 0, value)


def _mu(layer: S6Layer) -> tuple[int, float]:
    """(exact sign of the sum of mu_n from the stored floats, its value rounded)."""
    sign = int(channel_signs(layer.B_map(), layer.C_map())[0]) * (1 if layer.gain > 0 else -1)
    return sign, float(layer.gain * (layer.C_map()[:, 0] @ layer.B_map()[:, 0]))


def mu_one_signed(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    system = ScalarSystem.of(layer, x0)
    return certified("all mu_n of one sign", system.one_signed)


def slope_not_zero(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    system = ScalarSystem.of(layer, x0)
    return certified("s != 0", system.slope != 0, system.s)


def slope_zero(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    system = ScalarSystem.of(layer, x0)
    return certified("s = 0", system.slope == 0, system.s)


def no_zero_tokens(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    smallest = float(np.abs(x0).min())
    return certified("every token is non-zero", smallest > 0, smallest)


def some_zero_token(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    zeros = int(np.sum(x0 == 0))
    return certified("some token is zero, some is not", 0 < zeros < x0.size, zeros)


def some_active_token(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    largest = float(np.abs(x0).max())
    return certified("some token is non-zero", largest > 0, largest)


def all_driven_down(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    system = ScalarSystem.of(layer, x0)
    largest = _furthest(system, np.max)
    return certified("s x_l0 < 0 for every non-zero token", bool(np.all(system.drive[system.active] < 0)), largest)


def some_driven_up(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    system = ScalarSystem.of(layer, x0)
    return certified("s x_l0 > 0 for some token", bool(np.any(system.drive > 0)), _furthest(system, np.max))


def all_driven_up(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    system = ScalarSystem.of(layer, x0)
    return certified("s x_l0 > 0 for every token", bool(np.all(system.drive > 0)), _furthest(system, np.min))


def only_first_driven_up(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    drive = ScalarSystem.of(layer, x0).drive
    return certified("s x_l0 > 0 for token 1 only", bool(drive[0] > 0 and np.all(drive[1:] <= 0)))


def drives_apart(layer: S6Layer, x0: FloatArray) -> Hypothesis:
    """No K_l = 1: there the exponent is on an edge, and logarithms decide."""
    system = ScalarSystem.of(layer, x0)
    if system.sign_of_mu == 0:
        return Hypothesis("no K_l equals 1", Truth.UNDECIDED, KnownBy.CHECKED)
    sums = convergent.kappa(system)[1]
    nearest = float(sums[np.argmin(np.abs(sums - 1.0))])
    return checked("no K_l equals 1", nearest, abs(nearest - 1.0))


def _furthest(system: ScalarSystem, of) -> float:
    """The extreme of s x_l0 over the active tokens."""
    return float(of(system.s * system.x0[system.active])) if system.active.any() else 0.0
