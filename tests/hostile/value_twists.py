"""What else a stranger's pickle may hold: objects of any class, odd names, containers without end, whole modules."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pickle_assembler import Built, Call, Global, Got, Kept, Made, Raw, Table
from tensor_twists import Twist, state
from torch_tensors import ORDERED, Plan, Tensor, random_values

#: Classes and functions that are no part of a state dict: some would run code, some allocate, some are met in practice.
GLOBALS = (
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"),
    ("builtins", "open"), ("builtins", "print"), ("subprocess", "Popen"), ("socket", "socket"), ("sys", "exit"),
    ("__builtin__", "eval"), ("builtins", "bytearray"), ("builtins", "list"), ("builtins", "complex"),
    ("torch", "Tensor"), ("torch", "load"), ("torch", "zeros"), ("torch.hub", "load"), ("torch", "device"),
    ("torch", "Size"), ("torch.serialization", "_get_layout"), ("collections", "Counter"), ("collections", "deque"),
    ("collections", "defaultdict"), ("argparse", "Namespace"), ("pathlib", "PosixPath"), ("datetime", "datetime"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "_reconstruct"), ("numpy", "dtype"),
    ("numpy", "ndarray"), ("codecs", "encode"), ("torch.nn.modules.container", "Sequential"), ("__main__", "Model"),
    ("pytorch_lightning.utilities.parsing", "AttributeDict"), ("omegaconf.dictconfig", "DictConfig"),
    ("torch._C._distributed", "X"), ("torch.storage", "UntypedStorage"), ("torch.storage", "_load_from_bytes"),
    ("builtins", "set"), ("builtins", "frozenset"), ("functools", "partial"), ("operator", "attrgetter"),
    ("a.b.c" * 60, "d" * 300), ("", ""), ("m\u0451", "\u202e"),
)  # fmt: skip
_ARGUMENTS = ((), ("true",), ("touch /tmp/hostile",), (10**10,), (2**40,), (300_000_000,), (-1,), ([1, 2],), ({},),
              (b"x" * 9,), ("cpu",), (None, None), (1, 2, 3))  # fmt: skip


def _entry(plan: Plan, key: Any, value: Any) -> None:
    (plan.before if plan.rng.random() < 0.5 else plan.after).append((key, value))


def object_of_any_class(plan: Plan) -> None:
    """Beside the tensors: a call or an instance of something that is named, made by each of the opcodes."""
    rng = plan.rng
    cls, arguments = Global(*rng.choice(GLOBALS)), rng.choice(_ARGUMENTS)
    how = rng.choice(("REDUCE", "REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "GLOBAL"))
    value: Any = Call(cls, arguments) if how == "REDUCE" else cls if how == "GLOBAL" else Made(how, cls, arguments)
    if rng.random() < 0.4:
        value = Built(value, state(rng))
    if rng.random() < 0.1:
        value = Call(value, ())
    _entry(plan, "object", value)
    plan.says.append(f"{how} of {cls.module:.40}.{cls.name:.40} {arguments}")


def bomb(plan: Plan) -> None:
    """Calls that would allocate what a number says."""
    rng = plan.rng
    count = rng.choice((90_000_000, 300_000_000, 3_000_000_000, 2**40))
    cls = Global(*rng.choice((("builtins", "bytearray"), ("torch", "Tensor"), ("torch", "FloatStorage"),
                              ("torch", "zeros"), ("collections", "deque"), ("torch", "UntypedStorage"))))  # fmt: skip
    value = Call(cls, (count,))
    _entry(plan, "x", Call(cls, (value,)) if rng.random() < 0.5 else value)
    plan.says.append(f"a call {cls.name}({count})")


def numpy_numbers(plan: Plan) -> None:
    """numpy's scalars and arrays, as hyper-parameters hold them."""
    rng = plan.rng
    package = rng.choice(("numpy.core.multiarray", "numpy._core.multiarray"))
    dtype = Built(Call(Global("numpy", "dtype"), (rng.choice(("f8", "i8", "V9", "O8", "f2")), False, True)),
                  (3, "<", None, None, None, -1, -1, 0))  # fmt: skip
    if rng.random() < 0.5:
        value: Any = Call(Global(package, "scalar"), (dtype, rng.choice((b"\0" * 8, b"", "x", b"\0" * 3))))
    else:
        array = Call(Global(package, "_reconstruct"), (Global("numpy", "ndarray"), (0,), b"b"))
        shape = rng.choice(((2,), (2**40,), (-1,), (0, 2**62), ()))
        value = Built(array, (1, shape, dtype, rng.random() < 0.2, b"\0" * rng.choice((0, 16, 8))))
    _entry(plan, "lr", value)
    plan.says.append("a number of numpy")


def odd_names(plan: Plan) -> None:
    """Keys that are numbers, bytes, nothing, long, or no Unicode; two tensors of one dotted path."""
    rng = plan.rng
    at = rng.randrange(len(plan.tensors))
    path, tensor = plan.tensors[at]
    key = rng.choice((0, 1, -1, 2**70, 10**5000, None, True, False, 1.5, b"w", "", ".", "a.", "..", "\ud800", "\0",
                      "w" * 100_000, "\u202ew", "\x1b[31mw", "a\nb", "state", "param_groups", "__class__",
                      "A_log"))  # fmt: skip
    if rng.random() < 0.3:
        plan.tensors.append((tuple(".".join(map(str, path)).rsplit(".", 1)), tensor))
        plan.says.append("a dotted path twice")
        return
    new = rng.choice(((key,), ("a", key), (*path, key), (key, *path)))
    try:
        ".".join(map(str, new))
    except ValueError:  # Python writes no number of so many digits
        plan.before.append((key, tensor.node()))
        return
    plan.tensors[at] = (new, tensor)
    plan.says.append(f"named {new!a:.60}")


def itself(plan: Plan) -> None:
    """A container that holds itself, directly or at some depth."""
    rng = plan.rng
    make = rng.choice((b"}", b"]", b"ccollections\nOrderedDict\n)R"))
    if make == b"]":
        inner = b"]q\x07h\x07a" if rng.random() < 0.5 else b"]q\x07(h\x07h\x07e"
    else:
        inner = make + b"q\x07(K\x01h\x07u"
    _entry(plan, "itself", Raw(inner))
    plan.says.append("a container that holds itself")


def laughs(plan: Plan) -> None:
    """Lists of lists of ... by reference, with a tensor at the bottom."""
    rng, tensor = plan.rng, plan.pick()
    width, depth = rng.choice((2, 2, 10, 100)), rng.choice((3, 10, 30, 100))
    form = rng.choice(("list", "tuple", "table"))
    value: Any = Kept(tensor.node() if rng.random() < 0.7 else [], 10)
    for level in range(depth):
        items = [value] + [Got(10 + level)] * (width - 1)
        made: Any = {"list": items, "tuple": tuple(items), "table": Table([(str(i), v) for i, v in enumerate(items)])}[
            form
        ]
        value = Kept(made, 11 + level)
    _entry(plan, "laughs", value)
    plan.says.append(f"{width} references at each of {depth} levels of {form}")


def deep(plan: Plan) -> None:
    """Containers within containers, thousands deep, and marks without end."""
    rng = plan.rng
    depth = rng.choice((10, 100, 900, 5000, 100_000))
    open_, close = rng.choice(((b"]", b"a"), (b"(", b"t"), (b"(", b"l"), (b"}K\0", b"s"), (b"", b"\x85")))
    start = b")" if open_ == b"" else b""
    core = b"N" if open_ != b"" else b""
    _entry(plan, "deep", Raw(start + open_ * depth + core + close * depth))
    plan.says.append(f"{depth} levels of {open_ + close}")


def many(plan: Plan) -> None:
    """Floods: of containers, names, numbers, tensors, memo entries."""
    rng = plan.rng
    count = rng.choice((100, 3000, 60_000))
    one = rng.choice((b"]", b"}", b"\x8f", b"K\1", b"N", b"G" + bytes(8), b"}q\1", b"C\0", b"X\0\0\0\0", b"]q\1h\1a",
                      b"ccollections\nOrderedDict\n)R", b"\x96" + bytes(8), b"I7\n", b"c__main__\nX\n)\x81",
                      b"h\1"))  # fmt: skip
    _entry(plan, "many", Raw(b"Nq\1(" + one * count + b"l"))
    plan.says.append(f"{count} times {one!r:.40}; needs one value below it")
    plan.trusted = False


def memo(plan: Plan) -> None:
    """A number of the memo that is not set, set again, or far away; a tensor taken out of it."""
    rng, tensor = plan.rng, replace(plan.pick())
    kind, number = rng.randrange(4), rng.choice((0, 1, 200, 255, 256, 2**31, 2**32 - 1))
    plan.says.append(f"memo, kind {kind}, number {number}")
    if kind == 0:
        _entry(plan, "memo", Got(number))
        plan.trusted = False
        return
    if kind == 1:
        plan.before.append(("list", Kept([1], number)))
    plan.before.append(("tensor", Kept(tensor.node(), number)))
    last = tensor
    if kind == 3:
        last = replace(plan.pick())
        plan.before.append(("other", Kept(last.node(), number)))
    plan.after.append(("got", Got(number)))
    plan.elsewhere += [("tensor", tensor), ("got", last)]


def whole_module(plan: Plan) -> None:
    """torch.save(model): objects whose state is tables of tensors."""
    rng = plan.rng
    cls = Global(*rng.choice((("__main__", "Model"), ("torch.nn.modules.container", "Sequential"), ("a.b", "C"))))
    tensors = [replace(tensor) for _, tensor in plan.tensors]
    where = rng.choice(("_parameters", "_buffers"))

    def module(inside: Table, below: Table) -> Any:
        made = Made(rng.choice(("NEWOBJ", "NEWOBJ", "OBJ")), cls, ())
        fields = [("training", False), (where, inside), ("_modules", below), ("_forward_hooks", Table(ordered=True))]
        return Built(made, Table(fields))

    level = Table([(f"p{at}", tensor.node()) for at, tensor in enumerate(tensors)], rng.random() < 0.5)
    root = module(Table(ordered=True), Table([("a", module(level, Table(ordered=True)))], rng.random() < 0.5))
    plan.root = lambda _: root
    plan.tensors = []
    for at, tensor in enumerate(tensors):
        plan.elsewhere += [(f"a.p{at}", tensor), (f"_modules.a.{where}.p{at}", tensor)]
    plan.says.append("a whole module")


def lightning(plan: Plan) -> None:
    """A checkpoint of a trainer: weights, hyper-parameters as objects, states of an optimizer, a moving average."""
    rng = plan.rng
    plan.tensors = [(("state_dict", *path), tensor) for path, tensor in plan.tensors]
    namespace = Built(Made("NEWOBJ", Global("argparse", "Namespace"), ()), {"lr": 0.1, "name": "x"})
    moments = {at: {"step": 3, "exp_avg": tensor.node()} for at, (_, tensor) in enumerate(plan.tensors)}
    plan.before.append(("hyper_parameters", namespace if rng.random() < 0.7 else {"lr": 1}))
    plan.after.append(("optimizer_states", [{"state": Table(list(moments.items())), "param_groups": [{"lr": 0.1}]}]))
    plan.after += [("epoch", 3), ("pytorch-lightning_version", "2.0"), ("callbacks", Table())]
    if rng.random() < 0.4:
        plan.after.append(("ema_state_dict", Table([(path[-1], one.node()) for path, one in plan.tensors])))
    plan.says.append("a checkpoint of a trainer")


def odd_mapping(plan: Plan) -> None:
    """The root as another kind of mapping: with arguments, of a class of its own, a list, a tuple, nothing."""
    rng = plan.rng
    kind = rng.randrange(6)
    plan.says.append(f"the root as another container, kind {kind}")
    if kind == 0:
        plan.root = lambda table: Call(ORDERED, ([(key, value) for key, value in table.pairs],))
    elif kind == 1:
        plan.root = lambda table: Table(table.pairs, True, Global("__main__", "MyDict"))
    elif kind == 2:
        plan.root = lambda table: Table(table.pairs, True, Global("collections", "Counter"))
    elif kind == 3:
        plan.root, plan.trusted = lambda table: [table, table.pairs[0][1] if table.pairs else None], False
    elif kind == 4:
        plan.root, plan.trusted = lambda table: (table,), False
    else:
        empty = Table()
        plan.root = lambda table: Built(Table(table.pairs, True), empty)


def lone_tensor(plan: Plan) -> None:
    """A tensor without a name."""
    node = plan.tensors[0][1].node()
    plan.root, plan.trusted = lambda _: node, False
    plan.says.append("a tensor alone")


def long_texts(plan: Plan) -> None:
    """Texts, bytes and numbers whose length lies, or that are long."""
    rng = plan.rng
    length = rng.choice((0, 1, 5, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1))
    code, size = rng.choice(((b"X", 4), (b"\x8d", 8), (b"B", 4), (b"\x8e", 8), (b"\x96", 8), (b"T", 4), (b"\x8b", 4),
                             (b"\x8c", 1), (b"C", 1), (b"\x8a", 1), (b"U", 1)))  # fmt: skip
    body = rng.choice((b"", b"abc", b"\xff" * 70_000, b"a" * 300_000))
    if rng.random() < 0.4:
        length = len(body)
    said = (length % 256**size).to_bytes(size, "little")
    _entry(plan, "text", Raw(code + said + body))
    plan.says.append(f"{code!r} of a length of {length}, {len(body)} there")
    plan.trusted = False


def odd_numbers(plan: Plan) -> None:
    """Numbers in text, as protocol 0 writes them."""
    rng = plan.rng
    text = rng.choice((b"nan", b"inf", b"1e999", b"0x10", b"1_0", b"", b"7" * 5000, b"7" * 4000, b"-", b" 1 ", b"01",
        b"\xff",
                       b"1L", b"\xd9\xa1"))  # fmt: skip
    _entry(plan, "number", Raw(rng.choice((b"I", b"L", b"F", b"S", b"V", b"P", b"g", b"p")) + text + b"\n"))
    plan.says.append(f"the number {text[:20]!r}")
    plan.trusted = False


def hidden_tensor(plan: Plan) -> None:
    """A tensor in the state of an object, in a set, in a key, in arguments."""
    rng = plan.rng
    key = "hidden"
    plan.records[key] = random_values(rng, "F32", 2)
    node = Tensor(key, "F32", 2, (2,), (1,)).node()
    cls = Global(*rng.choice(GLOBALS))
    value: Callable[[], Any] = rng.choice((
        lambda: Built(Made("NEWOBJ", cls, ()), {"w": node}), lambda: Call(cls, (node,)), lambda: Call(cls, {"w": node}),
        lambda: Made("OBJ", cls, (node,)), lambda: Table([(node, 1)]), lambda: ([node], (node,)),
        lambda: Built(Made("NEWOBJ", cls, ()), (node, {"w": node})), lambda: Built([], node),
    ))  # fmt: skip
    _entry(plan, "objects", value())
    plan.says.append(f"a tensor in an object of {cls.name:.40}")


VALUE_TWISTS: tuple[tuple[Twist, int], ...] = (
    (object_of_any_class, 4), (bomb, 1), (numpy_numbers, 1), (odd_names, 3), (itself, 1), (laughs, 1), (deep, 1),
    (many, 1),
    (memo, 3), (whole_module, 3), (lightning, 2), (odd_mapping, 2), (lone_tensor, 1), (long_texts, 1), (odd_numbers, 1),
    (hidden_tensor, 2),
)  # fmt: skip
