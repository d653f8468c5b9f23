"""What a torch file's pickle names, and what the containers it makes hold.

A pickle is a program. Before torch's restricted interpreter runs it, `require_plain_pickle` reads
it without running it: every class or function it names must be one that tensors need. This list
is narrower than torch's, which also admits calls that allocate what a file asks for, such as
`torch.Tensor(10**10)`. What it calls, and what that may cost, is followed in `torch_calls`.

`named_tensors` then walks the containers. A tensor's name is the dotted path of keys that leads
to it, so a state dict is found at any depth. A few bytes of pickle can describe containers
without end (one that holds itself, or two references to the same one, level after level); the
walk has a budget in proportion to the pickle's size.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .._allowance import FREE
from .._errors import CorruptFile, UnsafeFile
from .base import require_text_names, shown
from .torch_calls import (
    CONTAINERS,
    OTHERS,
    REBUILDS,
    WITH_STATE,
    Instruction,
    instructions,
    storages_of,
    stores_objects,
)

_PLAIN_GLOBALS = CONTAINERS | OTHERS | REBUILDS | {WITH_STATE, "torch.nn.parameter.Parameter"}
_STORAGE_OR_DTYPE = re.compile(r"torch\.((?!Typed|Untyped)[A-Za-z0-9]+Storage|u?int\d+|b?float\d+\w*|complex\d+|bool)")

#: Entries that one byte of pickle may lead to. A state dict needs about one.
_VISITS_PER_BYTE = 16
#: Containers within each other. A checkpoint has a handful.
_DEEPEST = 10_000
_NOTHING = object()


def require_plain_pickle(pickle: bytes, file_size: int, path: Path) -> tuple[str, ...]:
    """The names of the storages' records, in the order in which they are first asked for.

    Raises `UnsafeFile` if the pickle names or calls anything that a state dict of tensors does not need, or may take
    more memory than a file of this size may cost.
    """
    return storages_of(_plain(instructions(pickle, path), path), file_size, path)


def _plain(found: Iterable[Instruction], path: Path) -> Iterator[Instruction]:
    for opcode, argument in found:
        name = str(argument).replace(" ", ".", 1)
        named = opcode.name in ("GLOBAL", "INST")
        if named and name not in _PLAIN_GLOBALS and not _STORAGE_OR_DTYPE.fullmatch(name):
            raise stores_objects(path, f"it names {shown(name)}")
        yield opcode, argument


def named_tensors(root: Any, is_tensor: type, pickle_size: int, path: Path) -> dict[str, Any]:
    """All tensors reachable from `root` through dictionaries, lists and tuples, by dotted path.

    The state of an optimizer that numbers its parameters is left out: nothing in it has a name.
    """
    tensors: dict[str, Any] = {}
    visits, letters = _VISITS_PER_BYTE * pickle_size, FREE // 8
    open_containers: list[tuple[Any, Iterator[tuple[Any, Any]]]] = [(None, iter([(None, root)]))]
    while open_containers:
        trail, items = open_containers[-1]
        key, value = next(items, (None, _NOTHING))
        if value is _NOTHING:
            open_containers.pop()
            continue
        visits -= 1
        here = trail if key is None else (trail, str(key))
        if isinstance(value, is_tensor):
            name = _dotted(here)
            letters -= len(name)
            _add(tensors, name, value, path)
        else:
            open_containers.append((here, _items(value)))
        if visits < 0 or letters < 0 or len(open_containers) > _DEEPEST:
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
