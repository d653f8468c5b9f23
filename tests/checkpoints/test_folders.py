"""Folders, indexes of shards and caches: the right file is found, and no link leads out or hangs."""

import os
from pathlib import Path

import numpy as np
import pytest
from archive_files import (
    VALUES,
    refusal,
    values_of,
    within_seconds,
    write_cache,
    write_index,
    write_safetensors,
)
from small_checkpoints import mamba1, write

from mamba_dynamics._errors import CheckpointError, CorruptFile, MissingTensor, UnsafeFile
from mamba_dynamics.checkpoints import open_checkpoint
from mamba_dynamics.checkpoints.archives import open_archive
from mamba_dynamics.checkpoints.base import Archive
from mamba_dynamics.checkpoints.files import WeightFile

# --- pipes, folders, links -----------------------------------------------------------------------


def test_a_named_pipe_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    for path in (tmp_path / "model.safetensors", tmp_path):
        error = within_seconds(lambda path=path: open_archive(path))
        assert isinstance(error, UnsafeFile)
        assert "named pipe" in str(error)


def test_a_file_replaced_by_a_pipe_is_never_waited_for(tmp_path):
    path = write_safetensors(tmp_path / "a.safetensors", w=VALUES)
    archive = open_archive(path)
    path.unlink()
    os.mkfifo(path)
    assert isinstance(within_seconds(lambda: archive.read("w")), UnsafeFile)


def test_a_pipe_put_there_between_the_look_and_the_opening_is_never_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    os.mkfifo(path)
    regular = os.stat(__file__)
    monkeypatch.setattr(os, "stat", lambda *_, **__: regular)
    assert isinstance(within_seconds(lambda: WeightFile.at(path)), UnsafeFile)


def test_a_device_and_a_folder_in_a_file_s_place_are_refused(tmp_path):
    assert "device" in refusal(Path(os.devnull), UnsafeFile)
    (tmp_path / "model.safetensors").mkdir()
    assert "a folder" in refusal(tmp_path, UnsafeFile)


def test_nothing_there_is_said_with_the_caller_s_word(tmp_path):
    with pytest.raises(CheckpointError, match="no draft model at"):
        open_archive(tmp_path / "absent", subject="draft model")
    assert "no weights" in refusal(tmp_path, CheckpointError)
    (tmp_path / "model.safetensors").symlink_to("absent")
    assert "missing" in refusal(tmp_path, CheckpointError)
    assert "no file at" in refusal(tmp_path / "model.safetensors", CheckpointError)
    assert "no checkpoint at" in refusal(Path("a\0b"), CheckpointError)


def test_a_file_given_by_the_user_may_be_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    write_safetensors(tmp_path / "elsewhere" / "blob", w=VALUES)
    link = tmp_path / "here" / "model.safetensors"
    link.symlink_to("../elsewhere/blob")
    archive = open_archive(link)
    assert archive.folder == tmp_path / "here"
    assert values_of(archive) == {"w": VALUES.ravel().tolist()}
    assert "link out of" in refusal(tmp_path / "here", UnsafeFile)


def test_the_choice_in_a_folder(tmp_path):
    def chosen() -> str:
        return open_archive(tmp_path).path.name

    write_safetensors(tmp_path / "b.safetensors", w=VALUES)
    assert chosen() == "b.safetensors"
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert chosen() == "b.safetensors"
    write_safetensors(tmp_path / "c.safetensors", w=VALUES)
    assert "holds 2 weight files" in refusal(tmp_path, CheckpointError)
    write_index(tmp_path / "pytorch_model.bin.index.json", {"w": "b.safetensors"})
    assert "holds 2 weight files" in refusal(tmp_path, CheckpointError)
    write_index(tmp_path / "x.safetensors.index.json", {"w": "b.safetensors"})
    assert chosen() == "x.safetensors.index.json"
    write_index(tmp_path / "model.safetensors.index.json", {"w": "c.safetensors"})
    assert chosen() == "model.safetensors.index.json"
    write_safetensors(tmp_path / "model.safetensors", w=VALUES)
    assert chosen() == "model.safetensors"


@pytest.mark.parametrize("name", ["x.bin", "x.pt", "x.pth", "x.ckpt", "pytorch_model.bin"])
def test_a_single_torch_file_in_a_folder_is_found(tmp_path, name):
    write_safetensors(tmp_path / name, w=VALUES)
    assert open_archive(tmp_path).path == tmp_path / name


@pytest.mark.parametrize(
    ("places", "suggested"),
    [
        (["checkpoint-20"], "checkpoint-20"),
        (["checkpoint-3", "checkpoint-20", "checkpoint-100"], "checkpoint-100"),
        (["text_encoder", "transformer", "vae"], "transformer"),
        (["lightning_logs/version_0/checkpoints"], "lightning_logs/version_0/checkpoints"),
        ([f"epoch_{i}" for i in range(40)], "epoch_39"),
    ],
)
def test_a_folder_whose_folders_hold_the_weights_names_them(tmp_path, places, suggested):
    """What a trainer or a pipeline of several parts leaves: the next step is one of the folders below."""
    for place in places:
        (tmp_path / "run" / place).mkdir(parents=True)
        write_safetensors(tmp_path / "run" / place / "model.safetensors", w=VALUES)
        (tmp_path / "run" / place / "optimizer.pt").write_bytes(b"state")
    (tmp_path / "run" / "training_args.bin").write_bytes(b"arguments")
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "run" / "logs").mkdir()
    text = refusal(tmp_path / "run", CheckpointError)
    assert f"such as {str(tmp_path / 'run' / suggested)!a}" in text
    assert all(repr(place) in text for place in places[-4:])
    assert "'logs'" not in text
    assert len(text) < 1000
    np.testing.assert_array_equal(open_archive(tmp_path / "run" / suggested).read("w"), VALUES)


def test_no_link_is_followed_to_weights_below(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    write_safetensors(tmp_path / "elsewhere" / "model.safetensors", w=VALUES)
    (tmp_path / "run" / ".cache").mkdir(parents=True)
    (tmp_path / "run" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "run" / "round").symlink_to(tmp_path / "run")
    write_safetensors(tmp_path / "run" / ".cache" / "model.safetensors", w=VALUES)
    text = refusal(tmp_path / "run", CheckpointError)
    assert "expected a .safetensors file" in text
    assert "linked" not in text


def test_very_many_folders_are_not_all_looked_at(tmp_path, monkeypatch):
    looked_at = []
    monkeypatch.setattr(os, "scandir", lambda path, scan=os.scandir: looked_at.append(path) or scan(path))
    for i in range(60):
        for k in range(60):
            (tmp_path / f"a{i}" / f"b{k}").mkdir(parents=True)
    assert "expected a .safetensors file" in refusal(tmp_path, CheckpointError)
    assert len(looked_at) < 2100


def test_a_trainer_s_other_files_are_no_weights(tmp_path):
    for name in ("training_args.bin", "optimizer.pt", "optimizer_1.bin", "scheduler.pt", "rng_state_0.pth"):
        (tmp_path / name).write_bytes(b"something else")
    assert "no weights" in refusal(tmp_path, CheckpointError)
    write_safetensors(tmp_path / "weights.pt", w=VALUES)
    assert open_archive(tmp_path).path.name == "weights.pt"


DISTRIBUTED, OF_DEEPSPEED = "distributed checkpoint", "DeepSpeed"
PROCESSES = ("mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_optim_states.pt")


@pytest.mark.parametrize(
    ("files", "asked", "words", "named"),
    [
        (["last.ckpt/.metadata", "last.ckpt/__0_0.distcp", "last.ckpt/meta.pt"], "", DISTRIBUTED, "last.ckpt"),
        (["last.ckpt/.metadata", "last.ckpt/__0_0.distcp", "last.ckpt/meta.pt"], "last.ckpt", DISTRIBUTED, "last.ckpt"),
        (["step-9/.metadata", "step-9/0.distcp", "step-10/.metadata", "step-10/0.distcp"], "", DISTRIBUTED, "step-10"),
        (
            ["config.json", "pytorch_model_fsdp_0/.metadata", "training_args.bin"],
            "",
            DISTRIBUTED,
            "pytorch_model_fsdp_0",
        ),
        (["run/checkpoint-10/pytorch_model_fsdp_0/__0_0.distcp"], "", DISTRIBUTED, "pytorch_model_fsdp_0"),
        (["latest", "zero_to_fp32.py", *(f"global_step10/{name}" for name in PROCESSES)], "", OF_DEEPSPEED, ""),
        ([f"global_step10/{name}" for name in PROCESSES], "global_step10", OF_DEEPSPEED, "global_step10"),
        (
            ["last.ckpt/zero_to_fp32.py", *(f"last.ckpt/checkpoint/{name}" for name in PROCESSES)],
            "",
            OF_DEEPSPEED,
            "ckpt",
        ),
    ],
)
def test_weights_of_several_processes_are_named_at_any_depth(tmp_path, files, asked, words, named):
    for name in files:
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_bytes(b"{}")
    text = refusal(tmp_path / "x" / asked, CheckpointError)
    assert words in text
    assert f"{named}'" in text
    assert "dcp_to_torch" in text or "zero_to_fp32.py" in text


def test_weights_beside_files_of_processes_are_read(tmp_path):
    for name in (*PROCESSES, ".metadata", "meta.pt"):
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "last.ckpt").mkdir()
    write_safetensors(tmp_path / "gathered.pt", w=VALUES)
    assert open_archive(tmp_path).path.name == "gathered.pt"


# --- shards --------------------------------------------------------------------------------------


def test_shards_without_their_index_ask_for_it(tmp_path):
    for number in (1, 3):
        write_safetensors(tmp_path / f"model-0000{number}-of-00003.safetensors", w=VALUES)
    text = refusal(tmp_path, CheckpointError)
    assert "2 of a model's 3 shards" in text
    assert "the other 1 shard and 'model.safetensors.index.json'" in text
    assert "give the path of one" not in text


@pytest.mark.parametrize("index", [True, False])
def test_a_shard_that_is_no_model_says_which_one_it_is(tmp_path, index):
    layer = mamba1()
    del layer["x_proj.weight"]
    shard = write(tmp_path, {"m.": layer}) / "model.safetensors"
    shard = shard.rename(tmp_path / "model-00001-of-00002.safetensors")
    if index:
        write_index(tmp_path / "model.safetensors.index.json", {"w": shard.name})
    with pytest.raises(MissingTensor, match="is shard 1 of 2 of a model; ") as caught:
        open_checkpoint(shard)
    step = f"open the folder {str(tmp_path)!a}" if index else "download what is missing"
    assert step in str(caught.value)
    (tmp_path / "config.json").write_text('{"model_type": "mamba", "num_hidden_layers": 2}')
    write(tmp_path, {"m.": mamba1()})
    (tmp_path / "model.safetensors").rename(shard)
    with pytest.raises(CheckpointError, match="is shard 1 of 2 of a model; "):
        open_checkpoint(shard)


@pytest.mark.parametrize(("name", "whole"), [("m-00001-of-00002", False), ("m-00001-of-00001", True), ("m-1", True)])
def test_one_shard_of_several_is_judged_but_not_decided(tmp_path, name, whole):
    write(tmp_path, {"m.": mamba1()})
    (tmp_path / "model.safetensors").rename(tmp_path / f"{name}.safetensors")
    for path in (tmp_path, tmp_path / f"{name}.safetensors"):
        checkpoint = open_checkpoint(path)
        assert len(checkpoint) == 1
        assert checkpoint.unread == (() if whole else (f"{name}.safetensors",))
        assert any("is shard 1 of 2" in line for line in checkpoint.warnings) is not whole


def shards(folder: Path, weight_map: object = None) -> Path:
    write_safetensors(folder / "one.safetensors", a=VALUES, spare=VALUES)
    write_safetensors(folder / "two.safetensors", b=VALUES + 1)
    return write_index(
        folder / "model.safetensors.index.json",
        {"a": "one.safetensors", "b": "two.safetensors"} if weight_map is None else weight_map,
    )


def assert_is_sharded(archive: Archive, folder: Path) -> None:
    sizes = [(folder / name).stat().st_size for name in ("one.safetensors", "two.safetensors")]
    assert archive.format == "safetensors-sharded"
    assert archive.names == ("a", "b")
    assert "spare" not in archive
    assert archive.shape("b") == (3, 2)
    assert archive.dtype("b") == "F32"
    assert archive.bytes_total == sum(sizes)
    headers = archive.bytes_read
    assert headers == sum(sizes) - 3 * VALUES.nbytes
    np.testing.assert_array_equal(archive.read("a"), VALUES)
    np.testing.assert_array_equal(archive.read("b", slice(1, 2)), VALUES[1:2] + 1)
    assert archive.bytes_read == headers + VALUES.nbytes + VALUES[0].nbytes


def test_shards_are_one_archive(tmp_path):
    index = shards(tmp_path)
    for path in (index, tmp_path):
        archive = open_archive(path)
        assert archive.path == index
        assert archive.folder == tmp_path
        assert_is_sharded(archive, tmp_path)
    with pytest.raises(MissingTensor, match="'spare'"):
        archive.read("spare")


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "..", ".", "", "sub/one.safetensors", "sub\\one.safetensors", "C:one", "a\0b"]
)
def test_a_shard_that_is_no_bare_name_is_refused(tmp_path, name):
    folder = tmp_path / "model"
    folder.mkdir()
    write_safetensors(tmp_path / "outside.safetensors", a=VALUES)
    assert "not a bare file name" in refusal(shards(folder, {"a": name}), UnsafeFile)


def test_an_absolute_shard_is_refused(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    target = write_safetensors(tmp_path / "outside.safetensors", a=VALUES)
    assert "not a bare file name" in refusal(shards(folder, {"a": str(target)}), UnsafeFile)


@pytest.mark.parametrize("through", ["file", "folder"])
def test_a_shard_that_links_out_is_refused(tmp_path, through):
    folder, outside = tmp_path / "model", tmp_path / "model-of-another"
    folder.mkdir()
    outside.mkdir()
    write_safetensors(outside / "x.safetensors", a=VALUES)
    index = shards(folder, {"a": "link.safetensors"})
    if through == "file":
        (folder / "link.safetensors").symlink_to("../model-of-another/x.safetensors")
    else:
        (folder / "sub").symlink_to(outside)
        (folder / "link.safetensors").symlink_to("sub/x.safetensors")
    assert "link out of" in refusal(index, UnsafeFile)


def test_a_link_that_stays_inside_is_followed(tmp_path):
    index = shards(tmp_path, {"a": "link.safetensors"})
    (tmp_path / "link.safetensors").symlink_to("one.safetensors")
    np.testing.assert_array_equal(open_archive(index).read("a"), VALUES)


def test_a_shard_that_is_a_pipe_or_a_loop_is_refused(tmp_path):
    index = shards(tmp_path, {"a": "pipe"})
    os.mkfifo(tmp_path / "pipe")
    assert isinstance(within_seconds(lambda: open_archive(index)), UnsafeFile)
    index = shards(tmp_path, {"a": "loop"})
    (tmp_path / "loop").symlink_to("loop")
    refusal(index, CheckpointError)


BAD_INDEX = {
    "missing shard": ({"a": "three.safetensors"}, CheckpointError, "'three.safetensors'"),
    "absent tensor": ({"c": "one.safetensors"}, CorruptFile, "does not hold it"),
    "no table": ([], CorruptFile, "weight_map"),
    "empty table": ({}, CorruptFile, "weight_map"),
    "number as shard": ({"a": 1}, CorruptFile, "weight_map"),
    "lone surrogate": ({"\ud800": "one.safetensors"}, CorruptFile, "Unicode"),
}


@pytest.mark.parametrize("fault", BAD_INDEX)
def test_a_bad_index_is_refused(tmp_path, fault):
    weight_map, error, word = BAD_INDEX[fault]
    assert word in refusal(shards(tmp_path, weight_map), error)


NO_INDEX = {
    "": "not valid JSON",
    "[]": "a JSON list, expected an object",
    "{": "not valid JSON",
    '{"weight_map": 1}': "has no weight_map",
    '{"weight_map":{"a":"x","a":"y"}}': "duplicate key 'a'",
    "\0": "not valid JSON",
}


@pytest.mark.parametrize("text", NO_INDEX)
def test_an_index_that_is_no_index_is_corrupt(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    assert NO_INDEX[text] in refusal(tmp_path, CorruptFile)


def test_an_index_of_an_index_is_refused(tmp_path):
    assert "it is JSON" in refusal(shards(tmp_path, {"a": "model.safetensors.index.json"}), CorruptFile)


# --- the Hugging Face cache ----------------------------------------------------------------------


def test_a_cache_folder_is_read_through_its_main_revision(tmp_path):
    model = write_cache(tmp_path, {"w": VALUES}, revision="old", main=None)
    assert open_archive(model).read("w")[0, 1] == 1.0
    write_cache(tmp_path, {"w": VALUES + 5}, revision="new", main=None)
    assert "2 snapshots" in refusal(model, CheckpointError)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("new\n")
    archive = open_archive(model)
    assert archive.folder == model / "snapshots" / "new"
    assert archive.format == "safetensors"
    np.testing.assert_array_equal(archive.read("w"), VALUES + 5)


def test_a_snapshot_s_links_stay_in_the_model_s_folder(tmp_path):
    model = write_cache(tmp_path, {"w": VALUES})
    snapshot = model / "snapshots" / "abc123"
    np.testing.assert_array_equal(open_archive(snapshot).read("w"), VALUES)
    write_safetensors(tmp_path / "outside", w=VALUES)
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to("../../../outside")
    for path in (model, snapshot):
        assert "link out of" in refusal(path, UnsafeFile)


def test_shards_in_a_cache(tmp_path):
    model = write_cache(tmp_path, {"a": VALUES})
    snapshot = model / "snapshots" / "abc123"
    (snapshot / "model.safetensors").rename(snapshot / "one.safetensors")
    write_index(model / "blobs" / "index", {"a": "one.safetensors"})
    (snapshot / "model.safetensors.index.json").symlink_to("../../blobs/index")
    for path in (model, snapshot, snapshot / "model.safetensors.index.json"):
        archive = open_archive(path)
        assert archive.folder == snapshot
        np.testing.assert_array_equal(archive.read("a"), VALUES)


@pytest.mark.parametrize(
    ("main", "kind", "word"),
    [
        ("../../outside", UnsafeFile, "bare file name"),
        ("gone", CheckpointError, "'gone'"),
        ("x" * 2000, CheckpointError, "2000 bytes"),
        ("", UnsafeFile, "bare file name"),
    ],
)
def test_a_bad_main_revision_is_refused(tmp_path, main, kind, word):
    model = write_cache(tmp_path, {"w": VALUES}, main=main)
    (tmp_path / "outside").mkdir()
    if main:
        assert word in refusal(model, kind)
    else:
        # Nothing written there names nothing; the single snapshot is then meant.
        assert open_archive(model).folder == model / "snapshots" / "abc123"


def test_a_cache_whose_parts_lead_out_is_refused(tmp_path):
    model = write_cache(tmp_path, {"w": VALUES})
    (model / "snapshots").rename(tmp_path / "stolen")
    (model / "snapshots").symlink_to("../stolen")
    assert "link out of" in refusal(model, UnsafeFile)
