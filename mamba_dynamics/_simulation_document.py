"""The document of `simulate`: a verdict on one layer and its tokens, in the words of the JSON contract."""

from typing import Any

import numpy as np

from ._documents import SCHEMA_VERSION
from ._outcomes import Scenario
from ._verdict import TokenVerdict, Verdict


def simulation_document(verdict: Verdict, *, certify: bool = False) -> dict[str, Any]:
    """The contract's fields, theory's reasons beside them, the simulated scenario, and the certificate if asked for."""
    run, prediction = verdict.trajectory, verdict.prediction
    decided = prediction.scenario is not Scenario.UNDECIDED
    no_blow_up = "no blow-up was reached"
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "scenario": prediction.scenario if decided else verdict.simulated,
        "outcome": run.outcome,
        "outcome_why": run.why,
        "theory": {"scenario": prediction.scenario, "why": prediction.why, "source": prediction.source},
        "simulated_scenario": verdict.simulated,
        "blow_up_time": run.blow_up.time if run.blow_up else None,
        "log_blow_up_time": run.blow_up.log_time if run.blow_up else None,
        "blow_up_time_error": run.blow_up.error if run.blow_up else None,
        "blow_up_token": run.blow_up.token + 1 if run.blow_up else None,
        "log1p_t_final": run.log1p_t[-1],
        "tokens": [_token(verdict, token) for token in verdict.tokens],
        "rhs_evaluations": run.rhs_evaluations,
        "steps": run.steps,
        "wall_seconds": run.wall_seconds,
        "agreement": verdict.agreement,
    }
    if certify:
        document["certificate"] = _certificate(verdict)
    if run.blow_up is None:
        names = ("blow_up_time", "log_blow_up_time", "blow_up_time_error", "blow_up_token")
        document["null_reasons"] = dict.fromkeys(names, no_blow_up)
    return document


def _certificate(verdict: Verdict) -> dict[str, Any] | None:
    """What is proved: the scenario, and an interval that contains T* (its ends rounded outwards)."""
    found = verdict.certificate
    if found is None:
        return None
    time = found.blow_up_time
    return {
        "scenario": found.scenario,
        "proof": found.proof,
        "blow_up_time_lower": None if time is None else float(np.nextafter(float(time.lower()), -np.inf)),
        "blow_up_time_upper": None if time is None else float(np.nextafter(float(time.upper()), np.inf)),
        "contradicts_simulation": verdict.contradicted,
    }


def _token(verdict: Verdict, token: TokenVerdict) -> dict[str, Any]:
    run, law = verdict.trajectory, token.law
    exponent, constant = token.exponent, token.constant
    return {
        "index": token.index + 1,
        "x_final": run.x[-1, token.index],
        "log_abs_x_final": run.log_abs[-1, token.index],
        "log_norm_final": run.log_norms[-1, token.index],
        "sign": np.asarray(run.sign[-1, token.index]).astype(int),
        "fate": token.fate,
        "law": {
            "name": law.name if law else None,
            "predicted": law.exponent if law else None,
            "measured": exponent.value if exponent else None,
            "standard_error": exponent.standard_error if exponent else None,
            "follows_token": law.partner + 1 if law and law.partner is not None else None,
            "expression": _expression(verdict, token.index),
        },
        "constant": {
            "predicted": law.constant if law else None,
            "measured": constant.value if constant else None,
        },
        "agreement": token.agreement,
    }


def _expression(verdict: Verdict, index: int) -> str | None:
    """|x_l| as a formula in t, or in T - t before a blow-up at T."""
    laws = verdict.asymptotics
    expression = None if laws is None else laws.tokens[index].expression
    return None if expression is None else str(expression)
