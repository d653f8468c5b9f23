"""Torch files: tensors read exactly at any depth; anything else refused before it can do harm."""

import builtins
import os
import pickle
import struct
import sys
import types
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

from mamba_dynamics._errors import CheckpointError, CorruptFile, MissingTensor, UnsafeFile
from mamba_dynamics.checkpoints.archives import open_archive
from mamba_dynamics.checkpoints.files import WeightFile

EMPTY_STATE = pickle.dumps({}, protocol=2)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is an extra, and is not installed here")


# --- without torch -------------------------------------------------------------------------------


def test_a_missing_torch_is_said_with_both_ways_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    message = refusal(write_torch_like(tmp_path / "a.pt", EMPTY_STATE), CheckpointError)
    assert 'pip install "mamba-dynamics[torch]"' in message
    assert "safetensors" in message
    assert "-hf" in message


@pytest.mark.parametrize("version", ["2.9.1", "2.9.1+cu128", "1.13.0", "unknown"])
def test_an_old_torch_is_refused_by_name(tmp_path, monkeypatch, version):
    old = types.ModuleType("torch")
    old.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", old)
    message = refusal(write_torch_like(tmp_path / "a.pt", EMPTY_STATE), CheckpointError)
    assert f"torch {version}" in message
    assert "2.10" in message
    assert 'pip install "mamba-dynamics[torch]"' in message


def test_a_pickle_that_would_run_code_is_refused_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    witness = tmp_path / "witness"
    message = refusal(write_torch_like(tmp_path / "a.pt", pickle_that_runs_code(witness)), UnsafeFile)
    assert "'posix.system'" in message
    assert "torch.save(model.state_dict()" in message
    assert not witness.exists()


@pytest.mark.parametrize("module", ["builtins", "__builtin__"])
def test_a_call_that_allocates_what_the_file_asks_for_is_refused(tmp_path, module):
    bomb = b"\x80\x02c" + module.encode() + b"\nbytearray\n\x8a\x05\0\0\0\0\x01\x85R."
    assert f"'{module}.bytearray'" in refusal(write_torch_like(tmp_path / "a.pt", bomb), UnsafeFile)


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


def no_pickle(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), a=np.ones(3))
    path.with_suffix(".npz").rename(path)


def cut_short(path: Path) -> None:
    write_torch_like(path, EMPTY_STATE)
    os.truncate(path, path.stat().st_size - 10)


def data_after_the_end(path: Path) -> None:
    write_torch_like(path, EMPTY_STATE)
    path.write_bytes(path.read_bytes() + b"\0" * 30)


def broken_directory(path: Path) -> None:
    write_torch_like(path, EMPTY_STATE)
    path.write_bytes(path.read_bytes().replace(b"PK\1\2", b"PK\1\3"))


def claims_more_than_the_file(path: Path) -> None:
    write_torch_like(path, EMPTY_STATE, _0=b"\0" * 64)
    stored = struct.pack("<LL", 64, 64)
    path.write_bytes(path.read_bytes().replace(stored, struct.pack("<LL", 10**9, 10**9)))


def overlapping_records(path: Path) -> None:
    write_torch_like(path, EMPTY_STATE, _0=b"\0" * 4096, _1=b"", _2=b"")
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\1\2")
    first = data.index(b"archive/data/0", start) - 46
    for name in (b"archive/data/1", b"archive/data/2"):
        other = data.index(name, start) - 46
        data[other + 16 : other + 28] = data[first + 16 : first + 28]
        data[other + 42 : other + 46] = data[first + 42 : first + 46]
    path.write_bytes(data)


def damaged_pickle(path: Path) -> None:
    write_torch_like(path, EMPTY_STATE[:-1])


BROKEN = {
    compressed: "compressed",
    two_pickles: "ambiguous",
    other_prefix: "ambiguous",
    no_pickle: "0 records data.pkl",
    cut_short: "cut short",
    data_after_the_end: "does not end like a zip",
    broken_directory: "damaged zip",
    claims_more_than_the_file: "do not fit",
    overlapping_records: "overlap",
    damaged_pickle: "damaged pickle",
}


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.__name__)
def test_a_broken_torch_archive_is_refused_before_torch_sees_it(tmp_path, monkeypatch, fault):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "a.pt"
    fault(path)
    assert BROKEN[fault] in refusal(path, CorruptFile)


def test_a_torchscript_program_is_refused(tmp_path):
    path = write_torch_like(tmp_path / "a.pt", EMPTY_STATE)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/constants.pkl", EMPTY_STATE)
    assert "TorchScript" in refusal(path, UnsafeFile)


def test_the_whole_module_pickle_is_refused_by_the_name_of_its_class(shared):
    message = refusal(shared / "checkpoints" / "ecg-whole-module-pickle.pth", UnsafeFile)
    assert "'src.modules.mamba.MambaBEAT'" in message
    assert "torch.save(model.state_dict()" in message


# --- with torch ----------------------------------------------------------------------------------


def save(torch, path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_every_weight_type_is_read_exactly(torch, tmp_path, dtype):
    stored = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(
        getattr(torch, dtype)
    )
    archive = open_archive(save(torch, tmp_path / "a.pt", {"w": stored, "s": stored[2, 3]}))
    names = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}
    assert archive.format == "torch"
    assert archive.dtype("w") == names[dtype]
    assert archive.shape("w") == (7, 5)
    assert archive.shape("s") == ()
    found = archive.read("w")
    assert found.dtype == (np.float64 if dtype == "float64" else np.float32)
    # Through Python's floats: a path that shares nothing with the conversion under test.
    assert found.tolist() == stored.tolist()
    assert archive.read("s").item() == stored[2, 3].item()
    assert archive.read("w", slice(2, 4)).tolist() == stored[2:4].tolist()


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


def test_views_parameters_and_shared_storage(torch, tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {"transposed": base.T, "strided": base[::2, 1::2], "parameter": torch.nn.Parameter(base),
               "repeated": torch.tensor([5.0]).expand(3), "empty": torch.zeros(0, 3)}  # fmt: skip
    archive = open_archive(save(torch, tmp_path / "a.pt", tensors))
    assert set(archive.names) == set(tensors)
    for name, tensor in tensors.items():
        found = archive.read(name)
        assert found.shape == tuple(tensor.shape)
        assert found.tolist() == tensor.tolist()
        assert found.flags.c_contiguous


def test_a_state_dict_is_found_at_any_depth(torch, tmp_path):
    def w(value: float) -> object:
        return torch.full((2,), float(value))

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
    assert values_of(open_archive(save(torch, tmp_path / "a.ckpt", checkpoint))) == {
        "model.module.layers.0.A_log": [1, 1],
        "model.layers.0.D": [2, 2],
        "ema.shadow.layers.0.A_log": [3, 3],
        "named_optimizer.state.layers.0.A_log.exp_avg": [4, 4],
        "7.A_log": [5, 5],
    }


def test_a_real_optimizer_is_left_out(torch, tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path = save(torch, tmp_path / "a.pt", {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    assert open_archive(path).names == ("model.bias", "model.weight")


def test_a_bare_tensor_has_the_empty_path_and_no_name_is_ambiguous(torch, tmp_path):
    w, v = torch.ones(2), torch.zeros(2)
    assert open_archive(save(torch, tmp_path / "bare.pt", w)).names == ("",)
    assert "'a.b'" in refusal(save(torch, tmp_path / "two.pt", {"a": {"b": w}, "a.b": v}), CorruptFile)
    assert open_archive(save(torch, tmp_path / "same.pt", {"a": {"b": w}, "a.b": w})).names == ("a.b",)


def test_what_is_no_weight_is_listed_or_left_out(torch, tmp_path):
    values = {"steps": torch.arange(3), "flags": torch.tensor([True]), "meta": torch.zeros(3, device="meta")}
    path = save(torch, tmp_path / "a.pt", {name: values[name] for name in ("steps", "flags")})
    archive = open_archive(path)
    assert {name: archive.dtype(name) for name in archive.names} == {"steps": "I64", "flags": "BOOL"}
    with pytest.raises(CheckpointError, match=r"'steps'.*'I64'"):
        archive.read("steps")
    with pytest.raises(MissingTensor, match="'absent'"):
        archive.read("absent")
    assert "_rebuild_meta_tensor" in refusal(save(torch, tmp_path / "b.pt", values), UnsafeFile)


def test_the_real_torch_files_open(torch, shared):
    radio = open_archive(shared / "checkpoints" / "positioning-mamba1-4layer.pt")
    name = "state_dict.backbone.blocks.0.A_log"
    assert radio.shape(name) == (256, 16)
    expected = torch.load(radio.path, weights_only=True, map_location="cpu")["state_dict"]["backbone.blocks.0.A_log"]
    assert radio.read(name).tolist() == expected.tolist()
    images = open_archive(shared / "checkpoints" / "super-resolution-ss2d.pth")
    scans = [name for name in images.names if name.endswith("x_proj_weight")]
    assert len(scans) == 8
    assert {images.shape(name) for name in scans} == {(4, 36, 90)}


def test_a_file_that_would_run_code_does_not(torch, tmp_path):
    witness = tmp_path / "witness"
    path = save(torch, tmp_path / "a.pt", {"w": torch.ones(2), "x": RunsCode(witness)})
    torch.load(path, weights_only=False)
    assert witness.exists(), "the file is harmless: this test shows nothing"
    witness.unlink()
    assert "'posix.system'" in refusal(path, UnsafeFile)
    assert not witness.exists()


def test_torch_s_own_refusal_is_passed_on(torch, tmp_path):
    # A newer protocol hides the names it uses from a reader of the GLOBAL instruction.
    witness = tmp_path / "witness"
    torch.save({"x": RunsCode(witness)}, tmp_path / "a.pt", pickle_protocol=4)
    assert "it uses STACK_GLOBAL" in refusal(tmp_path / "a.pt", UnsafeFile)
    assert not witness.exists()
    # What is let through here, torch may still refuse: an instruction that it does not know.
    path = write_torch_like(tmp_path / "b.pt", b"\x80\x02}20.")
    assert "torch refuses it" in refusal(path, UnsafeFile)


def test_legacy_files_are_refused_with_the_conversion(torch, tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert "torch.save(model.state_dict()" in refusal(tmp_path / "a.pt", UnsafeFile)


def test_no_tensor_reaches_beyond_its_record(torch, tmp_path):
    path = save(torch, tmp_path / "a.pt", {"w": torch.arange(6.0).reshape(2, 3)})

    def longer_storage(data: bytes) -> bytes:
        assert b"cpuq\x06K\x06t" in data
        return data.replace(b"cpuq\x06K\x06t", b"cpuq\x06M\xff\x7ft")

    def wider_view(data: bytes) -> bytes:
        assert b"K\x02K\x03\x86" in data
        return data.replace(b"K\x02K\x03\x86", b"K\x02K\xff\x86")

    assert "outside its record" in refusal(rewrite_pickle(path, tmp_path / "b.pt", longer_storage), CorruptFile)
    assert "torch cannot read" in refusal(rewrite_pickle(path, tmp_path / "c.pt", wider_view), CorruptFile)
    assert open_archive(rewrite_pickle(path, tmp_path / "d.pt", lambda data: data)).names == ("w",)


def test_a_tensor_that_repeats_one_value_costs_no_memory(torch, tmp_path):
    path = save(torch, tmp_path / "a.pt", {"w": torch.ones(1).expand(2**20, 2**20)})
    archive = open_archive(path)
    with pytest.raises(CorruptFile, match=r"claims \d+ bytes"):
        archive.read("w")


def test_containers_without_end_are_refused(torch, tmp_path):
    loop: dict[str, object] = {"w": torch.ones(1)}
    loop["self"] = loop
    doubled: object = {"w": torch.ones(1)}
    for _ in range(60):
        doubled = {"a": doubled, "b": doubled}
    for number, value in enumerate((loop, doubled)):
        path = save(torch, tmp_path / f"{number}.pt", value)
        error = within_seconds(lambda path=path: open_archive(path))
        assert isinstance(error, UnsafeFile)
        assert "without end" in str(error)


def test_deep_nesting_is_no_obstacle(torch, tmp_path):
    # torch.save itself recurses, so the pickle is lengthened by hand.
    path = save(torch, tmp_path / "a.pt", torch.ones(1))
    depth = 5000

    def nested(data: bytes) -> bytes:
        return data[:2] + b"}X\1\0\0\0a" * depth + data[2:-1] + b"s" * depth + b"."

    archive = open_archive(rewrite_pickle(path, tmp_path / "b.pt", nested))
    assert archive.names == (".".join("a" * depth),)


@pytest.mark.parametrize("change", ["cut", "replace", "remove"])
def test_a_torch_file_changed_after_opening_is_reported(torch, tmp_path, change):
    path = save(torch, tmp_path / "a.pt", {"w": torch.ones(5000)})
    archive = open_archive(path)
    if change == "cut":
        os.truncate(path, 100)
    elif change == "replace":
        os.replace(save(torch, tmp_path / "b.pt", {"w": torch.zeros(5000)}), path)
    else:
        path.unlink()
    with pytest.raises(CorruptFile, match="since it was opened"):
        archive.read("w")


def test_a_torch_file_rewritten_while_it_is_read_is_reported(torch, tmp_path, monkeypatch):
    path = save(torch, tmp_path / "a.pt", {"w": torch.ones(5)})
    archive = open_archive(path)
    compare = WeightFile._compare

    def compare_then_touch(self, file):
        compare(self, file)
        os.utime(path, ns=(0, 0))

    monkeypatch.setattr(WeightFile, "_compare", compare_then_touch)
    with pytest.raises(CorruptFile, match="since it was opened"):
        archive.read("w")


def program(name: str, arguments: bytes) -> bytes:
    """A pickle that calls `name` with the arguments of a tuple."""
    return b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n" + arguments + b"R."


GREEDY = {
    "a tensor of a size": program("torch Tensor", b"J\xff\xff\xff\x7f\x85"),
    "a storage of a size": program("torch.storage UntypedStorage", b"J\xff\xff\xff\x7f\x85"),
    "a typed storage": program("torch.storage TypedStorage", b"J\xff\xff\xff\x7f\x85"),
    "a storage class": program("torch FloatStorage", b"J\xff\xff\xff\x7f\x85"),
    "a call through a type": program("torch._tensor _rebuild_from_type_v2", b"(ccollections\nCounter\nNN}t"),
    "a call from the memo": b"\x80\x02ctorch\nFloatStorage\nq\x000h\x00K\x09\x85R.",
    "a call of a container": b"\x80\x02}K\x09\x85R.",
    "copies of a list": b"\x80\x02](" + b"N" * 20_000 + b"eq\x000"
    + b"ccollections\nCounter\nh\x00\x85R0" * 20_000 + b"N.",
    "copies of a state": b"\x80\x02}(" + b"NN" * 20_000 + b"uq\x000"
    + b"ccollections\nOrderedDict\n)Rh\x00b0" * 20_000 + b"N.",
    "empty lists": b"\x80\x02](" + b"]" * 1_000_000 + b"e.",
    "many marks": b"\x80\x02" + b"(" * 1_000_000 + b".",
}  # fmt: skip


@pytest.mark.parametrize("what", GREEDY)
def test_a_pickle_that_asks_for_memory_is_refused_before_torch_sees_it(tmp_path, monkeypatch, what):
    monkeypatch.setitem(sys.modules, "torch", None)
    refusal(write_torch_like(tmp_path / "a.pt", GREEDY[what]), UnsafeFile)


@pytest.mark.parametrize("pickle", [b"\x80\x02R.", b"\x80\x02t.", b"\x80\x020.", b"\x80\x02NQ.", b"\x80\x02q\x00."])
def test_a_pickle_that_takes_what_it_has_not_is_damaged(tmp_path, pickle):
    assert "damaged pickle" in refusal(write_torch_like(tmp_path / "a.pt", pickle), CorruptFile)


def test_a_directory_out_of_proportion_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("archive/data.pkl", EMPTY_STATE)
        for number in range(60_000):
            archive.writestr(f"archive/{number}", b"")
    assert "directory of the zip" in refusal(tmp_path / "a.pt", UnsafeFile)


def test_another_byte_order_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", EMPTY_STATE)
        archive.writestr("archive/byteorder", "big")
    assert "byte order" in refusal(path, CorruptFile)


def test_torch_shards(torch, tmp_path):
    save(torch, tmp_path / "one.bin", {"a": torch.ones(2)})
    save(torch, tmp_path / "two.bin", {"b": torch.zeros(2)})
    write_index(tmp_path / "pytorch_model.bin.index.json", {"a": "one.bin", "b": "two.bin"})
    archive = open_archive(tmp_path)
    assert archive.format == "torch-sharded"
    assert values_of(archive) == {"a": [1, 1], "b": [0, 0]}


def test_shards_of_two_formats_are_refused(torch, tmp_path):
    save(torch, tmp_path / "one.bin", {"a": torch.ones(2)})
    write_safetensors(tmp_path / "two.bin", b=np.ones(2))
    write_index(tmp_path / "pytorch_model.bin.index.json", {"a": "one.bin", "b": "two.bin"})
    assert "several formats" in refusal(tmp_path, CheckpointError)


def test_torch_s_warnings_stay_inside(torch, tmp_path, recwarn):
    torch.save({}, tmp_path / "a.pt", pickle_protocol=3)
    assert open_archive(tmp_path / "a.pt").names == ()
    assert not recwarn.list


def test_nothing_but_torch_files_imports_torch(tmp_path, monkeypatch):
    imported = []
    original = builtins.__import__
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest: imported.append(name) or original(name, *rest))
    open_archive(write_safetensors(tmp_path / "a.safetensors", w=np.ones(2))).read("w")
    assert "torch" not in imported
