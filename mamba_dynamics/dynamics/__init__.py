"""The infinite-depth limit of an S6 layer: from weights to an ordinary differential equation of tokens."""

import numpy as np

from .._errors import HypothesisError
from .._layer import RMSNorm, S6Layer
from .base import AbstractLogDynamics as AbstractLogDynamics
from .base import AbstractTokenDynamics as AbstractTokenDynamics
from .scalar import ScalarTokenDynamics as ScalarTokenDynamics
from .tokens import TokenDynamics as TokenDynamics
from .weights import Projection, SelectiveWeights


def token_dynamics(layer: S6Layer, *, group: int | None = None) -> AbstractTokenDynamics:
    """The ODE of an S6 layer (theory section 2, equation (*)).

    Args:
        layer: the layer; its `dropped` lists what this limit leaves out.
        group: which of the layer's groups (heads, scan directions); needed when there are several.

    Returns:
        `ScalarTokenDynamics` for D = 1 (tokens of shape (L,)), else `TokenDynamics` (tokens (L, D)).
        Both compute in the precision of JAX's x64 flag at the call; `solve` always uses float64.

    Raises:
        HypothesisError: several groups and none chosen, or a layer whose B, C and Delta do not read the
            scan's own input (Mamba-2), so that the S6-only ODE is not closed.
    """
    if not layer.closed:
        raise HypothesisError(
            f"{layer.name}: the S6-only ODE needs B, C and Delta to be functions of the scan's input x, found "
            f"functions of {layer.acts_on} ({layer.kind}); only weights and alignments can be judged for this kind"
        )
    if group is None and layer.groups > 1:
        raise HypothesisError(
            f"{layer.name}: expected one {layer.group_axis}, found {layer.groups}; pass group=0..{layer.groups - 1}"
        )
    one = layer.group(group or 0)
    rates = np.broadcast_to(one.a[0], (one.steps, one.d_state))
    if one.channels == 1 and not one.norms.any and one.dt_limit == (0.0, float("inf")):
        mu = one.gain * one.S_C[0, :, 0] * one.S_B[0, :, 0]
        return ScalarTokenDynamics(
            mu=mu, s=one.S_Delta()[0, 0] * one.multipliers.dt, a=rates[0], dt_bias=one.dt_bias[0, 0]
        )
    weights = SelectiveWeights(
        B=_projection(one.S_B[0], one.norms.B, one.multipliers.B),
        C=_projection(one.S_C[0], one.norms.C, one.multipliers.C),
        dt_down=_projection(one.dt_down[0], one.norms.dt, one.multipliers.dt),
        dt_up=None if one.dt_up is None else one.dt_up[0],
        dt_bias=one.dt_bias[0],
        a=rates,
    )
    return TokenDynamics(weights)


def _projection(matrix, norm: RMSNorm | None, gain: float) -> Projection:
    if norm is None:
        return Projection(matrix, gain)
    return Projection(matrix, gain, norm.eps, norm.weight)
