"""Files and folders of other kinds, each made here byte by byte: one line that names the kind and the next step."""

import gzip
import io
import json
import lzma
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from archive_files import safetensors_bytes, write_torch_like
from safetensors.numpy import load_file, save, save_file
from small_checkpoints import mamba1, mamba2, write

from mamba_dynamics._errors import CheckpointError, CorruptFile, MissingTensor, UnsafeFile, UnsupportedArchitecture
from mamba_dynamics.checkpoints import open_checkpoint
from mamba_dynamics.checkpoints.file_kinds import KINDS, kind_by_content, kind_by_name

PREFIX = "backbone.layers.0.mixer."


def line(path, error=CheckpointError, **options):
    """The one line with which opening is refused."""
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path, **options)
    assert isinstance(caught.value, error), caught.value
    text = str(caught.value)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 900
    return text


def zip_bytes(*names, compression=zipfile.ZIP_DEFLATED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name in names:
            archive.writestr(name, b"something")
    return packed.getvalue()


def tar_bytes(*names, format=tarfile.PAX_FORMAT):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=format) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 700, 1.5  # a time with a fraction needs a header of its own (PAX)
            archive.addfile(info, io.BytesIO(b"x" * 700))
    return packed.getvalue()


WHOLE = save({"w": np.ones(3, np.float32)})

#: name, bytes, words of the message
FILES = {
    "LFS pointer": ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid", ["LFS", "lfs pull"]),
    "web page": ("model.bin", b"\xef\xbb\xbf\n <!DOCTYPE HTML><html>", ["web page", "download"]),
    "error of a storage": ("m.pt", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', ["XML", "download"]),
    "zeros": ("model.safetensors", bytes(4096), ["zeros", "download"]),
    "empty": ("model.safetensors", b"", ["empty", "download"]),
    "config": ("config.json", b'{"model_type": "mamba"}', ["configuration", "folder"]),
    "tokenizer": ("tokenizer.json", b'{"version": "1.0"}', ["tokenizer", "weights"]),
    "tokenizer config": ("tokenizer_config.json", b" {}", ["tokenizer", "weights"]),
    "adapter config": ("adapter_config.json", b"{}", ["adapter", "folder"]),
    "other JSON": ("model.bin", b'[{"error": "no access"}]', ["JSON", "weight file"]),
    "error as JSON": ("model.safetensors", b'{"error": "Entry not found", "status": 404}', ["JSON", "weight file"]),
    "bzip2": ("m.bz2", b"BZh91AY&SY" + bytes(40), ["bzip2", "unpack"]),
    "RAR": ("m.rar", b"Rar!\x1a\x07\x01\0" + bytes(40), ["RAR", "unpack"]),
    "picture": ("plot.png", b"\x89PNG\r\n\x1a\n" + bytes(40), ["picture"]),
    "table": ("train.parquet", b"PAR1" + bytes(40), ["table of data"]),
    "gradient scaler": ("scaler.pt", b"\1\2\3\4" * 9, ["gradient scaler", "model.safetensors"]),
    "DeepSpeed": ("zero_pp_rank_0_mp_rank_00_optim_states.pt", b"\1\2\3\4" * 9, ["DeepSpeed", "zero_to_fp32.py"]),
    "HDF5 by name": ("tf_model.h5", b"\1\2\3\4" * 9, ["Keras"]),
    "msgpack by name": ("flax_model.msgpack", b"\1\2\3\4" * 9, ["msgpack", "safetensors"]),
    "notebook": ("a.ipynb", b'{"cells": []}', ["notebook"]),
    "sentencepiece": ("tokenizer.model", b"\n\x0e\n\x05<unk>\x15\0", ["tokenizer", "weights"]),
    "GGUF": ("model.gguf", b"GGUF\3\0\0\0" + bytes(40), ["GGUF", "safetensors"]),
    "GGUF under another name": ("model.safetensors", b"GGUF\3\0\0\0" + bytes(40), ["GGUF", "safetensors"]),
    "GGML": ("ggml-model.bin", b"lmgg" + bytes(40), ["GGML", "safetensors"]),
    "HDF5": ("model.bin", b"\x89HDF\r\n\x1a\n" + bytes(40), ["HDF5", "safetensors"]),
    "TensorFlow Lite": ("m.bin", b"\x1c\0\0\0TFL3" + bytes(40), ["TensorFlow Lite", "safetensors"]),
    "TensorRT": ("m.bin", b"ftrt" + bytes(40), ["TensorRT", "safetensors"]),
    "TensorRT by name": ("m.engine", b"\1\2\3\4" + bytes(40), ["TensorRT"]),
    "ONNX": ("m.pt", b"\x08\x08\x12\x07pytorch\x1a\x05" + bytes(9), ["ONNX", "safetensors"]),
    "ONNX by name": ("m.onnx", b"\x0a\x04main\x12", ["ONNX", "safetensors"]),
    "Flax msgpack": ("flax_model.msgpack", b"\x82\xa6params\x81\xa8backbone\x80", ["msgpack", "safetensors"]),
    "Flax without an ending": ("checkpoint", b"\x82\xa6params\x81\xa8backbone\x80", ["msgpack", "Flax"]),
    "TensorFlow index": ("model.ckpt-100.index", b"\0\0\x02\x01\x82" + bytes(9), ["TensorFlow", "safetensors"]),
    "TensorFlow data": ("model.ckpt-100.data-00000-of-00001", b"\1\2\3\4" * 8, ["TensorFlow", "safetensors"]),
    "SavedModel": ("saved_model.pb", b"\x08\x01\x0a\x02" + bytes(9), ["TensorFlow"]),
    "Keras 3": ("m.keras", zip_bytes("metadata.json", "config.json", "model.weights.h5"), ["Keras"]),
    "numpy array": ("x.npy", b"\x93NUMPY\1\0" + bytes(40), ["numpy array", "safetensors"]),
    "gzip": ("model.tar.gz", gzip.compress(b"x" * 99), ["gzip", "unpack"]),
    "xz": ("model.xz", lzma.compress(b"x" * 99), ["xz", "unpack"]),
    "zstd": ("m.zst", b"\x28\xb5\x2f\xfd" + bytes(9), ["Zstandard", "unpack"]),
    "7z": ("m.7z", b"7z\xbc\xaf\x27\x1c" + bytes(9), ["7z", "unpack"]),
    "tar of a checkpoint": ("m.pth.tar", tar_bytes("x.pth"), ["begins with", "neither"]),
    "tar, old style": (
        "m.tar",
        tar_bytes("a/b.bin", "c", "d", "e", format=tarfile.USTAR_FORMAT),
        ["4 files ('a/b.bin', 'c', 'd', 'e')", "unpack"],
    ),
    "tar of GNU": ("m.tar", tar_bytes("d/" * 80 + "w.bin", "c", format=tarfile.GNU_FORMAT), ["tar archive", "'c'"]),
    "zip of a folder": (
        "m.zip",
        zip_bytes("m/model.safetensors", "m/config.json"),
        ["zip", "model.safetensors", "unpack"],
    ),
    "zip of others": ("m.zip", zip_bytes("a.txt", "b.txt"), ["zip archive", "'a.txt'"]),
    "PDF": ("paper.pdf", b"%PDF-1.7 " + bytes(40), ["PDF"]),
    "program": ("run.sh", b"#!/bin/sh\n", ["a program"]),
    "README": ("README.md", b"# Mamba\n\nA model.\n", ["a text"]),
    "unfinished download": ("model.safetensors.incomplete", WHOLE[:-4], ["not finished", "hf download"]),
    "browser's download": ("model.safetensors.crdownload", b"\1\2\3\4" * 9, ["not finished"]),
    "distributed checkpoint": ("__0_0.distcp", zip_bytes("archive/data.pkl")[:60], ["distributed", "dcp_to_torch"]),
    "its metadata": (".metadata", pickle.dumps({"a": CheckpointError}, protocol=2), ["distributed", "dcp_to_torch"]),
    "training arguments": (
        "training_args.bin",
        pickle.dumps(CheckpointError, protocol=2),
        ["arguments", "model.safetensors"],
    ),
    "random states": (
        "rng_state_3.pth",
        pickle.dumps(CheckpointError, protocol=2),
        ["random number", "model.safetensors"],
    ),
    "schedule": ("scheduler.pt", pickle.dumps(CheckpointError, protocol=2), ["schedule", "model.safetensors"]),
    "optimizer": ("optimizer.pt", pickle.dumps(CheckpointError, protocol=2), ["optimizer", "model.safetensors"]),
    "noise": ("m.bin", b"\1\2\3\4\5\6\7\x08\x09\x0a" * 9, [r"\x01\x02", "found neither"]),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_another_kind_is_named_with_the_next_step(tmp_path, kind):
    name, data, words = FILES[kind]
    (tmp_path / name).write_bytes(data)
    text = line(tmp_path / name)
    assert all(word in text for word in words), text


def test_every_row_of_the_table_is_first_for_some_file():
    rows = [kind_by_content(name, data[:512]) or kind_by_name(name) for name, data, _ in FILES.values()]
    rows.append(kind_by_content("a.index.json", b"{}"))  # only as a shard: opened by itself it is read as an index
    assert [kind.says for kind in KINDS if kind not in rows] == []


@pytest.mark.parametrize(
    "name", ["optimizer.safetensors", "rng_state.pth", "model.incomplete", "README.md", "a.engine"]
)
def test_a_model_under_such_a_name_is_read_all_the_same(tmp_path, name):
    write(tmp_path, {PREFIX: mamba1()})
    os.rename(tmp_path / "model.safetensors", tmp_path / name)
    assert len(open_checkpoint(tmp_path / name)) == 1


# --- numpy archives ------------------------------------------------------------------------------------


def model_arrays(separator="."):
    return {f"backbone{separator}layers{separator}0{separator}mixer{separator}{name.replace('.', separator)}": value
            for name, value in mamba1().items()}  # fmt: skip


def program_in(text):
    """The program that a message tells one to run."""
    return text.partition("torch model's names: ")[2]


@pytest.mark.parametrize("separator", [".", "/"])
def test_the_program_that_a_numpy_archive_s_message_shows_makes_a_checkpoint(tmp_path, monkeypatch, separator):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "weights.npz", **model_arrays(separator))
    text = line(tmp_path / "weights.npz", UnsupportedArchitecture)
    assert "numpy archive" in text
    exec(program_in(text), {})
    assert len(open_checkpoint(tmp_path / "model.safetensors")) == 1
    for name, value in load_file(tmp_path / "model.safetensors").items():
        np.testing.assert_array_equal(value, model_arrays()[name])


def test_safetensors_with_names_of_jax(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file(model_arrays("/"), tmp_path / "jax.safetensors")
    text = line(tmp_path / "jax.safetensors", UnsupportedArchitecture)
    assert "slashes" in text
    exec(program_in(text), {})
    assert len(open_checkpoint(tmp_path / "model.safetensors")) == 1


def test_a_flax_tree_needs_more_than_other_separators(tmp_path):
    np.savez(
        tmp_path / "a.npz", **{"params/layers_0/x_proj/kernel": np.ones((2, 2)), "params/layers_0/A_log": np.ones(2)}
    )
    assert "transposed" in line(tmp_path / "a.npz", UnsupportedArchitecture)
    save_file({"params.layers_0.dense.kernel": np.ones((2, 2))}, tmp_path / "b.safetensors")
    assert "JAX" in line(tmp_path / "b.safetensors", UnsupportedArchitecture)


def test_a_hostile_name_is_no_part_of_a_program(tmp_path):
    path = tmp_path / "it's\"); import os; #.npz"
    np.savez(path, **model_arrays())
    text = line(path)
    assert "import os" not in program_in(text)
    assert "numpy.load('FILE')" in text


def test_an_archive_of_numpy_is_loaded_by_numpy_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "weights.npz", **model_arrays("/"))
    (tmp_path / "weights.npz").rename(tmp_path / "weights.bin")
    exec(program_in(line(tmp_path / "weights.bin", UnsupportedArchitecture)), {})
    assert len(open_checkpoint(tmp_path / "model.safetensors")) == 1


def test_a_dump_without_projections_is_told_so(tmp_path):
    np.savez(tmp_path / "a.npz", **{"mixer.A_log": np.ones(2), "mixer.D": np.ones(2)})
    assert "in_proj.weight" in line(tmp_path / "a.npz", MissingTensor)


# --- tensors that are no model's ---------------------------------------------------------------------


def lora(folder, config=None, name="adapter_model.safetensors"):
    names = ("in_proj.lora_A.weight", "in_proj.lora_B.weight", "x_proj.lora_A.weight", "x_proj.lora_B.weight")
    save_file({f"base_model.model.{PREFIX}{one}": np.ones((2, 2), np.float32) for one in names}, folder / name)
    if config is not None:
        (folder / "adapter_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


@pytest.mark.parametrize("given", ["folder", "file"])
def test_an_adapter_says_which_base_it_wants(tmp_path, given):
    lora(tmp_path, {"peft_type": "LORA", "base_model_name_or_path": "state-spaces/mamba-130m-hf"})
    text = line(tmp_path if given == "folder" else tmp_path / "adapter_model.safetensors", UnsupportedArchitecture)
    for word in (
        "adapter",
        "'state-spaces/mamba-130m-hf'",
        "AutoPeftModelForCausalLM.from_pretrained(folder).merge_and_unload()",
    ):
        assert word in text


@pytest.mark.parametrize(
    "config",
    [
        None,
        "{",
        "[]",
        {"base_model_name_or_path": None},
        {"base_model_name_or_path": ["a"]},
        "{" * 2000,
        '{"a":' * 2000,
    ],
)
def test_an_adapter_whose_base_is_not_known(tmp_path, config):
    text = line(lora(tmp_path, config), UnsupportedArchitecture)
    assert "not named" in text
    assert "PeftModel.from_pretrained(base, folder).merge_and_unload()" in text
    assert "base is its base model, loaded" in text


def test_the_base_s_name_is_escaped_and_cut(tmp_path):
    text = line(lora(tmp_path, {"base_model_name_or_path": "a\n\x1b[31m\u202e" + "b" * 5000}), UnsupportedArchitecture)
    assert "\\n\\x1b[31m" in text or "\\u202e" in text


def test_a_prompt_changes_no_weight(tmp_path):
    save_file({"prompt_embeddings": np.ones((2, 2), np.float32)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(
        '{"peft_type": "PROMPT_TUNING", "base_model_name_or_path": "org/base"}'
    )
    text = line(tmp_path, UnsupportedArchitecture)
    assert "'org/base'" in text
    assert "open the base itself" in text
    assert "merge" not in text


@pytest.mark.parametrize(
    "suffix", ["ia3_l", "hada_w1_a", "lokr_w1", "lora_magnitude_vector", "vera_lambda_b", "lora_A"]
)
def test_adapters_of_every_kind(tmp_path, suffix):
    save_file({f"base_model.model.{PREFIX}x_proj.{suffix}": np.ones(2, np.float32)}, tmp_path / "a.safetensors")
    assert "adapter" in line(tmp_path / "a.safetensors", UnsupportedArchitecture)


def test_an_optimizer_s_state_as_safetensors(tmp_path):
    save_file({"state.0.exp_avg": np.ones(2), "state.0.exp_avg_sq": np.ones(2)}, tmp_path / "o.safetensors")
    assert "state of an optimizer" in line(tmp_path / "o.safetensors", UnsupportedArchitecture)
    save_file({"a": np.ones(2)}, tmp_path / "optimizer.safetensors")
    assert "state of an optimizer" in line(tmp_path / "optimizer.safetensors", UnsupportedArchitecture)


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["layers.0.kernel.log_dt", "layers.0.kernel.C", "layers.0.kernel.B"], "S4 layers"),
        (["h.0.attn.q.weight", "h.0.attn.q.lora_A", "h.0.attn.q.lora_B", "h.0.mlp.weight", "wte", "ln"], "attention"),
    ],
)
def test_other_models_with_such_words_in_their_names_stay_what_they_are(tmp_path, names, word):
    save_file({name: np.ones(2, np.float32) for name in names}, tmp_path / "m.safetensors")
    assert word in line(tmp_path / "m.safetensors", UnsupportedArchitecture)


# --- quantised weights ---------------------------------------------------------------------------------


def bits(dtype):
    return lambda value: np.zeros((value.size // 2, 1), dtype)


#: kind -> what the weight becomes (None: it has gone), what lies beside it
QUANTISED = {
    "GPTQ": (None, {"qweight": np.int32, "qzeros": np.int32, "scales": np.float16, "g_idx": np.int32}),
    "AWQ": (None, {"qweight": np.int32, "qzeros": np.int32, "scales": np.float16}),
    "bitsandbytes, 4 bits": (
        np.uint8, {"weight.absmax": np.float32, "weight.quant_map": np.float32,
                   "weight.quant_state.bitsandbytes__nf4": np.uint8},
    ),
    "bitsandbytes, 8 bits": (np.int8, {"SCB": np.float32, "weight_format": np.uint8}),
    "MLX": (np.uint32, {"scales": np.float16, "biases": np.float16}),
    "HQQ": (None, {"W_q": np.uint8, "meta": np.float32}),
    "compressed-tensors": (None, {"weight_packed": np.int32, "weight_scale": np.float16}),
    "whole numbers with scales": (np.int8, {"weight_scale": np.float16}),
}  # fmt: skip


@pytest.mark.parametrize("kind", QUANTISED)
@pytest.mark.parametrize("module", ["x_proj", "in_proj"])
def test_quantised_s6_weights_are_named_for_their_kind(tmp_path, kind, module):
    dtype, beside = QUANTISED[kind]
    layer = mamba1() if module == "x_proj" else mamba2()
    weight = layer.pop(f"{module}.weight")
    if dtype is not None:
        layer[f"{module}.weight"] = bits(dtype)(weight)
    layer |= {f"{module}.{name}": np.ones((2, 2), one) for name, one in beside.items()}
    text = line(write(tmp_path, {PREFIX: layer}))
    assert f"{module}.weight" in text
    assert kind in text
    assert "dequanti" in text or "quantised from" in text


def test_eight_bit_floats_are_named(tmp_path):
    header, payload = {}, b""
    for name, value in mamba1().items():
        dtype, data = ("F8_E4M3", bytes(value.size)) if name == "x_proj.weight" else ("F64", value.tobytes())
        where = [len(payload), len(payload) + len(data)]
        header[PREFIX + name] = {"dtype": dtype, "shape": value.shape, "data_offsets": where}
        payload += data
    scale = {"dtype": "F64", "shape": [1], "data_offsets": [len(payload), len(payload) + 8]}
    header[PREFIX + "x_proj.weight_scale_inv"] = scale
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(header, payload + bytes(8)))
    text = line(tmp_path / "m.safetensors")
    assert "F8_E4M3" in text
    assert "8-bit floating point with scales" in text


def test_quantised_weights_that_are_no_part_of_s6_do_not_matter(tmp_path):
    layer = mamba1()
    del layer["out_proj.weight"]
    layer |= {"out_proj.qweight": np.ones((2, 2), np.int32), "out_proj.scales": np.ones(2, np.float16)}
    assert len(open_checkpoint(write(tmp_path, {PREFIX: layer}))) == 1


# --- folders -------------------------------------------------------------------------------------------

#: names of the files, words of the message
FOLDERS = {
    "distributed": ([".metadata", "__0_0.distcp", "__1_0.distcp"], ["distributed", "dcp_to_torch"]),
    "DeepSpeed": (["zero_to_fp32.py", "latest", "global_step100/"], ["DeepSpeed", "zero_to_fp32.py FOLDER OUT"]),
    "DeepSpeed's inner folder": (
        ["bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"],
        ["DeepSpeed", "zero_to_fp32.py"],
    ),
    "Orbax": (["_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt", "d/"], ["Orbax", "safetensors"]),
    "Flax": (["flax_model.msgpack", "config.json"], ["Flax", "safetensors"]),
    "TensorFlow": (["checkpoint", "m.ckpt-1.index", "m.ckpt-1.data-00000-of-00001"], ["TensorFlow", "safetensors"]),
    "SavedModel": (["saved_model.pb", "variables/"], ["TensorFlow"]),
    "Keras": (["tf_model.h5", "config.json"], ["Keras"]),
    "GGUF": (["mamba-2.8b.Q4_K_M.gguf", "README.md", "config.json"], ["GGUF", "safetensors"]),
    "ONNX": (["model.onnx", "config.json"], ["ONNX"]),
    "MLX": (["weights.npz", "config.json"], ["numpy or MLX", ".npz"]),
    "unfinished": (["model.safetensors.incomplete", "config.json"], ["not finished"]),
    "packed": (["m.tar.gz"], ["packed", "unpack"]),
    "adapter without weights": (["adapter_config.json"], ["adapter"]),
    "config alone": (["config.json", "tokenizer.json"], ["configuration but not its weights", "hf download"]),
    "tokenizer alone": (["tokenizer.json", "vocab.txt"], ["tokenizer but no weights"]),
    "training state": (["optimizer.pt", "scheduler.pt", "rng_state.pth"], ["state of", "model's own weights"]),
    "training arguments": (["training_args.bin"], ["arguments of a training run"]),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_another_kind_is_named_with_the_next_step(tmp_path, kind):
    names, words = FOLDERS[kind]
    for name in names:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_bytes(b"{}")
    text = line(tmp_path)
    assert "no weights in" in text
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    "beside", ["training_args.bin", "m.gguf", "adapter_config.json", "zero_to_fp32.py", ".metadata"]
)
def test_weights_beside_such_files_are_read(tmp_path, beside):
    (tmp_path / beside).write_bytes(b"{}")
    assert len(open_checkpoint(write(tmp_path, {PREFIX: mamba1()}))) == 1


# --- paths ---------------------------------------------------------------------------------------------


def test_a_missing_path_names_what_lies_near_by(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mamba-130m.safetensors").write_bytes(b"")
    text = line(tmp_path / "models" / "mamba-130m.safetensor")
    assert f"did you mean {str(tmp_path / 'models' / 'mamba-130m.safetensors')!r}" in text
    text = line(tmp_path / "model" / "mamba-130m.safetensors")
    assert f"nor a folder {str(tmp_path / 'model')!r}" in text
    assert f"did you mean {str(tmp_path / 'models' / 'mamba-130m.safetensors')!r}" in text
    assert "did you mean" not in line(tmp_path / "entirely" / "else.bin")
    assert "mamba-130m.safetensors'" in line(tmp_path / "models" / "MAMBA-130M.bin")


def test_an_empty_path_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path, {PREFIX: mamba1()}))
    assert len(open_checkpoint(".")) == 1
    assert "empty text" in line("")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("./org/name", "hub was not asked"),
        ("/org/name", "hub was not asked"),
        ("org/name/", "hub was not asked"),
        ("../name", "hub was not asked"),
        ("org/name/model", "hub was not asked"),
        ("org/model.SAFETENSORS", "hub was not asked"),
        ("name", "ORG/NAME"),
        ("org/name@", "hub was not asked"),
        ("org/name@a b", "hub was not asked"),
        ("org name/model", "hub was not asked"),
        ("~/model", "~ is not expanded"),
        ("org\\name", "'org/name'"),
        ("https://huggingface.co/org/name", "by its id: 'org/name'"),
        ("https://huggingface.co/org/name/blob/main/model.safetensors", "by its id: 'org/name'"),
        ("huggingface.co/org/name", "by its id: 'org/name'"),
        ("hf://org/name", "by its id: 'org/name'"),
        ("https://example.org/model.safetensors", "addresses are not opened"),
        ("s3://bucket/model", "addresses are not opened"),
    ],
)
def test_what_can_only_be_a_path_never_asks_the_hub(tmp_path, monkeypatch, path, words):
    def asked(*_):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("mamba_dynamics.checkpoints.hub.import_library", asked)
    monkeypatch.chdir(tmp_path)
    text = line(path)
    assert text.startswith("no checkpoint at ")
    assert "no such file or folder" in text
    assert words in text


def test_messages_of_pickles_still_refuse_to_run_them(tmp_path):
    """A name for the kind is no reason to open it: the class of the error stays."""
    write_torch_like(tmp_path / "scheduler.pt", pickle.dumps(CheckpointError, protocol=2))
    text = line(tmp_path / "scheduler.pt", (UnsafeFile, UnsupportedArchitecture))
    assert "schedule" in text
    (tmp_path / "optimizer.bin").write_bytes(b"\1\2\3\4\5")
    assert "optimizer" in line(tmp_path / "optimizer.bin", CorruptFile)
