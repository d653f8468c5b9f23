"""Memory of parsing as the system counts it: each text is read in a process of its own, whose peak is compared.

Tables of many short keys, floods of empty containers, numbers, wide characters and escapes; as small files, and beside
just so much payload that a header's estimated cost is allowed. An honest header of 100,000 tensors is read.
"""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from mamba_dynamics._allowance import FREE, allowance, json_cost

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")

#: What the reader's modules keep beside what a file makes them allocate: caches, pages of the allocator.
OWN = 4_000_000

#: Reads each file in a fork, and prints by how much the peak of its resident memory grew.
SCRIPT = """
import json, os, sys
from pathlib import Path
from mamba_dynamics import CheckpointError, open_checkpoint
from mamba_dynamics._settings import read_toml
from mamba_dynamics._errors import SweepError
from mamba_dynamics.checkpoints.archives import open_archive

def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

def read(path):
    if path.suffix == ".toml":
        read_toml(path, SweepError)
    elif path.is_dir():
        open_checkpoint(path)
    else:
        open_archive(path)

def measured(path):
    before = kilobytes("VmRSS")
    try:
        read(path)
        said = "read"
    except (CheckpointError, SweepError) as error:
        said = type(error).__name__
    return {"bytes": 1000 * (kilobytes("VmHWM") - before), "said": said}

for path in map(Path, sys.argv[1:]):
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writing, json.dumps(measured(path)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    print(os.read(reading, 1000).decode() or "{}", flush=True)
    os.wait()
"""

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def short(number: int) -> str:
    """The shortest names there are, each once."""
    name = ""
    while True:
        name = LETTERS[number % 62] + name
        number //= 62
        if not number:
            return name


def table(count: int, value: str, start: str = "") -> str:
    return "{" + ",".join(f'"{start}{short(i)}":{value}' for i in range(count)) + "}"


def flood(count: int, value: str) -> str:
    return '{"a":[' + ",".join([value] * count) + "]}"


def flood_of(count: int, value: Callable[[int], str]) -> str:
    return '{"a":[' + ",".join(value(i) for i in range(count)) + "]}"


JSON = {
    # A table has just grown with its 349,526th key; so has the parser's own.
    "350,000 short keys": lambda: table(349_526, "1e5"),
    "350,000 short keys, the last twice": lambda: table(349_525, "1e5")[:-1] + ',"a":0}',
    "350,000 keys of empty lists": lambda: table(349_526, "[]"),
    "keys beyond Latin-1": lambda: table(170_000, "1.5", "\u4e00"),
    "keys of escapes": lambda: table(170_000, "1.5", "\\u4e00"),
    "one key 400,000 times": lambda: "{" + ",".join(['"a":1e5'] * 400_000) + "}",
    "one million empty lists": lambda: flood(1_000_000, "[]"),
    "one million empty tables": lambda: flood(1_000_000, "{}"),
    "lists of one number": lambda: flood(500_000, "[1.5]"),
    "tables of one key": lambda: flood_of(300_000, lambda i: f'{{"{short(i)}":1.5}}'),
    "tables of one wide key": lambda: flood_of(150_000, lambda i: f'{{"\u4e00{short(i)}":1.5}}'),
    "tables within tables": lambda: flood(150_000, '{"a":{"a":{"a":{}}}}'),
    "one million numbers": lambda: flood(1_000_000, "1.5"),
    "one million whole numbers": lambda: flood(1_000_000, "-6"),
    "long whole numbers": lambda: flood(1_000, "9" * 4_000),
    "a number of one million digits": lambda: flood(1, "9" * 1_000_000),
    "short strings": lambda: flood_of(400_000, lambda i: f'"{short(i)}"'),
    "short wide strings": lambda: flood(300_000, '"\u4e00"'),
    "one wide character after ASCII": lambda: '{"a":"' + "x" * 5_000_000 + '\U0001f600"}',
    "wider and wider characters": lambda: (
        '{"a":"' + "x" * 2_000_000 + "\u00e9" + "x" * 2_000_000 + "\u4e00" + "x" * 2_000_000 + '\U0001f600"}'
    ),
    "escapes": lambda: '{"a":"' + "\\n" * 2_000_000 + '"}',
    "an escape of a wide character after ASCII": lambda: '{"a":"' + "x" * 5_000_000 + '\\ud83d\\ude00"}',
    "strings of one escape": lambda: flood(400_000, '"\\u4e00"'),
    "nested 900 deep": lambda: '{"a":' + "[" * 900 + "]" * 900 + "}",
    "nested 100,000 deep": lambda: '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
}  # fmt: skip

TOML = {
    "keys": lambda: "\n".join(f"{short(i)}=1" for i in range(33_000)),
    "tables": lambda: "\n".join(f"[{short(i)}]" for i in range(28_000)),
    "lists of tables": lambda: "\n".join(["[[a]]"] * 33_000),
    "inline tables": lambda: "a=[" + ",".join(["{a=1}"] * 33_000) + "]",
    "inline tables of inline tables": lambda: "a=[" + ",".join(["{a={a={}}}"] * 18_000) + "]",
    "dotted keys": lambda: "\n".join(".".join([short(i)] + ["a"] * 60) + "=1" for i in range(1_500)),
    "dotted tables": lambda: "\n".join("[" + ".".join([short(i)] + ["a"] * 60) + "]" for i in range(1_500)),
    "tables of three names": lambda: "\n".join(f"[{short(i)}.a.a]" for i in range(20_000)),
    "empty lists": lambda: "a=[" + ",".join(["[]"] * 66_000) + "]",
    "numbers": lambda: "a=[" + ",".join(["1e5"] * 50_000) + "]",
    "dates": lambda: "a=[" + ",".join(["1999-01-01"] * 18_000) + "]",
    "strings": lambda: "\n".join(f'{short(i)}="\u4e00"' for i in range(18_000)),
}  # fmt: skip


def as_header(path: Path, text: bytes, size: int) -> Path:
    """A safetensors file with a header and zeros, which take no room on the disk."""
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(max(size, 8 + len(text)))
    return path


def as_config(path: Path, text: bytes) -> Path:
    path.mkdir()
    (path / "config.json").write_bytes(text)
    as_header(path / "model.safetensors", b"{}", 0)
    return path


def files_of(folder: Path) -> dict[str, tuple[Path, int]]:
    """name -> (what to read, size that the bound counts)."""
    found: dict[str, tuple[Path, int]] = {}
    for number, (name, make) in enumerate(JSON.items()):
        text = make().encode()
        least = (json_cost(text) - FREE) // 2 + 16
        found[f"header: {name}"] = (as_header(folder / f"{number}.safetensors", text, 0), 0)
        found[f"header allowed: {name}"] = (as_header(folder / f"{number}a.safetensors", text, least), 0)
        index = folder / f"{number}.safetensors.index.json"
        index.write_bytes(text)
        found[f"index: {name}"] = (index, 0)
        found[f"config: {name}"] = (as_config(folder / str(number), text), len(text))
    for number, (name, make) in enumerate(TOML.items()):
        path = folder / f"{number}.toml"
        path.write_bytes(make().encode())
        found[f"spec: {name}"] = (path, 0)
    return {name: (path, size or path.stat().st_size) for name, (path, size) in found.items()}


def read_apart(paths: list[Path]) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, paths)], capture_output=True, text=True, timeout=600, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_no_text_takes_more_memory_than_its_file_allows(tmp_path):
    files = files_of(tmp_path)
    found = read_apart([path for path, _ in files.values()])
    assert len(found) == len(files)
    took = {name: (one.get("bytes"), size) for (name, (_, size)), one in zip(files.items(), found, strict=True)}
    over = {name: one for name, one in took.items() if one[0] is None or one[0] > allowance(one[1]) + OWN}
    assert over == {}, "name -> (peak above the start, size of the file)"


def test_an_honest_header_of_100_000_tensors_is_read(tmp_path):
    names = [
        f"model.backbone.layers.{i % 99:02}.mixer.experts.{i // 99:04}.up_projection.weight" for i in range(100_000)
    ]
    step = 2 * 1024 * 64
    header = {
        name: {"dtype": "BF16", "shape": [1024, 64], "data_offsets": [i * step, (i + 1) * step]}
        for i, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    path = as_header(tmp_path / "model.safetensors", text, 8 + len(text) + step * len(names))
    (found,) = read_apart([path])
    assert found["said"] == "read"
    assert found["bytes"] < allowance(os.stat(path).st_size)


TOKENIZER = """
import sys
from mamba_dynamics import CheckpointError, open_checkpoint
from mamba_dynamics.checkpoints.tokenizer import tokenizer_of

def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

checkpoint = open_checkpoint(sys.argv[1])
before = kilobytes("VmRSS")
try:
    tokenizer_of(checkpoint, 300).ids("text")
except CheckpointError as error:
    print(1000 * (kilobytes("VmHWM") - before), error)
"""


@pytest.mark.skipif(find_spec("tokenizers") is None, reason="the extra that reads tokenizers is not installed")
def test_a_tokenizer_of_30_mb_takes_no_more_here_than_its_file_allows(tmp_path):
    fixture = Path(__file__).resolve().parents[1] / "fixtures" / "mamba"
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_bytes((fixture / name).read_bytes())
    text = '{"a": "' + "x" * 30_000_000 + '\U0001f600"}'
    (tmp_path / "tokenizer.json").write_bytes(text.encode())
    done = subprocess.run(
        [sys.executable, "-c", TOKENIZER, str(tmp_path)], capture_output=True, text=True, timeout=300, check=True
    )
    took, said = done.stdout.split(" ", 1)
    assert "expected a tokenizer" in said
    assert int(took) < allowance(len(text)) + OWN
