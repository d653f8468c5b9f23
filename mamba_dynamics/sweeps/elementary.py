"""Exponentials and logarithms in double precision, for long loops over lanes.

A compiler turns them into straight rows of vector instructions, as it does not with its own logarithm: polynomials in
Estrin's order, whose terms do not wait for each other, and powers of two taken from the exponent's bits and written
into them. Results are within two units in the last place; what is no normal number (below 2^-1022) is zero. An
exponential is also to be had in two parts, e^x = mantissa 2^power, which no size of x can drive out of range.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.polynomial import chebyshev

from ..dynamics.base import AnyArray

#: ln 2 in two parts; the first has 21 bits, so that its multiples up to 2^32 are exact.
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LOG2_E = 1.0 / math.log(2.0)
#: What is added to the power in an exponent's bits; the powers on both sides of those of normal numbers.
_BIAS, _POWER_OF_ZERO, _POWER_OF_INFINITY = 1023.0, -1023.0, 1024.0
#: Where e^x counts as zero and as infinite.
_ZERO_BELOW, _INFINITE_ABOVE = -709.2, 709.6
#: Added to an integer, they leave it in the lowest bits of the sum: any integer, or one that is not negative.
_ANY_TO_LOW_BITS, _TO_LOW_BITS = 1.5 * 2.0**52, 2.0**52
_FRACTION, _BITS_OF_ONE, _BITS_OF_2_52 = (1 << 52) - 1, 1023 << 52, 1075 << 52


def _exponential_coefficients(degree: int = 10) -> list[float]:
    """(e^r - 1) / r in powers of r, lowest first, for |r| <= ln(2) / 2."""
    return _economised([1 / math.factorial(k + 1) for k in range(2 * degree)], degree, 0.5 * math.log(2.0))


def _log1p_coefficients(degree: int = 20) -> list[float]:
    """ln(1 + e) / e in powers of t = 2 e - 1, lowest first, for |t| <= 1.

    ln(1 + e) = ln(3/2) + ln(1 + t / 3), divided by (1 + t) / 2, at whose zero it vanishes.
    """
    taylor = [2 * (-1) ** k * math.fsum(3.0**-i / i for i in range(k + 1, k + 40)) for k in range(2 * degree)]
    return _economised(taylor, degree, 1.0)


def _logarithm_coefficients(degree: int = 7) -> list[float]:
    """(2 atanh(s) - 2 s) / s^3 in powers of s^2, lowest first, for (1 + s) / (1 - s) from 1 / sqrt(2) to sqrt(2)."""
    reach = ((math.sqrt(2.0) - 1) / (math.sqrt(2.0) + 1)) ** 2
    return _economised([2 / (2 * k + 3) for k in range(2 * degree)], degree, reach)


def _economised(taylor: list[float], degree: int, reach: float) -> list[float]:
    """A polynomial of a lower degree that is next to the given one for |x| <= reach, lowest power first."""
    scale = reach ** np.arange(len(taylor))
    powers = chebyshev.cheb2poly(chebyshev.poly2cheb(taylor * scale)[: degree + 1])
    return (powers / scale[: degree + 1]).tolist()


_EXPONENTIAL, _LOG1P, _LOGARITHM = _exponential_coefficients(), _log1p_coefficients(), _logarithm_coefficients()


def exponential(x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """e^x; 0 below 2^-1022, infinity from x = 709.44 on, where the power of two leaves its range."""
    rest, power = _rest_and_power(_between(x, _ZERO_BELOW, _INFINITE_ABOVE))
    return _power_of_two(power) * _of_rest(rest)


def exponential_in_parts(x: Float[AnyArray, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """(mantissa, power) with e^x = mantissa 2^power: mantissa in [0.7, 1.42], power an integer; NaN where x is."""
    rest, power = _rest_and_power(x)
    # Of larger x it would tell the rounding alone.
    return _of_rest(jnp.where(jnp.abs(x) > 1e15, 0.0, rest)), power


def times_power_of_two(mantissa: Float[AnyArray, "*shape"], power: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """mantissa 2^power for integers `power`: 0 below 2^-1022, infinity above 2^1023."""
    return _power_of_two(_between(power, _POWER_OF_ZERO, _POWER_OF_INFINITY)) * mantissa


def _rest_and_power(x):
    """(r, p) with x = r + p ln 2, p an integer."""
    power = jax.lax.round(x * _LOG2_E, jax.lax.RoundingMethod.TO_NEAREST_EVEN)
    return (x - power * _LN2_HIGH) - power * _LN2_LOW, power


def _of_rest(rest):
    return 1.0 + rest * _polynomial(_EXPONENTIAL, rest)


def _power_of_two(power):
    """2^power for integers between those whose bits in an exponent are those of zero and of infinity."""
    bits = jax.lax.bitcast_convert_type(power + (_ANY_TO_LOW_BITS + _BIAS), jnp.int64) << 52
    return jax.lax.bitcast_convert_type(bits, jnp.float64)


def _between(x, low: float, high: float):
    """Clipped, NaN left as it is. Compared, as that is a vector instruction each."""
    x = jnp.where(x < low, low, x)
    return jnp.where(x > high, high, x)


def log1p_over(e: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """ln(1 + e) / e for 0 <= e <= 1."""
    return _polynomial(_LOG1P, 2.0 * e - 1.0)


def logarithm(x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """ln x; NaN for negative numbers."""
    bits = jax.lax.bitcast_convert_type(x, jnp.int64)
    fraction = jax.lax.bitcast_convert_type((bits & _FRACTION) | _BITS_OF_ONE, jnp.float64)
    biased = jax.lax.bitcast_convert_type(jax.lax.shift_right_logical(bits, jnp.int64(52)) | _BITS_OF_2_52, jnp.float64)
    upper = fraction > math.sqrt(2.0)
    f = jnp.where(upper, 0.5 * fraction, fraction) - 1.0
    power = biased - jnp.where(upper, _TO_LOW_BITS + _BIAS - 1.0, _TO_LOW_BITS + _BIAS)
    # ln(1 + f) = 2 atanh(s), whose first term is 2 s = f - s f, with f exact.
    s = f / (2.0 + f)
    found = power * _LN2_HIGH + (f - (s * (f - s * s * _polynomial(_LOGARITHM, s * s)) - power * _LN2_LOW))
    found = jnp.where(x >= 2.0**-1022, found, jnp.where(x >= 0, -jnp.inf, jnp.nan))
    return jnp.where(x == jnp.inf, jnp.inf, found)


def log_add_exp(a: Float[AnyArray, "*shape"], b: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """ln(e^a + e^b)."""
    small = exponential(-jnp.where(a == b, 0.0, jnp.abs(a - b)))
    return jnp.maximum(a, b) + small * log1p_over(small)


def kept(never: Bool[AnyArray, ""], *arrays: AnyArray) -> tuple[Array, ...]:
    """The arrays themselves, each computed once. `never` is false, but not by what the compiler can know.

    XLA computes an intermediate result anew in every loop that reads it, if no operation in it counts as expensive, and
    polynomials do not. On processors they are passed through a loop without a step, which it cannot look through.
    """

    def passed(never, *arrays):
        return jax.lax.while_loop(lambda _: never, lambda carry: tuple(map(jnp.zeros_like, carry)), arrays)

    # A GPU would wait for the processor to tell the loop's end; its compiler also keeps what several loops read.
    return jax.lax.platform_dependent(never, *arrays, cpu=passed, default=lambda never, *arrays: arrays)


def in_order(terms: Iterable[Any]) -> Any:
    """A sum whose order is that of its terms, whatever the compiler would rather do."""
    total, *rest = terms
    for term in rest:
        total = total + term
    return total


def horner(coefficients: Sequence[Any], x: Float[AnyArray, "*shape"]) -> Any:
    """A polynomial with these coefficients, lowest first: numbers, or arrays."""
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


def _polynomial(coefficients: list[float], x) -> Any:
    """By Estrin's scheme: neighbours are joined in pairs, then the pairs."""
    terms: list[Any] = list(coefficients)
    while len(terms) > 1:
        pairs = [low + high * x for low, high in zip(terms[0::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
        x = x * x
    return terms[0]
