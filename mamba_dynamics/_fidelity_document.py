"""The document of `fidelity`, in the words of the JSON contract."""

from collections import Counter
from typing import Any

from ._ablations import AblatedLayer, Ablation, ScenarioRun
from ._classification_document import checkpoint_document
from ._documents import SCHEMA_VERSION
from ._fidelity import Fidelity
from ._rates import Estimate
from ._smooth_flow import SmoothFlow
from ._stack_limit import StackLimit


def fidelity_document(found: Fidelity) -> dict[str, Any]:
    """(a) `limit`, one entry per chosen layer; (b) `residual_stream`; (c) `ablations` by name; and a `summary`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "checkpoint": checkpoint_document(found.checkpoint),
        "tokens": found.tokens,
        "limit": [_limit(one) for one in found.limits],
        "limit_why_not": found.limits_why_not,
        "residual_stream": _stream(found.stream),
        "ablations": {one.name: _ablation(one) for one in found.ablations},
        "summary": summary(found),
    }


def summary(found: Fidelity) -> dict[str, Any]:
    """The verdicts, and by name of what is left out: which of them change, and in which layers (0-based)."""
    changes = {
        one.name: {
            "scenario": [layer.index for layer in one.layers if layer.scenario_changes],
            "scenario_unknown": [layer.index for layer in one.layers if layer.scenario_changes is None],
            "majority": [layer.index for layer in one.layers if layer.majority_changes],
            "smooth_flow": one.stream.verdict is not found.stream.verdict,
        }
        for one in found.ablations
    }
    return {
        "limit": dict(Counter(one.truth.value for one in found.limits)),
        "flow_reaches_one_layer": dict(Counter(one.reaches_one_layer.value for one in found.limits)),
        "smooth_flow": found.stream.verdict,
        "changes": changes,
        "decided": found.decided,
    }


def _limit(one: StackLimit) -> dict[str, Any]:
    return {
        "index": one.index,
        "time": one.time,
        "outcome": one.outcome,
        "lasted": one.lasted,
        "reaches_one_layer": one.reaches_one_layer,
        "why": one.why,
        "layers": one.layers.astype(int),
        "gaps": one.gaps,
        "worst_token": one.worst,
        "order": _estimate(one.order),
        "verdict": one.truth,
    }


def _stream(flow: SmoothFlow) -> dict[str, Any]:
    return {
        "steps": flow.steps,
        "size": flow.size,
        "displacement": flow.displacement,
        "gap_over_size": flow.gap_over_size,
        "gap_over_displacement": flow.gap_over_displacement,
        "orders": flow.orders,
        "order": _estimate(flow.order),
        "reference": {
            "outcome": flow.outcome,
            "why": flow.why,
            "depth": flow.depth,
            "rtol": flow.rtol,
            "error": flow.reference_error,
            "steps": flow.reference_steps,
        },
        "thresholds": {"small_gap": flow.small_gap, "order_band": flow.order_band},
        "small_gap": flow.small,
        "first_order": flow.first_order,
        "layer_verdicts": flow.layer_verdicts,
        "verdict": flow.verdict,
    }


def _ablation(one: Ablation) -> dict[str, Any]:
    return {
        "left_out": list(one.parts),
        "layers": [_layer(layer) for layer in one.layers],
        "residual_stream": _stream(one.stream),
        "divergence_bits": one.divergence_bits,
    }


def _layer(layer: AblatedLayer) -> dict[str, Any]:
    return {
        "index": layer.index,
        "scenario": _run(layer.run),
        "scenario_whole": _run(layer.whole_run),
        "scenario_changes": layer.scenario_changes,
        "radial_sign_changes": layer.sign_changes,
        "growing": layer.growing,
        "growing_whole": layer.growing_whole,
        "majority_changes": layer.majority_changes,
    }


def _run(run: ScenarioRun | None) -> dict[str, Any] | None:
    return None if run is None else {"name": run.scenario, "outcome": run.outcome, "log_time": run.log_time}


def _estimate(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else {"value": estimate.value, "standard_error": estimate.standard_error}
