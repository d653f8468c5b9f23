"""Weights under other names than their own: what wrapped them, and how to save them plainly."""

import re
from collections.abc import Iterable

#: Names below a module whose weight is missing, and what they show.
_SITUATIONS = (
    (
        r"weight_u|parametrizations\.weight\.0\._u",
        "the weight is normalised by its spectrum: save the merged one (torch.nn.utils.remove_spectral_norm, or "
        "parametrize.remove_parametrizations)",
    ),
    (
        r"parametrizations\..*",
        "the weight is parametrised: save the merged one (torch.nn.utils.parametrize.remove_parametrizations)",
    ),
    (r"lora_.*", "these are adapters without the weight they belong to: merge them into their base model and save it"),
    (
        r"qweight|qzeros|scales|SCB|.*quant.*|weight_scale.*|.*absmax.*|weight_packed",
        "the weight is quantised: open the checkpoint it was quantised from",
    ),
    (r"weight_(?:orig|mask|g|v)", "this is one piece of a pruned or normalised weight, and the other one is missing"),
)


def situation(module: str, suffixes: Iterable[str]) -> str | None:
    """What wraps a module's weight, given the names of a block; None where nothing known does.

    situation("x_proj", {"x_proj.weight_u", "x_proj.weight_orig"})      "the weight is normalised by its spectrum: ..."
    """
    below = [suffix.removeprefix(f"{module}.") for suffix in suffixes if suffix.startswith(f"{module}.")]
    return next((words for pattern, words in _SITUATIONS if any(re.fullmatch(pattern, one) for one in below)), None)
