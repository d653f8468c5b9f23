"""`config.json`: sizes that contradict the shapes, values of wrong types, files that are no config."""

import contextlib
import json
import shutil

import numpy as np
import pytest
from small_checkpoints import D_MODEL, FIXTURES, copy_fixture, mamba1, mamba2, message, write

from mamba_dynamics._errors import CheckpointError, CorruptFile, MissingTensor, UnsafeFile
from mamba_dynamics._weights_verdict import weights_verdict
from mamba_dynamics.checkpoints import open_checkpoint
from mamba_dynamics.checkpoints.architectures import architecture_named
from mamba_dynamics.checkpoints.language_model import KNOWN, language_model_weights

MISMATCHES = [
    ("mamba", "hidden_size", 24, 16),
    ("mamba", "intermediate_size", 64, 32),
    ("mamba", "state_size", 16, 4),
    ("mamba", "time_step_rank", 5, 3),
    ("mamba", "conv_kernel", 3, 4),
    ("mamba", "num_hidden_layers", 24, 2),
    ("falcon_mamba", "state_size", 16, 4),
    ("jamba", "mamba_d_state", 16, 4),
    ("jamba", "mamba_dt_rank", "auto", 3),
    ("jamba", "mamba_expand", 4, 32),
    ("zamba", "n_mamba_heads", 4, 2),
    ("zamba", "mamba_d_state", 5, 4),
    ("mamba2", "num_heads", 8, 4),
    ("mamba2", "head_dim", 16, 8),
    ("mamba2", "n_groups", 4, 6),
    ("mamba2", "expand", 3, 32),
    ("zamba2", "mamba_ngroups", 1, 6),
    ("bamba", "mamba_n_heads", 2, 4),
    ("granitemoehybrid", "mamba_d_state", 12, 6),
    ("falcon_h1", "mamba_d_ssm", 64, 32),
    ("nemotron_h", "ssm_state_size", 12, 6),
    ("nemotron_h", "mamba_head_dim", 4, 8),
    ("mamba_ssm", "d_model", 24, 32),
    ("mamba_ssm", "n_layer", 3, 2),
    ("mamba_ssm", "ssm_cfg", {"d_state": 9, "dt_rank": 2}, 4),
    ("mamba_ssm_mamba2", "ssm_cfg", {"layer": "Mamba2", "d_state": 5, "d_ssm": 24, "headdim": 3, "ngroups": 2}, 4),
]


@pytest.mark.parametrize(("name", "key", "wrong", "by_shape"), MISMATCHES)
def test_a_size_that_contradicts_the_config_names_both(tmp_path, name, key, wrong, by_shape):
    text = message(CheckpointError, copy_fixture(name, tmp_path, **{key: wrong}))
    by_config = {"mamba_dt_rank": 1, "mamba_expand": 4 * 16, "expand": 3 * 16, "d_model": 2 * 24}.get(key, wrong)
    if isinstance(wrong, dict):
        key, by_config = ("d_state", 9) if wrong["d_state"] == 9 else ("headdim", 3)
    assert key in text
    assert str(by_config) in text
    assert str(by_shape) in text
    assert "config.json" in text


def test_auto_rank_that_agrees_is_accepted(tmp_path):
    layer = mamba1()
    config = {"model_type": "mamba", "hidden_size": D_MODEL, "time_step_rank": "auto"}  # ceil(4 / 16) = 1
    assert "time_step_rank = auto" in message(CheckpointError, write(tmp_path, {"m.": layer}, config))
    layer |= {"x_proj.weight": layer["x_proj.weight"][1:], "dt_proj.weight": layer["dt_proj.weight"][:, 1:]}
    assert len(open_checkpoint(write(tmp_path, {"m.": layer}, config))) == 1


def test_a_config_of_another_kind(tmp_path):
    text = message(CheckpointError, copy_fixture("mamba", tmp_path, model_type="mamba2"))
    assert "says mamba2" in text
    assert "those of mamba1" in text


def test_an_unknown_model_type_is_read_by_its_tensors(tmp_path):
    checkpoint = open_checkpoint(copy_fixture("mamba", tmp_path, model_type="my\nmamba"))
    assert checkpoint.architecture == "mamba"
    assert any("my\\nmamba" in warning for warning in checkpoint.warnings)
    assert any("norms unknown" in warning for warning in checkpoint.warnings)


def test_nested_text_config(tmp_path):
    config = json.loads((FIXTURES / "mamba2" / "config.json").read_text())
    shutil.copy(FIXTURES / "mamba2" / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "some_vl", "text_config": config}))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.architecture == "mamba2"
    assert checkpoint.layer(0).groups == 2
    config["state_size"] = 9
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "some_vl", "text_config": config}))
    assert "state_size in text_config in config.json" in message(CheckpointError, tmp_path)


@pytest.mark.parametrize(
    ("name", "key", "wrong"),
    [
        ("mamba", "state_size", "sixteen"),
        ("mamba", "state_size", True),
        ("mamba", "state_size", 4.0),
        ("mamba", "state_size", -4),
        ("mamba", "state_size", [4]),
        ("mamba", "model_type", 7),
        ("mamba2", "expand", "two"),
        ("mamba2", "time_step_limit", [0.1]),
        ("mamba2", "time_step_limit", [2.0, 1.0]),
        ("mamba2", "time_step_limit", "none"),
        ("falcon_h1", "ssm_multipliers", [1.0, 2.0]),
        ("falcon_h1", "ssm_in_multiplier", {"a": 1}),
        ("mamba_ssm", "ssm_cfg", "Mamba1"),
        ("jamba", "rms_norm_eps", "small"),
    ],
)
def test_a_config_value_of_the_wrong_type_names_its_key(tmp_path, name, key, wrong):
    assert key in message(CorruptFile, copy_fixture(name, tmp_path, **{key: wrong}))


@pytest.mark.parametrize("infinity", ["Infinity", '"Infinity"', '{"__float__": "Infinity"}'])
def test_spellings_of_infinity(tmp_path, infinity):
    config = '{"model_type": "mamba2", "n_groups": 2, "time_step_limit": [0.25, ' + infinity + "]}"
    assert open_checkpoint(write(tmp_path, {"m.": mamba2()}, config)).layer(0).dt_limit == (0.25, np.inf)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "7", "\udcff", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{"a": "' + "x" * 10_000_000 + '"}'],
)
def test_a_config_that_is_no_json_object_of_a_config_s_size(tmp_path, text):
    write(tmp_path, {"m.": mamba1()})
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "config.json" in message(CorruptFile, tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": ' + "9" * 5000 + "}", "a number of more than 4300 digits"),
        ('{"a": [[-' + "9" * 5000 + "]]}", "a number of more than 4300 digits"),
        ('{"state_size": 4, "state_size": 8}', "duplicate key 'state_size'"),
        ('{"text_config": {"a": 1, "b": 2, "a": NaN}}', "duplicate key 'a'"),
    ],
)
def test_a_config_with_a_key_twice_or_too_many_digits(tmp_path, text, says):
    said = message(CorruptFile, write(tmp_path, {"m.": mamba1()}, text))
    assert says in said
    assert "set_int_max_str_digits" not in said


def test_a_config_is_not_read_past_its_limit(tmp_path):
    write(tmp_path, {"m.": mamba1()}, "{}" + " " * 10_000_000)  # valid JSON, but too long
    assert "at most 10000000 bytes" in message(CorruptFile, tmp_path)


def test_attention_layers_do_not_count_as_s6_layers(tmp_path):
    config = json.loads((FIXTURES / "mamba_ssm" / "config.json").read_text())
    hybrid = copy_fixture("mamba_ssm", tmp_path, n_layer=3, attn_layer_idx=[1])
    assert len(open_checkpoint(hybrid)) == 2 == config["n_layer"]


def test_a_config_that_is_no_regular_file(tmp_path):
    write(tmp_path, {"m.": mamba1()})
    (tmp_path / "config.json").mkdir()
    assert "config.json" in message(UnsafeFile, tmp_path)


#: As they stand in the text: beyond float64, beyond 64 bits, of another kind, and no numbers.
NASTY = [
    *("1" + "0" * 400, "-1" + "0" * 400, "1e400", "-1e400", "1e308", "-1e308", "5e-324", "1e-308", "NaN", "Infinity"),
    *(
        "-Infinity",
        "0",
        "-0.0",
        "-1",
        "0.5",
        "1e-3",
        str(2**31),
        str(2**53 + 1),
        str(2**63 - 1),
        str(2**63),
        str(2**64),
    ),
    *("true", "null", '"1e400"', '"NaN"', '"Infinity"', '{"__float__": "NaN"}', '{"__float__": 1e400}', "[]", "[1, 2]"),
    *("[1e400, 1e400]", "[1e308, 1e308]", "[0, 1" + "0" * 400 + "]", "[0, 0]", "[-1e400, 1]", "[0, 1, 2, 3, 1e308]"),
]


def numeric_keys(name: str, config: dict) -> list[tuple[str, ...]]:
    """Paths to the numbers of a config that its architecture's row of the table, or the reader of models, speaks of."""
    row = architecture_named(config.get("model_type"))
    if row is None:
        inside = ("d_state", "dt_rank", "expand", "headdim", "ngroups", "d_ssm", "dt_limit")
        return [("d_model",), ("n_layer",), ("norm_epsilon",), ("vocab_size",), *(("ssm_cfg", key) for key in inside)]
    spoken = [*row.sizes.values(), row.expand, row.layers, row.norm_eps, row.dt_limit, KNOWN.get(name)]
    spoken += ["ssm_in_multiplier", "ssm_multipliers"] if name == "falcon_h1" else ["vocab_size"]
    return [(key,) for key in dict.fromkeys(spoken) if key]


def judged(folder) -> None:
    """All that a checkpoint is read for, beside running it."""
    checkpoint = open_checkpoint(folder)
    layer = checkpoint.layer(0)
    assert np.all(np.isfinite(layer.raw_step_sizes(np.ones((1, layer.channels)))))
    if "multiplier" in (folder / "config.json").read_text():
        assert weights_verdict(layer).groups
    if checkpoint.architecture in KNOWN:
        with contextlib.suppress(MissingTensor):  # not every fixture is a whole model
            assert 0 < language_model_weights(checkpoint).norm_eps <= 1


@pytest.mark.parametrize("without_inner", [False, True])
@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in FIXTURES.glob("*/config.json") if path.parent.name != "mamba_vision")
)
def test_any_number_in_any_field_is_read_rightly_or_refused_in_one_line(tmp_path, name, without_inner):
    shutil.copytree(FIXTURES / name, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    if without_inner:  # then d_inner is the factor times the width
        config.pop("intermediate_size", None)
        config.pop("mamba_d_ssm", None)
    for path in numeric_keys(name, config):
        for value in NASTY:
            changed = json.loads(json.dumps(config))
            table = changed.setdefault(path[0], {}) if len(path) > 1 else changed
            table[path[-1]] = "NASTY"
            (tmp_path / "config.json").write_text(json.dumps(changed).replace('"NASTY"', value))
            try:
                judged(tmp_path)
            except CheckpointError as error:
                line = str(error)
                assert line.isprintable(), (path, value)
                assert len(line) < 600, (path, value)
                # A key that is null is one that is absent: what then lacks is named.
                assert path[-1] in line or value == "null", (path, value, line)


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("mamba", "expand", 10**400, "a number above 0 and at most 1e+06, found a number of more than 60 digits"),
        ("jamba", "rms_norm_eps", -1e-6, "a number above 0 and at most 1, found -1e-06"),
        ("jamba", "rms_norm_eps", 1e300, "a number above 0 and at most 1, found 1e+300"),
        ("falcon_h1", "ssm_in_multiplier", 10**400, "a number from -1e+30 to 1e+30"),
        ("falcon_h1", "ssm_multipliers", [1, 1, 1, 1, 1e300], "a number from -1e+30 to 1e+30, found 1e+300"),
        ("mamba2", "time_step_limit", [-1, 1], "a number from 0, found -1"),
        ("mamba2", "time_step_limit", [10**400, 10**401], "a number from 0, found a number of more than 60 digits"),
        ("mamba2", "time_step_limit", ["Infinity", "Infinity"], "0 <= low <= high, low at most 1e+06, found inf, inf"),
    ],
)
def test_a_number_beyond_its_range_is_told_with_the_range(tmp_path, name, key, value, expected):
    copy_fixture(name, tmp_path, **{key: value})
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("intermediate_size", None)  # by which d_inner would be known without the factor
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert f"{key} should be" in (found := message(CorruptFile, tmp_path))
    assert expected in found
