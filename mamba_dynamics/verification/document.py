"""The JSON document of `mamba-dynamics verify` (schema_version 1)."""

import math
from typing import Any

from .._outcomes import Truth
from ..theorems.contract import Case, Expected, Theorem
from ..theorems.steps import domain_of
from .judge import CaseVerdict
from .measured import Judgement
from .verify import Refutation, TheoremReport, Verification

#: At most so many cases that did not hold are listed per theorem.
LISTED = 5


def verification_document(found: Verification) -> dict[str, Any]:
    """Everything `verify` found, as JSON values."""
    return {
        "schema_version": 1,
        "seed": found.seed,
        "wall_seconds": found.wall_seconds,
        "status": found.truth.value,
        "theorems": [_theorem(one, found.seed) for one in found.theorems],
    }


def _theorem(found: TheoremReport, seed: int) -> dict[str, Any]:
    theorem = found.theorem
    return {
        "name": theorem.name,
        "title": theorem.title,
        "statement": theorem.statement,
        "source": theorem.source,
        "origin": theorem.origin.value,
        "bibtex": theorem.bibtex,
        "status": found.truth.value,
        "hypotheses": [
            {"name": one.name, "known_by": one.known_by.value}
            for one in theorem.hypotheses(*_first_case(theorem, seed))
        ],
        "symbolic": {
            "status": found.symbolic.value,
            "steps": [
                {
                    "says": step.says,
                    "kind": type(step).__name__.lower(),
                    "formula": str(step.formula),
                    "domain": domain_of(step),
                    "status": settled.truth.value,
                    "algebra": settled.algebra.value,
                    "numbers": settled.numbers.value,
                    "worst": _number(settled.worst),
                }
                for step, settled in found.steps
            ],
        },
        "numeric": {
            "status": found.numeric.value,
            "cases": len(found.cases),
            "held": found.count(Truth.HOLDS),
            "failed": found.count(Truth.FAILS),
            "undecided": found.count(Truth.UNDECIDED),
            "hypotheses_certified": sum(one.certified for one in found.cases),
            "measured": [{"quantity": what, "relation": relation} for what, relation in _compared(found.cases)],
            "worst": _worst(found.cases),
            "exceptions": [_exception(found, one) for one in found.cases if one.truth is not Truth.HOLDS][:LISTED],
        },
        "counterexamples_to_weaker_claim": [_refutation(one) for one in found.refutations],
        "certified": found.certificate,
    }


def _first_case(theorem: Theorem, seed: int):
    case = theorem.pool.case(seed, 0)
    return case.layer, case.x0


def _compared(cases: tuple[CaseVerdict, ...]) -> list[tuple[str, str]]:
    """Everything that was compared in some case."""
    return list(dict.fromkeys(pair for one in cases for pair in one.compared))


def _worst(cases: tuple[CaseVerdict, ...]) -> dict[str, Any] | None:
    """The comparison that came closest to failing (or failed most)."""
    measured = [one for one in cases if one.worst is not None]
    if not measured:
        return None
    worst = max(measured, key=lambda one: (one.worst.deviation if one.worst else 0.0) or 0.0)
    return {"case": worst.index, **_judgement(worst.worst)} if worst.worst else None


def _exception(found: TheoremReport, verdict: CaseVerdict) -> dict[str, Any]:
    why = verdict.why or "see `comparison`"
    comparison = None if verdict.worst is None else _judgement(verdict.worst)
    return {"case": verdict.index, "status": verdict.truth.value, "why": why, "comparison": comparison}


def _refutation(found: Refutation) -> dict[str, Any]:
    claim = found.claim
    return {
        "claim": claim.claim,
        "origin": claim.origin.value,
        "refuted": found.refuted,
        "because": claim.because,
        "system": system_of(claim.case),
        "measured": [_judgement(one) for one in found.judgements],
    }


def system_of(case: Case) -> dict[str, Any]:
    """The numbers that define a case."""
    layer = case.layer
    if layer.channels == 1:
        return {
            "mu": (layer.S_C[0, :, 0] * layer.S_B[0, :, 0]).tolist(),
            "s_delta": float(layer.S_Delta()[0, 0]),
            "a": layer.a[0, 0].tolist(),
            "dt_bias": float(layer.dt_bias[0, 0]),
            "x0": case.x0.tolist(),
        }
    return {
        "M": layer.input_output_matrix().tolist(),
        "S_Delta": layer.S_Delta().tolist(),
        "a": layer.a[0].tolist(),
        "dt_bias": layer.dt_bias[0].tolist(),
        "x0": case.x0.tolist(),
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    expected = judgement.expected
    return {
        "quantity": expected.quantity,
        "token": None if expected.token is None else expected.token + 1,
        "relation": expected.relation.value,
        "expected": _expected(expected),
        "found": judgement.found if isinstance(judgement.found, str) else _number(judgement.found),
        "standard_error": _number(judgement.standard_error),
        "deviation": _number(judgement.deviation),
        "status": judgement.truth.value,
    }


def _expected(expected: Expected):
    if isinstance(expected.value, str | float | int):
        return expected.value if isinstance(expected.value, str) else _number(float(expected.value))
    return "a function" if callable(expected.value) else [_number(float(one)) for one in expected.value]


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
