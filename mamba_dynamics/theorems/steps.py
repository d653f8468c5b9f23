"""Steps of a proof that a computer can check: identities, derivatives, inequalities, limits.

Every step is checked twice. Sympy settles it from the symbols' assumptions, by algebra; and, independently, mpmath
evaluates both sides at random points of the domain in 50-digit arithmetic (derivatives by finite differences, limits
by approaching the point). A step sympy cannot settle is undecided, however good its numbers look; a step whose
numbers disagree has failed, whatever sympy says.

The domain of a symbol follows from its assumptions (positive, negative, non-negative, real), or from `domain`.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import mpmath
import sympy as sp

from .._outcomes import Truth

#: Decimal digits of the numerical check, random points tried, and the relative error allowed at them.
DIGITS, POINTS, CLOSE = 50, 12, 1e-30
#: Finite differences keep about a third of the digits.
CLOSE_DERIVATIVE = 1e-12
#: A limit is approached by 10^k for these k (or by a step's own `decades`), and its error must fall below this.
DECADES, CLOSE_LIMIT = (2.0, 6.0, 12.0, 24.0), 1e-3

Domain = Mapping[sp.Symbol, tuple[float, float]]
#: A number of mpmath's (its classes are made at run time, so they are no types).
Real = Any


@dataclass(frozen=True)
class Settled:
    """What became of a step: sympy's answer, the numbers' answer, and both together."""

    algebra: Truth
    numbers: Truth
    worst: float

    @property
    def truth(self) -> Truth:
        if Truth.FAILS in (self.algebra, self.numbers):
            return Truth.FAILS
        return Truth.HOLDS if self.algebra is self.numbers is Truth.HOLDS else Truth.UNDECIDED


@dataclass(frozen=True, kw_only=True)
class Identity:
    """left = right for all values of the symbols, `where` some symbols of the left side stand for expressions.

    The substitution is simultaneous. Sides that are already the same expression prove nothing, and are refused.
    """

    says: str
    left: sp.Expr
    right: sp.Expr
    where: Mapping[sp.Symbol, sp.Expr] = field(default_factory=dict)
    domain: Domain = field(default_factory=dict)

    def __post_init__(self):
        if not self.where and self.left == self.right:
            raise ValueError(f"{self.says!r} compares {self.left} with itself; write what it does with `where`")

    @property
    def formula(self) -> sp.Basic:
        left = sp.Subs(self.left, tuple(self.where), tuple(self.where.values())) if self.where else self.left
        return sp.Eq(left, self.right, evaluate=False)

    def settle(self) -> Settled:
        substituted = self.left.subs(list(self.where.items()), simultaneous=True)
        return Settled(_is_zero(substituted - self.right), *self._numbers())

    def _numbers(self) -> tuple[Truth, float]:
        """The substitution is made with numbers here, not with expressions."""
        inner = [one for one in _symbols(self.left) if one not in self.where]
        symbols = _symbols(self.right, *inner, *self.where.values())
        left, right = _number(self.left, [*inner, *self.where]), _number(self.right, symbols)
        put_in = [_number(one, symbols) for one in self.where.values()]

        def both(values: list[Real]) -> tuple[Real, Real]:
            at = dict(zip(symbols, values, strict=True))
            return left(*(at[one] for one in inner), *(one(*values) for one in put_in)), right(*values)

        return _worst(both, symbols, self.domain, CLOSE)


@dataclass(frozen=True, kw_only=True)
class Derivative:
    """d function / d variable = equals; checked numerically by finite differences, not by differentiating again.

    A function without the variable in it proves nothing, and is refused.
    """

    says: str
    function: sp.Expr
    variable: sp.Symbol
    equals: sp.Expr
    domain: Domain = field(default_factory=dict)

    def __post_init__(self):
        if self.variable not in self.function.free_symbols:
            raise ValueError(f"{self.says!r} differentiates {self.function}, which does not contain {self.variable}")

    @property
    def formula(self) -> sp.Basic:
        return sp.Eq(sp.Derivative(self.function, self.variable), self.equals, evaluate=False)

    def settle(self) -> Settled:
        algebra = _is_zero(sp.diff(self.function, self.variable) - self.equals)
        symbols = _symbols(self.function, self.equals, self.variable)
        place = symbols.index(self.variable)
        function, equals = _number(self.function, symbols), _number(self.equals, symbols)

        def difference(values: list[Real]) -> tuple[Real, Real]:
            def along(one):
                return function(*values[:place], one, *values[place + 1 :])

            return mpmath.diff(along, values[place]), equals(*values)

        return Settled(algebra, *_worst(difference, symbols, self.domain, CLOSE_DERIVATIVE))


@dataclass(frozen=True, kw_only=True)
class Inequality:
    """smaller <= larger on the domain of the symbols (smaller < larger if `strict`).

    Sympy settles it from the sign of the gap larger - smaller: directly; as the explicit form `gap`, which it must
    show equal to the difference and of one sign; or, with `rises_from = (variable, start)`, because the gap is not
    negative at the start and its derivative is not negative beyond (for which it may need the same argument again).
    """

    says: str
    smaller: sp.Expr
    larger: sp.Expr
    gap: sp.Expr | None = None
    rises_from: tuple[sp.Symbol, sp.Expr] | None = None
    strict: bool = False
    domain: Domain = field(default_factory=dict)

    @property
    def formula(self) -> sp.Basic:
        relation = sp.Lt if self.strict else sp.Le
        return relation(self.smaller, self.larger, evaluate=False)

    def settle(self) -> Settled:
        return Settled(self._algebra(), *self._numbers())

    def _algebra(self) -> Truth:
        difference = self.larger - self.smaller
        if self.gap is not None:
            same = _is_zero(difference - self.gap)
            return same if same is not Truth.HOLDS else self._sign(self.gap)
        if self.rises_from is not None:
            return _rises(difference, *self.rises_from, strict=self.strict)
        return self._sign(difference)

    def _sign(self, expression: sp.Expr) -> Truth:
        return _sign_of(expression, strict=self.strict)

    def _numbers(self) -> tuple[Truth, float]:
        symbols = _symbols(self.smaller, self.larger)
        smaller, larger = _number(self.smaller, symbols), _number(self.larger, symbols)

        def excess(values: list[Real]) -> tuple[Real, Real]:
            low, high = smaller(*values), larger(*values)
            return max(low, high), high

        return _worst(excess, symbols, self.domain, CLOSE)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """expression -> value as variable -> point (infinity, or a number approached from above or, `side` "-", below)."""

    says: str
    expression: sp.Expr
    variable: sp.Symbol
    point: sp.Expr
    value: sp.Expr
    side: str = "+"
    decades: tuple[float, ...] = DECADES
    domain: Domain = field(default_factory=dict)

    @property
    def formula(self) -> sp.Basic:
        limit = sp.Limit(self.expression, self.variable, self.point, self.side)
        return sp.Eq(limit, self.value, evaluate=False)

    def settle(self) -> Settled:
        return Settled(self._algebra(), *self._numbers())

    def _algebra(self) -> Truth:
        try:
            found = sp.limit(self.expression, self.variable, self.point, self.side)
        except (NotImplementedError, ValueError, TypeError):
            return Truth.UNDECIDED
        if found.has(sp.Limit):
            return Truth.UNDECIDED
        if self.value.is_infinite:
            return Truth.HOLDS if found == self.value else Truth.FAILS
        return _is_zero(found - self.value)

    def _numbers(self) -> tuple[Truth, float]:
        others = [one for one in _symbols(self.expression, self.value) if one != self.variable]
        expression, value = _number(self.expression, [*others, self.variable]), _number(self.value, others)
        rng, worst = random.Random(self.says), 0.0
        with mpmath.workdps(2 * DIGITS):
            for _ in range(POINTS):
                values = [_draw(rng, one, self.domain) for one in others]
                errors = [_miss(expression(*values, at), value(*values)) for at in self._approach()]
                worst = max(worst, float(errors[-1]))
                if errors[-1] > CLOSE_LIMIT or errors[-1] > errors[0] + mpmath.mpf(10) ** -DIGITS:
                    return Truth.FAILS, worst
        return Truth.HOLDS, worst

    def _approach(self) -> list[Real]:
        ten = mpmath.mpf(10)
        if self.point in (sp.oo, -sp.oo):
            return [(1 if self.point is sp.oo else -1) * ten**k for k in self.decades]
        at = mpmath.mpf(str(sp.N(self.point, DIGITS)))
        return [at + (1 if self.side == "+" else -1) * ten**-k for k in self.decades]


def domain_of(step: "Step") -> str:
    """The domain of a step's symbols in words, from their assumptions: "a, mu > 0; b real"."""
    found = sorted({symbol for symbol in step.formula.free_symbols if isinstance(symbol, sp.Symbol)}, key=str)
    kinds = {
        "positive integers": [one for one in found if one.is_integer],
        "> 0": [one for one in found if one.is_positive and not one.is_integer],
        ">= 0": [one for one in found if one.is_nonnegative and not one.is_positive],
        "< 0": [one for one in found if one.is_negative],
    }
    kinds["real"] = [one for one in found if not any(one in known for known in kinds.values())]
    return "; ".join(f"{', '.join(map(str, symbols))} {kind}" for kind, symbols in kinds.items() if symbols)


Step = Identity | Derivative | Inequality | Limit


def _is_zero(expression: sp.Expr) -> Truth:
    """Whether sympy can show an expression to be zero."""
    if expression == 0:
        return Truth.HOLDS
    for rewrite in (sp.expand, sp.simplify, lambda e: sp.simplify(sp.expand(sp.powsimp(e, force=False)))):
        found = rewrite(expression)
        if found == 0:
            return Truth.HOLDS
    return Truth.FAILS if found.is_number and found.is_zero is False else Truth.UNDECIDED


def _sign_of(expression: sp.Expr, *, strict: bool) -> Truth:
    """Whether an expression is non-negative (positive if strict), from the assumptions on its symbols."""
    for form in (expression, sp.factor(expression), sp.simplify(expression)):
        answer = form.is_positive if strict else form.is_nonnegative
        if answer is not None:
            return Truth.HOLDS if answer else Truth.FAILS
    return Truth.UNDECIDED


def _rises(gap: sp.Expr, variable: sp.Symbol, start: sp.Expr, *, strict: bool, orders: int = 3) -> Truth:
    """Whether gap >= 0 for variable >= start, from gap(start) >= 0 and a derivative (to some order) of one sign."""
    if _sign_of(gap.subs(variable, start), strict=False) is not Truth.HOLDS:
        return Truth.UNDECIDED
    slope = sp.diff(gap, variable)
    if _sign_of(slope, strict=strict) is Truth.HOLDS:
        return Truth.HOLDS
    return _rises(slope, variable, start, strict=strict, orders=orders - 1) if orders > 1 else Truth.UNDECIDED


def _symbols(*expressions: sp.Expr) -> list[sp.Symbol]:
    found = {symbol for one in expressions for symbol in one.free_symbols if isinstance(symbol, sp.Symbol)}
    return sorted(found, key=lambda symbol: symbol.name)


def _number(expression: sp.Expr, symbols: list[sp.Symbol]):
    return sp.lambdify(symbols, expression, modules="mpmath")


def _draw(rng: random.Random, symbol: sp.Symbol, domain: Domain) -> Real:
    """A random point of a symbol's domain with all 50 digits."""
    low, high = domain.get(symbol, (0.1, 4.0) if symbol.is_positive or symbol.is_nonnegative else (-3.0, 3.0))
    if symbol.is_negative and symbol not in domain:
        low, high = -4.0, -0.1
    if symbol.is_integer:
        return mpmath.mpf(rng.randint(max(1, int(low)), int(high)))
    fraction = mpmath.mpf(rng.getrandbits(4 * DIGITS)) / mpmath.mpf(2) ** (4 * DIGITS)
    return low + (high - low) * fraction


def _miss(found: Real, wanted: Real) -> Real:
    """Relative error; for an infinite limit, the inverse of what was reached."""
    if mpmath.isinf(wanted):
        return 1 / mpmath.fabs(found) if found * wanted > 0 else mpmath.inf
    return mpmath.fabs(found - wanted) / (1 + mpmath.fabs(wanted))


def _worst(pair, symbols: list[sp.Symbol], domain: Domain, close: float) -> tuple[Truth, float]:
    """The largest relative difference of a pair of numbers over random points, and whether it is small enough."""
    rng, worst = random.Random(len(symbols)), mpmath.mpf(0)
    with mpmath.workdps(DIGITS):
        for _ in range(POINTS):
            left, right = pair([_draw(rng, one, domain) for one in symbols])
            scale = max(mpmath.fabs(left), mpmath.fabs(right), mpmath.mpf(10) ** -20)
            worst = max(worst, mpmath.fabs(left - right) / scale)
    return Truth.HOLDS if worst <= close else Truth.FAILS, float(worst)
