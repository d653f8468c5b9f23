"""The infinite-depth limit of an S6 layer: from weights to an ordinary differential equation of tokens."""

import math

import numpy as np

from .._errors import HypothesisError
from .._layer import RMSNorm, S6Layer, nearest_float
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
            scan's own input (Mamba-2), so that the S6-only ODE is not closed; or a layer that clips its step sizes
            (`dt_limit` other than (0, inf)), whose ODE is not smooth and is not implemented.
    """
    if not layer.closed:
        raise HypothesisError(
            f"{layer.name}: the S6-only ODE needs B, C and Delta to be functions of the scan's input x, found "
            f"functions of {layer.acts_on} ({layer.kind}); only weights and alignments can be judged for this kind"
        )
    if layer.dt_limit != (0.0, math.inf):
        raise HypothesisError(
            f"{layer.name}: the S6-only ODE is implemented for step sizes that are not clipped, found dt_limit = "
            f"{layer.dt_limit}; pass dataclasses.replace(layer, dt_limit=(0.0, math.inf)) to study it without"
        )
    if group is None and layer.groups > 1:
        raise HypothesisError(
            f"{layer.name}: expected one {layer.group_axis}, found {layer.groups}; pass group=0..{layer.groups - 1}"
        )
    one = layer.group(group or 0)
    rates = np.broadcast_to(one.a[0], (one.steps, one.d_state))
    if one.channels == 1 and not one.norms.any:
        products, a, slope = one.scalar_weights()
        mu = np.array([nearest_float(each) for each in products])
        return ScalarTokenDynamics(mu=mu, s=np.asarray(nearest_float(slope)), a=a, dt_bias=one.dt_bias[0, 0])
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
