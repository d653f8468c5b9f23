"""Copies of one model in a file, and what looks like copies but is one model: small files written by hand."""

import json
import time

import numpy as np
import pytest
from archive_files import write_index
from click.testing import CliRunner
from numpy_mamba import NumpyMamba
from safetensors.numpy import load_file, save_file
from small_checkpoints import D_MODEL, E, N, R, mamba1, mamba2, message, write

from mamba_dynamics import classify_checkpoint, load_model, sample_path
from mamba_dynamics._errors import CheckpointError, SweepError, UnsupportedArchitecture
from mamba_dynamics.checkpoints import open_checkpoint
from mamba_dynamics.cli import app
from mamba_dynamics.sweeps.channels import read_channels

#: A file of a whole language model has these beside its layers.
EMBEDDING, HEAD = "embeddings.weight", "lm_head.weight"


def layers_below(*roots, count=3, shift=0):
    """{prefix: tensors} with the same layers below every root, each with values of its own."""
    return {
        f"{root}layers.{i}.mixer.": mamba1(seed=100 * (place + shift) + i)
        for place, root in enumerate(roots)
        for i in range(count)
    }


def whole(*roots):
    """An embedding, a norm and a head below every root."""
    beside = {EMBEDDING: (7, D_MODEL), "norm_f.weight": (D_MODEL,), HEAD: (7, D_MODEL)}
    return {root + name: np.ones(shape) for root in roots for name, shape in beside.items()}


def about_copies(checkpoint):
    """The one warning on copies, or None."""
    found = [line for line in checkpoint.warnings if line.startswith("copies")]
    assert len(found) <= 1
    return found[0] if found else None


def roots_of(checkpoint):
    """The prefixes in front of "layers" of all layers, in order."""
    return list(dict.fromkeys(slot.name.partition("layers.")[0] for slot in checkpoint.layers))


# --- what is a copy ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judged", "left_out"),
    [
        ("model.", ["ema."]),
        ("state_dict.", ["ema_state_dict."]),
        ("state_dict.", ["state_dict_ema.module."]),
        ("module.", ["module_ema."]),
        ("net.", ["modelEMA."]),
        ("params.", ["params_ema."]),
        ("g.", ["g_ema."]),
        ("online_model.", ["ema_model."]),
        ("model.", ["averaged_model.module."]),
        ("model._orig_mod.", ["swa_model.module._orig_mod."]),
        ("model.backbone.", ["ema_0.999.backbone.", "ema_0.9999.backbone."]),
        ("model.", ["ema.online_model.", "ema.ema_model."]),
        ("model.", ["ema_models.0.", "ema_models.1."]),
        ("student.backbone.", ["teacher.backbone."]),
        ("student.module.backbone.", ["teacher.backbone."]),
        ("trainer.model.", ["trainer.teacher."]),
        ("encoder.", ["momentum_encoder."]),
        ("encoder.", ["target_encoder."]),
        ("policy.", ["ref_policy."]),
        ("policy.", ["policy_old."]),
        ("q1.", ["q1_target."]),
        ("base_encoder.", ["momentum_encoder."]),
        ("model.", ["callbacks.EMA.ema_weights.named_parameters."]),
        ("backbone.", ["backbone_ema."]),
        ("backbone.", ["exp_avg.backbone.", "exp_avg_sq.backbone."]),
        ("model.b.", ["optimizer.state.exp_avg.b.", "optimizer.state.exp_avg_sq.b."]),
        ("params.", ["opt_state.0.mu.", "opt_state.0.nu."]),
        ("", ["grads."]),
        ("backbone.", ["grads.backbone."]),
        ("", ["ema."]),
        ("state_dict.backbone.", ["state_dict.ema.backbone."]),
        ("state_dict.", ["initial_state_dict."]),
        ("best.", ["last."]),
        ("model.", ["best_model.", "last_model."]),
        ("raw.", ["ema."]),
        ("model.", ["fp32_params."]),
        ("model.", ["module."]),
        ("models.0.", ["models.1.", "models.2."]),
        ("fold_0.", ["fold_1."]),
        ("models.0.", ["models.1.", "ema.models.0.", "ema.models.1."]),
    ],
)
def test_one_copy_is_judged_and_the_others_are_named(tmp_path, judged, left_out):
    checkpoint = open_checkpoint(write(tmp_path, layers_below(judged, *left_out)))
    assert [slot.name for slot in checkpoint.layers] == [f"{judged}layers.{i}.mixer" for i in range(3)]
    np.testing.assert_array_equal(checkpoint.layer(1).S_B[0], mamba1(seed=1)["x_proj.weight"][R : R + N])
    assert [slot.index for slot in checkpoint.layers] == [0, 1, 2]
    warning = about_copies(checkpoint)
    assert warning is not None
    assert "--weights" in warning
    for root, copy in zip(left_out, checkpoint.copies, strict=True):
        assert root.startswith(f"{copy}.")
        assert repr(copy) in warning
        chosen = open_checkpoint(tmp_path, weights=copy)
        assert [slot.name for slot in chosen.layers] == [f"{root}layers.{i}.mixer" for i in range(3)]
        assert about_copies(chosen) is None
        assert copy not in chosen.copies
    assert checkpoint.weights is not None
    again = open_checkpoint(tmp_path, weights=checkpoint.weights)
    assert again.layers == checkpoint.layers
    assert again.copies == checkpoint.copies


@pytest.mark.parametrize(
    "roots",
    [
        ("encoder.", "decoder."),
        ("model.encoder.", "model.decoder."),
        ("left.", "right."),
        ("left_net.", "right_net."),
        ("audio.", "video."),
        ("fwd.", "bwd."),
        ("forward.", "backward."),
        ("mamba_fw.", "mamba_bw."),
        ("source_encoder.", "target_encoder."),
        ("first_stage.", "last_stage."),
        ("initial.", "final."),
        ("initial.", "blocks.", "final."),
        ("stages.0.", "stages.1."),
        ("0.", "1."),
        ("net.1.", "net.2."),
        ("experts.0.", "experts.1."),
        ("gen.", "disc."),
        ("mean_net.", "deviation_net."),
        ("policy.", "value."),
        ("schema.", "cinema."),
        ("encoder.", "shadow_encoder."),
        ("encoder.", "grad_encoder."),
    ],
)
def test_parts_of_one_model_stay_its_layers(tmp_path, roots):
    checkpoint = open_checkpoint(write(tmp_path, layers_below(*roots), extra={"stem.weight": np.ones((3, 4))}))
    assert sorted(roots_of(checkpoint)) == sorted(roots)
    assert len(checkpoint) == 3 * len(roots)
    assert (checkpoint.weights, checkpoint.copies, about_copies(checkpoint)) == (None, (), None)


@pytest.mark.parametrize(
    "roots",
    [
        ("layers.0.", "layers.1.", "layers.2."),
        ("models.", "decoders."),
        ("stages.0.blocks.0.", "stages.0.blocks.1.", "stages.1.blocks.0.", "stages.1.blocks.1."),
        ("layers.0.mamba_fw.", "layers.0.mamba_bw.", "layers.1.mamba_fw.", "layers.1.mamba_bw."),
        ("mamba1.", "mamba2."),
        ("net.0.", "net.1."),
        ("0.", "1.", "2."),
        ("ema.0.", "ema.1."),
        ("ema.layers.0.", "ema.layers.1."),
        ("optimizer.net.0.", "optimizer.net.1."),
        ("teacher.encoder.0.", "teacher.decoder.0."),
    ],
)
def test_layers_alike_are_depth(tmp_path, roots):
    checkpoint = open_checkpoint(write(tmp_path, {root: mamba1() for root in roots}))
    assert len(checkpoint) == len(roots)
    assert (checkpoint.weights, checkpoint.copies, about_copies(checkpoint)) == (None, (), None)


@pytest.mark.parametrize("other", [mamba1(seed=7) | {"A_log": np.ones((6, 4))}, mamba2()])
def test_other_shapes_are_no_copy(tmp_path, other):
    """U-Net's stages of other widths, a teacher of another size."""
    other = other if "dt_bias" in other else _of_four_states()
    layers = layers_below("decoder.") | {f"encoder.layers.{i}.mixer.": other for i in range(3)}
    assert len(open_checkpoint(write(tmp_path, layers), groups=2 if "dt_bias" in other else None)) == 6


def _of_four_states():
    layer = mamba1()
    return layer | {"A_log": np.ones((6, 4)), "x_proj.weight": np.ones((R + 8, 6))}


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        (layers_below("student.", count=2) | layers_below("teacher.", count=4), ["student", "teacher"]),
        (layers_below("model.") | {f"ema.layers.{i}.mixer.": _of_four_states() for i in range(3)}, ["model", "ema"]),
        (layers_below("context_encoder.", "target_encoder."), ["context_encoder", "target_encoder"]),
        (layers_below("net.", "online_encoder.net.", "target_encoder.net."), ["net", "online_encoder.net"]),
        (layers_below("online.", "offline."), ["online"]),
        (layers_below("encoder_q.", "encoder_k."), ["encoder_q", "encoder_k"]),
        (layers_below("model_1.", "model_2."), ["model_1", "model_2"]),
        (layers_below("", "last."), ["last"]),
        ({f"models.{i}.": mamba1() for i in range(3)}, ["models.0", "models.1", "models.2"]),
    ],
)
def test_where_it_is_unclear_all_are_judged_and_a_warning_says_so(tmp_path, layers, named):
    checkpoint = open_checkpoint(write(tmp_path, layers))
    assert len(checkpoint) + 3 * len(checkpoint.copies) == len(layers)
    (warning,) = (line for line in checkpoint.warnings if line.startswith("copies or parts"))
    assert "--weights" in warning
    assert all(repr(name) in warning for name in named)


def test_an_ensemble_that_feeds_a_head_is_unclear(tmp_path):
    layers = layers_below("models.0.", "models.1.")
    assert len(open_checkpoint(write(tmp_path, layers))) == 3
    fused = open_checkpoint(write(tmp_path, layers, extra={"fusion.weight": np.ones((2, 2))}))
    assert len(fused) == 6
    assert about_copies(fused) is not None


@pytest.mark.parametrize(
    ("roots", "judged"),
    [
        (("gen.", "disc."), ["disc."]),
        (("0.", "1."), ["0."]),
        (("net_a.", "net_b."), ["net_a."]),
        (("left.", "right."), ["left.", "right."]),
        (("encoder.", "decoder."), ["decoder.", "encoder."]),
    ],
)
def test_whole_language_models_beside_each_other_are_no_layers_of_one(tmp_path, roots, judged):
    """No word tells that they are copies; names that may be parts of one model are only warned of."""
    checkpoint = open_checkpoint(write(tmp_path, layers_below(*roots), extra=whole(*roots)))
    assert roots_of(checkpoint) == judged
    assert about_copies(checkpoint) is not None
    beside = open_checkpoint(write(tmp_path, layers_below(*roots), extra=whole(*roots) | {"fuse": np.ones((2, 2))}))
    assert len(beside) == 6


def test_layers_that_hold_embeddings_and_heads_are_depth(tmp_path):
    roots = [f"{i}." for i in range(3)]
    assert len(open_checkpoint(write(tmp_path, {root: mamba1() for root in roots}, extra=whole(*roots)))) == 3


def test_an_average_of_a_part_is_left_out(tmp_path):
    checkpoint = open_checkpoint(write(tmp_path, layers_below("encoder.", "decoder.", "ema_encoder.")))
    assert roots_of(checkpoint) == ["decoder.", "encoder."]
    assert checkpoint.copies == ("ema_encoder",)
    assert checkpoint.weights is None


def test_an_average_of_some_layers_is_left_out(tmp_path):
    layers = layers_below("model.") | layers_below("ema.", count=2)
    assert open_checkpoint(write(tmp_path, layers)).copies == ("ema",)
    assert len(open_checkpoint(write(tmp_path, layers_below("model.") | layers_below("initial.", count=2)))) == 5


def test_copies_of_single_mixers(tmp_path):
    layers = {f"layers.{i}.{mixer}.": mamba1() for i in range(2) for mixer in ("mixer", "mixer_ema")}
    assert [slot.name for slot in open_checkpoint(write(tmp_path, layers)).layers] == [
        "layers.0.mixer",
        "layers.1.mixer",
    ]
    assert [slot.name for slot in open_checkpoint(write(tmp_path, {"ema.": mamba1(), "model.": mamba1()})).layers] == [
        "model"
    ]


def test_a_copy_may_hold_fewer_tensors_and_another_precision(tmp_path):
    """An average of the parameters has no buffers."""
    average = {name: value.astype(np.float32) for name, value in mamba1(seed=5).items() if name != "out_proj.weight"}
    checkpoint = open_checkpoint(write(tmp_path, {"model.": mamba1(), "ema.": average}))
    assert checkpoint.copies == ("ema",)
    assert open_checkpoint(tmp_path, weights="ema").layer(0).S_B.shape == (1, N, 6)


def test_copies_of_mamba2(tmp_path):
    layers = {f"{root}layers.{i}.mixer.": mamba2() for root in ("model.", "ema.") for i in range(2)}
    assert len(open_checkpoint(write(tmp_path, layers), groups=2)) == 2


# --- a config that counts --------------------------------------------------------------------


def _config(count):
    return {
        "model_type": "mamba",
        "num_hidden_layers": count,
        "state_size": N,
        "time_step_rank": R,
        "hidden_size": D_MODEL,
        "intermediate_size": 6,
    }


def test_the_config_counts_the_layers_of_the_copy(tmp_path):
    layers = layers_below("model.", "ema.")
    assert len(open_checkpoint(write(tmp_path, layers, _config(3)))) == 3
    assert len(open_checkpoint(tmp_path, weights="ema")) == 3
    text = message(CheckpointError, write(tmp_path, layers, _config(4)))
    assert "3 S6 layers by the tensors but 4 by" in text
    assert "3 S6 layers" in message(CheckpointError, tmp_path, weights="ema")


def test_the_config_decides_what_is_unclear(tmp_path):
    roots = ("model_1.", "model_2.")
    assert len(open_checkpoint(write(tmp_path, layers_below(*roots), _config(3)))) == 3
    checkpoint = open_checkpoint(write(tmp_path, layers_below(*roots), _config(6)))
    assert len(checkpoint) == 6
    assert checkpoint.copies == ()
    assert about_copies(checkpoint) is None
    assert len(open_checkpoint(write(tmp_path, layers_below("model.", "ema."), _config(6)))) == 6


def test_a_part_need_not_have_the_count_of_the_config(tmp_path):
    write(tmp_path, layers_below("encoder.", "decoder."), _config(6))
    assert [slot.index for slot in open_checkpoint(tmp_path, weights="decoder").layers] == [0, 1, 2]
    assert len(open_checkpoint(tmp_path, weights="encoder.layers.1")) == 1


# --- choosing -------------------------------------------------------------------------------


def test_the_layers_of_a_prefix(tmp_path):
    write(tmp_path, layers_below("encoder.", "decoder."))
    for prefix in ("encoder", "encoder.", "encoder.layers"):
        checkpoint = open_checkpoint(tmp_path, weights=prefix)
        assert roots_of(checkpoint) == ["encoder."]
        assert checkpoint.weights == prefix.removesuffix(".")
        assert checkpoint.copies == ()
        assert len(checkpoint) == 3
    assert "'layers'" not in message(CheckpointError, tmp_path, weights="enc")


def test_an_empty_prefix_takes_all(tmp_path):
    checkpoint = open_checkpoint(write(tmp_path, layers_below("model.", "ema."), _config(3)), weights="")
    assert len(checkpoint) == 6
    assert checkpoint.copies == ()
    assert "layers 0 to 2 below 'ema', layers 3 to 5 below 'model'" in (about_copies(checkpoint) or "")


def test_copies_below_a_prefix(tmp_path):
    checkpoint = open_checkpoint(write(tmp_path, layers_below("a.model.", "a.ema.", "b.model.")), weights="a")
    assert roots_of(checkpoint) == ["a.model."]
    assert "'a.ema'" in str(about_copies(checkpoint))


def test_a_prefix_without_layers_is_refused_by_name(tmp_path):
    write(tmp_path, layers_below("model.", "ema."), extra={"head.weight": np.ones(3)})
    for weights in ("averaged", "mode", "head", "model.layers.7", " "):
        text = message(CheckpointError, tmp_path, weights=weights)
        assert repr(weights) in text
        assert "'ema', 'model', 'ema.layers', 'model.layers'" in text
    assert "no prefix" in message(CheckpointError, write(tmp_path, {"": mamba1()}), weights="model")


def test_messages_stay_short_whatever_the_names(tmp_path):
    names = [f"ema{i}.{'x' * 150}\n\x1b[31m." for i in range(40)]
    checkpoint = open_checkpoint(write(tmp_path, {name: mamba1() for name in [*names, names[0].replace("ema0", "m")]}))
    for line in (str(about_copies(checkpoint)), message_of(lambda: open_checkpoint(tmp_path, weights="\x1b\n" * 999))):
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 2500


def message_of(action):
    with pytest.raises(CheckpointError) as caught:
        action()
    return str(caught.value)


def test_many_groups_and_long_names_take_no_longer_than_they_are(tmp_path):
    small = {"A_log": np.ones(2, np.float16), "dt_bias": np.ones(2, np.float16), "in_proj.weight": np.ones((1, 1))}
    tensors = {}
    for i in range(1900):
        words = ".".join("model" if i >> bit & 1 else "net" for bit in range(11))
        tensors |= {f"{words}.w{i % 50}{'.a' * 30}.{name}": value for name, value in small.items()}
    tensors |= {f"{'a.' * 50_000}{name}": value for name, value in small.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    begun = time.perf_counter()
    message_of(lambda: open_checkpoint(tmp_path, weights="nothing"))
    assert time.perf_counter() - begun < 10


def test_a_long_name_is_not_searched_to_its_end(tmp_path):
    long = {f"models.1.{'a_' * 40_000}": np.ones(2)}
    begun = time.perf_counter()
    assert len(open_checkpoint(write(tmp_path, layers_below("models.0.", "models.1."), extra=long))) == 3
    assert time.perf_counter() - begun < 5


# --- what reads the chosen copy ---------------------------------------------------------------


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


def test_without_a_prefix_the_text_says_which_layers_are_whose(tmp_path):
    layers = {
        f"{root}.layers.{i}.mixer.": mamba1(3 * j + i) for j, root in enumerate(("ema", "model")) for i in range(3)
    }
    write(tmp_path, layers)
    said = " ".join(run("classify", tmp_path, "--weights", "").stdout.split())
    assert (
        "the model 2 times, and all layers are judged: layers 0 to 2 below 'ema', layers 3 to 5 below 'model'" in said
    )


def test_without_a_prefix_a_file_of_one_model_has_no_note_on_copies(tmp_path):
    write(tmp_path, {f"model.layers.{i}.mixer.": mamba1(i) for i in range(3)})
    assert "copies" not in run("classify", tmp_path, "--weights", "").stdout


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
