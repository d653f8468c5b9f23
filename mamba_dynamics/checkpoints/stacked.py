"""Layers whose projections are bare parameters, stacked along a leading axis: Zamba v1 and VMamba.

    Zamba v1, one group per head         VMamba SS2D, one group per scan direction
    A_log          (H, E/H, N)           A_logs           (K E, N)
    x_proj_weight  (H, R + 2N, E/H)      x_proj_weight    (K, R + 2N, E)     rows [dt; B; C]
    dt_proj_weight (H, E/H, R)           dt_projs_weight  (K, E, R)
    dt_proj_bias   (H, E/H)              dt_projs_bias    (K, E)
    D              (H, E/H)              Ds               (K E)

VMamba's later code keeps the projections as modules, with the same rows one below the other:
x_proj.weight (K (R + 2N), E) and dt_projs.weight (K E, R). Every head of Zamba sees its own E/H
channels, every direction of VMamba all E of them, in another order of the image's pixels.
"""

from typing import NamedTuple

from .._layer import S6Layer
from .facts import LayerFacts
from .mamba1 import AROUND, by_shape, stream_sizes
from .sizes import Fact, Sizes
from .tensor_table import Table, solve, table
from .tensor_table import reads as reads_of
from .tensors import LayerTensors

#: G heads or directions, E the width that each of them sees.
_ROWS = """
    {dt_proj}_bias                         | G, E                          | required
    {dt_proj}_weight, {dt_proj}.weight     | G, E, R / GE, R               | required
    {A_log}                                | {stacked}, N                  | required
    x_proj_weight, x_proj.weight           | G, R + 2N, E / GR + 2GN, E    | required
    {D}                                    | {stacked}                     | optional
    x_proj_bias, x_proj.bias               | G, R + 2N / GR + 2GN          | optional
"""
#: in_proj lies before the scan here.
INPUT_IS_READ = False


class Names(NamedTuple):
    """What a layout calls its tensors, and the axis of its groups."""

    A_log: str
    dt_proj: str
    D: str
    group_axis: str

    table: Table


def _names_of(A_log: str, dt_proj: str, D: str, group_axis: str, stacked: str) -> Names:
    rows = _ROWS.format(A_log=A_log, dt_proj=dt_proj, D=D, stacked=stacked)
    return Names(A_log, dt_proj, D, group_axis, table(rows + AROUND))


HEADS = _names_of("A_log", "dt_proj", "D", "head", "G, E")
DIRECTIONS = _names_of("A_logs", "dt_projs", "Ds", "direction", "GE")


def _names(tensors: LayerTensors) -> Names:
    return DIRECTIONS if tensors.has(DIRECTIONS.A_log) else HEADS


def rows(tensors: LayerTensors) -> Table:
    """The table of a layer."""
    return _names(tensors).table


def reads(tensors: LayerTensors) -> tuple[str, ...]:
    """Suffixes of the tensors a layer is built from. Raises `MissingTensor` where one is absent."""
    return reads_of(rows(tensors), tensors)


def measure(tensors: LayerTensors, expected: Sizes) -> dict[str, Fact]:
    """Sizes by shapes. Raises `CheckpointError` where the shapes contradict each other."""
    names = _names(tensors)
    found = solve(names.table, tensors)
    G, E, by = found["G"].value, found["E"].value, by_shape(found["G"]).source
    sizes = {"groups": Fact(G, by), "rank": by_shape(found["R"]), "d_state": by_shape(found["N"])}
    sizes["d_inner"] = Fact(E if names is DIRECTIONS else G * E, by)
    if names is HEADS:
        sizes["heads"] = Fact(G, by)
    return sizes | stream_sizes(found)


def build(tensors: LayerTensors, sizes: Sizes, facts: LayerFacts) -> S6Layer:
    """Read one layer; every head or direction becomes a group."""
    names = _names(tensors)
    G, R, N = (sizes[size].value for size in ("groups", "rank", "d_state"))
    E = sizes["d_inner"].value // (G if names is HEADS else 1)
    x_proj = tensors.read(tensors.first("x_proj_weight", "x_proj.weight")).reshape(G, R + 2 * N, E)
    dt_up = tensors.read(tensors.first(f"{names.dt_proj}_weight", f"{names.dt_proj}.weight")).reshape(G, E, R)
    dt_bias = tensors.read(f"{names.dt_proj}_bias")
    warnings = [f"direction {k} sees the tokens in another order" for k in range(1, G)] if names is DIRECTIONS else []
    if bias := next(filter(tensors.has, ("x_proj_bias", "x_proj.bias")), None):
        low_rank = tensors.read(bias).reshape(G, R + 2 * N)[:, :R]
        dt_bias = dt_bias + (dt_up @ low_rank[:, :, None])[:, :, 0]
        warnings.append(f"{bias} shifts B and C by constants, which M leaves out")
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
