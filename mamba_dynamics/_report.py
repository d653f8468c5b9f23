"""`classify_checkpoint`: a checkpoint's layers, judged by their weights and, if there are tokens, by what these do.

Tokens are given (the layers' own inputs), drawn at random, or those of a text, which is then read by the model itself:
its forward pass is walked layer by layer, and each layer's scan inputs are the tokens. Weights alone need no JAX; it is
imported only once tokens are to be integrated.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._errors import CheckpointError, LayerShapeError
from ._layer import S6Layer
from ._layer_choice import chosen_layers
from ._linalg import FloatArray
from ._outcomes import Scenario, Truth
from ._token_budget import MAX_STEPS, MOST_INTEGRATED, TOKEN_RTOL
from ._weights_verdict import WeightsVerdict, weights_verdict
from .checkpoints import Checkpoint, LayerSlot, open_checkpoint
from .checkpoints.ahead import reading_ahead

if TYPE_CHECKING:
    from ._block_facts import BlockFacts
    from ._tokens_verdict import TokensVerdict
    from .models.consensus import ConsensusCurve


@dataclass(frozen=True, eq=False)
class LayerReport:
    """One layer: its verdicts, or the one-line reason why it could not be read.

    `block` is there where the model itself read a text.
    """

    slot: LayerSlot
    weights: WeightsVerdict | None = None
    tokens: "TokensVerdict | None" = None
    block: "BlockFacts | None" = None
    error: str | None = None

    @property
    def decided(self) -> bool:
        """Whether nothing of this layer was left out, no verdict on it is undecided and none contradicts a theorem."""
        if self.slot.left_out:
            return False
        if self.weights is None or Scenario.UNDECIDED in (self.weights.spectral, self.weights.certified):
            return False
        if self.tokens is None or self.tokens.verdicts is None:
            return True
        return self.tokens.decided and self.tokens.agreement is not Truth.FAILS


@dataclass(frozen=True, eq=False)
class Text:
    """The tokens that the model read: ids (L,), the pieces of text they stand for, and their consensus by depth.

    `consensus` maps "full" and "without_gate" to the measures of the residual stream, layer after layer.
    """

    ids: NDArray[np.int64]
    pieces: list[str] | None
    consensus: "dict[str, ConsensusCurve]"


@dataclass(frozen=True, eq=False)
class Report:
    """A checkpoint and the reports on its layers; `text` is what the model itself read, if anything.

    `settings` are the keywords that `classify_checkpoint` was given, by name, and those of their defaults that shaped
    this report; of an array of tokens its shape.
    """

    checkpoint: Checkpoint
    layers: tuple[LayerReport, ...]
    bytes_read: int
    text: Text | None = None
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def errors(self) -> list[str]:
        return [layer.error for layer in self.layers if layer.error is not None]

    @property
    def left_out(self) -> bool:
        """Whether tensors of a layer, or a block that may be one, were not understood and so left out."""
        return bool(self.checkpoint.unread) or any(layer.slot.left_out for layer in self.layers)

    @property
    def decided(self) -> bool:
        """Whether every layer is decided and nothing was left out; the command line's exit code is 3 where not."""
        return not self.left_out and all(layer.decided for layer in self.layers)

    def plot(self) -> "NDArray[np.object_]":
        """Every picture that the report has facts for, on one axis of layers: an array of matplotlib `Axes`.

        From top to bottom: scenarios, spectra of M and of sym(M), channels, step sizes, alignments; see
        `plot_scenarios` and its neighbours. Nothing is shown; `axes[0].figure` is the figure.
        """
        from .plotting.layers import plot_report

        return plot_report(self)

    def to_html(self, *, command: str | None = None) -> str:
        """The report as one HTML page for a reader who has never seen the paper; it asks nothing of any server.

        Words, pictures with text alternatives, sortable tables, and the JSON document of `classify` to download. It is
        the same for the same report, to the byte. `command` is how it was made, as the page shall tell.
        """
        from .report_page import report_page

        return report_page(self, command)


def classify_checkpoint(
    path: str | PathLike[str],
    *,
    layers: Iterable[int] | slice | None = None,
    groups: int | None = None,
    variant: str | None = None,
    weights: str | None = None,
    tokens: FloatArray | None = None,
    random_tokens: int | None = None,
    seed: int = 0,
    text: str | None = None,
    ids: ArrayLike | None = None,
    depth: int | None = None,
    integrate: int | None = None,
    rtol: float = TOKEN_RTOL,
    max_steps: int = MAX_STEPS,
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Judge the layers of a checkpoint by their weights and, if there are tokens, by what the tokens do.

    Args:
        path: anything `open_checkpoint` takes; `groups`, `variant` and `weights` as there.
        layers: positions among the S6 layers (negative ones from the end), or a slice within them; default all.
        tokens: initial tokens (L, d_inner) for every layer (Mamba-2: (L, d_model), taken as u).
        random_tokens: instead, this many standard normal tokens per layer, from `seed` and the layer's index.
        text, ids: instead, a text or token ids (L,) that the model itself reads; each layer's tokens are then the
            inputs of its scan. `depth` cycles the layers so far when the tokens' consensus is measured.
        integrate: how many of the first tokens to integrate (by causality they do not depend on the later ones);
            default all given or random tokens, and the first MOST_INTEGRATED of a text; 0 for none.
        rtol, max_steps: tolerance and budget of the integration.
        progress: called with (done, total, name) before each layer and once at the end.

    Raises:
        CheckpointError: the checkpoint cannot be opened, or is no language model that could read a text. A single bad
            layer is reported, not raised.
        LayerShapeError: tokens that do not fit, or are too large for float64; `NoSuchLayer`: there is no such layer.
    """
    if sum(one is not None for one in (tokens, random_tokens, text, ids)) > 1:
        raise LayerShapeError("expected one kind of tokens, found several of tokens, random_tokens, text and ids")
    checkpoint = open_checkpoint(path, groups=groups, variant=variant, weights=weights)
    chosen = chosen_layers(len(checkpoint), layers)
    reading = text is not None or ids is not None
    if reading:
        read = _read_text(checkpoint, text, ids)
        inputs = _inputs_from_text(checkpoint, read, chosen)
        integrate = MOST_INTEGRATED if integrate is None else integrate
    else:
        read, inputs = None, ((index, None, None) for index in chosen)
    with _layers(checkpoint, chosen, ahead=not reading) as next_layer:
        reports = []
        for done, (index, x0, block) in enumerate(inputs):
            slot = checkpoint.layers[index]
            if progress:
                progress(done, len(chosen), slot.name)
            try:
                layer = next_layer()
                verdict = weights_verdict(layer)
            except (CheckpointError, LayerShapeError) as error:
                reports.append(LayerReport(slot, error=str(error)))
                continue
            x0 = x0 if reading else _tokens_for(layer, tokens, random_tokens, seed)
            judged = None
            if x0 is not None:
                from ._tokens_verdict import tokens_verdict

                judged = tokens_verdict(layer, x0, rtol=rtol, max_steps=max_steps, integrate=integrate)
            reports.append(LayerReport(slot, verdict, judged, block))
    whole = None if read is None else Text(*read, _consensus_of(checkpoint, read[0], depth, progress))
    if progress:
        progress(len(chosen), len(chosen), "")
    given = {"groups": groups, "variant": variant, "weights": weights, "text": text, "depth": depth}
    given["tokens"] = None if tokens is None else f"an array of shape {np.shape(tokens)}"
    given["ids"] = None if ids is None else np.asarray(ids).tolist()
    given |= {} if random_tokens is None else {"random_tokens": random_tokens, "seed": seed}
    if any(report.tokens is not None for report in reports):
        given |= {"integrate": integrate, "rtol": rtol, "max_steps": max_steps}
    settings = {name: value for name, value in given.items() if value is not None}
    return Report(checkpoint, tuple(reports), checkpoint.bytes_read, whole, settings)


def _layers(checkpoint: Checkpoint, chosen: list[int], *, ahead: bool) -> AbstractContextManager[Callable[[], S6Layer]]:
    """The chosen layers one by one; `ahead` of their use unless something else reads the checkpoint meanwhile."""
    if ahead and len(chosen) > 1:
        return reading_ahead(checkpoint.layer, chosen)
    indices = iter(chosen)
    return nullcontext(lambda: checkpoint.layer(next(indices)))


def _read_text(checkpoint: Checkpoint, text: str | None, ids) -> tuple[NDArray[np.int64], list[str] | None]:
    """(token ids, their pieces) of a text; ids that are given have pieces only where there is a tokenizer."""
    from .checkpoints.language_model import language_model_weights
    from .checkpoints.tokenizer import tokenizer_of

    vocabulary = language_model_weights(checkpoint).vocabulary
    if text is None:
        try:
            return np.asarray(ids), tokenizer_of(checkpoint, vocabulary).pieces(np.asarray(ids))
        except CheckpointError:
            return np.asarray(ids), None
    tokenizer = tokenizer_of(checkpoint, vocabulary)
    found = tokenizer.ids(text)
    if found.size == 0:
        raise LayerShapeError("expected a text of at least one token, found an empty one; give some text")
    return found, tokenizer.pieces(found)


def _inputs_from_text(
    checkpoint: Checkpoint, read, chosen: list[int]
) -> "Iterator[tuple[int, FloatArray, BlockFacts]]":
    """(layer, its tokens in float64, facts of its block) for the chosen layers, in the order of the walk."""
    from ._block_facts import BlockFacts
    from .models import walk

    wanted = set(chosen)
    for visit in walk(checkpoint, read[0], depth=max(wanted, default=-1) + 1):
        if visit.index in wanted:
            tokens = visit.stages.x if checkpoint.layers[visit.index].kind != "mamba2" else visit.stages.u
            yield visit.index, np.asarray(tokens, np.float64), BlockFacts.of(visit)


def _consensus_of(checkpoint: Checkpoint, ids, depth: int | None, progress) -> "dict[str, ConsensusCurve]":
    from .models.consensus import consensus

    cases = {"full": (), "without_gate": ("gate",)}
    return {
        name: consensus(checkpoint, ids, depth=depth, without=parts, progress=progress) for name, parts in cases.items()
    }


def _tokens_for(layer: S6Layer, tokens, random_tokens: int | None, seed: int) -> FloatArray | None:
    if random_tokens is not None:
        from ._tokens_verdict import width_of

        return np.random.default_rng([seed, layer.index]).normal(size=(random_tokens, width_of(layer)))
    return tokens
