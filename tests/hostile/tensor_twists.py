"""What a stranger may do to a pickled tensor: to its state, its sizes, its storage, and to what rebuilds it."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from pickle_assembler import Built, Call, Global, Persistent, Raw, Table
from torch_tensors import KINDS, ORDERED, Plan, Tensor, nothing_expected, random_values

#: Attributes that a reader of tensors, storages or mappings may look at, and that a state may put something over.
ATTRIBUTES = (
    "numel", "stride", "is_neg", "storage_offset", "element_size", "untyped_storage", "shape", "dtype", "size", "ndim",
    "layout", "device", "is_nested", "is_quantized", "data", "grad", "_backward_hooks", "__class__", "__dict__",
    "_cdata",
    "__reduce_ex__", "__getitem__", "__len__", "__iter__", "items", "keys", "get", "values", "nbytes", "detach",
    "numpy",
)  # fmt: skip
#: What an attribute may become: numbers, texts, and what answers when it is called.
VALUES = (
    ORDERED, ORDERED, Global("collections", "Counter"), Global("torch", "Size"), Global("torch", "device"), 0, 1, -1,
    5, 2**31, 2**63, True, None, "x", (), (1,), [], b"", 0.5, Global("torch.nn.parameter", "Parameter"),
    Global("torch._utils", "_rebuild_parameter"), Global("builtins", "set"), Global("torch", "float32"),
)  # fmt: skip
#: Methods of a tensor that say where its values lie, and what answers a call in their place, with nothing.
METHODS = ("numel", "numel", "numel", "stride", "is_neg", "storage_offset", "element_size", "untyped_storage")
CALLED = (ORDERED, Global("collections", "Counter"), Global("builtins", "set"), Global("torch", "Size"))
#: In the place of a size, a stride or an offset.
NUMBERS = (0, 1, 2, 3, -1, -2, 7, 100, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 2**100, 2**2000,
           10**400, True, False, 1.0, 2.5, 1e308, float("nan"), float("inf"), None, "1", b"1", (1,), [])  # fmt: skip

Twist = Callable[[Plan], None]


def state(rng: Random) -> Any:
    """The state of an object: a table of attributes, in one of the forms that BUILD takes."""
    if rng.random() < 0.4:
        return {rng.choice(METHODS): rng.choice(CALLED)}
    table = {rng.choice(ATTRIBUTES): rng.choice(VALUES) for _ in range(rng.choice((1, 1, 1, 2, 4)))}
    kind = rng.random()
    if kind < 0.7:
        return table
    return rng.choice(((table, {}), ({}, table), [table], (None, table), (table,), (1, 2, 3, 4), Table(ordered=True)))


def _enlarge(plan: Plan, tensor: Tensor) -> None:
    """A tensor of many values, or of two far apart: beyond a buffer of none there is no memory of the process."""
    if any(one.key == tensor.key for _, one in plan.tensors if one is not tensor):
        return
    stored = plan.rng.choice((12_000, 1_200_000, 80_000_000, 80_000_000))
    tensor.count = stored // KINDS[tensor.kind][2]
    plan.records[tensor.key] = random_values(plan.rng, tensor.kind, 50) * (tensor.count // 50)
    far_apart = (2,), (tensor.count - 1,)
    tensor.shape, tensor.strides = far_apart if stored > 2_000_000 else ((tensor.count,), (1,))
    tensor.offset = 0


def state_on_a_tensor(plan: Plan) -> None:
    """State put on a tensor or parameter, by a rebuild that takes it or by BUILD."""
    rng, tensor = plan.rng, plan.pick()
    put = state(rng)
    if isinstance(put, dict) and rng.random() < (0.6 if set(put) <= set(METHODS) else 0.02):
        _enlarge(plan, tensor)
    plan.says.append(f"state on a tensor: {put}")
    kind = rng.randrange(7)
    if kind >= 4:
        arguments = (True, Table(ordered=True), put)
        rebuild = Global("torch._utils", "_rebuild_parameter_with_state")
        tensor.wrap = lambda node: Call(rebuild, (node, *arguments))
    elif kind <= 1:
        cls = rng.choice((Global("torch", "Tensor"), Global("torch.nn.parameter", "Parameter"), ORDERED))
        tensor.wrap = lambda node: Call(
            Global("torch._tensor", "_rebuild_from_type_v2"), (node.function, cls, node.arguments, put)
        )
    elif kind == 2:
        tensor.wrap = lambda node: Built(node, put)
    else:
        parameter = Global("torch._utils", "_rebuild_parameter")
        tensor.wrap = lambda node: Built(Call(parameter, (node, True, Table(ordered=True))), put)


def state_that_sets_a_tensor(plan: Plan) -> None:
    """BUILD with what an old torch pickled: a storage, an offset, a shape and strides that replace the tensor's."""
    tensor = plan.pick()
    other = replace(tensor, offset=0, shape=(1,), strides=(1,))
    put = (other.storage(), 0, (1,), (1,))
    before = replace(tensor)
    tensor.truths = lambda records: (*before.right(records), *other.right(records))
    tensor.wrap = lambda node: Built(node, put)
    plan.says.append("a tensor set anew by BUILD")


def state_on_a_mapping(plan: Plan) -> None:
    put = state(plan.rng)
    plan.says.append(f"state on the root: {put}")
    plan.ordered = plan.rng.random() < 0.8
    plan.root = lambda table: Built(table, put)


def state_on_a_storage(plan: Plan) -> None:
    tensor = plan.pick()
    storage, put = tensor.storage(), state(plan.rng)
    plan.says.append(f"state on a storage: {put}")
    tensor.wrap = lambda node: Call(node.function, (Built(storage, put), *node.arguments[1:]))


def sizes_that_lie(plan: Plan) -> None:
    """One or two numbers of the shape, the strides or the offset replaced, or one axis too many or too few."""
    rng, tensor = plan.rng, plan.pick()
    for _ in range(rng.choice((1, 1, 2))):
        which = rng.choice(("shape", "shape", "strides", "strides", "offset"))
        number = rng.choice(NUMBERS)
        if which == "offset":
            tensor.offset = number
            continue
        numbers = getattr(tensor, which)
        if not isinstance(numbers, tuple):
            continue
        kind = rng.randrange(6)
        if kind == 0:
            numbers = (*numbers, number)
        elif kind == 1:
            numbers = numbers[:-1]
        elif kind == 2 and rng.random() < 0.3:
            numbers = rng.choice((list(numbers), None, 3, Call(Global("torch", "Size"), (numbers,)), (number,) * 70))
        elif numbers:
            at = rng.randrange(len(numbers))
            numbers = (*numbers[:at], number, *numbers[at + 1 :])
        setattr(tensor, which, numbers)
    plan.says.append(f"sizes {tensor.shape!r:.60} strides {tensor.strides!r:.60} offset {tensor.offset!r:.30}")


def strides_that_repeat(plan: Plan) -> None:
    """A few values spread over a large shape by strides of zero, or windows that overlap."""
    rng, tensor = plan.rng, plan.pick()
    tensor.offset = 0
    length = rng.choice((3, 100, 10_000, 10_000_000, 2**31, 2**40))
    tensor.shape, tensor.strides = rng.choice(
        (((length,), (0,)), ((2, length), (1, 0)), ((length, 1), (0, 1)), ((2, 2), (1, 1)), ((0, length), (1, 1)),
         ((length, 0), (length, 1)), ((2, 2), (-1, 1)), ((1, 1), (length, length)), ((length, length, 0), (1, 1, 1)))
    )  # fmt: skip
    plan.says.append(f"strides that repeat: {tensor.shape} {tensor.strides}")


def aliases(plan: Plan) -> None:
    """A tensor under a second name, or a storage that a second tensor takes, perhaps as another type."""
    rng, tensor = plan.rng, plan.pick()
    if rng.random() < 0.4:
        plan.tensors += [((f"alias{at}",), replace(tensor)) for at in range(rng.choice((1, 2, 30)))]
        plan.says.append("a tensor under several names")
        return
    kind = rng.choice(tuple(KINDS)) if rng.random() < 0.7 else tensor.kind
    count = len(plan.records.get(tensor.key, b"")) // KINDS[kind][2]
    second = Tensor(tensor.key, kind, count, (count,), (1,), rebuild=tensor.rebuild)
    plan.tensors.insert(rng.randrange(len(plan.tensors) + 1), (("second",), second))
    plan.says.append(f"a storage shared, as {tensor.kind} and as {kind}")


def storage_that_lies(plan: Plan) -> None:
    """A record that is not there, of another length than is claimed, or of another type."""
    rng, tensor = plan.rng, plan.pick()
    kind = rng.randrange(6)
    if kind == 0:
        tensor.count = rng.choice(NUMBERS)
    elif kind == 1:
        held = len(plan.records.get(tensor.key, b"")) // KINDS[tensor.kind][2]
        tensor.count = held + rng.choice((-1, 1, 8, -held))
    elif kind == 2:
        plan.records.pop(tensor.key, None)
    elif kind == 3:
        record = plan.records.get(tensor.key, b"")
        cut = rng.randrange(len(record) + 1)
        plan.records[tensor.key] = record[:cut] if rng.random() < 0.6 else record + b"\0" * rng.choice((1, 4, 64))
    elif kind == 4:
        tensor.kind = rng.choice(tuple(KINDS))
    else:
        tensor.key = rng.choice(("0", "1", "00", "", "../0", "/etc/passwd", "a" * 300, "\ud800", "0\0", "99"))
    plan.says.append(f"a storage that lies, kind {kind}: {tensor.kind} {tensor.key!a:.20} {tensor.count!r:.30}")


def identity_that_lies(plan: Plan) -> None:
    """The identity of a storage with other fields, or more or fewer of them, or no tuple at all."""
    rng, tensor = plan.rng, plan.pick()
    usual = list(replace(tensor, identity=None).storage().identity)
    odd = (
        None,
        1,
        -1,
        "",
        "0",
        b"0",
        True,
        (),
        ORDERED,
        Global("torch", "UntypedStorage"),
        Global("os", "system"),
        Global("torch", "ComplexDoubleStorage"),
        Global("torch", "Tensor"),
        2**64,
        "cuda:0",
        "meta",
        1.0,
        "x" * 9,
    )
    kind = rng.randrange(4)
    if kind == 0:
        usual[rng.randrange(5)] = rng.choice(odd)
    elif kind == 1:
        usual = usual[: rng.randrange(5)]
    elif kind == 2:
        usual += [rng.choice(odd)] * rng.choice((1, 2))
    tensor.identity = tuple(usual) if kind < 3 else rng.choice((*odd, usual, "storage"))
    if rng.random() < 0.1:
        tensor.wrap = lambda node: Call(node.function, (Raw(b"Pstorage 0\n"), *node.arguments[1:]))
    # Where the type or the record is another, so are the numbers, and a reader may take either for what is meant.
    tensor.truths = nothing_expected
    plan.says.append(f"identity {tensor.identity!r:.120}")


def other_rebuilds(plan: Plan) -> None:
    """Every function of torch that makes a tensor, with right and with wrong arguments."""
    rng, tensor = plan.rng, plan.pick()
    name = rng.choice(
        ("_rebuild_tensor_v3", "_rebuild_meta_tensor_no_storage", "_rebuild_qtensor", "_rebuild_sparse_tensor",
         "_rebuild_sparse_csr_tensor", "_rebuild_nested_tensor", "_rebuild_wrapper_subclass", "_rebuild_parameter",
         "_rebuild_device_tensor_from_numpy", "_rebuild_device_tensor_from_cpu_tensor", "_rebuild_tensor_v9")
    )  # fmt: skip
    plan.says.append(f"rebuilt by {name}")
    if name == "_rebuild_tensor_v3":
        tensor.rebuild = name
        if rng.random() < 0.5:
            untyped = Global("torch", "UntypedStorage")
            size = len(plan.records.get(tensor.key, b""))
            tensor.identity = ("storage", untyped, tensor.key, "cpu", size)
        return
    if name == "_rebuild_parameter":
        tensor.wrap = lambda node: Call(Global("torch._utils", name), (node, True, Table(ordered=True)))
        return
    tensor.truths = nothing_expected
    shape, dtype = tensor.shape, Global("torch", "float32")
    arguments: dict[str, tuple] = {
        "_rebuild_meta_tensor_no_storage": (dtype, shape, tensor.strides, False),
        "_rebuild_qtensor": (tensor.storage(), 0, shape, tensor.strides, (Global("torch", "per_tensor_affine"), 0.5, 1),
                             False, Table(ordered=True)),
        "_rebuild_sparse_tensor": (Global("torch", "sparse_coo"), (tensor.storage(), tensor.storage(), shape)),
        "_rebuild_sparse_csr_tensor": (Global("torch", "sparse_csr"), (1, 2, 3, shape)),
        "_rebuild_nested_tensor": (tensor.storage(), shape, tensor.strides, 0),
        "_rebuild_wrapper_subclass": (ORDERED, dtype, shape, tensor.strides, 0, None, "cpu", False),
        "_rebuild_device_tensor_from_numpy": (b"1234", dtype, "cpu", False),
    }  # fmt: skip
    given = arguments.get(name, (tensor.storage(),))
    tensor.wrap = lambda node: Call(Global("torch._utils", name), given)


def metadata(plan: Plan) -> None:
    """The flags of a negated or conjugated view, and others."""
    rng, tensor = plan.rng, plan.pick()
    if tensor.rebuild != "_rebuild_tensor_v2":
        return
    tensor.metadata = rng.choice(
        ({"neg": True}, {"conj": True}, {"neg": True, "conj": True}, {"neg": False}, {"neg": 1}, {"x": 1}, {})
    )
    if "neg" in tensor.metadata:
        # torch looks only whether the flag is there: False may be taken as one, or not, or be refused.
        flags = (True, False) if tensor.metadata["neg"] is not True else (True,)
        before = replace(tensor, metadata=None)
        tensor.truths = lambda records: tuple(
            replace(one, negated=flag) for one in before.right(records) for flag in flags
        )
    plan.says.append(f"metadata {tensor.metadata}")


def odd_arguments(plan: Plan) -> None:
    """Arguments of a rebuild left out, added, moved, or not in a tuple."""
    rng, tensor = plan.rng, plan.pick()
    kind, put = rng.randrange(5), rng.choice(VALUES)
    plan.says.append(f"arguments of a rebuild, kind {kind}")

    def wrap(node: Call) -> Any:
        found = list(node.arguments)
        if kind == 0:
            found.pop(rng.randrange(len(found)))
        elif kind == 1:
            found.insert(rng.randrange(len(found) + 1), put)
        elif kind == 2:
            found[rng.randrange(len(found))] = put
        elif kind == 3:
            return Call(node.function, found)
        else:
            return Call(node.function, put)
        return Call(node.function, tuple(found))

    tensor.wrap, tensor.truths = wrap, nothing_expected


def more_records(plan: Plan) -> None:
    """Records that no tensor asks for."""
    plan.records[plan.rng.choice(("99", "x", "a/b", "0/"))] = random_values(plan.rng, "F32", 4)
    plan.says.append("a record beside")


def persistent_elsewhere(plan: Plan) -> None:
    """A storage where a value is expected: as a key, an argument, the root's entry."""
    tensor = plan.pick()
    plan.after.append(("storage", Persistent(tensor.storage().identity)))
    plan.says.append("a storage as a value")


TENSOR_TWISTS: tuple[tuple[Twist, int], ...] = (
    (state_on_a_tensor, 10), (state_that_sets_a_tensor, 1), (state_on_a_mapping, 2), (state_on_a_storage, 2),
    (sizes_that_lie, 6), (strides_that_repeat, 3), (aliases, 3), (storage_that_lies, 4), (identity_that_lies, 3),
    (other_rebuilds, 3), (metadata, 2), (odd_arguments, 2), (more_records, 1), (persistent_elsewhere, 1),
)  # fmt: skip
