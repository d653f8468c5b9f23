"""Safetensors files: read exactly, or refused in one clear line."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from archive_files import VALUES, entry, refusal, safetensors_bytes, values_of, write_safetensors
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load, load_file, save, save_file

from mamba_dynamics._errors import CheckpointError, CorruptFile, MissingTensor
from mamba_dynamics.checkpoints.archives import open_archive
from mamba_dynamics.checkpoints.files import WeightFile
from mamba_dynamics.checkpoints.safetensors import BITS

EIGHT = b"\0" * 8


# --- whole files -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_reads_what_the_safetensors_library_wrote(tmp_path, dtype):
    rng = np.random.default_rng(1)
    tensors = {
        "matrix": rng.normal(size=(5, 3)).astype(dtype),
        "scalar": np.asarray(2.5, dtype),
        "empty": np.zeros((0, 4), dtype),
        "extremes": np.array([np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal, np.inf, -0.0], dtype),
    }
    save_file(tensors, tmp_path / "any.safetensors", metadata={"format": "np"})
    archive = open_archive(tmp_path / "any.safetensors")
    assert archive.names == tuple(sorted(tensors))
    assert archive.format == "safetensors"
    for name, expected in tensors.items():
        found = archive.read(name)
        assert archive.shape(name) == found.shape == expected.shape
        assert archive.dtype(name) == {"float64": "F64", "float32": "F32", "float16": "F16"}[dtype]
        assert found.dtype == (np.float64 if dtype == "float64" else np.float32)
        np.testing.assert_array_equal(found, expected)
        assert found.flags.writeable


def test_every_bfloat16_is_read_exactly(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    patterns = np.arange(2**16, dtype="<u2")
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes({"w": entry("BF16", (256, 256), (0, 2**17))}, patterns.tobytes()))
    expected = patterns.view(ml_dtypes.bfloat16).astype(np.float32).reshape(256, 256)
    found = open_archive(path).read("w")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.signbit(found[finite]), np.signbit(expected[finite]))


def test_whole_numbers_are_listed_but_are_no_weights(tmp_path):
    save_file({"steps": np.arange(3, dtype=np.int64)}, tmp_path / "a.safetensors")
    archive = open_archive(tmp_path / "a.safetensors")
    assert archive.dtype("steps") == "I64"
    with pytest.raises(CheckpointError, match=r"'steps'.*'I64'.*F64, F32, BF16, F16"):
        archive.read("steps")


@pytest.mark.parametrize("dtype", BITS)
def test_every_stored_type_has_the_size_the_library_gives_it(tmp_path, dtype):
    path = tmp_path / "a.safetensors"
    for size, whole in ((BITS[dtype], True), (BITS[dtype] + 8, False)):
        data = safetensors_bytes({"a": entry(dtype, (8,), (0, size))}, b"\0" * size)
        path.write_bytes(data)
        if whole:
            assert deserialize(data)[0][1]["dtype"] == dtype
            archive = open_archive(path)
            assert (archive.dtype("a"), archive.shape("a")) == (dtype, (8,))
        else:
            with pytest.raises(SafetensorError):
                deserialize(data)
            refusal(path, CorruptFile)


def test_the_real_layer_reads_as_the_library_reads_it(shared):
    folder = shared / "checkpoints" / "mamba-130m-one-layer"
    archive = open_archive(folder)
    expected = load_file(folder / "model.safetensors")
    assert archive.path == folder / "model.safetensors"
    assert archive.folder == folder
    assert set(archive.names) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(archive.read(name), values)


def test_only_the_rows_asked_for_are_read(tmp_path):
    matrix = np.arange(1000.0).reshape(100, 10)
    save_file({"first": np.ones(7), "matrix": matrix}, tmp_path / "a.safetensors")
    archive = open_archive(tmp_path / "a.safetensors")
    size = (tmp_path / "a.safetensors").stat().st_size
    header = size - 1007 * 8
    assert archive.bytes_total == size
    assert archive.bytes_read == header
    np.testing.assert_array_equal(archive.read("matrix", slice(20, 25)), matrix[20:25])
    assert archive.bytes_read == header + 5 * 10 * 8
    np.testing.assert_array_equal(archive.read("matrix", slice(98, None)), matrix[98:])
    assert archive.bytes_read == header + 7 * 10 * 8
    assert archive.read("matrix", slice(4, 4)).shape == (0, 10)
    archive.read("first")
    archive.read("first")
    assert archive.bytes_read == header + 7 * 10 * 8 + 2 * 7 * 8


@pytest.mark.parametrize("rows", [slice(0, 4), slice(-1, 2), slice(2, 1), slice(0, 3, 2)])
def test_rows_that_do_not_exist_are_refused(tmp_path, rows):
    archive = open_archive(write_safetensors(tmp_path / "a.safetensors", w=VALUES, s=np.asarray(1.0)))
    with pytest.raises(CheckpointError, match=r"'w'.*\[3, 2\]"):
        archive.read("w", rows)
    with pytest.raises(CheckpointError, match="'s'"):
        archive.read("s", slice(0, 1))


def test_an_unknown_name_is_a_missing_tensor(tmp_path):
    archive = open_archive(write_safetensors(tmp_path / "a.safetensors", w=VALUES))
    assert "w" in archive
    assert "v" not in archive
    for ask in (archive.read, archive.shape, archive.dtype):
        with pytest.raises(MissingTensor, match=r"'v\\n'"):
            ask("v\n")


@given(
    shapes=st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=1, max_size=3),
    which=st.integers(0, 2),
    field=st.sampled_from(["begin", "end", "both", "length", "payload"]),
    by=st.sampled_from([0, 0, -4, 4, 1, -1]),
)
@example(shapes=[[0], [2]], which=0, field="both", by=4)
def test_shifted_layouts_are_judged_as_the_library_judges_them(tmp_path_factory, shapes, which, field, by):
    header, position = {}, 0
    for number, shape in enumerate(shapes):
        end = position + 4 * int(np.prod(shape, dtype=int))
        header[f"t{number}"] = entry("F32", shape, (position, end))
        position = end
    offsets = header[f"t{which % len(shapes)}"]["data_offsets"]
    offsets[0] += by if field in ("begin", "both") else 0
    offsets[1] += by if field in ("end", "both") else 0
    header[f"t{which % len(shapes)}"]["shape"] += [max(by, 0)] if field == "length" else []
    data = safetensors_bytes(header, b"\0" * max(position + (by if field == "payload" else 0), 0))
    path = tmp_path_factory.mktemp("fuzz") / "a.safetensors"
    path.write_bytes(data)
    try:
        expected = {name: values.shape for name, values in load(data).items()}
    except SafetensorError:
        with pytest.raises(CorruptFile):
            open_archive(path)
    else:
        archive = open_archive(path)
        assert {name: archive.shape(name) for name in archive.names} == expected


@given(position=st.integers(0, 150), byte=st.integers(0, 255))
def test_a_damaged_header_is_never_accepted_where_the_library_refuses(tmp_path_factory, position, byte):
    data = bytearray(save({"first": np.arange(3.0), "second": np.ones((2, 2), np.float32)}))
    data[position % len(data)] = byte
    path = tmp_path_factory.mktemp("fuzz") / "a.safetensors"
    path.write_bytes(data)
    try:
        expected = load(bytes(data))
    except (SafetensorError, KeyError):
        with pytest.raises(CheckpointError):
            open_archive(path)
        return
    try:
        archive = open_archive(path)
    except CorruptFile:
        return
    assert {name: archive.shape(name) for name in archive.names} == {k: v.shape for k, v in expected.items()}


# --- broken files ------------------------------------------------------------------------------

DEEP = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"

BROKEN = {
    "too short": (b"\1\0\0", "too few"),
    "header beyond the file": (safetensors_bytes({"a": entry()}, EIGHT, claimed_length=5000), "cut short"),
    "header beyond the format": (safetensors_bytes({"a": entry()}, EIGHT, claimed_length=2**40), "100000000"),
    "not JSON": (safetensors_bytes(b'{"a": nonsense}'), "not valid JSON"),
    "not UTF-8": (safetensors_bytes(b'{"\xff": {}}'), "not valid JSON"),
    "NaN": (safetensors_bytes(b'{"a": NaN}'), "NaN"),
    "huge number": (safetensors_bytes(b'{"a": ' + b"9" * 5000 + b"}"), "a number of more than 4300 digits"),
    "leading blank": (safetensors_bytes(b" {}"), "begins with"),
    "list": (safetensors_bytes(b"[]"), "begins with"),
    "deep nesting": (safetensors_bytes(DEEP), "nested too deeply"),
    "duplicate key": (
        safetensors_bytes(b'{"a":%s,"a":%s}' % ((json.dumps(entry()).encode(),) * 2), EIGHT),
        "duplicate key 'a'",
    ),
    "duplicate inner key": (
        safetensors_bytes(b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', EIGHT),
        "duplicate key 'dtype'",
    ),
    "metadata of numbers": (safetensors_bytes({"__metadata__": {"a": 1}}), "__metadata__"),
    "metadata list": (safetensors_bytes({"__metadata__": []}), "__metadata__"),
    "entry is no object": (safetensors_bytes({"a": 1}, EIGHT), "lacks its dtype"),
    "entry without shape": (safetensors_bytes({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, EIGHT), "lacks its"),
    "unknown dtype": (safetensors_bytes({"a": entry("F31")}, EIGHT), "'F31'"),
    "dtype is a list": (safetensors_bytes({"a": entry(["F32"])}, EIGHT), "dtype"),
    "negative length": (safetensors_bytes({"a": entry(shape=(-1, -2))}, EIGHT), "whole numbers"),
    "fractional length": (safetensors_bytes({"a": entry(shape=(2.0,))}, EIGHT), "whole numbers"),
    "true as length": (safetensors_bytes({"a": entry("F64", (True,))}, EIGHT), "whole numbers"),
    "shape is a number": (
        safetensors_bytes({"a": {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}}, EIGHT),
        "whole",
    ),
    "too many axes": (safetensors_bytes({"a": entry(shape=(1,) * 65 + (2,))}, EIGHT), "at most 64"),
    "overflowing shape": (safetensors_bytes({"a": entry(shape=(2**32, 2**32, 2))}, EIGHT), "more than"),
    "overflowing empty shape": (
        safetensors_bytes({"a": entry(shape=(0, 2**40, 2**40), offsets=(0, 0))}),
        "more than",
    ),
    "three offsets": (safetensors_bytes({"a": entry(offsets=(0, 4, 8))}, EIGHT), "two whole numbers"),
    "text offsets": (safetensors_bytes({"a": entry(offsets=("0", "8"))}, EIGHT), "two whole numbers"),
    "negative offset": (safetensors_bytes({"a": entry(offsets=(-8, 0))}, EIGHT), "two whole numbers"),
    "backward offsets": (safetensors_bytes({"a": entry(offsets=(8, 0))}, EIGHT), "bytes 8 to 0"),
    "offsets beyond the payload": (safetensors_bytes({"a": entry(offsets=(0, 16), shape=(4,))}, EIGHT), "cut short"),
    "size against shape": (safetensors_bytes({"a": entry(shape=(3,))}, EIGHT), "does not fill"),
    "half a byte": (safetensors_bytes({"a": entry("F4", (3,), (0, 1))}, b"\0"), "does not fill"),
    "gap at the start": (safetensors_bytes({"a": entry(offsets=(4, 12))}, b"\0" * 12), "gap"),
    "gap between": (
        safetensors_bytes({"a": entry(), "b": entry(offsets=(12, 20))}, b"\0" * 20),
        "gap",
    ),
    "overlap": (safetensors_bytes({"a": entry(), "b": entry(offsets=(4, 12))}, b"\0" * 12), "overlaps"),
    "bytes after the last": (safetensors_bytes({"a": entry()}, b"\0" * 9), "end at byte 8"),
    "payload without tensors": (safetensors_bytes({}, EIGHT), "end at byte 0"),
    "lone surrogate": (safetensors_bytes(b'{"\\ud800":%s}' % json.dumps(entry()).encode(), EIGHT), "Unicode"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_safetensors_file_is_refused(tmp_path, fault):
    data, word = BROKEN[fault]
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    assert word in refusal(path, CorruptFile)


def test_the_base_of_the_broken_files_is_whole(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes({"a": entry(), "b": entry(offsets=(8, 16))}, b"\0" * 16))
    assert values_of(open_archive(path)) == {"a": [0.0, 0.0], "b": [0.0, 0.0]}


def test_names_are_escaped_in_messages(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes({"a\n\x1b[31m\u202e": entry("F31")}, EIGHT))
    assert r"'a\n\x1b[31m\u202e'" in refusal(path, CorruptFile)


def test_claimed_sizes_cost_no_memory(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes({"a": entry(shape=(2**30,), offsets=(0, 2**32))}, EIGHT))
    tracemalloc.start()
    refusal(path, CorruptFile)
    path.write_bytes(safetensors_bytes({"a": entry()}, EIGHT, claimed_length=99_000_000))
    refusal(path, CorruptFile)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


IMPOSTORS = {
    "empty": (b"", CorruptFile, "empty"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", CorruptFile, "lfs pull"),
    "web page": (b"\n<!DOCTYPE html><html><body>404</body></html>", CorruptFile, "web page"),
    "JSON": (b'{"model_type": "mamba"}', CorruptFile, "JSON"),
    "GGUF": (b"GGUF\3\0\0\0" + b"\0" * 20, CorruptFile, "GGUF"),
    "noise": (b"\1\2\3\4\5\6\7\x08\x09\x0a", CorruptFile, r"\x01\x02"),
    "legacy pickle": (b"\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", CorruptFile, "damaged pickle"),
    "tar": (b"sys_info" + b"\0" * 249 + b"ustar\x0000" + b"\0" * 300, CorruptFile, "damaged tar archive"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ""])
@pytest.mark.parametrize("kind", IMPOSTORS)
def test_a_file_of_another_kind_is_named_for_what_it_is(tmp_path, kind, suffix):
    data, error, word = IMPOSTORS[kind]
    if (kind, suffix) == ("noise", ".safetensors"):
        word = "its header claims"
    path = tmp_path / f"model{suffix}"
    path.write_bytes(data)
    assert word in refusal(path, error)


def test_the_content_decides_not_the_suffix(tmp_path):
    archive = open_archive(write_safetensors(tmp_path / "pytorch_model.bin", w=VALUES))
    assert archive.format == "safetensors"
    np.testing.assert_array_equal(archive.read("w"), VALUES)


# --- files that change ---------------------------------------------------------------------------


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4)


def replace(path: Path) -> None:
    # Of the same size and age: only the file itself is another.
    other, before = write_safetensors(path.with_name("other"), w=VALUES + 1), path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, path)


def rewrite(path: Path) -> None:
    before = path.stat()
    write_safetensors(path, w=VALUES + 1)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [cut_short, replace, rewrite, remove])
def test_a_file_changed_after_opening_is_reported(tmp_path, change):
    path = write_safetensors(tmp_path / "a.safetensors", w=VALUES)
    archive = open_archive(path)
    np.testing.assert_array_equal(archive.read("w"), VALUES)
    change(path)
    with pytest.raises(CorruptFile, match="since it was opened"):
        archive.read("w")


def test_a_file_rewritten_while_it_is_read_is_reported(tmp_path):
    path = write_safetensors(tmp_path / "a.safetensors", w=VALUES)
    file = WeightFile.at(path)
    with file.unchanged():
        pass
    with pytest.raises(CorruptFile, match="since it was opened"), file.unchanged():
        rewrite(path)
