"""The tensors in the tree of a torch file's pickle, by the path that leads to each.

    dictionaries, lists, tuples    by key or position
    objects                        by what was put into them and by their attributes; a `torch.nn.Module` by its
                                   parameters, buffers and modules, under the names of its state dict
    other values                   left out

A few bytes can describe containers without end (one that holds itself, or two references to the same one, level after
level); the walk has a budget in proportion to the pickle's size.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .._allowance import FREE
from .._errors import CorruptFile, UnsafeFile
from .base import require_text_names, shown
from .pickle_tree import TABLES, Made, argument_of, called_by, mapping_of
from .torch_tensors import StoredTensor, tensor_of

#: Entries that one byte of pickle may lead to. A state dict needs about one.
_VISITS_PER_BYTE = 16
#: Containers within each other. A checkpoint has a handful.
_DEEPEST = 10_000
_NOTHING = object()


def named_tensors(root: Any, pickle_size: int, path: Path) -> dict[str, StoredTensor]:
    """All tensors that lead from `root` through containers and objects, by dotted path.

    The state of an optimizer that numbers its parameters is left out: nothing in it has a name.

    Raises `CorruptFile` where a tensor contradicts itself or two have one path; `UnsafeFile` for containers without
    end.
    """
    tensors: dict[str, StoredTensor] = {}
    found: dict[int, StoredTensor] = {}
    visits, letters = _VISITS_PER_BYTE * pickle_size, FREE // 8
    open_containers: list[tuple[Any, Iterator[tuple[Any, Any]]]] = [(None, iter([(None, root)]))]
    while open_containers:
        trail, entries = open_containers[-1]
        key, value = next(entries, (None, _NOTHING))
        if value is _NOTHING:
            open_containers.pop()
            continue
        visits -= 1
        here = trail if key is None else (trail, str(key))
        tensor = found.get(id(value)) or tensor_of(value, path)
        if tensor is not None:
            found[id(value)] = tensor
            name = _dotted(here)
            letters -= len(name)
            _add(tensors, name, tensor, path)
        elif isinstance(value, dict | list | tuple | Made):
            open_containers.append((here, _entries(value)))
        if visits < 0 or letters < 0 or len(open_containers) > _DEEPEST:
            raise UnsafeFile(f"{shown(path)} holds containers that refer to themselves or each other without end")
    require_text_names(tensors, path)
    return tensors


_RECONSTRUCTORS = {"copy_reg._reconstructor", "copyreg._reconstructor"}


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    """(key, value) of what a container or an object holds; the key is None for what has the same path."""
    table = mapping_of(value)
    if table is not None and _numbers_its_parameters(table):
        return
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    else:
        yield from (value.items or {}).items()
        yield from enumerate(value.elements or ())
        yield from _of_state(value.state)
        yield from _of_arguments(value)


def _of_state(state: Any) -> Iterator[tuple[Any, Any]]:
    """Attributes. Where a class has slots there are two tables of them."""
    tables = state if isinstance(state, tuple) and len(state) == 2 and all(map(_is_table, state)) else (state,)
    for table in tables:
        if isinstance(table, dict) and {"_parameters", "_modules"} <= table.keys():
            yield from _of_module(table)
        elif table is not None:
            yield None, table


def _is_table(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _of_module(state: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """What the state dict of a `torch.nn.Module` holds; other attributes are not its weights."""
    fleeting = _members(state.get("_non_persistent_buffers_set"))
    for part in ("_parameters", "_buffers", "_modules"):
        for key, value in (mapping_of(state.get(part)) or {}).items():
            if part != "_buffers" or key not in fleeting:
                yield key, value


def _members(value: Any) -> set[str]:
    """The texts of a set, however it was pickled."""
    if not isinstance(value, Made):
        return set()
    given = argument_of(value, 0)
    listed = given if isinstance(given, list | tuple) else ()
    return {member for member in (*listed, *(value.elements or ())) if type(member) is str}


def _of_arguments(value: Made) -> Iterator[tuple[Any, Any]]:
    """What an object was made of: pairs of a dictionary, fields of a named tuple."""
    given = value.arguments
    if not isinstance(given, tuple) or not given:
        return
    by = called_by(value)
    if by in _RECONSTRUCTORS:
        yield None, given[-1]
    elif by in TABLES and isinstance(given[0], list | tuple):
        for pair in given[0]:
            if isinstance(pair, list | tuple) and len(pair) == 2 and type(pair[0]) in (str, int):
                yield pair[0], pair[1]
    elif by in TABLES and isinstance(given[0], dict):
        yield None, given[0]
    else:
        yield from enumerate(given)


def _numbers_its_parameters(table: Mapping[Any, Any]) -> bool:
    state = mapping_of(table.get("state"))
    return "param_groups" in table and state is not None and all(isinstance(key, int) for key in state)


def _dotted(trail: Any) -> str:
    keys: list[str] = []
    while trail is not None:
        trail, key = trail
        keys.append(key)
    return ".".join(reversed(keys))


def _add(tensors: dict[str, StoredTensor], name: str, tensor: StoredTensor, path: Path) -> None:
    if name in tensors and tensors[name] is not tensor:
        raise CorruptFile(f"{shown(path)} holds two tensors with the path {shown(name)}: which one is meant is unclear")
    tensors[name] = tensor
