"""Validated integration of one-dimensional tokens: the scenario of a concrete system proved, T* bracketed.

Log-amplitudes y_l = ln|x_l| in the growth clock ds = rho dt, rho = sum_l sum_n |mu_n| g_ln:

    dy_l/ds = sum_n mu_n g_ln / rho,    dt/ds = 1 / rho,
    g_ln = x_l^2 Delta_l + e^{-a_n Delta_l} g_{l-1,n}.

The state is a point with one error bound E (in the maximum norm) and a ball for the time. One step:

* a Taylor polynomial about the point, with a remainder from complex analysis: if |dy/ds| <= m on the polydisc of
  radius r about y, the solution is analytic for |s| < r / m and stays within r (Picard-Lindelof), so by Cauchy's
  estimate its k-th coefficient is at most r (m / r)^k; time likewise, with |1 / rho| <= m_t there;
* the error of the point grows at most by e^{int lambda ds}, lambda the largest logarithmic norm of the Jacobian over a
  tube of width 2 E about the polynomial. If that factor is less than two, the true solution never leaves the tube.

A blow-up is bracketed from both sides: at a validated time all tokens are finite, and what remains is at most the
blow-up time of a token alone (`blow_up_bound`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import flint
from flint import acb, arb, arb_series

from .._errors import HypothesisError
from .._outcomes import Scenario
from .blow_up_time import Number, ball, blow_up_bound, precision

#: The most tokens, bits of precision, order of the Taylor polynomials, and radii of the polydiscs tried.
MOST_TOKENS = 8
BITS, ORDER = 128, 24
RADII = tuple(0.8 * 0.85**k for k in range(32))
#: A step reaches this share of the radius of convergence that is proved, so a remainder is about share^ORDER.
SHARE = 0.25
#: T* is bracketed to this, relative.
WIDTH = 1e-10
#: Steps between two looks at the bracket.
CHECK = 4
#: Parts of a step in which the growth of errors is bounded.
PIECES = 4
_MOST_STEPS, _SHORTEST = 4000, 1e-12
#: The clock's reading is reached to this.
_ARRIVED = 1e-12


@dataclass(frozen=True)
class Enclosure:
    """What is proved of a system: its scenario (None if nothing is), and how.

    `time`, `log_abs`: a validated time and ln|x_l| there, for the tokens that are not zero (all of them finite).
    `blow_up_time`: a ball that contains T*, for fast divergence.
    """

    scenario: Scenario | None
    proof: str
    time: arb
    log_abs: tuple[arb, ...]
    blow_up_time: arb | None
    steps: int


def enclose(
    mu: Sequence[Number] | Number,
    s: Number,
    a: Sequence[Number] | Number,
    b: Number,
    x0: Sequence[Number],
    *,
    clock: float = 0.0,
    width: float = WIDTH,
) -> Enclosure:
    """Prove the scenario of a one-dimensional system and, where it blows up, bracket T*.

    Args:
        mu, a: mu_n and a_n, numbers or sequences of equal length; s, b: the step size; x0: at most 8 tokens.
        clock: for a system that does not blow up, the reading of the growth clock to integrate to.
        width: how narrow the bracket of T* must become, relative.

    Raises:
        HypothesisError: too many tokens, numbers that are not finite, negative decay rates, or a step that fails.
    """
    if len(x0) > MOST_TOKENS:
        raise HypothesisError(f"expected at most {MOST_TOKENS} tokens, found {len(x0)}; enclose the first ones")
    with precision(BITS):
        return _run(_field(mu, s, a, b, x0), clock, width)


def proved_scenario(
    mu: Sequence[Number] | Number, s: Number, a: Sequence[Number] | Number, b: Number, x0: Sequence[Number]
) -> tuple[Scenario | None, str]:
    """(the scenario that exact signs prove by theory 3.1, or None; how), for any number of tokens."""
    with precision(BITS):
        return _field(mu, s, a, b, x0).scenario()


def _field(mu, s, a, b, x0) -> "_Field":
    mu_n, a_n = (list(one) if isinstance(one, Sequence) else [one] for one in (mu, a))
    if len(mu_n) != len(a_n) or any(not ball(rate) >= 0 for rate in a_n):
        raise HypothesisError(f"expected as many mu_n as decay rates a_n >= 0, found mu = {mu_n} and a = {a_n}")
    return _Field(mu_n, ball(s), [ball(one) for one in a_n], ball(b), x0)


def _run(field: "_Field", clock: float, width: float) -> Enclosure:
    scenario, proof = field.scenario()
    start = field.log_abs()
    state = _State(arb(0), arb(0), _middles(start), _largest_radius(start))
    if scenario is Scenario.CONSTANT or scenario is None:
        return Enclosure(scenario, proof, state.time, state.log_abs, None, 0)
    steps = 0
    while True:
        if scenario is Scenario.FAST_DIVERGENCE and steps % CHECK == 0:
            remaining = field.remaining(state.log_abs)
            bracket = state.time.union(state.time + remaining)
            if bracket.rad() <= 0.5 * width * bracket.mid():
                return Enclosure(scenario, proof, state.time, state.log_abs, bracket, steps)
        if scenario is not Scenario.FAST_DIVERGENCE and state.s > clock - _ARRIVED:
            return Enclosure(scenario, proof, state.time, state.log_abs, None, steps)
        steps += 1
        if steps > _MOST_STEPS:
            raise HypothesisError(f"expected an enclosure within {_MOST_STEPS} steps, found t = {state.time} only")
        state = field.step(state, None if scenario is Scenario.FAST_DIVERGENCE else arb(clock) - state.s)


@dataclass(frozen=True)
class _State:
    """The clock, the time, the point y, the bound E on its distance from the truth; the place of the last radius."""

    s: arb
    time: arb
    y: list[arb]
    error: arb
    place: int = len(RADII) // 2

    @property
    def log_abs(self) -> tuple[arb, ...]:
        return tuple(one + arb(0, self.error) for one in self.y)


class _Field:
    """The vector field in log-amplitudes, on balls (arb), complex balls (acb) and power series (arb_series)."""

    def __init__(self, mu: Sequence[Number], s: arb, a: list[arb], b: arb, x0: Sequence[Number]):
        self.mu, self.a, self.b = [ball(one) for one in mu], a, b
        self.mu_bar = _total(mu)
        tokens = [ball(one) for one in x0]
        #: s sign(x_l) for the active tokens, and how many zero tokens come right before each.
        self.slopes: list[arb] = []
        self.gaps: list[int] = []
        self.x0: list[arb] = []
        gap = 0
        for token in tokens:
            if token == 0:
                gap += 1
                continue
            self.x0.append(abs(token))
            # A ball about zero may be of either sign, or zero: nothing is certain of its slope.
            self.slopes.append(s if token > 0 else -s if token < 0 else arb("nan"))
            self.gaps.append(gap)
            gap = 0
        self.at_zero = _softplus(b)

    def log_abs(self) -> list[arb]:
        return [x.log() for x in self.x0]

    @property
    def one_signed(self) -> bool:
        return all(one >= 0 for one in self.mu) or all(one <= 0 for one in self.mu)

    def scenario(self) -> tuple[Scenario | None, str]:
        """What signs alone prove (theory 3.1); with mu_n of both signs, only what token 1 proves.

        A ball whose sign is not decided proves nothing: each scenario needs its own certain signs.
        """
        if not self.x0 or all(one == 0 for one in self.mu):
            return Scenario.CONSTANT, "nothing moves: mu = 0, or every token is zero"
        if self.mu_bar > 0 and (self.slopes[0] >= 0 or (self.one_signed and any(one >= 0 for one in self.slopes))):
            return Scenario.FAST_DIVERGENCE, "mu > 0 exactly, and s x_l0 >= 0 for a token that is only pushed outwards"
        if not self.one_signed:
            return None, "mu_n of both signs, or not of a certain one, and token 1 alone does not decide"
        if self.mu_bar < 0:
            return Scenario.CONVERGENT, "mu_n <= 0 exactly, not all zero: every token falls at least like t^(-1/2)"
        if self.mu_bar > 0 and all(one < 0 for one in self.slopes):
            return Scenario.SLOW_DIVERGENCE, "mu_n >= 0 exactly, not all zero, and s x_l0 < 0 for every non-zero token"
        return None, "the sign of mu, or of some s x_l0, is not decided by its ball"

    def remaining(self, y: Sequence[arb]) -> arb:
        """An upper bound of T* - t: the least blow-up time of a token alone, at the lower ends of |x_l|."""
        count = len(y) if self.one_signed else 1
        sizes = [(one.exp()).lower() for one in y[:count]]
        bounds = [
            bound
            for size, slope in zip(sizes, self.slopes, strict=False)
            if slope >= 0 and (bound := blow_up_bound(self.mu_bar, slope, self.b, [size])) is not None
        ]
        return min(bounds, key=lambda one: one.mid()).upper()

    def drives(self, y: list) -> tuple[list, list]:
        """(P_l = sum_n mu_n g_ln, G_l = sum_n |mu_n| g_ln) for balls, complex balls or series."""
        zero = y[0] * 0
        g = [zero for _ in self.mu]
        pushes, sizes = [], []
        for one, slope, gap in zip(y, self.slopes, self.gaps, strict=True):
            delta = _softplus(slope * one.exp() + self.b)
            own = (2 * one).exp() * delta
            g = [own + _weaken(part, rate, delta, gap * self.at_zero) for part, rate in zip(g, self.a, strict=True)]
            pushes.append(_dot(self.mu, g))
            sizes.append(_dot([abs(m) for m in self.mu], g))
        return pushes, sizes

    def velocity(self, y: list[arb_series]) -> tuple[list[arb_series], arb_series]:
        """(dy_l/ds = P_l / rho for every token, rho = sum_l G_l)."""
        pushes, sizes = self.drives(y)
        rho = sum(sizes[1:], sizes[0])
        inverse = 1 / rho
        return [push * inverse for push in pushes], rho

    def jacobian(self, y: list[arb]) -> tuple[list[list[arb]], list[arb]]:
        """(d(dy_l/ds) / dy_m, d ln rho / dy_m) on a box of real balls.

        With P_l = sum_n mu_n g_ln and O_l the others' sizes, dy_l/ds = P_l / (G_l + O_l) has the derivative
        (dP_l O_l - P_l dO_l) / rho^2 + (dP_l G_l - P_l dG_l) / rho^2, and the second part vanishes for mu_n of one
        sign: where one token dominates, nothing is left.
        """
        count = len(y)
        pushes, sizes, d_pushes, d_sizes = self._gradients(y)
        rho = sum(sizes, arb(0))
        d_rho = [sum((row[m] for row in d_sizes), arb(0)) for m in range(count)]
        rows = []
        for l in range(count):  # noqa: E741
            others = sum((one for k, one in enumerate(sizes) if k != l), arb(0))
            row = []
            for m in range(count):
                d_others = sum((one[m] for k, one in enumerate(d_sizes) if k != l), arb(0))
                part = d_pushes[l][m] * others - pushes[l] * d_others
                if not self.one_signed:
                    part += d_pushes[l][m] * sizes[l] - pushes[l] * d_sizes[l][m]
                row.append(part / rho**2)
            rows.append(row)
        return rows, [one / rho for one in d_rho]

    def _gradients(self, y: list[arb]):
        """P_l and G_l with their derivatives in every y_m."""
        rates = range(len(self.mu))
        g, d_g = [arb(0) for _ in rates], [[arb(0)] * len(y) for _ in rates]
        pushes, sizes, d_pushes, d_sizes = [], [], [], []
        weights = [abs(one) for one in self.mu]
        for l, (one, slope, gap) in enumerate(zip(y, self.slopes, self.gaps, strict=True)):  # noqa: E741
            x, square = one.exp(), (2 * one).exp()
            delta, opening = _softplus(slope * x + self.b), slope * x * _logistic(slope * x + self.b)
            for n in rates:
                kept = _weaken(arb(1), self.a[n], delta, gap * self.at_zero)
                d_g[n] = [kept * part for part in d_g[n]]
                d_g[n][l] = square * (2 * delta + opening) - self.a[n] * opening * kept * g[n]
                g[n] = square * delta + kept * g[n]
            pushes.append(_dot(self.mu, g))
            sizes.append(_dot(weights, g))
            d_pushes.append([_dot(self.mu, [row[m] for row in d_g]) for m in range(len(y))])
            d_sizes.append([_dot(weights, [row[m] for row in d_g]) for m in range(len(y))])
        return pushes, sizes, d_pushes, d_sizes

    def step(self, state: _State, at_most: arb | None) -> _State:
        """One validated step."""
        place, radius, speed, slowness = self._analytic(state.y, state.place)
        series, times = self._taylor(state.y)
        h = (arb(SHARE) * radius / speed).lower()
        if at_most is not None:
            h = h.min(at_most).lower()
        while True:
            # sum over k >= ORDER of r (m h / r)^k, and of m_t (m / r)^(k - 1) h^k / k for the time.
            share = h * speed / radius
            rest = (radius * share**ORDER / (1 - share)).upper()
            rest_of_time = (slowness * h * share ** (ORDER - 1) / (1 - share)).upper()
            apart = 2 * state.error
            grown, log_slope = self._sensitivity_along(series, h, (rest + apart).upper())
            error = (state.error * grown.exp()).upper()
            if error == 0 or error < apart:
                break
            h = (h / 2).lower()
            if not h > _SHORTEST:
                raise HypothesisError(
                    f"expected solutions that stay together for a step, found none near t = {state.time}; the tokens "
                    "are too uncertain, or too far apart in size, to be enclosed"
                )
        y = [_evaluate(one, h) for one in series]
        # d ln rho over the tube between the point's solution and the true one.
        stretched = (log_slope * error).upper()
        passed = (_evaluate(times, h) + arb(0, rest_of_time)) * arb(0, stretched).exp()
        error = (error + rest + _largest_radius(y)).upper()
        return _State(state.s + h, state.time + passed, _middles(y), error, place)

    def _sensitivity_along(self, series: list[arb_series], h: arb, width: arb) -> tuple[arb, arb]:
        """(the integral of the logarithmic norm, the largest sum of |d ln rho / dy_m|) over a tube about a step."""
        growth, log_slope = arb(0), arb(0)
        for k in range(PIECES):
            part = (h * k / PIECES).union(h * (k + 1) / PIECES)
            found, slope = self._sensitivity([_evaluate(one, part) + arb(0, width) for one in series])
            growth, log_slope = growth + found * h / PIECES, log_slope.max(slope)
        return growth.upper(), log_slope.upper()

    def _sensitivity(self, box: list[arb]) -> tuple[arb, arb]:
        """(the largest logarithmic norm of the Jacobian, at least 0; the largest sum of |d ln rho / dy_m|) on a box."""
        rows, log_slopes = self.jacobian(box)
        growth = arb(0)
        for l, row in enumerate(rows):  # noqa: E741
            aside = sum((abs(one) for m, one in enumerate(row) if m != l), arb(0))
            growth = growth.max(row[l] + aside)
        return growth.upper(), sum((abs(one) for one in log_slopes), arb(0)).upper()

    def _analytic(self, y: list[arb], start: int) -> tuple[int, arb, arb, arb]:
        """(place of r in RADII, r, m, m_t): on the polydisc of radius r about y, |dy_l/ds| <= m and |1 / rho| <= m_t.

        r / m is largest among neighbouring radii, searched for from the place `start`.
        """
        leading = self._leading(y)

        @cache
        def bounds(place: int) -> tuple[float, arb, arb, arb]:
            """(r / m, r, m, m_t); 0 instead of r / m where the field is not bounded."""
            radius = arb(RADII[place])
            disc = [acb(one + arb(0, radius), arb(0, radius)) for one in y]
            # Tokens of about one size are bounded better as they are, those behind a large one in its units.
            both = self._bounds(*self.drives(disc), arb(1)), self._bounds(*self._drives_in_units(disc, leading))
            found = [one for one in both if one is not None]
            if not found:
                return 0.0, radius, arb("inf"), arb("inf")
            speed, slowness = min(found, key=lambda one: float(one[0]))
            return float(radius / speed), radius, speed, slowness

        place = start
        while bounds(place)[0] == 0 and place + 1 < len(RADII):
            place += 1
        while place > 0 and bounds(place - 1)[0] > bounds(place)[0]:
            place -= 1
        while place + 1 < len(RADII) and bounds(place + 1)[0] > bounds(place)[0]:
            place += 1
        reach, radius, speed, slowness = bounds(place)
        if reach == 0:
            raise HypothesisError(
                f"expected a field bounded near ln|x| = {', '.join(one.str(5) for one in y)}, found none; the tokens "
                "are too far apart in size to be enclosed"
            )
        return place, radius, speed, slowness

    def _bounds(self, pushes: list[acb], sizes: list[acb], unit: arb) -> tuple[arb, arb] | None:
        """(m, m_t) from P_l and G_l on a polydisc, in units of at least `unit`; None if there are none."""
        slowness = 1 / sum(sizes, acb(0)).abs_lower()
        speed = _largest([self._speed(*pair, sizes, slowness) for pair in zip(pushes, sizes, strict=True)])
        slow = (slowness / unit).upper()
        return (speed, slow) if speed.is_finite() and slow.is_finite() and slowness > 0 else None

    def _leading(self, y: list[arb]) -> int:
        """The token whose own input x_l^2 Delta_l is largest."""
        own = [2 * one + _softplus(slope * one.exp() + self.b).log() for one, slope in zip(y, self.slopes, strict=True)]
        return max(range(len(own)), key=lambda token: own[token].mid())

    def _drives_in_units(self, y: list[acb], leading: int) -> tuple[list[acb], list[acb], arb]:
        """(P_l, G_l) over the leading token's own input on a polydisc, and the least modulus of that input.

        What a token passes on to later ones is in these units a product of decays, which its own size does not widen.
        """
        deltas = [_softplus(slope * one.exp() + self.b) for one, slope in zip(y, self.slopes, strict=True)]
        g, pushes, sizes = [acb(0) for _ in self.mu], [], []
        for l, (one, delta, gap) in enumerate(zip(y, deltas, self.gaps, strict=True)):  # noqa: E741
            own = acb(1) if l == leading else (2 * (one - y[leading])).exp() * (delta / deltas[leading])
            g = [own + _weaken(part, rate, delta, gap * self.at_zero) for part, rate in zip(g, self.a, strict=True)]
            pushes.append(_dot(self.mu, g))
            sizes.append(_dot([abs(m) for m in self.mu], g))
        unit = (2 * y[leading].real).exp().lower() * deltas[leading].abs_lower()
        return pushes, sizes, unit.lower()

    def _speed(self, push: acb, size: acb, sizes: list[acb], slowness: arb) -> arb:
        """|P_l / rho| on a polydisc; for a token that dominates, at most 1 / (1 - |others| / |G_l|)."""
        found = (push.abs_upper() * slowness).upper()
        others = sum((one.abs_upper() for one in sizes if one is not size), arb(0))
        left = 1 - (others / size.abs_lower()).upper()
        return found.min((1 / left).upper()) if self.one_signed and left > 0 else found

    def _taylor(self, y: list[arb]) -> tuple[list[arb_series], arb_series]:
        """Taylor polynomials, ORDER coefficients each, of y(s) and t(s) - t(0): one more coefficient per pass."""
        before, series = flint.ctx.cap, [arb_series([one]) for one in y]
        try:
            for order in range(1, ORDER):
                flint.ctx.cap = order
                velocity, rho = self.velocity(series)
                flint.ctx.cap = order + 1
                series = [_integral(one, start) for one, start in zip(velocity, y, strict=True)]
            flint.ctx.cap = ORDER - 1
            _, rho = self.velocity(series)
            flint.ctx.cap = ORDER
            return series, _integral(1 / rho, arb(0))
        finally:
            flint.ctx.cap = before


def _dot(weights: list[arb], values: list):
    return sum((weight * one for weight, one in zip(weights[1:], values[1:], strict=True)), weights[0] * values[0])


def _middles(y: list[arb]) -> list[arb]:
    return [one.mid() for one in y]


def _largest_radius(y: list[arb]) -> arb:
    return _largest([arb(0), *(one.rad() for one in y)])


def _largest(values: list[arb]) -> arb:
    """A ball that contains the largest of them, at full precision (as floats, close ones could not be told apart)."""
    found = values[0]
    for one in values[1:]:
        found = found.max(one)
    return found


def _total(numbers: Sequence[Number]) -> arb:
    """The sum as a ball: of the exact sum where the numbers are exact, so that what cancels is exactly zero."""
    exact = sum((Fraction(one) for one in numbers if not isinstance(one, arb)), Fraction(0))
    return sum((one for one in numbers if isinstance(one, arb)), ball(exact))


def _logistic(z: arb) -> arb:
    return 1 / (1 + (-z).exp()) if z > 0 else z.exp() / (1 + z.exp())


def _integral(series: arb_series, start: arb) -> arb_series:
    return arb_series([start, *(series[k] / (k + 1) for k in range(len(series)))])


def _evaluate(series: arb_series, h: arb) -> arb:
    value = arb(0)
    for k in reversed(range(len(series))):
        value = value * h + series[k]
    return value


def _weaken(part, rate: arb, delta, passed: arb):
    """e^{-a (Delta_l + Delta(0) per zero token before it)} g_{l-1}."""
    return (-rate * (delta + passed)).exp() * part


def _softplus(z):
    """ln(1 + e^z), accurate at both ends, for balls, complex balls and series."""
    if isinstance(z, arb_series):
        positive = z[0] > 0
        small = (-z if positive else z).exp()
        first = small[0]
        # ln(1 + small) = ln(1 + first) + ln(1 + (small - first) / (1 + first)): no accuracy is lost where it is tiny.
        logarithm = (1 + (small - first) / (1 + first)).log() + first.log1p()
        return z + logarithm if positive else logarithm
    positive = (z.real if isinstance(z, acb) else z) > 0
    # A complex ball on which 1 + e^z turns about 0 contains a zero of it, pi i, and has no finite logarithm.
    logarithm = (-z if positive else z).exp().log1p()
    return z + logarithm if positive else logarithm
