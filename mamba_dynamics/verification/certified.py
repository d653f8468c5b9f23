"""What ball arithmetic proves of the catalogue: one entry per theorem that has a certificate beyond its hypotheses.

Each compares proofs about concrete random systems with the simulation of the same systems: a contradiction fails.
"""

from collections.abc import Callable
from typing import Any

from flint import arb

from .._outcomes import Scenario, Truth
from ..certificates import enclose, own_blow_up_time, proved_scenario
from ..certificates.blow_up_time import DIGITS
from ..theorems import ScalarSystem
from ..theorems.contract import Theorem
from .run import Run

Certificate = Callable[[Theorem, int, int], dict[str, Any]]

#: At most so many random cases are certified, and so many enclosed by validated integration (seconds each).
CERTIFIED, ENCLOSED = 100, 3


def blow_up_times(theorem: Theorem, seed: int, cases: int) -> dict[str, Any]:
    """T_1 to 30 digits against the simulated T*, within the simulation's own error estimate."""
    agree, worst = 0, 0.0
    count = min(cases, CERTIFIED)
    for index in range(count):
        run = Run(theorem.pool.case(seed, index), index)
        system, blow_up = run.system, run.trajectory.blow_up
        certain = own_blow_up_time(system.mu_bar, system.s, system.b, float(system.x0[0]))
        if certain is None or blow_up is None:
            continue
        ratio = float(abs(certain - blow_up.time)) / blow_up.error
        agree += ratio <= 1
        worst = max(worst, ratio)
    return {
        "kind": "T_1 by ball integration against the simulated T*",
        "status": _status(agree == count),
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
        certain, _ = proved_scenario(*_numbers(run.system))
        proved += certain is not None
        contradicted += certain is not None and run.scenario not in (certain, Scenario.UNDECIDED)
    return {
        "kind": "scenario by exact signs against the simulated one",
        "status": _status(contradicted == 0 and proved == count),
        "cases": count,
        "proved": proved,
        "contradicted": contradicted,
    }


def brackets(theorem: Theorem, seed: int, cases: int) -> dict[str, Any]:
    """T* bracketed by validated integration against the simulated T*."""
    count = min(cases, ENCLOSED)
    agree, width = 0, 0.0
    for index in range(count):
        run = Run(theorem.pool.case(seed, index), index)
        found, blow_up = enclose(*_numbers(run.system)).blow_up_time, run.trajectory.blow_up
        if found is None or blow_up is None:
            continue
        agree += found.overlaps(arb(blow_up.time, blow_up.error))
        width = max(width, float(2 * found.rad() / found.mid()))
    return {
        "kind": "T* bracketed by validated integration against the simulated T*",
        "status": _status(agree == count),
        "cases": count,
        "agree": agree,
        "relative_width": width,
    }


def _numbers(system: ScalarSystem):
    return system.mu.tolist(), system.s, system.a.tolist(), system.b, system.x0.tolist()


def _status(holds: bool) -> str:
    return (Truth.HOLDS if holds else Truth.FAILS).value


CERTIFICATES: dict[str, Certificate] = {
    "dichotomy": scenarios,
    "fast_divergence_existence": brackets,
    "blow_up_time": blow_up_times,
}
