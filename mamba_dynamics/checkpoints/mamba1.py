"""Layers whose projections are a module's own: Mamba-1, MambaVision and bidirectional Vim.

Beside `A_log (E, N)` lie (Linear weights are (out, in))

    x_proj.weight   (R + 2N, E)  rows [dt; B; C]       -> dt_down, S_B, S_C
    dt_proj.weight  (E, R), dt_proj.bias (E)           -> dt_up, dt_bias (MambaVision: twice the bias)
    D               (E)                                -> D_skip
    dt_layernorm.weight (R), b_layernorm.weight (N), c_layernorm.weight (N)   Jamba only

E is the width of the scan, half of in_proj's rows. MambaVision's projection adds its bias b and its
scan adds b again, so there Delta = softplus(S_Delta x + 2 b). Vim holds a second scan, over the
reversed tokens, in tensors of the same shapes named `A_b_log`, `x_proj_b`, `dt_proj_b`, `D_b`; its
first version shares all but `A_b_log`.
Projections may be 1x1 convolutions, then with trailing axes of length one.
"""

from typing import NamedTuple

import numpy as np

from .._layer import FloatArray, Norms, RMSNorm, S6Layer
from . import definite
from .architectures import DEFAULT_NORM_EPS
from .facts import BEFORE_THE_NORM, NORMS_UNKNOWN, LayerFacts
from .sizes import Fact, Sizes, require_shape
from .tensors import LayerTensors


class Scan(NamedTuple):
    """Names of one scan's tensors."""

    A_log: str
    x_proj: str
    dt_proj: str
    D: str

    def x_proj_suffix(self, tensors: LayerTensors) -> str:
        merged = (f"{self.x_proj}.weight", f"{self.x_proj}.conv.weight")
        stored = (*merged, definite.SUFFIX) if definite.SUFFIX in tensors.suffixes else merged
        return tensors.first(*stored)

    def dt_proj_suffix(self, tensors: LayerTensors) -> str:
        return tensors.first(f"{self.dt_proj}.weight", f"{self.dt_proj}.conv.weight")

    def dt_bias_suffix(self, tensors: LayerTensors) -> str:
        return tensors.first(f"{self.dt_proj}.bias", f"{self.dt_proj}.conv.bias")


FORWARD = Scan("A_log", "x_proj", "dt_proj", "D")
BACKWARD = Scan("A_b_log", "x_proj_b", "dt_proj_b", "D_b")
_NORMS = {"B": "b_layernorm.weight", "C": "c_layernorm.weight", "dt": "dt_layernorm.weight"}


def scans(tensors: LayerTensors) -> tuple[Scan, ...]:
    """The layer's scans: one, or two where there is an `A_b_log`."""
    if not tensors.has(BACKWARD.A_log):
        return (FORWARD,)
    own = any(suffix.startswith(("x_proj_b.", "dt_proj_b.")) for suffix in tensors.suffixes)
    return FORWARD, BACKWARD if own else FORWARD._replace(A_log=BACKWARD.A_log)


def reads(tensors: LayerTensors) -> tuple[str, ...]:
    """Suffixes of the tensors a layer is built from. Raises `MissingTensor` where one is absent."""
    found: dict[str, None] = {}
    for scan in scans(tensors):
        required = (scan.A_log, scan.x_proj_suffix(tensors), scan.dt_proj_suffix(tensors), scan.dt_bias_suffix(tensors))
        optional = (scan.D, f"{scan.x_proj}.bias", *_NORMS.values())
        found |= dict.fromkeys((*required, *filter(tensors.has, optional)))
    return tuple(found)


def measure(tensors: LayerTensors, expected: Sizes) -> dict[str, Fact]:
    """Sizes by shapes. Raises `CheckpointError` where the shapes contradict each other."""
    sizes: dict[str, Fact] = {}
    for scan in scans(tensors):
        E, N = tensors.matrix_shape(scan.A_log)
        x_proj, dt_proj = scan.x_proj_suffix(tensors), scan.dt_proj_suffix(tensors)
        R = tensors.matrix_shape(dt_proj)[1]
        rows = f"R + 2N = {R} + 2 * {N} rows by {dt_proj} and {scan.A_log}, E = {E} columns by {scan.A_log}"
        require_shape(tensors.name, x_proj, tensors.shape(x_proj), (R + 2 * N, E), rows)
        require_shape(tensors.name, dt_proj, tensors.shape(dt_proj), (E, R), f"E = {E} by {scan.A_log}")
        bias = scan.dt_bias_suffix(tensors)
        require_shape(tensors.name, bias, tensors.shape(bias), (E,), f"E = {E} by {scan.A_log}")
        if tensors.has(scan.D):
            require_shape(tensors.name, scan.D, tensors.shape(scan.D), (E,), f"E = {E} by {scan.A_log}")
        by_A = f"the shape of {scan.A_log}"
        sizes |= {"d_inner": Fact(E, by_A), "d_state": Fact(N, by_A), "rank": Fact(R, f"the shape of {dt_proj}")}
    if tensors.has(BACKWARD.A_log):
        sizes["groups"] = Fact(2, f"the presence of {BACKWARD.A_log}")
    return sizes | stream_sizes(tensors)


def stream_sizes(tensors: LayerTensors) -> dict[str, Fact]:
    """d_model and the convolution's width, where the tensors that show them are present."""
    sizes: dict[str, Fact] = {}
    if tensors.has("in_proj.weight"):
        sizes["d_model"] = Fact(tensors.matrix_shape("in_proj.weight")[1], "the shape of in_proj.weight")
    if tensors.has("conv1d.weight"):
        sizes["d_conv"] = Fact(
            tensors.archive.shape(tensors.prefix + "conv1d.weight")[-1], "the shape of conv1d.weight"
        )
    return sizes


def build(tensors: LayerTensors, sizes: Sizes, facts: LayerFacts) -> S6Layer:
    """Read one layer; every scan becomes a group."""
    parts = [_read_scan(tensors, scan, facts) for scan in scans(tensors)]
    skips = [part.D_skip for part in parts if part.D_skip is not None]
    two = len(parts) == 2
    norms = _norms(tensors, facts)
    warnings = ["direction 1 sees the tokens in reverse order"] if two else []
    times = facts.dt_bias_times
    warnings += [f"dt_bias is {times} x dt_proj.bias: the model adds that bias {times} times"] if times > 1 else []
    warnings += [BEFORE_THE_NORM] if norms.any else []
    warnings += [] if norms.known else [NORMS_UNKNOWN]
    warnings += ["x_proj.bias shifts B and C by constants, which M leaves out"] if tensors.has("x_proj.bias") else []
    return S6Layer(
        S_B=_joined([part.S_B for part in parts]),
        S_C=_joined([part.S_C for part in parts]),
        dt_down=_joined([part.dt_down for part in parts]),
        dt_up=_joined([part.dt_up for part in parts]),
        dt_bias=_joined([part.dt_bias for part in parts]),
        a=_joined([part.a for part in parts]),
        D_skip=_joined(skips) if len(skips) == len(parts) else None,
        group_axis="direction" if two else "group",
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
    dt_up: FloatArray
    dt_bias: FloatArray
    a: FloatArray
    D_skip: FloatArray | None


def _read_scan(tensors: LayerTensors, scan: Scan, facts: LayerFacts) -> _Arrays:
    N = tensors.matrix_shape(scan.A_log)[1]
    x_proj_suffix = scan.x_proj_suffix(tensors)
    x_proj = tensors.read(x_proj_suffix)
    R = x_proj.shape[0] - 2 * N
    if x_proj_suffix == definite.SUFFIX and facts.variant is not None:
        x_proj = definite.effective_x_proj(x_proj, R, N, facts.variant)
    dt_up = tensors.read(scan.dt_proj_suffix(tensors))
    dt_bias = facts.dt_bias_times * tensors.read(scan.dt_bias_suffix(tensors))
    if tensors.has(f"{scan.x_proj}.bias"):
        dt_bias = dt_bias + dt_up @ tensors.read(f"{scan.x_proj}.bias")[:R]
    return _Arrays(
        S_B=x_proj[R : R + N],
        S_C=x_proj[R + N :],
        dt_down=x_proj[:R],
        dt_up=dt_up,
        dt_bias=dt_bias,
        a=tensors.rates(scan.A_log),
        D_skip=tensors.read(scan.D) if tensors.has(scan.D) else None,
    )


def _norms(tensors: LayerTensors, facts: LayerFacts) -> Norms:
    eps = DEFAULT_NORM_EPS if facts.norm_eps is None else facts.norm_eps
    if facts.weightless_norms:
        norm = RMSNorm(eps=eps)
        return Norms(B=norm, C=norm, dt=norm)
    learned = {
        axis: RMSNorm(eps=eps, weight=tensors.read(suffix)) for axis, suffix in _NORMS.items() if tensors.has(suffix)
    }
    known = facts.norms_known or bool(learned)
    return Norms(B=learned.get("B"), C=learned.get("C"), dt=learned.get("dt"), known=known)
