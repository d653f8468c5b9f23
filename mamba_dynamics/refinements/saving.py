"""`save_model` and `load_refined`: a model as Hugging Face `mamba` weights, and back.

    save_model(model, "folder")        # model.safetensors and config.json
    load_model("folder")               # the same logits; so does transformers' MambaForCausalLM

A definite projection is saved as the x_proj weight it amounts to, so nothing special is needed to read it. **A
reordering has no place in that format.** It is saved beside it, for `load_refined`:

    backbone.layers.<i>.mixer.importance.weight    K, (1, E)
    config.json, "importance_reordering"           one entry per block: null, or tau, p, hard and mode

and `load_model`, `walk` and `classify --text` refuse the file, because without the reordering it is another model.
transformers does not: it warns of weights that were not used, and computes something else.
"""

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

from .._errors import CheckpointError, UnsupportedArchitecture
from .._files import write_whole
from .._settings import is_number
from ..checkpoints import Checkpoint, open_checkpoint
from ..checkpoints.language_model import IMPORTANCE_SUFFIX, REORDERING_KEY, language_model_weights
from ..models import Block, MambaLM, load_model
from ..models.loading import Precision, in_precision
from ..models.primitives import Linear
from .importance import ImportanceReordering
from .surgery import plain_selection, with_reordering

Tensors = dict[str, NDArray[np.floating]]


def save_model(
    model: MambaLM,
    folder: str | PathLike[str],
    *,
    config: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a Mamba-1 language model in Hugging Face's `mamba` layout, in the model's own precision.

    Args:
        folder: made where it does not exist.
        config: further entries of config.json, such as a tokenizer's `bos_token_id`.
        overwrite: whether files of an earlier model may be replaced.

    Raises:
        UnsupportedArchitecture: the layout cannot hold the model (norms on B, C or the step size, parts left out).
        HypothesisError: a mixer is Mamba-2. CheckpointError: the folder holds a model already.
    """
    folder = Path(folder)
    paths = folder / "model.safetensors", folder / "config.json"
    if not overwrite and any(path.exists() for path in paths):
        raise CheckpointError(f"{str(folder)!a}: expected no model there, found one; say overwrite=True")
    with in_precision(model.dtype):
        biased = any(_biased(block) for block in model.blocks)
        tensors = _tensors(model, biased)
        entries = _config(model, biased) | dict(config or {})
    arrays = {name: np.ascontiguousarray(value, dtype=model.dtype) for name, value in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(paths[0], lambda out: out.write(to_safetensors(arrays, metadata={"format": "pt"})))
    write_whole(paths[1], lambda out: out.write((json.dumps(entries, indent=2) + "\n").encode()))


def load_refined(path: Checkpoint | str | PathLike[str], *, dtype: Precision = "float32") -> MambaLM:
    """`load_model` for a file that `save_model` wrote, its reorderings put back.

    Raises:
        CheckpointError: as `load_model`, or K and the config do not say the same.
    """
    checkpoint = path if isinstance(path, Checkpoint) else open_checkpoint(path)
    model = load_model(checkpoint, dtype=dtype, ignore_reordering=True)
    weights = language_model_weights(checkpoint, ignore_reordering=True)
    settings = (checkpoint.config or {}).get(REORDERING_KEY) or [None] * len(weights)
    found = [weights.importance(index) for index in range(len(weights))]
    stored = [one is not None for one in found]
    if not isinstance(settings, list) or [one is not None for one in settings] != stored:
        raise CheckpointError(
            f"config.json should have one entry of {REORDERING_KEY} per block, null where a block has no "
            f"{IMPORTANCE_SUFFIX}, found another; use the config.json saved with the weights"
        )
    for index, (K, options) in enumerate(zip(found, settings, strict=True)):
        if K is not None:
            model = with_reordering(model, K.reshape(-1), blocks=[index], **_checked(options))
    return model


def _checked(options: Any) -> dict[str, Any]:
    """tau, p, hard and mode from a file."""
    types = {"tau": is_number, "p": lambda p: type(p) is int, "hard": lambda hard: type(hard) is bool}
    types["mode"] = lambda mode: isinstance(mode, str)
    fits = isinstance(options, dict) and options.keys() == types.keys()
    if fits and all(belongs(options[key]) for key, belongs in types.items()):
        try:
            ImportanceReordering(K=np.zeros(1), **options)
            return options
        except ValueError as error:
            raise CheckpointError(f"config.json, {REORDERING_KEY}: {error}") from None
    raise CheckpointError(f"config.json, {REORDERING_KEY}: expected tau, p, hard and mode, found something else")


def _projections(block: Block) -> tuple[Linear, Linear, Linear]:
    """(in_x, in_z, out_proj)."""
    mixer = block.mixer
    found = (mixer.in_x, mixer.in_z, mixer.out_proj)
    if not all(isinstance(one, Linear) for one in found):
        raise UnsupportedArchitecture("expected Mamba blocks, found an S6 layer without projections around it")
    return found  # pyright: ignore[reportReturnType]


def _biased(block: Block) -> bool:
    return any(one.bias is not None for one in _projections(block))


def _tensors(model: MambaLM, biased: bool) -> Tensors:
    tensors = {
        "backbone.embeddings.weight": np.asarray(model.embedding),
        "backbone.norm_f.weight": np.asarray(model.final_norm.weight),
    }
    for index, block in enumerate(model.blocks):
        below = f"backbone.layers.{index}."
        tensors |= {below + name: value for name, value in _block_tensors(block, biased).items()}
    return tensors if model.head is None else tensors | {"lm_head.weight": np.asarray(model.head)}


def _block_tensors(block: Block, biased: bool) -> Tensors:
    mixer, selection = block.mixer, plain_selection(block.mixer.selection)
    in_x, in_z, out_proj = _projections(block)
    normed = any(norm is not None for norm in (selection.B_norm, selection.C_norm, selection.dt_norm))
    if normed or mixer.without or block.norm is None or selection.conv is None:
        raise UnsupportedArchitecture(
            "expected plain Mamba blocks, found norms on B, C or the step size, or a part left out: the `mamba` layout "
            "cannot say so; save the model as it was loaded"
        )
    A_log = np.log(np.asarray(selection.a, np.float64))
    if not np.all(np.isfinite(A_log)):
        raise UnsupportedArchitecture("expected decay rates above zero, found one that is not, so no A_log = ln a")
    conv_bias = np.zeros(len(A_log)) if selection.conv.bias is None else selection.conv.bias
    tensors: dict[str, Any] = {
        "norm.weight": block.norm.weight,
        "mixer.A_log": A_log,
        "mixer.D": selection.D_skip,
        "mixer.conv1d.weight": np.asarray(selection.conv.weight)[:, None],
        "mixer.conv1d.bias": conv_bias,
        "mixer.in_proj.weight": np.concatenate([in_x.weight, in_z.weight]),
        "mixer.x_proj.weight": np.concatenate([selection.dt_down, selection.S_B, selection.S_C]),
        # S_Delta of full rank is the product of itself and the identity, which the layout can say.
        "mixer.dt_proj.weight": np.eye(len(selection.dt_down)) if selection.dt_up is None else selection.dt_up,
        "mixer.dt_proj.bias": selection.dt_bias,
        "mixer.out_proj.weight": out_proj.weight,
    }
    if biased:
        tensors["mixer.in_proj.bias"] = np.concatenate([_bias(in_x), _bias(in_z)])
        tensors["mixer.out_proj.bias"] = _bias(out_proj)
    if isinstance(mixer.reordering, ImportanceReordering):
        tensors["mixer." + IMPORTANCE_SUFFIX] = np.asarray(mixer.reordering.K)[None]
    return tensors


def _bias(linear: Linear) -> NDArray[np.floating]:
    return np.zeros(len(linear.weight)) if linear.bias is None else np.asarray(linear.bias)


def _config(model: MambaLM, biased: bool) -> dict[str, Any]:
    selection = plain_selection(model.blocks[0].mixer.selection)
    states, inner = selection.S_B.shape
    vocabulary, width = model.embedding.shape
    eps = {norm.eps for block in model.blocks if (norm := block.norm) is not None} | {model.final_norm.eps}
    if len(eps) > 1:
        raise UnsupportedArchitecture(f"expected one epsilon in all norms, found {sorted(eps)}")
    config = {
        "architectures": ["MambaForCausalLM"],
        "model_type": "mamba",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": len(model.blocks),
        "state_size": states,
        "time_step_rank": selection.dt_down.shape[0],
        "conv_kernel": 0 if selection.conv is None else selection.conv.weight.shape[1],
        "expand": inner // width if inner % width == 0 else inner / width,
        "hidden_act": "silu",
        "use_bias": biased,
        "use_conv_bias": True,
        "rms_norm": True,
        "layer_norm_epsilon": eps.pop(),
        "residual_in_fp32": True,
        "tie_word_embeddings": model.head is None,
        "torch_dtype": model.dtype,
    }
    reorderings = [_settings(block.mixer.reordering) for block in model.blocks]
    return config | ({REORDERING_KEY: reorderings} if any(reorderings) else {})


def _settings(reordering: Any) -> dict[str, Any] | None:
    if reordering is None:
        return None
    if not isinstance(reordering, ImportanceReordering):
        raise UnsupportedArchitecture(f"expected an ImportanceReordering, found {type(reordering).__name__}")
    return {name: getattr(reordering, name) for name in ("tau", "p", "hard", "mode")}
