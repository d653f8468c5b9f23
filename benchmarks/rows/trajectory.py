"""One trajectory into the asymptotic regime: ours in the growth clock, scipy in plain t, heyoka in our coordinates.

Four tokens on a line, A = -1, dt_bias = 0, in the paper's three scenarios:

    convergent        mu = -1; to t = 1e6 and to ln t = 460 (t = 1e200); compared by ln|x_l|
    slow divergence   mu = 1, s x < 0; to ln t = 100, and to ln t = 1e5, which is no float64 any more
    fast divergence   mu = 1, s x > 0; compared by T*. In plain t: to where the largest token passes 1e8, T* - t < 1e-24

Every solver runs at the loosest of rtol = 1e-3, 1e-4, ... that brings its answer within 1e-8 (T*: within 1e-6 of
itself) of a reference, ours at rtol = 1e-13: so all are compared at the same error. The count is that of right-hand
sides, for ours every evaluation of the field or of rho, that of the second run which gives T* its error included.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import OURS, Row

A, BIAS = 1.0, 0.0
RTOLS = tuple(10.0**-k for k in range(3, 14))


@dataclass(frozen=True)
class Case:
    """A scenario: mu, s, x0, how near to the reference an answer must be; ends by size in words, as ln(1 + t)."""

    mu: float
    s: float
    x0: tuple[float, ...]
    within: float
    ends: dict[str, float | None]


CASES = {
    "convergent": Case(-1.0, 1.0, (0.5, -1.5, 1.0, 0.3), 1e-8, {"t = 1e6": math.log1p(1e6), "ln t = 460": 460.0}),
    "slow-divergence": Case(1.0, -1.0, (0.5, 1.5, 1.0, 0.3), 1e-8, {"ln t = 100": 100.0, "ln t = 1e5": 1e5}),
    "fast-divergence": Case(1.0, 1.0, (0.5, 1.5, 1.0, 0.3), 1e-6, {"T*": None}),
}

Run = Callable[[], dict[str, Any]]


def _solved(case: Case, end: float | None, rtol: float):
    from mamba_dynamics import S6Layer, solve, token_dynamics

    layer = S6Layer.scalar(mu=case.mu, S_Delta=case.s, a=A, dt_bias=BIAS)
    return solve(token_dynamics(layer), np.array(case.x0), log_until=end, rtol=rtol, atol=rtol)


def _answer(found) -> np.ndarray:
    return np.array([found.blow_up.time]) if found.blow_up else found.log_abs[-1]


def _ours(case: Case, end: float | None) -> Iterator[Run]:
    def at(rtol: float) -> Run:
        def run():
            found = _solved(case, end, rtol)
            return {"answer": _answer(found), "rhs": found.rhs_evaluations}

        return run

    yield from map(at, RTOLS)


def field_of(mu: float, s: float) -> Callable[[float, np.ndarray], np.ndarray]:
    """dx/dt of the tokens, a scan in Python's floats, which are faster than numpy's for so few."""
    exp, log1p = math.exp, math.log1p

    def dx(t: float, x: np.ndarray) -> np.ndarray:
        h, out = 0.0, []
        for value in x.tolist():
            z = s * value + BIAS
            delta = log1p(exp(z)) if z < 30 else z
            h = value * value * delta + exp(-A * delta) * h
            out.append(mu * value * h)
        return np.array(out)

    return dx


def _scipy(method: str) -> Callable[[Case, float | None], Iterator[Run]]:
    def runs(case: Case, end: float | None) -> Iterator[Run]:
        from scipy.integrate import solve_ivp

        if end is not None and end > math.log(np.finfo(float).max):
            raise RuntimeError(f"t = e^{end:g} is beyond float64, and no solver in plain t can get there")

        def far(t, x):
            return np.abs(x).max() - 1e8

        far.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
        dx = field_of(case.mu, case.s)
        span, events = (0.0, 1e3 if end is None else math.expm1(end)), far if end is None else None

        def at(rtol: float) -> Run:
            def run():
                with np.errstate(all="ignore"):
                    found = solve_ivp(dx, span, case.x0, method=method, rtol=rtol, atol=0.0, events=events)
                    answer = np.array([found.t[-1]]) if end is None else np.log(np.abs(found.y[:, -1]))
                return {"answer": answer, "rhs": found.nfev}

            return run

        yield from map(at, RTOLS)

    return runs


def _heyoka(case: Case, end: float | None) -> Iterator[Run]:
    """Taylor's method in our variables, y = ln|x| and the growth clock s, with t as a further state; to our last s.

    A blow-up is followed until T* - t < e^-40 T*, beyond which it adds nothing to T*.
    """
    import heyoka as hy

    if end is not None and end > math.log(np.finfo(float).max):
        raise RuntimeError(f"t = e^{end:g} is beyond float64, and t is a state here")
    reference = _solved(case, end, RTOLS[-1])
    last = reference.s[-1] if end is not None else reference.s[np.argmax(reference.log_remaining < -40)]
    tokens = len(case.x0)
    y = [hy.make_vars(f"y{i}") for i in range(tokens)]
    h, states = hy.expression(0.0), []
    for one, sign in zip(y, np.sign(case.x0), strict=True):
        z = case.s * float(sign) * hy.exp(one) + BIAS
        delta = hy.select(hy.lt(z, 30.0), hy.log1p(hy.exp(z)), z)
        h = hy.exp(2.0 * one) * delta + hy.exp(-A * delta) * h
        states.append(h)
    total = hy.sum(states)
    system = [(one, math.copysign(1.0, case.mu) * h / total) for one, h in zip(y, states, strict=True)]
    system.append((hy.make_vars("t"), 1.0 / (abs(case.mu) * total)))
    start = np.append(np.log(np.abs(case.x0)), 0.0)

    def at(tol: float) -> Run:
        integrator = hy.taylor_adaptive(system, start.copy(), tol=tol)

        def run():
            integrator.time, integrator.state[:] = 0.0, start
            steps = integrator.propagate_until(last)[3]
            answer = integrator.state[tokens:] if end is None else integrator.state[:tokens]
            return {"answer": answer.copy(), "steps": steps}

        return run

    yield from map(at, RTOLS)


def _loosest(runs: Callable[[Case, float | None], Iterator[Run]], name: str) -> Callable[[str], Run]:
    """The first of a side's runs that comes near enough."""

    def prepare(size: str) -> Run:
        case, end = CASES[name], CASES[name].ends[size]
        reference = _answer(_solved(case, end, RTOLS[-1]))
        allowed = case.within * (1.0 if end is not None else float(reference[0]))
        for run in runs(case, end):
            try:
                answer = run()["answer"]
            except (ArithmeticError, ValueError):  # a blow-up overflows, and scipy's root finder gives up
                continue
            if np.abs(answer - reference).max() <= allowed:
                return run
        raise RuntimeError(f"nowhere within {case.within:g} of the answer, at any rtol from 1e-3 to 1e-13")

    return prepare


_SIDES = {
    OURS: _ours,
    **{f"scipy {method}, plain t": _scipy(method) for method in ("DOP853", "Radau", "LSODA")},
    "heyoka, our variables": _heyoka,
}

_NOTE = (
    "what our coordinates and clock gain is how far a run gets: to t = 1e6 or T* peers in plain t take from somewhat"
    " fewer right-hand sides to a few times as many, not a hundred times; beyond, about ten times as many and more, or"
    " they do not get there"
)

TRAJECTORIES = tuple(
    Row(
        name=name,
        title=f"One trajectory, {name.replace('-', ' ')}",
        sides={side: _loosest(runs, name) for side, runs in _SIDES.items()},
        sizes=tuple(case.ends),
        tolerance=1e-6,
        count="rhs",
        headline=0,
        note=_NOTE,
    )
    for name, case in CASES.items()
)
