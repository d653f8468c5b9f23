"""Whether a network's residual stream discretises a smooth flow in depth: Euler stacks against a reference.

The flow is that of `mamba_dynamics.models.depth_flow`: the network's own blocks, their weights interpolated between
layers. Its Euler step 1 is the network. For a smooth flow the gap of Euler's method is c h + O(h^2): small, and
halved with the step. A network whose own gap is as large as the flow's displacement, or does not respond to the first
halving, is not a discretisation of this flow, however well the flow is resolved by much shorter steps.
"""

from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._outcomes import Outcome, Truth
from ._rates import Estimate, limiting_slope
from ._solve import COMPANION
from ._trajectory import FloatArray
from .models.block import Block
from .models.depth_flow import MAX_STEPS, RUNAWAY, euler, follow

#: Tolerance of the reference, per step.
RTOL = 1e-8
#: Euler steps go down to 2^-HALVINGS of a layer.
HALVINGS = 4
#: The network's gap is small if it is at most this share of how far the flow has moved from the embedding.
SMALL_GAP = 0.1
#: The order from step 1 to 1/2 is near 1 if it is no further away than this: then, in a gap of c h + c' h^2, the second
#: term is at step 1 between -0.27 and 0.47 of the first.
ORDER_BAND = 0.25
#: The first step that the reference's companion tries, and what rounding adds to the reference's error, relative.
_OTHER_FIRST_STEP, _ROUNDING = 0.11, 1e-13


@dataclass(frozen=True, eq=False)
class SmoothFlow:
    """Euler stacks of n layers against the flow, at the exit of every layer.

    `steps` (J,): 1, 1/2, 1/4, ... of a layer. `size` (n,): |u| of the flow, over all tokens and channels;
    `displacement` (n,): |u - u(0)|; `gaps` (n, J): |Euler - flow| (inf where Euler's stack overflowed);
    `reference_error` (n,): an upper estimate of the flow's own error, from a second run with tolerances 100 times
    looser and other steps. All NaN beyond `depth`, which the flow reached, with the `outcome` and `why` of that.
    """

    without: tuple[str, ...]
    steps: FloatArray
    size: FloatArray
    displacement: FloatArray
    gaps: FloatArray
    reference_error: FloatArray
    outcome: Outcome
    depth: float
    why: str
    reference_steps: int
    rtol: float = RTOL
    small_gap: float = SMALL_GAP
    order_band: float = ORDER_BAND

    @property
    def gap_over_size(self) -> FloatArray:
        """(n, J)."""
        return _ratio(self.gaps, self.size[:, None])

    @property
    def gap_over_displacement(self) -> FloatArray:
        """(n, J)."""
        return _ratio(self.gaps, self.displacement[:, None])

    @property
    def orders(self) -> FloatArray:
        """log2 of the gap at one step size over that at the next, (n, J - 1): 1 for Euler's method on a smooth flow."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log2(self.gaps[:, :-1] / self.gaps[:, 1:])

    @cached_property
    def order(self) -> Estimate | None:
        """The order at the network's end as the step tends to 0, extrapolated; None if the flow does not get there."""
        gaps = self.gaps[-1]
        if not np.all(np.isfinite(gaps)) or not np.all(gaps > 0):
            return None
        layers = 1 / self.steps
        slope = limiting_slope(np.log(gaps), np.log(layers), layers)
        return None if slope is None else Estimate(-slope.value, slope.standard_error, slope.window)

    @property
    def small(self) -> list[Truth]:
        """At each layer: whether the network's own gap is small beside the flow's displacement."""
        low = _ratio(self.gaps[:, 0] - self.reference_error, self.displacement + self.reference_error)
        high = _ratio(self.gaps[:, 0] + self.reference_error, self.displacement - self.reference_error)
        return [_within(*pair, -np.inf, self.small_gap) for pair in zip(low, high, strict=True)]

    @property
    def first_order(self) -> list[Truth]:
        """At each layer: whether halving the network's step halves its gap, within `order_band` of order 1."""
        coarse, fine, error = self.gaps[:, 0], self.gaps[:, 1], self.reference_error
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = np.log2((coarse - error) / (fine + error)), np.log2((coarse + error) / (fine - error))
        edges = 1 - self.order_band, 1 + self.order_band
        return [_within(*pair, *edges) for pair in zip(low, high, strict=True)]

    @property
    def layer_verdicts(self) -> list[Truth]:
        """Whether the network up to the exit of each layer discretises the flow: a small gap, of first order."""
        return [_both(*pair) for pair in zip(self.small, self.first_order, strict=True)]

    @property
    def verdict(self) -> Truth:
        """Holds if it does at every layer; fails if it does not at one, or if the flow blows up on the way."""
        found = self.layer_verdicts
        if Truth.FAILS in found or self.outcome is Outcome.BLEW_UP:
            return Truth.FAILS
        return Truth.HOLDS if found and set(found) == {Truth.HOLDS} else Truth.UNDECIDED


class SmoothFlowRun:
    """A reference and Euler stacks on their way through the layers, one unit of depth at a time."""

    def __init__(
        self,
        start: Float[Array, "L d"],
        *,
        without: tuple[str, ...] = (),
        halvings: int = HALVINGS,
        rtol: float = RTOL,
        max_steps: int = MAX_STEPS,
    ):
        self.without, self.rtol, self.max_steps = without, rtol, max_steps
        self.start = self.flow = self.loose = start
        self.stacks = [start] * (halvings + 1)
        self.outcome, self.depth, self.why = Outcome.REACHED_UNTIL, 0.0, "the flow was followed through all layers"
        self.work = 0
        self.rows: list[tuple[float, float, float, list[float]]] = []

    @property
    def network(self) -> Float[Array, "L d"]:
        """The residual stream of the network itself: Euler's method with step 1."""
        return self.stacks[0]

    def advance(self, here: Block, there: Block) -> None:
        """From one layer's entry to its exit, given its block and the next one's."""
        here, there = here.left_out(*self.without), there.left_out(*self.without)
        self.stacks = [euler(here, there, u, jnp.asarray(2**j)) for j, u in enumerate(self.stacks)]
        if self.outcome is Outcome.REACHED_UNTIL:
            self._follow(here, there)
        if self.outcome is Outcome.REACHED_UNTIL:
            size, gaps = _distance(self.flow, 0.0), [_distance(u, self.flow) for u in self.stacks]
            error = _distance(self.flow, self.loose) + _ROUNDING * size
            self.rows.append((size, _distance(self.flow, self.start), error, gaps))
        else:
            self.rows.append((np.nan, np.nan, np.nan, [np.nan] * len(self.stacks)))

    def _follow(self, here: Block, there: Block) -> None:
        found = follow(here, there, self.flow, rtol=self.rtol, max_steps=self.max_steps)
        self.flow, self.outcome = found.residual, found.outcome
        self.depth += found.share
        self.work += found.steps
        if found.outcome is not Outcome.REACHED_UNTIL:
            self.why = {
                Outcome.BLEW_UP: f"the flow blows up at depth {self.depth:.8g}: a token's growth rate rose past "
                f"{RUNAWAY:g} e-folds per layer",
                Outcome.BUDGET_EXHAUSTED: f"the flow could be followed to depth {self.depth:.8g} only: max_steps = "
                f"{self.max_steps} per layer used up",
            }.get(found.outcome, f"the solver failed at depth {self.depth:.8g}")
            return
        # Where the first steps decide, equal ones would hide the error: the companion begins with another.
        tolerance = COMPANION * self.rtol
        loose = follow(here, there, self.loose, rtol=tolerance, max_steps=self.max_steps, first_step=_OTHER_FIRST_STEP)
        self.work += loose.steps
        # A companion that did not arrive bounds no error.
        arrived = loose.outcome is Outcome.REACHED_UNTIL
        self.loose = loose.residual if arrived else jnp.full_like(self.flow, jnp.inf)

    def result(self) -> SmoothFlow:
        size, displacement, error, gaps = (np.array(column) for column in zip(*self.rows, strict=True))
        return SmoothFlow(
            without=self.without,
            steps=np.exp2(-np.arange(len(self.stacks)), dtype=np.float64),
            size=size,
            displacement=displacement,
            gaps=gaps,
            reference_error=error,
            outcome=self.outcome,
            depth=self.depth,
            why=self.why,
            reference_steps=self.work,
            rtol=self.rtol,
        )


def _distance(u: Float[Array, "L d"], other: Float[Array, "L d"] | float) -> float:
    """|u - other|; inf where that is not finite."""
    found = float(jnp.linalg.norm(u - other))
    return found if np.isfinite(found) else np.inf


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _within(low: float, high: float, least: float, most: float) -> Truth:
    """Whether a number known to lie in [low, high] lies in [least, most]; NaN is an unknown end."""
    if least <= low and high <= most:
        return Truth.HOLDS
    return Truth.FAILS if low > most or high < least else Truth.UNDECIDED


def _both(one: Truth, other: Truth) -> Truth:
    if Truth.FAILS in (one, other):
        return Truth.FAILS
    return Truth.HOLDS if one is other is Truth.HOLDS else Truth.UNDECIDED
