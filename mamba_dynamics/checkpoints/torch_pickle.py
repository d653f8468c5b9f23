"""What a torch file's pickle names, and what the containers it makes hold.

A pickle is a program. Before torch's restricted interpreter runs it, `require_plain_pickle` reads
it without running it: every class or function it names must be one that tensors need. This list
is narrower than torch's, which also admits calls that allocate what a file asks for.

`named_tensors` then walks the containers. A tensor's name is the dotted path of keys that leads
to it, so a state dict is found at any depth. A few bytes of pickle can describe containers
without end (one that holds itself, or two references to the same one, level after level); the
walk has a budget in proportion to the pickle's size.
"""

import pickletools
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .._errors import CorruptFile, UnsafeFile
from .base import require_text_names, shown

_PLAIN_GLOBALS = frozenset({
    "collections.OrderedDict", "collections.Counter", "builtins.set", "__builtin__.set",
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2", "torch.serialization._get_layout",
    "torch.Tensor", "torch.nn.parameter.Parameter", "torch.Size", "torch.device",
})  # fmt: skip
_STORAGE_OR_DTYPE = re.compile(r"torch\.((storage\.)?[A-Za-z0-9]+Storage|u?int\d+|b?float\d+\w*|complex\d+|bool)")

#: Visited entries plus letters of names that one byte of pickle may lead to. A state dict needs
#: about one; a long prefix repeated in every name, several.
_BUDGET_PER_BYTE = 16

#: What to do with a file that holds more than tensors; written as a program for its author.
CONVERT = "torch.save(model.state_dict(), 'model.pt')"


def require_plain_pickle(pickle: bytes, path: Path) -> None:
    """Raise `UnsafeFile` if the pickle names anything a state dict of tensors does not need."""
    for name in _globals(pickle, path):
        if name not in _PLAIN_GLOBALS and not _STORAGE_OR_DTYPE.fullmatch(name):
            raise stores_objects(path, f"it names {shown(name)}")


def stores_objects(path: Path, evidence: str) -> UnsafeFile:
    """The refusal of a file whose loading could run code, with the way out."""
    return UnsafeFile(
        f"{shown(path)} stores Python objects, not only tensors ({evidence}): loading it could run code; "
        f"ask its author for a safetensors file or a state dict: {CONVERT}"
    )


def _globals(pickle: bytes, path: Path) -> Iterator[str]:
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name in ("GLOBAL", "INST"):
                yield str(argument).replace(" ", ".", 1)
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise CorruptFile(f"{shown(path)} holds a damaged pickle: {' '.join(str(error).split())}") from None


def named_tensors(root: Any, is_tensor: type, pickle_size: int, path: Path) -> dict[str, Any]:
    """All tensors reachable from `root` through dictionaries, lists and tuples, by dotted path.

    The state of an optimizer that numbers its parameters is left out: nothing in it has a name.
    """
    tensors: dict[str, Any] = {}
    budget = _BUDGET_PER_BYTE * pickle_size
    pending: list[tuple[Any, Any]] = [(None, root)]
    while pending:
        trail, value = pending.pop()
        budget -= 1
        if isinstance(value, is_tensor):
            name = _dotted(trail)
            budget -= len(name)
            _add(tensors, name, value, path)
        else:
            pending.extend(((trail, str(key)), item) for key, item in _items(value))
        if budget < 0 or len(pending) > _BUDGET_PER_BYTE * pickle_size:
            raise UnsafeFile(f"{shown(path)} holds containers that refer to themselves or each other without end")
    require_text_names(tensors, path)
    return tensors


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        if not _numbers_its_parameters(value):
            yield from ((key, item) for key, item in value.items() if isinstance(key, str | int))
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


def _numbers_its_parameters(value: Mapping[Any, Any]) -> bool:
    state = value.get("state")
    return "param_groups" in value and isinstance(state, Mapping) and all(isinstance(key, int) for key in state)


def _dotted(trail: Any) -> str:
    keys: list[str] = []
    while trail is not None:
        trail, key = trail
        keys.append(key)
    return ".".join(reversed(keys))


def _add(tensors: dict[str, Any], name: str, value: Any, path: Path) -> None:
    if name in tensors and tensors[name] is not value:
        raise CorruptFile(f"{shown(path)} holds two tensors with the path {shown(name)}: which one is meant is unclear")
    tensors[name] = value
