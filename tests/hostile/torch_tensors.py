"""Tensors as torch pickles them: the nodes of a pickle, the records beside it, and the numbers that are right."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from case import StoredTensor
from pickle_assembler import Call, Global, Persistent, Table
from zip_writer import Record, archive

#: torch's word for a storage, for a stored type, and the bytes of a value.
KINDS = {"F32": ("FloatStorage", "float32", 4), "F64": ("DoubleStorage", "float64", 8),
         "F16": ("HalfStorage", "float16", 2), "BF16": ("BFloat16Storage", "bfloat16", 2),
         "I64": ("LongStorage", "int64", 8), "U8": ("ByteStorage", "uint8", 1)}  # fmt: skip
ORDERED = Global("collections", "OrderedDict")


@dataclass
class Tensor:
    """A tensor that will be pickled; `kind` and `count` are what its storage claims of the record `key`.

    `identity` stands for the storage's own, `wrap` for what is made of the node. `truths` gives the right answers from
    the records, where they do not follow from the fields.
    """

    key: str
    kind: str
    count: Any
    shape: Any
    strides: Any
    offset: Any = 0
    rebuild: str = "_rebuild_tensor_v2"
    metadata: dict | None = None
    identity: Any = None
    wrap: Callable[[Any], Any] = lambda node: node
    truths: Callable[[dict[str, bytes]], tuple[StoredTensor, ...]] | None = None
    unsure: bool = False

    def storage(self) -> Any:
        usual = ("storage", Global("torch", KINDS[self.kind][0]), self.key, "cpu", self.count)
        return Persistent(usual if self.identity is None else self.identity)

    def arguments(self) -> tuple:
        found = (self.storage(), self.offset, self.shape, self.strides)
        if self.rebuild == "_rebuild_tensor":
            return found
        found += (False, Table(ordered=True))
        if self.rebuild == "_rebuild_tensor_v3":
            return (*found, Global("torch", KINDS[self.kind][1]))
        return found if self.metadata is None else (*found, self.metadata)

    def node(self) -> Any:
        return self.wrap(Call(Global("torch._utils", self.rebuild), self.arguments()))

    def right(self, records: dict[str, bytes]) -> tuple[StoredTensor, ...]:
        if self.unsure:
            return ()
        if self.truths is not None:
            return self.truths(records)
        if self.key not in records or not isinstance(self.shape, tuple) or not isinstance(self.strides, tuple):
            return ()
        plain = (_whole(self.shape), _whole(self.strides), _whole((self.offset,)))
        shape, strides, offset = (one if one is not None else (-1,) for one in plain)
        negated = bool((self.metadata or {}).get("neg"))
        return (StoredTensor(records[self.key], self.kind, shape, strides, offset[0], negated),)


def nothing_expected(_: dict[str, bytes]) -> tuple[StoredTensor, ...]:
    """The right answers for a tensor of which nothing is expected."""
    return ()


def _whole(numbers: tuple) -> tuple[int, ...] | None:
    """Numbers as torch takes them: True is 1, 2.0 is 2."""
    if not all(isinstance(one, int | float) and one == one and abs(one) < 1e300 and one == int(one) for one in numbers):
        return None
    return tuple(int(one) for one in numbers)


@dataclass
class Plan:
    """A file to be written: tensors at paths of keys, further values beside them, records, and what was done.

    `before` are values that are written first, under keys of their own; `root` makes the root of the whole table.
    `elsewhere` are tensors under dotted paths that follow from what was done.
    """

    rng: random.Random
    protocol: int
    records: dict[str, bytes]
    tensors: list[tuple[tuple, Tensor]]
    before: list[tuple[Any, Any]] = field(default_factory=list)
    after: list[tuple[Any, Any]] = field(default_factory=list)
    root: Callable[[Table], Any] = lambda table: table
    says: list[str] = field(default_factory=list)
    elsewhere: list[tuple[str, Tensor]] = field(default_factory=list)
    ordered: bool = False
    trusted: bool = True

    def table(self) -> Any:
        """The root: the tensors by their paths, level by level."""
        return self.root(Table([*self.before, *self._level(self.tensors, 0), *self.after], self.ordered))

    def _level(self, tensors: list[tuple[tuple, Tensor]], depth: int) -> list[tuple[Any, Any]]:
        pairs: list[tuple[Any, Any]] = []
        done: set[Any] = set()
        for path, tensor in tensors:
            key = path[depth]
            if len(path) == depth + 1:
                pairs.append((key, tensor.node()))
            elif key not in done:
                done.add(key)
                inside = [(p, t) for p, t in tensors if len(p) > depth + 1 and p[depth] == key]
                pairs.append((key, Table(self._level(inside, depth + 1), self.rng.random() < 0.5)))
        return pairs

    def pick(self) -> Tensor:
        """A tensor to do something to. Where that was done before, and its numbers are special, nothing is expected."""
        _, tensor = self.rng.choice(self.tensors)
        if tensor.truths is not None:
            tensor.truths = nothing_expected
            tensor.unsure = True
        return tensor

    def world(self) -> dict[str, tuple[StoredTensor, ...]]:
        """The right answers by dotted path; where two have one path, either."""
        if not self.trusted:
            return {}
        # Of one key twice, the last is what a dictionary holds.
        placed = [(".".join(map(str, path)), tensor) for path, tensor in dict(self.tensors).items()] + self.elsewhere
        found: dict[str, tuple[StoredTensor, ...]] = {}
        for name, tensor in placed:
            # torch gives a record that is asked for as two types the first of them; a reader may take each at its word.
            kinds = dict.fromkeys([tensor.kind, *(one.kind for _, one in placed if one.key == tensor.key)])
            for kind in kinds:
                found[name] = (*found.get(name, ()), *replace(tensor, kind=kind).right(self.records))
        unsure = {name for name, tensor in placed if not tensor.right(self.records)}
        return {name: right for name, right in found.items() if name not in unsure}


def random_values(rng: random.Random, kind: str, count: int) -> bytes:
    """Finite values, no two of them equal but by chance."""
    if kind in ("I64", "U8"):
        return bytes(rng.randrange(1, 100) if at % KINDS[kind][2] == 0 else 0 for at in range(count * KINDS[kind][2]))
    numbers = [rng.uniform(-2, 2) for _ in range(count)]
    if kind == "BF16":
        return b"".join(struct.pack("<f", number)[2:] for number in numbers)
    return struct.pack(f"<{count}{ {'F32': 'f', 'F64': 'd', 'F16': 'e'}[kind] }", *numbers)


def random_plan(rng: random.Random) -> Plan:
    """A plain state dict: tensors of every type and rank, within their storages."""
    records, tensors = {}, []
    prefix = rng.choice(("", "model.", "backbone.", "layers.0."))
    for number in range(rng.choice((1, 2, 2, 3, 5))):
        kind = rng.choice(("F32", "F32", "F32", "F64", "F16", "BF16", "I64"))
        shape = tuple(rng.choice((1, 2, 3, 4)) for _ in range(rng.choice((0, 1, 1, 2, 2, 2, 3))))
        strides = _contiguous(shape)
        if rng.random() < 0.2:
            order = list(range(len(shape)))
            rng.shuffle(order)
            shape, strides = tuple(shape[at] for at in order), tuple(strides[at] for at in order)
        count = _product(shape)
        offset = rng.choice((0, 0, 0, 1, 3))
        held = count + offset + rng.choice((0, 0, 2))
        records[str(number)] = random_values(rng, kind, held)
        name = f"{prefix}{rng.choice(('A_log', 'D', 'x_proj.weight', 'w', 'b.c'))}{number}"
        path = tuple(name.split(".")) if rng.random() < 0.2 else (name,)
        tensors.append((path, Tensor(str(number), kind, held, shape, strides, offset)))
    rebuild = rng.choice(("_rebuild_tensor_v2",) * 6 + ("_rebuild_tensor",))
    for _, tensor in tensors:
        tensor.rebuild = rebuild
    return Plan(rng, rng.choice((2, 2, 2, 2, 2, 2, 0, 1, 3, 4, 4, 5)), records, tensors, ordered=rng.random() < 0.6)


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for length in reversed(shape):
        strides.insert(0, step)
        step *= length
    return tuple(strides)


def _product(shape: tuple[int, ...]) -> int:
    found = 1
    for length in shape:
        found *= length
    return found


def torch_records(pickle: bytes, records: dict[str, bytes], prefix: bytes = b"archive/") -> list[Record]:
    """The records of a torch file, in torch's order."""
    found = [Record(prefix + b"data.pkl", pickle), Record(prefix + b"byteorder", b"little")]
    found += [Record(prefix + b"data/" + key.encode(), data) for key, data in records.items()]
    return [*found, Record(prefix + b"version", b"3\n")]


def torch_file(pickle: bytes, records: dict[str, bytes]) -> bytes:
    return archive(torch_records(pickle, records))
