"""`fidelity`: how far a language model is from the two flows its layers may be thought to discretise.

    found = fidelity("path/to/model", ids)
    found.limits          (a) per layer: stacks of K copies of its S6 part against the paper's ODE
    found.stream          (b) the residual stream: Euler steps 1 (the model), 1/2, ... against its flow in depth
    found.ablations       (c) what the paper's limit drops, left out: which of it changes a verdict

(a) and the scenarios of (c) start from each layer's own scan inputs. One pass through the layers serves all three, with
the weights of two blocks in memory, in float64.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from . import _smooth_flow, _stack_limit
from ._ablations import LEFT_OUT, AblatedLayer, Ablation, LayerAblations, divergences, inputs_and_update
from ._errors import LayerShapeError
from ._layer import S6Layer
from ._layer_choice import chosen_layers
from ._outcomes import Scenario, Truth
from ._smooth_flow import SmoothFlow, SmoothFlowRun
from ._stack_limit import StackLimit, stack_limit
from ._token_budget import MOST_INTEGRATED
from .checkpoints import Checkpoint, open_checkpoint
from .checkpoints.language_model import LanguageModelWeights, language_model_weights
from .models.block import Block
from .models.depth_flow import require_same_shape
from .models.loading import in_precision, load_block

NOT_CLOSED = (
    "B, C and Delta of this kind are functions of the normed residual u, not of the scan's input x, so the S6-only ODE "
    "is not closed: there is no flow to compare a stack with, and no scenario"
)


@dataclass(frozen=True, eq=False)
class Fidelity:
    """How ODE-like a model is on given tokens.

    `limits` has one entry per chosen layer, or is empty with `limits_why_not` saying why. `stream` is the residual
    stream; its `verdict` says whether the network discretises a smooth flow. `ablations` is empty if not asked for.
    """

    checkpoint: Checkpoint
    tokens: int
    limits: tuple[StackLimit, ...]
    limits_why_not: str | None
    stream: SmoothFlow
    ablations: tuple[Ablation, ...]

    @property
    def decided(self) -> bool:
        """Whether nothing is undecided, and no stack contradicts the first order that theory claims."""
        streams = [self.stream, *(one.stream for one in self.ablations)]
        runs = [run for one in self.ablations for layer in one.layers for run in (layer.run, layer.whole_run) if run]
        return (
            all(one.truth is Truth.HOLDS for one in self.limits)
            and all(one.verdict is not Truth.UNDECIDED for one in streams)
            and all(run.scenario is not Scenario.UNDECIDED for run in runs)
        )


def fidelity(
    checkpoint: Checkpoint | str | PathLike[str],
    ids: ArrayLike,
    *,
    layers: Iterable[int] | None = None,
    ablations: bool = True,
    doublings: int = _stack_limit.DOUBLINGS,
    fraction: float = _stack_limit.FRACTION,
    halvings: int = _smooth_flow.HALVINGS,
    rtol: float = _smooth_flow.RTOL,
    max_steps: int = _stack_limit.MAX_STEPS,
    integrate: int | None = MOST_INTEGRATED,
    progress: Callable[[int, int, str], None] | None = None,
) -> Fidelity:
    """Compare a language model with the paper's limit and with the flow of its residual stream.

    Args:
        checkpoint: an opened checkpoint, or anything `open_checkpoint` takes.
        ids: token ids (L,), L >= 1.
        layers: positions of the layers whose S6 part is integrated on its own, in (a) and for the scenarios of (c);
            negative ones from the end; default all. The residual stream always passes all.
        ablations: whether to do (c).
        doublings, fraction: of (a), see `stack_limit`: 2^doublings is the largest stack; where the flow ends before
            t = 1 stacks are compared at this fraction of its end. Its tolerance is 1e-10.
        halvings, rtol: of (b): Euler steps 1 to 2^-halvings (at least 1) and the reference's tolerance per step.
        max_steps: budget of every integration (of the reference: per layer).
        integrate: how many of the first tokens enter (a) and the scenarios of (c); by causality they do not depend on
            later ones. The residual stream always has all.
        progress: called with (done, total, what) before each piece of work and once at the end.

    Returns:
        Everything found; verdicts are `Truth` values, thresholds are named in `SmoothFlow`.

    Raises:
        CheckpointError: not a language model whose forward pass is known. LayerShapeError: bad ids or no such layer.
    """
    opened = checkpoint if isinstance(checkpoint, Checkpoint) else open_checkpoint(checkpoint)
    weights = language_model_weights(opened)
    chosen = chosen_layers(len(weights), layers)
    if halvings < 1 or doublings < 1:
        raise LayerShapeError(f"expected at least one halving and doubling, found {halvings} and {doublings}")
    start = weights.embedding(np.asarray(ids))
    left_out = LEFT_OUT if ablations else ()
    pieces = len(weights) * (1 + len(left_out)) + len(chosen) * (1 + 4 * ablations)
    tell = _Progress(progress, pieces)
    with in_precision("float64"):
        runs = [
            SmoothFlowRun(jnp.asarray(start, float), without=parts, halvings=halvings, rtol=rtol, max_steps=max_steps)
            for parts in ((), *left_out)
        ]
        limits: list[StackLimit] = []
        ablated: list[tuple[AblatedLayer, ...]] = []
        for index, layer, here, there in _pairs(weights):
            residual, asked = runs[0].network, index in chosen and layer.closed
            if asked:
                tell(f"layer {index}: stacks")
                tokens = np.asarray(inputs_and_update(here, residual)[0])[:integrate]
                limits.append(stack_limit(layer, tokens, doublings=doublings, fraction=fraction, max_steps=max_steps))
            if ablations:
                budget = max_steps if asked else None
                of_layer = LayerAblations(layer, here, residual, max_steps=budget, integrate=integrate, tell=tell)
                ablated.append(of_layer.rows())
            for run in runs:
                tell(f"layer {index}: flow without {', '.join(run.without)}" if run.without else f"layer {index}: flow")
                run.advance(here, there)
        bits = divergences(weights, [run.network for run in runs])
        tell.done()
    found = [run.result() for run in runs]
    return Fidelity(
        opened,
        len(start),
        tuple(limits),
        None if limits or not chosen else NOT_CLOSED,
        found[0],
        tuple(
            Ablation(parts, tuple(row[place] for row in ablated), found[place + 1], bits[place])
            for place, parts in enumerate(left_out)
        ),
    )


class _Progress:
    """Counts pieces of work as they begin."""

    def __init__(self, show: Callable[[int, int, str], None] | None, total: int):
        self.show, self.total, self.count = show, total, 0

    def __call__(self, name: str) -> None:
        if self.show:
            self.show(min(self.count, self.total - 1), self.total, name)
        self.count += 1

    def done(self) -> None:
        if self.show:
            self.show(self.total, self.total, "")


class _Pair(NamedTuple):
    position: int
    layer: S6Layer
    here: Block
    there: Block


def _pairs(weights: LanguageModelWeights) -> Iterator[_Pair]:
    """Every layer with its block and the next one's (the last one's is its own), two in memory at a time."""
    last = len(weights) - 1
    layer, here = _load(weights, 0)
    for index in range(last + 1):
        following, there = _load(weights, index + 1) if index < last else (layer, here)
        require_same_shape(here, there)
        yield _Pair(index, layer, here, there)
        layer, here = following, there


def _load(weights: LanguageModelWeights, index: int) -> tuple[S6Layer, Block]:
    block = weights.block(index)
    return block.layer, jax.tree.map(jnp.asarray, load_block(block, "float64"))
