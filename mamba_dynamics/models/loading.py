"""From the arrays of a checkpoint to the modules of `models`, in the precision that was asked for."""

import contextlib
from collections.abc import Iterator
from typing import Literal

import jax
import numpy as np
from numpy.typing import NDArray

from .._layer import RMSNorm, S6Layer
from ..checkpoints.language_model import BlockWeights, Convolution
from .block import Block
from .mixers import AbstractSelection, Mamba1Selection, Mamba2Selection, Mixer
from .primitives import CausalConvolution, Linear, RMSNormalisation

Precision = Literal["float32", "float64"]


@contextlib.contextmanager
def in_precision(dtype: Precision) -> Iterator[None]:
    """JAX's x64 flag as the precision needs it, for the time of a computation."""
    with jax.enable_x64(dtype == "float64"):
        yield


def load_block(weights: BlockWeights, dtype: Precision = "float32") -> Block:
    """A block of numpy arrays of the given precision."""
    gate = weights.gate_norm
    mixer = Mixer(
        in_x=_linear(weights.in_x, weights.in_x_bias, dtype),
        in_z=_linear(weights.in_z, weights.in_z_bias, dtype),
        selection=_selection(weights, dtype),
        out_proj=_linear(weights.out, weights.out_bias, dtype),
        gate_norm=None if gate is None else load_norm(gate, dtype, weights.gate_groups),
    )
    return Block(load_norm(weights.norm, dtype), mixer)


def load_norm(norm: RMSNorm, dtype: Precision, groups: int = 1) -> RMSNormalisation:
    weight = None if norm.weight is None else _as(norm.weight, dtype)
    return RMSNormalisation(weight=weight, eps=norm.eps, groups=groups)


def load_mamba1_selection(layer: S6Layer, conv: Convolution, dtype: Precision = "float32") -> Mamba1Selection:
    """The selective part of a Mamba-1 mixer from its S6 layer and convolution alone."""
    assert layer.D_skip is not None
    norms = layer.norms
    return Mamba1Selection(
        conv=_convolution(conv, dtype),
        S_B=_as(layer.S_B[0], dtype),
        S_C=_as(layer.S_C[0], dtype),
        dt_down=_as(layer.dt_down[0], dtype),
        dt_up=None if layer.dt_up is None else _as(layer.dt_up[0], dtype),
        dt_bias=_as(layer.dt_bias[0], dtype),
        a=_as(layer.a[0], dtype),
        D_skip=_as(layer.D_skip[0], dtype),
        B_norm=None if norms.B is None else load_norm(norms.B, dtype),
        C_norm=None if norms.C is None else load_norm(norms.C, dtype),
        dt_norm=None if norms.dt is None else load_norm(norms.dt, dtype),
    )


def _selection(weights: BlockWeights, dtype: Precision) -> AbstractSelection:
    layer = weights.layer
    if weights.conv_B is None or weights.conv_C is None:
        return load_mamba1_selection(layer, weights.conv_x, dtype)
    d = layer.channels
    return Mamba2Selection(
        conv=_convolution(weights.conv_x, dtype),
        conv_B=_convolution(weights.conv_B, dtype),
        conv_C=_convolution(weights.conv_C, dtype),
        B_proj=_linear(layer.S_B.reshape(-1, d), weights.B_bias, dtype),
        C_proj=_linear(layer.S_C.reshape(-1, d), weights.C_bias, dtype),
        dt_proj=_linear(layer.dt_down.reshape(-1, d), layer.dt_bias.reshape(-1), dtype),
        a=_as(layer.a.reshape(-1), dtype),
        D_skip=_as(weights.skip, dtype),
        groups=layer.groups,
        dt_limit=layer.dt_limit,
    )


def _as(array: NDArray[np.floating], dtype: Precision) -> NDArray[np.floating]:
    return np.ascontiguousarray(array, dtype=dtype)


def _linear(weight: NDArray[np.floating], bias: NDArray[np.floating] | None, dtype: Precision) -> Linear:
    return Linear(_as(weight, dtype), None if bias is None else _as(bias, dtype))


def _convolution(conv: Convolution, dtype: Precision) -> CausalConvolution:
    return CausalConvolution(_as(conv.weight, dtype), None if conv.bias is None else _as(conv.bias, dtype))
