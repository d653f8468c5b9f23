"""The generators of files: each input is always the same, its plain files are right, and their numbers are torch's."""

import random
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from case import Case, StoredTensor, wrong_numbers
from configs import right_cases
from kinds import KINDS
from parsers import PARSERS
from pickle_assembler import Assembler, Built, Call, Global, Kept, Table
from reading import judge_model
from tensor_tables import TABLES, written
from torch_tensors import random_plan, torch_file
from written_anew import WRITTEN_ANEW
from zip_writer import Record, archive, body, end, end64

from mamba_dynamics import UnsafeFile

CHEAP = [row.name for row in WRITTEN_ANEW if "flood" not in row.name]


@pytest.mark.parametrize("name", CHEAP)
def test_an_input_is_always_the_same(name):
    parser = PARSERS[name]
    for number in range(40):
        assert parser.case(3, number).files == parser.case(3, number).files
    assert len({tuple(parser.case(3, number).files.values()) for number in range(40)}) > 20


@pytest.mark.parametrize("name", CHEAP)
def test_a_generator_makes_thousands_of_inputs(name):
    """An error in a generator would end a process of the fuzzer."""
    for number in range(300):
        assert PARSERS[name].case(1, number).size > 0


@pytest.mark.parametrize("name", [row.name for row in WRITTEN_ANEW])
def test_its_plain_files_are_read(name, tmp_path):
    parser = PARSERS[name]
    path = parser.prepare(tmp_path / "f")
    for seed in parser.seeds:
        path.write_bytes(seed)
        try:
            parser.read(path)
        except UnsafeFile as error:
            # Of torch's format before 1.6, two seeds begin with another number than torch writes.
            assert "torch.save did not write" in str(error)  # noqa: PT017


@pytest.mark.parametrize("layout", TABLES)
def test_a_plain_table_of_each_layout_is_read(layout, tmp_path):
    make, config = TABLES[layout]
    text = b"{}" if config is None else str(config).replace("'", '"').encode()
    (tmp_path / "config.json").write_bytes(text)
    path = tmp_path / "model.safetensors"
    path.write_bytes(written({name: ("F32", shape) for name, shape in make().items()}, random.Random(0)))
    judge_model(path)


@pytest.mark.parametrize("architecture", right_cases())
def test_a_right_config_of_each_architecture_is_read(architecture, tmp_path):
    for name, data in right_cases()[architecture].files.items():
        (tmp_path / name).write_bytes(data)
    judge_model(tmp_path / "model.safetensors")


@pytest.mark.parametrize("number", range(30))
def test_the_numbers_of_a_plain_plan_are_those_that_torch_reads(number, tmp_path):
    torch = pytest.importorskip("torch")
    plan = random_plan(random.Random(number))
    plan.protocol = 2
    assembler = Assembler(random.Random(0), 2)
    assembler.usual = True  # torch reads no numbers in text
    (tmp_path / "model.pt").write_bytes(torch_file(assembler.program(plan.table()), plan.records))
    loaded = torch.load(tmp_path / "model.pt", weights_only=True)
    for path, tensor in plan.tensors:
        found = loaded
        for key in path:
            found = found[key]
        (right,) = tensor.right(plan.records)
        if tensor.kind == "I64":
            assert right.values() is None  # no weight: nothing that is read of it is right
        else:
            assert np.array_equal(found.to(torch.float64).numpy(), right.values())


def test_what_the_assembler_writes_is_what_pickle_reads():
    import collections
    import pickle

    value = [None, True, 1, -1, 255, 2**16, 2**31, -(2**40), 2**3000, 0.5, "a", "\u0451" * 300, b"x" * 300, (), (1, 2),
             (1, 2, 3, 4), [1, [2]], {"a": {1: 2}}, "\ud800"]  # fmt: skip
    for protocol in range(6):
        for seed in range(20):
            # Protocols before 3 have no bytes: theirs are texts of Python 2.
            kept = [one for one in value if protocol >= 3 or not isinstance(one, bytes)]
            kept = [one for one in kept if protocol or one != "\ud800"]
            assert pickle.loads(Assembler(random.Random(seed), protocol).program(kept)) == kept
    ordered = Table([("a", 1), ("b", Kept([1], 300))], ordered=True)
    made = pickle.loads(Assembler(random.Random(0), 4).program(ordered))
    assert type(made) is collections.OrderedDict
    assert made == {"a": 1, "b": [1]}
    built = Built(Call(Global("collections", "OrderedDict"), ()), {"numel": 3})
    assert pickle.loads(Assembler(random.Random(0), 2).program(built)).numel == 3


def test_what_the_writer_of_zip_archives_writes_is_what_python_reads(tmp_path):
    path = tmp_path / "a.zip"
    records = [Record(b"a", b"one"), Record(b"b/c", b"two" * 100)]
    data, directory, entries = body(records)
    longer = end64(entries, len(directory), len(data), len(data) + len(directory))
    full = {"entries": 2**16 - 1, "here": 2**16 - 1, "length": 2**32 - 1, "start": 2**32 - 1}
    for whole in (archive(records), data + directory + longer + end(entries, len(directory), len(data), **full)):
        path.write_bytes(whole)
        with zipfile.ZipFile(path) as found:
            assert found.testzip() is None
            assert {name: found.read(name) for name in found.namelist()} == {"a": b"one", "b/c": b"two" * 100}


STORED = np.arange(6, dtype="<f4")


def tensor(shape, strides, offset=0, **more) -> StoredTensor:
    return StoredTensor(STORED.tobytes(), "F32", shape, strides, offset, **more)


@pytest.mark.parametrize(
    ("one", "values"),
    [
        (tensor((2, 3), (3, 1)), [[0, 1, 2], [3, 4, 5]]),
        (tensor((3, 2), (1, 3)), [[0, 3], [1, 4], [2, 5]]),
        (tensor((2, 2), (1, 1), 3), [[3, 4], [4, 5]]),
        (tensor((), (), 5), 5),
        (tensor((3,), (0,), 1), [1, 1, 1]),
        (tensor((2,), (-1,), 1), [1, 0]),
        (tensor((2,), (1,), negated=True), [0, -1]),
        (tensor((0, 2**40), (1, 1)), np.zeros((0, 0))),
        (tensor((2,), (1,), 5), None),
        (tensor((2,), (2**62,)), None),
        (tensor((1,), (1,), -1), None),
        (tensor((2,), ()), None),
    ],
)
def test_the_numbers_of_a_stored_tensor(one, values):
    found = one.values()
    assert (found is None) == (values is None)
    assert values is None or found.size == np.size(values) == 0 or np.array_equal(found, values)


def test_an_answer_must_fit_one_world_as_a_whole():
    """Two readings of a file: either is right, one tensor of each is not."""
    first, second = tensor((1,), (1,), 0), tensor((1,), (1,), 1)
    case = Case({}, "", ({"a": (first,), "b": (first,)}, {"a": (second,), "b": (second,)}))
    zero, one = np.zeros(1), np.ones(1)
    assert wrong_numbers(case, {("a", None): zero, ("b", None): zero}) is None
    assert wrong_numbers(case, {("a", None): one, ("b", None): one}) is None
    assert wrong_numbers(case, {("a", None): zero, ("b", None): one}) is not None


def test_the_kinds_are_looked_for_in_rows_of_the_table():
    assert {kind.parser for kind in KINDS} <= set(PARSERS)
