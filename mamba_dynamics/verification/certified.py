"""What ball arithmetic proves of the catalogue: one entry per theorem that has a certificate beyond its hypotheses.

Each compares proofs about concrete random systems with the simulation of the same systems: a contradiction fails.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from flint import arb

from .._outcomes import Scenario, Truth
from ..certificates import enclose, own_blow_up_time, proved_scenario
from ..certificates.blow_up_time import DIGITS
from ..theorems.contract import Theorem
from .run import Run

Certificate = Callable[[Theorem, int, int], dict[str, Any]]

#: At most so many random cases are certified, and so many enclosed by validated integration (seconds each).
CERTIFIED, ENCLOSED = 100, 3
#: What a simulation says of its own accord; anything else contradicts no proof.
DECIDED = (Scenario.CONVERGENT, Scenario.SLOW_DIVERGENCE, Scenario.FAST_DIVERGENCE, Scenario.EQUILIBRIUM)


def blow_up_times(theorem: Theorem, seed: int, cases: int) -> dict[str, Any]:
    """T_1 to 30 digits against the simulated T*, within the simulation's own error estimate."""
    agree = contradicted = 0
    worst, count = 0.0, min(cases, CERTIFIED)
    for index in range(count):
        run = Run(theorem.pool.case(seed, index), index)
        mu, s, _, b, x0 = run.system.exact_numbers
        certain, blow_up = own_blow_up_time(sum(mu, Fraction(0)), s, b, x0[0]), run.trajectory.blow_up
        if certain is None or blow_up is None:
            contradicted += blow_up is not None or run.scenario in DECIDED
        elif math.isfinite(blow_up.error):  # else the simulation does not know its own error
            ratio = float(abs(certain - blow_up.time)) / blow_up.error
            agree += ratio <= 1
            contradicted += ratio > 1
            worst = max(worst, ratio)
    return {
        "kind": "T_1 by ball integration against the simulated T*",
        "status": _status(agree, contradicted, count),
        "cases": count,
        "agree": agree,
        "digits": DIGITS,
        "worst_error_over_estimate": worst,
    }


def scenarios(theorem: Theorem, seed: int, cases: int) -> dict[str, Any]:
    """The scenario proved by exact signs against the simulated one."""
    count = min(cases, CERTIFIED)
    proved = contradicted = 0
    for index in range(count):
        run = Run(theorem.pool.case(seed, index), index)
        certain, _ = proved_scenario(*run.system.exact_numbers)
        proved += certain is not None
        contradicted += certain is not None and run.scenario not in (certain, Scenario.UNDECIDED)
    return {
        "kind": "scenario by exact signs against the simulated one",
        "status": _status(proved, contradicted, count),
        "cases": count,
        "proved": proved,
        "contradicted": contradicted,
    }


def brackets(theorem: Theorem, seed: int, cases: int) -> dict[str, Any]:
    """T* bracketed by validated integration against the simulated T*."""
    count = min(cases, ENCLOSED)
    agree = contradicted = 0
    width = 0.0
    for index in range(count):
        run = Run(theorem.pool.case(seed, index), index)
        found, blow_up = enclose(*run.system.exact_numbers).blow_up_time, run.trajectory.blow_up
        if found is None or blow_up is None:
            contradicted += found is not None and run.scenario in DECIDED
            continue
        if math.isfinite(blow_up.error):  # else the simulation does not know its own error
            overlap = found.overlaps(arb(blow_up.time, blow_up.error))
            agree += overlap
            contradicted += not overlap
        width = max(width, float(2 * found.rad() / found.mid()))
    return {
        "kind": "T* bracketed by validated integration against the simulated T*",
        "status": _status(agree, contradicted, count),
        "cases": count,
        "agree": agree,
        "relative_width": width,
    }


def _status(agree: int, contradicted: int, count: int) -> str:
    """`fails` if a proof contradicts a simulation; `holds` only if there are cases, and all of them agree."""
    if contradicted:
        return Truth.FAILS.value
    return (Truth.HOLDS if count and agree == count else Truth.UNDECIDED).value


CERTIFICATES: dict[str, Certificate] = {
    "dichotomy": scenarios,
    "fast_divergence_existence": brackets,
    "blow_up_time": blow_up_times,
}
