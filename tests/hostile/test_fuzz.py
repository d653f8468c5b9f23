"""A slice of the fuzzing in every run of the tests; the whole is `python tests/hostile/fuzz.py --inputs 300000`."""

import json
import os
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent))
from check import Broken, check
from fuzz import fuzz
from outside import Watched
from parsers import PARSERS, Parser

from mamba_dynamics import MambaDynamicsError

#: Seconds for all readers together; HOSTILE_SECONDS asks for more.
SECONDS = float(os.environ.get("HOSTILE_SECONDS", "60"))
#: Seconds that a reader has at least.
LEAST = 0.5


@pytest.fixture(scope="module")
def process():
    with Watched() as one:
        yield one


@pytest.mark.parametrize("name", PARSERS)
def test_a_strangers_file_is_read_or_refused(name, process, tmp_path):
    parser = PARSERS[name]
    if not parser.available:
        pytest.skip(f"{', '.join(parser.needs)} is an extra, and is not installed here")
    seconds = SECONDS * parser.share / sum(one.share for one in PARSERS.values())
    found = fuzz(parser, [process], inputs=10**9, seconds=max(seconds, LEAST), seed=0, kept=tmp_path)
    assert not found.broken, found.broken[:3]
    assert found.inputs >= 1
    assert len(found.answers) > 1 or found.inputs < 50, "it reads everything, or nothing"


NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.none()
JSON = st.recursive(
    NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ENTRIES = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "BF16", "F4", "x"]) | JSON, "shape": st.lists(st.integers(-1, 2**64)) | JSON},
    optional={"data_offsets": st.lists(st.integers(-1, 2**64), max_size=3) | JSON},
)
MANY = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(header=st.dictionaries(st.text(max_size=8), ENTRIES | JSON, max_size=4), payload=st.binary(max_size=40))
def test_any_header_of_safetensors(header, payload, tmp_path_factory):
    text = json.dumps(header).encode()
    parser = PARSERS["safetensors"]
    path = parser.prepare(tmp_path_factory.getbasetemp() / "safetensors")
    check(parser, path, struct.pack("<Q", len(text)) + text + payload)


@MANY
@given(table=st.dictionaries(st.sampled_from(["weight_map", "metadata"]) | st.text(max_size=4), JSON, max_size=3))
def test_any_index(table, tmp_path_factory):
    parser = PARSERS["index"]
    check(parser, parser.prepare(tmp_path_factory.getbasetemp() / "index"), json.dumps(table).encode())


@MANY
@given(
    changes=st.dictionaries(
        st.sampled_from(["model_type", "hidden_size", "state_size", "expand", "num_hidden_layers", "text_config"]), JSON
    )
)
def test_any_config(changes, tmp_path_factory):
    parser = PARSERS["config of mamba"]
    path = parser.prepare(tmp_path_factory.getbasetemp() / "config")
    check(parser, path, json.dumps(json.loads(parser.seeds[0]) | changes).encode())


# --- the demands themselves ----------------------------------------------------------------------


def bad(read):
    return Parser("bad", "file", (b"x",), lambda rng, data: data, read)


def asks_too_much(path):
    import numpy as np

    return np.zeros(80_000_000, np.uint8)


FAULTS = {
    "an error of Python": (lambda path: 1 // 0, "ZeroDivisionError"),
    "a message of two lines": (lambda path: (_ for _ in ()).throw(MambaDynamicsError("a\nb")), "no line"),
    "a process": (lambda path: os.system("true"), "os.system"),
    "a file outside": (lambda path: open("/etc/passwd").close(), "opened /etc/passwd"),
    "80 MB for one byte": (asks_too_much, "it took 80"),
    "1 GB for one byte": (lambda path: bytearray(1_000_000_000), "MemoryError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reader_that_breaks_a_demand_is_caught(fault, tmp_path):
    read, word = FAULTS[fault]
    parser = bad(read)
    with pytest.raises(Broken, match=word):
        check(parser, parser.prepare(tmp_path / "f"), b"x", traced=True)


def test_a_reader_that_hangs_is_caught(tmp_path, monkeypatch):
    import check as module

    def hang(path):
        while True:
            pass

    monkeypatch.setattr(module, "SECONDS", 0.2)
    parser = bad(hang)
    with pytest.raises(Broken, match="no answer"):
        check(parser, parser.prepare(tmp_path / "f"), b"x")
