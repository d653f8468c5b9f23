"""The bundled sample model is whole, small, really trained, and made by the script that says it made it."""

import importlib.util
import json
import subprocess
import sys
import sysconfig
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
import pytest
from numpy_mamba import NumpyMamba
from safetensors.numpy import load_file

from mamba_dynamics.sample import sample_path

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "train_sample.py"

#: The script computes on processors.
ON_PROCESSORS = pytest.mark.skipif(jax.default_backend() != "cpu", reason="JAX is already on a GPU in this process")

# Written for this test, so no model can have been trained on it.
UNSEEN_TEXT = b'''
class ParcelSorter:
    """Sort parcels into bins by weight, keeping the heaviest at the bottom.

    A bin refuses a parcel that would take it over its limit.
    """

    def __init__(self, limit=250, bins=None):
        self.limit = limit
        self.bins = [] if bins is None else list(bins)

    def add(self, parcel):
        if not isinstance(parcel, Parcel):
            raise TypeError("expected a Parcel, got %r" % type(parcel))
        for index, current in enumerate(self.bins):
            if current.weight + parcel.weight <= self.limit:
                current.append(parcel)
                return index
        self.bins.append(Bin([parcel]))
        return len(self.bins) - 1

    def __len__(self):
        return sum(len(current) for current in self.bins)
'''


@pytest.fixture(scope="module")
def script():
    """The training script as a module."""
    pytest.importorskip("optax", reason="the training script needs the train extra (optax)")
    spec = importlib.util.spec_from_file_location("train_sample", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their own module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def config():
    return json.loads((sample_path() / "config.json").read_text())


@pytest.fixture(scope="module")
def weights():
    return load_file(sample_path() / "model.safetensors")


def expected_shapes(config) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a tied `mamba` checkpoint without projection biases, from its config."""
    d, E, N = config["hidden_size"], config["intermediate_size"], config["state_size"]
    R, k = config["time_step_rank"], config["conv_kernel"]
    mixer = {
        "in_proj.weight": (2 * E, d),
        "conv1d.weight": (E, 1, k),
        "conv1d.bias": (E,),
        "x_proj.weight": (R + 2 * N, E),
        "dt_proj.weight": (E, R),
        "dt_proj.bias": (E,),
        "A_log": (E, N),
        "D": (E,),
        "out_proj.weight": (d, E),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "backbone.embeddings.weight": (config["vocab_size"], d),
        "backbone.norm_f.weight": (d,),
    }
    for i in range(config["num_hidden_layers"]):
        shapes[f"backbone.layers.{i}.norm.weight"] = (d,)
        shapes |= {f"backbone.layers.{i}.mixer.{name}": shape for name, shape in mixer.items()}
    return shapes


def bigram_bits_per_byte(training: bytes, text: bytes) -> float:
    """Cost per byte of the add-one-smoothed byte-bigram model."""
    seen = np.ones((256, 256))
    former, latter = (np.frombuffer(part, np.uint8) for part in (training[:-1], training[1:]))
    np.add.at(seen, (former, latter), 1)
    probability = seen / seen.sum(axis=1, keepdims=True)
    return float(np.mean([-np.log2(probability[i, j]) for i, j in pairwise(text)]))


def test_names_and_shapes_agree_with_the_config(config, weights):
    assert config["model_type"] == "mamba"
    assert {name: value.shape for name, value in weights.items()} == expected_shapes(config)
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(value).all() for value in weights.values())


def test_the_sample_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in sample_path().iterdir() if path.is_file()) <= 1_200_000


def test_training_moved_the_decay_rates_and_step_sizes(config, weights):
    start = np.log(np.arange(1.0, config["state_size"] + 1))
    for i in range(config["num_hidden_layers"]):
        mixer = f"backbone.layers.{i}.mixer."
        # Far beyond float32 rounding of log(n), which is below 3e-7.
        assert np.abs(weights[mixer + "A_log"] - start).max() > 0.1
        assert np.abs(weights[mixer + "D"] - 1.0).max() > 0.1


def test_the_sample_predicts_unseen_code_better_than_bigrams():
    stdlib = Path(sysconfig.get_path("stdlib"))
    training = b"".join(path.read_bytes() for path in sorted(stdlib.glob("*.py")))
    sample = NumpyMamba(sample_path()).bits_per_byte(UNSEEN_TEXT)
    # A full bit is a wide margin: it halves the perplexity, and chance differences on 900 bytes are a tenth of it.
    assert sample < bigram_bits_per_byte(training, UNSEEN_TEXT) - 1.0


def test_finding_the_sample_needs_no_jax():
    code = "import sys; from mamba_dynamics.sample import sample_path; sample_path(); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@ON_PROCESSORS
def test_the_script_s_forward_pass_agrees_with_numpy(script):
    folder = sample_path()
    params = load_file(folder / "model.safetensors")
    tokens = np.frombuffer(UNSEEN_TEXT[:200], np.uint8).astype(np.int32)
    # Two windows in one batch: the second is the first one reversed, so mixing them up would show.
    both = np.stack([tokens, tokens[::-1]], axis=1)
    logits = np.asarray(script.forward(params, both))
    oracle = NumpyMamba(folder)
    expected = np.stack([oracle.logits(both[:, 0]), oracle.logits(both[:, 1])], axis=1)
    # float32 through four layers: 1e-7 relative rounding, logits of size 20, some hundred additions each.
    np.testing.assert_allclose(logits, expected, atol=2e-4)


def test_the_script_s_bigram_baseline_agrees_with_a_count_by_hand(script):
    # After a come a once and b twice, after b comes a once; adding one to each of 256 followers gives
    # P(b|a) = 3/259 and P(a|b) = 2/257.
    training, held_out = (np.frombuffer(text, np.uint8) for text in (b"aabab", b"aba"))
    expected = -(np.log2(3 / 259) + np.log2(2 / 257)) / 2
    assert script.bigram_bits_per_byte(training, held_out) == pytest.approx(expected, rel=1e-12)


def test_windows_make_every_byte_a_target_once(script):
    text = np.arange(23, dtype=np.uint8)
    windows = script.consecutive_windows(text, 5)
    assert windows[1:].T.ravel().tolist() == list(range(1, 21))
    assert (windows[1:] - windows[:-1] == 1).all()
    drawn = next(script.random_batches(text, 5, 64, seed=3))
    assert drawn.shape == (6, 64)
    assert set(drawn[0]) == set(range(18))


def test_held_out_files_are_not_trained_on(script):
    files = script.standard_library_files()
    assert files == script.standard_library_files()
    assert not [path for path in files if "test" in path.parts or "site-packages" in path.parts]
    training, held_out = script.load_split()
    # One zero byte closes each file.
    assert int((training == 0).sum() + (held_out == 0).sum()) == len(files)
    assert int((held_out == 0).sum()) == len(files) // 20
    assert training.size + held_out.size == sum(path.stat().st_size for path in files) + len(files)


@pytest.mark.slow
@ON_PROCESSORS
def test_two_steps_of_training_write_a_checkpoint_that_repeats(script, tmp_path, capsys, monkeypatch):
    tiny = ["--steps", "2", "--width", "16", "--layers", "1", "--window", "32", "--batch", "4", "--report-every", "1"]
    text = np.frombuffer(SCRIPT.read_bytes(), np.uint8)
    monkeypatch.setattr(script, "load_split", lambda: (text[:-2000], text[-2000:]))
    for name in ("one", "two"):
        script.main([*tiny, "--out", str(tmp_path / name)])
        printed = capsys.readouterr()
        figures = json.loads(printed.out)
        assert "step 2/2" in printed.err
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    weights = load_file(tmp_path / "one" / "model.safetensors")
    assert {name: value.shape for name, value in weights.items()} == expected_shapes(config)
    assert figures["parameters"] == sum(value.size for value in weights.values())
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["config.json", "model.safetensors"]
    # The reported figure is the saved model's own cost, here counted by the oracle window by window.
    windows = script.consecutive_windows(text[-2000:], 32)
    oracle = NumpyMamba(tmp_path / "one")
    costs = [oracle.bits_per_byte(bytes(window.astype(np.uint8))) for window in windows.T]
    assert figures["held_out_bits_per_byte"] == pytest.approx(np.mean(costs), abs=1e-5)
