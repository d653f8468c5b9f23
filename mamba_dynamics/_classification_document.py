"""The document of `classify`: a report on a checkpoint, in the words of the JSON contract."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ._documents import SCHEMA_VERSION
from ._outcomes import Scenario, TokenFate, Truth
from ._weights_verdict import GroupVerdict, WeightsVerdict
from .checkpoints import Checkpoint

if TYPE_CHECKING:
    from ._block_facts import BlockFacts
    from ._report import LayerReport, Report, Text
    from ._tokens_verdict import RunPair, TokensVerdict
    from ._verdict import Verdict


def classification_document(report: "Report") -> dict[str, Any]:
    """The contract's fields; a layer that could not be read carries `error` and nulls."""
    checkpoint = report.checkpoint
    return {
        "schema_version": SCHEMA_VERSION,
        "checkpoint": checkpoint_document(checkpoint) | {"bytes_read": report.bytes_read},
        "layers": [_layer(layer) for layer in report.layers],
        "text": None if report.text is None else _text(report.text),
        "summary": {"scenario_counts": scenario_counts(report), "decided": report.decided},
    }


def checkpoint_document(checkpoint: Checkpoint) -> dict[str, Any]:
    """What every document says of the checkpoint it is about."""
    return {
        "path": str(checkpoint.path),
        "revision": checkpoint.revision,
        "architecture": checkpoint.architecture,
        "format": checkpoint.format,
        "layers": len(checkpoint),
        "bytes_read": checkpoint.bytes_read,
        "bytes_total": checkpoint.bytes_total,
        "unread": [prefix.rstrip(".") for prefix in checkpoint.unread],
        "weights": checkpoint.weights,
        "copies": list(checkpoint.copies),
        "warnings": list(checkpoint.warnings),
    }


def scenario_counts(report: "Report") -> dict[str, dict[str, int]]:
    """How many layers show each scenario, by level of evidence."""
    counts: dict[str, Counter[str]] = {"spectral": Counter(), "certified": Counter(), "tokens": Counter()}
    for layer in report.layers:
        if layer.weights is not None:
            counts["spectral"][layer.weights.spectral.value] += 1
            counts["certified"][layer.weights.certified.value] += 1
        if layer.tokens is not None:
            counts["tokens"][layer.tokens.scenario.value] += 1
    return {level: dict(found) for level, found in counts.items()}


def _layer(report: "LayerReport") -> dict[str, Any]:
    slot, weights = report.slot, report.weights
    head = {
        "name": slot.name,
        "index": slot.index,
        "kind": slot.kind,
        "d_inner": slot.d_inner,
        "d_state": slot.d_state,
        "heads": slot.heads,
        "groups": slot.groups,
        "left_out": list(slot.left_out),
        "decided": report.decided,
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
        "agreement": levels_agree(report),
        "block": None if report.block is None else _block(report.block),
        "dead": any(group.dead for group in weights.groups),
        "dropped": list(weights.dropped),
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
    sizes = weights.step_size_at_zero
    return {
        "at_zero_min": float(sizes.min()),
        "at_zero_median": _median(sizes),
        "at_zero_max": float(sizes.max()),
    }


def _median(values: np.ndarray) -> float:
    """numpy's own imports its masked arrays, which takes as long as a layer."""
    ordered = np.sort(values, axis=None)
    return float(0.5 * (ordered[(ordered.size - 1) // 2] + ordered[ordered.size // 2]))


def levels_agree(report: "LayerReport") -> dict[str, Truth] | None:
    """Whether the eigenvalue rule and the certificate tell what the tokens do; undecided where either is silent."""
    weights, tokens = report.weights, report.tokens
    if weights is None or tokens is None:
        return None
    return {level: _same(getattr(weights, level), tokens.scenario) for level in ("spectral", "certified")}


_SILENT = (Scenario.MIXED, Scenario.UNDECIDED)
_DIVERGING = (Scenario.DIVERGENT, Scenario.SLOW_DIVERGENCE, Scenario.FAST_DIVERGENCE)


def _same(said: Scenario, seen: Scenario) -> Truth:
    if said in _SILENT or seen in _SILENT:
        return Truth.UNDECIDED
    same = said is seen or (said is Scenario.DIVERGENT and seen in _DIVERGING)
    return Truth.HOLDS if same else Truth.FAILS


def _text(text: "Text") -> dict[str, Any]:
    return {
        "ids": text.ids,
        "pieces": text.pieces,
        "consensus": {
            name: {"leading_share": curve.leading_share, "participation_ratio": curve.participation_ratio}
            for name, curve in text.consensus.items()
        },
    }


def _block(block: "BlockFacts") -> dict[str, Any]:
    return {
        "radial_rates": block.radial_rates,
        "growing_fraction": block.growing,
        "skip_sign_mean": block.skip_sign_mean,
        "skip_correlation": block.skip_correlation,
        "sign_is_convention": block.sign_is_convention,
    }


def _tokens(tokens: "TokensVerdict") -> dict[str, Any]:
    cosines = tokens.alignment[np.isfinite(tokens.alignment)]
    known = cosines.size > 0
    each = tokens.statistics
    document: dict[str, Any] = {
        "count": tokens.count,
        "integrated": tokens.integrated,
        "alignment_mean": float(cosines.mean()) if known else None,
        "alignment_negative_fraction": float(np.mean(cosines < 0)) if known else None,
        "q_negative_fraction": float(np.mean(each.q < 0)),
        "raw_step": {
            "min": float(each.raw_step_min.min()),
            "mean": float(each.raw_step_mean.mean()),
            "max": float(each.raw_step_max.max()),
        },
        "groups": [
            {"alignment": each.alignment[g], "q": each.q[g], "importance": each.importance[g]}
            for g in range(len(each.q))
        ],
        "scenarios": dict(Counter(fate.value for fate in tokens.fates)),
        "why_no_scenarios": tokens.why_not,
        "agreement": tokens.agreement,
        "survives_halved_tolerances": _survives(tokens),
        "runs": [],
    }
    for pair, prefix, fates in zip(tokens.runs or (), tokens.prefixes, tokens.fates_by_group, strict=True):
        verdict, run = pair.verdict, pair.verdict.trajectory
        document["runs"].append(
            {
                "outcome": run.outcome,
                "why": run.why,
                "theory": verdict.prediction.why,
                "blow_up_time": run.blow_up.time if run.blow_up else None,
                "log_blow_up_time": run.blow_up.log_time if run.blow_up else None,
                "blow_up_time_error": run.blow_up.error if run.blow_up else None,
                "blow_up_token": run.blow_up.token + 1 if run.blow_up else None,
                "log1p_t_final": run.log1p_t[-1],
                "blows_up_together": blow_up_companions(verdict),
                "fates": fates,
                "log_norms_final": run.log_norms[-1],
                "rhs_evaluations": run.rhs_evaluations,
                "decided_prefix": None if prefix is None else _prefix(prefix),
            }
        )
    return document


def _prefix(prefix: "RunPair") -> dict[str, Any]:
    """The first tokens whose run is decided where that of all is not."""
    run = prefix.verdict.trajectory
    return {
        "tokens": prefix.count,
        "scenario": prefix.scenario,
        "outcome": run.outcome,
        "why": run.why,
        "blow_up_time": run.blow_up.time if run.blow_up else None,
        "log_blow_up_time": run.blow_up.log_time if run.blow_up else None,
        "fates": prefix.fates,
    }


def _survives(tokens: "TokensVerdict") -> bool | None:
    """Whether runs with half the tolerance repeat every scenario and fate; None where there was no such run."""
    pairs = [pair for pair in tokens.runs or () if pair.check is not None]
    if not pairs:
        return None
    return all(
        pair.scenario is pair.verdict.simulated and pair.fates == tuple(one.fate for one in pair.verdict.tokens)
        for pair in pairs
    )


def blow_up_companions(verdict: "Verdict") -> list[dict[str, Any]]:
    """The tokens (1-based) that blow up at T* like the first one, each with its size over that of the first."""
    run = verdict.trajectory
    if run.blow_up is None:
        return []
    last, half = run.log_norms[-1], run.log_norms[len(run) // 2]
    first = run.blow_up.token
    return [
        {
            "token": token.index + 1,
            "ratio": float(np.exp(last[token.index] - last[first])),
            "log_ratio_change": float(last[token.index] - last[first] - half[token.index] + half[first]),
        }
        for token in verdict.tokens
        if token.fate is TokenFate.FAST_DIVERGENCE
    ]
