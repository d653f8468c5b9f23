"""Orders to compare a learned importance with: its reverse, a rule without parameters, one order for all sequences.

A learned K may as well be learned as -K, so the reverse of a learned importance is the same family of models: a
difference between the two is chance. The reverse of `MeanImportance`, which has no sign to learn, is not.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from ..models.reordering import AbstractReordering, Mode
from .softsort import require_relaxation, soft_sort


class MeanImportance(AbstractReordering):
    """Tokens by ascending mean of S_Delta x + b over the channels; tau, p and hard as in `soft_sort`."""

    tau: float = eqx.field(static=True, default=1.0)
    p: int = eqx.field(static=True, default=1)
    hard: bool = eqx.field(static=True, default=False)
    mode: Mode = eqx.field(static=True, default="x")

    def __check_init__(self):
        require_relaxation(self.tau, self.p)

    def order(self, raw_step_sizes):
        return soft_sort(jnp.mean(raw_step_sizes, axis=1), tau=self.tau, p=self.p, hard=self.hard)


class Reversed(AbstractReordering):
    """Another rule's order from its last token to its first; `mode` is what this one moves, whatever the rule's own."""

    rule: AbstractReordering
    mode: Mode = eqx.field(static=True)

    def order(self, raw_step_sizes):
        return self.rule.order(raw_step_sizes)[::-1]


class RandomOrder(AbstractReordering):
    """One random permutation for all sequences of a length, whatever their tokens."""

    seed: int = eqx.field(static=True)
    mode: Mode = eqx.field(static=True, default="x")

    def order(self, raw_step_sizes):
        length = len(raw_step_sizes)
        permutation = jax.random.permutation(jax.random.key(self.seed), length)
        return jax.nn.one_hot(permutation, length, dtype=raw_step_sizes.dtype)
