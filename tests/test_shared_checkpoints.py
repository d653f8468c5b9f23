"""Every real checkpoint beside the checkout is classified, or refused with the right line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mamba_dynamics import open_checkpoint
from mamba_dynamics.cli import app


def classify(*arguments):
    return CliRunner().invoke(app, ["classify", *map(str, arguments), "--json"])


def check_against_numpy(path, result):
    """Eigenvalues, inertia and channels of every layer and group against dense numpy on the extracted arrays."""
    assert result.exit_code == 0, result.stderr
    checkpoint = open_checkpoint(path)
    layers = json.loads(result.stdout)["layers"]
    for i, found in enumerate(layers):
        layer = checkpoint.layer(i)
        spectra, channels = found["spectrum"], found["channels"]
        several = spectra if isinstance(spectra, list) else [spectra]
        counted = channels if isinstance(channels, list) else [channels]
        assert len(several) == layer.groups
        for group, (spectrum, counts) in enumerate(zip(several, counted, strict=True)):
            K = layer.S_B[group] @ layer.S_C[group].T
            want = np.sort_complex(np.linalg.eigvals(K).round(8))
            got = np.sort_complex(np.array([complex(*z) for z in spectrum["eigenvalues"]]).round(8))
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
            assert spectrum["positive"] == np.sum(want.real > 0)
            assert counts["convergent"] == np.sum((layer.S_B[group] * layer.S_C[group]).sum(axis=0) < 0)
    return layers


def test_one_layer_of_a_language_model(shared):
    folder = shared / "checkpoints" / "mamba-130m-one-layer"
    (layer,) = check_against_numpy(folder, classify(folder))
    assert (layer["name"], layer["d_inner"], layer["d_state"]) == ("backbone.layers.0.mixer", 1536, 16)
    assert layer["channels"]["convergent"] == 905
    assert (layer["symmetric_part"]["positive"], layer["symmetric_part"]["negative"]) == (16, 16)


@pytest.mark.long
def test_its_own_tokens_blow_up(shared, tmp_path):
    """The story of the ten real tokens, from the command line."""
    folder = shared / "checkpoints" / "mamba-130m-one-layer"
    with np.load(folder / "reference.npz") as reference:
        np.save(tmp_path / "x.npy", reference["x_conv"])
    (layer,) = json.loads(classify(folder, "--tokens", tmp_path / "x.npy").stdout)["layers"]
    tokens = layer["tokens"]
    (run,) = tokens["runs"]
    assert layer["scenario"]["tokens"] == "fast_divergence"
    assert run["blow_up_time"] == pytest.approx(0.0040467915, rel=1e-6)
    assert run["blow_up_token"] == 2
    assert run["fates"][:4] == ["bounded_at_blow_up", "fast_divergence", "fast_divergence", "bounded_at_blow_up"]
    aligned = [0.254, 0.254, 0.184, 0.352, 0.080, 0.377, 0.365, 0.244, 0.105, -0.014]
    assert tokens["alignment_mean"] == pytest.approx(np.mean(aligned), abs=5e-4)
    assert tokens["alignment_negative_fraction"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "layers", "D", "N", "groups"),
    [
        ("positioning-mamba1-4layer.pt", 4, 256, 16, 1),
        ("super-resolution-ss2d.pth", 8, 90, 16, 4),
        ("ecg-whole-module-pickle.pth", 1, 24, 12, 1),
    ],
)
def test_torch_files(shared, name, layers, D, N, groups):
    path = shared / "checkpoints" / name
    found = check_against_numpy(path, classify(path))
    assert len(found) == layers
    assert {(layer["d_inner"], layer["d_state"], layer["groups"]) for layer in found} == {(D, N, groups)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mamba2-130m-layer0-step/step.npz", ["in_proj.weight"]),
    ],
)
def test_refusals(shared, name, words):
    result = classify(shared / "checkpoints" / name)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words)
