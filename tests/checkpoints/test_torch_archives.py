"""Torch files: tensors read exactly, whatever lies around them, and nothing of the file is ever run or built."""

import argparse
import collections
import os
import pickle
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from archive_files import (
    RunsCode,
    pickle_that_runs_code,
    refusal,
    rewrite_pickle,
    values_of,
    within_seconds,
    write_index,
    write_safetensors,
    write_torch_like,
)
from torch_files import (
    ORDERED_DICT,
    PARAMETER,
    REBUILD,
    Call,
    Global,
    Recorded,
    Storage,
    pickled,
    write_legacy,
    write_torch,
)

from mamba_dynamics._allowance import allowance
from mamba_dynamics._errors import CheckpointError, CorruptFile, MissingTensor, UnsafeFile
from mamba_dynamics.checkpoints.archives import open_archive
from mamba_dynamics.checkpoints.files import WeightFile

EMPTY_STATE = pickle.dumps({}, protocol=2)
VALUES = np.arange(24, dtype="<f4").reshape(2, 3, 4)
PROTOCOLS = [2, 3, 4, 5]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


# --- tensors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_tensor_is_read_exactly(tmp_path, recorded, protocol):
    value = {"w": recorded.tensor(VALUES), "s": recorded.tensor(np.array(3.0)), "e": recorded.tensor(np.zeros((0, 3)))}
    archive = open_archive(write_torch(tmp_path / "a.pt", value, recorded, protocol))
    assert archive.format == "torch"
    assert {name: (archive.dtype(name), archive.shape(name)) for name in archive.names} == {
        "w": ("F32", (2, 3, 4)),
        "s": ("F64", ()),
        "e": ("F64", (0, 3)),
    }
    assert archive.read("w").tolist() == VALUES.tolist()
    assert archive.read("w", slice(1, 2)).tolist() == VALUES[1:2].tolist()
    assert archive.read("w", slice(2, 2)).shape == (0, 3, 4)
    assert archive.read("s").item() == 3.0
    assert archive.read("e").shape == (0, 3)


def test_views_of_one_storage(tmp_path, recorded):
    storage = recorded.storage(VALUES)

    def view(offset, shape, strides, **more):
        return Call(REBUILD, (storage, offset, shape, strides, False, Call(ORDERED_DICT, ()), *more.values()))

    value = {
        "transposed": view(0, (4, 3, 2), (1, 4, 12)),
        "every other": view(1, (2, 2), (12, 2)),
        "repeated": view(5, (3,), (0,)),
        "negative": view(0, (2,), (1,), flags={"neg": True}),
        "a stride that leads nowhere": view(7, (1, 2), (2**63 - 1, 1)),
        "a size": view(0, Call(Global("torch", "Size"), ((2, 3),)), (3, 1)),
    }
    archive = open_archive(write_torch(tmp_path / "a.pt", value, recorded))
    flat = VALUES.ravel()
    assert values_of(archive) == {
        "transposed": VALUES.T.ravel().tolist(),
        "every other": [1, 3, 13, 15],
        "repeated": [5, 5, 5],
        "a stride that leads nowhere": [7, 8],
        "negative": (-flat[:2]).tolist(),
        "a size": flat[:6].tolist(),
    }
    assert archive.read("transposed", slice(1, 3)).tolist() == VALUES.T[1:3].tolist()
    assert all(archive.read(name).flags.c_contiguous for name in archive.names)


def test_a_type_that_is_told_apart_from_its_storage(tmp_path, recorded):
    recorded.records["0"] = np.array([1.5, -2.0], "<f4").tobytes()
    storage = Storage("0", Global("torch.storage", "UntypedStorage"), 8)
    rebuild = Global("torch._utils", "_rebuild_tensor_v3")

    def typed(kind, shape=(2,)):
        return Call(rebuild, (storage, 0, shape, (1,), False, {}, Global("torch", kind)))

    value = {"w": typed("float32"), "f8": typed("float8_e4m3fn", (8,)), "new": typed("float3_of_tomorrow")}
    archive = open_archive(write_torch(tmp_path / "a.pt", value, recorded))
    assert archive.read("w").tolist() == [1.5, -2.0]
    assert archive.dtype("f8") == "F8_E4M3"
    with pytest.raises(CheckpointError, match=r"'new'.*FLOAT3_OF_TOMORROW"):
        archive.read("new")


def test_parameters_and_tensors_with_attributes(tmp_path, recorded):
    """Mamba marks `A_log` and `D` with an attribute, which goes with the parameter where it is saved as one."""
    plain = recorded.tensor(np.ones(2, "<f4"))
    with_state = Global("torch._utils", "_rebuild_parameter_with_state")
    of_a_type = Global("torch._tensor", "_rebuild_from_type_v2")
    hooks = Call(ORDERED_DICT, ())
    value = {
        "parameter": Call(PARAMETER, (plain, True, hooks)),
        "marked": Call(with_state, (plain, True, hooks, {"_no_weight_decay": True})),
        "of a class": Call(of_a_type, (REBUILD, Global("my", "Tensor"), plain.arguments, {"note": "mine"})),
        "of slots": Call(of_a_type, (REBUILD, Global("my", "Tensor"), plain.arguments, ({"a": 1}, {"b": 2}))),
    }
    assert values_of(open_archive(write_torch(tmp_path / "a.pt", value, recorded))) == {key: [1, 1] for key in value}


OWN = ["numel", "stride", "is_neg", "storage_offset", "element_size", "untyped_storage", "shape", "__class__"]


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("how", ["parameter", "type", "build", "inner"])
def test_a_state_in_the_place_of_a_tensor_s_own_is_refused(tmp_path, recorded, own, how):
    plain, state = recorded.tensor(np.ones(2, "<f4")), {own: Global("collections", "OrderedDict")}
    with_state = Global("torch._utils", "_rebuild_parameter_with_state")
    if how == "parameter":
        value = Call(with_state, (plain, True, {}, state))
    elif how == "type":
        value = Call(
            Global("torch._tensor", "_rebuild_from_type_v2"), (REBUILD, Global("my", "T"), plain.arguments, state)
        )
    else:
        plain.state = state
        value = Call(PARAMETER, (plain, True, {})) if how == "inner" else plain
    assert f"{own!r}" in refusal(write_torch(tmp_path / "a.pt", {"A_log": value}, recorded), UnsafeFile)


LIES = {
    "a longer shape": (0, (25,), (1,)),
    "a shape of another product": (0, (5, 5), (5, 1)),
    "an offset behind the end": (24, (1,), (1,)),
    "an offset below zero": (-1, (1,), (1,)),
    "a stride below zero": (1, (2,), (-1,)),
    "a wide stride": (0, (2,), (24,)),
    "a huge stride": (0, (2,), (2**62,)),
    "a size beyond any file": (0, (2**63,), (0,)),
    "a size that is a truth": (0, (True,), (1,)),
    "a size that is no integer": (0, (2.0,), (1,)),
    "an offset that is no integer": (1.0, (2,), (1,)),
    "a huge axis beside an empty one": (0, (0, 2**61), (1, 1)),
    "too few strides": (0, (2, 2), (1,)),
    "no shape": (0, None, (1,)),
    "a text as a shape": (0, "23", (3, 1)),
    "too many axes": (0, (1,) * 65, (1,) * 65),
}


@pytest.mark.parametrize("lie", LIES)
def test_no_tensor_reaches_beyond_its_storage(tmp_path, recorded, lie):
    value = Call(REBUILD, (recorded.storage(VALUES), *LIES[lie], False, {}))
    refusal(write_torch(tmp_path / "a.pt", {"w": value}, recorded), CorruptFile)


STORAGES = {
    "another size": lambda one: Storage(one.of, one.kind, 23),
    "a size of more than there is": lambda one: Storage(one.of, one.kind, 2**31),
    "a size that is a truth": lambda one: Storage(one.of, one.kind, True),
    "another type": lambda one: Storage(one.of, "DoubleStorage", one.count),
    "an unknown type": lambda one: Storage(one.of, "SecretStorage", one.count),
    "a record that is not there": lambda one: Storage("7", one.kind, one.count),
    "a name that is a number": lambda one: Storage(0, one.kind, one.count),
}


@pytest.mark.parametrize("lie", STORAGES)
@pytest.mark.parametrize("used", [True, False], ids=["of a tensor", "beside"])
def test_every_storage_is_the_whole_of_its_record(tmp_path, recorded, lie, used):
    storage = STORAGES[lie](recorded.storage(VALUES))
    value = Call(REBUILD, (storage, 0, (2,), (1,), False, {})) if used else storage
    refusal(write_torch(tmp_path / "a.pt", {"w": value}, recorded), CorruptFile)


def test_a_tensor_that_repeats_one_value_costs_no_memory(tmp_path, recorded):
    value = Call(REBUILD, (recorded.storage(VALUES), 0, (2**20, 2**20), (0, 0), False, {}))
    archive = open_archive(write_torch(tmp_path / "a.pt", {"w": value}, recorded))
    with pytest.raises(CorruptFile, match=r"claims \d+ bytes"):
        archive.read("w")


def test_a_tensor_without_values_is_listed_and_not_read(tmp_path, recorded):
    meta = Call(Global("torch._utils", "_rebuild_meta_tensor_no_storage"),
                (Global("torch", "float32"), (3, 2), (2, 1), False))  # fmt: skip
    archive = open_archive(write_torch(tmp_path / "a.pt", {"w": meta, "v": recorded.tensor(VALUES)}, recorded))
    assert archive.shape("w") == (3, 2)
    with pytest.raises(CorruptFile, match=r"'w'.*without its values"):
        archive.read("w")
    assert archive.read("v").tolist() == VALUES.tolist()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", [VALUES, VALUES.T, VALUES[1, 2].astype("f8"), np.array(2.5), np.arange(3)],
                         ids=["rows", "columns", "float64", "scalar", "integers"])  # fmt: skip
def test_numpy_arrays_are_read_from_the_pickle(tmp_path, recorded, array, protocol):
    archive = open_archive(
        write_torch(tmp_path / "a.pt", {"w": array, "v": recorded.tensor(VALUES)}, recorded, protocol)
    )
    assert archive.shape("w") == array.shape
    assert archive.dtype("w") == {"f4": "F32", "f8": "F64", "i8": "I64"}[array.dtype.str[1:]]
    if array.dtype.kind == "f":
        assert archive.read("w").tolist() == array.tolist()
        assert archive.read("w").dtype == array.dtype


@pytest.mark.parametrize("array", [np.array([None]), np.array(["a"]), np.zeros(2, "f4,i2"), np.zeros(2, ">f4")],
                         ids=["objects", "texts", "fields", "another order"])  # fmt: skip
def test_other_arrays_are_listed_and_not_read(tmp_path, recorded, array):
    archive = open_archive(write_torch(tmp_path / "a.pt", {"w": array, "v": recorded.tensor(VALUES)}, recorded))
    assert archive.names == ("v", "w")
    with pytest.raises(CheckpointError, match=r"'w'.*'NUMPY'"):
        archive.read("w")


def test_tensors_of_other_calls_are_listed_and_not_read(tmp_path, recorded):
    call = Call(Global("my.tensors", "_rebuild_packed"), (recorded.storage(VALUES), 3))
    archive = open_archive(write_torch(tmp_path / "a.pt", {"w": call}, recorded))
    with pytest.raises(CheckpointError, match=r"'w'.*'_REBUILD_PACKED'"):
        archive.read("w")


def test_calls_around_the_call_that_makes_a_tensor(tmp_path, recorded):
    plain = recorded.tensor(np.ones(2, "<f4"))
    parameter = Call(PARAMETER, (plain, True, {}))
    older = Call(Global("torch._tensor", "_rebuild_from_type"), (REBUILD, Global("my", "T"), plain.arguments, {}))
    of_a_parameter = Call(
        Global("torch._tensor", "_rebuild_from_type_v2"), (PARAMETER, Global("my", "P"), parameter.arguments, {})
    )
    value = {"older": older, "parameter": Call(PARAMETER, (older, True, {})), "of a parameter": of_a_parameter}
    assert values_of(open_archive(write_torch(tmp_path / "a.pt", value, recorded))) == {key: [1, 1] for key in value}


def test_a_tensor_whose_place_is_set_afterwards_is_refused(tmp_path, recorded):
    """Torch then takes the second place; a reader that looks at the call takes the first."""
    storage = recorded.storage(VALUES)
    value = Call(REBUILD, (storage, 0, (3,), (1,), False, {}), state=(storage, 6, (3,), (1,)))
    assert "state of a tensor" in refusal(write_torch(tmp_path / "a.pt", {"w": value}, recorded), UnsafeFile)


def test_a_storage_has_one_type(tmp_path, recorded):
    recorded.records["0"] = bytes(range(8))
    value = [
        Call(REBUILD, (Storage("0", kind, 4), 0, (4,), (1,), False, {})) for kind in ("HalfStorage", "BFloat16Storage")
    ]
    assert "contradict" in refusal(write_torch(tmp_path / "a.pt", value, recorded), CorruptFile)


def test_keys_are_those_that_python_takes_for_equal(tmp_path, recorded):
    one, two = recorded.tensor(np.ones(1)), recorded.tensor(np.zeros(1))
    # Python's own dictionaries cannot hold both, so the pickle is put together: {1: one, True: two}.
    for key in (b"\x88", b"G" + struct.pack(">d", 1.0)):
        first, second = pickled({"a": one})[2:-1], pickled({"a": two})[2:-1]
        first, second = (part[part.index(b"a") + 1 : -1].replace(b"q\x01", b"", 1) for part in (first, second))
        path = write_torch_like(
            tmp_path / "a.pt", b"\x80\2}(K\1" + first + key + second + b"u.", _0=recorded.records["0"],
            _1=recorded.records["1"],
        )  # fmt: skip
        assert values_of(open_archive(path)) == {"1": [0]}


def test_what_a_key_that_is_no_text_leads_to_is_not_dropped(tmp_path, recorded):
    value = {np.str_("A_log"): recorded.tensor(np.ones(2)), "D": recorded.tensor(np.zeros(2))}
    assert open_archive(write_torch(tmp_path / "a.pt", value, recorded)).names == ("<key 0>", "D")


@pytest.mark.parametrize("state", [{}, {0: {}}])
def test_only_the_state_of_an_optimizer_is_left_out(tmp_path, recorded, state):
    value = {"param_groups": [], "state": state, "model": {"A_log": recorded.tensor(np.ones(2))}}
    assert open_archive(write_torch(tmp_path / "a.pt", value, recorded)).names == ("model.A_log",)


# --- what lies around them -----------------------------------------------------------------------


def test_a_state_dict_is_found_at_any_depth(tmp_path, recorded):
    def w(value: float) -> object:
        return recorded.tensor(np.full(2, value, "<f4"))

    checkpoint = {
        "epoch": 3,
        "note": "text",
        "history": [1.0, 2.0, {"loss": 0.5}],
        "model": {"module": {"layers.0.A_log": w(1)}, "layers": [{"D": w(2)}]},
        "ema": {"shadow": {"layers.0.A_log": w(3)}, "decay": 0.99},
        "optimizer": {"state": {0: {"exp_avg": w(8)}}, "param_groups": [{"params": [0], "lr": 1e-3}]},
        "named_optimizer": {"state": {"layers.0.A_log": {"exp_avg": w(4)}}, "param_groups": []},
        7: {"A_log": w(5)},
        ("a", "b"): w(9),
        None: w(9),
    }
    assert values_of(open_archive(write_torch(tmp_path / "a.ckpt", checkpoint, recorded))) == {
        "model.module.layers.0.A_log": [1, 1],
        "model.layers.0.D": [2, 2],
        "ema.shadow.layers.0.A_log": [3, 3],
        "named_optimizer.state.layers.0.A_log.exp_avg": [4, 4],
        "7.A_log": [5, 5],
        "<key 8>": [9, 9],
        "<key 9>": [9, 9],
    }


class Settings(argparse.Namespace):
    """A class of somebody's, which does not exist where the file is read."""


Pair = collections.namedtuple("Pair", "first second")


class Holder:
    """An object with slots."""

    __slots__ = ("weights",)

    def __init__(self, weights):
        self.weights = weights


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_beside_the_weights_are_walked_and_never_built(tmp_path, recorded, protocol, monkeypatch):
    def w(value: float) -> object:
        return recorded.tensor(np.full(1, value, "<f4"))

    defaults = collections.defaultdict(list, model={"D": w(1)})
    checkpoint = {
        "args": argparse.Namespace(lr=1e-3, betas=(0.9, 0.95), log_dir=Path("logs")),
        "own": Settings(weights={"D": w(2)}),
        "epoch": np.float64(3.5),
        "seen": {1, 2},
        "frozen": frozenset({"a"}),
        "defaults": defaults,
        "pair": Pair(w(3), "x"),
        "slots": Holder({"D": w(4)}),
        "counts": collections.Counter(a=1),
        "bytes": b"abc",
        "array": bytearray(b"abc"),
        "complex": 1j,
        "range": range(3),
        "ordered": collections.OrderedDict(D=w(5)),
        "deque": collections.deque([w(6)]),
    }
    path = write_torch(tmp_path / "a.ckpt", checkpoint, recorded, protocol)
    monkeypatch.delattr(f"{__name__}.Settings")
    monkeypatch.delattr(f"{__name__}.Holder")
    assert values_of(open_archive(path)) == {
        "own.weights.D": [2],
        "defaults.model.D": [1],
        "pair.0": [3],
        "slots.weights.D": [4],
        "ordered.D": [5],
        "deque.0": [6],
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_file_that_would_run_code_does_not(tmp_path, recorded, protocol):
    witness = tmp_path / "witness"
    value = {"w": recorded.tensor(VALUES), "x": RunsCode(witness)}
    pickle.loads(pickle.dumps(value["x"], protocol))
    assert witness.exists(), "the file is harmless: this test shows nothing"
    witness.unlink()
    archive = open_archive(write_torch(tmp_path / "a.pt", value, recorded, protocol))
    assert values_of(archive) == {"w": VALUES.ravel().tolist()}
    assert not witness.exists()


def test_a_pickle_that_torch_did_not_write_is_refused(tmp_path):
    witness = tmp_path / "witness"
    (tmp_path / "a.pt").write_bytes(pickle_that_runs_code(witness))
    assert "torch.save(model.state_dict()" in refusal(tmp_path / "a.pt", UnsafeFile)
    assert not witness.exists()


def module(recorded: Recorded, value: float, **inner: object) -> Call:
    """A `torch.nn.Module` as a pickle describes it."""
    tensor = recorded.tensor(np.full(2, value, "<f4"))
    state = {
        "training": True,
        "_parameters": {"weight": Call(PARAMETER, (tensor, True, {})), "bias": None},
        "_buffers": {
            "kept": recorded.tensor(np.full(1, -value, "<f4")),
            "fleeting": recorded.tensor(np.ones(1, "<f4")),
        },
        "_non_persistent_buffers_set": {"fleeting"},
        "_modules": Call(ORDERED_DICT, (), items=dict(inner)),
        "_forward_hooks": Call(ORDERED_DICT, ()),
        "cache": recorded.tensor(np.ones(3, "<f4")),
    }
    return Call(Global("torch.nn.modules.linear", "Linear"), (), state=state)


def test_a_whole_module_is_read_as_its_state_dict(tmp_path, recorded):
    """What `torch.save(model)` writes; attributes and buffers that are not to be saved are in no state dict."""
    whole = module(recorded, 1, layers=module(recorded, 2, **{"0": module(recorded, 3)}))
    assert values_of(open_archive(write_torch(tmp_path / "a.pt", whole, recorded))) == {
        "weight": [1, 1], "kept": [-1],
        "layers.weight": [2, 2], "layers.kept": [-2],
        "layers.0.weight": [3, 3], "layers.0.kept": [-3],
    }  # fmt: skip


def test_a_bare_tensor_has_the_empty_path_and_no_name_is_ambiguous(tmp_path, recorded):
    w, v = recorded.tensor(np.ones(2)), recorded.tensor(np.zeros(2))
    assert open_archive(write_torch(tmp_path / "bare.pt", w, recorded)).names == ("",)
    assert "'a.b'" in refusal(write_torch(tmp_path / "two.pt", {"a": {"b": w}, "a.b": v}, recorded), CorruptFile)
    assert open_archive(write_torch(tmp_path / "same.pt", {"a": {"b": w}, "a.b": w}, recorded)).names == ("a.b",)


def test_what_is_no_weight_is_listed(tmp_path, recorded):
    archive = open_archive(write_torch(tmp_path / "a.pt", {"steps": recorded.tensor(np.arange(3))}, recorded))
    assert archive.dtype("steps") == "I64"
    with pytest.raises(CheckpointError, match=r"'steps'.*'I64'"):
        archive.read("steps")
    with pytest.raises(MissingTensor, match="'absent'"):
        archive.read("absent")


def test_containers_without_end_are_refused(tmp_path, recorded):
    w = recorded.tensor(np.ones(1))
    doubled: object = {"w": w}
    nested: object = (w,)
    for _ in range(60):
        doubled, nested = {"a": doubled, "b": doubled}, (nested, nested)
    barren: object = None
    for _ in range(60):
        barren = [barren, barren]
    for number, value in enumerate((doubled, nested)):
        path = write_torch(tmp_path / f"{number}.pt", value, recorded)
        error = within_seconds(lambda path=path: open_archive(path))
        assert isinstance(error, UnsafeFile)
        assert "memory" in str(error)
    path = write_torch(tmp_path / "barren.pt", {"w": w, "padding": "x" * 1_000_000, "barren": barren}, recorded)
    assert within_seconds(lambda: open_archive(path)).names == ("w",)


def test_an_object_that_holds_itself_is_walked_once(tmp_path, recorded):
    loop: dict[str, object] = {"w": recorded.tensor(np.ones(1))}
    loop["self"] = loop
    settings = argparse.Namespace(lr=1e-3)
    settings.parent = settings
    path = write_torch(tmp_path / "a.pt", {"model": loop, "settings": settings, "again": [settings]}, recorded)
    assert open_archive(path).names == ("model.w",)


def many_arrays(count: int) -> bytes:
    """Arrays that share the text of their bytes."""
    text = b"X" + (500_000).to_bytes(4, "little") + b"a" * 500_000
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\1bt R(K\1M%b\x85cnumpy\ndtype\n(X\2\0\0\0f4"
        b"\x89\x88tR\x89h\1tb"
    ).replace(b" ", b"") % (50_000).to_bytes(2, "little")
    coded = b"c_codecs\nencode\n(" + text + b"X\6\0\0\0latin1tRq\0010"
    return b"\x80\3" + coded + b"](" + array * count + b"e."


SHARED = {
    "the bytes of arrays": lambda recorded: many_arrays(2000),
    "a set of buffers": lambda recorded: _sharing(
        {"_non_persistent_buffers_set": {f"b{number}" for number in range(50_000)}, "_parameters": {}, "_modules": {}}
    ),
    "an optimizer's state": lambda recorded: _sharing({"state": dict.fromkeys(range(50_000)), "param_groups": []}),
}  # fmt: skip


def _sharing(state: dict) -> bytes:
    """Thousands of objects, each with tables of its own that share what is in one of them."""
    kept = {key: value for key, value in state.items() if isinstance(value, set | dict) and value}
    return pickled([Call(Global("my", "Module"), (), state=dict(state)) for _ in range(3000)] + [kept])


@pytest.mark.parametrize("what", SHARED)
def test_what_many_objects_share_is_looked_at_once(tmp_path, recorded, what):
    path = write_torch_like(tmp_path / "a.pt", SHARED[what](recorded))
    tracemalloc.start()
    try:
        within_seconds(lambda: open_archive(path), 5.0)
        assert tracemalloc.get_traced_memory()[1] < allowance(path.stat().st_size)
    finally:
        tracemalloc.stop()


def test_many_names_of_one_tensor_cost_what_they_take(tmp_path, recorded):
    value: object = {"w": recorded.tensor(np.ones(1))}
    for _ in range(4):
        value = [value] * 32
    path = write_torch(tmp_path / "a.pt", value, recorded)
    error = within_seconds(lambda: open_archive(path))
    assert isinstance(error, UnsafeFile)
    assert "names of its tensors" in str(error)


def test_a_large_state_of_many_tensors_is_not_walked(tmp_path, recorded):
    plain = recorded.tensor(np.ones(1, "<f4"))
    with_state = Global("torch._utils", "_rebuild_parameter_with_state")
    state = {f"attribute{number}": number for number in range(30_000)}
    value = {str(number): Call(with_state, (plain, True, {}, state)) for number in range(1000)}
    path = write_torch(tmp_path / "a.pt", {"a": value, "padding": "x" * 10_000_000}, recorded)
    assert len(within_seconds(lambda: open_archive(path), 5.0).names) == 1000


COMPOSED = {
    "a key": lambda bomb: {bomb: 1},
    "a storage's type": lambda bomb: {"w": Call(REBUILD, (Storage("0", bomb, 1), 0, (1,), (1,), False, {}))},
    "an offset": lambda bomb: {"w": Call(REBUILD, (Storage("0", "FloatStorage", 24), bomb, (1,), (1,), False, {}))},
    "a shape": lambda bomb: {"w": Call(REBUILD, (Storage("0", "FloatStorage", 24), 0, bomb, (1,), False, {}))},
    "what is called": lambda bomb: {"w": Call(bomb, ())},
    "an identity": lambda bomb: {"w": Storage(bomb, "FloatStorage", 24)},
}


@pytest.mark.parametrize("where", COMPOSED)
def test_what_a_file_composes_is_never_hashed_or_printed(tmp_path, recorded, where):
    """A tuple of two references to a tuple, 60 levels deep, has as many parts as no machine can visit."""
    bomb: object = ("x",)
    for _ in range(60):
        bomb = (bomb, bomb)
    recorded.storage(VALUES)
    data = _with_key(bomb) if where == "a key" else pickled(COMPOSED[where](bomb))
    path = write_torch_like(tmp_path / "a.pt", data, _0=recorded.records["0"])
    found = within_seconds(lambda: open_archive(path), 20.0)
    assert isinstance(found, CheckpointError) or found.names == ()


def _with_key(bomb: object) -> bytes:
    """A dictionary with a key that Python itself would be hashing for ever."""
    return b"\x80\x02}" + pickled(bomb)[2:-1] + b"K\x01s."


def test_deep_nesting_is_no_obstacle(tmp_path, recorded):
    # The pickler itself recurses, so the pickle is lengthened by hand.
    path = write_torch(tmp_path / "a.pt", recorded.tensor(VALUES), recorded)
    depth = 5000

    def nested(data: bytes) -> bytes:
        return data[:2] + b"}X\1\0\0\0a" * depth + data[2:-1] + b"s" * depth + b"."

    archive = open_archive(rewrite_pickle(path, tmp_path / "b.pt", nested))
    assert archive.names == (".".join("a" * depth),)


@pytest.mark.parametrize("sign", [b"\x85", b"]", b"("])
def test_any_depth_is_left_in_peace(tmp_path, sign):
    path = write_torch_like(tmp_path / "a.pt", b"\x80\x02N" + sign * 150_000 + b".")
    found = within_seconds(lambda: open_archive(path))
    assert isinstance(found, CheckpointError) or found.names == ()


# --- before torch 1.6, and around torch's own ----------------------------------------------------


def test_files_before_torch_1_6(tmp_path, recorded):
    w, v = recorded.tensor(VALUES), recorded.tensor(np.array([1.5]))
    value = {"w": w, "v": v, "epoch": np.int64(3)}
    for order in (["0", "1"], ["1", "0"]):
        archive = open_archive(write_legacy(tmp_path / "a.pt", value, recorded, order))
        assert archive.format == "torch"
        assert values_of(archive) == {"w": VALUES.ravel().tolist(), "v": [1.5]}
        assert archive.bytes_total == (tmp_path / "a.pt").stat().st_size


def test_a_part_of_a_storage_before_torch_1_6(tmp_path, recorded):
    whole = recorded.storage(VALUES)
    part = Storage(whole.of, whole.kind, 24, view=("part", 6, 4))
    value = {"w": Call(REBUILD, (part, 1, (3,), (1,), False, {}))}
    assert values_of(open_archive(write_legacy(tmp_path / "a.pt", value, recorded))) == {"w": [7, 8, 9]}
    for view in (("part", 22, 4), ("part", 6, 3), ("part", -1, 4), ("part", 0)):
        part = Storage(whole.of, whole.kind, 24, view=view)
        value = {"w": Call(REBUILD, (part, 1, (3,), (1,), False, {}))}
        refusal(write_legacy(tmp_path / "a.pt", value, recorded), CorruptFile)


def test_a_part_of_a_storage_has_one_place(tmp_path, recorded):
    whole = recorded.storage(VALUES)
    for first, second in ((("part", 6, 4), ("part", 8, 4)), (("0", 6, 4), ("0", 6, 4))):
        parts = [Storage(whole.of, whole.kind, 24, view=view) for view in (first, second)]
        value = [Call(REBUILD, (part, 1, (3,), (1,), False, {})) for part in parts]
        assert "contradict" in refusal(write_legacy(tmp_path / "a.pt", value, recorded), CorruptFile)


def legacy_damages(data: bytes):
    yield "cut short", data[:-1]
    yield "no storages", data[: data.rindex(b".") + 1]
    count = data.rindex(struct.pack("<q", 24))
    yield "more values", data[:count] + struct.pack("<q", 25) + data[count + 8 :]
    yield "fewer than none", data[:count] + struct.pack("<q", -1) + data[count + 8 :]
    yield "another order of bytes", data.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89")
    yield "another list", data.replace(b"]q\x00X\x01\x00\x00\x000q\x01a.", b"]q\x00X\x01\x00\x00\x001q\x01a.")


def test_damages_of_files_before_torch_1_6(tmp_path, recorded):
    whole = write_legacy(tmp_path / "a.pt", {"w": recorded.tensor(VALUES)}, recorded).read_bytes()
    for name, data in legacy_damages(whole):
        assert data != whole, name
        (tmp_path / "a.pt").write_bytes(data)
        refusal(tmp_path / "a.pt", CorruptFile)


def test_a_file_in_a_tar_archive(tmp_path, recorded):
    import tarfile

    write_torch(tmp_path / "model.pt", {"w": recorded.tensor(VALUES)}, recorded)
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "m.pth.tar", "w", format=form) as archive:
            archive.add(tmp_path / "model.pt", "x" * 200 + "/model.pt" if form != tarfile.USTAR_FORMAT else "model.pt")
        assert values_of(open_archive(tmp_path / "m.pth.tar")) == {"w": VALUES.ravel().tolist()}
    with tarfile.open(tmp_path / "two.tar", "w") as archive:
        archive.add(tmp_path / "model.pt", "a.pt")
        archive.add(tmp_path / "model.pt", "b.pt")
    message = refusal(tmp_path / "two.tar", CheckpointError)
    assert "2 files ('a.pt', 'b.pt')" in message
    with tarfile.open(tmp_path / "nested.tar", "w") as archive:
        archive.add(tmp_path / "m.pth.tar", "m.tar")
    assert "within a tar archive" in refusal(tmp_path / "nested.tar", CorruptFile)
    for header, word in ({"size": "10"}, "size"), ({"GNU.sparse.major": "1"}, "holes"):
        with tarfile.open(tmp_path / "pax.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            info = archive.gettarinfo(tmp_path / "model.pt", "model.pt")
            info.pax_headers = header
            with (tmp_path / "model.pt").open("rb") as file:
                archive.addfile(info, file)
        assert word in refusal(tmp_path / "pax.tar", CheckpointError)
    data = (tmp_path / "m.pth.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(data[:2000])
    assert "ends within" in refusal(tmp_path / "cut.tar", CorruptFile)


# --- the zip archive -----------------------------------------------------------------------------


def compressed(path: Path) -> None:
    write_torch_like(path, EMPTY_STATE, compression=zipfile.ZIP_DEFLATED, _0=b"\0" * 10_000)


def two_pickles(path: Path) -> None:
    write_torch_like(path, EMPTY_STATE)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/DATA.pkl", EMPTY_STATE)


def other_prefix(path: Path) -> None:
    write_torch_like(path, EMPTY_STATE)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("second/data/0", b"")


def damaged_pickle(path: Path) -> None:
    write_torch_like(path, EMPTY_STATE[:-1])


def another_byte_order(path: Path, name: str = "byteorder") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", EMPTY_STATE)
        archive.writestr(f"archive/{name}", "big")


def another_byte_order_in_capitals(path: Path) -> None:
    another_byte_order(path, "BYTEORDER")


BROKEN = {
    compressed: "compressed",
    two_pickles: "ambiguous",
    other_prefix: "ambiguous",
    damaged_pickle: "damaged pickle",
    another_byte_order: "byte order",
    another_byte_order_in_capitals: "byte order",
}


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.__name__)
def test_a_broken_torch_archive_is_refused(tmp_path, fault):
    path = tmp_path / "a.pt"
    fault(path)
    assert BROKEN[fault] in refusal(path, CorruptFile)


def program(name: str, arguments: bytes) -> bytes:
    """A pickle that calls `name` with the arguments of a tuple."""
    return b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n" + arguments + b"R."


#: Calls that would take gigabytes if they were made.
GREEDY = {
    "a tensor of a size": program("torch Tensor", b"J\xff\xff\xff\x7f\x85"),
    "a storage of a size": program("torch.storage UntypedStorage", b"J\xff\xff\xff\x7f\x85"),
    "bytes of a size": program("builtins bytearray", b"\x8a\x05\0\0\0\0\x01\x85"),
    "a call from the memo": b"\x80\x02ctorch\nFloatStorage\nq\x000h\x00K\x09\x85R.",
    "copies of a list": b"\x80\x02](" + b"N" * 20_000 + b"eq\x000"
    + b"ccollections\nCounter\nh\x00\x85R0" * 20_000 + b"N.",
    "a place in the memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
}  # fmt: skip


@pytest.mark.parametrize("what", GREEDY)
def test_calls_are_not_made(tmp_path, what):
    assert open_archive(write_torch_like(tmp_path / "a.pt", GREEDY[what])).names == ()


FLOODS = {
    "empty lists": b"\x80\x02](" + b"]" * 1_000_000 + b"e.",
    "many marks": b"\x80\x02" + b"(" * 1_000_000 + b".",
    "many keys": b"\x80\x02}(" + b"".join(b"J%bN" % key.to_bytes(4, "little") for key in range(400_000)) + b"u.",
    "wide letters": b"\x80\x02X\0\x87\x93\x03" + "\U0001f600".encode() + b"a" * 59_999_996 + b".",
}  # fmt: skip


@pytest.mark.parametrize("what", FLOODS)
def test_a_pickle_out_of_proportion_is_refused(tmp_path, what):
    assert "memory" in refusal(write_torch_like(tmp_path / "a.pt", FLOODS[what]), UnsafeFile)


@pytest.mark.parametrize(
    "pickle",
    [
        b"\x80\x02R.", b"\x80\x02t.", b"\x80\x020.", b"\x80\x02NQ", b"\x80\x02q\x00.", b"\x80\x02h\x00.",
        b"\x80\x02(N0s.", b"\x80\x02}Nb.", b"\x80\x02NNa.", b"\x80\x02N]Ns.", b"\x80\x06N.", b"\x80\x02\xff.",
        b"\x80\x02(o.", b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", b"\x80\x02Np-1\n.", b"\x80\x02ca\nb\n)(R.",
        b"Iabc\n.", b"F\n.", b"Vx", b"S'a\n.",
        b"S'\\x78'\n.",
        b"\x80\x02ca\nb\n)R}b}b.", b"\x80\x02K\x01K\x02\x93.", b"\x80\x02\x97.", b"",
    ],
)  # fmt: skip
def test_a_pickle_that_contradicts_itself_is_damaged(tmp_path, pickle):
    assert "damaged pickle" in refusal(write_torch_like(tmp_path / "a.pt", pickle), CorruptFile)


def test_torch_shards(tmp_path):
    one, two = Recorded(), Recorded()
    write_torch(tmp_path / "one.bin", {"a": one.tensor(np.ones(2))}, one)
    write_torch(tmp_path / "two.bin", {"b": two.tensor(np.zeros(2))}, two)
    write_index(tmp_path / "pytorch_model.bin.index.json", {"a": "one.bin", "b": "two.bin"})
    archive = open_archive(tmp_path)
    assert archive.format == "torch-sharded"
    assert values_of(archive) == {"a": [1, 1], "b": [0, 0]}
    write_safetensors(tmp_path / "two.bin", b=np.ones(2))
    assert "several formats" in refusal(tmp_path, CheckpointError)


@pytest.mark.parametrize("change", ["cut", "replace", "remove"])
def test_a_torch_file_changed_after_opening_is_reported(tmp_path, recorded, change):
    path = write_torch(tmp_path / "a.pt", {"w": recorded.tensor(np.ones(5000))}, recorded)
    archive = open_archive(path)
    if change == "cut":
        os.truncate(path, 100)
    elif change == "replace":
        os.replace(write_torch(tmp_path / "b.pt", {"w": recorded.tensor(np.ones(5000))}, recorded), path)
    else:
        path.unlink()
    with pytest.raises(CorruptFile, match="since it was opened"):
        archive.read("w")


def test_a_torch_file_rewritten_while_it_is_read_is_reported(tmp_path, recorded, monkeypatch):
    path = write_torch(tmp_path / "a.pt", {"w": recorded.tensor(np.ones(5))}, recorded)
    archive = open_archive(path)
    compare = WeightFile._compare

    def compare_then_touch(self, file):
        compare(self, file)
        os.utime(path, ns=(0, 0))

    monkeypatch.setattr(WeightFile, "_compare", compare_then_touch)
    with pytest.raises(CorruptFile, match="since it was opened"):
        archive.read("w")


# --- beside torch itself -------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is not installed here")


def save(torch, path: Path, value: object, **how) -> Path:
    torch.save(value, path, **how)
    return path


#: The forms in which torch saves.
FORMS = {f"protocol {number}": {"pickle_protocol": number} for number in PROTOCOLS}
FORMS |= {
    f"before 1.6, protocol {number}": {"pickle_protocol": number, "_use_new_zipfile_serialization": False}
    for number in PROTOCOLS
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_every_weight_type_that_torch_saves(torch, tmp_path, dtype, form):
    stored = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(
        getattr(torch, dtype)
    )
    tensors = {"w": stored, "s": stored[2, 3], "t": stored.T[1:4:2], "p": torch.nn.Parameter(stored[1])}
    archive = open_archive(save(torch, tmp_path / "a.pt", tensors, **FORMS[form]))
    names = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}
    for name, tensor in tensors.items():
        found = archive.read(name)
        assert archive.dtype(name) == names[dtype]
        assert found.dtype == (np.float64 if dtype == "float64" else np.float32)
        # Through Python's floats: a path that shares nothing with the conversion under test.
        assert found.tolist() == tensor.tolist()
    assert archive.read("w", slice(2, 4)).tolist() == stored[2:4].tolist()


@pytest.mark.parametrize("form", FORMS)
def test_what_torch_itself_reads_from_a_module(torch, tmp_path, form):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Conv1d(4, 2, 1))
    model[0].weight._no_weight_decay = True
    model.register_buffer("mask", torch.ones(2), persistent=False)
    expected = {name: tensor.tolist() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    for saved in (model, model.state_dict()):
        archive = open_archive(save(torch, tmp_path / "a.pt", saved, **FORMS[form]))
        assert {n: archive.read(n).tolist() for n in archive.names if archive.dtype(n) == "F32"} == expected
    archive = open_archive(save(torch, tmp_path / "b.pt", dict(model.named_parameters()), **FORMS[form]))
    assert {n: archive.read(n).tolist() for n in archive.names} == {
        name: parameter.tolist() for name, parameter in model.named_parameters()
    }


def test_a_real_optimizer_is_left_out(torch, tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path = save(torch, tmp_path / "a.pt", {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    assert open_archive(path).names == ("model.bias", "model.weight")


def test_a_torchscript_program_gives_its_weights(torch, tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(model), str(tmp_path / "a.pt"))
    archive = open_archive(tmp_path / "a.pt")
    assert {n: archive.read(n).tolist() for n in archive.names} == {
        n: t.tolist() for n, t in model.state_dict().items()
    }


def test_bytes_are_counted_as_they_are_converted(torch, tmp_path):
    path = save(torch, tmp_path / "a.pt", {"w": torch.ones(100, 10), "v": torch.ones(9, dtype=torch.bfloat16)})
    with zipfile.ZipFile(path) as records:
        pickle_size = records.getinfo("a/data.pkl").file_size
    archive = open_archive(path)
    assert archive.bytes_total == path.stat().st_size
    assert archive.bytes_read == pickle_size
    archive.read("w", slice(3, 5))
    assert archive.bytes_read == pickle_size + 2 * 10 * 4
    archive.read("v")
    assert archive.bytes_read == pickle_size + 2 * 10 * 4 + 9 * 2


def test_what_torch_saves_without_values(torch, tmp_path):
    values = {"meta": torch.zeros(3, device="meta"), "int": torch.arange(3), "flags": torch.tensor([True])}
    archive = open_archive(save(torch, tmp_path / "b.pt", values))
    assert {name: archive.dtype(name) for name in archive.names} == {"meta": "F32", "int": "I64", "flags": "BOOL"}
    with pytest.raises(CorruptFile, match="without its values"):
        archive.read("meta")


def test_the_real_torch_files_open(torch, shared):
    for name in ("positioning-mamba1-4layer.pt", "super-resolution-ss2d.pth"):
        archive = open_archive(shared / "checkpoints" / name)
        expected = torch.load(archive.path, weights_only=True, map_location="cpu")
        expected = expected.get("state_dict", expected)
        found = {one.removeprefix("state_dict."): one for one in archive.names}
        assert set(found) >= {one for one, tensor in expected.items() if tensor.is_floating_point()}
        for one, tensor in expected.items():
            if tensor.is_floating_point():
                assert archive.read(found[one]).tolist() == tensor.tolist()


def test_the_whole_module_pickle_is_read(shared):
    archive = open_archive(shared / "checkpoints" / "ecg-whole-module-pickle.pth")
    assert {name: archive.shape(name) for name in archive.names if name.startswith("layers.0.")} == {
        "layers.0.A_log": (24, 12), "layers.0.D": (24,), "layers.0.conv1d.bias": (24,),
        "layers.0.conv1d.weight": (24, 1, 12), "layers.0.dt_proj.bias": (24,), "layers.0.dt_proj.weight": (24, 1),
        "layers.0.in_proj.weight": (48, 12), "layers.0.out_proj.weight": (12, 24),
        "layers.0.selection.weight": (25, 24),
    }  # fmt: skip


def test_nothing_imports_torch(tmp_path, recorded):
    import subprocess
    import sys

    path = write_torch(tmp_path / "a.pt", {"w": recorded.tensor(VALUES)}, recorded)
    script = (
        "import sys; from mamba_dynamics.checkpoints import open_archive; "
        f"open_archive({str(path)!r}).read('w'); assert not {{'torch', 'jax'}} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
