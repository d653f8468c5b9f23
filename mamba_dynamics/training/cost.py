"""What a training run asks for, in numbers and bytes, told before any of it is allocated.

The figures are estimates for a refusal, not for a plan: they count the arrays that grow with a spec's sizes, and are
compared with more than a machine that trains these models has.
"""

from dataclasses import dataclass

from .._errors import TrainingError
from .models import TAPS, Sizes

#: Each layer is compiled by itself.
MOST_LAYERS = 1000
#: Bytes of a run's weights with all that is kept beside them, of one batch on its way through the model, of the log.
MOST_WEIGHTS, MOST_BATCH, MOST_LOG = 8 * 10**9, 16 * 10**9, 10**9

#: Bytes of a weight: new in float64, float32 twice, a gradient, an update and AdamW's two moments.
_OF_WEIGHT = 32
#: Bytes of a number on the way forward and back, and how many of them a token has: in the stream, and in each channel.
_SINGLE, _OF_STREAM, _OF_CHANNEL = 4, 6, 24
#: Bytes that drawing a batch takes for each token, and logits with their gradients for each token and kind of token.
_OF_PLACE, _OF_LOGIT = 40, 12
#: Bytes of a record, and of what it says of each block.
_OF_RECORD, _OF_BLOCK = 300, 600


@dataclass(frozen=True)
class Cost:
    """The sizes of a run: tokens of a batch and how many evaluations are logged, beside those of the model."""

    sizes: Sizes
    tokens: int
    evaluations: int

    @property
    def weights(self) -> int:
        """Numbers that are trained, from above."""
        one = self.sizes
        inside = 3 * one.width + 3 * one.states + 2 * one.rank + TAPS + 4
        return 2 * one.vocabulary * one.width + one.width + one.layers * (one.channels * inside + one.width)

    @property
    def batch(self) -> int:
        """Bytes of a batch and of its way through the model."""
        one = self.sizes
        block = _OF_STREAM * one.width + (_OF_CHANNEL + one.states) * one.channels
        return self.tokens * (_OF_PLACE + _OF_LOGIT * one.vocabulary + _SINGLE * one.depth * block)

    @property
    def log(self) -> int:
        """Bytes of a run's records."""
        return self.evaluations * (_OF_RECORD + _OF_BLOCK * self.sizes.depth)

    def require_affordable(self) -> None:
        """Raise `TrainingError`, with the number, for what is beyond a bound."""
        bounds = (
            (self.sizes.layers, MOST_LAYERS, "layers", "make model.layers smaller"),
            (
                _OF_WEIGHT * self.weights,
                MOST_WEIGHTS,
                "bytes for weights and what trains them",
                "make the model smaller",
            ),
            (self.batch, MOST_BATCH, "bytes for a batch in the model", "make batch, length or the model smaller"),
            (self.log, MOST_LOG, "bytes for the log", "evaluate less often"),
        )
        for found, most, what, fix in bounds:
            if found > most:
                raise TrainingError(f"expected a run of at most {most} {what}, found {found}: {fix}")
