"""Tables of tensors: every tensor of every layout with every kind of wrong shape."""

import re
import tracemalloc

import numpy as np
import pytest
from small_checkpoints import (
    D_MODEL,
    E,
    N,
    R,
    arrays_of,
    directions,
    full_mamba2,
    full_rank,
    jamba,
    mamba1,
    mamba2,
    mamba_beat,
    message,
    vmamba,
    vmamba_m2,
    write,
    zamba,
)

from mamba_dynamics import classify_checkpoint
from mamba_dynamics._errors import CheckpointError, LayerShapeError, MissingTensor, UnsafeFile
from mamba_dynamics.checkpoints import open_checkpoint
from mamba_dynamics.checkpoints.files import WeightFile
from mamba_dynamics.checkpoints.layouts import LAYOUTS, find_layers
from mamba_dynamics.checkpoints.safetensors import SafetensorsArchive
from mamba_dynamics.checkpoints.tensor_table import solve, table

OF_A_CONVOLUTION = {"weight": (E, 1, 3), "bias": (E,)}
CONVOLUTIONS = {f"conv1d_{tag}.{name}": np.ones(shape) for tag in "bs" for name, shape in OF_A_CONVOLUTION.items()}
#: A layer of every layout with every tensor that its table names, and what opening it needs.
LAYERS = {
    "mamba1": (jamba(), {}),
    "mamba1 at full rank": (full_rank(), {}),
    "vim": (directions("b", "s") | CONVOLUTIONS, {}),
    "mamba_vision": (
        mamba1() | {f"conv1d_{x}.{name}": np.ones(shape) for x in "xz" for name, shape in OF_A_CONVOLUTION.items()},
        {},
    ),
    "mamba_beat": (mamba_beat(), {}),
    "mamba2": (full_mamba2(), {"groups": 2}),
    "zamba": (zamba(), {}),
    "vmamba": (vmamba(), {}),
    "vmamba_m2": (vmamba_m2(), {}),
}
TENSORS = [(name, tensor) for name, (layer, _) in LAYERS.items() for tensor in layer]
HUGE = 268435456
#: Shapes that contradict nothing: a D for each head of VMamba, another width of the residual stream.
POSSIBLE = {("vmamba_m2", "Ds", (4, 3)), ("mamba2", "in_proj.weight", (30, D_MODEL + 1))}


def found_layer(folder):
    (layer,) = find_layers(SafetensorsArchive(WeightFile.at(folder / "model.safetensors")))
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_every_layout_is_read_and_every_row_of_its_table_is_tried(tmp_path, name):
    layer, options = LAYERS[name]
    folder = write(tmp_path, {"m.": layer})
    checkpoint = open_checkpoint(folder, **options)
    assert checkpoint.layers[0].kind == name.partition(" ")[0]
    assert checkpoint.layers[0].left_out == ()
    found = found_layer(folder)
    if name in ("vim", "mamba_vision", "mamba_beat"):
        return  # whose rows are those of mamba1, which is tried with all of them
    missing = [row.names for row in found.layout.rows(found.tensors) if row.present(found.tensors) is None]
    assert not missing


def test_every_layout_is_among_them():
    assert {name.partition(" ")[0] for name in LAYERS} == {layout.kind for layout in LAYOUTS}


def outcome(folder, options):
    """The arrays that are read, or the one line."""
    try:
        layer = open_checkpoint(folder, **options).layer(0)
    except (CheckpointError, LayerShapeError) as error:
        text = str(error)
        assert "\n" not in text
        assert text.isascii()
        return text
    return arrays_of(layer)


def wrong_shapes(shape):
    """Shapes of another rank, with an axis longer, empty, or empty beside a huge one."""
    yield "scalar", ()
    yield "one axis more", (*shape, 2)
    if len(shape) > 1:
        yield "one axis less", shape[:-1]
    for axis in range(len(shape)):
        yield f"axis {axis} longer", (*shape[:axis], shape[axis] + 1, *shape[axis + 1 :])
        yield f"axis {axis} empty", (*shape[:axis], 0, *shape[axis + 1 :])
        if len(shape) > 1:
            other = (axis + 1) % len(shape)
            yield (
                f"axis {axis} empty beside a huge one",
                tuple(0 if k == axis else HUGE if k == other else length for k, length in enumerate(shape)),
            )
    yield "a placeholder", (0,)


@pytest.mark.parametrize(("name", "tensor"), TENSORS)
def test_every_wrong_shape_is_named_or_does_not_matter(tmp_path, name, tensor):
    layer, options = LAYERS[name]
    right = outcome(write(tmp_path, {"m.": layer}), options)
    assert isinstance(right, dict)
    used = f"m.{tensor}" in open_checkpoint(tmp_path, **options).layers[0].tensors
    for what, shape in wrong_shapes(layer[tensor].shape):
        marks_another = tensor == "A_log" and len(shape) != layer[tensor].ndim
        if marks_another or (name, tensor, shape) in POSSIBLE:
            continue
        folder = write(tmp_path, {"m.": layer | {tensor: np.ones(shape)}})
        found = outcome(folder, options)
        if isinstance(found, str):
            assert tensor in found, (what, found)
            continue
        assert not used, (what, "was read although it contradicts the others")
        for key, value in right.items():
            np.testing.assert_array_equal(found[key], value, err_msg=what)


@pytest.mark.parametrize("name", LAYERS)
def test_rates_of_every_rank(tmp_path, name):
    layer, options = LAYERS[name]
    marker = "A_logs" if "A_logs" in layer else "A_log"
    for rank in range(5):
        if rank != layer[marker].ndim:
            text = outcome(write(tmp_path, {"m.": layer | {marker: np.ones((2,) * rank)}}), options)
            assert isinstance(text, str), rank


def test_a_huge_axis_beside_an_empty_one_costs_nothing(tmp_path):
    layer = {"A_log": np.ones((1, 1)), "dt_proj.weight": np.ones((1, 0)), "dt_proj.bias": np.ones(1)}
    layer |= {"x_proj.weight": np.ones((2, 1)), "x_proj.bias": np.ones((0, HUGE))}
    folder = write(tmp_path, {"layers.0.mixer.": layer})
    tracemalloc.start()
    try:
        found = outcome(folder, {})
        assert "layers.0.mixer: dt_proj.weight should hold numbers, found shape (1, 0)" in found
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_mamba2_without_heads(tmp_path):
    layer = mamba2() | {"A_log": np.zeros(0), "dt_bias": np.zeros(0)}
    assert "m: A_log should hold numbers, found shape (0,)" in message(CheckpointError, write(tmp_path, {"m.": layer}))


def test_placeholders_of_a_divided_model(tmp_path):
    layer = {name: value if value.ndim == 1 or name == "A_log" else np.zeros(0) for name, value in mamba1().items()}
    text = message(CheckpointError, write(tmp_path, {"m.": layer}))
    assert "ZeRO-3" in text
    assert "zero_to_fp32.py" in text


def test_scans_of_different_ranks_are_refused(tmp_path):
    layer = directions("b")
    layer["dt_proj_b.weight"] = np.ones((E, R + 1))
    layer["x_proj_b.weight"] = np.ones((R + 1 + 2 * N, E))
    text = message(CheckpointError, write(tmp_path, {"m.": layer}))
    assert f"dt_proj_b.weight should have shape ({E}, {R})" in text


# --- what tables can say ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(E, 1, 4), (E, 4, 1), (E, 4)])
def test_convolutions_in_both_orders_of_axes(tmp_path, shape):
    folder = write(
        tmp_path, {"m.": mamba1() | {"conv1d.weight": np.ones(shape)}}, {"model_type": "mamba", "conv_kernel": 4}
    )
    assert len(open_checkpoint(folder)) == 1
    folder = write(
        tmp_path, {"m.": mamba1() | {"conv1d.weight": np.ones(shape)}}, {"model_type": "mamba", "conv_kernel": 3}
    )
    assert "d_conv is 4" in message(CheckpointError, folder)


def test_values_beyond_the_file_are_refused_before_they_are_read(tmp_path, monkeypatch):
    """A format may repeat numbers without storing them (torch's strides), so a shape may claim more than a file has."""
    folder, real = write(tmp_path, {"m.": mamba1() | {"conv1d.bias": np.ones(3)}}), SafetensorsArchive.shape
    monkeypatch.setattr(
        SafetensorsArchive, "shape", lambda self, name: (2**40,) if name == "m.conv1d.bias" else real(self, name)
    )
    with pytest.raises(UnsafeFile, match=r"conv1d\.bias of a layer"):
        open_checkpoint(folder)


def test_a_table_that_needs_two_unknown_sizes_is_a_fault_of_the_table(tmp_path):
    found = found_layer(write(tmp_path, {"m.": mamba1()}))
    with pytest.raises(ValueError, match="one size that earlier rows do not show"):
        solve(table("A_log | EP, N | required"), found.tensors)
    with pytest.raises(ValueError, match="required, optional or unused"):
        table("A_log | E, N | perhaps")


def test_sums_and_products_of_sizes(tmp_path):
    found = found_layer(write(tmp_path, {"m.": mamba1()}))
    sizes = solve(
        table("A_log | E, N | required\nx_proj.weight | R + 2N, E | required\nD | 2Q | required"), found.tensors
    )
    assert {size: fact.value for size, fact in sizes.items()} == {"E": E, "N": N, "R": R, "Q": E // 2}
    assert sizes["R"].source == "x_proj.weight"
    with pytest.raises(
        CheckpointError, match=r"D should have shape \(12,\) \(EQ with E = 6 by A_log, Q = 2 by in_proj"
    ):
        solve(table("A_log | E, N | required\nin_proj.weight | 6Q, d | unused\nD | EQ | optional"), found.tensors)


# --- layouts that were refused ------------------------------------------------------------------


def test_a_step_size_of_full_rank(tmp_path):
    layer, x = full_rank(), np.random.default_rng(3).standard_normal(E)
    config = {"model_type": "mamba", "hidden_size": D_MODEL, "time_step_rank": 160}
    checkpoint = open_checkpoint(write(tmp_path, {"m.": layer}, config))
    read = checkpoint.layer(0)
    np.testing.assert_allclose(
        read.raw_step_sizes(x[None])[0], layer["dt_proj.weight"] @ x + layer["dt_proj.bias"], rtol=1e-13
    )
    np.testing.assert_array_equal(read.S_B[0], layer["x_proj.weight"][:N])
    np.testing.assert_array_equal(read.S_C[0], layer["x_proj.weight"][N:])
    np.testing.assert_allclose(read.S_Delta_diagonal(), np.diag(layer["dt_proj.weight"]), rtol=1e-13)
    assert read.norms.dt is None
    report = classify_checkpoint(tmp_path)
    assert report.layers[0].error is None


def test_rows_of_the_step_size_may_come_last(tmp_path):
    layer, x = mamba_beat(), np.random.default_rng(3).standard_normal(E)
    checkpoint = open_checkpoint(write(tmp_path, {"layers.0.": layer}))
    assert (checkpoint.architecture, checkpoint.warnings) == ("mamba_beat", ())
    read = checkpoint.layer(0)
    B, C, low = np.split(layer["selection.weight"] @ x + layer["selection.bias"], [N, 2 * N])
    np.testing.assert_allclose(
        read.raw_step_sizes(x[None])[0], layer["dt_proj.weight"] @ low + layer["dt_proj.bias"], rtol=1e-12
    )
    np.testing.assert_allclose(read.S_B[0] @ x + layer["selection.bias"][:N], B, rtol=1e-12)
    np.testing.assert_allclose(read.S_C[0] @ x + layer["selection.bias"][N : 2 * N], C, rtol=1e-12)
    assert any("selection.bias shifts" in warning for warning in read.warnings)


def test_heads_of_scan_directions_share_their_step_sizes(tmp_path):
    heads, P, rng = 3, E // 3, np.random.default_rng(4)
    layer = vmamba_m2(heads=heads)
    x = rng.standard_normal(E)
    for flat in (False, True):
        stored = layer | ({"A_logs": layer["A_logs"].ravel()} if flat else {})
        read = open_checkpoint(write(tmp_path, {"m.": stored})).layer(0)
        assert (read.groups, read.steps, read.acts_on, read.group_axis) == (4, E, "x", "direction")
        for k in range(4):
            rows = layer["x_proj_weight"][k] @ x + layer["x_proj_bias"][k]
            steps = rows[:heads] + layer["dt_projs_bias"][k]
            for channel in range(E):
                h = channel // P
                np.testing.assert_allclose(read.raw_step_sizes(x[None], k)[0, channel], steps[h], rtol=1e-12)
                assert read.a[k, channel, 0] == np.exp(layer["A_logs"][k, h])
                assert read.D_skip[k, channel] == layer["Ds"][k, h, channel % P]
            np.testing.assert_array_equal(read.S_C[k], layer["x_proj_weight"][k, heads + N :])


def test_groups_are_named_with_the_numbers_that_fit(tmp_path):
    layer = mamba2(heads=24, groups=1, width=48)
    width, states = 48, 1024
    layer["in_proj.weight"] = np.zeros((2 * width + 2 * states + 24, D_MODEL))
    layer["conv1d.weight"] = np.zeros((width + 2 * states, 1, 4))
    text = message(CheckpointError, write(tmp_path, {"m.": layer}))
    offered = [(int(G), int(n)) for G, n in re.findall(r"--groups (\d+) \(N = (\d+)\)", text)]
    assert offered == [(8, 128), (4, 256), (1, 1024), (2, 512)]
    for G, n in offered:
        assert open_checkpoint(tmp_path, groups=G).layers[0].d_state == n


def test_a_missing_tensor_is_named_by_its_first_spelling(tmp_path):
    layer = vmamba()
    del layer["dt_projs_weight"]
    assert "expected dt_projs_weight" in message(MissingTensor, write(tmp_path, {"m.": layer}))


def test_vmamba_s_projections_as_modules_are_those_that_are_stacked(tmp_path):
    """Its later code writes the same rows one below the other, in `x_proj.weight` and `dt_projs.weight`."""
    layer = vmamba()
    flat = {
        "x_proj.weight": layer["x_proj_weight"].reshape(-1, layer["x_proj_weight"].shape[-1]),
        "x_proj.bias": layer["x_proj_bias"].ravel(),
        "dt_projs.weight": layer["dt_projs_weight"].reshape(-1, layer["dt_projs_weight"].shape[-1]),
    }
    others = {name: layer[name] for name in layer.keys() - {"x_proj_weight", "x_proj_bias", "dt_projs_weight"}}
    one = open_checkpoint(write(tmp_path, {"m.": others | flat}))
    read = one.layer(0)
    stacked = open_checkpoint(write(tmp_path, {"m.": layer})).layer(0)
    assert one.layers[0].left_out == ()
    for part in ("S_B", "S_C", "dt_down", "dt_up", "dt_bias", "a", "D_skip"):
        np.testing.assert_array_equal(getattr(read, part), getattr(stacked, part))


@pytest.mark.parametrize("name", [f"conv1d_{tag}.{end}" for tag in "bs" for end in OF_A_CONVOLUTION])
@pytest.mark.parametrize("shape", [(0,), (E, 0), (2**40, 0), (E + 1,), (E + 1, 1, 3), (E, 1, 3, 2)])
def test_a_convolution_of_any_tag_is_checked(tmp_path, name, shape):
    folder = write(tmp_path, {"m.": directions("b", "s") | CONVOLUTIONS | {name: np.ones(shape)}})
    assert name in outcome(folder, {})
