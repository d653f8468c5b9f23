"""The table of quantised weights: which names and stored types show each kind, and how its numbers come back.

Here are the kinds whose numbers cannot be had from the weight alone. A weight that is stored in whole numbers with
nothing beside it keeps its shape, and is refused where it is read (`tensors`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .._errors import CheckpointError
from .base import WEIGHT_TYPES
from .tensors import LayerTensors, printable


@dataclass(frozen=True)
class Quantisation:
    """A module is quantised this way if each of `beside` matches a name below it, and `weight` its weight's type.

    `weight` is None where there is no tensor called weight.
    """

    kind: str
    next_step: str
    beside: tuple[str, ...]
    weight: str | None = None

    def fits(self, below: set[str], dtype: str | None) -> bool:
        stored = dtype is None if self.weight is None else dtype is not None and re.fullmatch(self.weight, dtype)
        return bool(stored) and all(any(re.fullmatch(one, name) for name in below) for one in self.beside)


_ORIGINAL = "open the checkpoint that it was quantised from"
_DEQUANTIZE = f"{_ORIGINAL}, or load it with transformers, call model.dequantize() and save that"

KINDS = (
    Quantisation("GPTQ", _ORIGINAL, ("qweight", "g_idx")),
    Quantisation("AWQ", _ORIGINAL, ("qweight", "qzeros", "scales")),
    Quantisation("GPTQ or AWQ", _ORIGINAL, ("qweight",)),
    Quantisation("compressed-tensors, packed", _ORIGINAL, ("weight_packed",)),
    Quantisation("bitsandbytes, 4 bits", _DEQUANTIZE, (r"weight\.(?:absmax|quant_state\..*|quant_map)",), ".*"),
    Quantisation("bitsandbytes, 8 bits", _DEQUANTIZE, (r"SCB|weight_format",), ".*"),
    Quantisation("MLX", "dequantise it first: mlx_lm.convert --dequantize", ("scales", "biases"), "U32|I32"),
    Quantisation("HQQ", _ORIGINAL, ("W_q",)),
    Quantisation("8-bit floating point with scales", _ORIGINAL, (r"(?:weight_)?scale(?:_inv)?|.*_scale",), "F8_.*"),
    Quantisation("whole numbers with scales", _ORIGINAL, (r"(?:weight_)?scales?(?:_.*)?",), "[UI].*"),
)


def require_unquantised(tensors: LayerTensors, *, input_is_read: bool) -> None:
    """Raise `CheckpointError` naming the kind where what makes S_B, S_C and the step size is quantised.

    `input_is_read` says that in_proj is part of this, as in Mamba-2; elsewhere it may be quantised.
    """
    for module in sorted(_modules(tensors)):
        if not module.startswith(("x_proj", "dt_proj")) and not (input_is_read and module == "in_proj"):
            continue
        below = {suffix[len(module) + 1 :] for suffix in tensors.suffixes if suffix.startswith(f"{module}.")}
        dtype = tensors.archive.dtype(f"{tensors.prefix}{module}.weight") if "weight" in below else None
        found = next((kind for kind in KINDS if kind.fits(below, dtype)), None)
        if found is None:
            continue
        shown = ", ".join(printable(f"{module}.{one}", 60) for one in sorted(below)[:3])
        stored = f" stored as {printable(dtype)}" if dtype is not None and dtype not in WEIGHT_TYPES else ""
        raise CheckpointError(
            f"{tensors.name}: expected {module}.weight in floating point, found it quantised{stored} "
            f"({found.kind}; {shown}); {found.next_step}"
        )


def _modules(tensors: LayerTensors) -> Iterator[str]:
    """The first parts of the names of a block."""
    return iter({suffix.split(".")[0] for suffix in tensors.suffixes if "." in suffix})
