"""The asymptotics engine: every token's growth law as a sympy expression, from signs and weights.

It needs no simulation, except for two things it says it was told: which token blows up first (l*), and at what ratio
a slowly diverging token freezes. Symbols: mu, a (mu_1, a_1, ... for several decay rates), s, b as in theory section 3;
t, and T for the blow-up time T*. What theory leaves open is a symbol too: C_l a positive constant, c_l a frozen ratio
(at least 1), X_l a finite limit.

    kind                  |x_l| behaves like
    power                 (kappa_l / (2 |mu| delta_0 t))^(1/2), or (3 mu |s| (T - t))^(-1/3)
    faster_power          C_l t^(-K_l / 2), K_l > 1
    logarithm             (ln t + 3 ln ln t + ln(mu e^b / s^2)) / |s|
    frozen_ratio          c_l ln t / |s|
    iterated_logarithm    ln ln(1 / (T - t)) / (a |s|), and two more logarithms per token
    follows               C_l times a power of the token before
    finite                X_l;  constant and zero: the initial value
"""

import enum
from dataclasses import dataclass

import sympy as sp

from .._outcomes import Scenario
from .base import Prediction, ScalarSystem
from .contract import Told
from .convergent import kappa as numeric_kappa
from .dichotomy import predict_scenario
from .slow_divergence import comes_down_to_first

t, T = sp.symbols("t T", positive=True)
s, b = sp.symbols("s b", real=True)
delta_0 = sp.log(1 + sp.exp(b))


class Growth(enum.StrEnum):
    """The kinds of growth; see the module docstring."""

    POWER = "power"
    FASTER_POWER = "faster_power"
    LOGARITHM = "logarithm"
    FROZEN_RATIO = "frozen_ratio"
    ITERATED_LOGARITHM = "iterated_logarithm"
    FOLLOWS = "follows"
    FINITE = "finite"
    CONSTANT = "constant"
    ZERO = "zero"
    OPEN = "open"


@dataclass(frozen=True)
class TokenAsymptotics:
    """One token (0-based): |x_l| up to o(1) relative, in the module's symbols; None where theory makes no claim.

    `constant`: the factor theory gives in front of the growth (kappa_l, 1/(a |s|), ...), None where it is open.
    `told`: the inputs that came from a simulation. `theorem`: its entry in the catalogue.
    """

    index: int
    growth: Growth
    expression: sp.Expr | None
    constant: sp.Expr | None = None
    told: tuple[str, ...] = ()
    theorem: str | None = None


@dataclass(frozen=True)
class Asymptotics:
    """The growth laws of a system's tokens, as t -> infinity or, after a blow-up, as t -> T."""

    system: ScalarSystem
    prediction: Prediction
    tokens: tuple[TokenAsymptotics, ...]

    @property
    def values(self) -> dict[sp.Symbol, float]:
        """The system's numbers for the symbols of the expressions."""
        mu, a = _rates(self.system)
        found = dict(zip((*mu, *a), (*self.system.mu.tolist(), *self.system.a.tolist()), strict=True))
        return {**found, s: self.system.s, b: self.system.b}

    def evaluated(self, index: int) -> sp.Expr | None:
        """A token's law with the system's numbers put in."""
        expression = self.tokens[index].expression
        return None if expression is None else expression.subs(list(self.values.items()))


def asymptotics(system: ScalarSystem, told: Told | None = None) -> Asymptotics:
    """Every token's growth law. Fast divergence needs `told.first_token`; without it those laws are open."""
    told = told or Told()
    prediction = predict_scenario(system)
    write = {
        Scenario.CONVERGENT: _convergent,
        Scenario.SLOW_DIVERGENCE: _slow,
        Scenario.FAST_DIVERGENCE: _fast,
        Scenario.CONSTANT: _constant,
    }.get(prediction.scenario)
    tokens = range(len(system.x0))
    if write is None or (write is _fast and told.first_token is None):
        return Asymptotics(system, prediction, tuple(TokenAsymptotics(l, Growth.OPEN, None) for l in tokens))  # noqa: E741
    return Asymptotics(system, prediction, tuple(write(system, told)))


def _rates(system: ScalarSystem) -> tuple[list[sp.Symbol], list[sp.Symbol]]:
    """The symbols (mu_n, a_n); mu and a for one rate. Decay rates are positive symbols, mu_n real ones."""
    count = len(system.mu)
    names = [""] if count == 1 else [f"_{n + 1}" for n in range(count)]
    return [sp.Symbol(f"mu{n}", real=True) for n in names], [sp.Symbol(f"a{n}", nonnegative=True) for n in names]


def _zero(index: int) -> TokenAsymptotics:
    return TokenAsymptotics(index, Growth.ZERO, sp.Integer(0), sp.Integer(0), theorem="zero_tokens")


def _constant(system: ScalarSystem, told: Told) -> list[TokenAsymptotics]:
    values = [sp.Float(abs(float(x))) for x in system.x0]
    return [TokenAsymptotics(l, Growth.CONSTANT, x, x, theorem="zero_mu") for l, x in enumerate(values)]  # noqa: E741


def _convergent(system: ScalarSystem, told: Told) -> list[TokenAsymptotics]:
    """kappa_l by the recursion of theory 3.2 and 3.6 in symbols; only which K_l exceed 1 is decided by numbers."""
    mu, a = _rates(system)
    mu_bar = sum(mu, sp.Integer(0))
    _, sums = numeric_kappa(system)
    limits: list[sp.Expr] = []
    found: list[TokenAsymptotics] = []
    for l, active in enumerate(system.active):  # noqa: E741
        K = sum((limits[j] * _kept(mu, a, l - j) for j in range(l)), sp.Integer(0))
        limits.append(sp.Integer(0))
        if not active:
            found.append(_zero(l))
        elif sums[l] < 1:
            limits[l] = sp.simplify(1 - K)
            law = sp.sqrt(limits[l] / (2 * sp.Abs(mu_bar) * delta_0 * t))
            theorem = "convergent_constants" if len(mu) == 1 else "general_rates"
            found.append(TokenAsymptotics(l, Growth.POWER, law, limits[l], theorem=theorem))
        elif sums[l] > 1:
            law = _open("C", l) * t ** (-K / 2)
            found.append(TokenAsymptotics(l, Growth.FASTER_POWER, law, theorem="general_rates"))
        else:
            found.append(TokenAsymptotics(l, Growth.OPEN, None))
    return found


def _kept(mu: list[sp.Symbol], a: list[sp.Symbol], steps: int) -> sp.Expr:
    """phi(delta_0 steps)."""
    terms = [m * (1 + sp.exp(b)) ** (-rate * steps) for m, rate in zip(mu, a, strict=True)]
    return terms[0] / mu[0] if len(mu) == 1 else sum(terms, sp.Integer(0)) / sum(mu, sp.Integer(0))


def _open(letter: str, index: int) -> sp.Symbol:
    """A positive number that theory leaves open, named after the token (1-based, as in the paper)."""
    return sp.Symbol(f"{letter}_{index + 1}", positive=True)


def _slow(system: ScalarSystem, told: Told) -> list[TokenAsymptotics]:
    mu, _ = _rates(system)
    mu_bar, size = sum(mu, sp.Integer(0)), sp.Abs(s)
    leading = sp.log(t) + 3 * sp.log(sp.log(t)) + sp.log(mu_bar * sp.exp(b) / s**2)
    found: list[TokenAsymptotics] = []
    for l, active in enumerate(system.active):  # noqa: E741
        first = not system.active[:l].any()
        if not active:
            found.append(_zero(l))
        elif first:
            found.append(TokenAsymptotics(l, Growth.LOGARITHM, leading / size, 1 / size, theorem="slow_divergence_law"))
        elif comes_down_to_first(system, l):
            found.append(TokenAsymptotics(l, Growth.FROZEN_RATIO, sp.log(t) / size, 1 / size, theorem="zero_tokens"))
        else:
            ratio = None if told.ratios is None else sp.Float(float(told.ratios[l]))
            law = (_open("c", l) if ratio is None else ratio) * sp.log(t) / size
            known = () if ratio is None else (f"c_{l + 1}",)
            constant = None if ratio is None else ratio / size
            found.append(TokenAsymptotics(l, Growth.FROZEN_RATIO, law, constant, known, "frozen_ratios"))
    return found


def _fast(system: ScalarSystem, told: Told) -> list[TokenAsymptotics]:
    mu, a = _rates(system)
    assert told.first_token is not None
    mu_bar, size, left = sum(mu, sp.Integer(0)), sp.Abs(s), T - t
    inputs, found = ("l*",), []
    previous: _Chain | None = None
    for l, active in enumerate(system.active):  # noqa: E741
        if not active:
            found.append(_zero(l))
            continue
        if l < told.first_token:
            found.append(TokenAsymptotics(l, Growth.FINITE, _open("X", l), None, inputs, "bounded_before_first"))
        elif l == told.first_token:
            scale, power = (2 * mu_bar * delta_0, 2) if system.s == 0 else (3 * mu_bar * size, 3)
            constant = scale ** sp.Rational(-1, power)
            law, theorem = constant * left ** sp.Rational(-1, power), "blow_up_power"
            theorem = "constant_step_size" if system.s == 0 else theorem
            found.append(TokenAsymptotics(l, Growth.POWER, law, constant, inputs, theorem))
            previous = _Chain(l, law, sp.log(1 / left))
        elif system.s == 0 or len(mu) > 1 or previous is None:
            found.append(TokenAsymptotics(l, Growth.OPEN, None, None, inputs))
        else:
            one, previous = _behind(system, previous, l, 1 / (a[0] * size), a[0])
            found.append(one)
    return found


@dataclass(frozen=True)
class _Chain:
    """The last non-zero token: its law, and what ln of it is proportional to."""

    index: int
    law: sp.Expr
    logarithm: sp.Expr


def _behind(
    system: ScalarSystem, before: _Chain, index: int, factor: sp.Expr, rate: sp.Symbol
) -> tuple[TokenAsymptotics, _Chain]:
    """The law of a token behind the blow-up from F(|x_l|) = p ln|x_k| + C."""
    zeros = index - before.index - 1
    theorem = "zero_tokens_at_blow_up" if zeros else "iterated_logarithms"
    if system.drive[index] > 0:
        law = factor * sp.log(before.logarithm)
        growth, constant, logarithm = Growth.ITERATED_LOGARITHM, factor, sp.log(sp.log(before.logarithm))
    else:
        kept = (1 + sp.exp(b)) ** (-rate * zeros)
        law, logarithm = _open("C", index) * before.law**kept, before.logarithm
        growth, constant = Growth.FOLLOWS, None
        theorem = theorem if zeros else "same_power_tokens"
    return TokenAsymptotics(index, growth, law, constant, ("l*",), theorem), _Chain(index, law, logarithm)
