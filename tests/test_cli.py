"""The command line as a user meets it: the JSON contract, exit codes, and one line for every bad input."""

import inspect
import json
import math
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import sympy
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from mamba_dynamics import S6Layer, Scenario, solve, token_dynamics
from mamba_dynamics.cli import COMMANDS, app, command
from mamba_dynamics.cli.doctor import EXTRAS
from mamba_dynamics.sample import sample_path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from make_shaped_checkpoint import write as write_shaped


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def document(*arguments, code=0):
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.stderr
    assert result.stdout.count("\n") == 1, "one JSON document on stdout, nothing else"
    return json.loads(result.stdout, parse_constant=lambda token: pytest.fail(f"bare {token} in JSON"))


LAYER_FIELDS = {
    "name", "index", "kind", "d_inner", "d_state", "heads", "groups", "spectrum", "symmetric_part", "channels",
    "step_size", "tokens", "scenario", "known_by", "dropped", "warnings",
}  # fmt: skip


def test_classify_without_arguments_does_the_main_job():
    found = document("classify")
    assert found["schema_version"] == 1
    assert {"path", "architecture", "format", "layers", "bytes_read", "bytes_total"} <= found["checkpoint"].keys()
    assert found["checkpoint"]["layers"] == len(found["layers"]) == 4
    weights = load_file(sample_path() / "model.safetensors")
    for i, layer in enumerate(found["layers"]):
        assert layer.keys() >= LAYER_FIELDS
        x_proj = weights[f"backbone.layers.{i}.mixer.x_proj.weight"].astype(float)
        B, C = x_proj[6:22], x_proj[22:38]
        got = np.array([complex(*z) for z in layer["spectrum"]["eigenvalues"]])
        want = np.linalg.eigvals(B @ C.T)
        np.testing.assert_allclose(np.sort_complex(got.round(9)), np.sort_complex(want.round(9)), rtol=1e-5, atol=1e-8)
        assert layer["spectrum"]["positive"] == np.sum(want.real > 0)
        assert layer["channels"]["convergent"] == np.sum((B * C).sum(axis=0) < 0)
        dt_bias = weights[f"backbone.layers.{i}.mixer.dt_proj.bias"].astype(float)
        assert layer["step_size"]["at_zero_median"] == pytest.approx(np.median(np.log1p(np.exp(dt_bias))), rel=1e-12)
        assert layer["scenario"] == {"spectral": "divergent", "certified": "mixed", "tokens": None}
        assert layer["known_by"] == "certified"
    assert found["summary"]["scenario_counts"]["certified"] == {"mixed": 4}


def test_the_text_names_every_layer_and_what_was_dropped():
    result = run("classify")
    assert result.exit_code == 0
    assert result.stdout.count("mamba1") == 4
    assert "dropped by the infinite-depth limit" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "indices"),
    [(["--layer", "3"], [3]), (["--layer", "-1"], [3]), (["--layers", "0:2"], [0, 1]), (["--layers", "2:"], [2, 3])],
)
def test_some_layers_only(arguments, indices):
    found = document("classify", *arguments)
    assert [layer["index"] for layer in found["layers"]] == indices
    assert found["checkpoint"]["bytes_read"] < document("classify")["checkpoint"]["bytes_read"]


def definite_checkpoint(folder, sign, D=6, N=6, layers=1, S_Delta=0.3):
    """A checkpoint whose sym(M) is definite by construction (N >= D), with S_Delta of a given size."""
    rng = np.random.default_rng(3)
    tensors = {}
    for i in range(layers):
        C = rng.normal(size=(N, D)) + 2 * np.eye(N, D)
        weights = {
            "x_proj.weight": np.vstack([rng.normal(size=(1, D)), sign * C, C]),
            "dt_proj.weight": S_Delta * rng.normal(size=(D, 1)),
            "dt_proj.bias": rng.normal(size=D),
            "A_log": rng.normal(size=(D, N)),
            "D": np.ones(D),
            "conv1d.weight": np.ones((D, 1, 4)),
            "conv1d.bias": np.zeros(D),
        }
        tensors.update({f"backbone.layers.{i}.mixer.{k}": v.astype(np.float32) for k, v in weights.items()})
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "mamba",
        "hidden_size": D // 2,
        "intermediate_size": D,
        "state_size": N,
        "time_step_rank": 1,
    }
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
    return folder


def test_tokens_of_a_definite_layer_agree_with_the_theory(tmp_path):
    """With a constant step size a negative definite sym(M) decides for every token (theory 4.2)."""
    definite_checkpoint(tmp_path, -1.0, S_Delta=0.0)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, 6)))
    (layer,) = document("classify", tmp_path, "--tokens", tmp_path / "x.npy")["layers"]
    assert layer["scenario"] == {"spectral": "convergent", "certified": "convergent", "tokens": "convergent"}
    assert layer["symmetric_part"]["negative"] == 6
    assert layer["tokens"]["count"] == 3
    assert layer["tokens"]["scenarios"] == {"convergent": 3}
    assert layer["tokens"]["alignment_mean"] == pytest.approx(-1.0)
    assert layer["tokens"]["alignment_negative_fraction"] == 1.0
    assert layer["tokens"]["agreement"] == "holds"


def test_a_negative_definite_layer_with_open_step_sizes_is_not_certified(tmp_path):
    """A later token may escape where its step sizes shut, so the certificate must not claim every token."""
    definite_checkpoint(tmp_path, -1.0)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, 6)))
    result = run("classify", tmp_path, "--tokens", tmp_path / "x.npy", "--json")
    assert result.exit_code == 3
    (layer,) = json.loads(result.stdout)["layers"]
    assert layer["scenario"] == {"spectral": "convergent", "certified": "undecided", "tokens": "convergent"}
    assert layer["symmetric_part"]["negative"] == 6
    assert layer["tokens"]["agreement"] == "undecided"
    assert any("negative_definite_escape" in line for line in layer["warnings"])


def test_random_tokens_are_seeded(tmp_path):
    definite_checkpoint(tmp_path, 1.0)
    one = document("classify", tmp_path, "--random-tokens", 2, "--seed", 1)["layers"][0]["tokens"]
    again = document("classify", tmp_path, "--random-tokens", 2, "--seed", 1)["layers"][0]["tokens"]
    other = document("classify", tmp_path, "--random-tokens", 2, "--seed", 2)["layers"][0]["tokens"]
    assert one["runs"][0]["log_norms_final"] == again["runs"][0]["log_norms_final"]
    assert one["runs"][0]["log_norms_final"] != other["runs"][0]["log_norms_final"]
    assert one["agreement"] == "holds", "sym(M) positive definite: the run must diverge, slowly or fast"


def test_mamba2_tokens_are_aligned_but_not_integrated():
    folder = Path(__file__).parent / "fixtures" / "mamba2"
    d_model = json.loads((folder / "config.json").read_text())["hidden_size"]
    found = CliRunner().invoke(app, ["classify", str(folder), "--random-tokens", "3", "--json"])
    layer = json.loads(found.stdout)["layers"][0]
    assert layer["groups"] == 2
    assert len(layer["spectrum"]) == 2, "one spectrum per group"
    assert layer["tokens"]["count"] == 3
    assert "not closed" in layer["tokens"]["why_no_scenarios"]
    assert all(group["positive"] + group["negative"] + group["zero"] == d_model for group in layer["spectrum"])


def test_weights_only_reads_a_small_part_of_a_published_shape(tmp_path):
    write_shaped(tmp_path, layers=24, width=768, states=16)
    found = document("classify", tmp_path)
    assert len(found["layers"]) == 24
    assert found["checkpoint"]["bytes_total"] > 5e8
    assert found["checkpoint"]["bytes_read"] < 0.15 * found["checkpoint"]["bytes_total"]
    assert {(layer["d_inner"], layer["d_state"]) for layer in found["layers"]} == {(1536, 16)}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name):
    assert COMMANDS[name] == (inspect.getdoc(command(name)) or "").splitlines()[0]


def test_the_version_is_that_of_the_installed_package():
    result = run("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, metadata.version("mamba-dynamics"))


@pytest.mark.parametrize("arguments", [["--help"], ["classify"], ["classify", "--json"]])
def test_neither_jax_nor_torch_is_imported_without_tokens(arguments):
    code = (
        "import sys; from mamba_dynamics.cli import app\n"
        f"try: app({arguments!r})\nexcept SystemExit: pass\n"
        "bad = {'jax', 'torch', 'diffrax', 'equinox'} & set(sys.modules); assert not bad, bad"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


SIMULATE_FIELDS = {
    "schema_version", "scenario", "outcome", "blow_up_time", "blow_up_time_error", "blow_up_token", "log1p_t_final",
    "tokens", "rhs_evaluations", "steps", "wall_seconds", "agreement",
}  # fmt: skip


def test_simulate_a_blow_up():
    found = document("simulate", "--mu", 1, "--s-delta", 1, "--a", 1, "--x0", "0.5,3,1.5,0.1")
    assert found.keys() >= SIMULATE_FIELDS
    assert (found["scenario"], found["outcome"], found["agreement"]) == ("fast_divergence", "blew_up", "holds")
    assert found["blow_up_time"] == pytest.approx(0.0122635567254733, rel=1e-10)
    assert found["blow_up_token"] == 2, "1-based, as in the paper"
    second = found["tokens"][1]
    assert second.keys() >= {"index", "x_final", "log_abs_x_final", "sign", "law", "constant"}
    assert second["law"]["name"] == "power_of_remaining_time"
    assert second["law"]["measured"] == pytest.approx(-1 / 3, abs=1e-6)
    assert second["constant"]["measured"] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    "option", ["--until=-2", "--until=nan", "--log-until=-1", "--max-steps=0", "--rtol=0", "--atol=-1"]
)
def test_simulate_refuses_numbers_that_mean_nothing(option):
    result = run("simulate", "--mu", 1, "--s-delta", 1, "--a", 1, "--x0", "1", option)
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    if result.exit_code == 1:
        assert result.stderr.count("\n") == 1


def test_simulate_until_and_general_rates():
    found = document("simulate", "--mu=-1,-0.5", "--s-delta", 0.5, "--a", "0.2,3", "--x0", "1,1", "--log-until", 200)
    assert found["outcome"] == "reached_until"
    assert found["log1p_t_final"] == pytest.approx(200)
    assert found["tokens"][1]["constant"]["predicted"] == pytest.approx(0.37797, abs=1e-5)
    assert found["blow_up_time"] is None
    assert "blow_up_time" in found["null_reasons"]


def test_simulate_past_float64():
    """A run whose token overflows nothing, and one whose token would: logarithms carry on."""
    found = document("simulate", "--mu", 1, "--s-delta=-1e-3", "--a", 1, "--x0", "1")
    assert found["outcome"] == "diverges_slowly"
    assert math.isfinite(found["tokens"][0]["log_abs_x_final"])


def test_non_finite_numbers_are_null_with_a_reason():
    found = document("simulate", "--mu", -1, "--s-delta", 1, "--a", 1, "--x0", "1,0")
    assert found["tokens"][1]["log_abs_x_final"] is None
    assert "logarithm of zero" in found["null_reasons"]["tokens[1].log_abs_x_final"]


def test_simulate_a_layer_from_files(tmp_path):
    """Theory 4.3: both eigenvalues are -1, and it blows up at 1 / (16 ln 2); no theorem predicts it: exit 3."""
    np.savez(
        tmp_path / "layer.npz", S_B=[[-1.0, 10], [0, -1]], S_C=np.eye(2), S_Delta=np.zeros((2, 2)), a=np.ones((2, 2))
    )
    np.save(tmp_path / "x0.npy", [[1.0, 1.0]])
    found = document("simulate", "--layer", tmp_path / "layer.npz", "--x0", tmp_path / "x0.npy", code=3)
    assert found["outcome"] == "blew_up"
    assert found["blow_up_time"] == pytest.approx(1 / (16 * np.log(2)), rel=1e-11)
    assert found["agreement"] == "undecided"
    assert "indefinite" in found["theory"]["why"]


def test_a_run_that_decides_nothing_exits_with_3():
    assert run("simulate", "--mu", "-1", "--s-delta", 1, "--a", 1, "--x0", "1", "--until", 1).exit_code == 3


SYSTEM = ("--mu", "1", "--s-delta", "1", "--a", "1", "--x0", "1")


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "--x0", "1"],
        ["simulate", "--mu", "1,x", "--s-delta", "1", "--a", "1", "--x0", "1"],
        ["simulate", "--mu", "1", "--s-delta", "1", "--a", "1", "--x0", "1", "--until", "1", "--log-until", "1"],
        ["classify", "--tokens", "x.npy", "--random-tokens", "3"],
        ["classify", "--layers", "1-2"],
        ["classify", "--layer", "1", "--layers", "0:1"],
        ["classify", "--nonsense"],
        ["classify", "--layer"],
        ["classify", "--json=1"],
        ["frobnicate"],
        ["classify", "--layer", "4"],
        ["classify", "--layer", "-5"],
        ["classify", "--layers", "1:9"],
        ["classify", "--layers", "-9:2"],
        ["classify", "--layers", "3:1"],
        ["classify", "--layers", "2:2"],
        ["classify", "--layers", "a:b"],
        ["classify", "--integrate", "4"],
        ["classify", "--seed", "3"],
        ["classify", "--seed", "3", "--text", "a"],
        ["classify", "--depth", "3"],
        ["classify", "--max-steps", "9"],
        ["classify", "--rtol", "1e-3"],
        ["classify", "--rtol", "2", "--random-tokens", "2"],
        ["classify", "--rtol", "0", "--random-tokens", "2"],
        ["classify", "--rtol", "nan", "--random-tokens", "2"],
        ["classify", "--rtol", "small", "--random-tokens", "2"],
        ["classify", "--variant", "positiv"],
        ["classify", "--fail-on-level", "certified"],
        ["report", "--out", "x.html", "--layers", "1:9"],
        ["fidelity", "--layer", "4"],
        ["simulate", *SYSTEM, "--rtol", "2"],
        ["simulate", *SYSTEM, "--max-steps", "0"],
        ["simulate", *SYSTEM, "--until", "-1"],
        ["simulate", "--layer", "x.npz", "--x0", "x.npy", "--dt-bias", "1"],
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("mamba-dynamics: ")
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith(f" (see mamba-dynamics {arguments[0]} --help)\n".replace(" frobnicate", ""))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["classfy"], "did you mean 'classify'?"),
        (["Verify"], "did you mean 'verify'?"),
        (["sim"], "did you mean 'simulate'?"),
        (["model.safetensors"], "mamba-dynamics classify PATH"),
        (["./models/mamba"], "mamba-dynamics classify PATH"),
        (["help"], "did you mean '--help'?"),
        (["verify", "dichotomy"], "did you mean --theorem dichotomy?"),
        (["verify", "something"], "verify takes options only"),
        (["classify", "a", "b"], "classify takes one argument"),
        (["nothing"], "choose from classify, doctor"),
        (["classify", "--tokns", "x"], "did you mean '--tokens'"),
        (["--versoin"], "did you mean '--version'?"),
        (["classify", "--variant", "negativ"], "did you mean 'negative'?"),
        (["classify", "--fail-on", "divergnt"], "did you mean 'divergent'"),
        (["classify", "--fail-on", "mixed", "--fail-on-level", "spectrl"], "did you mean 'spectral'?"),
        (["classify", "--layers", "1:9"], "the checkpoint has 4 S6 layers"),
        (["classify", "--layer", "9"], "expected a layer from 0 to 3 (the checkpoint has 4 S6 layers)"),
        (["simulate", "--mu", "1", "--x0", "1"], "missing: --s-delta and --a"),
        (["sweep", "scenarios"], "--out missing"),
        (["train", "induction-heads", "--out", "x", "--data", "y"], "reads no files"),
        (["train", "e2-copying", "--out", "x", "--data", "y"], "reads no files"),
    ],
)
def test_wrong_usage_says_what_was_meant(arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "--theorem", "dichotomi"], "did you mean 'dichotomy'?"),
        (["figures", "atention_sink", "--out", "x"], "did you mean 'attention_sink'?"),
        (["train", "e1-wikitex", "--out", "x"], "did you mean 'e1-wikitext'?"),
        (["sweep", "scenario", "--out", "x"], "did you mean 'scenarios'?"),
        (["sweep", "scenario.toml", "--out", "x"], "found no file 'scenario.toml': did you mean 'scenarios'?"),
        (["sweep", "nowhere/a.toml", "--out", "x"], "found no file 'nowhere/a.toml': choose from"),
        (["train", "e1-wikitex.toml", "--out", "x"], "found no file 'e1-wikitex.toml': did you mean 'e1-wikitext'?"),
    ],
)
def test_a_misspelt_name_gets_the_close_ones(arguments, words):
    assert words in check_complains(*arguments)


def test_one_layer_is_told_in_the_singular(tmp_path):
    definite_checkpoint(tmp_path, 1.0)
    assert "(the checkpoint has 1 S6 layer)" in run("classify", tmp_path, "--layer", 1).stderr


def test_the_text_tells_one_layer_and_one_token_in_the_singular(tmp_path):
    definite_checkpoint(tmp_path, 1.0)
    one = run("classify", tmp_path, "--random-tokens", 2, "--integrate", 1, "--max-steps", 4).stdout
    assert "1 S6 layer;" in one
    assert "the first token integrated" in one
    assert "with 1 token:" in run("classify", tmp_path, "--random-tokens", 1, "--integrate", 0).stdout
    assert "In 1 of 1 layer the" in run("classify", "--layer", 0).stdout


def test_doctor_says_what_each_extra_is_for():
    for purpose in EXTRAS.values():
        assert re.match(r"(read|train|compute|measure|build|run) ", purpose), f"not a verb: to {purpose}"


def test_no_command_at_all_shows_the_help():
    result = run()
    assert result.exit_code == 2
    assert result.stderr == run("--help").stdout


def test_the_help_says_what_an_argument_is_for():
    said = run("classify", "--help").stdout
    assert "[PATH]  A weight file" in said
    assert said.index("Arguments:") < said.index("[PATH]  A") < said.index("Options:") < said.index("--layer")


def check_complains(*arguments):
    """The single line on stderr of a command that must fail with exit code 1 and print nothing."""
    result = run(*arguments)
    assert result.exit_code == 1, (result.exit_code, result.stdout, result.stderr)
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def safetensors_bytes(header: dict | bytes, payload: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + payload


def entry(start, end, shape=(1,)):
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}


BAD_FILES = [
    pytest.param(b"", "empty", id="empty file"),
    pytest.param((sample_path() / "model.safetensors").read_bytes()[:20000], "cut short", id="truncated"),
    pytest.param(safetensors_bytes(b"{}", length=10**9), "header", id="header longer than the file"),
    pytest.param(
        safetensors_bytes({"a": entry(0, 4), "b": entry(2, 6)}, b"\0" * 6), "overlap", id="overlapping offsets"
    ),
    pytest.param(b"<!DOCTYPE html><html>", "web page", id="a web page"),
    pytest.param(
        safetensors_bytes({"model.layers.0.self_attn.q_proj.weight": entry(0, 4)}, b"\0" * 4),
        "transformer",
        id="transformer",
    ),
]


@pytest.mark.parametrize(("content", "word"), BAD_FILES)
def test_a_bad_file_is_one_line(tmp_path, content, word):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert word in check_complains("classify", path)
    assert os.listdir(tmp_path) == ["model.safetensors"], "nothing is written"


def test_a_missing_path_is_one_line(tmp_path):
    assert "no checkpoint at" in check_complains("classify", tmp_path / "nothing")


@pytest.mark.parametrize("target", ["../x.safetensors", "/etc/hostname", "link.safetensors", "fifo.safetensors"])
def test_an_index_that_leads_elsewhere_is_one_line(tmp_path, target):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "x.safetensors").write_bytes((sample_path() / "model.safetensors").read_bytes())
    (folder / "link.safetensors").symlink_to(tmp_path / "x.safetensors")
    os.mkfifo(folder / "fifo.safetensors")
    index = {"weight_map": {"backbone.layers.0.mixer.A_log": target}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    check_complains("classify", folder)


def test_a_pickle_that_would_run_code_does_not(tmp_path):
    import pickle
    import zipfile

    class Trap:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/ran",))

    with zipfile.ZipFile(tmp_path / "trap.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": Trap()}, protocol=2))
        archive.writestr("archive/version", "3\n")
    (tmp_path / "legacy.bin").write_bytes(pickle.dumps(Trap(), protocol=2))
    for name in ("trap.pt", "legacy.bin"):
        check_complains("classify", tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_sizes_that_contradict_the_config_are_one_line(tmp_path):
    definite_checkpoint(tmp_path, 1.0)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"state_size": 5}))
    line = check_complains("classify", tmp_path)
    assert "5" in line
    assert "6" in line
    assert "state_size" in line


@pytest.mark.parametrize("count", [3, 40])
def test_layers_with_one_reason_are_told_together(tmp_path, count):
    definite_checkpoint(tmp_path, 1.0, layers=count)
    tensors = load_file(tmp_path / "model.safetensors")
    names = sorted(name for name in tensors if name.endswith("x_proj.weight"))
    for name in names:
        tensors[name] = tensors[name].astype(np.int8)
    save_file(tensors, tmp_path / "model.safetensors")
    result = run("classify", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"mamba-dynamics: in {count} layers, the first: ")
    assert result.stderr.count("x_proj.weight") == 1
    written = json.loads(run("classify", tmp_path, "--json").stdout)["layers"]
    assert [one["name"] in one["error"] for one in written] == [True] * count


def test_layers_with_unlike_reasons_are_told_apart(tmp_path):
    definite_checkpoint(tmp_path, 1.0, layers=3)
    tensors = load_file(tmp_path / "model.safetensors")
    for name, value in zip(sorted(n for n in tensors if n.endswith("A_log")), (np.nan, 1, np.inf), strict=True):
        tensors[name] = tensors[name] * np.float32(value)
    first = next(name for name in sorted(tensors) if name.endswith("x_proj.weight"))
    tensors[first] = tensors[first].astype(np.int8)
    save_file(tensors, tmp_path / "model.safetensors")
    said = run("classify", tmp_path).stderr
    assert "layers, the first" not in said
    assert "x_proj.weight" in said
    assert "A_log" in said


def test_a_sign_map_that_no_layer_asks_for_is_refused(tmp_path):
    definite_checkpoint(tmp_path, 1.0)
    assert "variant=positive was given, but no layer" in check_complains("classify", tmp_path, "--variant", "positive")


def test_a_layer_with_nan_is_named_and_the_others_are_reported(tmp_path):
    definite_checkpoint(tmp_path, 1.0, layers=3)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["backbone.layers.1.mixer.x_proj.weight"][0, 0] = np.nan
    tensors["backbone.layers.1.mixer.x_proj.weight"][2, 1] = np.inf
    save_file(tensors, tmp_path / "model.safetensors")
    result = run("classify", tmp_path, "--json")
    assert result.exit_code == 1
    assert "backbone.layers.1.mixer" in result.stderr
    assert "2" in result.stderr
    layers = json.loads(result.stdout)["layers"]
    assert [layer["scenario"] and layer["scenario"]["certified"] for layer in layers] == [
        "divergent",
        None,
        "divergent",
    ]
    assert "NaN" in layers[1]["error"]


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.ones((2, 5)), "(L, 192)"),
        (np.ones((0, 192)), "(L, 192)"),
        (np.full((1, 192), np.nan), "NaN or infinite"),
        (np.array([{"a": 1}], dtype=object), "tokens"),
        (np.array(["x"]), "real numbers"),
    ],
)
def test_bad_tokens_are_one_line(tmp_path, array, word):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    assert word in check_complains("classify", "--layer", 0, "--tokens", tmp_path / "x.npy")


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "--mu", "1", "--s-delta", "1", "--a", "-1", "--x0", "1"],
        ["simulate", "--mu", "1,2", "--s-delta", "1", "--a", "1", "--x0", "1"],
        ["simulate", "--mu", "1", "--s-delta", "1", "--a", "1", "--x0", "nan"],
        ["simulate", "--mu", "inf", "--s-delta", "1", "--a", "1", "--x0", "1"],
        ["simulate", "--layer", "nothing.npz", "--x0", "nothing.npy"],
    ],
)
def test_bad_values_are_one_line(arguments):
    check_complains(*arguments)


@pytest.mark.parametrize("option", ["--mu", "--a", "--s-delta", "--dt-bias", "--x0"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_simulate_names_the_option_that_is_not_finite(option, value):
    given = {"--mu": "1", "--a": "1", "--s-delta": "1", "--dt-bias": "0", "--x0": "1"} | {option: value}
    said = check_complains("simulate", *(f"{name}={text}" for name, text in given.items()))
    assert f"{option}: expected a finite number, found {value}" in said


def test_a_torch_file_in_the_place_of_a_layer_is_called_one(tmp_path):
    torch_like(tmp_path / "model.pt")
    for arguments in (
        ["--layer", tmp_path / "model.pt", "--x0", "1"],
        ["--layer", layer_file(tmp_path), "--x0", tmp_path / "model.pt"],
    ):
        said = check_complains("simulate", *arguments)
        assert "found a torch file" in said
        assert "npz archive;" not in said
    with zipfile.ZipFile(tmp_path / "any.zip", "w") as file:
        file.writestr("a.txt", b"a")
    assert "a zip archive without arrays" in check_complains("simulate", "--layer", tmp_path / "any.zip", "--x0", "1")


def torch_like(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/data.pkl", pickle.dumps({}))
        file.writestr("model/version", b"3")


def layer_file(folder):
    np.savez(folder / "layer.npz", S_B=np.eye(2), S_C=np.eye(2), S_Delta=np.eye(2), a=np.ones(2))
    return folder / "layer.npz"


def test_simulate_writes_each_law_as_a_formula():
    """The formula, with the system's numbers put in, is where the simulated token is."""
    found = document("simulate", "--mu", "0.7", "--s-delta", "1.3", "--a", "1", "--x0=1,-2,0.5")
    laws = [token["law"]["expression"] for token in found["tokens"]]
    names = {name: sympy.Symbol(name, real=True) for name in ("mu", "s", "a", "b", "T", "t")}
    first = sympy.sympify(laws[0], locals=names).subs({names["mu"]: 0.7, names["s"]: 1.3})
    run = solve(token_dynamics(S6Layer.scalar(mu=0.7, S_Delta=1.3, a=1.0)), np.array([1.0, -2.0, 0.5]))
    assert found["tokens"][0]["log_norm_final"] == pytest.approx(run.log_norms[-1, 0], rel=1e-9)
    left = sympy.exp(sympy.Float(float(run.log_remaining[-1]), 30))
    value = float(sympy.log(first.subs(names["t"], names["T"] - left)))
    assert run.log_norms[-1, 0] == pytest.approx(value, abs=1e-9)
    assert laws[1].startswith("3**(2/3)*C_2/")
    assert laws[2] == "log(log(1/(T - t)))/(a*Abs(s))"
    text = run_text("simulate", "--mu", "0.7", "--s-delta", "1.3", "--a", "1", "--x0=1,-2,0.5")
    assert "told by the run: l*" in text


BLOW_UP = ("simulate", "--mu", "1", "--s-delta", "1", "--a", "1")


def test_simulate_certifies_on_request():
    """T* of two tokens, by mpmath."""
    found = document(*BLOW_UP, "--x0", "0.5,2", "--certify")
    proved = found["certificate"]
    assert proved["scenario"] == found["simulated_scenario"] == "fast_divergence"
    assert not proved["contradicts_simulation"]
    low, high = proved["blow_up_time_lower"], proved["blow_up_time_upper"]
    assert low < 0.040397240044297597 < high < low * (1 + 1.01e-10)
    assert "certificate" not in document(*BLOW_UP, "--x0", "0.5,2")
    text = run_text(*BLOW_UP, "--x0", "0.5,2", "--certify")
    assert "fast_divergence is proved: mu > 0 exactly" in text
    assert "T* in [0.0403972400" in text


def test_without_an_enclosure_the_scenario_alone_is_certified(tmp_path):
    found = document(*BLOW_UP, "--x0", "1,1,1,1,1,1,1,1,1", "--certify")["certificate"]
    assert found["scenario"] == "fast_divergence"
    assert "at most 8 tokens" in found["proof"]
    assert found["blow_up_time_lower"] is None
    mixed = document("simulate", "--mu=1,-0.5", "--s-delta=-1", "--a", "1,2", "--x0", "0.5,3", "--certify", code=3)
    assert mixed["certificate"]["scenario"] is None


def test_a_contradicted_simulation_ends_with_code_3(monkeypatch):
    from flint import arb

    from mamba_dynamics.certificates import Enclosure

    wrong = Enclosure(Scenario.FAST_DIVERGENCE, "a fault", arb(0), (), arb("0.2829", "1e-6"), 1)
    monkeypatch.setattr("mamba_dynamics.certificates.enclose", lambda *_: wrong)
    found = document(*BLOW_UP, "--x0", "1", "--certify", code=3)
    assert found["certificate"]["contradicts_simulation"]
    other = Enclosure(Scenario.CONVERGENT, "a fault", arb(0), (), None, 1)
    monkeypatch.setattr("mamba_dynamics.certificates.enclose", lambda *_: other)
    assert "CONTRADICTS" in run_text(*BLOW_UP, "--x0", "1", "--certify")


def run_text(*arguments):
    """A command's text with the terminal's line breaks taken out."""
    return " ".join(run(*arguments).stdout.split())


def test_simulate_in_several_channels_has_no_formula(tmp_path):
    layer, tokens = tmp_path / "layer.npz", tmp_path / "x0.npy"
    np.savez(layer, S_B=np.eye(2), S_C=-np.eye(2), S_Delta=np.eye(2), a=np.ones((2, 2)), dt_bias=np.zeros(2))
    np.save(tokens, np.array([[1.0, 0.5]]))
    found = document("simulate", "--layer", layer, "--x0", tokens)
    assert found["tokens"][0]["law"]["expression"] is None
