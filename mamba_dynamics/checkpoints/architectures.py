"""The table of architectures: which words of `config.json` name which size, and what is special.

The layout of the tensors themselves does not depend on this table (see `layouts`); it serves to
check shapes against the config, to learn what shapes cannot tell (groups, norms, multipliers,
clamps) and to list what the infinite-depth limit leaves out. Adding an architecture whose layers
have a known layout means adding one row here.

Sizes are spelled as in `sizes`. Facts were read from the reference implementations
(state-spaces/mamba and huggingface/transformers).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import CheckpointError, CorruptFile
from .._layer import Multipliers
from .config import Config, Range
from .sizes import Fact

#: What models have is far within: an epsilon of a norm, the factor d_inner / d_model, Falcon-H1's multipliers. A limit
#: of step sizes may be infinite.
EPSILON, EXPANSION, MULTIPLIER = Range(0, 1, above=True), Range(0, 1e6, above=True), Range(-1e30, 1e30)
STEP_LIMIT = Range(0, math.inf)
#: A least step size beyond this is no step size.
LARGEST_LEAST_STEP = 1e6
#: Epsilon of the RMS norms in every architecture that has them, where the config is silent.
DEFAULT_NORM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One row of the table.

    `kinds` are the layouts its layers may have; `sizes` maps a size to its config key; `expand` is
    the key of d_inner / d_model, used where no key names d_inner; `layers` is the key of the layer
    count, only where every layer is an S6 layer; `norm_eps` is the key of the epsilon of the norms
    on B, C and the step size.
    """

    name: str
    kinds: tuple[str, ...]
    sizes: Mapping[str, str]
    expand: str | None = None
    layers: str | None = None
    norm_eps: str | None = None
    weightless_norms: bool = False
    dt_limit: str | None = None
    aliases: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


_MAMBA1 = {
    "d_model": "hidden_size",
    "d_inner": "intermediate_size",
    "d_state": "state_size",
    "rank": "time_step_rank",
    "d_conv": "conv_kernel",
}
_MAMBA_IN_HYBRID = {"d_model": "hidden_size", "d_state": "mamba_d_state", "d_conv": "mamba_d_conv"}
_MAMBA2_IN_HYBRID = {
    **_MAMBA_IN_HYBRID,
    "heads": "mamba_n_heads",
    "head_dim": "mamba_d_head",
    "groups": "mamba_n_groups",
}
_CLAMP = (
    "time_step_min of the config is not applied: some releases of transformers clamp the step size from below with it, "
    "mamba_ssm's kernels do not",
)

ARCHITECTURES = (
    Architecture(name="mamba", kinds=("mamba1",), sizes=_MAMBA1, expand="expand", layers="num_hidden_layers"),
    Architecture(
        name="falcon_mamba",
        kinds=("mamba1",),
        sizes=_MAMBA1,
        expand="expand",
        layers="num_hidden_layers",
        norm_eps="mixer_rms_eps",
        weightless_norms=True,
    ),
    Architecture(
        name="jamba",
        kinds=("mamba1",),
        sizes={**_MAMBA_IN_HYBRID, "rank": "mamba_dt_rank"},
        expand="mamba_expand",
        norm_eps="rms_norm_eps",
        dropped=("attention and expert layers",),
    ),
    Architecture(
        name="zamba",
        kinds=("zamba",),
        sizes={**_MAMBA_IN_HYBRID, "rank": "mamba_dt_rank", "heads": "n_mamba_heads"},
        expand="mamba_expand",
        dropped=("shared attention block",),
    ),
    Architecture(
        name="mamba2",
        kinds=("mamba2",),
        sizes={
            "d_model": "hidden_size",
            "d_state": "state_size",
            "heads": "num_heads",
            "head_dim": "head_dim",
            "groups": "n_groups",
            "d_conv": "conv_kernel",
        },
        expand="expand",
        layers="num_hidden_layers",
        dt_limit="time_step_limit",
    ),
    Architecture(
        name="zamba2",
        kinds=("mamba2",),
        sizes={
            **_MAMBA_IN_HYBRID,
            "heads": "n_mamba_heads",
            "head_dim": "mamba_headdim",
            "groups": "mamba_ngroups",
        },
        expand="mamba_expand",
        dt_limit="time_step_limit",
        dropped=("shared attention block",),
        warnings=_CLAMP,
    ),
    Architecture(
        name="bamba",
        kinds=("mamba2",),
        sizes=_MAMBA2_IN_HYBRID,
        expand="mamba_expand",
        dt_limit="time_step_limit",
        dropped=("attention and feed-forward layers",),
    ),
    Architecture(
        name="granitemoehybrid",
        kinds=("mamba2",),
        sizes=_MAMBA2_IN_HYBRID,
        expand="mamba_expand",
        dt_limit="time_step_limit",
        dropped=("attention and expert layers", "residual multiplier"),
    ),
    Architecture(
        name="falcon_h1",
        kinds=("mamba2",),
        sizes={**_MAMBA2_IN_HYBRID, "d_inner": "mamba_d_ssm"},
        expand="mamba_expand",
        dt_limit="time_step_limit",
        dropped=("attention beside the scan in every layer", "output multiplier"),
    ),
    Architecture(
        name="nemotron_h",
        kinds=("mamba2",),
        sizes={
            "d_model": "hidden_size",
            "d_state": "ssm_state_size",
            "heads": "mamba_num_heads",
            "head_dim": "mamba_head_dim",
            "groups": "n_groups",
            "d_conv": "conv_kernel",
        },
        dt_limit="time_step_limit",
        dropped=("attention and feed-forward layers",),
        warnings=_CLAMP,
    ),
    Architecture(name="mamba_ssm", kinds=("mamba1", "mamba2"), sizes={}),
    Architecture(name="vim", kinds=("vim",), sizes={}),
    Architecture(name="vmamba", kinds=("vmamba",), sizes={}),
    Architecture(
        name="mamba_vision",
        kinds=("mamba_vision",),
        sizes={},
        aliases=("mambavision",),
        dropped=("symmetric branch without a scan",),
    ),
)

#: Defaults of the mamba_ssm classes, which their configs leave out.
_MAMBA_SSM_DEFAULTS = {
    "Mamba1": {"d_state": 16, "expand": 2, "d_conv": 4},
    "Mamba2": {"d_state": 128, "expand": 2, "d_conv": 4, "headdim": 64, "ngroups": 1},
}


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the config says of a checkpoint: its architecture and the facts that bear on layers."""

    architecture: Architecture | None = None
    model_type: str | None = None
    sizes: Mapping[str, Fact] = field(default_factory=dict)
    layers: Fact | None = None
    norm_eps: float | None = None
    multipliers: Multipliers = field(default_factory=Multipliers)
    dt_bias_multiplier: float = 1.0
    dt_limit: tuple[float, float] = (0.0, math.inf)


def architecture_named(model_type: str | None) -> Architecture | None:
    for row in ARCHITECTURES:
        if model_type is not None and model_type in (row.name, *row.aliases):
            return row
    return None


def describe(config: Config | None) -> Description:
    """Read a config with the table. An unknown model type gives a description without facts."""
    if config is None:
        return Description()
    model_type = config.text("model_type")
    row = architecture_named(model_type)
    text = config.section("text_config")
    if row is None and text is not None and (nested := architecture_named(text.text("model_type"))) is not None:
        row, config = nested, text
    if row is None and model_type is None and config.integer("d_model") and config.integer("n_layer"):
        return _describe_mamba_ssm(config)
    if row is None:
        return Description(model_type=model_type)
    sizes = _sizes(row, config)
    return Description(
        architecture=row,
        model_type=model_type,
        sizes=sizes,
        layers=_fact(config, row.layers),
        norm_eps=config.number(row.norm_eps, EPSILON) if row.norm_eps else None,
        **(_multipliers(config) if row.name == "falcon_h1" else {}),
        dt_limit=_dt_limit(config, row.dt_limit),
    )


def _fact(config: Config, key: str | None) -> Fact | None:
    value = config.integer(key) if key else None
    return None if value is None else Fact(value, f"{key} in {config.source}")


def _sizes(row: Architecture, config: Config) -> dict[str, Fact]:
    sizes: dict[str, Fact] = {}
    for size, key in row.sizes.items():
        automatic = size in ("rank", "head_dim") and config.values.get(key) == "auto"
        fact = None if automatic else _fact(config, key)
        if fact is not None:
            sizes[size] = fact
        elif automatic and size == "rank" and "d_model" in sizes:
            sizes[size] = Fact(-(-sizes["d_model"].value // 16), f"{key} = auto in {config.source}")
    if row.expand and "d_inner" not in sizes and "d_model" in sizes:
        expand = config.number(row.expand, EXPANSION)
        if expand is not None:
            key = row.sizes["d_model"]
            sizes["d_inner"] = Fact(_times(expand, sizes["d_model"].value), f"{row.expand} * {key} in {config.source}")
    return sizes


def _times(expand: float, width: int) -> int:
    """The width that a config's factor makes."""
    return int(expand * width)


def _describe_mamba_ssm(config: Config) -> Description:
    inner = config.section("ssm_cfg") or Config({}, "the defaults of mamba_ssm")
    kind = inner.text("layer") or "Mamba1"
    if kind not in _MAMBA_SSM_DEFAULTS:
        raise CheckpointError(
            f"{inner.source}: layer should be Mamba1 or Mamba2, found {kind[:40]!a}; Mamba-3 has no A_log of its "
            "own and lies outside the theory"
        )
    defaults = Config(_MAMBA_SSM_DEFAULTS[kind], f"the defaults of mamba_ssm's {kind}")
    keys = {"d_state": "d_state", "d_conv": "d_conv", "head_dim": "headdim", "groups": "ngroups"}
    found = {size: _fact(inner, key) or _fact(defaults, key) for size, key in keys.items()}
    d_model, expand = config.integer("d_model") or 0, inner.number("expand", EXPANSION) or 2
    found["d_model"] = _fact(config, "d_model")
    found["d_inner"] = _fact(inner, "d_ssm") or Fact(_times(expand, d_model), f"expand * d_model in {config.source}")
    found["rank"] = None if inner.values.get("dt_rank") in (None, "auto") else _fact(inner, "dt_rank")
    return Description(
        architecture=architecture_named("mamba_ssm"),
        sizes={size: fact for size, fact in found.items() if fact is not None},
        layers=None if config.values.get("attn_layer_idx") else _fact(config, "n_layer"),
        dt_limit=_dt_limit(inner, "dt_limit"),
    )


def _multipliers(config: Config) -> dict[str, Any]:
    """Falcon-H1: the input and the rows [z, x, B, C, dt] of in_proj each carry a factor, a bias only the second."""
    whole = config.number("ssm_in_multiplier", MULTIPLIER)
    whole = 1.0 if whole is None else whole
    _, x, B, C, dt = config.numbers("ssm_multipliers", 5, MULTIPLIER) or (1.0,) * 5
    factors = Multipliers(x=whole * x, B=whole * B, C=whole * C, dt=whole * dt)
    return {"multipliers": factors, "dt_bias_multiplier": dt}


def _dt_limit(config: Config, key: str | None) -> tuple[float, float]:
    limits = config.numbers(key, 2, STEP_LIMIT) if key else None
    if limits is None:
        return 0.0, math.inf
    low, high = limits
    if not low <= min(high, LARGEST_LEAST_STEP):
        raise CorruptFile(
            f"{config.source}: {key} should be two numbers 0 <= low <= high, low at most {LARGEST_LEAST_STEP:g}, found "
            f"{low:g}, {high:g}; correct config.json"
        )
    return low, high
