"""Two synthetic tasks that ask a selective model for memory: selective copying and induction heads.

@inproceedings{gu2024mamba,
  title={Mamba: Linear-Time Sequence Modeling with Selective State Spaces},
  author={Gu, Albert and Dao, Tri},
  booktitle={Conference on Language Modeling},
  year={2024}
}
"""

from collections.abc import Iterator

import equinox as eqx
import numpy as np

from .._errors import DataError
from .batches import AbstractTask, TokenBatch, generator

#: Batches an evaluation reads; they come from keys that no training step has.
EVALUATION_BATCHES = 8
_TRAINING, _HELD_OUT = 0, 1


class AbstractSynthetic(AbstractTask):
    """Sequences drawn anew at every step."""

    batch_size: eqx.AbstractVar[int]
    seed: eqx.AbstractVar[int]

    def batch(self, step: int) -> TokenBatch:
        return self.draw(generator(self.seed, _TRAINING, step))

    def held_out(self) -> Iterator[TokenBatch]:
        for index in range(EVALUATION_BATCHES):
            # Not the run's seed: all runs are evaluated on the same sequences.
            yield self.draw(generator(0, _HELD_OUT, index))

    def draw(self, rng: np.random.Generator) -> TokenBatch:
        """One batch of sequences."""
        raise NotImplementedError

    @property
    def vocabulary(self) -> int:
        """Token ids are below this."""
        raise NotImplementedError


class SelectiveCopying(AbstractSynthetic):
    """Remember `symbols` tokens scattered over `length` places of noise, and say them in order at the end.

    Ids: 0 is noise, 1 asks for the next symbol, 2, 3, ... are the symbols. Targets that count are the last `symbols`.
    """

    length: int = eqx.field(static=True)
    symbols: int = eqx.field(static=True)
    kinds: int = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    def __check_init__(self):
        if not 1 <= self.symbols <= self.length:
            raise DataError(f"expected 1 to {self.length} symbols in {self.length} places, found {self.symbols}")

    @property
    def vocabulary(self) -> int:
        return self.kinds + 2

    def draw(self, rng: np.random.Generator) -> TokenBatch:
        total = self.length + self.symbols
        # The places of a row are the first of a random order, sorted: every choice is equally likely.
        places = np.sort(np.argsort(rng.random((self.batch_size, self.length)), axis=1)[:, : self.symbols], axis=1)
        said = rng.integers(2, self.kinds + 2, places.shape)
        tokens = np.zeros((self.batch_size, total), np.int32)
        np.put_along_axis(tokens, places, said, axis=1)
        tokens[:, self.length :] = 1
        targets, weights = np.zeros_like(tokens), np.zeros(tokens.shape, np.float32)
        targets[:, self.length :] = said
        weights[:, self.length :] = 1
        return TokenBatch(tokens, targets, weights)


class InductionHeads(AbstractSynthetic):
    """Recall what followed a special token the first time it was seen, when it comes again at the end.

    Ids 0, ..., kinds - 1 are ordinary tokens, `kinds` is the special one. Only the last target counts.
    """

    length: int = eqx.field(static=True)
    kinds: int = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    def __check_init__(self):
        if self.length < 3:
            raise DataError(f"expected sequences of at least 3 tokens, found {self.length}")

    @property
    def vocabulary(self) -> int:
        return self.kinds + 1

    def draw(self, rng: np.random.Generator) -> TokenBatch:
        tokens = rng.integers(0, self.kinds, (self.batch_size, self.length)).astype(np.int32)
        rows, place = np.arange(self.batch_size), rng.integers(0, self.length - 2, self.batch_size)
        tokens[rows, place] = tokens[:, -1] = self.kinds
        targets, weights = np.zeros_like(tokens), np.zeros(tokens.shape, np.float32)
        targets[:, -1] = tokens[rows, place + 1]
        weights[:, -1] = 1
        return TokenBatch(tokens, targets, weights)
