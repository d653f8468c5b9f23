"""`adapter_config.json`: what PEFT writes about the adapters beside a model's weights; here, the scale of LoRA.

W + s B A,   s = lora_alpha / r,  or lora_alpha / sqrt(r) with use_rslora
"""

import math
from dataclasses import dataclass

from .config import Config, Range, read_config
from .folder import Folder

ADAPTER_CONFIG = "adapter_config.json"
#: Adapters that put tokens before the text and change no weight.
PROMPTS = ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "CPT")
#: Beginnings of training that leave the model's own weights as they are; others, such as "pissa", take a part out.
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal")
#: A factor of the weights.
ALPHA = Range(-1e30, 1e30)


@dataclass(frozen=True)
class Adapters:
    """The scale of all adapters of a checkpoint. Factors of another rank than `rank`, if told, belong to another."""

    alpha: float
    square_root: bool
    rank: int | None = None

    def scale(self, rank: int) -> tuple[float, str]:
        """The factor s of B A for factors of a rank, and how it was found."""
        root = math.sqrt(max(rank, 1)) if self.square_root else max(rank, 1)
        below = f"sqrt({rank})" if self.square_root else str(rank)
        return self.alpha / root, f"{self.alpha:g} / {below} by {ADAPTER_CONFIG}"


def read_adapters(folder: Folder) -> Adapters | None:
    """The adapters' scale, or None where there is no config of LoRA, or one that changes the formula.

    Raises what `read_config` does.
    """
    config = read_config(folder, ADAPTER_CONFIG)
    return None if config is None else _adapters(config)


def _adapters(config: Config) -> Adapters | None:
    alpha = config.number("lora_alpha", ALPHA)
    kind = config.values.get("peft_type")
    other = kind is not None and kind != "LORA"  # AdaLoRA has a third factor
    changed = other or any(
        config.values.get(key) for key in ("use_dora", "fan_in_fan_out", "alpha_pattern", "lora_bias")
    )
    if alpha is None or changed:
        return None
    rank = None if config.values.get("rank_pattern") else config.integer("r")
    return Adapters(alpha, bool(config.values.get("use_rslora")), rank)


def changes_no_weight(folder: Folder) -> str | None:
    """The kind of an adapter that puts tokens before the text, None for any other. Raises what `read_config` does."""
    config = read_config(folder, ADAPTER_CONFIG)
    kind = None if config is None else config.values.get("peft_type")
    return kind if isinstance(kind, str) and kind in PROMPTS else None


def changes_its_base(folder: Folder) -> str | None:
    """Words on an adapter's beginning that took a part out of the model's weights, as PiSSA and OLoRA do; or None.

    The formula W + s B A then holds for other weights W than the model's. Raises what `read_config` does.
    """
    config = read_config(folder, ADAPTER_CONFIG)
    start = None if config is None else config.values.get("init_lora_weights")
    if isinstance(start, str) and start not in _PLAIN_STARTS:
        return f"init_lora_weights {start[:40]!a}"
    return None
