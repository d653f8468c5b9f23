"""Layers whose projections are bare parameters, stacked along a leading axis: Zamba v1 and VMamba.

    Zamba v1, one group per head         VMamba SS2D, one group per scan direction
    A_log          (H, E/H, N)           A_logs           (K E, N)
    x_proj_weight  (H, R + 2N, E/H)      x_proj_weight    (K, R + 2N, E)     rows [dt; B; C]
    dt_proj_weight (H, E/H, R)           dt_projs_weight  (K, E, R)
    dt_proj_bias   (H, E/H)              dt_projs_bias    (K, E)
    D              (H, E/H)              Ds               (K E)

Every head of Zamba sees its own E/H channels, every direction of VMamba all E of them, in
another order of the image's pixels.
"""

from typing import NamedTuple

from .._layer import S6Layer
from .facts import LayerFacts
from .mamba1 import stream_sizes
from .sizes import Fact, Sizes, require_shape
from .tensors import LayerTensors


class Names(NamedTuple):
    """What a layout calls its tensors, and the axis of its groups."""

    A_log: str
    dt_proj: str
    D: str
    group_axis: str


HEADS = Names("A_log", "dt_proj", "D", "head")
DIRECTIONS = Names("A_logs", "dt_projs", "Ds", "direction")


def _names(tensors: LayerTensors) -> Names:
    return DIRECTIONS if tensors.has(DIRECTIONS.A_log) else HEADS


def reads(tensors: LayerTensors) -> tuple[str, ...]:
    """Suffixes of the tensors a layer is built from. Raises `MissingTensor` where one is absent."""
    names = _names(tensors)
    required = ("x_proj_weight", f"{names.dt_proj}_weight", f"{names.dt_proj}_bias")
    optional = tuple(filter(tensors.has, (names.D, "x_proj_bias")))
    return (names.A_log, *(tensors.first(suffix) for suffix in required), *optional)


def measure(tensors: LayerTensors, expected: Sizes) -> dict[str, Fact]:
    """Sizes by shapes. Raises `CheckpointError` where the shapes contradict each other."""
    names = _names(tensors)
    weight, bias = f"{names.dt_proj}_weight", f"{names.dt_proj}_bias"
    G, E, R = _three(tensors, weight)
    N = tensors.shape(names.A_log)[-1]
    because = f"groups, width and rank {(G, E, R)} by {weight}, {N} states by {names.A_log}"
    stacked = (G * E, N) if names is DIRECTIONS else (G, E, N)
    for suffix, shape in ((names.A_log, stacked), ("x_proj_weight", (G, R + 2 * N, E)), (bias, (G, E))):
        require_shape(tensors.name, suffix, tensors.shape(suffix), shape, because)
    if tensors.has(names.D):
        expected_D = (G * E,) if names is DIRECTIONS else (G, E)
        require_shape(tensors.name, names.D, tensors.shape(names.D), expected_D, because)
    by = f"the shape of {weight}"
    sizes = {"groups": Fact(G, by), "rank": Fact(R, by), "d_state": Fact(N, f"the shape of {names.A_log}")}
    sizes["d_inner"] = Fact(E if names is DIRECTIONS else G * E, by)
    if names is HEADS:
        sizes["heads"] = Fact(G, by)
    return sizes | stream_sizes(tensors)


def build(tensors: LayerTensors, sizes: Sizes, facts: LayerFacts) -> S6Layer:
    """Read one layer; every head or direction becomes a group."""
    names = _names(tensors)
    G, R, N = (sizes[size].value for size in ("groups", "rank", "d_state"))
    x_proj = tensors.read("x_proj_weight")
    dt_up = tensors.read(f"{names.dt_proj}_weight")
    dt_bias = tensors.read(f"{names.dt_proj}_bias")
    warnings = [f"direction {k} sees the tokens in another order" for k in range(1, G)] if names is DIRECTIONS else []
    if tensors.has("x_proj_bias"):
        low_rank = tensors.read("x_proj_bias").reshape(G, R + 2 * N)[:, :R]
        dt_bias = dt_bias + (dt_up @ low_rank[:, :, None])[:, :, 0]
        warnings.append("x_proj_bias shifts B and C by constants, which M leaves out")
    return S6Layer(
        S_B=x_proj[:, R : R + N],
        S_C=x_proj[:, R + N :],
        dt_down=x_proj[:, :R],
        dt_up=dt_up,
        dt_bias=dt_bias,
        a=tensors.rates(names.A_log).reshape(G, -1, N),
        D_skip=tensors.read(names.D).reshape(G, -1) if tensors.has(names.D) else None,
        group_axis=names.group_axis,
        d_inner=sizes["d_inner"].value,
        heads=G if names is HEADS else 1,
        warnings=tuple(warnings),
    )


def _three(tensors: LayerTensors, suffix: str) -> tuple[int, int, int]:
    shape = tensors.shape(suffix)
    if len(shape) != 3:
        require_shape(tensors.name, f"the number of axes of {suffix}", (len(shape),), (3,), "groups, width, rank")
    return shape[0], shape[1], shape[2]
