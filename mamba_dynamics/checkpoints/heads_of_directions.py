"""VMamba's newer SS2D (its forward types m0, models named m2): scan directions with heads, as in Mamba-2, but over x.

For K directions, H heads of P = E / H channels, N states:

    x_proj_weight  (K, H + 2N, E)            rows [dt; B; C], a step size for each head
    A_logs         (K, H)                    stored flat as (K H) in some projects
    dt_projs_bias  (K, H)
    Ds             (K, H, P)                 (K, H) or flat in some projects

B, C and the step sizes are functions of the scan's own input, as in Mamba-1, and a head's channels share its step size
and decay rate. So in normal form S_Delta = dt_up dt_down with dt_up (E, H) one where a channel lies in a head: the
channels h P to (h + 1) P - 1 are head h.
"""

import numpy as np

from .._layer import S6Layer
from .facts import LayerFacts
from .mamba1 import AROUND, by_shape, stream_sizes
from .sizes import Fact, Sizes
from .tensor_table import Table, solve, table
from .tensor_table import reads as reads_of
from .tensors import LayerTensors

_TABLE = table(
    """
    dt_projs_bias   | K, H                      | required
    A_logs          | K, H / KH                 | required
    x_proj_weight   | K, H + 2N, HP             | required
    Ds              | K, H, P / K, H / KHP / KH | optional
    x_proj_bias     | K, H + 2N / KH + 2KN      | optional
"""
    + AROUND
)
#: in_proj lies before the scan here.
INPUT_IS_READ = False


def fits(tensors: LayerTensors) -> bool:
    """Whether a block with `A_logs` has heads: a rate for each step size, and no projection of the step sizes."""
    if tensors.has("dt_projs_weight") or not tensors.has("dt_projs_bias"):
        return False
    rates, steps = (tensors.shape(suffix) for suffix in ("A_logs", "dt_projs_bias"))
    return len(steps) == 2 and rates in (steps, (steps[0] * steps[1],))


def rows(tensors: LayerTensors) -> Table:
    """The table of a layer."""
    return _TABLE


def reads(tensors: LayerTensors) -> tuple[str, ...]:
    """Suffixes of the tensors a layer is built from. Raises `MissingTensor` where one is absent."""
    return reads_of(_TABLE, tensors)


def measure(tensors: LayerTensors, expected: Sizes) -> dict[str, Fact]:
    """Sizes by shapes. Raises `CheckpointError` where the shapes contradict each other."""
    found = solve(_TABLE, tensors)
    H, P = found["H"], found["P"]
    return {
        "groups": by_shape(found["K"]),
        "heads": by_shape(H),
        "head_dim": by_shape(P),
        "d_state": by_shape(found["N"]),
        "d_inner": Fact(H.value * P.value, "the shape of x_proj_weight"),
        **stream_sizes(found),
    }


def build(tensors: LayerTensors, sizes: Sizes, facts: LayerFacts) -> S6Layer:
    """Read one layer; every direction becomes a group, every head's step size that of its channels."""
    K, H, P, N = (sizes[size].value for size in ("groups", "heads", "head_dim", "d_state"))
    x_proj = tensors.read("x_proj_weight")
    dt_bias = tensors.read("dt_projs_bias")
    warnings = [f"direction {k} sees the tokens in another order" for k in range(1, K)]
    warnings.append(f"the {P} channels of each of {H} heads share a step size and a decay rate")
    if tensors.has("x_proj_bias"):
        dt_bias = dt_bias + tensors.read("x_proj_bias").reshape(K, H + 2 * N)[:, :H]
        warnings.append("x_proj_bias shifts B and C by constants, which M leaves out")
    D = tensors.read("Ds") if tensors.has("Ds") else None
    if D is not None:
        D = D.reshape(K, H * P) if D.size == K * H * P else np.repeat(D.reshape(K, H), P, axis=1)
    return S6Layer(
        S_B=x_proj[:, H : H + N],
        S_C=x_proj[:, H + N :],
        dt_down=x_proj[:, :H],
        dt_up=np.broadcast_to(np.repeat(np.eye(H), P, axis=0), (K, H * P, H)),
        dt_bias=np.repeat(dt_bias, P, axis=1),
        a=np.repeat(tensors.rates("A_logs").reshape(K, H), P, axis=1)[:, :, None],
        D_skip=D,
        group_axis="direction",
        d_inner=H * P,
        warnings=tuple(warnings),
    )
