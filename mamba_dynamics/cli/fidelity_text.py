"""The fidelity of a model as people read it in a terminal."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.table import Table

from .._fidelity_document import summary
from .console import Console
from .output import as_markup, counted

if TYPE_CHECKING:
    from .._ablations import Ablation, ScenarioRun
    from .._fidelity import Fidelity
    from .._smooth_flow import SmoothFlow
    from .._stack_limit import StackLimit


def print_fidelity(found: "Fidelity") -> None:
    """Print the three parts: stacks of S6 layers, the flow in depth, and what is left out."""
    console, checkpoint = Console(), found.checkpoint
    console.print(f"[bold]{as_markup(str(checkpoint.path))}[/bold]")
    sizes = f"{counted(len(checkpoint), 'layer')}, {counted(found.tokens, 'token')}"
    console.print(f"{as_markup(checkpoint.architecture)}, {sizes}, float64")
    _print_limits(console, found)
    _print_stream(console, found.stream)
    if found.ablations:
        _print_ablations(console, found)
    for line in checkpoint.warnings:
        console.print(f"note: {as_markup(line)}")
    undecided = "" if found.decided else "  (some verdicts are undecided: exit code 3)"
    console.print(f"\nDoes the network discretise a smooth flow? [bold]{found.stream.verdict.value}[/bold]{undecided}")


def _print_limits(console: Console, found: "Fidelity") -> None:
    console.print("\n[bold]a. K copies of a layer's S6 part, steps T/K, against the paper's ODE at T[/bold]")
    if found.limits_why_not:
        console.print(found.limits_why_not)
    if not found.limits:
        return
    sizes = found.limits[0].layers
    shown = [0, len(sizes) // 2, len(sizes) - 1]
    names = ["layer", "T", "ODE to t=1", *(f"K={sizes[place]:.0f}" for place in shown), "order", "1/K"]
    table = _table(*names)
    for one in found.limits:
        gaps = (_share(one.gaps[place]) for place in shown)
        order = "" if one.order is None else f"{one.order.value:.4f} +- {one.order.standard_error:.0e}"
        table.add_row(str(one.index), f"{one.time:.4g}", _lasted(one), *gaps, order, one.truth.value)
    console.print(table)
    console.print("K=..: |x^K - x(T)| / |x(T)| over all tokens. At T = 1, K=1 is the layer's S6 part as it stands.")
    short = [one for one in found.limits if one.time < 1]
    if short:
        fraction = short[0].time / short[0].lasted
        console.print(
            f"Layer {_listed([one.index for one in short])}: the ODE blows up, or could be followed no further, "
            "before t = 1, one layer's own step: K=1 at t = 1 would compare with nothing. Stacks are compared at "
            f"T = {fraction:g} of the time it lasted."
        )


def _lasted(one: "StackLimit") -> str:
    from .._outcomes import Outcome, Truth

    if one.reaches_one_layer is Truth.HOLDS:
        return "reached"
    return f"T* = {one.lasted:.5g}" if one.outcome is Outcome.BLEW_UP else f"until {one.lasted:.5g}"


def _print_stream(console: Console, flow: "SmoothFlow") -> None:
    console.print("\n[bold]b. Residual stream: Euler steps h in depth against du/dt = Block_theta(t)(u)[/bold]")
    steps = ("h=1", *(f"1/{1 / step:.0f}" for step in flow.steps[1:]))
    table = _table("layer", "moved", *steps, "gap/|u|", "order", "verdict")
    gaps, sizes, orders = flow.gap_over_displacement, flow.gap_over_size, flow.orders
    for index, verdict in enumerate(flow.layer_verdicts):
        moved = _share(flow.displacement[index] / flow.size[index])
        cells = (_share(gap) for gap in gaps[index])
        table.add_row(str(index), moved, *cells, _share(sizes[index, 0]), _number(orders[index, 0]), verdict.value)
    console.print(table)
    console.print(
        "moved: |u - u(0)| / |u| of the flow; h=..: gap to the flow / |u - u(0)|, h=1 is the model; order: of its "
        f"first halving. holds: gap at h=1 at most {flow.small_gap:g} of the displacement and order within "
        f"{flow.order_band:g} of 1, at every layer."
    )
    error = np.max(flow.reference_error / flow.size, initial=0.0, where=np.isfinite(flow.size))
    console.print(f"reference: {flow.why}; error {_share(error)} of |u|")
    if flow.order is not None:
        console.print(f"As h -> 0 the order at the end is {flow.order.value:.3f} +- {flow.order.standard_error:.0e}.")


def _print_ablations(console: Console, found: "Fidelity") -> None:
    console.print("\n[bold]c. What is left out, and what that changes[/bold]")
    changes = summary(found)["changes"]
    names = ("left out", "radial signs", "majority", "scenario", "ODE lasts", "flow", "gap h=1", "order", "KL")
    table = _table(*names)
    whole = [layer.whole_run for layer in found.ablations[0].layers]
    table.add_row("nothing", "", "", "", _least_time(whole), *_flow(found.stream), "")
    for one in found.ablations:
        table.add_row(
            one.name,
            _range([layer.sign_changes for layer in one.layers]),
            _listed(changes[one.name]["majority"]),
            _scenarios(one),
            _least_time(layer.run for layer in one.layers),
            *_flow(one.stream),
            f"{one.divergence_bits:.3g}",
        )
    console.print(table)
    console.print(
        "radial signs: share of tokens, least to most by layer, that the block lengthens only with or only without the "
        "part; majority: layers where most do so. scenario: layers whose S6-only ODE ends otherwise (?: undecided); "
        "gate and skip lie behind the scan and cannot change it. ODE lasts: least over the layers. flow: the verdict "
        "of b; gap (of the displacement) and order at the last layer. KL: of the next-token distributions, in bits."
    )


def _flow(flow: "SmoothFlow") -> tuple[str, str, str]:
    return flow.verdict.value, _share(flow.gap_over_displacement[-1, 0]), _number(flow.orders[-1, 0])


def _scenarios(one: "Ablation") -> str:
    from .._ablations import BEFORE_THE_SCAN

    if not set(one.parts) & set(BEFORE_THE_SCAN):
        return "cannot"
    changed = [layer.index for layer in one.layers if layer.scenario_changes]
    unknown = [layer.index for layer in one.layers if layer.scenario_changes is None and layer.run is not None]
    return (
        _listed(changed) + (f" ?{_listed(unknown)}" if unknown else "")
        if changed or not unknown
        else (f"?{_listed(unknown)}")
    )


def _least_time(runs: "Iterable[ScenarioRun | None]") -> str:
    """T* of the first blow-up, or ">" the least time that an undecided run was followed to; "ever" beyond that."""
    from .._outcomes import Outcome, Scenario

    ending = (Outcome.BLEW_UP, Outcome.BUDGET_EXHAUSTED, Outcome.SOLVER_FAILED)
    ended = [run for run in runs if run is not None and run.outcome in ending]
    if not ended:
        return ""
    first = min(ended, key=lambda run: run.log_time)
    return ("> " if first.scenario is Scenario.UNDECIDED else "") + _time(first.log_time)


def _time(log_time: float) -> str:
    return f"{np.exp(log_time):.3g}" if abs(log_time) < 20 else f"e^{log_time:.3g}"


def _table(*names: str) -> Table:
    return Table(*names, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))


def _listed(indices: list[int]) -> str:
    """Ascending numbers, runs of them shortened: 0-3,7; "none" without any."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "none"


def _range(shares: list[float]) -> str:
    low, high = min(shares), max(shares)
    return f"{low:.0%}" if low == high else f"{low:.0%}-{high:.0%}"


def _share(value: float) -> str:
    """A share to two or three digits: 89%, 5.3%, 1.1e-4; "" where there is none."""
    if not np.isfinite(value):
        return "inf" if value == np.inf else ""
    if value >= 10:
        return f"{value:.3g}x"
    return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}" if value >= 0.001 else f"{value:.1e}"


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else ""
