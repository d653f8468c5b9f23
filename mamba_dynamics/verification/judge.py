"""One theorem on one case: hypotheses first, then every prediction against its measurement."""

from dataclasses import dataclass, replace

import numpy as np

from .._outcomes import KnownBy, Outcome, Truth
from .._regime import coordinates_apart
from ..theorems.contract import Expected, Theorem
from .measured import Judgement, compare
from .meters import METERS
from .run import Run

CUT_SHORT = (Outcome.BUDGET_EXHAUSTED, Outcome.SOLVER_FAILED)
#: Read off the end of a run, where they stand for a limit.
AT_THE_END = {
    "scenario",
    "where the tokens go",
    "|x_l / x_1|",
    "share of token 1 in row l",
    "share of token l* in row l",
}
#: Measured on a run of their own, which says by itself whether it got there.
OWN_RUNS = {"slope of ln|x| in ln t, stiff", "order of the depth limit"}
#: Of single coordinates of token 1, and through F.
OF_COORDINATES = {"slope of ln|x_1d| in ln t", "2 |M_dd| delta_d t x_1d^2"}
SLOWER_THAN_POWERS = {"slope of F(|x|) in ln|x_k|", "slope of F(|x|) in ln|x_l*|"}
SHARE_OF_BLOW_UP = "share of token l* in row l"


@dataclass(frozen=True)
class CaseVerdict:
    """What became of one case: the truth of the conclusion, and its worst comparison.

    A case whose hypotheses do not all hold decides nothing; `why` then names them. `certified`: every hypothesis was
    decided on the exact stored numbers. `compared`: (quantity, relation) of every comparison.
    """

    index: int
    truth: Truth
    worst: Judgement | None
    certified: bool
    why: str = ""
    compared: tuple[tuple[str, str], ...] = ()


def judge_case(theorem: Theorem, run: Run) -> CaseVerdict:
    """Whether a theorem's conclusion holds on a case; undecided, with the reason, where it cannot be computed."""
    try:
        return _judge_case(theorem, run)
    except Exception as error:
        # One case beyond what floats can do must not take the evidence of all others with it.
        why = f"{type(error).__name__}: {error}"
        return CaseVerdict(run.index, Truth.UNDECIDED, None, certified=False, why=why)


def _judge_case(theorem: Theorem, run: Run) -> CaseVerdict:
    hypotheses = theorem.hypotheses(run.layer, run.x0)
    certified = all(one.known_by is KnownBy.CERTIFIED for one in hypotheses)
    missing = [one.name for one in hypotheses if one.truth is not Truth.HOLDS]
    if missing:
        return CaseVerdict(
            run.index, Truth.UNDECIDED, None, certified, f"not all hypotheses hold: {', '.join(missing)}"
        )
    judgements = judge(run, theorem.conclusion(run.layer, run.x0, run.told))
    if not judgements:
        return CaseVerdict(run.index, Truth.UNDECIDED, None, certified, "the conclusion is empty here")
    truth = all_of([one.truth for one in judgements])
    worst = max(judgements, key=lambda one: (one.truth is truth, one.deviation or 0.0))
    compared = dict.fromkeys((one.expected.quantity, one.expected.relation.value) for one in judgements)
    return CaseVerdict(run.index, truth, worst, certified, compared=tuple(compared))


def judge(run: Run, expected: tuple[Expected, ...]) -> list[Judgement]:
    """Every expectation measured on a run."""
    return [_if_settled(run, compare(one, METERS[one.quantity](run, one.token))) for one in expected]


def _if_settled(run: Run, found: Judgement) -> Judgement:
    """A law of the limit is refuted only by a run that has reached its regime."""
    if found.truth is Truth.FAILS and _is_asymptotic(found) and not _reached(run, found.expected):
        return replace(found, truth=Truth.UNDECIDED)
    return found


def _is_asymptotic(found: Judgement) -> bool:
    """Whether it speaks of the limit: an estimate of one, or what stands for one at the end of a run."""
    quantity = found.expected.quantity
    return quantity not in OWN_RUNS and (found.standard_error is not None or quantity in AT_THE_END)


def _reached(run: Run, expected: Expected) -> bool:
    """Whether the run has come to where a prediction speaks; see `_regime`."""
    if run.trajectory.outcome in CUT_SHORT:
        return False
    if run.layer.channels > 1:
        return expected.quantity not in OF_COORDINATES or _coordinates_apart(run)
    if expected.quantity == SHARE_OF_BLOW_UP and run.regime.first_token is not None and expected.token is not None:
        return run.regime.attends_to_first(expected.token)
    if expected.quantity in SLOWER_THAN_POWERS and expected.token is not None:
        return run.regime.still_moves(expected.token)
    return run.regime.reached(expected.token)


def _coordinates_apart(run: Run) -> bool:
    log_x0 = np.log(np.abs(run.x0[0]))
    return coordinates_apart(run.layer.step_size_at_zero()[0], log_x0, float(run.trajectory.log_t[-1]))


def all_of(found: list[Truth]) -> Truth:
    """`fails` if any fails, else `undecided` if any is, else `holds`."""
    if Truth.FAILS in found:
        return Truth.FAILS
    return Truth.UNDECIDED if Truth.UNDECIDED in found else Truth.HOLDS
