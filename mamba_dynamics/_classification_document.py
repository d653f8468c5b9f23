"""The document of `classify`: a report on a checkpoint, in the words of the JSON contract."""

from collections import Counter
from typing import Any

import numpy as np

from ._documents import SCHEMA_VERSION
from ._report import LayerReport, Report, TokensVerdict
from ._weights_verdict import GroupVerdict, WeightsVerdict


def classification_document(report: Report) -> dict[str, Any]:
    """The contract's fields; a layer that could not be read carries `error` and nulls."""
    checkpoint = report.checkpoint
    return {
        "schema_version": SCHEMA_VERSION,
        "checkpoint": {
            "path": str(checkpoint.path),
            "architecture": checkpoint.architecture,
            "format": checkpoint.format,
            "layers": len(checkpoint),
            "bytes_read": report.bytes_read,
            "bytes_total": checkpoint.bytes_total,
            "warnings": list(checkpoint.warnings),
        },
        "layers": [_layer(layer) for layer in report.layers],
        "summary": {"scenario_counts": scenario_counts(report)},
    }


def scenario_counts(report: Report) -> dict[str, dict[str, int]]:
    """How many layers show each scenario, by level of evidence."""
    counts: dict[str, Counter[str]] = {"spectral": Counter(), "certified": Counter(), "tokens": Counter()}
    for layer in report.layers:
        if layer.weights is not None:
            counts["spectral"][layer.weights.spectral.value] += 1
            counts["certified"][layer.weights.certified.value] += 1
        if layer.tokens is not None:
            counts["tokens"][layer.tokens.scenario.value] += 1
    return {level: dict(found) for level, found in counts.items()}


def _layer(report: LayerReport) -> dict[str, Any]:
    slot, weights = report.slot, report.weights
    head = {
        "name": slot.name,
        "index": slot.index,
        "kind": slot.kind,
        "d_inner": slot.d_inner,
        "d_state": slot.d_state,
        "heads": slot.heads,
        "groups": slot.groups,
    }
    if weights is None:
        empty = ("spectrum", "symmetric_part", "channels", "step_size", "tokens", "scenario", "known_by")
        return head | dict.fromkeys(empty) | {"dropped": [], "warnings": [], "error": report.error}
    return head | {
        "spectrum": _each(weights, _spectrum),
        "symmetric_part": _each(weights, _symmetric_part),
        "channels": _each(weights, _channels),
        "step_size": _step_size(weights),
        "tokens": None if report.tokens is None else _tokens(report.tokens),
        "scenario": {
            "spectral": weights.spectral,
            "certified": weights.certified,
            "tokens": None if report.tokens is None else report.tokens.scenario,
        },
        "known_by": weights.known_by,
        "dead": any(group.dead for group in weights.groups),
        "dropped": list(weights.layer.dropped),
        "disagreements": list(weights.disagreements),
        "warnings": list(weights.warnings),
    }


def _each(weights: WeightsVerdict, describe) -> Any:
    """One description for a layer with one group, a list of them where there are several."""
    found = [describe(group) for group in weights.groups]
    return found[0] if len(found) == 1 else found


def _spectrum(group: GroupVerdict) -> dict[str, Any]:
    found = group.spectrum
    return {
        "eigenvalues": [[z.real, z.imag] for z in found.spectrum.eigenvalues.tolist()],
        "positive": found.positive,
        "negative": found.negative,
        "zero": found.zero,
        "known_by": found.known_by,
    }


def _symmetric_part(group: GroupVerdict) -> dict[str, Any]:
    found = group.symmetric_part
    return {
        "positive": found.positive,
        "negative": found.negative,
        "zero": found.zero,
        "largest": found.spectrum.largest,
        "smallest": found.spectrum.smallest,
        "definiteness": group.definiteness,
        "known_by": found.known_by,
    }


def _channels(group: GroupVerdict) -> dict[str, int]:
    return {
        "convergent": group.channels_convergent,
        "slow_or_fast": group.channels_divergent,
        "degenerate": group.channels_degenerate,
    }


def _step_size(weights: WeightsVerdict) -> dict[str, float]:
    sizes = weights.layer.step_size_at_zero()
    return {
        "at_zero_min": float(sizes.min()),
        "at_zero_median": float(np.median(sizes)),
        "at_zero_max": float(sizes.max()),
    }


def _tokens(tokens: TokensVerdict) -> dict[str, Any]:
    cosines = tokens.alignment[np.isfinite(tokens.alignment)]
    known = cosines.size > 0
    document: dict[str, Any] = {
        "count": tokens.count,
        "alignment_mean": float(cosines.mean()) if known else None,
        "alignment_negative_fraction": float(np.mean(cosines < 0)) if known else None,
        "scenarios": dict(Counter(fate.value for fate in tokens.fates)),
        "why_no_scenarios": tokens.why_not,
        "agreement": tokens.agreement,
        "runs": [],
    }
    for verdict in tokens.verdicts or ():
        run = verdict.trajectory
        document["runs"].append(
            {
                "outcome": run.outcome,
                "why": run.why,
                "theory": verdict.prediction.why,
                "blow_up_time": run.blow_up.time if run.blow_up else None,
                "blow_up_time_error": run.blow_up.error if run.blow_up else None,
                "blow_up_token": run.blow_up.token + 1 if run.blow_up else None,
                "log1p_t_final": run.log1p_t[-1],
                "fates": [token.fate for token in verdict.tokens],
                "log_norms_final": run.log_norms[-1],
                "rhs_evaluations": run.rhs_evaluations,
            }
        )
    return document
