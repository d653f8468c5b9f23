"""What a builder has to know beside the tensors: facts of the whole checkpoint."""

import math
from dataclasses import dataclass, field

from .._layer import Multipliers

NORMS_UNKNOWN = (
    "norms unknown: without config.json falcon_mamba, which normalises B, C and the step size, "
    "cannot be told from mamba"
)
BEFORE_THE_NORM = (
    "before the norm: B, C or the step size are normalised per token, so verdicts from weights leave it out"
)
U_SPACE = (
    "u-space: B, C and the step size are functions of u, the normed residual stream, and pass a convolution and SiLU "
    "(B, C); M is reported per group in u-space"
)


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """Facts that tensors beside `A_log` do not tell.

    `norms_known` is False where an absent norm cannot be told from a norm without weights.
    `dt_bias_multiplier` is the factor of in_proj's own bias for dt, where there is such a bias.
    `dt_bias_times` is how often the model adds its bias of the step size, where that is a projection's own: MambaVision
    adds it in the projection and once more in the scan.
    `variant` is the sign map of the paper's reparametrised models (see `definite`).
    """

    weightless_norms: bool = False
    norms_known: bool = True
    norm_eps: float | None = None
    multipliers: Multipliers = field(default_factory=Multipliers)
    dt_bias_multiplier: float = 1.0
    dt_bias_times: int = 1
    dt_limit: tuple[float, float] = (0.0, math.inf)
    variant: str | None = None
