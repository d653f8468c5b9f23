"""The blow-up time of one token as a ball, and a rigorous upper bound for any number of tokens (theory 3.4).

Alone, a token with mu > 0 and s x_0 > 0 becomes infinite at

    T_1 = int_{|x_0|}^inf du / (mu u^3 softplus(|s| u + b)),

and the tokens before it only push it, so T* <= T_1 of every such token. The integral up to R is enclosed by
`acb.integral` (in v = ln u), the rest by

    int_R^inf du / (u^3 (|s| u + b)) = sum_k (-beta)^k / (k + 3) / (|s| R^3),    beta = b / (|s| R),

times a factor between 1 / (1 + e^{-z} / z) and 1, z = |s| R + b, because z < softplus(z) < z + e^{-z}.
Numbers are floats (exact rationals) or balls; a result is None where a token does not blow up alone.
"""

from collections.abc import Iterable
from fractions import Fraction

import flint
from flint import acb, arb

from .._errors import HypothesisError

#: Decimal digits of a blow-up time.
DIGITS = 30
#: softplus(z) - z < e^-z: from this z on the tail is elementary; doubled until the digits are reached.
_TAIL = 80.0
_MAX_PRECISION = 20_000

Number = float | Fraction | arb


def ball(value: Number) -> arb:
    """A number as a ball, exact for floats."""
    if isinstance(value, Fraction):
        return arb(flint.fmpq(value.numerator, value.denominator))
    found = arb(value)
    if not found.is_finite():
        raise HypothesisError(f"expected finite numbers, found {value}; check the weights and tokens")
    return found


class precision:
    """Set flint's working precision (bits), and put it back."""

    def __init__(self, bits: int):
        self.bits = bits

    def __enter__(self):
        self.before, flint.ctx.prec = flint.ctx.prec, self.bits

    def __exit__(self, *_):
        flint.ctx.prec = self.before


def own_blow_up_time(mu: Number, s: Number, b: Number, x0: Number, digits: int = DIGITS) -> arb | None:
    """T_1 of a token alone, to so many digits relative if the inputs are exact; None if it does not blow up.

    Args:
        mu: the sum of mu_n; s, b: slope and bias of the step size; x0: the initial token.

    Raises:
        HypothesisError: an input is not finite, or a sign is not decided by its ball.
    """
    ball(b)  # finite, or refused
    mu_sign, s_sign, x0_sign = (_sign(ball(one)) for one in (mu, s, x0))
    if mu_sign <= 0 or x0_sign == 0 or s_sign * x0_sign < 0:
        return None
    exact = all(not isinstance(one, arb) or one.is_exact() for one in (mu, s, b, x0))
    bits = int(3.33 * digits) + 64
    while True:
        with precision(bits):  # for the inputs too: rationals are rounded to balls
            found = _alone(ball(mu), ball(s), ball(b), ball(x0), bits)
        if found.is_finite() and found.rel_accuracy_bits() >= 3.33 * digits:
            return found
        if not exact and found.is_finite() and found > 0:
            return found
        if bits > _MAX_PRECISION:
            raise HypothesisError(
                f"expected a blow-up time to {digits} digits, found {found} at {bits} bits; the inputs are too extreme"
            )
        bits *= 2


def _alone(mu: arb, s: arb, b: arb, x0: arb, bits: int) -> arb:
    return _constant_step(mu, b, x0) if s == 0 else _integral(mu, abs(s), b, abs(x0), bits)


def blow_up_bound(mu: Number, s: Number, b: Number, x0: Iterable[Number], digits: int = 15) -> arb | None:
    """A rigorous upper bound of T* for tokens x0: the least T_1; None if no token blows up alone.

    For several decay rates it holds if all mu_n are positive (then tokens push each other); else of the first
    non-zero token alone.
    """
    times = [own_blow_up_time(mu, s, b, one, digits) for one in x0]
    return _least([one for one in times if one is not None])


def elementary_blow_up_bound(mu: Number, s: Number, b: Number, x0: Iterable[Number]) -> arb | None:
    """min 1 / (3 mu |s| |x_l0|^3) over the tokens with s x_l0 > 0, for b >= 0; None if there is none, or b < 0."""
    mu, s, b = (ball(one) for one in (mu, s, b))
    if _sign(mu) <= 0 or _sign(s) == 0 or not b >= 0:
        return None
    driven = [abs(ball(one)) for one in x0 if _sign(ball(one)) == _sign(s)]
    return _least([1 / (3 * mu * abs(s) * size**3) for size in driven])


def _least(found: list[arb]) -> arb | None:
    if not found:
        return None
    least = found[0]
    for one in found[1:]:
        least = least.min(one)
    return least


def _sign(value: arb) -> int:
    if value > 0:
        return 1
    if value < 0:
        return -1
    if value == 0:
        return 0
    raise HypothesisError(f"expected a number of definite sign, found the ball {value}; enclose it more narrowly")


def softplus(z: arb) -> arb:
    """ln(1 + e^z) of a ball, accurate at both ends."""
    return z + (-z).exp().log1p() if z > 0 else z.exp().log1p()


def _constant_step(mu: arb, b: arb, x0: arb) -> arb:
    """s = 0: dx/dt = mu delta x^3."""
    return 1 / (2 * mu * softplus(b) * x0**2)


def _integral(mu: arb, s: arb, b: arb, x0: arb, bits: int) -> arb:
    """int_{x0}^inf du / (mu u^3 softplus(s u + b)), s and x0 positive."""
    tail_from = arb(_TAIL) + bits
    R = (((tail_from + abs(b)).max(4 * abs(b)) / s).max(x0)).upper()
    total = _tail(s, b, R)
    if not x0 >= R:
        total += _body(s, b, x0, R)
    return total / mu


def _body(s: arb, b: arb, x0: arb, R: arb) -> arb:
    """int_{x0}^R du / (u^3 softplus(s u + b)) with u = e^v."""

    def integrand(v: acb, analytic: bool) -> acb:
        z = s * v.exp() + b
        # ln(1 + e^z) has its branch cuts where 1 + e^z is negative; z + ln(1 + e^-z) is the same function.
        small = (-z).exp() if z.real > 0 else z.exp()
        one_plus = 1 + small
        if analytic and one_plus.imag.contains(0) and not one_plus.real > 0:
            return acb("nan")
        logarithm = small.log1p()
        return (-2 * v).exp() / (z + logarithm if z.real > 0 else logarithm)

    # An absolute tolerance of zero: the relative one decides.
    found = acb.integral(integrand, acb(x0.log()), acb(R.log()), abs_tol=arb(0), eval_limit=10**6, depth_limit=200)
    return found.real


def _tail(s: arb, b: arb, R: arb) -> arb:
    """int_R^inf du / (u^3 softplus(s u + b)), |b| <= s R / 4."""
    z, beta = s * R + b, b / (s * R)
    terms = flint.ctx.prec // 2 + 8
    total, power = arb(0), arb(1)
    for k in range(terms):
        total += power / (k + 3)
        power *= -beta
    left_out = (abs(power) / (terms + 3) / (1 - abs(beta))).upper()
    total += arb(0, left_out)
    closed = total / (s * R**3)
    return closed.union(closed / (1 + (-z).exp() / z))
