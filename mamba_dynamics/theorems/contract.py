"""The contract every theorem of the catalogue fulfils; one file per statement under `theorems.catalogue`.

A theorem is a record:

    hypotheses(layer, x0)         each with its truth, how it is known, its value and its margin
    conclusion(layer, x0, told)   what it predicts: named quantities (`Expected`) with limits, values or bounds
    steps                         the proof, step by step, checkable by computer algebra (`theorems.steps`)
    pool                          random cases that satisfy the hypotheses
    breaks                        for every hypothesis, a case that breaks it
    weaker                        claims of the literature that fail, each with a counterexample

Nothing here measures: a quantity is named, and `mamba_dynamics.verification` knows how to measure it. What theory
cannot know without a run (the first token to blow up, frozen ratios) it is told, in `Told`.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .._layer import S6Layer
from .._outcomes import KnownBy, Truth
from .base import PAPER, FloatArray
from .steps import Step


class Origin(enum.StrEnum):
    """Who states it."""

    PAPER = "paper"
    SHARP = "sharp"
    NEW = "new"
    NAIVE = "naive"


@dataclass(frozen=True)
class Case:
    """One system: a layer with its initial tokens, (L,) for D = 1 and (L, D) above."""

    layer: S6Layer
    x0: FloatArray


@dataclass(frozen=True)
class Pool:
    """A named distribution of random cases; theorems that share a pool share its simulations."""

    name: str
    draw: Callable[[np.random.Generator], Case]

    def case(self, seed: int, index: int) -> Case:
        """Case number `index` under a seed: the same on every machine, whatever else was drawn."""
        return self.draw(np.random.default_rng([seed, index, *self.name.encode()]))


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis on one system. `margin`: how far `value` is from where the truth would change, 0 on the edge."""

    name: str
    truth: Truth
    known_by: KnownBy
    value: float | None = None
    margin: float | None = None


class Told:
    """What theory was told by a simulation: l* (0-based), and the frozen ratios x_l / x_1.

    A subclass may find them out only when they are asked for.
    """

    def __init__(self, first_token: int | None = None, ratios: FloatArray | None = None):
        self._first_token, self._ratios = first_token, ratios

    @property
    def first_token(self) -> int | None:
        return self._first_token

    @property
    def ratios(self) -> FloatArray | None:
        return self._ratios


class Relation(enum.StrEnum):
    """How a measured quantity should relate to the predicted value."""

    LIMIT = "tends to"
    EQUAL = "equals"
    AT_MOST = "is at most"
    AT_LEAST = "is at least"


@dataclass(frozen=True)
class Expected:
    """One prediction: a quantity (a meter's name), of one 0-based token or of the system, and what it should be.

    `value` is a number, an array (compared entry by entry), a word (a scenario), or for AT_MOST and AT_LEAST also a
    function of the curve's argument. `tolerance` is absolute plus relative and covers rounding and integration error
    only; a LIMIT carries its own standard error instead.
    """

    quantity: str
    value: float | str | FloatArray | Callable[[FloatArray], FloatArray]
    token: int | None = None
    relation: Relation = Relation.LIMIT
    tolerance: float = 1e-8


@dataclass(frozen=True)
class WeakerClaim:
    """A claim that is not sharp, or false: what it says, who says it, and a system on which it fails.

    `expected` is what the claim would predict there, and `because` what happens instead.
    """

    claim: str
    origin: Origin
    case: Case
    expected: tuple[Expected, ...]
    because: str


Conclusion = Callable[[S6Layer, FloatArray, Told], tuple[Expected, ...]]


@dataclass(frozen=True)
class Theorem:
    """One statement, with everything needed to check it; see the module docstring."""

    name: str
    title: str
    origin: Origin
    statement: str
    section: str
    pool: Pool
    hypotheses: Callable[[S6Layer, FloatArray], tuple[Hypothesis, ...]]
    conclusion: Conclusion
    steps: tuple[Step, ...]
    breaks: Mapping[str, Case]
    weaker: tuple[WeakerClaim, ...] = ()
    bibtex: str = PAPER
    remarks: tuple[str, ...] = field(default=())

    def applies(self, layer: S6Layer, x0: FloatArray) -> Truth:
        """Whether every hypothesis holds."""
        found = [one.truth for one in self.hypotheses(layer, x0)]
        if Truth.FAILS in found:
            return Truth.FAILS
        return Truth.UNDECIDED if Truth.UNDECIDED in found else Truth.HOLDS

    @property
    def source(self) -> str:
        """Where the statement comes from, in words."""
        by = {
            Origin.PAPER: "the paper",
            Origin.SHARP: "sharp form of the paper's",
            Origin.NEW: "new here",
            Origin.NAIVE: "",
        }
        return f"{by[self.origin]} (theory {self.section})"
