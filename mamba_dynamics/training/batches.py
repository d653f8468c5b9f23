"""What a task hands to the loop: batches that depend on nothing but the seed and the step.

So a run that was stopped goes on with the very batches it would have seen, and there is no generator's state to save.
"""

import abc
from collections.abc import Iterator
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int


class TokenBatch(NamedTuple):
    """B windows of L token ids, the target after each token, and how much each target counts."""

    tokens: Int[np.ndarray, "B L"]
    targets: Int[np.ndarray, "B L"]
    weights: Float[np.ndarray, "B L"]

    @property
    def size(self) -> int:
        """Tokens read."""
        return self.tokens.size


class PatchBatch(NamedTuple):
    """B sequences of L patches of p pixels in [0, 1], and the class of each sequence."""

    patches: Float[np.ndarray, "B L p"]
    labels: Int[np.ndarray, " B"]

    @property
    def size(self) -> int:
        """Patches read."""
        return self.patches.shape[0] * self.patches.shape[1]


Batch = TokenBatch | PatchBatch


class AbstractTask(eqx.Module):
    """A task: what to train on at each step, and what to evaluate on."""

    @abc.abstractmethod
    def batch(self, step: int) -> Batch:
        """The batch of a step, 1, 2, ...; always the same for the same task and step."""

    @abc.abstractmethod
    def held_out(self) -> Iterator[Batch]:
        """Batches that no step trains on; always the same."""


def generator(*key: int) -> np.random.Generator:
    """Random numbers that depend on the key alone."""
    return np.random.default_rng(key)
