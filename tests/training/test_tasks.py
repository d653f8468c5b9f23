"""What a run trains on: bytes, images and synthetic sequences, each a function of the seed and the step alone."""

import gzip
import struct

import numpy as np
import pytest

from mamba_dynamics import MambaDynamicsError
from mamba_dynamics.training.images import Classification, mnist, patches, read_idx
from mamba_dynamics.training.synthetic import InductionHeads, SelectiveCopying
from mamba_dynamics.training.text import NextByte, read_bytes, split

TEXT = np.arange(1000, dtype=np.uint16).astype(np.uint8)


def next_byte(**changes):
    sizes = dict(training=TEXT, validation=TEXT[:300], lengths=(8, 16), batch_bytes=32, seed=3)
    return NextByte(**(sizes | changes))


TASKS = {
    "bytes": next_byte(),
    "copying": SelectiveCopying(length=20, symbols=4, kinds=5, batch_size=6, seed=0),
    "induction": InductionHeads(length=12, kinds=5, batch_size=64, seed=0),
    "images": Classification(
        images=np.arange(24, dtype=np.float32).reshape(6, 2, 2),
        labels=np.arange(6, dtype=np.int32),
        held_out_images=np.zeros((3, 2, 2), np.float32),
        held_out_labels=np.zeros(3, np.int32),
        batch_size=2,
        seed=0,
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_depends_on_seed_and_step_alone(name):
    task = TASKS[name]
    first, again, other = task.batch(5), task.batch(5), task.batch(6)
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert any(one.shape != two.shape or (one != two).any() for one, two in zip(first, other, strict=True))
    held_out = [[array.copy() for array in batch] for batch in task.held_out()]
    for batch, same in zip(held_out, task.held_out(), strict=True):
        for one, two in zip(batch, same, strict=True):
            np.testing.assert_array_equal(one, two)


def test_windows_are_text_and_the_next_byte():
    task = next_byte()
    lengths = set()
    for step in range(1, 20):
        batch = task.batch(step)
        assert batch.size == 32
        lengths.add(batch.tokens.shape[1])
        # The text counts upwards modulo 256.
        np.testing.assert_array_equal((batch.tokens + 1) % 256, batch.targets)
    assert lengths == {8, 16}


def test_every_held_out_byte_but_the_first_is_a_target_once():
    validation = np.random.default_rng(0).integers(0, 256, 16 * 7 + 1).astype(np.uint8)
    batches = list(next_byte(validation=validation).held_out())
    np.testing.assert_array_equal(np.concatenate([batch.targets.ravel() for batch in batches]), validation[1:])
    some = next_byte(validation=validation, evaluation_bytes=32).held_out()
    assert 32 <= sum(batch.size for batch in some) < 16 * 7


def test_a_folder_is_its_files_in_order(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_bytes(b"three")
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "z").symlink_to("/etc/hostname")
    assert read_bytes(tmp_path).tobytes() == b"one\0three\0"
    assert read_bytes(tmp_path / "a.txt").tobytes() == b"one"
    training, held_out = split(TEXT, 0.25)
    assert (len(training), len(held_out)) == (750, 250)


def test_copying_asks_for_the_symbols_in_order():
    batch = TASKS["copying"].batch(1)
    for tokens, targets, weights in zip(*batch, strict=True):
        symbols = tokens[:20][tokens[:20] >= 2]
        np.testing.assert_array_equal(targets[20:], symbols)
        assert (tokens[20:] == 1).all()
        assert len(symbols) == 4
        assert weights[:20].sum() == 0
        assert weights.sum() == 4


def test_induction_asks_for_what_followed_the_special_token():
    batch = TASKS["induction"].batch(1)
    for tokens, targets, weights in zip(*batch, strict=True):
        (first, last) = np.flatnonzero(tokens == 5)
        assert last == 11
        assert targets[-1] == tokens[first + 1]
        np.testing.assert_array_equal(weights, np.arange(12) == 11)


def test_an_epoch_sees_every_image_once():
    task = TASKS["images"]
    for epoch in range(2):
        seen = np.concatenate([task.batch(3 * epoch + step).labels for step in (1, 2, 3)])
        assert sorted(seen) == list(range(6))


def test_patches_are_read_row_by_row():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    cut = np.rint(patches(image, 2) * 255)
    np.testing.assert_array_equal(cut[0], [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]])


def idx(array, code=8):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_idx_files_are_read(pack, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5)).astype(np.uint8)
    (tmp_path / "a").write_bytes(pack(idx(array)))
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), array)


def test_the_real_images(shared):
    task = mnist(shared / "data" / "mnist-10k", side=7, training=8000, batch_size=100, seed=0)
    assert task.images.shape == (8000, 16, 49)
    assert task.held_out_images.shape == (2000, 16, 49)
    assert task.classes == 10
    # The first test image of MNIST is a seven.
    assert task.labels[0] == 7


WHOLE = np.zeros((2, 3), np.uint8)
BROKEN = {
    "no IDX": b"\x89PNG....",
    "floats": idx(WHOLE, code=13),
    "short header": idx(WHOLE)[:6],
    "truncated": idx(WHOLE)[:-1],
    "longer": idx(WHOLE) + b"x",
    "huge": struct.pack(">BBBB2I", 0, 0, 8, 2, 1 << 31, 1 << 31),
    "half a gzip": gzip.compress(idx(np.arange(255, dtype=np.uint8)))[:-20],
    "empty": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_images_get_one_line(name, tmp_path):
    (tmp_path / "file").write_bytes(BROKEN[name])
    with pytest.raises(MambaDynamicsError, match=r"^expected .*found") as caught:
        read_idx(tmp_path / "file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda tmp: read_bytes(tmp / "nothing"),
        lambda tmp: read_bytes(tmp),
        lambda _: next_byte(validation=TEXT[:16]),
        lambda _: next_byte(lengths=(8, 12)),
        lambda _: patches(np.zeros((1, 28, 28), np.uint8), 5),
        lambda tmp: mnist(tmp, side=7, training=1, batch_size=1, seed=0),
        lambda _: SelectiveCopying(length=3, symbols=4, kinds=2, batch_size=1, seed=0),
        lambda _: InductionHeads(length=2, kinds=2, batch_size=1, seed=0),
    ],
)
def test_impossible_tasks_get_one_line(make, tmp_path):
    with pytest.raises(MambaDynamicsError, match=r"^expected .*found"):
        make(tmp_path)
