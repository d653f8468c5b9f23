"""Models on the hub: read in ranges from a server on loopback, never the network, or refused in one clear line."""

import gzip
import json
import os
import pty
import re
import select
import subprocess
import sys
import time

import numpy as np
import pytest
from archive_files import within_seconds, write_cache
from hub_server import COMMIT, HubServer
from safetensors.numpy import save
from small_checkpoints import FIXTURES, mamba1, write
from torch_files import Recorded, write_torch

from mamba_dynamics import classify_checkpoint
from mamba_dynamics._classification_document import classification_document
from mamba_dynamics._errors import CheckpointError, CorruptFile, UnsafeFile
from mamba_dynamics.checkpoints import hub_requests, open_checkpoint
from mamba_dynamics.checkpoints.hub import HEAD
from mamba_dynamics.checkpoints.tokenizer import tokenizer_of

library = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed here")
constants = pytest.importorskip("huggingface_hub.constants")

LAYERS = 3
#: What is no S6 tensor: most of a real model.
EMBEDDING = np.random.default_rng(0).normal(size=(2000, 200))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with three layers and a large embedding, whose S6 tensors are a thousandth of it."""
    folder = tmp_path_factory.mktemp("model")
    layers = {f"backbone.layers.{index}.mixer.": mamba1(index) for index in range(LAYERS)}
    return write(folder, layers, {"num_hidden_layers": LAYERS}, {"backbone.embeddings.weight": EMBEDDING})


@pytest.fixture
def hub(model, tmp_path, monkeypatch):
    """A hub with the model as ORG/NAME, in an environment that knows nothing else."""
    server = HubServer()
    server.files = {file.name: file.read_bytes() for file in model.iterdir()}
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 5)
    monkeypatch.setattr(hub_requests, "PAUSE", 0.0)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)
    library.close_session()
    yield server
    library.close_session()
    server.close()


def read_all(path="org/name"):
    """Every tensor of every layer."""
    checkpoint = open_checkpoint(path)
    return checkpoint, [checkpoint.layer(index) for index in range(len(checkpoint))]


def refusal(path="org/name", kind=CheckpointError):
    """The one line with which reading is refused, in good time."""
    error = within_seconds(lambda: read_all(path), 20.0)
    assert isinstance(error, kind), error
    message = str(error)
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 600
    return message


# --- what is read, and how much of it ----------------------------------------------------------


@pytest.mark.parametrize("storage", [False, True])
def test_a_model_on_the_hub_reads_as_the_same_model_in_a_folder(hub, model, storage):
    hub.storage = hub.start("localhost") if storage else None
    checkpoint, layers = read_all()
    assert (str(checkpoint.path), checkpoint.revision, checkpoint.format) == ("org/name", COMMIT, "safetensors")
    assert checkpoint.config == {"num_hidden_layers": LAYERS}
    for found, expected in zip(layers, read_all(model)[1], strict=True):
        assert found.name == expected.name
        for name in ("S_B", "S_C", "dt_up", "dt_down", "dt_bias", "a", "D_skip"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_few_per_cent_of_the_bytes_are_read_and_counted(hub, model):
    """The figures of the document are those of the server: what it sent, and how large the weights are."""
    document = classification_document(classify_checkpoint("org/name"))["checkpoint"]
    size = (model / "model.safetensors").stat().st_size
    assert document["bytes_total"] == size
    assert document["revision"] == COMMIT
    spans = [headers["Range"].removeprefix("bytes=").split("-") for _, headers in hub.asked("resolve")]
    config = len(hub.files["config.json"])
    asked = sum(int(last) - int(first) + 1 for first, last in spans) - (HEAD - config)
    listing = len(json.dumps({"sha": COMMIT, "siblings": [{"rfilename": name} for name in hub.files]}))
    assert document["bytes_read"] == asked + listing
    assert HEAD < document["bytes_read"] < 0.02 * size


def test_nothing_is_read_before_it_is_asked_for(hub):
    checkpoint = open_checkpoint("org/name")
    before = len(hub.log)
    checkpoint.layer(1)
    assert len(hub.log) > before
    names = [name for name, _ in hub.asked("resolve")]
    assert names[0] == "model.safetensors"
    assert set(names) == {"model.safetensors", "config.json"}


def test_a_header_longer_than_the_first_request(hub, tmp_path):
    layers = {f"{'long.' * 400}layers.{index}.mixer.": mamba1(index) for index in range(LAYERS)}
    (tmp_path / "m").mkdir()
    hub.files = {"model.safetensors": (write(tmp_path / "m", layers) / "model.safetensors").read_bytes()}
    assert int.from_bytes(hub.files["model.safetensors"][:8], "little") > HEAD
    found, expected = read_all()[1], read_all(tmp_path / "m")[1]
    np.testing.assert_array_equal(found[2].S_B, expected[2].S_B)
    assert (tmp_path / "m" / "model.safetensors").stat().st_size > open_checkpoint("org/name").bytes_read - 2 * HEAD


def shards(hub, names=("one.safetensors", "two.safetensors", "three.safetensors")):
    """The model in three files behind an index."""
    tensors = [{f"layers.{index}.mixer.{name}": value for name, value in mamba1(index).items()} for index in range(3)]
    hub.files = {file: save(held) for file, held in zip(names, tensors, strict=True)}
    table = {name: file for file, held in zip(names, tensors, strict=True) for name in held}
    hub.files["model.safetensors.index.json"] = json.dumps({"weight_map": table}).encode()
    return table


def test_shards_behind_an_index(hub):
    shards(hub)
    checkpoint, layers = read_all()
    assert checkpoint.format == "safetensors-sharded"
    assert checkpoint.bytes_total == sum(len(data) for name, data in hub.files.items() if "index" not in name)
    for index, layer in enumerate(layers):
        np.testing.assert_array_equal(layer.S_B[0], mamba1(index)["x_proj.weight"][2:5])


@pytest.mark.parametrize(("shard", "kind"), [("gone.safetensors", CheckpointError), ("../one.safetensors", UnsafeFile)])
def test_an_index_that_names_what_is_not_there(hub, shard, kind):
    table = shards(hub)
    table[next(iter(table))] = shard
    hub.files["model.safetensors.index.json"] = json.dumps({"weight_map": table}).encode()
    assert shard in refusal(kind=kind)
    assert all(name in hub.files for name, _ in hub.asked("resolve"))


def test_the_tokenizer_comes_whole(hub):
    tokenizers = pytest.importorskip("tokenizers", reason="the extra `text` is not installed here")
    words = {f"word{index}": index for index in range(5000)} | {"[UNK]": 5000}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    hub.files["tokenizer.json"] = made.to_str().encode()
    assert len(hub.files["tokenizer.json"]) > 2 * HEAD
    assert tokenizer_of(open_checkpoint("org/name"), 5001).ids("word7 word4999 other").tolist() == [7, 4999, 5000]


def test_an_empty_file_is_none_that_can_be_read(hub):
    hub.files["model.safetensors"] = b""
    assert "is empty" in refusal(kind=CorruptFile)


def test_torch_files_are_read_in_ranges(hub, tmp_path):
    """What `mamba_ssm` repositories hold: one file, of which the pickle and the S6 tensors are a small part."""
    recorded = Recorded()
    tensors = {f"backbone.layers.0.mixer.{name}": value for name, value in mamba1().items()}
    values = {name: recorded.tensor(np.asarray(value, "<f4")) for name, value in tensors.items()}
    values["backbone.embeddings.weight"] = recorded.tensor(EMBEDDING.astype("<f4"))
    hub.files = {"pytorch_model.bin": write_torch(tmp_path / "a.bin", values, recorded).read_bytes()}
    checkpoint = open_checkpoint("org/name")
    local = open_checkpoint(tmp_path / "a.bin")
    assert checkpoint.format == "torch"
    assert checkpoint.layer(0).S_B.tolist() == local.layer(0).S_B.tolist()
    assert checkpoint.bytes_read < 200_000 < EMBEDDING.size


def test_a_torch_file_that_is_none(hub):
    hub.files = {"pytorch_model.bin": b"PK\3\4" + b"\0" * 100}
    assert "does not end like a zip archive" in refusal()


# --- which one is read -------------------------------------------------------------------------


def test_a_folder_of_that_name_is_no_model_on_the_hub(hub, model, tmp_path):
    (tmp_path / "org" / "name").mkdir(parents=True)
    write(tmp_path / "org" / "name", {"one.": mamba1()})
    checkpoint = open_checkpoint("org/name")
    assert (len(checkpoint), checkpoint.revision) == (1, None)
    assert not hub.log


def cached(tmp_path, revision=COMMIT, main=COMMIT):
    """The model in the local cache, with one layer only so that it can be told apart."""
    layer = {f"one.{name}": value for name, value in mamba1().items()}
    return write_cache(tmp_path / "cache", layer, revision=revision, main=main)


@pytest.mark.parametrize("path", ["org/name", "org/name@main", f"org/name@{COMMIT}"])
def test_a_model_in_the_cache_is_read_from_there(hub, tmp_path, path):
    cached(tmp_path)
    checkpoint = open_checkpoint(path)
    assert (len(checkpoint), checkpoint.revision, str(checkpoint.path)) == (1, COMMIT, path)
    assert not hub.log


@pytest.mark.parametrize("revision", ["v1", "refs/pr/7"])
def test_branches_in_the_cache(hub, tmp_path, revision):
    ref = cached(tmp_path, main=None) / "refs" / revision
    ref.parent.mkdir(parents=True)
    ref.write_text(COMMIT)
    assert len(open_checkpoint(f"org/name@{revision}")) == 1
    assert len(open_checkpoint("org/name")) == LAYERS  # the main branch is not in the cache


def test_a_revision_is_asked_for_by_its_name_and_read_by_its_commit(hub):
    assert open_checkpoint("org/name@refs/pr/7").revision == COMMIT
    assert [name for name, _ in hub.asked("list")] == ["refs/pr/7"]


@pytest.mark.parametrize("lacks", ["weights", "shard"])
def test_a_cache_that_holds_a_part_is_not_enough(hub, tmp_path, lacks):
    snapshot = cached(tmp_path) / "snapshots" / COMMIT
    (snapshot / "model.safetensors").unlink()
    (snapshot / "config.json").write_text("{}")
    if lacks == "shard":
        (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "a.safetensors"}}))
    assert len(open_checkpoint("org/name")) == LAYERS


def test_offline_nothing_is_asked_of_anybody(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in (said := refusal())
    assert "hf download org/name" in said
    cached(tmp_path)
    assert len(open_checkpoint("org/name")) == 1
    assert not hub.log


def test_without_the_extra_the_message_says_how_to_get_it(hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install 'mamba-dynamics[hub]'" in refusal()


@pytest.mark.parametrize("path", ["absent", "a/b/c", "./org/na me", "org/model.safetensors", "org/..name", "org/a--b"])
def test_what_is_no_id_stays_a_path(hub, path):
    assert "check the path" in refusal(path)
    assert not hub.log


# --- who asks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["variable", "file"])
def test_the_token_goes_to_the_hub_and_no_further(hub, tmp_path, monkeypatch, place):
    hub.storage = hub.start("localhost")
    if place == "variable":
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
    else:
        (tmp_path / "token").write_text("hf_secret\n")
    read_all()
    for where in ("list", "resolve"):
        assert {headers["Authorization"] for _, headers in hub.asked(where)} == {"Bearer hf_secret"}
    assert hub.asked("storage")
    assert {headers["Authorization"] for _, headers in hub.asked("storage")} == {None}


def test_a_token_is_never_shown(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.faults["list"] = lambda request: request.answer(401, b"hf_secret")
    assert "hf_secret" not in refusal()
    monkeypatch.setenv("HF_TOKEN", "hf_sécret")
    assert "HF_TOKEN" in (said := refusal())
    assert "cret" not in said


# --- servers that refuse -----------------------------------------------------------------------


def says(status, code=None, **headers):
    """A fault: one status, and the hub's word for it."""
    return lambda request: request.answer(status, b"", headers | ({"X-Error-Code": code} if code else {}))


REFUSALS = {
    "no such model": ("list", says(404, "RepoNotFound"), "no model 'org/name' .*check the name"),
    "no such model, or private": ("list", says(401, "RepoNotFound"), "no model 'org/name' .*private.*HF_TOKEN"),
    "no such revision": ("list", says(404, "RevisionNotFound"), "no revision 'main' of model 'org/name'"),
    "gated list": ("list", says(403, "GatedRepo"), "gated.*ask for access.*HF_TOKEN"),
    "gated file": ("resolve", says(401, "GatedRepo"), "'model.safetensors' of 'org/name' is gated"),
    "forbidden file": ("resolve", says(403), "private model log in"),
    "no such file": ("resolve", says(404, "EntryNotFound"), "no 'model.safetensors' of 'org/name'"),
    "teapot": ("resolve", says(418), "answers 418"),
    "broken": ("resolve", says(500), "answers 500; try again later"),
    "too many requests": ("list", says(429, **{"Retry-After": "3600"}), "too many.*wait for 3600 seconds"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_told_apart(hub, name):
    where, fault, words = REFUSALS[name]
    hub.faults[where] = fault
    said = refusal()
    assert re.search(words, said), said


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(hub, status):
    for where in ("list", "resolve"):
        hub.faults[where] = lambda request: (
            request.answer(status, b"", {"Retry-After": "0"}) if request.number < 3 else False
        )
    assert len(read_all()[1]) == LAYERS


def test_an_unreachable_hub(hub, monkeypatch):
    hub.close()
    assert "cannot be read" in refusal()
    monkeypatch.setattr(constants, "ENDPOINT", "no address at all")
    assert "check HF_ENDPOINT" in refusal()


# --- servers that break down -------------------------------------------------------------------


def dropped(when):
    """A fault: the connection ends in the middle of the body, where `when(number of the request)`."""

    def fault(request):
        if not when(request.number):
            return False
        first, stop = request.span
        headers = {
            "Content-Range": f"bytes {first}-{stop - 1}/{len(request.data)}",
            "Content-Length": str(stop - first),
        }
        request.answer(206, request.data[first : first + (stop - first) // 2], headers)
        request.drop()
        return True

    return fault


def test_dropped_connections_go_on_where_they_ended(hub, model):
    hub.faults["resolve"] = dropped(lambda number: number % 3)
    found, expected = read_all()[1], read_all(model)[1]
    np.testing.assert_array_equal(found[2].S_C, expected[2].S_C)
    spans = [headers["Range"] for name, headers in hub.asked("resolve") if name == "model.safetensors"]
    assert spans[:3] == ["bytes=0-32767", "bytes=16384-32767", "bytes=24576-32767"]


def test_a_server_that_always_drops_is_given_up(hub):
    hub.faults["resolve"] = dropped(lambda number: True)
    assert "try again later" in refusal()
    assert len(hub.asked("resolve")) == hub_requests.ATTEMPTS


def test_short_answers_are_asked_on(hub, model):
    def fault(request):
        first, stop = request.span
        request.answer_range({}, (first, max(first + 1, (first + stop) // 2 if request.number % 4 else stop)))

    hub.faults["resolve"] = fault
    np.testing.assert_array_equal(read_all()[1][2].S_C, read_all(model)[1][2].S_C)


def test_an_expired_address_is_asked_for_again(hub):
    hub.storage = hub.start("localhost")
    hub.faults["storage"] = lambda request: request.answer(403, b"expired") if request.number == 4 else False
    assert len(read_all()[1]) == LAYERS
    assert [name for name, _ in hub.asked("resolve")].count("model.safetensors") == 2


def test_a_dead_storage_is_given_up(hub):
    hub.storage = hub.start("localhost")
    hub.faults["storage"] = says(403)
    assert "private model log in" in refusal()


def test_an_answer_that_drips_is_not_waited_for(hub, monkeypatch):
    monkeypatch.setattr(hub_requests, "PATIENCE", 0.5)
    monkeypatch.setattr(hub_requests, "BYTES_PER_SECOND", 1e9)

    def fault(request):
        request.answer(
            206, b"", {"Content-Range": f"bytes 0-{HEAD - 1}/{len(request.data)}", "Content-Length": str(HEAD)}
        )
        for byte in request.data[:HEAD]:
            request.wfile.write(bytes([byte]))
            time.sleep(0.05)

    hub.faults["resolve"] = fault
    assert "too slowly" in refusal()


# --- servers that lie --------------------------------------------------------------------------


def endless(status, headers):
    """A fault: zeros without end, until the other side has enough."""

    def fault(request):
        request.answer(status, b"", {"Content-Length": None, "Connection": "close"} | headers)
        request.drop()
        while True:
            request.wfile.write(bytes(10_000))

    return fault


def replaced(request, tag='"another"', size=None):
    """From the fourth request on, another file."""
    if request.number < 4:
        return False
    first, stop = request.span
    size = len(request.data) if size is None else size
    request.answer(206, request.data[first:stop], {"ETag": tag, "Content-Range": f"bytes {first}-{stop - 1}/{size}"})
    return True


def ranged(content_range, body=None, **headers):
    """A fault: a part as told, whatever was asked for."""

    def fault(request):
        first, stop = request.span
        told = content_range.format(first=first, last=stop - 1, size=len(request.data))
        request.answer(206, request.data[first:stop] if body is None else body, {"Content-Range": told} | headers)

    return fault


def list_of(document):
    return lambda request: request.answer(
        200, document if isinstance(document, bytes) else json.dumps(document).encode()
    )


LIES = {
    "ranges ignored": ("resolve", lambda request: request.answer(200, request.data), "sends whole files"),
    "endless file": ("resolve", endless(200, {}), "does not say how many bytes"),
    "endless part": (
        "resolve",
        endless(206, {"Content-Range": f"bytes 0-{HEAD - 1}/9999999"}),
        "more bytes than it was",
    ),
    "endless list": ("list", endless(200, {}), "expected at most 5000000 bytes"),
    "another etag": ("resolve", replaced, "replaced while it was read"),
    "another size": ("resolve", lambda request: replaced(request, request.tag(), 10**7), "replaced meanwhile"),
    "another commit": ("resolve", lambda request: request.answer_range({"X-Repo-Commit": "f" * 40}), "another commit"),
    "another range": ("resolve", ranged("bytes 7-{last}/{size}"), "found an answer with 'bytes 7-"),
    "no range": ("resolve", ranged("all of it"), "found an answer with 'all of it'"),
    "range beyond the file": ("resolve", ranged("bytes {first}-{last}/5"), "found an answer with"),
    "wrong length": ("resolve", ranged("bytes {first}-{last}/{size}", b"short"), "of 5 bytes"),
    "packed": ("resolve", ranged("bytes {first}-{last}/{size}", **{"Content-Encoding": "gzip"}), "sends it packed"),
    "packed list": (
        "list",
        lambda request: request.answer(200, gzip.compress(b"{}"), {"Content-Encoding": "gzip"}),
        "sends it packed",
    ),
    "a web page": ("list", list_of(b"<html>hello</html>"), "not valid JSON"),
    "no commit": ("list", list_of({"siblings": []}), "without a commit.*check HF_ENDPOINT"),
    "a path as commit": ("list", list_of({"sha": "../../secret", "siblings": []}), "without a commit"),
    "no names": ("list", list_of({"sha": COMMIT, "siblings": [{"rfilename": 7}]}), "names no files"),
    "no weights": (
        "list",
        list_of({"sha": COMMIT, "siblings": [{"rfilename": "a/model.safetensors"}]}),
        "no weights in",
    ),
    "a circle": ("resolve", lambda request: request.answer(302, b"", {"Location": request.path}), "TooManyRedirects"),
    "a file": ("resolve", lambda request: request.answer(302, b"", {"Location": "file:///etc/passwd"}), "Unsupported"),
    "nowhere": ("resolve", lambda request: request.answer(302, b"", {"Location": "http://[bad"}), "cannot be read"),
    "no HTTP": ("list", lambda request: request.wfile.write(b"\0" * 100) and request.drop(), "cannot be read"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_are_refused(hub, name):
    where, fault, words = LIES[name]
    hub.faults[where] = fault
    said = refusal()
    assert re.search(words, said), said


def test_a_server_that_ignores_ranges_serves_files_that_are_wanted_whole(hub):
    hub.files["config.json"] = json.dumps({"num_hidden_layers": LAYERS, "padding": "x" * 2 * HEAD}).encode()
    hub.faults["resolve"] = lambda request: (
        request.answer(200, request.data) if request.name == "config.json" else False
    )
    assert len(open_checkpoint("org/name").config["padding"]) == 2 * HEAD


def test_a_claimed_tensor_beyond_all_memory_is_not_asked_for(hub):
    """A server may claim any size; no more than a bound is ever asked for at once."""
    claimed = 2**40
    header = {"layers.0.mixer.A_log": {"dtype": "F32", "shape": [2**28, 2**10], "data_offsets": [0, claimed]}}
    text = json.dumps(header).encode()
    text += b" " * (HEAD - 8 - len(text))
    hub.files = {"model.safetensors": len(text).to_bytes(8, "little") + text}

    def fault(request):
        first, stop = request.span
        told = {"Content-Range": f"bytes {first}-{stop - 1}/{HEAD + claimed}"}
        request.answer(206, request.data[first:stop], told)

    hub.faults["resolve"] = fault
    checkpoint_error = within_seconds(lambda: hub_archive().read("layers.0.mixer.A_log"))
    assert isinstance(checkpoint_error, CorruptFile)
    assert "at most 4294967296 bytes" in str(checkpoint_error)


def hub_archive():
    from pathlib import Path

    from mamba_dynamics.checkpoints.archives import archive_of
    from mamba_dynamics.checkpoints.hub import weights_of

    return archive_of(*weights_of(Path("org/name")))


# --- the command -------------------------------------------------------------------------------


def run(hub, tmp_path, *arguments, **extra):
    """The command in a process of its own, its stderr a terminal."""
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "TERM": "xterm"} | extra
    environment.pop("HF_HUB_CACHE", None)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mamba_dynamics", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, cwd=tmp_path) as process:
        os.close(theirs)
        shown = b""
        while process.poll() is None or select.select([ours], [], [], 0)[0]:
            if select.select([ours], [], [], 0.05)[0]:
                try:
                    shown += os.read(ours, 65536)
                except OSError:  # the other side is closed
                    break
        out = process.stdout.read()
    os.close(ours)
    return process.returncode, out, shown.decode()


def test_the_command_shows_a_bar_and_says_what_it_read(hub, tmp_path):
    hub.faults["resolve"] = lambda request: time.sleep(0.05) or False
    code, out, shown = run(hub, tmp_path, "classify", "org/name@main", "--json")
    document = json.loads(out)
    assert code in (0, 3)
    assert document["checkpoint"]["path"] == "org/name@main"
    assert document["checkpoint"]["bytes_read"] < 0.02 * document["checkpoint"]["bytes_total"]
    assert f"2/{LAYERS}" in shown  # the bar, which is wiped away at the end


def test_the_command_refuses_in_one_line(hub, tmp_path):
    hub.faults["list"] = says(404, "RepoNotFound")
    code, out, shown = run(hub, tmp_path, "report", "org/name", "--out", "page.html")
    assert (code, out) == (1, b"")
    assert "Traceback" not in shown
    assert len(shown.strip().splitlines()) == 1
    assert shown.startswith("mamba-dynamics: no model 'org/name'")
    assert not (tmp_path / "page.html").exists()


def test_the_bundled_fixture_is_judged_alike_from_everywhere(hub):
    """The JSON of a real small model differs in its checkpoint's place alone."""
    hub.files = {file.name: file.read_bytes() for file in (FIXTURES / "mamba2").iterdir()}
    here, there = (classification_document(classify_checkpoint(path)) for path in (FIXTURES / "mamba2", "org/name"))
    assert here["layers"] == there["layers"]
    assert here["checkpoint"]["format"] == there["checkpoint"]["format"]
