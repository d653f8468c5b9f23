"""Which tensors of a block were not understood: nothing of an S6 block is dropped in silence.

Below a block's prefix lie the tensors of its layout's table, and others. Of a name below the prefix the first part,
up to the first dot, decides what it is:

    other module     `self_attn.q_proj.weight`, `mlp.fc1.bias`, `norm1.weight`: it holds no part of a scan
    around the scan  `in_proj`, `out_proj`, convolutions, norms of the output, with any ending: the theory leaves them
                     out (in Mamba-2 `in_proj` holds S_B and S_C, so there it is not among them)
    not understood   - a part of a module the layer was read from: `x_proj.lora_A`, `x_proj.weight_mask`
                     - a name that resembles a part of a scan: `A_s_log`, `D_b`, `dt_proj_2`, `B_norm`, `lora_A`
                     - any other bare parameter, as it belongs to the very module that holds A_log

Index buffers (whole numbers, truth values) of other names only say in which order tokens are read. A module below
another name is not understood only where it holds an `x_proj`, a `dt_proj` or an `A_log` of its own.
"""

import re
from collections.abc import Iterable

from .base import WEIGHT_TYPES
from .directions import like_A_log
from .tensors import LayerTensors, printable

#: Bare parameters of whole models, which lie beside A_log where a mixer and its model are one module.
_OF_MODELS = {"cls_token", "dist_token", "mask_token", "pos_embed", "absolute_pos_embed", "temporal_pos_embedding"}
_OF_MODELS |= {"importance"}  # this package's own reordering, which is said where it matters
_AROUND = re.compile(r"(?:conv|dwconv|dw_conv|out_proj|out_norm|norm|ln|layer_?norm|out_act|act|drop)(?:[_\d.a-z].*)?")
_INPUT = re.compile(r"in_proj.*")
_SCAN_WORDS = {"A", "As", "B", "Bs", "C", "Cs", "D", "Ds", "AT", "AL", "dt", "dts", "delta", "Delta"}
_SCAN_WORDS |= {"BC", "bc", "bcdt", "BCdt", "log", "logs", "ssm", "lora"}
_SCAN_MODULE = re.compile(r"(?:x_?proj|dt_?proj)")
_MOST_SHOWN = 6


def not_understood(
    tensors: LayerTensors, known: Iterable[str], used: Iterable[str], *, input_is_read: bool
) -> tuple[str, ...]:
    """Suffixes of a block that are neither known nor another module's.

    `known` are the names of the layout's table, `used` those a layer is built from; `input_is_read` says whether
    in_proj is among them.
    """
    known = set(known)
    modules = {suffix.partition(".")[0] for suffix in used if "." in suffix}
    return tuple(
        suffix
        for suffix in sorted(tensors.suffixes - known)
        if _is_left_out(tensors, suffix, modules, input_is_read=input_is_read)
    )


def _is_left_out(tensors: LayerTensors, suffix: str, modules: set[str], *, input_is_read: bool) -> bool:
    head, dot, rest = suffix.partition(".")
    if rest.endswith("_extra_state"):  # what a library notes about its own module, no weight
        return False
    if head in modules:
        return True
    if head in _OF_MODELS or _AROUND.fullmatch(head) or (not input_is_read and _INPUT.fullmatch(head)):
        return False
    if resembles_scan(head) or any(_holds_scan(part) for part in rest.split(".")):
        return True
    return not dot and tensors.archive.dtype(tensors.prefix + suffix) in WEIGHT_TYPES


def resembles_scan(head: str) -> bool:
    """Whether a parameter or module is called like a part of a scan."""
    words = [word for word in re.split(r"[_\d]+|(?<=[a-z])(?=[A-Z])", head) if word]
    if not words:
        return False
    first_letter = words[0] in ("b", "c") and len(words) > 1
    return _holds_scan(head) or first_letter or not _SCAN_WORDS.isdisjoint(words)


def _holds_scan(part: str) -> bool:
    return _SCAN_MODULE.match(part) is not None or like_A_log(part)


def left_out_warning(left_out: tuple[str, ...]) -> str:
    """One line about the tensors of a block that were not understood."""
    shown = ", ".join(printable(suffix, 60) for suffix in left_out[:_MOST_SHOWN])
    more = f" and {len(left_out) - _MOST_SHOWN} more" if len(left_out) > _MOST_SHOWN else ""
    line = f"tensors of this block that were not understood: {shown}{more}; without them the verdict is not decided"
    if any("lora_" in suffix for suffix in left_out):
        line += " (LoRA adapters: put adapter_config.json, which holds their scale, beside the weights, or merge them)"
    return line
