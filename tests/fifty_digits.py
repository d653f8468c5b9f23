"""Verdicts on boundary and extreme numbers against exact rationals and 50-digit arithmetic, by the theory alone.

    python tests/fifty_digits.py --cases 10000 --simulate-every 10      # minutes; a slice of it runs in the tests

Every case is drawn twice: as float64, and rounded to float32, which are other numbers with verdicts of their own. The
oracle knows theory.md and nothing of the package: signs are those of exact rational numbers, eigenvalues, integrals and
step sizes are computed by mpmath. Where the theory says nothing it is silent (None).

A verdict is `wrong` where it names another scenario than the oracle; `undecided` verdicts are counted where the oracle
speaks and the numbers are away from every boundary (no exact tie, no cancellation beyond 1e-6, nothing subnormal).
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
from mpmath import mp
from mpmath.calculus.quadrature import GaussLegendre

mp.dps = 50

TINY, SUBNORMAL, HUGE = 1e-300, 5e-324, 1e150
#: A Gauss-Legendre rule on [-1, 1] to 50 digits: (node, weight).
NODES = GaussLegendre(mp).calc_nodes(3, mp.prec)
#: Numbers that float64 and its users trip over.
EXTREMES = (SUBNORMAL, 3e-310, 2.3e-308, TINY, 1e-160, 1e-30, 1e-9, 1e9, 1e30, HUGE)


def sign(value):
    return int(value > 0) - int(value < 0)


# --- one dimension ------------------------------------------------------------------------------


@dataclass
class Scalar:
    """mu_n = c_n b_n, rates a_n, slope s, bias b, tokens x0, all as stored floats."""

    B: np.ndarray
    C: np.ndarray
    a: np.ndarray
    s: float
    bias: float
    x0: np.ndarray

    def products(self):
        """{a_n: mu_n} exactly; states of equal rate are one state."""
        found = {}
        for b, c, rate in zip(self.B.tolist(), self.C.tolist(), self.a.tolist(), strict=True):
            found[rate] = found.get(rate, Fraction(0)) + Fraction(b) * Fraction(c)
        return found

    def layer(self):
        from mamba_dynamics import S6Layer

        return S6Layer.from_matrices(
            S_B=self.B[:, None], S_C=self.C[:, None], S_Delta=[[self.s]], a=self.a[None], dt_bias=self.bias
        )

    @property
    def on_a_boundary(self):
        """An exact tie, a cancellation, or a number without all its digits."""
        products = list(self.products().values())
        total, largest = abs(sum(products)), max(abs(one) for one in products)
        small = np.finfo(float).tiny
        numbers = np.concatenate([self.B, self.C, self.x0, [self.s, *map(float, map(_clipped, products))]])
        return bool(total <= largest / 10**6 or self.s == 0 or np.any(np.abs(numbers) < small))

    @property
    def is_ordinary(self):
        """Nothing that puts the laws of tokens beyond what float64 or the budget reach."""
        numbers = np.abs(np.concatenate([self.B, self.C, self.x0[self.x0 != 0], [self.s]]))
        moderate = np.all((numbers > 0.02) & (numbers < 50)) and self.bias > -10 and self.a.max() <= 10
        return bool(moderate and not self.on_a_boundary)


def _clipped(value):
    return min(max(value, Fraction(-(10**300))), Fraction(10**300))


def scalar_scenario(one: Scalar):
    """The scenario by theory 3.1 and 3.6, or None where it says nothing."""
    products = list(one.products().values())
    total, active = sum(products), [x for x in one.x0.tolist() if x != 0]
    if not active or not any(products):
        return "constant"
    drives = [sign(one.s) * sign(x) for x in active]
    one_signed = all(mu >= 0 for mu in products) or all(mu <= 0 for mu in products)
    where = np.flatnonzero(one.x0)
    zeros_between = where[-1] - where[0] + 1 > len(where)
    if total < 0:
        return None if zeros_between and not one_signed else "convergent"
    if total == 0:
        return "constant" if len(active) == 1 else None
    if one.s == 0 or drives[0] > 0 or (one_signed and max(drives) > 0):
        return "fast_divergence"
    return "slow_divergence" if one_signed or len(active) == 1 else None


def draw_number(rng, kind):
    """A number of either sign: ordinary, extreme, or an integer that ties with others."""
    size = {
        "ordinary": lambda: np.exp(rng.normal()),
        "extreme": lambda: rng.choice(EXTREMES) * rng.choice([1.0, 1.0, 1.5]),
        "tie": lambda: rng.choice([0.0, 1.0, 1.0, 2.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0)]),
    }[kind]()
    return float(size * rng.choice([-1.0, 1.0]))


def draw_scalar(rng, dtype):
    states, tokens = int(rng.choice([1, 1, 2, 3])), int(rng.choice([1, 2, 3, 5]))
    kinds = rng.choice(["ordinary", "extreme", "tie"], size=4, p=[0.55, 0.25, 0.2])
    B, C = (np.array([draw_number(rng, kinds[k]) for _ in range(states)]) for k in (0, 1))
    x0 = np.array([draw_number(rng, kinds[2]) for _ in range(tokens)]) * (rng.random(tokens) > 0.15)
    a = rng.choice([0.0, 0.3, 1.0, 1.0, 2.0, 1e-300, 1e3, 1e300], size=states)
    numbers = (B, C, a, np.array([draw_number(rng, kinds[3])]), np.array([rng.choice([0.0, -5.0, 3.0, -700.0])]), x0)
    with np.errstate(over="ignore", under="ignore"):
        B, C, a, s, bias, x0 = (
            np.clip(one, -1e38, 1e38).astype(dtype) if dtype == np.float32 else one for one in numbers
        )
    B, C, a, s, bias, x0 = (one.astype(np.float64) for one in (B, C, a, s, bias, x0))
    return Scalar(B, C, a, float(s[0]), float(bias[0]), x0)


# --- several dimensions -------------------------------------------------------------------------


@dataclass
class Matrix:
    """S_B, S_C (N, D) as stored floats; `steps` whether S_Delta is zero, so that step sizes are constant."""

    B: np.ndarray
    C: np.ndarray
    constant_steps: bool

    def layer(self):
        from mamba_dynamics import S6Layer

        slope = np.zeros((self.B.shape[1],) * 2) if self.constant_steps else np.eye(self.B.shape[1])
        return S6Layer.from_matrices(S_B=self.B, S_C=self.C, S_Delta=slope, a=1.0)

    def M(self):
        B, C = ([[Fraction(one) for one in row] for row in matrix.tolist()] for matrix in (self.B, self.C))
        size = range(self.B.shape[1])
        return [[sum((c[i] * b[j] for b, c in zip(B, C, strict=True)), Fraction(0)) for j in size] for i in size]


def polynomial(M):
    """Coefficients of det(z - M), highest first, exactly (Faddeev and LeVerrier)."""
    size, found = len(M), [Fraction(1)]
    power = [[Fraction(i == j) for j in range(size)] for i in range(size)]
    for k in range(1, size + 1):
        power = [
            [sum((M[i][m] * power[m][j] for m in range(size)), Fraction(0)) for j in range(size)] for i in range(size)
        ]
        found.append(-sum((power[i][i] for i in range(size)), Fraction(0)) / k)
        for i in range(size):
            power[i][i] += found[-1]
    return found


def inertia(M):
    """(positive, negative, zero) eigenvalues of sym(M): its polynomial has real roots only, which Descartes counts."""
    size = range(len(M))
    found = polynomial([[(M[i][j] + M[j][i]) / 2 for j in size] for i in size])
    while len(found) > 1 and found[-1] == 0:
        found.pop()
    positive = _changes(found)
    negative = _changes([c * (-1) ** k for k, c in enumerate(found)])
    return positive, negative, len(M) - positive - negative


def _changes(coefficients):
    signs = [sign(c) for c in coefficients if c]
    return sum(p != q for p, q in pairwise(signs))


def eigenvalues(M):
    """Those of M that are not exactly zero, to 50 digits, scaled by the largest entry."""
    largest = max(abs(one) for row in M for one in row)
    if largest == 0:
        return []
    found = polynomial([[one / largest for one in row] for row in M])
    while len(found) > 1 and found[-1] == 0:
        found.pop()
    if len(found) == 1:
        return []
    coefficients = [mp.mpf(c.numerator) / mp.mpf(c.denominator) for c in found]
    # Roots of very different sizes, and multiple ones, cost digits: half of these are left at least.
    return mpmath.polyroots(coefficients, maxsteps=500, extraprec=2500)


def draw_matrix(rng, dtype):
    states, channels = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    style = rng.choice(["ordinary", "integers", "semidefinite", "definite", "antisymmetric", "scaled", "subnormal"])
    B, C = rng.normal(size=(2, states, channels))
    if style in ("integers", "antisymmetric"):
        B, C = rng.integers(-1, 2, size=(2, states, channels)).astype(float)
    if style == "antisymmetric":
        states, channels = 2, max(2, channels)
        B, C = np.zeros((2, 2, channels))
        B[0, 0] = B[1, 1] = 1.0
        C[0, 1], C[1, 0] = 1.0, -1.0
    if style in ("semidefinite", "definite"):
        B = rng.integers(-2, 3, size=(channels if style == "definite" else states, channels)).astype(float)
        C = B * rng.choice([-1.0, 1.0])
    if style == "scaled":
        B, C = B * 10.0 ** rng.choice([-300, -150, 30, 150]), C * 10.0 ** rng.choice([-300, -150, 30, 150])
    if style == "subnormal":
        B = B * 10.0 ** rng.choice([-320, -310, 0, 0], size=B.shape)
    with np.errstate(over="ignore", under="ignore"):
        B, C = (np.clip(one, -1e38, 1e38).astype(dtype).astype(float) if dtype == np.float32 else one for one in (B, C))
    return Matrix(B, C, bool(rng.random() < 0.5)), style


# --- what is compared ---------------------------------------------------------------------------


@dataclass
class Tally:
    """`wrong` holds words on every wrong verdict."""

    cases: int = 0
    away: Counter = field(default_factory=Counter)
    undecided: Counter = field(default_factory=Counter)
    wrong: list = field(default_factory=list)
    simulated: int = 0
    refused: int = 0

    def judge(self, what, found, truth, away, case):
        """One verdict against the oracle's, which is None where it is silent."""
        if truth is None:
            return
        if away:
            self.away[what] += 1
            self.undecided[what] += found == "undecided"
        if found not in ("undecided", truth):
            self.wrong.append(f"{what}: {found}, expected {truth}: {case}")


def check_prediction(one: Scalar, tally: Tally):
    from mamba_dynamics import ScalarSystem, predict_scenario

    found = predict_scenario(ScalarSystem.of(one.layer(), one.x0)).scenario.value
    tally.judge("theory", found, scalar_scenario(one), not one.on_a_boundary, one)


def check_run(one: Scalar, tally: Tally):
    """The simulated scenario, whether it and theory agree, and the first token's time to 50 digits."""
    from mamba_dynamics import HypothesisError, classify

    truth, away = scalar_scenario(one), not one.on_a_boundary
    try:
        found = classify(one.layer(), one.x0)
    except HypothesisError:  # products beyond float64's range, which is said
        tally.refused += 1
        return
    tally.simulated += 1
    tally.judge("simulation", found.simulated.value, truth, away, one)
    agreement = {"holds": "holds", "fails": "fails"}.get(found.agreement.value, "undecided")
    tally.judge("agreement", agreement, "holds" if truth else None, one.is_ordinary, one)
    if found.simulated.value not in ("undecided", "constant"):
        check_first_token(one, found.trajectory, tally)


def softplus(z):
    return mp.log1p(mp.exp(z)) if z < 100 else z + mp.log1p(mp.exp(-z))


def integral(of, start, end):
    """Gauss and Legendre on panels that halve towards both ends, where an integrand like e^(e^y) has its mass."""
    whole = end - start
    parts = [mp.mpf(2) ** -k for k in range(2, 34)]
    parts = sorted({mp.mpf(0), mp.mpf(1), *parts, mp.mpf(1) / 2, *(1 - part for part in parts)})
    edges = [start + whole * part for part in parts]
    fine = []
    for left, right in pairwise(edges):
        fine += mp.linspace(left, right, 2 + int(abs(right - left)))[:-1]
    return sum(
        (right - left) / 2 * w * of((left + right) / 2 + (right - left) / 2 * x)
        for left, right in pairwise([*fine, edges[-1]])
        for x, w in NODES
    )


def check_first_token(one: Scalar, run, tally: Tally):
    """d ln|x| / dt = mu x^2 softplus(s x + b) for the first active token: t is an integral over ln|x|, to 50 digits."""
    products = one.products()
    total, first = sum(products.values()), int(np.flatnonzero(one.x0)[0])
    if total == 0:
        return
    mu, direction = mp.mpf(total.numerator) / total.denominator, sign(one.x0[first])

    def seconds(y):
        """dt / d ln|x|."""
        x = mp.exp(y)
        return 1 / (mu * x * x * softplus(mp.mpf(one.s) * direction * x + mp.mpf(one.bias)))

    start = mp.log(abs(mp.mpf(one.x0[first])))
    for sample in {len(run) // 2, len(run) - 1}:
        end, log_t = mp.mpf(run.log_abs[sample, first]), float(run.log_t[sample])
        # Where ln|x| has not moved by many of its own roundings, time is not a function of it.
        if not 1e-6 * (1 + abs(float(end))) < abs(float(end - start)) < 100 or not np.isfinite(log_t):
            continue
        expected = integral(seconds, start, end)
        # d ln t / d ln|x|: what an error in ln|x| does to ln t.
        slope = float(abs(seconds(end) / expected))
        tally.away["first token"] += 1
        if not abs(float(mp.log(expected)) - log_t) <= 1e-8 * (1 + slope * (1 + abs(float(end))) + abs(log_t)):
            tally.wrong.append(f"first token: ln t = {log_t} at ln|x| = {end}, expected {mp.log(expected)}: {one}")


def check_weights(one: Matrix, style, tally: Tally):
    from mamba_dynamics import weights_verdict

    verdict, M = weights_verdict(one.layer()), one.M()
    group, exact, roots = verdict.groups[0], inertia(M), eigenvalues(M)
    away = style in ("ordinary", "definite") and exact[2] == len(M) - min(2 * len(one.B), len(M))
    if group.symmetric_part.known_by.value == "certified":
        counts = (group.symmetric_part.positive, group.symmetric_part.negative, group.symmetric_part.zero)
        tally.judge("inertia", str(counts), str(exact), away, one)
    definite = "convergent" if exact[1] == len(M) else "divergent" if exact[0] == len(M) else None
    if definite == "convergent" and not one.constant_steps:
        definite = "undecided"
    mixed = exact[0] > 0 and exact[1] > 0
    truth = definite or ("mixed" if mixed else "constant" if not any(map(any, M)) else "undecided")
    if truth != "undecided" or verdict.certified.value not in ("undecided", "constant"):
        tally.judge("certified", verdict.certified.value, truth, away and truth != "undecided", one)
    scale = max((abs(z) for z in roots), default=mp.mpf(0))
    signs = [0 if abs(z.real) <= scale * mp.mpf(10) ** -20 else sign(z.real) for z in roots]
    rank = min(one.B.shape)
    truth = "divergent" if 1 in signs else "convergent" if signs == [-1] * rank else None
    found = verdict.spectral.value
    if truth is None and found in ("divergent", "convergent") and 0 not in signs:
        tally.wrong.append(f"spectral: {found}, but signs are {signs}: {one}")
    tally.judge("spectral", found, truth, style == "ordinary", one)
    diagonal = [sign(M[d][d]) for d in range(len(M))]
    counts = (group.channels_convergent, group.channels_divergent, group.channels_degenerate)
    tally.judge("channels", str(counts), str(tuple(diagonal.count(one) for one in (-1, 1, 0))), True, one)


def check(cases, simulate_every, seed=0, progress=None):
    """Draw and judge `cases` sets of parameters, half of them scalar; a `Tally`."""
    tally = Tally()
    for case in range(cases):
        dtype = (np.float64, np.float32)[case // 2 % 2]
        rng = np.random.default_rng([seed, case // 4, case % 2])
        tally.cases += 1
        if case % 2:
            check_weights(*draw_matrix(rng, dtype), tally)
        else:
            one = draw_scalar(rng, dtype)
            check_prediction(one, tally)
            if simulate_every and case // 2 % simulate_every == 0:
                check_run(one, tally)
        if progress:
            progress(case + 1, tally)
    return tally


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--simulate-every", type=int, default=10, help="integrate every N-th one-dimensional case")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()

    def progress(done, tally):
        if done % 1000 == 0:
            print(
                f"{done} of {given.cases}, {len(tally.wrong)} wrong, {time.monotonic() - began:.0f} s", file=sys.stderr
            )

    tally = check(given.cases, given.simulate_every, given.seed, progress)
    print(
        f"{tally.cases} sets of parameters, {tally.simulated} of them integrated, {tally.refused} refused: "
        f"{len(tally.wrong)} wrong verdicts"
    )
    for what, count in tally.away.items():
        share = tally.undecided[what] / count
        print(f"  {what:12} {count} verdicts away from boundaries, {tally.undecided[what]} undecided ({share:.2%})")
    for words in tally.wrong[:20]:
        print(words)
    return bool(tally.wrong) or any(tally.undecided[what] > 0.05 * count for what, count in tally.away.items())


if __name__ == "__main__":
    sys.exit(main())
