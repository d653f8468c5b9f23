"""What given tokens do under one layer: alignments, importance, and the ODE integrated from them.

A generic layer is never definite (theory 4.7), so what happens depends on the tokens. Each of them is looked at in
itself (its alignment cos(S_C x, S_B x), the sign of q, its step sizes and importance), and then the infinite-depth
limit is integrated from all of them. A verdict must survive **halved tolerances**: what a second run with half the
tolerance does not repeat is `undecided`.

By causality token l never sees a later one, so the first tokens of a long text can be integrated by themselves.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ._errors import LayerShapeError
from ._layer import S6Layer
from ._linalg import FloatArray, alignment, quadratic_form
from ._outcomes import Scenario, TokenFate, Truth

if TYPE_CHECKING:
    from ._verdict import Verdict

#: Tolerances of the integration of a real layer's tokens: blow-up times are then good to about 1e-7.
TOKEN_RTOL = 1e-8
#: Tokens integrated unless more are asked for.
MOST_INTEGRATED = 32

_NOT_CLOSED = (
    "no ODE is integrated: B, C and Delta of this kind are functions of the normed residual u, not of the scan's input "
    "x, so the S6-only ODE is not closed; alignments are those of the tokens taken as u"
)


@dataclass(frozen=True, eq=False)
class TokenStatistics:
    """Each token by itself, in each group: arrays (GROUPS, L).

    `alignment`: cos of the angle between S_C x and S_B x, NaN where undefined; `q`: x^T M x, the sign of the token's
    own growth; `raw_step_mean`, `_min`, `_max`: S_Delta x + b over the step sizes (above 0 the step is about
    linear, below it shuts); `importance`: the score K (S_Delta x + b) of theory section 6 with K the mean, as no
    checkpoint but one trained for it holds a K.
    """

    alignment: FloatArray
    q: FloatArray
    raw_step_mean: FloatArray
    raw_step_min: FloatArray
    raw_step_max: FloatArray

    @property
    def importance(self) -> FloatArray:
        return self.raw_step_mean

    @classmethod
    def of(cls, layer: S6Layer, parts: list[FloatArray]) -> "TokenStatistics":
        raw = [layer.raw_step_sizes(part, g) for g, part in enumerate(parts)]
        return cls(
            alignment=np.stack([alignment(layer.B_map(g), layer.C_map(g), part) for g, part in enumerate(parts)]),
            q=layer.gain
            * np.stack([quadratic_form(layer.B_map(g), layer.C_map(g), part) for g, part in enumerate(parts)]),
            raw_step_mean=np.stack([one.mean(axis=1) for one in raw]),
            raw_step_min=np.stack([one.min(axis=1) for one in raw]),
            raw_step_max=np.stack([one.max(axis=1) for one in raw]),
        )


@dataclass(frozen=True, eq=False)
class TokensVerdict:
    """What given tokens do under one layer.

    `count` tokens were looked at, the first `integrated` of them integrated. `verdicts`: one per group, theory and
    simulation side by side, None with `why_not` where there is no closed ODE. `checks`: the same with halved
    tolerances; what they do not repeat is undecided.
    """

    count: int
    statistics: TokenStatistics
    verdicts: "tuple[Verdict, ...] | None"
    checks: "tuple[Verdict, ...] | None" = None
    why_not: str | None = None

    @property
    def alignment(self) -> FloatArray:
        return self.statistics.alignment

    @property
    def integrated(self) -> int:
        return 0 if not self.verdicts else len(self.verdicts[0].tokens)

    @cached_property
    def simulated(self) -> tuple[Scenario, ...]:
        """The scenario of every group's run; undecided where halved tolerances show another one."""
        return tuple(
            one.simulated if other is None or _same_run(one, other) else Scenario.UNDECIDED
            for one, other in self._pairs
        )

    @property
    def scenario(self) -> Scenario:
        """The scenario that every group's run shows; mixed if they differ."""
        if self.verdicts is None:
            return Scenario.UNDECIDED
        found = set(self.simulated)
        return found.pop() if len(found) == 1 else Scenario.MIXED

    @cached_property
    def fates_by_group(self) -> tuple[tuple[TokenFate, ...], ...]:
        """The fate of every integrated token in every group; undecided where halved tolerances show another one."""
        return tuple(
            tuple(
                token.fate if other is None or other.tokens[token.index].fate is token.fate else TokenFate.UNDECIDED
                for token in one.tokens
            )
            for one, other in self._pairs
        )

    @property
    def fates(self) -> list[TokenFate]:
        """The fate of every token of every group, in order."""
        return [fate for group in self.fates_by_group for fate in group]

    @property
    def agreement(self) -> Truth:
        """Fails if theory is contradicted in some group; holds if it is confirmed in all."""
        found = [verdict.agreement for verdict in self.verdicts or ()]
        if Truth.FAILS in found:
            return Truth.FAILS
        return Truth.HOLDS if found and set(found) == {Truth.HOLDS} else Truth.UNDECIDED

    @property
    def _pairs(self):
        verdicts = self.verdicts or ()
        return tuple(zip(verdicts, self.checks or (None,) * len(verdicts), strict=True))


def _same_run(one: "Verdict", other: "Verdict") -> bool:
    """Whether two runs show the same scenario, and blow-ups at the same time within their errors."""
    if one.simulated is not other.simulated:
        return False
    first, second = one.trajectory.blow_up, other.trajectory.blow_up
    if first is None or second is None:
        return True
    return first.token == second.token and abs(first.time - second.time) <= first.error + second.error


def tokens_verdict(
    layer: S6Layer,
    x0: FloatArray,
    *,
    rtol: float = TOKEN_RTOL,
    max_steps: int = 4096,
    integrate: int | None = None,
    check: bool = True,
) -> TokensVerdict:
    """Each token by itself, and the ODE integrated from them in each of the layer's groups.

    Args:
        layer: the layer; its groups are heads or scan directions where it has several.
        x0: tokens (L, width), width = D, or D times the heads where every head has its own channels (Zamba).
        rtol, max_steps: tolerance and budget of an integration.
        integrate: how many of the first tokens to integrate; default all.
        check: repeat every run with half the tolerance, and call undecided what differs.

    Raises:
        LayerShapeError: the tokens do not fit the layer.
    """
    parts = _split(layer, np.asarray(x0, float))
    statistics = TokenStatistics.of(layer, parts)
    if not layer.closed:
        return TokensVerdict(len(x0), statistics, None, why_not=_NOT_CLOSED)
    from ._verdict import classify

    def run(tolerance: float) -> "tuple[Verdict, ...]":
        return tuple(
            classify(layer.group(g), part[:integrate], rtol=tolerance, atol=tolerance, max_steps=max_steps)
            for g, part in enumerate(parts)
        )

    verdicts = run(rtol)
    decided = any(one.simulated is not Scenario.UNDECIDED for one in verdicts)
    return TokensVerdict(len(x0), statistics, verdicts, run(rtol / 2) if check and decided else None)


def width_of(layer: S6Layer) -> int:
    """The width of a token of a layer: D, or D times the heads where every head has its own channels."""
    return layer.channels * (layer.groups if layer.group_axis == "head" else 1)


def _split(layer: S6Layer, x0: FloatArray) -> list[FloatArray]:
    """The tokens each group sees: its own channels for heads, all of them for groups and scan directions."""
    width = width_of(layer)
    if x0.ndim != 2 or x0.shape[1] != width or len(x0) == 0:
        raise LayerShapeError(
            f"{layer.name}: tokens should have shape (L, {width}) with L >= 1, found {x0.shape}; "
            "give the layer's own inputs, one row per token"
        )
    if not np.all(np.isfinite(x0)):
        raise LayerShapeError(f"{layer.name}: tokens should be finite, found NaN or infinite values; check the file")
    return np.split(x0, layer.groups, axis=1) if layer.group_axis == "head" else [x0] * layer.groups
