"""Copies of one model in a file, and what looks like copies but is one model: small files written by hand."""

import time

import numpy as np
import pytest
from copy_files import about_copies, layers_below, roots_of, whole
from safetensors.numpy import save_file
from small_checkpoints import D_MODEL, N, R, mamba1, mamba2, message, write

from mamba_dynamics import classify_checkpoint
from mamba_dynamics._errors import CheckpointError
from mamba_dynamics.checkpoints import open_checkpoint

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
        ("model.", ["fisher."]),
        ("state_dict.", ["hessian.", "importance."]),
        ("model.", ["masks."]),
        ("model.backbone.", ["mask.backbone."]),
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
        (("gen.", "disc."), ["disc.", "gen."]),
        (("model.", "clean."), ["model."]),
        (("net.", "discriminator."), ["net."]),
        (("state_dict.", "delta."), ["state_dict."]),
        (("params.", "batch."), ["params."]),
        (("module.", "bias_correction."), ["module."]),
        (("model.", "compressed.", "lookahead."), ["model."]),
        (("state.model.", "state.control_variate."), ["state.model."]),
        (("model.", "delta.model."), ["model."]),
        (("", "delta."), [""]),
        (("zeta.", "delta.", "clean."), ["clean.", "delta.", "zeta."]),
        (("0.", "1."), ["0."]),
        (("net_a.", "net_b."), ["net_a."]),
        (("left.", "right."), ["left.", "right."]),
        (("encoder.", "decoder."), ["decoder.", "encoder."]),
    ],
)
def test_whole_language_models_beside_each_other_are_no_layers_of_one(tmp_path, roots, judged):
    """No word tells that they are copies; where a name may be a part's, or none is plain, all are judged."""
    checkpoint = open_checkpoint(write(tmp_path, layers_below(*roots), extra=whole(*roots)))
    assert roots_of(checkpoint) == judged
    assert about_copies(checkpoint) is not None
    beside = open_checkpoint(write(tmp_path, layers_below(*roots), extra=whole(*roots) | {"fuse": np.ones((2, 2))}))
    assert len(beside) == 3 * len(roots)


@pytest.mark.parametrize("beside", [{}, {"head.weight": np.ones((7, D_MODEL))}])
@pytest.mark.parametrize(
    "roots",
    [
        ("model.", "clean."),
        ("", "clean."),
        ("state_dict.model.", "clean."),
        ("model.", "clean.model."),
        ("all.model.", "all.clean."),
        ("model.", "clean.", "sparse."),
    ],
)
def test_layers_repeated_beside_a_plain_name_may_be_copies(tmp_path, roots, beside):
    """Neither embeddings nor heads show that each is a model."""
    checkpoint = open_checkpoint(write(tmp_path, layers_below(*roots), extra=beside))
    assert sorted(roots_of(checkpoint)) == sorted(roots)
    warning = about_copies(checkpoint)
    assert warning is not None
    assert warning.startswith("copies or parts")
    assert "clean" in warning


@pytest.mark.parametrize("roots", [("model.", "decoder."), ("", "up."), ("net.", "audio."), ("clean.", "sparse.")])
def test_layers_repeated_below_the_name_of_a_part_are_parts(tmp_path, roots):
    assert about_copies(open_checkpoint(write(tmp_path, layers_below(*roots)))) is None


def test_what_repeats_only_some_layers_is_no_copy(tmp_path):
    layers = layers_below("model.") | layers_below("clean.", count=2)
    assert about_copies(open_checkpoint(write(tmp_path, layers))) is None


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


def masks_of(layers):
    """The same names and shapes, with tensors of true and false."""
    return {prefix: {name: value > 0 for name, value in layer.items()} for prefix, layer in layers.items()}


@pytest.mark.parametrize(
    ("weights", "masks", "roots"),
    [
        ("model.", "a_keep.", ("a_keep",)),
        ("state.model.", "state.keep.", ("state.keep",)),
        ("backbone.", "a_keep.backbone.", ("a_keep",)),
        ("", "keep.", ("keep",)),
        ("model.", "", ("",)),
    ],
)
def test_masks_are_never_judged(tmp_path, weights, masks, roots):
    """Whatever they are called, and whatever lies beside them."""
    layers = layers_below(weights) | masks_of(layers_below(masks))
    checkpoint = open_checkpoint(write(tmp_path, layers, extra={"fuse": np.ones((2, 2))}))
    assert [slot.name for slot in checkpoint.layers] == [f"{weights}layers.{i}.mixer" for i in range(3)]
    assert checkpoint.copies == roots
    assert "a mask of the weights" in str(about_copies(checkpoint))
    assert classify_checkpoint(tmp_path).decided
    assert len(open_checkpoint(write(tmp_path, layers, _config(3)))) == 3


def test_masks_of_single_mixers_are_never_judged(tmp_path):
    layers = {f"layers.{i}.mixer.": mamba1() for i in range(2)}
    masks = masks_of({f"layers.{i}.mixer_keep.": mamba1() for i in range(2)})
    assert [slot.name for slot in open_checkpoint(write(tmp_path, layers | masks)).layers] == [
        "layers.0.mixer",
        "layers.1.mixer",
    ]


def test_true_and_false_without_weights_of_their_place_stay_layers(tmp_path):
    """Nothing says that they are masks: such a layer is unreadable, and not left out."""
    layers = {"layers.0.mixer.": mamba1()} | masks_of({"layers.1.mixer.": mamba1()})
    assert len(open_checkpoint(write(tmp_path, layers))) == 2
    assert len(open_checkpoint(write(tmp_path, masks_of(layers_below("model."))))) == 3


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
    assert about_copies(checkpoint) is None
    assert len(open_checkpoint(write(tmp_path, layers_below("model.", "ema."), _config(6)))) == 6


def test_the_config_does_not_say_which_copy_holds_the_weights(tmp_path):
    """Where no name is plain, the number of layers shows that there are copies, but not which one is meant."""
    write(tmp_path, layers_below("zeta.", "delta."), _config(3), whole("zeta.", "delta."))
    assert "choose one with --weights" in message(CheckpointError, tmp_path)
    assert len(open_checkpoint(tmp_path, weights="zeta")) == 3
    plain = open_checkpoint(write(tmp_path, layers_below("model.", "delta."), _config(3)))
    assert (plain.weights, plain.copies) == ("model", ("delta",))


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
    assert about_copies(checkpoint) is None
    (warning,) = [line for line in checkpoint.warnings if line.startswith("all layers of the file")]
    assert "layers 0 to 2 below 'ema' (an average)" in warning
    assert "layers 3 to 5 below 'model'" in warning


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (layers_below("model_1.", "model_2."), ["may hold", "layers 0 to 2 below 'model_1'", "'model_2'"]),
        ({f"l.{i}.{m}.": mamba1() for i in range(2) for m in ("m", "m_ema")}, ["layers 0, 2 at the top level", "1, 3"]),
        ({"ema.": mamba1(), "model.": mamba1()}, ["layer 0 below 'ema' (an average)", "layer 1 below 'model'"]),
        (layers_below("encoder.", "decoder."), None),
        (layers_below("model."), None),
    ],
)
def test_an_empty_prefix_says_which_layers_are_whose(tmp_path, layers, said):
    warnings = open_checkpoint(write(tmp_path, layers), weights="").warnings
    found = [line for line in warnings if line.startswith("all layers of the file")]
    assert len(found) == (said is not None)
    assert all(text in found[0] for text in said or ())


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
