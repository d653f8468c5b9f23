"""Sizes of a layer, each with the place it was learned from, and the check that two places agree.

d_model    d   width of the residual stream
d_inner    E   width of the scan (all heads together)
d_state    N   states per channel
rank       R   rank of the step-size projection (Mamba-1)
heads      H   heads, each with one step size (Mamba-2) or its own projections (Zamba)
head_dim   P   channels per head, E = H P
groups     G   pairs (S_B, S_C); head h of Mamba-2 uses group h // (H / G)
d_conv     k   width of the causal convolution
"""

from collections.abc import Mapping
from typing import NamedTuple

from .._errors import CheckpointError


class Fact(NamedTuple):
    """A size and its source, in words that fit "... by SOURCE"."""

    value: int
    source: str


Sizes = Mapping[str, Fact]


def require_agreement(layer: str, measured: Sizes, expected: Sizes) -> None:
    """Raises `CheckpointError`, naming both values and both sources, where two facts differ."""
    for size, by_shape in measured.items():
        by_config = expected.get(size)
        if by_config is not None and by_config.value != by_shape.value:
            raise CheckpointError(
                f"{layer}: {size} is {by_shape.value} by {by_shape.source} but {by_config.value} by "
                f"{by_config.source}; "
                "weights and config probably belong to different models: use the config.json saved with the weights"
            )


def require_shape(layer: str, tensor: str, found: tuple[int, ...], expected: tuple[int, ...], because: str) -> None:
    """Raises `CheckpointError` where a tensor does not have the shape its neighbours imply."""
    if found != expected:
        raise CheckpointError(
            f"{layer}: {tensor} should have shape {expected} ({because}), found {found}; "
            "the file mixes layers of different models or uses a layout this package does not know"
        )
