"""`--fail-on`: a verdict as an exit code, for a pipeline that lets a checkpoint pass or stops it.

The gate looks at one level of evidence and asks it one question: does a layer, or one of its groups, show a scenario
that was ruled out? Evidence that is undecided is no pass: it ends with the code of undecided verdicts, unless
`undecided` itself was ruled out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .._close_names import did_you_mean
from .._outcomes import Scenario, Truth
from .output import UNDECIDED_OR_DISAGREES, complain, counted, refuse

if TYPE_CHECKING:
    from .._report import LayerReport, Report

#: Exit code of a run in which a layer shows a scenario that `--fail-on` rules out.
RULED_OUT = 4

#: What growth without bound is called where slow and fast are told apart; `divergent` stands for all of them.
_DIVERGENT = {Scenario.DIVERGENT, Scenario.SLOW_DIVERGENCE, Scenario.FAST_DIVERGENCE}
#: What the weights alone can say; only tokens tell slow from fast and come to rest.
_BY_WEIGHTS = {Scenario.CONVERGENT, Scenario.DIVERGENT, Scenario.MIXED, Scenario.CONSTANT, Scenario.UNDECIDED}
#: level of evidence -> the scenarios that it can show
SHOWN_BY = {"spectral": _BY_WEIGHTS, "certified": _BY_WEIGHTS, "tokens": set(Scenario)}


@dataclass(frozen=True)
class Gate:
    """`ruled_out` scenarios at one `level` of evidence."""

    ruled_out: frozenset[Scenario]
    level: str

    @classmethod
    def of(cls, names: Iterable[str], level: str, *, integrates: bool) -> "Gate":
        """The gate of the options as given: comma lists of scenarios, a level, and whether tokens are integrated."""
        if level not in SHOWN_BY:
            refuse(f"expected one of {', '.join(SHOWN_BY)}, found {level!r}", "--fail-on-level")
        if level == "tokens" and not integrates:
            refuse("tokens goes with --tokens, --random-tokens, --text, --text-file or --token-ids", "--fail-on-level")
        ruled_out: set[Scenario] = set()
        for name in (part.strip() for given in names for part in given.split(",")):
            if name not in set(SHOWN_BY[level]):
                can = ", ".join(one.value for one in Scenario if one in SHOWN_BY[level])
                why = f"; {name} is for --fail-on-level tokens" if name in set(Scenario) else ""
                why = why or f"; {did_you_mean(name, [one.value for one in SHOWN_BY[level]], '')}".removesuffix("; ")
                refuse(f"expected scenarios that the level {level} can show ({can}), found {name!r}{why}", "--fail-on")
            ruled_out |= _DIVERGENT if name == Scenario.DIVERGENT else {Scenario(name)}
        return cls(frozenset(ruled_out), level)

    def caught(self, report: "Report") -> "list[LayerReport]":
        """The layers that show a scenario that is ruled out, themselves or in one of their groups."""
        return [layer for layer in report.layers if self.ruled_out & self._shown(layer)]

    def _shown(self, layer: "LayerReport") -> set[Scenario]:
        """What the level shows of a layer and of each of its groups; nothing of one that could not be read."""
        if self.level == "tokens":
            return set() if layer.tokens is None else {layer.tokens.scenario, *layer.tokens.simulated}
        if layer.weights is None:
            return set()
        return {getattr(one, self.level) for one in (layer.weights, *layer.weights.groups)}

    def document(self, report: "Report") -> dict[str, Any]:
        """The gate's part of the JSON document."""
        caught = self.caught(report)
        return {
            "level": self.level,
            "ruled_out": [one.value for one in Scenario if one in self.ruled_out],
            "passed": not caught and not report.errors and self._decided(report),
            "layers": [layer.slot.index for layer in caught],
        }

    def _decided(self, report: "Report") -> bool:
        """Whether the level decides every layer, nothing was left out and no theorem is contradicted by its tokens."""
        if report.left_out:
            return False
        agree = all(layer.tokens is None or layer.tokens.agreement is not Truth.FAILS for layer in report.layers)
        return agree and all(Scenario.UNDECIDED not in self._shown(layer) for layer in report.layers)

    def end(self, report: "Report") -> None:
        """Exit with the gate's answer: RULED_OUT, undecided, or nothing where it is passed."""
        caught = self.caught(report)
        if caught:
            indices = ", ".join(str(layer.slot.index) for layer in caught)
            names = ", ".join(one.value for one in Scenario if one in self.ruled_out)
            complain(
                f"--fail-on: {len(caught)} of {counted(len(report.layers), 'layer')} show {names} at the level "
                f"{self.level}: {'layer' if len(caught) == 1 else 'layers'} {indices}"
            )
            raise click.exceptions.Exit(RULED_OUT)
        if not self._decided(report):
            raise click.exceptions.Exit(UNDECIDED_OR_DISAGREES)
