"""New models to train: Mamba language models and classifiers of sequences, with or without the refinements.

Their decay rates are trained as A_log, a = exp(A_log), as everywhere; the refinements bring parameters of their own.

    model = new_language_model(Sizes(vocabulary=256, width=64, layers=3), key)
    model = with_definite(model, "positive", key=key)
    trainable = Trainable.of(model)             # what `train` updates
    trainable.model                             # the model with its present weights

@inproceedings{gu2024mamba,
  title={Mamba: Linear-Time Sequence Modeling with Selective State Spaces},
  author={Gu, Albert and Dao, Tri},
  booktitle={Conference on Language Modeling},
  year={2024}
}
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._errors import TrainingError
from ..models import Block, MambaLM
from ..models.mixers import Mamba1Selection, Mixer
from ..models.primitives import CausalConvolution, Linear, RMSNormalisation, Scaling

#: The reference implementation's: inner size over width, taps of the convolution, channels per rank of the step size.
EXPAND, TAPS, CHANNELS_PER_RANK = 2, 4, 16
#: ... and between which bounds the step sizes at zero start, uniformly in their logarithm.
LEAST_STEP, LARGEST_STEP = 1e-3, 0.1
NORM_EPS = 1e-5
#: Standard deviation of a new embedding.
EMBEDDING_SCALE = 0.02


@dataclass(frozen=True)
class Sizes:
    """The free sizes of a model; E = 2 width channels. The rank of S_Delta is width / 16 rounded up, unless given.

    `repeats` passes of the layers, with the same weights, make a model of layers x repeats blocks; `depth_step` is how
    far in depth a layer of S6 alone goes.
    """

    vocabulary: int
    width: int
    layers: int
    states: int = 16
    dt_rank: int | None = None
    repeats: int = 1
    embedding_scale: float = EMBEDDING_SCALE
    depth_step: float = 1.0

    def __post_init__(self):
        for name in ("vocabulary", "width", "layers", "states", "repeats"):
            if getattr(self, name) < 1:
                raise TrainingError(f"expected {name} of at least 1, found {getattr(self, name)}")

    @property
    def channels(self) -> int:
        return EXPAND * self.width

    @property
    def rank(self) -> int:
        return self.dt_rank or math.ceil(self.width / CHANNELS_PER_RANK)

    @property
    def depth(self) -> int:
        return self.layers * self.repeats


def new_language_model(sizes: Sizes, key: Array) -> MambaLM:
    """A language model with tied embeddings, initialised as the reference implementation does, in float32."""
    return _language_model(sizes, key, _block)


def new_s6_model(sizes: Sizes, key: Array, *, normed: bool = False) -> MambaLM:
    """A language model of S6 layers alone, u -> u + h S6(u), in `sizes.width` channels: the paper's own stack, h = 1.

    No norm, projection, convolution, gate or skip; initialised as the selective part of a Mamba block is. The tokens
    follow the layers' S6-only ODE by Euler steps of h = `sizes.depth_step`, and may blow up as it does. With `normed`,
    layers read the normalised stream, u -> u + h S6(norm(u)): the sign of M says the same of each step, and nothing
    blows up. The head is not tied to the embedding, whose size decides how fast tokens move.
    """
    model = _language_model(sizes, key, partial(_s6_block, normed=normed))
    bound = sizes.width**-0.5
    head = jax.random.uniform(jax.random.fold_in(key, 0), model.embedding.shape, jnp.float32, -bound, bound)
    return eqx.tree_at(lambda one: one.head, model, head, is_leaf=lambda leaf: leaf is None)


def _language_model(sizes: Sizes, key: Array, block: Callable[[Sizes, np.random.Generator], Block]) -> MambaLM:
    rng = _generator(key)
    embedding = sizes.embedding_scale * rng.standard_normal((sizes.vocabulary, sizes.width))
    model = MambaLM(
        embedding=embedding,  # pyright: ignore[reportArgumentType]
        blocks=tuple(block(sizes, rng) for _ in range(sizes.layers)),
        final_norm=_norm(sizes.width),
        head=None,
        dtype="float32",
    )
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), model)


class Iterated(eqx.Module):
    """A language model that passes its blocks `repeats` times, with the same weights: one layer as a flow in depth."""

    core: MambaLM
    repeats: int = eqx.field(static=True)

    def __call__(self, ids: Int[Array, " L"]) -> Float[Array, "L V"]:
        """Logits of the next token after every prefix."""
        return self.core.logits(self.continued(self.core.embedding[ids], self.repeats))

    def continued(self, residual: Float[Array, "L d"], passes: int) -> Float[Array, "L d"]:
        """The residual stream after some passes of all blocks."""
        return jax.lax.scan(lambda u, _: (self.core.continued(u), None), residual, length=passes)[0]


class SequenceClassifier(eqx.Module):
    """Classes of sequences of patches: patches and their places embedded, blocks, norm, mean over the tokens, head."""

    embed: Linear
    places: Float[Array, "L d"]
    core: MambaLM
    head: Linear

    def __call__(self, patches: Float[Array, "L p"]) -> Float[Array, " V"]:
        residual = self.core.continued(self.embedded(patches))
        return self.head(jnp.mean(self.core.final_norm(residual), axis=0))

    def embedded(self, patches: Float[Array, "L p"]) -> Float[Array, "L d"]:
        """The residual stream before the first block."""
        return self.embed(patches) + self.places


def new_classifier(sizes: Sizes, *, patch: int, length: int, key: Array) -> SequenceClassifier:
    """A classifier of `sizes.vocabulary` classes, for sequences of `length` patches of `patch` pixels."""
    own, others = jax.random.split(key)
    rng = _generator(others)
    core = new_language_model(dataclasses.replace(sizes, vocabulary=1), own)
    fresh = (
        Linear(_uniform(rng, sizes.width, patch, bound=patch**-0.5), np.zeros(sizes.width)),
        EMBEDDING_SCALE * rng.standard_normal((length, sizes.width)),
        Linear(_uniform(rng, sizes.vocabulary, sizes.width, bound=sizes.width**-0.5), np.zeros(sizes.vocabulary)),
    )
    embed, places, head = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), fresh)
    return SequenceClassifier(embed, places, core, head)


Model = TypeVar("Model", bound=eqx.Module)


class Trainable(eqx.Module, Generic[Model]):
    """A model whose decay rates are held as A_log, one array a block; `rest` has None in their place.

    With `frozen_skip` no gradient reaches the skips D, which then stay as they are (vectors do not decay).
    """

    A_log: tuple[Float[Array, "E N"], ...]
    rest: Model
    frozen_skip: bool = eqx.field(static=True, default=False)

    @classmethod
    def of(cls, model: Model, *, frozen_skip: bool = False) -> "Trainable[Model]":
        rates = _rates(model)
        bare = eqx.tree_at(_rates, model, (None,) * len(rates))
        return cls(tuple(jnp.log(one) for one in rates), bare, frozen_skip)

    @property
    def model(self) -> Model:
        rates = tuple(jnp.exp(one) for one in self.A_log)
        model = eqx.tree_at(_rates, self.rest, rates, is_leaf=lambda leaf: leaf is None)
        return eqx.tree_at(_skips, model, replace_fn=jax.lax.stop_gradient) if self.frozen_skip else model

    def __call__(self, tokens: Array) -> Array:
        return self.model(tokens)  # pyright: ignore[reportCallIssue]


def core_of(model: MambaLM | Iterated | SequenceClassifier) -> MambaLM:
    """The language model that holds a model's blocks."""
    return model if isinstance(model, MambaLM) else model.core


def _selections(model) -> list[Any]:
    return [block.mixer.selection for block in core_of(model).blocks]


def _rates(model) -> tuple[Array, ...]:
    return tuple(selection.a for selection in _selections(model))


def _skips(model):
    return tuple(selection.D_skip for selection in _selections(model))


def parameters(model: eqx.Module) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))


def _generator(key: Array) -> np.random.Generator:
    return np.random.default_rng(np.asarray(jax.random.key_data(key), np.uint32))


def _uniform(rng: np.random.Generator, *shape: int, bound: float) -> np.ndarray:
    return rng.uniform(-bound, bound, shape)


def _norm(width: int) -> RMSNormalisation:
    return RMSNormalisation(weight=np.ones(width), eps=NORM_EPS)


def _block(sizes: Sizes, rng: np.random.Generator) -> Block:
    width, channels = sizes.width, sizes.channels
    into = _uniform(rng, 2, channels, width, bound=width**-0.5)
    mixer = Mixer(
        in_x=Linear(into[0]),
        in_z=Linear(into[1]),
        selection=_selection(sizes, channels, rng),
        # Each block adds to the residual stream: smaller steps for deeper stacks keep its scale.
        out_proj=Linear(_uniform(rng, width, channels, bound=(channels * sizes.depth) ** -0.5)),
    )
    return Block(_norm(width), mixer)


def _s6_block(sizes: Sizes, rng: np.random.Generator, *, normed: bool) -> Block:
    bare = eqx.tree_at(lambda one: one.conv, _selection(sizes, sizes.width, rng), None)
    left_out = frozenset({"conv", "gate", "skip"})
    norm = _norm(sizes.width) if normed else None
    return Block(norm, Mixer(Scaling(), Scaling(), bare, Scaling(sizes.depth_step), without=left_out))


def _selection(sizes: Sizes, channels: int, rng: np.random.Generator) -> Mamba1Selection:
    states, rank = sizes.states, sizes.rank
    steps = np.exp(rng.uniform(math.log(LEAST_STEP), math.log(LARGEST_STEP), channels))
    x_proj = _uniform(rng, rank + 2 * states, channels, bound=channels**-0.5)
    return Mamba1Selection(
        conv=CausalConvolution(_uniform(rng, channels, TAPS, bound=TAPS**-0.5), np.zeros(channels)),
        S_B=x_proj[rank : rank + states],
        S_C=x_proj[rank + states :],
        dt_down=x_proj[:rank],
        dt_up=_uniform(rng, channels, rank, bound=rank**-0.5),
        dt_bias=steps + np.log(-np.expm1(-steps)),  # the inverse of softplus
        a=np.broadcast_to(np.arange(1.0, states + 1), (channels, states)),
        D_skip=np.ones(channels),
    )
