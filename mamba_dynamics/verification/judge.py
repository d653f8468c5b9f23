"""One theorem on one case: hypotheses first, then every prediction against its measurement."""

from dataclasses import dataclass, replace

from .._outcomes import KnownBy, Outcome, Truth
from ..theorems.contract import Expected, Theorem
from .measured import Judgement, compare
from .meters import METERS
from .run import Run

CUT_SHORT = (Outcome.BUDGET_EXHAUSTED, Outcome.SOLVER_FAILED)


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
    """Whether a theorem's conclusion holds on a case."""
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
    """A limit estimated on a run that ended before its decision cannot refute anything."""
    estimated = found.standard_error is not None
    if found.truth is Truth.FAILS and estimated and run.trajectory.outcome in CUT_SHORT:
        return replace(found, truth=Truth.UNDECIDED)
    return found


def all_of(found: list[Truth]) -> Truth:
    """`fails` if any fails, else `undecided` if any is, else `holds`."""
    if Truth.FAILS in found:
        return Truth.FAILS
    return Truth.UNDECIDED if Truth.UNDECIDED in found else Truth.HOLDS
