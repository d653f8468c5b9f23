"""The tensors in the tree of a torch file's pickle, by the path that leads to each.

    dictionaries, lists, tuples    by key or position
    objects                        by what was put into them and by their attributes; a `torch.nn.Module` by its
                                   parameters, buffers and modules, under the names of its state dict
    other values                   left out

A few bytes can describe containers without end: two references to the same one, level after level. So a container in
which no tensor was found is not entered again, one that holds itself is not entered within itself, every name costs
what it takes, and the walk has a budget of steps in proportion to the pickle's size.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .._allowance import Budget
from .._errors import CorruptFile, UnsafeFile
from .base import require_text_names, shown
from .pickle_tree import TABLES, Reduced, argument_of, called_by, mapping_of
from .torch_tensors import StoredTensor, tensor_of

#: Entries that one byte of pickle may lead to, and that any may. A state dict needs about one in fifty bytes.
_VISITS_PER_BYTE, _VISITS = 1, 400_000
#: Containers within each other. A checkpoint has a handful.
_DEEPEST = 10_000
#: Bytes that a tensor takes as an object, and a name beside its characters; from above.
_PER_TENSOR, _PER_NAME = 700, 400
_NOTHING = object()


def named_tensors(root: Any, pickle_size: int, path: Path, budget: Budget) -> dict[str, StoredTensor]:
    """All tensors that lead from `root` through containers and objects, by dotted path.

    The state of an optimizer that numbers its parameters is left out: nothing in it has a name.

    Raises `CorruptFile` where a tensor contradicts itself or two have one path; `UnsafeFile` for containers without
    end, and for names beyond what is left of the file's budget.
    """
    walk = _Walk(path, budget, _VISITS_PER_BYTE * pickle_size + _VISITS)
    walk.through(root)
    require_text_names(walk.tensors, path)
    return walk.tensors


class _Walk:
    """A walk through the tree. Values are told apart by their ids, for the tree keeps them all alive."""

    def __init__(self, path: Path, budget: Budget, visits: int):
        self.tensors: dict[str, StoredTensor] = {}
        self._path, self._budget, self._visits = path, budget, visits
        self._found: dict[int, StoredTensor] = {}
        #: Containers that are being walked through, and those without a tensor.
        self._open: set[int] = set()
        self._barren: set[int] = set()
        self._facts = _Facts()

    def through(self, root: Any) -> None:
        """Find the tensors below `root`, without recursion: a file may nest as deep as it likes."""
        stack: list[tuple[Any, Iterator[tuple[Any, Any]], int, int]] = [(None, iter([(None, root)]), 0, 0)]
        while stack:
            trail, entries, identity, before = stack[-1]
            key, value = next(entries, (None, _NOTHING))
            if value is _NOTHING:
                stack.pop()
                self._open.discard(identity)
                if len(self.tensors) == before:
                    self._barren.add(identity)
                continue
            self._visits -= 1
            if self._visits < 0 or len(stack) > _DEEPEST:
                raise UnsafeFile(f"{shown(self._path)} holds containers within each other without end")
            here = trail if key is None else (trail, str(key))
            if not self._is_tensor(value, here) and self._is_to_be_entered(value):
                self._open.add(id(value))
                stack.append((here, self._facts.entries(value), id(value), len(self.tensors)))

    def _is_tensor(self, value: Any, trail: Any) -> bool:
        """Whether a value is a tensor, which then has its name."""
        tensor = self._found.get(id(value))
        if tensor is None:
            tensor = tensor_of(value, self._path)
            if tensor is None:
                return False
            self._budget.spend(_PER_TENSOR, "its tensors")
            self._found[id(value)] = tensor
        name = _dotted(trail)
        self._budget.spend(_PER_NAME + 4 * len(name), "the names of its tensors")
        if name in self.tensors and self.tensors[name] is not tensor:
            raise CorruptFile(
                f"{shown(self._path)} holds two tensors with the path {shown(name)}: which one is meant is unclear"
            )
        self.tensors[name] = tensor
        return True

    def _is_to_be_entered(self, value: Any) -> bool:
        known = id(value) in self._open or id(value) in self._barren
        return isinstance(value, dict | list | tuple | Reduced) and not known


class _Facts:
    """What objects hold; of what many objects may share, each is looked at once."""

    def __init__(self):
        self._members: dict[int, frozenset[str]] = {}
        self._numbered: dict[int, bool] = {}

    def entries(self, value: Any) -> Iterator[tuple[Any, Any]]:
        """(key, value) of what a container or an object holds; the key is None for what has the same path."""
        table = mapping_of(value)
        if table is not None and "param_groups" in table and self._is_numbered(table.get("state")):
            yield from ((key, item) for key, item in table.items() if key not in ("state", "param_groups"))
        elif isinstance(value, dict):
            yield from value.items()
        elif isinstance(value, list | tuple):
            yield from enumerate(value)
        else:
            yield from (value.items or {}).items()
            yield from enumerate(value.elements or ())
            yield from self._of_state(value.state)
            yield from _of_arguments(value)

    def _of_state(self, state: Any) -> Iterator[tuple[Any, Any]]:
        """Attributes. Where a class has slots there are two tables of them."""
        tables = state if isinstance(state, tuple) and len(state) == 2 and all(map(_is_table, state)) else (state,)
        for table in tables:
            if isinstance(table, dict) and {"_parameters", "_modules"} <= table.keys():
                yield from self._of_module(table)
            elif table is not None:
                yield None, table

    def _of_module(self, state: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
        """What the state dict of a `torch.nn.Module` holds; other attributes are not its weights."""
        fleeting = self._members_of(state.get("_non_persistent_buffers_set"))
        for part in ("_parameters", "_buffers", "_modules"):
            for key, value in (mapping_of(state.get(part)) or {}).items():
                if part != "_buffers" or key not in fleeting:
                    yield key, value

    def _members_of(self, value: Any) -> frozenset[str]:
        """The texts of a set, however it was pickled."""
        if not isinstance(value, Reduced):
            return frozenset()
        if id(value) not in self._members:
            given = argument_of(value, 0)
            listed = (*(given if isinstance(given, list | tuple) else ()), *(value.elements or ()))
            self._members[id(value)] = frozenset(member for member in listed if type(member) is str)
        return self._members[id(value)]

    def _is_numbered(self, state: Any) -> bool:
        """Whether an optimizer's state goes by the numbers of its parameters."""
        table = mapping_of(state)
        if table is None:
            return False
        if id(state) not in self._numbered:
            self._numbered[id(state)] = all(isinstance(key, int) for key in table)
        return self._numbered[id(state)]


_RECONSTRUCTORS = {"copy_reg._reconstructor", "copyreg._reconstructor"}


def _is_table(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _of_arguments(value: Reduced) -> Iterator[tuple[Any, Any]]:
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


def _dotted(trail: Any) -> str:
    keys: list[str] = []
    while trail is not None:
        trail, key = trail
        keys.append(key)
    return ".".join(reversed(keys))
