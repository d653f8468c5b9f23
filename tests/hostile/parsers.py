"""The table of everything that reads a user's file: how a valid one looks, how it is damaged, how it is read.

A new reader gets a row in PARSERS; the fuzzer, its test and the coverage-guided driver take it from there.
"""

import contextlib
import gzip
import io
import json
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mutations import damage_bytes, damage_json, damage_lines, damage_text, in_gzip, in_safetensors, in_zip
from parser_row import Parser as Parser
from written_anew import WRITTEN_ANEW

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "checkpoints"))
FIXTURES = TESTS / "fixtures"


def _safetensors(**tensors: tuple[str, tuple[int, ...]]) -> bytes:
    bits = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8}
    header, payload = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape) in tensors.items():
        data = np.linspace(0.1, 1.0, int(np.prod(shape))).astype(np.float64).tobytes()
        data = (data * bits[dtype])[: int(np.prod(shape)) * bits[dtype]]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(payload), len(payload) + len(data)]}
        payload += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def _torch_file() -> bytes:
    """A state dict of two tensors as torch writes it, made without torch."""

    def tensor(key: str, count: int) -> bytes:
        storage = b"(X\7\0\0\0storagectorch\nFloatStorage\nX%bX\3\0\0\0cpuK%ctQ" % (_text(key), count)
        return (
            b"ctorch._utils\n_rebuild_tensor_v2\n("
            + storage
            + b"K\0K%c\x85K\1\x85\x89ccollections\nOrderedDict\n)RtR" % count
        )

    def _text(word: str) -> bytes:
        return len(word).to_bytes(4, "little") + word.encode()

    dictionary = b"\x80\2ccollections\nOrderedDict\n)R(X\5\0\0\0A_log" + tensor("0", 4) + b"X\1\0\0\0D" + tensor("1", 2)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/data.pkl", dictionary + b"u.")
        archive.writestr("a/byteorder", "little")
        for key, count in (("0", 4), ("1", 2)):
            archive.writestr(f"a/data/{key}", np.ones(count, "<f4").tobytes())
        archive.writestr("a/version", "3\n")
    return out.getvalue()


def _saved(save: Callable, *arguments, **arrays) -> bytes:
    out = io.BytesIO()
    save(out, *arguments, **arrays)
    return out.getvalue()


def _idx(*shape: int) -> bytes:
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(int(np.prod(shape)))


def _read_archive(path: Path) -> None:
    from mamba_dynamics._errors import CheckpointError
    from mamba_dynamics.checkpoints.archives import open_archive

    archive = open_archive(path)
    for name in archive.names[:20]:
        with contextlib.suppress(CheckpointError):
            archive.read(name)


def _judge(path: Path) -> None:
    from mamba_dynamics import weights_verdict
    from mamba_dynamics.checkpoints import open_checkpoint

    checkpoint = open_checkpoint(path.parent)
    weights_verdict(checkpoint.layer(0))


def _read_checkpoint(path: Path) -> None:
    from mamba_dynamics._errors import MambaDynamicsError
    from mamba_dynamics.checkpoints import open_checkpoint
    from mamba_dynamics.checkpoints.language_model import language_model_weights

    checkpoint = open_checkpoint(path if path.suffix == ".safetensors" else path.parent)
    for index in range(min(len(checkpoint), 2)):
        checkpoint.layer(index)
    with contextlib.suppress(MambaDynamicsError):
        language_model_weights(checkpoint).block(0)


def _read_layer(path: Path) -> None:
    from mamba_dynamics.cli.arrays import read_layer

    read_layer(path)


def _read_tokens(path: Path) -> None:
    from mamba_dynamics.cli.arrays import read_tokens

    read_tokens(path)


def _read_text(path: Path) -> None:
    from mamba_dynamics.cli.text import read_text

    read_text(path)


def _read_data(path: Path) -> None:
    from mamba_dynamics.training.text import read_bytes

    read_bytes(path.parent)


def _read_images(path: Path) -> None:
    from mamba_dynamics.training.images import mnist

    mnist(path.parent, side=2, training=1, batch_size=1, seed=0)


def _read_spec(path: Path) -> None:
    from mamba_dynamics.training.experiment import read_experiment
    from mamba_dynamics.training.study import is_study, read_study

    if is_study(path):
        read_study(path)
    else:
        read_experiment(path)


def _read_sweep(path: Path) -> None:
    from mamba_dynamics.sweeps.spec import read_sweep

    read_sweep(path)


def _read_run(path: Path) -> None:
    from mamba_dynamics.training.run_folder import RunFolder

    folder = RunFolder(path.parent, {"seed": 0, "model": {"width": 4}})
    folder.restore({"weight": np.zeros((2, 3), np.float32), "step": 0})
    folder.records()


def _read_cache(path: Path) -> None:
    from mamba_dynamics.checkpoints.archives import open_archive

    open_archive(path.parent.parent)


def _read_tokenizer(path: Path) -> None:
    from mamba_dynamics.checkpoints.tokenizer import JsonTokenizer

    one = JsonTokenizer(path.read_bytes().decode("utf-8", "replace"), "tokenizer.json")
    one.ids("low lower")
    one.pieces(np.array([0, 5]))


_MAMBA = (FIXTURES / "mamba" / "model.safetensors").read_bytes()
_MAMBA2 = (FIXTURES / "mamba2" / "model.safetensors").read_bytes()
_TWO = _safetensors(a=("F32", (2, 3)), b=("BF16", (4,)), c=("F16", ()), d=("I64", (2,)))
_LAYER = {
    "S_B": np.eye(2, 3), "S_C": np.eye(2, 3).astype(np.float32), "dt_up": np.ones((3, 1)),
    "dt_down": np.ones((1, 3), np.float16), "A_log": np.zeros((3, 2)), "dt_bias": np.zeros(3, "<i4"),
}  # fmt: skip
_STUDY = b"""title = "t"
seeds = 2
[task]
name = "induction-heads"
length = 16
[model]
width = 8
[recipe]
steps = 3
warmup = 1
betas = [0.9, 0.95]
[arms.plain]
[arms.positive]
"model.sign" = "positive"
[[contrasts]]
arm = "positive"
against = "plain"
expects = "better"
"""
_SWEEP = b"""seed = 1
chunk = 4
[fixed]
L = 3
[grid]
s_delta = [0.5, -0.5]
dt_bias = {linspace = [-2.0, 2.0, 3]}
[random]
cells = 4
design = "sobol"
mu = {uniform = [-2.0, 2.0]}
a = {log_uniform = [0.05, 2.0]}
x0 = {normal = [0.0, 1.0]}
"""
_EXPERIMENT = _STUDY[: _STUDY.index(b"[arms")].replace(b"seeds", b"seed")
_TOKENIZER = json.dumps(
    {
        "version": "1.0", "added_tokens": [], "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None, "truncation": None,
        "padding": None,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False,
            "vocab": {"l": 0, "o": 1, "w": 2, "e": 3, "r": 4, "lo": 5}, "merges": ["l o"],
        },
    }
).encode()  # fmt: skip
_RECORDS = b"".join(
    json.dumps({"step": step, "bits": 1.5, "layers": [{"m": [1, 2]}]}).encode() + b"\n" for step in (1, 2)
)
_RUN = json.dumps({"seed": 0, "model": {"width": 4}}, indent=2).encode()


def _state() -> bytes:
    return b"2\n" + _saved(np.save, np.asarray(0)) + _saved(np.save, np.zeros((2, 3), np.float32))


def _config(name: str) -> bytes:
    return (FIXTURES / name / "config.json").read_bytes()


#: The rows; an input of the tokenizer costs a process, so it gets few.
PARSERS = {
    one.name: one
    for one in (
        Parser("safetensors", "model.safetensors", (_TWO,), in_safetensors, _read_archive, share=4),
        Parser("weights", "model.safetensors", (_MAMBA,), in_safetensors, _judge, share=0.1),
        Parser("checkpoint", "model.safetensors", (_MAMBA,), in_safetensors, _read_checkpoint, share=0.3),
        Parser(
            "checkpoint of mamba2", "model.safetensors", (_MAMBA2,), in_safetensors, _read_checkpoint,
            beside=(("config.json", _config("mamba2")),), share=0.2,
        ),
        Parser(
            "index",
            "model.safetensors.index.json",
            (json.dumps({"metadata": {}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}).encode(),),
            damage_json,
            _read_archive,
            beside=(
                ("one.safetensors", _safetensors(a=("F32", (2,)))),
                ("two.safetensors", _safetensors(b=("F32", (1,)))),
            ),
            share=2,
        ),
        Parser(
            "config of mamba", "config.json", (_config("mamba"),), damage_json, _read_checkpoint,
            beside=(("model.safetensors", _MAMBA),), share=0.3),
        Parser(
            "config of mamba2", "config.json", (_config("mamba2"),), damage_json, _read_checkpoint,
            beside=(("model.safetensors", _MAMBA2),), share=0.2,
        ),
        Parser("torch archive", "model.pt", (_torch_file(),), in_zip(damage_bytes, "data.pkl"), _read_archive, share=2),
        Parser(
            "cache", "models--a--b/refs/main", (b"abc\n",), damage_text, _read_cache,
            beside=(("models--a--b/snapshots/abc/model.safetensors", _TWO),),
        ),
        Parser(
            "npz",
            "layer.npz",
            (_saved(np.savez, **_LAYER), _saved(np.savez_compressed, **_LAYER)),
            in_zip(damage_bytes, ".npy"),
            _read_layer,
            share=2,
        ),
        Parser(
            "npy", "x0.npy", (_saved(np.save, np.eye(3)), _saved(np.save, np.ones((2, 2), ">f4"))), damage_text,
            _read_tokens, share=2,
        ),
        Parser(
            "spec", "spec.toml", (_STUDY, _EXPERIMENT), damage_text, _read_spec,
            needs=("optax", "scipy"),
        ),
        Parser("sweep", "sweep.toml", (_SWEEP,), damage_text, _read_sweep, needs=("scipy",)),
        Parser(
            "tokenizer", "tokenizer.json", (_TOKENIZER,), damage_json, _read_tokenizer, share=0.02,
            needs=("tokenizers",), own_process=True,
        ),
        Parser(
            "images", "images-idx3.gz", (gzip.compress(_idx(3, 4, 4), 1), _idx(3, 4, 4)),
            lambda rng, data: in_gzip(rng, data) if data[:1] == b"\x1f" else damage_bytes(rng, data), _read_images,
            beside=(("labels-idx1", _idx(3)),), needs=("optax",),
        ),
        Parser("text", "text.txt", ("Old man, sea.\nЁжик\U0001f600".encode(),), damage_text, _read_text, share=2),
        Parser("data folder", "data/text.txt", (b"some text\n" * 3,), damage_text, _read_data, needs=("optax",)),
        Parser(
            "log of a run", "log.jsonl", (_RECORDS,), damage_lines, _read_run,
            beside=(("run.json", _RUN), ("state.eqx", _state())), needs=("optax",), share=0.3, writes=True,
        ),
        Parser(
            "run", "run.json", (_RUN,), damage_json, _read_run, beside=(("log.jsonl", _RECORDS),), needs=("optax",),
            writes=True,
        ),
        Parser(
            "state of a run", "state.eqx", (_state(),), damage_text, _read_run, beside=(("run.json", _RUN),),
            needs=("optax",), writes=True,
        ),
    )
} | {one.name: one for one in WRITTEN_ANEW}  # fmt: skip
