"""Every architecture's fixture against arrays that were read from its torch modules by attribute.

The fixtures and their golden arrays come from scripts/make_fixtures.py; nothing here needs torch.
"""

from pathlib import Path

import numpy as np
import pytest

from mamba_dynamics.checkpoints import open_checkpoint

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

# name: architecture, kind, d_inner, d_state, groups, heads, acts_on
EXPECTED = {
    "mamba": ("mamba", "mamba1", 32, 4, 1, 1, "x"),
    "falcon_mamba": ("falcon_mamba", "mamba1", 32, 4, 1, 1, "x"),
    "jamba": ("jamba", "mamba1", 32, 4, 1, 1, "x"),
    "zamba": ("zamba", "zamba", 32, 4, 2, 2, "x"),
    "mamba2": ("mamba2", "mamba2", 32, 6, 2, 4, "u"),
    "zamba2": ("zamba2", "mamba2", 32, 6, 2, 4, "u"),
    "bamba": ("bamba", "mamba2", 32, 6, 2, 4, "u"),
    "granitemoehybrid": ("granitemoehybrid", "mamba2", 32, 6, 2, 4, "u"),
    "falcon_h1": ("falcon_h1", "mamba2", 32, 6, 2, 4, "u"),
    "nemotron_h": ("nemotron_h", "mamba2", 32, 6, 2, 4, "u"),
    "mamba_ssm": ("mamba_ssm", "mamba1", 32, 4, 1, 1, "x"),
    "mamba_ssm_mamba2": ("mamba_ssm", "mamba2", 24, 5, 2, 6, "u"),
    "vim": ("vim", "vim", 32, 4, 2, 1, "x"),
    "vmamba": ("vmamba", "vmamba", 12, 3, 4, 1, "x"),
    "mamba_vision": ("mamba_vision", "mamba_vision", 16, 4, 1, 1, "x"),
}

#: Golden stages are float32, of order one, after at most seven steps of the scan.
STAGE_TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=EXPECTED)
def fixture(request):
    with np.load(FIXTURES / request.param / "golden.npz") as golden:
        return request.param, open_checkpoint(FIXTURES / request.param), dict(golden)


def test_every_fixture_is_listed():
    assert {path.name for path in FIXTURES.iterdir() if (path / "model.safetensors").exists()} == set(EXPECTED)


def test_architecture_names_and_sizes(fixture):
    name, checkpoint, golden = fixture
    architecture, kind, d_inner, d_state, groups, heads, acts_on = EXPECTED[name]
    assert checkpoint.architecture == architecture
    assert [slot.name for slot in checkpoint.layers] == list(golden["names"])
    assert len(checkpoint) == len(golden["names"]) >= 2
    for index, slot in enumerate(checkpoint.layers):
        layer = checkpoint.layer(index)
        assert (layer.name, layer.index, layer.kind) == (slot.name, slot.index, slot.kind) == (slot.name, index, kind)
        assert (slot.d_inner, slot.d_state, slot.groups, slot.heads) == (d_inner, d_state, groups, heads)
        assert (layer.d_inner, layer.d_state, layer.groups, layer.heads) == (d_inner, d_state, groups, heads)
        assert layer.acts_on == acts_on
        assert layer.channels == (slot.d_model if acts_on == "u" else d_inner // (heads if kind == "zamba" else 1))


def test_arrays_equal_the_modules_weights(fixture):
    _, checkpoint, golden = fixture
    for k in range(len(checkpoint)):
        layer = checkpoint.layer(k)
        for key in ("S_B", "S_C", "dt_bias"):
            np.testing.assert_array_equal(getattr(layer, key), golden[f"{k}.{key}"], err_msg=key)
        # exp, a product and a mean in float64, done twice: a few units in the last place
        np.testing.assert_allclose(layer.a, golden[f"{k}.a"], rtol=1e-14)
        np.testing.assert_allclose(layer.D_skip, golden[f"{k}.D"], rtol=1e-14)
        S_Delta = np.stack([layer.S_Delta(g) for g in range(layer.groups)])
        np.testing.assert_allclose(S_Delta, golden[f"{k}.S_Delta"], rtol=1e-13, atol=1e-14)


def test_only_the_layers_own_weights_are_read(fixture):
    _, checkpoint, _ = fixture
    before = checkpoint.bytes_read
    layer = checkpoint.layer(1)
    values = sum(v.size for v in (layer.S_B, layer.S_C, layer.dt_down, layer.dt_bias, layer.a, layer.D_skip))
    values += 0 if layer.dt_up is None else layer.dt_up.size
    norms = (layer.norms.B, layer.norms.C, layer.norms.dt)
    values += sum(norm.weight.size for norm in norms if norm is not None and norm.weight is not None)
    if any("per channel" in warning for warning in layer.warnings):
        values += layer.d_inner - layer.D_skip.size
    if any("in_proj.bias" in warning for warning in layer.warnings):
        values += layer.dt_bias.size
    assert checkpoint.bytes_read - before == 4 * values
    for k in [k for k in range(len(checkpoint)) if k != 1]:
        checkpoint.layer(k)
    assert checkpoint.bytes_read < checkpoint.bytes_total


def test_scan_of_the_layer_is_the_mixers(fixture):
    """From the layer's arrays alone, the golden input gives the golden B, C, step sizes and scan."""
    name, checkpoint, golden = fixture
    layer = checkpoint.layer(0)
    per_direction = golden["x"].ndim == 3
    outputs = []
    for g in range(layer.groups):
        x = golden["x"][g] if per_direction else golden["x"]
        if layer.acts_on == "x":
            mine = slice(None) if per_direction or layer.groups == 1 else slice(g * layer.steps, (g + 1) * layer.steps)
            x = x[:, mine]
            B, C = normed(layer.norms.B, x @ layer.S_B[g].T), normed(layer.norms.C, x @ layer.S_C[g].T)
            np.testing.assert_allclose(B, golden["B"][g], **STAGE_TOLERANCE)
            np.testing.assert_allclose(C, golden["C"][g], **STAGE_TOLERANCE)
            raw = normed(layer.norms.dt, x @ layer.dt_down[g].T) @ layer.dt_up[g].T
        else:
            B, C = golden["B"][g], golden["C"][g]
            raw = layer.multipliers.dt * golden["u"] @ layer.dt_down[g].T
            width = layer.d_inner // layer.groups
            x = x[:, g * width : (g + 1) * width]
        dt = np.clip(np.logaddexp(0, raw + layer.dt_bias[g]), *layer.dt_limit)
        np.testing.assert_allclose(dt, golden["dt"][g], **STAGE_TOLERANCE)
        outputs.append(scan(layer.a[g], dt, x, B, C))
    y = np.stack(outputs) if per_direction else np.concatenate(outputs, axis=1)
    np.testing.assert_allclose(y, golden["scan"], err_msg=name, **STAGE_TOLERANCE)


def normed(norm, v):
    if norm is None:
        return v
    weight = 1.0 if norm.weight is None else norm.weight
    return weight * v / np.sqrt((v**2).mean(-1, keepdims=True) + norm.eps)


def scan(a, dt, x, B, C):
    """The recurrence of theory section 1, token by token; steps shared by consecutive channels."""
    channels = x.shape[1] // dt.shape[1]
    a, dt = np.repeat(a, channels, axis=0), np.repeat(dt, channels, axis=1)
    h, y = np.zeros((x.shape[1], B.shape[1])), []
    for token in range(len(x)):
        step = dt[token][:, None]
        h = np.exp(-step * a) * h + step * B[token] * x[token][:, None]
        y.append(h @ C[token])
    return np.array(y)


def test_config_facts_reach_the_layer():
    clamped = open_checkpoint(FIXTURES / "mamba2")
    assert clamped.layer(0).dt_limit == (0.2, 1.5)
    with np.load(FIXTURES / "mamba2" / "golden.npz") as golden:
        assert golden["dt"].min() == np.float32(0.2)
        assert golden["dt"].max() == np.float32(1.5)
    multipliers = open_checkpoint(FIXTURES / "falcon_h1").layer(0).multipliers
    assert (multipliers.x, multipliers.B, multipliers.C, multipliers.dt) == (
        1.25 * 1.5,
        1.25 * 0.5,
        1.25 * 2.0,
        1.25 * 1.125,
    )
    assert open_checkpoint(FIXTURES / "mamba").layer(0).dt_limit == (0.0, np.inf)


def test_norms():
    falcon = open_checkpoint(FIXTURES / "falcon_mamba").layer(0)
    assert falcon.norms.known
    assert all(norm is not None and norm.weight is None for norm in (falcon.norms.B, falcon.norms.C, falcon.norms.dt))
    jamba = open_checkpoint(FIXTURES / "jamba").layer(0)
    assert jamba.norms.B is not None
    assert jamba.norms.B.weight is not None
    assert jamba.norms.B.weight.shape == (4,)
    for layer in (falcon, jamba):
        assert "norms on B, C and the step size" in layer.dropped
        assert any("before the norm" in warning for warning in layer.warnings)
    mamba = open_checkpoint(FIXTURES / "mamba").layer(0)
    assert mamba.norms.known
    assert not mamba.norms.any
    assert not mamba.warnings


def test_what_is_dropped_beyond_the_bare_layer():
    def dropped(name):
        return open_checkpoint(FIXTURES / name).layer(0).dropped

    assert "convolution and SiLU on B and C" in dropped("bamba")
    assert "gated RMS norm" in dropped("bamba")
    assert "gated RMS norm" not in dropped("falcon_h1")  # mamba_rms_norm is off in this config
    assert "attention beside the scan in every layer" in dropped("falcon_h1")
    assert "residual multiplier" in dropped("granitemoehybrid")
    assert "cross-direction merge" in dropped("vim")
    assert "cross-direction merge" in dropped("vmamba")
    assert "convolution and SiLU on B and C" not in dropped("mamba")


def test_directions_and_feed_forward_branch_are_told():
    vim = open_checkpoint(FIXTURES / "vim").layer(0)
    assert vim.group_axis == "direction"
    assert vim.warnings == ("direction 1 sees the tokens in reverse order",)
    vmamba = open_checkpoint(FIXTURES / "vmamba").layer(0)
    assert vmamba.group_axis == "direction"
    assert len(vmamba.warnings) == 3
    assert open_checkpoint(FIXTURES / "zamba").layer(0).group_axis == "head"
    branch = open_checkpoint(FIXTURES / "mamba_ssm_mamba2").layer(0)
    assert any("branch of width 8" in warning for warning in branch.warnings)
    assert any("u-space" in warning for warning in branch.warnings)
