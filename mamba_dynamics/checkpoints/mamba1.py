"""Layers whose projections are a module's own: Mamba-1, MambaVision and the several directions of Vim and its kin.

Beside `A_log (E, N)` lie (Linear weights are (out, in))

    x_proj.weight   (R + 2N, E)  rows [dt; B; C]       -> dt_down, S_B, S_C
    dt_proj.weight  (E, R), dt_proj.bias (E)           -> dt_up, dt_bias (MambaVision: twice the bias)
    D               (E)                                -> D_skip
    dt_layernorm.weight (R), b_layernorm.weight (N), c_layernorm.weight (N)   Jamba only

E is the width of the scan, half of in_proj's rows. MambaVision's projection adds its bias b and its
scan adds b again, so there Delta = softplus(S_Delta x + 2 b). Further scans, over the tokens in
another order, have tensors of the same shapes under a tag: see `directions`.
Projections may be 1x1 convolutions, then with trailing axes of length one.

MambaBEAT calls x_proj `selection`, and its rows are [B; C; dt].

The step size may have a projection of its own that reads x at full rank:

    x_proj.weight   (2N, E)      rows [B; C]           -> S_B, S_C
    dt_proj.weight  (E, E)                             -> dt_down, which is all of S_Delta; dt_up is None
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .._layer import FloatArray, Norms, RMSNorm, S6Layer
from . import definite
from .architectures import DEFAULT_NORM_EPS
from .directions import FORWARD, Scan, direction_warnings, scans
from .facts import BEFORE_THE_NORM, NORMS_UNKNOWN, LayerFacts
from .sizes import Fact, Sizes
from .tensor_table import Table, solve, table
from .tensor_table import reads as reads_of
from .tensors import LayerTensors

#: One scan under its own names. `rank` is R, or E at full rank, where x_proj holds no rows of the step size.
_SCAN = """
    {A_log}                                    | E, N                | required
    {dt_proj}.weight, {dt_proj}.conv.weight    | E, {rank}           | required
    {x_proj_names}                             | {low_rank}2N, E     | required
    {dt_proj}.bias, {dt_proj}.conv.bias        | E                   | required
    {D}                                        | E                   | optional
    {x_proj}.bias, {x_proj}.conv.bias          | {low_rank}2N        | optional
"""
#: Norms, which all scans of a block share.
_NORM_ROWS = """
    b_layernorm.weight, B_layernorm.weight     | N                   | optional
    c_layernorm.weight, C_layernorm.weight     | N                   | optional
"""
_DT_NORM_ROW = """
    dt_layernorm.weight                        | R                   | optional
"""
#: What lies before and after the scan.
AROUND = """
    in_proj.weight                             | I, d                      | unused
    in_proj.bias                               | I                         | unused
    conv1d.weight                              | F, 1, k / F, k / F, *, k  | unused
    conv1d.bias                                | F                         | unused
    out_proj.weight                            | o, *                      | unused
    out_proj.bias                              | o                         | unused
"""
#: The convolutions of further scans, and MambaVision's of x and of z.
_CONVOLUTION = """
    conv1d_{tag}.weight                        | F, 1, * / F, * / F, *, *  | unused
    conv1d_{tag}.bias                          | F                         | unused
"""
_OF_MAMBA_VISION = ("x", "z")
_NORMS = {
    "B": ("b_layernorm.weight", "B_layernorm.weight"),
    "C": ("c_layernorm.weight", "C_layernorm.weight"),
    "dt": ("dt_layernorm.weight",),
}
_NO_DT_NORM = {axis: names for axis, names in _NORMS.items() if axis != "dt"}
#: in_proj lies before the scan here.
INPUT_IS_READ = False


def rows(tensors: LayerTensors) -> Table:
    """The table of a layer: its scans, then what they share."""
    full_rank, found = is_full_rank(tensors), scans(tensors)
    parts = "".join(_of_scan(scan, full_rank=full_rank) for scan in found)
    visions = [tag for tag in _OF_MAMBA_VISION if any(tensors.has(f"conv1d_{tag}.{end}") for end in ("weight", "bias"))]
    tags = dict.fromkeys([scan.tag for scan in found if scan.tag] + visions)
    convolutions = "".join(_CONVOLUTION.format(tag=tag) for tag in tags)
    return table(parts + _NORM_ROWS + ("" if full_rank else _DT_NORM_ROW) + AROUND + convolutions)


@lru_cache(maxsize=64)
def _of_scan(scan: Scan, *, full_rank: bool) -> str:
    x_proj = [f"{scan.x_proj}.weight", f"{scan.x_proj}.conv.weight"]
    x_proj += [definite.SUFFIX] if scan.x_proj == FORWARD.x_proj else []
    rank, low_rank = ("E", "") if full_rank else ("R", "R + ")
    return _SCAN.format(**scan._asdict(), x_proj_names=", ".join(x_proj), rank=rank, low_rank=low_rank)


def is_full_rank(tensors: LayerTensors) -> bool:
    """Whether the step size reads x itself: x_proj then holds the rows of B and C only."""
    x_proj = next(filter(tensors.has, ("x_proj.weight", "x_proj.conv.weight")), None)
    if x_proj is None:
        return False
    rates, rows_and_columns = tensors.shape("A_log"), tensors.shape(x_proj)
    return len(rates) == len(rows_and_columns) == 2 and rows_and_columns[0] == 2 * rates[1]


def reads(tensors: LayerTensors) -> tuple[str, ...]:
    """Suffixes of the tensors a layer is built from. Raises `MissingTensor` where one is absent."""
    return reads_of(rows(tensors), tensors)


def measure(tensors: LayerTensors, expected: Sizes) -> dict[str, Fact]:
    """Sizes by shapes. Raises `CheckpointError` where the shapes contradict each other."""
    found = solve(rows(tensors), tensors)
    sizes = {"d_inner": by_shape(found["E"]), "d_state": by_shape(found["N"])}
    if "R" in found:
        sizes["rank"] = by_shape(found["R"])
    directions = scans(tensors)
    if len(directions) > 1:
        names = " and ".join(scan.A_log for scan in directions[1:])
        sizes["groups"] = Fact(len(directions), f"the presence of {names}")
    return sizes | stream_sizes(found)


def by_shape(fact: Fact) -> Fact:
    return Fact(fact.value, f"the shape of {fact.source}")


def stream_sizes(found: Mapping[str, Fact]) -> dict[str, Fact]:
    """d_model and the convolution's width, where the tensors that show them are present."""
    return {name: by_shape(found[letter]) for name, letter in (("d_model", "d"), ("d_conv", "k")) if letter in found}


def build(tensors: LayerTensors, sizes: Sizes, facts: LayerFacts) -> S6Layer:
    """Read one layer; every scan becomes a group."""
    found = scans(tensors)
    parts = [_read_scan(tensors, scan, sizes, facts) for scan in found]
    skips = [part.D_skip for part in parts if part.D_skip is not None]
    norms = _norms(tensors, facts, _NORMS if "rank" in sizes else _NO_DT_NORM)
    warnings = direction_warnings(found)
    times = facts.dt_bias_times
    warnings += [f"dt_bias is {times} x dt_proj.bias: the model adds that bias {times} times"] if times > 1 else []
    warnings += [BEFORE_THE_NORM] if norms.any else []
    warnings += [] if norms.known else [NORMS_UNKNOWN]
    warnings += [f"{bias} shifts B and C by constants, which M leaves out" for bias in _x_proj_biases(tensors, found)]
    return S6Layer(
        S_B=_joined([part.S_B for part in parts]),
        S_C=_joined([part.S_C for part in parts]),
        dt_down=_joined([part.dt_down for part in parts]),
        dt_up=_joined([part.dt_up for part in parts if part.dt_up is not None]) if "rank" in sizes else None,
        dt_bias=_joined([part.dt_bias for part in parts]),
        a=_joined([part.a for part in parts]),
        D_skip=_joined(skips) if len(skips) == len(parts) else None,
        group_axis="direction" if len(parts) > 1 else "group",
        norms=norms,
        d_inner=sizes["d_inner"].value,
        warnings=tuple(warnings),
    )


def _joined(parts: list[FloatArray]) -> FloatArray:
    """Parts along a new first axis; a single one is not copied."""
    return np.stack(parts) if len(parts) > 1 else parts[0][None]


class _Arrays(NamedTuple):
    """One scan in normal form, without the axis of groups."""

    S_B: FloatArray
    S_C: FloatArray
    dt_down: FloatArray
    dt_up: FloatArray | None
    dt_bias: FloatArray
    a: FloatArray
    D_skip: FloatArray | None


def _read_scan(tensors: LayerTensors, scan: Scan, sizes: Sizes, facts: LayerFacts) -> _Arrays:
    names = {row.names[0]: row.present(tensors) for row in table(_of_scan(scan, full_rank="rank" not in sizes))}
    suffix = {name: found for name, found in names.items() if found is not None}
    x_proj_suffix, weight = suffix[f"{scan.x_proj}.weight"], suffix[f"{scan.dt_proj}.weight"]
    N, R = sizes["d_state"].value, sizes["rank"].value if "rank" in sizes else 0
    x_proj = _dt_first(scan, tensors.read(x_proj_suffix), N)
    if x_proj_suffix == definite.SUFFIX and facts.variant is not None:
        x_proj = definite.effective_x_proj(x_proj, R, N, facts.variant)
    step = tensors.read(weight)
    dt_bias = facts.dt_bias_times * tensors.read(suffix[f"{scan.dt_proj}.bias"])
    if R and (bias := suffix.get(f"{scan.x_proj}.bias")):
        dt_bias = dt_bias + step @ _dt_first(scan, tensors.read(bias), N)[:R]
    return _Arrays(
        S_B=x_proj[R : R + N],
        S_C=x_proj[R + N :],
        dt_down=x_proj[:R] if R else step,
        dt_up=step if R else None,
        dt_bias=dt_bias,
        a=tensors.rates(scan.A_log),
        D_skip=tensors.read(scan.D) if tensors.has(scan.D) else None,
    )


def _dt_first(scan: Scan, rows: FloatArray, N: int) -> FloatArray:
    """The rows of x_proj or of its bias in the order [dt; B; C]."""
    return np.concatenate([rows[2 * N :], rows[: 2 * N]]) if scan.dt_last else rows


def _x_proj_biases(tensors: LayerTensors, found: tuple[Scan, ...]) -> list[str]:
    names = (f"{scan.x_proj}{ending}" for scan in found for ending in (".bias", ".conv.bias"))
    return list(dict.fromkeys(filter(tensors.has, names)))


def _norms(tensors: LayerTensors, facts: LayerFacts, names: Mapping[str, tuple[str, ...]]) -> Norms:
    eps = DEFAULT_NORM_EPS if facts.norm_eps is None else facts.norm_eps
    if facts.weightless_norms:
        norm = RMSNorm(eps=eps)
        return Norms(B=norm, C=norm, dt=norm)
    learned = {
        axis: RMSNorm(eps=eps, weight=tensors.read(suffix))
        for axis, suffixes in names.items()
        if (suffix := next(filter(tensors.has, suffixes), None)) is not None
    }
    known = facts.norms_known or bool(learned)
    return Norms(B=learned.get("B"), C=learned.get("C"), dt=learned.get("dt"), known=known)
