"""`classify_checkpoint`: a checkpoint's layers, judged by their weights and, if there are tokens, by what these do.

Weights alone need no JAX; it is imported only once tokens are to be integrated.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from ._errors import CheckpointError, LayerShapeError
from ._layer import S6Layer
from ._linalg import FloatArray, alignment
from ._outcomes import Scenario, TokenFate, Truth
from ._weights_verdict import WeightsVerdict, weights_verdict
from .checkpoints import Checkpoint, LayerSlot, open_checkpoint

if TYPE_CHECKING:
    from ._verdict import Verdict

#: Tolerances of the integration of a real layer's tokens: blow-up times are then good to about 1e-7.
TOKEN_RTOL = 1e-8

_NOT_CLOSED = (
    "no ODE is integrated: B, C and Delta of this kind are functions of the normed residual u, not of the scan's input "
    "x, so the S6-only ODE is not closed; alignments are those of the tokens taken as u"
)


@dataclass(frozen=True, eq=False)
class TokensVerdict:
    """What given tokens do under one layer.

    `alignment`: cos of the angle between S_C x and S_B x, (GROUPS, L), NaN where undefined. `verdicts`: one per
    group, theory and simulation side by side; None with `why_not` where there is no closed ODE.
    """

    count: int
    alignment: FloatArray
    verdicts: "tuple[Verdict, ...] | None"
    why_not: str | None = None

    @property
    def scenario(self) -> Scenario:
        """The scenario that every group's run shows; mixed if they differ."""
        if self.verdicts is None:
            return Scenario.UNDECIDED
        found = {verdict.simulated for verdict in self.verdicts}
        return found.pop() if len(found) == 1 else Scenario.MIXED

    @property
    def fates(self) -> list[TokenFate]:
        """The fate of every token of every group, in order."""
        return [token.fate for verdict in self.verdicts or () for token in verdict.tokens]

    @property
    def agreement(self) -> Truth:
        """Fails if theory is contradicted in some group; holds if it is confirmed in all."""
        found = [verdict.agreement for verdict in self.verdicts or ()]
        if Truth.FAILS in found:
            return Truth.FAILS
        return Truth.HOLDS if found and set(found) == {Truth.HOLDS} else Truth.UNDECIDED


@dataclass(frozen=True, eq=False)
class LayerReport:
    """One layer: its verdicts, or the one-line reason why it could not be read."""

    slot: LayerSlot
    weights: WeightsVerdict | None = None
    tokens: TokensVerdict | None = None
    error: str | None = None

    @property
    def decided(self) -> bool:
        """Whether no verdict on this layer is undecided and none contradicts a theorem."""
        if self.weights is None or Scenario.UNDECIDED in (self.weights.spectral, self.weights.certified):
            return False
        if self.tokens is None or self.tokens.verdicts is None:
            return True
        return self.tokens.scenario is not Scenario.UNDECIDED and self.tokens.agreement is not Truth.FAILS


@dataclass(frozen=True, eq=False)
class Report:
    """A checkpoint and the reports on its layers."""

    checkpoint: Checkpoint
    layers: tuple[LayerReport, ...]
    bytes_read: int

    @property
    def errors(self) -> list[str]:
        return [layer.error for layer in self.layers if layer.error is not None]


def classify_checkpoint(
    path: str | PathLike[str],
    *,
    layers: Iterable[int] | slice | None = None,
    groups: int | None = None,
    variant: str | None = None,
    tokens: FloatArray | None = None,
    random_tokens: int | None = None,
    seed: int = 0,
    rtol: float = TOKEN_RTOL,
    max_steps: int = 4096,
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Judge the layers of a checkpoint by their weights and, if tokens are given, by what the tokens do.

    Args:
        path: anything `open_checkpoint` takes; `groups` and `variant` as there.
        layers: positions among the S6 layers (negative ones from the end), or a slice; default all.
        tokens: initial tokens (L, d_inner) for every layer (Mamba-2: (L, d_model), taken as u).
        random_tokens: instead, this many standard normal tokens per layer, from `seed` and the layer's index.
        rtol, max_steps: tolerance and budget of the integration.
        progress: called with (done, total, name) before each layer and once at the end.

    Raises:
        CheckpointError: the checkpoint cannot be opened. A single bad layer is reported, not raised.
        LayerShapeError: no such layer, or tokens that do not fit.
    """
    checkpoint = open_checkpoint(path, groups=groups, variant=variant)
    chosen = _chosen(len(checkpoint), layers)
    reports = []
    for done, index in enumerate(chosen):
        slot = checkpoint.layers[index]
        if progress:
            progress(done, len(chosen), slot.name)
        try:
            layer = checkpoint.layer(index)
            weights = weights_verdict(layer)
        except (CheckpointError, LayerShapeError) as error:
            reports.append(LayerReport(slot, error=str(error)))
            continue
        x0 = _tokens_for(layer, tokens, random_tokens, seed)
        judged = None if x0 is None else tokens_verdict(layer, x0, rtol=rtol, max_steps=max_steps)
        reports.append(LayerReport(slot, weights, judged))
    if progress:
        progress(len(chosen), len(chosen), "")
    return Report(checkpoint, tuple(reports), checkpoint.bytes_read)


def tokens_verdict(layer: S6Layer, x0: FloatArray, *, rtol: float = TOKEN_RTOL, max_steps: int = 4096) -> TokensVerdict:
    """Alignments of tokens x0 under a layer, and the ODE integrated from them in each of its groups.

    x0 has shape (L, width), width = D, or D times the heads where every head has its own channels (Zamba).
    """
    parts = _split(layer, np.asarray(x0, float))
    cosines = np.stack([alignment(layer.B_map(g), layer.C_map(g), part) for g, part in enumerate(parts)])
    if not layer.closed:
        return TokensVerdict(len(x0), cosines, None, _NOT_CLOSED)
    from ._verdict import classify

    verdicts = tuple(
        classify(layer.group(g), part, rtol=rtol, atol=rtol, max_steps=max_steps) for g, part in enumerate(parts)
    )
    return TokensVerdict(len(x0), cosines, verdicts)


def _width(layer: S6Layer) -> int:
    return layer.channels * (layer.groups if layer.group_axis == "head" else 1)


def _split(layer: S6Layer, x0: FloatArray) -> list[FloatArray]:
    """The tokens each group sees: its own channels for heads, all of them for groups and scan directions."""
    if x0.ndim != 2 or x0.shape[1] != _width(layer) or len(x0) == 0:
        raise LayerShapeError(
            f"{layer.name}: tokens should have shape (L, {_width(layer)}) with L >= 1, found {x0.shape}; "
            "give the layer's own inputs, one row per token"
        )
    if not np.all(np.isfinite(x0)):
        raise LayerShapeError(f"{layer.name}: tokens should be finite, found NaN or infinite values; check the file")
    return np.split(x0, layer.groups, axis=1) if layer.group_axis == "head" else [x0] * layer.groups


def _tokens_for(layer: S6Layer, tokens, random_tokens: int | None, seed: int) -> FloatArray | None:
    if random_tokens is not None:
        return np.random.default_rng([seed, layer.index]).normal(size=(random_tokens, _width(layer)))
    return tokens


def _chosen(total: int, layers: Iterable[int] | slice | None) -> list[int]:
    if layers is None:
        return list(range(total))
    if isinstance(layers, slice):
        return list(range(total)[layers])
    chosen = list(layers)
    for index in chosen:
        if not -total <= index < total:
            raise LayerShapeError(
                f"expected a layer from 0 to {total - 1}, found {index}; the checkpoint has {total} S6 layers"
            )
    return [index % total for index in chosen]
