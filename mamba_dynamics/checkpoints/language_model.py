"""The weights of a whole language model: what lies around its S6 layers, read a block or a few rows at a time.

    weights = language_model_weights(open_checkpoint("state-spaces/mamba-130m-hf"))
    weights.embedding(ids), weights.block(i), weights.final_norm(), weights.head(0, 1000)

A block is `u -> u + mixer(norm(u))`; beside the S6 weights, which `Checkpoint.layer` reads, its mixer holds (d the
width of the residual stream, E that of the scan, N states, G groups, k taps)

    Mamba-1   in_proj (2 E, d)              rows [x; z]             conv1d (E, 1, k)           out_proj (d, E)
    Mamba-2   in_proj (2 E + 2 G N + H, d)  rows [z; x; B; C; dt]   conv1d (E + 2 G N, 1, k)   out_proj (d, E)
              norm (E), the RMS norm of the gated output, over each group's channels

Names differ in the embedding (`embeddings` on Hugging Face, `embedding` in mamba_ssm) and in the prefix that a bare
model saves without. A head of its own is `lm_head`; else it is the embedding. A tensor that the forward pass does
not know makes it another model, so it is refused by name.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import CheckpointError, LayerShapeError, MissingTensor, UnsupportedArchitecture
from .._layer import RMSNorm, S6Layer
from .architectures import EPSILON
from .base import shown
from .checkpoint import Checkpoint
from .config import Config
from .copies import names_of_model
from .mamba2 import widths
from .sizes import require_shape
from .tensors import LayerTensors

Array = NDArray[np.floating]

#: Architectures whose forward pass is known, and the config's key of the epsilon of the norms on the residual stream.
KNOWN = {
    "mamba": "layer_norm_epsilon",
    "falcon_mamba": "layer_norm_epsilon",
    "mamba2": "layer_norm_epsilon",
    "mamba_ssm": "norm_epsilon",
}
#: The weights of a reordering's scores beside `A_log`, (1, E), and the config's entry about it: this package's own.
IMPORTANCE_SUFFIX = "importance.weight"
REORDERING_KEY = "importance_reordering"
#: What to do where the model itself cannot be run; `fidelity` runs it, so it takes no such tokens.
INPUTS_INSTEAD = "classify takes the scan's inputs instead: mamba-dynamics classify FILE --tokens INPUTS.npy"
#: That epsilon where the config is silent, in every one of them.
NORM_EPS = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution:
    """A causal depthwise convolution: weight (CHANNELS, k), the last tap weighing the present; bias (CHANNELS,)."""

    weight: Array
    bias: Array | None = None

    def rows(self, start: int, stop: int) -> "Convolution":
        return Convolution(weight=self.weight[start:stop], bias=None if self.bias is None else self.bias[start:stop])


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockWeights:
    """One block: its norm, its S6 layer, and what lies between them; arrays as stored (float32 or float64).

    `in_x`, `in_z` (E, d) and `out` (d, E) are the projections; `conv_x` acts on the scan's input, `conv_B` and
    `conv_C` (G N, k) on B and C, where a kind has them (Mamba-2, whose `B_bias`, `C_bias` (G N,) are the rows of a
    bias of in_proj). `gate_norm` normalises the gated output over `gate_groups` equal parts (Mamba-2). `skip` is D per
    channel (E,); the layer's D_skip has one number per head where a head has one step size.
    """

    layer: S6Layer
    norm: RMSNorm
    in_x: Array
    in_z: Array
    out: Array
    conv_x: Convolution
    skip: Array
    conv_B: Convolution | None = None
    conv_C: Convolution | None = None
    in_x_bias: Array | None = None
    in_z_bias: Array | None = None
    B_bias: Array | None = None
    C_bias: Array | None = None
    out_bias: Array | None = None
    gate_norm: RMSNorm | None = None
    gate_groups: int = 1


class LanguageModelWeights:
    """A checkpoint seen as a language model; nothing but headers is read before it is asked for."""

    def __init__(self, checkpoint: Checkpoint, *, ignore_reordering: bool = False):
        self.checkpoint = checkpoint
        self._archive, self._found = checkpoint._archive, checkpoint._found
        self._config = Config(checkpoint.config or {})
        self._require_known()
        if not ignore_reordering:
            self._require_no_reordering()
        root = _root(self._found[0].tensors.prefix)
        self._embedding = self._first(f"{root}embeddings.weight", f"{root}embedding.weight")
        self._norm_f = self._first(f"{root}norm_f.weight")
        head = f"{root.removesuffix('backbone.')}lm_head.weight"
        self._head = head if head in self._archive else self._embedding
        self._require_nothing_else(head)
        self.vocabulary, self.d_model = self._matrix(self._embedding)
        self.head_size, width = self._matrix(self._head)
        require_shape(self._head, "the head", (self.head_size, width), (self.head_size, self.d_model), "d_model")

    def __len__(self) -> int:
        return len(self._found)

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding."""
        return self._head == self._embedding

    def embedding(self, ids: NDArray[np.integer]) -> Array:
        """The embedding's rows of token ids (L,), shape (L, d); each row is read once."""
        ids = np.asarray(ids)
        if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
            raise LayerShapeError(
                f"token ids should be 64-bit whole numbers of shape (L,) with L >= 1, found {ids.dtype} of shape "
                f"{ids.shape}; give one text's ids from the model's own tokenizer"
            )
        if ids.min() < 0 or ids.max() >= self.vocabulary:
            raise LayerShapeError(
                f"token ids should lie in 0..{self.vocabulary - 1} (the vocabulary of this checkpoint), found "
                f"{int(ids.min())} to {int(ids.max())}; use the tokenizer that belongs to the model"
            )
        unique, where = np.unique(ids, return_inverse=True)
        rows = np.concatenate([self._archive.read(self._embedding, rows) for rows in _runs(unique)])
        return _finite(rows, self._embedding)[where]

    def head(self, start: int = 0, stop: int | None = None) -> Array:
        """The head's rows start:stop, each the direction of one token's logit, shape (stop - start, d)."""
        stop = self.head_size if stop is None else stop
        return _finite(self._archive.read(self._head, slice(start, stop)), self._head)

    def final_norm(self) -> RMSNorm:
        return self._rms_norm(self._norm_f)

    @cached_property
    def norm_eps(self) -> float:
        found = self._config.number(KNOWN[self.checkpoint.architecture], EPSILON)
        return NORM_EPS if found is None else found

    def block(self, index: int) -> BlockWeights:
        """Everything of one block. Raises `MissingTensor` where the file holds only a part of it."""
        layer = self.checkpoint.layer(index)
        tensors = self._found[index].tensors
        norm = self._rms_norm(self._first(_parent(tensors.prefix) + "norm.weight"))
        read = _read_mamba1 if self._found[index].layout.kind == "mamba1" else _read_mamba2
        block = BlockWeights(layer=layer, norm=norm, **read(tensors, layer, self.norm_eps))
        d, E = self.d_model, layer.d_inner or 0
        for name, found, wanted in (("in_proj", block.in_x.shape, (E, d)), ("out_proj", block.out.shape, (d, E))):
            require_shape(tensors.name, name, found, wanted, f"d = {d} by the embedding, E = {E} by A_log")
        return block

    def importance(self, index: int) -> Array | None:
        """The weights of the scores by which a block's tokens are reordered, or None where they are not."""
        tensors = self._found[index].tensors
        if not tensors.has(IMPORTANCE_SUFFIX):
            return None
        E = self.checkpoint.layers[index].d_inner
        require_shape(tensors.name, IMPORTANCE_SUFFIX, tensors.shape(IMPORTANCE_SUFFIX), (1, E), f"E = {E} by A_log")
        return tensors.stored(IMPORTANCE_SUFFIX)

    def _rms_norm(self, name: str) -> RMSNorm:
        found = self._archive.shape(name)
        require_shape(shown(name), "the norm's weight", found, (self.d_model,), f"d = {self.d_model} by the embedding")
        return RMSNorm(eps=self.norm_eps, weight=_finite(self._archive.read(name), name).astype(np.float64))

    def _require_known(self) -> None:
        name = self.checkpoint.architecture
        if name not in KNOWN:
            raise UnsupportedArchitecture(
                f"{shown(self.checkpoint.path)}: the model's own forward pass is known for {', '.join(KNOWN)}, found "
                f"{shown(name)}; {INPUTS_INSTEAD}"
            )
        settings = [(self._config, "hidden_act", "silu"), (self._config, "rms_norm", True)]
        if (inner := self._config.section("ssm_cfg")) is not None:
            settings.append((inner, "norm_before_gate", False))
        for config, key, wanted in settings:
            found: Any = config.values.get(key, wanted)
            if found != wanted:
                raise UnsupportedArchitecture(
                    f"{shown(self.checkpoint.path)}: the forward pass is known for {key} = {wanted}, found "
                    f"{shown(found)} in {config.source}; {INPUTS_INSTEAD}"
                )

    def _require_no_reordering(self) -> None:
        if REORDERING_KEY in self._config.values or any(one.tensors.has(IMPORTANCE_SUFFIX) for one in self._found):
            raise UnsupportedArchitecture(
                f"{shown(self.checkpoint.path)}: expected tokens scanned in the order of the text, found a model that "
                f"reorders them by importance ({IMPORTANCE_SUFFIX}), which computes something else without it; open it "
                "with load_refined, or with load_model(..., ignore_reordering=True) to have it without"
            )

    def _require_nothing_else(self, head: str) -> None:
        """A tensor beyond those read here changes what the model computes."""
        known = {self._embedding, self._norm_f, head}
        known |= {_parent(found.tensors.prefix) + "norm.weight" for found in self._found}
        for found in self._found:
            known |= {found.tensors.prefix + suffix for suffix in _MIXER_TENSORS}
        names = names_of_model(self._archive, head.removesuffix("lm_head.weight"), self.checkpoint.copies)
        whole_file = not self.checkpoint.weights and not self.checkpoint.copies
        unknown = [name for name in (self._archive.names if whole_file else names) if name not in known]
        if unknown:
            raise UnsupportedArchitecture(
                f"{shown(self.checkpoint.path)}: expected the tensors of a pure Mamba language model, found "
                f"{len(unknown)} others such as {shown(unknown[0])}; its forward pass is not known: "
                f"give the model's prefix with --weights if they are no part of it; {INPUTS_INSTEAD}"
            )

    def _first(self, *names: str) -> str:
        for name in names:
            if name in self._archive:
                return name
        raise MissingTensor(
            f"{shown(self.checkpoint.path)}: expected {' or '.join(map(shown, names))} to run the model, found no such "
            f"tensor; the file holds layers only: {INPUTS_INSTEAD}"
        )

    def _matrix(self, name: str) -> tuple[int, int]:
        shape = self._archive.shape(name)
        if len(shape) != 2 or 0 in shape:
            raise CheckpointError(
                f"{shown(name)} should be a matrix (vocabulary, d) that is not empty, found shape {shape}; open a "
                "complete checkpoint"
            )
        return shape[0], shape[1]


def language_model_weights(checkpoint: Checkpoint, *, ignore_reordering: bool = False) -> LanguageModelWeights:
    """The weights of the language model in a checkpoint, read lazily.

    `ignore_reordering` opens one that reorders its tokens by importance as if it did not.

    Raises:
        UnsupportedArchitecture: not a pure Mamba language model of a known kind; the message says what it is.
        MissingTensor: embedding, norms or projections are not in the file.
    """
    return LanguageModelWeights(checkpoint, ignore_reordering=ignore_reordering)


#: What a mixer of a known kind may hold.
_MIXER_TENSORS = (
    *("A_log", "D", "conv1d.weight", "conv1d.bias", "in_proj.weight", "in_proj.bias", "out_proj.weight"),
    *("out_proj.bias", "x_proj.weight", "dt_proj.weight", "dt_proj.bias", "dt_bias", "norm.weight"),
    *("x_proj.parametrizations.weight.original", IMPORTANCE_SUFFIX),
)


def _read_mamba1(tensors: LayerTensors, layer: S6Layer, eps: float) -> dict[str, Any]:
    E = layer.channels
    weight, bias = tensors.stored(tensors.first("in_proj.weight")), _optional(tensors, "in_proj.bias")
    require_shape(tensors.name, "in_proj.weight", weight.shape, (2 * E, weight.shape[1]), f"2 E, E = {E} by A_log")
    return {
        "in_x": weight[:E],
        "in_z": weight[E:],
        "in_x_bias": None if bias is None else bias[:E],
        "in_z_bias": None if bias is None else bias[E:],
        "conv_x": read_convolution(tensors, E),
        "skip": tensors.stored(tensors.first("D")),
        "out": tensors.stored(tensors.first("out_proj.weight")),
        "out_bias": _optional(tensors, "out_proj.bias"),
    }


def _read_mamba2(tensors: LayerTensors, layer: S6Layer, eps: float) -> dict[str, Any]:
    E, states = layer.d_inner or 0, layer.groups * layer.d_state
    if widths(tensors, {}).feed_forward:
        raise UnsupportedArchitecture(
            f"{tensors.name}: the forward pass of a mixer with a feed-forward branch beside the scan is not known; "
            f"{INPUTS_INSTEAD}"
        )
    projection, bias = tensors.stored("in_proj.weight", slice(0, 2 * E)), _optional(tensors, "in_proj.bias")
    conv = read_convolution(tensors, E + 2 * states)
    gate_norm, skip = _optional(tensors, "norm.weight"), tensors.stored(tensors.first("D"))
    return {
        "in_z": projection[:E],
        "in_x": projection[E:],
        "in_z_bias": None if bias is None else bias[:E],
        "in_x_bias": None if bias is None else bias[E : 2 * E],
        "B_bias": None if bias is None else bias[2 * E : 2 * E + states],
        "C_bias": None if bias is None else bias[2 * E + states : 2 * E + 2 * states],
        "conv_x": conv.rows(0, E),
        "skip": np.repeat(skip, E // skip.size),
        "conv_B": conv.rows(E, E + states),
        "conv_C": conv.rows(E + states, E + 2 * states),
        "gate_norm": None if gate_norm is None else RMSNorm(eps=eps, weight=gate_norm.astype(np.float64)),
        "gate_groups": layer.groups,
        "out": tensors.stored(tensors.first("out_proj.weight")),
        "out_bias": _optional(tensors, "out_proj.bias"),
    }


def read_convolution(tensors: LayerTensors, channels: int) -> Convolution:
    """The depthwise convolution beside an `A_log`. Raises `MissingTensor`, or `CheckpointError` for another shape."""
    suffix = tensors.first("conv1d.weight")
    shape = tensors.shape(suffix)
    depthwise = (channels, 1, shape[-1]) if len(shape) == 3 else (channels, shape[-1])
    require_shape(tensors.name, suffix, shape, depthwise, f"{channels} channels by A_log and in_proj, each its own")
    weight = tensors.stored(suffix)
    return Convolution(weight=weight.reshape(channels, -1), bias=_optional(tensors, "conv1d.bias"))


def _optional(tensors: LayerTensors, suffix: str) -> Array | None:
    return tensors.stored(suffix) if tensors.has(suffix) else None


def _runs(ascending: NDArray[np.integer]) -> list[slice]:
    """Ascending row numbers as as few contiguous ranges as there are."""
    cuts = np.flatnonzero(np.diff(ascending) != 1) + 1
    return [slice(int(part[0]), int(part[-1]) + 1) for part in np.split(ascending, cuts)]


def _finite(values: Array, name: str) -> Array:
    if not np.all(np.isfinite(values)):
        raise LayerShapeError(f"{shown(name)} should hold finite numbers, found NaN or infinite ones; check the file")
    return values


def _parent(prefix: str) -> str:
    """ "backbone.layers.0.mixer." -> "backbone.layers.0."."""
    return prefix[:-1].rpartition(".")[0] + "."


def _root(prefix: str) -> str:
    """ "backbone.layers.0.mixer." -> "backbone.", "layers.0.mixer." -> ""."""
    return prefix[: prefix.rfind("layers.")] if "layers." in prefix else ""
