"""What reads one of several copies of a model: texts, the commands, the gate, the document, a sweep."""

import json

import numpy as np
import pytest
from archive_files import write_index
from click.testing import CliRunner
from copy_files import layers_below, roots_of
from numpy_mamba import NumpyMamba
from safetensors.numpy import load_file, save_file
from small_checkpoints import E, R, mamba1, write

from mamba_dynamics import classify_checkpoint, load_model, sample_path
from mamba_dynamics._errors import SweepError, UnsupportedArchitecture
from mamba_dynamics.checkpoints import open_checkpoint
from mamba_dynamics.cli import app
from mamba_dynamics.sweeps.channels import read_channels


def test_shards_and_their_copies(tmp_path):
    """Copies in shards of their own, behind one index."""
    where = {}
    for shard, (prefix, layer) in enumerate(layers_below("model.", "model_ema.").items()):
        tensors = {prefix + name: value for name, value in layer.items()}
        save_file(tensors, tmp_path / f"part-{shard % 4}-{shard}.safetensors")
        where |= dict.fromkeys(tensors, f"part-{shard % 4}-{shard}.safetensors")
    index = write_index(tmp_path / "model.safetensors.index.json", where)
    for path in (tmp_path, index):
        checkpoint = open_checkpoint(path)
        assert roots_of(checkpoint) == ["model."]
        assert checkpoint.copies == ("model_ema",)
        ema = open_checkpoint(path, weights="model_ema")
        assert ema.bytes_total == checkpoint.bytes_total
        np.testing.assert_array_equal(ema.layer(2).dt_bias[0], mamba1(seed=102)["dt_proj.bias"])


def test_torch_averaged_model(tmp_path):
    """What torch itself saves: weights, their average with its counter, and an optimizer."""
    torch = pytest.importorskip("torch", reason="torch is an extra, and is not installed here")
    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList()
    for seed in range(2):
        mixer = torch.nn.Module()
        for name, value in mamba1(seed).items():
            owner, _, last = name.rpartition(".")
            if owner and not hasattr(mixer, owner):
                mixer.add_module(owner, torch.nn.Module())
            module = getattr(mixer, owner) if owner else mixer
            module.register_parameter(last, torch.nn.Parameter(torch.tensor(value)))
        model.layers.append(mixer)
    average = torch.optim.swa_utils.AveragedModel(model)
    optimizer = torch.optim.Adam(model.parameters())
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    state = {"model": model.state_dict(), "swa": average.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, tmp_path / "last.pt")
    checkpoint = open_checkpoint(tmp_path / "last.pt")
    assert (len(checkpoint), checkpoint.weights, checkpoint.copies) == (2, "model", ("swa.module",))
    np.testing.assert_array_equal(
        open_checkpoint(tmp_path / "last.pt", weights="swa").layer(1).dt_bias[0], mamba1(seed=1)["dt_proj.bias"]
    )


@pytest.fixture
def doubled(tmp_path):
    """The sample model and another one in a file, and the folders of each alone."""
    plain = load_file(sample_path() / "model.safetensors")
    rng = np.random.default_rng(0)
    average = {name: value * (1 + 0.2 * rng.random(value.shape, np.float32)) for name, value in plain.items()}
    config = (sample_path() / "config.json").read_text()
    copies = {"model.": plain, "ema_model.module.": average}
    both = {root + name: value for root, tensors in copies.items() for name, value in tensors.items()}
    for name, tensors in {
        "plain": plain,
        "average": average,
        "both": both | {"ema_model.n_averaged": np.array(3)},
        "nested": {"state." + name: value for name, value in plain.items()}
        | {"state.ema." + name: value for name, value in average.items()},
        "bare": plain | {"ema." + name: value for name, value in average.items()} | {"n_averaged": np.array(3)},
    }.items():
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "model.safetensors")
        (tmp_path / name / "config.json").write_text(config)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "weights", "alone"),
    [
        ("both", None, "plain"),
        ("both", "model", "plain"),
        ("both", "ema_model", "average"),
        ("both", "ema_model.module.backbone", "average"),
        ("nested", None, "plain"),
        ("nested", "state", "plain"),
        ("nested", "state.ema", "average"),
        ("bare", None, "plain"),
        ("bare", "ema", "average"),
        ("bare", "backbone", "plain"),
    ],
)
def test_a_text_runs_through_the_chosen_copy(doubled, file, weights, alone):
    """Its embedding, blocks, norm and head: against a forward pass in plain numpy of that copy alone."""
    ids = np.array([70, 111, 120, 10])
    model = load_model(open_checkpoint(doubled / file, weights=weights), dtype="float64")
    np.testing.assert_allclose(np.asarray(model(ids)), NumpyMamba(doubled / alone).logits(ids), rtol=1e-9, atol=1e-9)


def test_a_part_of_a_copy_runs_no_text(doubled):
    with pytest.raises(UnsupportedArchitecture, match=r"backbone\.layers\.1"):
        load_model(open_checkpoint(doubled / "both", weights="model.backbone.layers.0"))


def test_two_copies_as_one_run_no_text(doubled):
    (doubled / "both" / "config.json").unlink()
    with pytest.raises(UnsupportedArchitecture, match="--weights"):
        load_model(open_checkpoint(doubled / "both", weights=""))


def test_classify_says_which_copy_it_judged(doubled):
    report = classify_checkpoint(doubled / "both", weights="ema_model", ids=[70, 111], layers=[0], integrate=0)
    alone = classify_checkpoint(doubled / "average", ids=[70, 111], layers=[0], integrate=0)
    judged, wanted = report.layers[0], alone.layers[0]
    np.testing.assert_array_equal(judged.tokens.statistics.alignment, wanted.tokens.statistics.alignment)
    assert report.settings["weights"] == "ema_model"
    page = classify_checkpoint(doubled / "both").to_html()
    assert "ema_model.module" in page
    assert "--weights" in page


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def definite(sign, seed):
    """A layer with sign * S_B = S_C: all its channels have that sign."""
    C = np.random.default_rng(seed).normal(size=(E, E)) + 2 * np.eye(E)
    x_proj = np.concatenate([np.zeros((R, E)), sign * C, C])
    return mamba1(seed) | {"A_log": np.zeros((E, E)), "x_proj.weight": x_proj}


def test_a_gate_counts_the_layers_of_one_copy(tmp_path):
    layers = {f"model.layers.{i}.mixer.": definite(-1, i) for i in range(3)}
    layers |= {f"ema.layers.{i}.mixer.": definite(+1, i) for i in range(3)}
    write(tmp_path, layers)
    plain = run("classify", tmp_path, "--fail-on", "divergent")
    assert plain.exit_code == 0, plain.stderr
    assert "3 S6 layers below model" in plain.stdout
    assert "copies:" in plain.stdout
    ema = run("classify", tmp_path, "--weights", "ema", "--fail-on", "divergent")
    assert ema.exit_code == 4
    assert "3 of 3 layers show" in ema.stderr
    assert "3 of 6" in run("classify", tmp_path, "--weights", "", "--fail-on", "divergent").stderr


def test_the_document_has_the_copies(tmp_path):
    write(tmp_path, {"model.": definite(-1, 0), "ema.": definite(-1, 1)})
    found = json.loads(run("classify", tmp_path, "--json").stdout)["checkpoint"]
    assert (found["layers"], found["weights"], found["copies"]) == (1, "model", ["ema"])
    found = json.loads(run("classify", tmp_path, "--json", "--weights", "ema").stdout)["checkpoint"]
    assert (found["layers"], found["weights"], found["copies"]) == (1, "ema", ["model"])
    found = json.loads(run("classify", write(tmp_path, {"m.": definite(-1, 0)}), "--json").stdout)["checkpoint"]
    assert (found["layers"], found["weights"], found["copies"]) == (1, None, [])


@pytest.mark.parametrize("command", ["classify", "report", "fidelity"])
def test_every_command_takes_a_prefix(doubled, tmp_path, command):
    out = ["--out", tmp_path / "page.html"] if command == "report" else []
    refused = run(command, doubled / "both", "--weights", "emma", *out)
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert "'ema_model'" in refused.stderr


def test_a_sweep_over_channels_takes_a_prefix(tmp_path):
    write(tmp_path, layers_below("model.", "ema.", count=1))
    for weights, seed in ((None, 0), ("ema", 100)):
        table = {"path": str(tmp_path)} | ({} if weights is None else {"weights": weights})
        channels = read_channels(table)
        np.testing.assert_array_equal(channels.dt_bias[0], mamba1(seed=seed)["dt_proj.bias"])
        assert any("copies" in line for line in channels.warnings) is (weights is None)
    with pytest.raises(SweepError, match="prefix"):
        read_channels({"path": str(tmp_path), "weights": 3})
