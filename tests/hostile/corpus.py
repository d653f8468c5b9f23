"""The corpus of hostile files: each in a folder of its own, with the command that reads it.

    python tests/hostile/corpus.py FOLDER           # write them
    python tests/hostile/corpus.py FOLDER --run     # and run each command as a process: one line, exit 1, time, memory

A case is a function that fills a folder and returns the arguments of `mamba-dynamics`. Files that would be large are
made of zeros or repetitions.
"""

import argparse
import gzip
import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from parsers import _EXPERIMENT, _MAMBA, _MAMBA2, _STUDY, _TOKENIZER, FIXTURES

Case = Callable[[Path], list[object]]
CASES: dict[str, Case] = {}
#: What a case needs beside the package itself.
NEEDS: dict[str, str] = {}


def case(needs: str = ""):
    """Put a function into the corpus."""

    def add(function: Case) -> Case:
        name = function.__name__.strip("_")
        CASES[name] = function
        if needs:
            NEEDS[name] = needs
        return function

    return add


def several(
    prefix: str, table: dict[str, object], make: Callable[[Path, object], list[object]], needs: str = ""
) -> None:
    """A case for each entry of a table."""
    for key, value in table.items():
        CASES[f"{prefix}: {key}"] = lambda folder, value=value: make(folder, value)
        if needs:
            NEEDS[f"{prefix}: {key}"] = needs


# --- safetensors ---------------------------------------------------------------------------------


def header_bytes(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def mamba(E: int, N: int, *, count: int = 1, name: str = "backbone.layers.%d.mixer.") -> bytes:
    """A whole file of layers of zeros with E channels and N states each."""
    header, end = {}, 0
    for i in range(count):
        prefix = name % i if "%d" in name else name
        shapes = {"A_log": [E, N], "x_proj.weight": [1 + 2 * N, E], "dt_proj.weight": [E, 1], "dt_proj.bias": [E]}
        for suffix, shape in shapes.items():
            begin, end = end, end + 2 * int(np.prod(shape))
            header[prefix + suffix] = entry("BF16", shape, [begin, end])
    return header_bytes(header, bytes(end))


EIGHT = bytes(8)
_START = 8 + struct.unpack("<Q", _MAMBA[:8])[0]
_HEADER, _PAYLOAD = _MAMBA[:_START], _MAMBA[_START:]
SAFETENSORS = {
    "empty": b"",
    "seven bytes": b"\1\0\0\0\0\0\0",
    "header longer than the file": struct.pack("<Q", 5000) + b'{"a":1}',
    "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "header of 2^64 - 1 bytes": b"\xff" * 8 + b"{}",
    "no JSON": header_bytes(b"{,}"),
    "header with a BOM": header_bytes(b"\xef\xbb\xbf{}"),
    "header in UTF-16": header_bytes("{}".encode("utf-16")),
    "header in Latin-1": header_bytes(b'{"\xe9":{}}'),
    "nested 100,000 deep": header_bytes(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a number of 100,000 digits": header_bytes(b'{"a":' + b"9" * 100_000 + b"}"),
    "NaN": header_bytes(b'{"a":NaN}'),
    "duplicate tensor": header_bytes(b'{"a":%s,"a":%s}' % ((json.dumps(entry()).encode(),) * 2), EIGHT),
    "duplicate key": header_bytes(b'{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}', EIGHT),
    "negative shape": header_bytes({"a": entry(shape=[-1, -2])}, EIGHT),
    "huge shape": header_bytes({"a": entry(shape=[2**62, 4])}, EIGHT),
    "shape whose product wraps to the size": header_bytes({"a": entry(shape=[2**32, 2**32 + 1])}, EIGHT),
    "shape of floats": header_bytes({"a": entry(shape=[2.0])}, EIGHT),
    "shape of truths": header_bytes({"a": entry("F64", [True])}, EIGHT),
    "shape of 100,000 axes": header_bytes({"a": entry(shape=[1] * 100_000 + [2])}, EIGHT),
    "overlap": header_bytes({"a": entry(), "b": entry(offsets=[4, 12])}, bytes(12)),
    "gap": header_bytes({"a": entry(), "b": entry(offsets=[12, 20])}, bytes(20)),
    "offsets out of range": header_bytes({"a": entry(shape=[4], offsets=[0, 16])}, EIGHT),
    "negative offset": header_bytes({"a": entry(offsets=[-8, 0])}, EIGHT),
    "backward offsets": header_bytes({"a": entry(offsets=[8, 0])}, EIGHT),
    "bytes after the last": header_bytes({"a": entry()}, bytes(9)),
    "dtype mismatch": header_bytes({"a": entry("F64", [2])}, EIGHT),
    "unknown dtype": header_bytes({"a": entry("F128")}, EIGHT),
    "dtype with ANSI escapes": header_bytes({"a": entry("\x1b[2J\x1b[31m")}, EIGHT),
    "name with ANSI escapes": header_bytes({"\x1b]0;owned\x07\x1b[2J": entry("F31")}, EIGHT),
    "name that turns the direction of writing": header_bytes({"\u202egnp.exe\u2066": entry("F31")}, EIGHT),
    "name of line ends": header_bytes({"a\r\nmamba-dynamics: all is well\n": entry("F31")}, EIGHT),
    "name of a lone surrogate": header_bytes(b'{"\\ud800":%s}' % json.dumps(entry()).encode(), EIGHT),
    "name of a megabyte": header_bytes({"x" * 1_000_000: entry("F31")}, EIGHT),
    "no S6 layer, names with markup": header_bytes({"[bold]\x1b[31m<script>": entry()}, EIGHT),
    "layers of zero sizes": mamba(0, 0),
    "100,000 layers": mamba(1, 1, count=100_000),
    "100,000 tensors named A_log": header_bytes({f"{i}.A_log": entry("F32", [0], [0, 0]) for i in range(100_000)}),
    "a layer of 20,000 states": mamba(1, 20_000),
    "a layer out of proportion": mamba(4_000_000, 1),
    "values that overflow": _HEADER + np.full(len(_PAYLOAD) // 4, 1e30, "<f4").tobytes(),
    "all values NaN": _HEADER + b"\xff" * len(_PAYLOAD),
    "a flood of empty lists": header_bytes(b'{"a":[' + b"[]," * 5_000_000 + b"0]}"),
    "a flood of empty tables": header_bytes(b'{"a":[' + b"{}," * 5_000_000 + b"0]}"),
    "a wide character in 40 MB of text": header_bytes(b'{"a":"' + b"x" * 40_000_000 + "\U0001f600".encode() + b'"}'),
    "a web page": b"<!DOCTYPE html><html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a pickle": pickle.dumps({"a": 1}),
}  # fmt: skip


def _safetensors(folder: Path, data: object) -> list[object]:
    (folder / "model.safetensors").write_bytes(data)  # type: ignore[arg-type]
    return ["classify", folder / "model.safetensors"]


several("safetensors", SAFETENSORS, _safetensors)


# --- folders, links, indexes ---------------------------------------------------------------------


@case()
def a_named_pipe(folder: Path) -> list[object]:
    os.mkfifo(folder / "model.safetensors")
    return ["classify", folder]


@case()
def a_named_pipe_as_config(folder: Path) -> list[object]:
    (folder / "model.safetensors").write_bytes(_MAMBA)
    os.mkfifo(folder / "config.json")
    return ["classify", folder]


@case()
def a_device(folder: Path) -> list[object]:
    return ["classify", "/dev/zero"]


@case()
def a_link_to_a_device(folder: Path) -> list[object]:
    (folder / "model.safetensors").symlink_to("/dev/zero")
    return ["classify", folder]


@case()
def a_link_out_of_the_folder(folder: Path) -> list[object]:
    (folder / "inner").mkdir()
    (folder / "model.safetensors").write_bytes(_MAMBA)
    (folder / "inner" / "model.safetensors").symlink_to("../model.safetensors")
    return ["classify", folder / "inner"]


@case()
def a_loop_of_links(folder: Path) -> list[object]:
    (folder / "model.safetensors").symlink_to("model.safetensors")
    return ["classify", folder]


@case()
def a_config_that_links_out(folder: Path) -> list[object]:
    (folder / "model.safetensors").write_bytes(_MAMBA)
    (folder / "config.json").symlink_to("/etc/passwd")
    return ["classify", folder]


INDEXES = {
    "shard above the folder": {"a": "../model.safetensors"},
    "absolute shard": {"a": "/etc/passwd"},
    "shard with a NUL": {"a": "x\0y"},
    "shard that is the index": {"a": "model.safetensors.index.json"},
    "shard that is missing": {"a": "gone.safetensors"},
    "shard that is a number": {"a": 1},
    "no shards": {},
    "shard of a strange name": {"a": "\u202e\x1b[31m"},
    "a table of tables": {"a": {"b": {}}},
}


def _index(folder: Path, table: object) -> list[object]:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    return ["classify", folder]


several("index", INDEXES, _index)

CONFIGS = {
    "a list": b"[]",
    "empty": b"",
    "with a BOM": b'\xef\xbb\xbf{"model_type": "mamba"}',
    "in UTF-16": '{"model_type": "mamba"}'.encode("utf-16"),
    "nested 100,000 deep": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a size that is text": b'{"model_type": "mamba", "hidden_size": "16"}',
    "a size that is true": b'{"model_type": "mamba", "hidden_size": true}',
    "a size that is negative": b'{"model_type": "mamba", "hidden_size": -16}',
    "a size that is a float": b'{"model_type": "mamba", "hidden_size": 16.0}',
    "a size of 5,000 digits": b'{"model_type": "mamba", "hidden_size": %s}' % (b"9" * 5000),
    "a size of 4,000 digits": b'{"model_type": "mamba", "hidden_size": %s}' % (b"9" * 4000),
    "a size that is NaN": b'{"model_type": "mamba", "hidden_size": NaN}',
    "another size": b'{"model_type": "mamba", "hidden_size": 24}',
    "expand that overflows": b'{"model_type": "mamba", "hidden_size": 16, "expand": 1e308}',
    "expand beyond float64": b'{"model_type": "mamba", "hidden_size": 16, "expand": 1%s}' % (b"0" * 400),
    "a limit of step sizes beyond float64": b'{"model_type": "mamba2", "time_step_limit": [0, 1%s]}' % (b"0" * 400),
    "a model type that is a table": b'{"model_type": {"mamba": 1}}',
    "another model type": b'{"model_type": "mamba2"}',
    "another number of layers": b'{"model_type": "mamba", "num_hidden_layers": 100000}',
    "11 MB": b'{"a":"' + b"x" * 11_000_000 + b'"}',
    "a flood of empty lists": b'{"a":[' + b"[]," * 3_000_000 + b"0]}",
}  # fmt: skip


def _config(folder: Path, data: object) -> list[object]:
    (folder / "model.safetensors").write_bytes(_MAMBA)
    (folder / "config.json").write_bytes(data)  # type: ignore[arg-type]
    return ["classify", folder]


several("config", CONFIGS, _config)


@case()
def a_config_of_infinite_sizes(folder: Path) -> list[object]:
    (folder / "model.safetensors").write_bytes(_MAMBA2)
    values = json.loads((FIXTURES / "mamba2" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"time_step_limit": [float("inf"), 0.0]}))
    return ["classify", folder]


# --- torch ---------------------------------------------------------------------------------------


class _RunsCode:
    def __reduce__(self):
        return os.system, ("touch hostile-witness",)


def zip_bytes(records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return out.getvalue()


def torch_bytes(data_pkl: bytes, **records: bytes) -> bytes:
    return zip_bytes({"a/data.pkl": data_pkl, "a/version": b"3\n"} | {f"a/data/{k[1:]}": v for k, v in records.items()})


TORCH = {
    "that runs code": torch_bytes(pickle.dumps({"w": _RunsCode()}, 2)),
    "that runs code by a newer protocol": torch_bytes(pickle.dumps({"w": _RunsCode()}, 4)),
    "an old pickle that runs code": pickle.dumps(_RunsCode(), 2),
    "a tensor of 8 GB": torch_bytes(b"\x80\2ctorch\nTensor\nJ\xff\xff\xff\x7f\x85R."),
    "a storage of 2 GB": torch_bytes(b"\x80\2ctorch.storage\nUntypedStorage\nJ\xff\xff\xff\x7f\x85R."),
    "copies of a list": torch_bytes(
        b"\x80\2](" + b"N" * 20_000 + b"eq\0000" + b"ccollections\nCounter\nh\0\x85R0" * 20_000 + b"N."
    ),
    "a flood of empty lists": torch_bytes(b"\x80\2](" + b"]" * 3_000_000 + b"e."),
    "a program of TorchScript": zip_bytes({"a/data.pkl": b"}.", "a/constants.pkl": b"}."}),
    "compressed": zip_bytes({"a/data.pkl": pickle.dumps({}, 2), "a/data/0": bytes(10_000_000)}, zipfile.ZIP_DEFLATED),
    "a directory of 60,000 records": zip_bytes({"a/data.pkl": b"}."} | {f"a/{i}": b"" for i in range(60_000)}),
    "cut short": torch_bytes(b"}.")[:-10],
    "two pickles": zip_bytes({"a/data.pkl": b"}.", "b/data.pkl": b"}."}),
    "records of names that lead out": zip_bytes({"a/data.pkl": b"}.", "../../x": b""}),
}  # fmt: skip


def _torch(folder: Path, data: object) -> list[object]:
    (folder / "model.pt").write_bytes(data)  # type: ignore[arg-type]
    return ["classify", folder / "model.pt"]


several("torch", TORCH, _torch)


# --- arrays --------------------------------------------------------------------------------------


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin1")
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


def saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


TOKENS = {
    "objects that run code": saved(np.array([_RunsCode()], dtype=object)),
    "a shape of 10^12": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"),
    "a negative shape": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
    "a shape that is text": npy("{'descr': '<f8', 'fortran_order': False, 'shape': 'x', }"),
    "a shape of many digits": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }" % ("9" * 4000)),
    "numbers of 10^9 bytes": npy("{'descr': '|V1000000000', 'fortran_order': False, 'shape': (9,), }"),
    "a header that calls": npy("__import__('os').system('touch hostile-witness')"),
    "a header nested deep": npy("(" * 9000),
    "a header that is no Python": npy("{'descr': '<f8', 'fortran_order':"),
    "cut short": saved(np.ones((3, 32)))[:-8],
    "NaN": saved(np.full((3, 32), np.nan)),
    "complex numbers": saved(np.ones((3, 32), complex)),
    "texts": saved(np.full((3, 32), "a")),
    "another width": saved(np.ones((3, 7))),
    "one axis too many": saved(np.ones((1, 3, 32))),
    "no tokens": saved(np.ones((0, 32))),
    "no array": b"hello",
    "an axis that is a truth": npy("{'descr':'<f8','fortran_order':False,'shape':(True,1)}\n", bytes(8)),
    "a huge axis beside an empty one": npy("{'descr':'<f8','fortran_order':False,'shape':(0,4611686018427387904)}\n"),
    "a signalling NaN": npy("{'descr':'<f4','fortran_order':False,'shape':(1,1)}\n", b"\1\0\xa0\x7f"),
    "sizes whose product overflows": npy("{'descr':'<f8','fortran_order':False,'shape':(4294967296,4294967297)}\n"),
    "a thousand axes": npy("{'descr':'<f8','fortran_order':False,'shape':(%s)}\n" % ("1," * 1000)),
    "fields": npy("{'descr':[('a','<f8')],'fortran_order':False,'shape':(1,1)}\n", bytes(8)),
    "an escape of Python": npy("{'descr':'\\d','fortran_order':False,'shape':(1,1)}\n", bytes(8)),
}  # fmt: skip


def _tokens(folder: Path, data: object) -> list[object]:
    (folder / "model.safetensors").write_bytes(_MAMBA)
    (folder / "x.npy").write_bytes(data)  # type: ignore[arg-type]
    return ["classify", folder, "--tokens", folder / "x.npy", "--layer", "0"]


several("tokens", TOKENS, _tokens)


def layer(**changes: object) -> dict[str, bytes]:
    arrays = {"S_B": np.eye(2), "S_C": np.eye(2), "S_Delta": np.eye(2), "a": np.ones((2, 2))} | changes
    return {f"{key}.npy": value if isinstance(value, bytes) else saved(value) for key, value in arrays.items()}  # type: ignore[arg-type]


def _npz(records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    return zip_bytes(records, compression)


LAYERS = {
    "a zip bomb": _npz(layer(S_B=saved(np.zeros((10_000_000, 2)))), zipfile.ZIP_DEFLATED),
    "a shape of 10^12": _npz(layer(S_B=npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"))),
    "objects": _npz(layer(S_B=saved(np.array([_RunsCode()], dtype=object)))),
    "shapes that do not fit": _npz(layer(S_C=np.ones((5, 7)))),
    "rates that overflow": _npz({k: v for k, v in layer(A_log=np.full((2, 2), 1e3)).items() if k != "a.npy"}),
    "a part missing": _npz({"S_B.npy": saved(np.eye(2))}),
    "cut short": _npz(layer())[:-30],
}  # fmt: skip


def _layer(folder: Path, data: object) -> list[object]:
    (folder / "layer.npz").write_bytes(data)  # type: ignore[arg-type]
    (folder / "x.npy").write_bytes(saved(np.ones((1, 2))))
    return ["simulate", "--layer", folder / "layer.npz", "--x0", folder / "x.npy"]


several("layer", LAYERS, _layer)


# --- texts and tokenizers ------------------------------------------------------------------------


@case()
def a_text_in_UTF_16(folder: Path) -> list[object]:
    (folder / "text.txt").write_bytes("a text".encode("utf-16"))
    return ["classify", "--text-file", folder / "text.txt"]


@case()
def a_text_that_is_a_pipe(folder: Path) -> list[object]:
    os.mkfifo(folder / "text.txt")
    return ["classify", "--text-file", folder / "text.txt"]


@case()
def a_text_that_is_a_device(folder: Path) -> list[object]:
    return ["classify", "--text-file", "/dev/zero"]


@case()
def a_text_of_20_MB(folder: Path) -> list[object]:
    (folder / "text.txt").write_bytes(b"x" * 20_000_000)
    return ["classify", "--text-file", folder / "text.txt"]


@case()
def an_empty_text(folder: Path) -> list[object]:
    (folder / "text.txt").write_bytes(b"")
    return ["classify", "--text-file", folder / "text.txt"]


def tokenizer(**changes: object) -> bytes:
    return json.dumps(json.loads(_TOKENIZER) | changes).encode()


def replace(pattern: object, content: str) -> dict[str, object]:
    return {"type": "Replace", "pattern": pattern, "content": content}


TOKENIZERS = {
    "no JSON": b"{",
    "empty": b"",
    "nested deep": b'{"a":' + b"[" * 100_000,
    "of the wrong shape": b'{"model": []}',
    "that doubles a text 40 times": tokenizer(
        normalizer={"type": "Sequence", "normalizers": [replace({"String": "a"}, "aa")] * 40}
    ),
    "a rule that does not parse": tokenizer(normalizer=replace({"Regex": "(("}, "")),
}  # fmt: skip


def _tokenizer(folder: Path, data: object) -> list[object]:
    from mamba_dynamics.sample import sample_path

    for file in Path(sample_path()).iterdir():
        if file.name in ("model.safetensors", "config.json"):
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "tokenizer.json").write_bytes(data)  # type: ignore[arg-type]
    return ["classify", folder, "--text", "banana", "--integrate", "0"]


several("tokenizer", TOKENIZERS, _tokenizer, needs="tokenizers")


# --- training ------------------------------------------------------------------------------------

SPECS = {
    "no TOML": b"[[[",
    "nested deep": b"a = " + b"[" * 5000,
    "a dotted key of 20,000 parts": b"a" + b".a" * 20_000 + b" = 1",
    "a number of 5,000 digits": b"seed = " + b"9" * 5000,
    "in UTF-16": "seed = 1".encode("utf-16"),
    "with a BOM": b"\xef\xbb\xbfseed = 1",
    "300 kB": b"# comment\n" * 30_000,
    "a task that is a number": b"task = 3\n",
    "a key that is strange": b'"\\u202e\\u001b[31m" = 3\n',
    "a width of 10^12": _EXPERIMENT.replace(b"width = 8", b"width = 1000000000000"),
    "no states": _EXPERIMENT.replace(b"[recipe]", b"states = 0\n[recipe]"),
    "a scale that is NaN": _EXPERIMENT.replace(b"[recipe]", b"scale = nan\n[recipe]"),
    "10^9 seeds": _STUDY.replace(b"seeds = 2", b"seeds = 1000000000"),
    "arms that are a number": _STUDY[: _STUDY.index(b"[arms")] .replace(b"seeds = 2", b"arms = 2"),
    "a decay of 10^308": _EXPERIMENT.replace(b"[recipe]", b"[recipe]\ndecay = 1e308"),
    "a clip beyond float32": _EXPERIMENT.replace(b"[recipe]", b"[recipe]\nclip = 1e39"),
    "weights of 10^14 bytes": _EXPERIMENT.replace(b"width = 8", b"width = 1000000"),
    "passes of a million layers": _EXPERIMENT.replace(b"[recipe]", b"repeats = 10000000\n[recipe]"),
    "an arm that leads out of the folder": _STUDY.replace(b"[arms.plain]", b'[arms."../plain"]'),
}  # fmt: skip


def _spec(folder: Path, data: object) -> list[object]:
    (folder / "spec.toml").write_bytes(data)  # type: ignore[arg-type]
    return ["train", folder / "spec.toml", "--out", folder / "run"]


several("spec", SPECS, _spec, needs="optax")

_FIXED = b"[fixed]\na=1.0\nx0=0.5\n"
SWEEPS = {
    "an axis of 1.2 GB": _FIXED + b"s_delta=-1.0\n[grid]\nmu={linspace=[-1,1,150000000]}",
    "1.5 * 10^8 random cells": _FIXED + b"s_delta=-1.0\n[random]\ncells=150000000\nmu={uniform=[-1,1]}",
    "4096 columns": b"[fixed]\na=1.0\ns_delta=-1.0\nmu=1.0\nL=4096\n[random]\ncells=50000\nx0={uniform=[-1,1]}",
    "4 * 10^6 chunks": b"chunk=1\n" + _FIXED + b"[grid]\nmu={linspace=[-1,1,2000]}\ns_delta={linspace=[-1,1,2000]}",
    "10^20 cells": _FIXED + b"[grid]\nmu={linspace=[-1,1,10000000000]}\ns_delta={linspace=[-1,1,10000000000]}",
    "70 axes": _FIXED + b"s_delta=1.0\n[grid]\n" + b"\n".join(b"mu_%d=[1.0]" % i for i in range(1, 71)),
}  # fmt: skip


def _sweep(folder: Path, data: object) -> list[object]:
    (folder / "spec.toml").write_bytes(data)  # type: ignore[arg-type]
    return ["sweep", folder / "spec.toml", "--out", folder / "store"]


several("sweep", SWEEPS, _sweep, needs="zarr")

_TEXTS = b'title = "t"\n[task]\nname = "bytes"\ntraining = "%s"\nlengths = [8]\n[recipe]\nsteps = 2\nwarmup = 0\n'
_IMAGES = b'title = "t"\n[task]\nname = "images"\nbatch = 1\ntraining_images = 1\n[recipe]\nsteps = 2\nwarmup = 0\n'


@case(needs="optax")
def training_data_above_the_folder(folder: Path) -> list[object]:
    (folder / "data").mkdir()
    (folder / "secret.txt").write_bytes(b"secret" * 1000)
    (folder / "spec.toml").write_bytes(_TEXTS % b"../secret.txt")
    return ["train", folder / "spec.toml", "--data", folder / "data", "--out", folder / "run"]


@case(needs="optax")
def training_data_of_an_absolute_path(folder: Path) -> list[object]:
    (folder / "data").mkdir()
    (folder / "spec.toml").write_bytes(_TEXTS % b"/etc/passwd")
    return ["train", folder / "spec.toml", "--data", folder / "data", "--out", folder / "run"]


def _images(folder: Path, images: bytes) -> list[object]:
    (folder / "data").mkdir()
    (folder / "data" / "images-idx3-ubyte.gz").write_bytes(images)
    (folder / "data" / "labels-idx1-ubyte").write_bytes(b"\0\0\x08\1" + struct.pack(">I", 2) + b"\0\1")
    (folder / "spec.toml").write_bytes(_IMAGES)
    return ["train", folder / "spec.toml", "--data", folder / "data", "--out", folder / "run"]


IMAGES = {
    "a bomb of 800 MB": gzip.compress(b"\0\0\x08\3" + struct.pack(">3I", 800_000, 32, 32) + bytes(1_000_000), 1),
    "a shape of 2^96": b"\0\0\x08\3" + b"\xff" * 12,
    "cut short": gzip.compress(b"\0\0\x08\3" + struct.pack(">3I", 2, 28, 28) + bytes(100), 1),
    "packed bytes damaged": gzip.compress(bytes(1000), 1)[:20] + b"\xff" * 20,
    "no axes": b"\0\0\x08\0",
    "images without pixels": b"\0\0\x08\3" + struct.pack(">3I", 2, 0, 0),
}


several("images", IMAGES, _images, needs="optax")  # type: ignore[arg-type]


@case(needs="optax")
def images_that_are_a_pipe(folder: Path) -> list[object]:
    arguments = _images(folder, b"")
    (folder / "data" / "images-idx3-ubyte.gz").unlink()
    os.mkfifo(folder / "data" / "images-idx3-ubyte.gz")
    return arguments


@case(needs="optax")
def images_that_link_out(folder: Path) -> list[object]:
    arguments = _images(folder, b"")
    (folder / "data" / "images-idx3-ubyte.gz").unlink()
    (folder / "data" / "images-idx3-ubyte.gz").symlink_to("/etc/passwd")
    return arguments


RUNS = {
    "no JSON": b"{",
    "a list": b"[]",
    "another run": b'{"seed": 1}',
    "nested deep": b"[" * 100_000,
    "keys of line ends": b'{"a\\r\\nb": 1}',
}


def _run(folder: Path, data: object) -> list[object]:
    (folder / "spec.toml").write_bytes(_EXPERIMENT)
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_bytes(data)  # type: ignore[arg-type]
    return ["train", folder / "spec.toml", "--out", folder / "run"]


several("run", RUNS, _run, needs="optax")


def build(folder: Path) -> dict[str, list[str]]:
    """Write the corpus; the arguments of every case."""
    commands = {}
    for number, (name, make) in enumerate(CASES.items()):
        place = folder / f"{number:03}"
        place.mkdir(parents=True)
        commands[name] = [str(argument) for argument in make(place)]
    return commands


def _run_all(commands: dict[str, list[str]]) -> int:
    faults = 0
    for name, arguments in commands.items():
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as here:
            done = subprocess.run(
                [sys.executable, "-m", "mamba_dynamics", *arguments],
                capture_output=True,
                text=True,
                cwd=here,
                timeout=300,
            )
            witness = os.listdir(here)
        lines = done.stderr.splitlines()
        said = not done.stdout or "unreadable" in done.stdout
        shown = not done.stdout or "unreadable" in done.stdout
        good = done.returncode == 1 and len(lines) == 1 and shown and not witness
        faults += not good
        said = f"{name}: {lines[-1][:160] if lines else ''}"
        print(f"{'ok ' if good else 'BAD'} {time.monotonic() - began:6.1f} s  {said}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    print(f"{len(commands)} cases, {faults} bad; the largest process had {peak:.0f} MB")
    return 1 if faults else 0


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--run", action="store_true", help="run each command as a process")
    given = options.parse_args()
    commands = build(given.folder)
    (given.folder / "commands.json").write_text(json.dumps(commands, indent=1))
    return _run_all(commands) if given.run else 0


if __name__ == "__main__":
    sys.exit(main())
