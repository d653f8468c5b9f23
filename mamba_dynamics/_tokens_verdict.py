"""What given tokens do under one layer: alignments, importance, and the ODE integrated from them.

A generic layer is never definite (theory 4.7), so what happens depends on the tokens. Each of them is looked at in
itself (its alignment cos(S_C x, S_B x), the sign of q, its step sizes and importance), and then the infinite-depth
limit is integrated from all of them. A verdict must survive **halved tolerances**: what a second run with half the
tolerance does not repeat is `undecided`.

By causality token l never sees a later one. So the first tokens of a long text can be integrated by themselves; and
where the run of all tokens stays undecided, its beginnings (the first token, the first two, four, ...) are run until
one of them does too: the **longest decided prefix** says what its own tokens do, whatever comes after them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ._errors import LayerShapeError
from ._layer import S6Layer
from ._linalg import FloatArray, alignment, quadratic_form
from ._outcomes import Scenario, TokenFate, Truth
from ._token_budget import MAX_STEPS, TOKEN_RTOL

if TYPE_CHECKING:
    from ._verdict import Verdict

_NOT_CLOSED = (
    "no ODE is integrated: B, C and Delta of this kind are functions of the normed residual u, not of the scan's input "
    "x, so the S6-only ODE is not closed; alignments are those of the tokens taken as u"
)
_NOT_ASKED = "no ODE is integrated, as none was asked for (integrate = 0)"


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
        """Raises `LayerShapeError` for tokens whose step sizes or q, in several dimensions, float64 does not hold."""
        with np.errstate(over="ignore", invalid="ignore"):
            raw = [layer.raw_step_sizes(part, g) for g, part in enumerate(parts)]
            q = layer.gain * np.stack(
                [quadratic_form(layer.B_map(g), layer.C_map(g), part) for g, part in enumerate(parts)]
            )
        if layer.channels > 1:
            _require_in_range(layer, parts, raw, q)
        return cls(
            alignment=np.sign(layer.gain)
            * np.stack([alignment(layer.B_map(g), layer.C_map(g), part) for g, part in enumerate(parts)]),
            q=q,
            raw_step_mean=np.stack([_means(one) for one in raw]),
            raw_step_min=np.stack([one.min(axis=1) for one in raw]),
            raw_step_max=np.stack([one.max(axis=1) for one in raw]),
        )


def _require_in_range(layer: S6Layer, parts: list[FloatArray], raw: list[FloatArray], q: FloatArray) -> None:
    """Each token enters by the products S_Delta x and q(x) = (S_C x) . (S_B x), so these must be finite."""
    for part, steps, form in zip(parts, raw, q, strict=True):
        beyond = np.flatnonzero(~(np.isfinite(steps).all(axis=1) & np.isfinite(form)))
        if beyond.size:
            largest = np.abs(part[beyond[0]]).max()
            raise LayerShapeError(
                f"{layer.name}: expected tokens for which S_Delta x and q(x) = (S_C x) . (S_B x) stay within float64, "
                f"found token {beyond[0] + 1} with entries up to {largest:.3g}; rescale the tokens"
            )


def _means(raw: FloatArray) -> FloatArray:
    """Each token's mean step size before softplus; infinite where the sum of its step sizes is."""
    with np.errstate(over="ignore", invalid="ignore"):
        return raw.mean(axis=1)


@dataclass(frozen=True, eq=False)
class RunPair:
    """One run of the first `count` tokens, and the same with half the tolerance (None where it was not asked for)."""

    count: int
    verdict: "Verdict"
    check: "Verdict | None"

    @property
    def scenario(self) -> Scenario:
        """What both runs show; undecided where they differ."""
        if self.check is None or _same_run(self.verdict, self.check):
            return self.verdict.simulated
        return Scenario.UNDECIDED

    @property
    def fates(self) -> tuple[TokenFate, ...]:
        """Every token's fate in both runs; undecided where they differ."""
        tokens = self.verdict.tokens[: self.count]
        if self.check is None:
            return tuple(token.fate for token in tokens)
        pairs = zip(tokens, self.check.tokens, strict=False)
        return tuple(one.fate if one.fate is other.fate else TokenFate.UNDECIDED for one, other in pairs)


@dataclass(frozen=True, eq=False)
class TokensVerdict:
    """What given tokens do under one layer.

    `count` tokens were looked at, the first `integrated` of them integrated. `runs`: one per group, None with
    `why_not` where there is no closed ODE. `prefixes`: one per group, the longest decided prefix of a run that is
    undecided itself, else None.
    """

    count: int
    statistics: TokenStatistics
    runs: tuple[RunPair, ...] | None
    prefixes: tuple[RunPair | None, ...] = ()
    why_not: str | None = None

    @property
    def alignment(self) -> FloatArray:
        return self.statistics.alignment

    @property
    def verdicts(self) -> "tuple[Verdict, ...] | None":
        """Theory and simulation side by side, one per group."""
        return None if self.runs is None else tuple(run.verdict for run in self.runs)

    @property
    def integrated(self) -> int:
        return self.runs[0].count if self.runs else 0

    @cached_property
    def simulated(self) -> tuple[Scenario, ...]:
        """The scenario of every group's run. A prefix that blows up settles it: the whole does so no later."""
        return tuple(
            Scenario.FAST_DIVERGENCE if _blows_up(prefix) else run.scenario
            for run, prefix in zip(self.runs or (), self.prefixes, strict=True)
        )

    @property
    def scenario(self) -> Scenario:
        """The scenario that every group's run shows; mixed if they differ, undecided if one of them is."""
        found = set(self.simulated)
        if not found or Scenario.UNDECIDED in found:
            return Scenario.UNDECIDED
        return found.pop() if len(found) == 1 else Scenario.MIXED

    @property
    def decided(self) -> bool:
        """Whether every group's scenario and every integrated token's fate is decided."""
        return self.scenario is not Scenario.UNDECIDED and TokenFate.UNDECIDED not in self.fates

    @cached_property
    def fates_by_group(self) -> tuple[tuple[TokenFate, ...], ...]:
        """The fate of every integrated token in every group, from the run of all or else from the longest prefix.

        Where a prefix blows up, a later token may do so before it: then its own tokens are undecided as well.
        """
        return tuple(_fates(run, prefix) for run, prefix in zip(self.runs or (), self.prefixes, strict=True))

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


def _blows_up(prefix: RunPair | None) -> bool:
    return prefix is not None and prefix.scenario is Scenario.FAST_DIVERGENCE


def _fates(run: RunPair, prefix: RunPair | None) -> tuple[TokenFate, ...]:
    if prefix is None:
        return run.fates
    known = () if _blows_up(prefix) else prefix.fates
    return known + (TokenFate.UNDECIDED,) * (run.count - len(known))


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
    max_steps: int = MAX_STEPS,
    integrate: int | None = None,
    check: bool = True,
) -> TokensVerdict:
    """Each token by itself, and the ODE integrated from them in each of the layer's groups.

    Args:
        layer: the layer; its groups are heads or scan directions where it has several.
        x0: tokens (L, width), width = D, or D times the heads where every head has its own channels (Zamba).
        rtol, max_steps: tolerance and budget of an integration.
        integrate: how many of the first tokens to integrate; default all, 0 for none.
        check: repeat every run with half the tolerance, and call undecided what differs.

    Raises:
        LayerShapeError: the tokens do not fit the layer, or are so large that float64 does not hold S_Delta x or q(x).
    """
    parts = _split(layer, np.asarray(x0, float))
    statistics = TokenStatistics.of(layer, parts)
    if not layer.closed:
        return TokensVerdict(len(x0), statistics, None, why_not=_NOT_CLOSED)
    if integrate == 0:
        return TokensVerdict(len(x0), statistics, None, why_not=_NOT_ASKED)
    runs, prefixes = [], []
    for group, part in enumerate(parts):
        integrator = _Integrator(layer.group(group), part[:integrate], rtol, max_steps, check)
        runs.append(integrator.run(len(integrator.tokens)))
        prefixes.append(integrator.longest_decided_prefix() if runs[-1].scenario is Scenario.UNDECIDED else None)
    return TokensVerdict(len(x0), statistics, tuple(runs), tuple(prefixes))


@dataclass(frozen=True, eq=False)
class _Integrator:
    layer: S6Layer
    tokens: FloatArray
    rtol: float
    max_steps: int
    check: bool

    def run(self, count: int) -> RunPair:
        """The run of the first tokens; the others are put to zero, where they stay, so that no shape changes."""
        from ._verdict import classify

        x0 = np.where(np.arange(len(self.tokens))[:, None] < count, self.tokens, 0.0)

        def once(rtol: float) -> "Verdict":
            return classify(self.layer, x0, rtol=rtol, atol=rtol, max_steps=self.max_steps)

        verdict = once(self.rtol)
        repeat = self.check and verdict.simulated is not Scenario.UNDECIDED
        return RunPair(count, verdict, once(self.rtol / 2) if repeat else None)

    def longest_decided_prefix(self) -> RunPair | None:
        """The longest among the first 1, 2, 4, ... tokens before one is undecided; None if the first token is."""
        found, count = None, 1
        while count < len(self.tokens):
            pair = self.run(count)
            if pair.scenario is Scenario.UNDECIDED:
                break
            found, count = pair, 2 * count
        return found


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
