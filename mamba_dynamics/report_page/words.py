"""What a report says in sentences, for a reader who has never seen the paper."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .._outcomes import Scenario, Truth

if TYPE_CHECKING:
    from .._report import LayerReport, Report
    from .._tokens_verdict import TokensVerdict

#: level of evidence -> (its name, what it is)
LEVELS = {
    "certified": (
        "What is proved",
        "Follows from the stored weights by exact arithmetic. It holds for every token, whatever the input.",
    ),
    "spectral": (
        "The paper's rule",
        "Reads the signs of the eigenvalues of one matrix of the layer, M. Quick, and sometimes wrong: M does not "
        "decide alone.",
    ),
    "tokens": (
        "What these tokens do",
        "The layer's equation, integrated from tokens that were given to it. Each run is repeated at half the "
        "tolerance; what is not repeated counts as undecided.",
    ),
}

#: What a scenario at the certified level says of a layer.
PROVED: Mapping[Scenario, str] = {
    Scenario.CONVERGENT: "every token provably shrinks to zero",
    Scenario.DIVERGENT: "the first token provably grows without bound",
    Scenario.MIXED: "it provably depends on the token: some pull themselves towards zero, others push themselves away",
    Scenario.CONSTANT: "provably nothing moves",
    Scenario.UNDECIDED: "the weights alone prove nothing about every token",
}

#: What a scenario of integrated tokens says.
SEEN: Mapping[Scenario, str] = {
    Scenario.CONVERGENT: "the tokens shrink to zero",
    Scenario.SLOW_DIVERGENCE: "tokens grow without bound, ever more slowly",
    Scenario.FAST_DIVERGENCE: "a token becomes infinite after a finite number of layers",
    Scenario.DIVERGENT: "tokens grow without bound",
    Scenario.EQUILIBRIUM: "the tokens come to rest, not all at zero",
    Scenario.CONSTANT: "nothing moves",
    Scenario.MIXED: "different tokens, or different groups of the layer, do different things",
    Scenario.UNDECIDED: "the runs do not decide",
}

#: What the limit leaves out -> what it does in the model.
DROPPED = {
    "layer normalisation": "bounds the tokens that a layer sees, so in the model itself nothing becomes infinite",
    "input and output projections": "the scan works in a space of its own, not in the residual stream",
    "causal convolution and SiLU": "mixes a token's input with its neighbours before the scan, and bends it",
    "output gate": "scales each channel of the scan's output by a factor that depends on the token",
    "D skip": "adds a multiple of the input to the scan's output, past the scan",
    "different weights per layer": "the limit repeats one layer; a model's layers differ",
    "cross-direction merge": "adds up what scans in several directions find",
    "convolution and SiLU on B and C": "bends what the scan reads and writes",
    "attention and expert layers": "other layers stand between the S6 layers",
    "attention and feed-forward layers": "other layers stand between the S6 layers",
    "shared attention block": "attention between the S6 layers",
    "attention beside the scan in every layer": "attention adds its own output to that of the scan",
    "residual multiplier": "scales what a layer adds to the residual stream",
    "output multiplier": "scales what a layer gives",
    "symmetric branch without a scan": "a second path past the scan",
    "norms on B, C and the step size": "change rates with the token; signs stay",
}


def headline(report: "Report") -> list[str]:
    """The answer in one to three sentences."""
    judged = [layer for layer in report.layers if layer.weights is not None]
    if not judged:
        return ["None of the layers could be read."]
    proved = [layer.weights.certified for layer in judged if layer.weights is not None]
    said = [f"{_how_many(proved.count(one), len(judged))}, {PROVED[one]}." for one in dict.fromkeys(proved)]
    integrated = [layer.tokens.scenario for layer in judged if layer.tokens and layer.tokens.integrated]
    if integrated:
        total = len(integrated)
        seen = [f"{_how_many(integrated.count(one), total)} {SEEN[one]}" for one in dict.fromkeys(integrated)]
        said.append(f"From {_source(report)}: {'; '.join(one[0].lower() + one[1:] for one in seen)}.")
    elif Scenario.MIXED in proved and not any(layer.tokens for layer in judged):
        said.append("To see what particular tokens do, give it some: --text, --tokens or --random-tokens.")
    return said


def _how_many(some: int, all_: int) -> str:
    if some == all_:
        return "In the one layer" if all_ == 1 else f"In all {all_} layers"
    return f"In {some} of {all_} layers"


def _source(report: "Report") -> str:
    counts = {(layer.tokens.integrated, layer.tokens.count) for layer in report.layers if layer.tokens}
    some, all_ = max(counts)
    what = "a text" if report.text is not None else "random ones" if "random_tokens" in report.settings else "a file"
    return f"the {all_} tokens of {what}" if some == all_ else f"the first {some} of {all_} tokens of {what}"


def about_layer(layer: "LayerReport") -> list[str]:
    """One layer in a few sentences."""
    weights, tokens = layer.weights, layer.tokens
    if weights is None:
        return [f"This layer could not be read. {layer.error}"]
    said = [f"{_capital(PROVED.get(weights.certified, weights.certified.sentence))}."]
    if weights.spectral is Scenario.UNDECIDED:
        said.append("The paper's rule does not apply: some eigenvalues of M are zero or have no sign.")
    else:
        said.append(f"The paper's rule calls the layer {spoken(weights.spectral)}.")
    sizes = weights.step_size_at_zero
    said.append(
        f"A very small token is taken in with step sizes from {sizes.min():.3g} to {sizes.max():.3g} "
        f"(median {np.median(sizes):.3g})."
    )
    return said if tokens is None else [*said, *_about_tokens(tokens)]


def _about_tokens(tokens: "TokensVerdict") -> list[str]:
    cosines = tokens.alignment[np.isfinite(tokens.alignment)]
    said = []
    if cosines.size:
        said.append(
            f"Of {tokens.count} tokens, {np.mean(cosines < 0):.0%} pull themselves towards zero "
            f"(mean alignment {signed(cosines.mean(), '+.2f')})."
        )
    if not tokens.integrated:
        return [*said, f"{_capital(tokens.why_not or '')}."]
    some = tokens.integrated < tokens.count
    which = f" from the first {tokens.integrated} tokens, which no later one can change" if some else ""
    said.append(f"Integrated{which}: {SEEN[tokens.scenario]}.")
    first = first_blow_up(tokens)
    if first is not None:
        at_most, time, token = first
        said.append(f"That is token {token + 1}, after {'at most ' if at_most else ''}{time:.4g} layers of step 1.")
    return said


def first_blow_up(tokens: "TokensVerdict") -> tuple[bool, float, int] | None:
    """(whether it is a bound, T*, token from 0) of the first blow-up over all groups.

    Where only a beginning of the tokens is decided, its T* bounds that of all: they blow up no later.
    """
    found = []
    for run, prefix in zip(tokens.runs or (), tokens.prefixes, strict=True):
        for at_most, pair in ((False, run), (True, prefix)):
            if pair is not None and pair.scenario is Scenario.FAST_DIVERGENCE:
                blow_up = pair.verdict.trajectory.blow_up
                found += [] if blow_up is None else [(at_most, blow_up.time, blow_up.token)]
    return min(found, key=lambda one: one[1]) if found else None


def disagreements(layer: "LayerReport", agree: Mapping[str, Truth] | None) -> list[str]:
    """Where two levels of evidence say different things of one layer, or theory is contradicted."""
    if layer.weights is None:
        return []
    found = list(layer.weights.disagreements)
    seen = layer.tokens.scenario if layer.tokens is not None else None
    for level, truth in (agree or {}).items():
        if truth is Truth.FAILS and seen is not None:
            said = spoken(getattr(layer.weights, level))
            found.append(f"{LEVELS[level][0].lower()} is {said}, but these tokens are {spoken(seen)}")
    if layer.tokens is not None and layer.tokens.agreement is Truth.FAILS:
        found.append("a theorem's prediction for these tokens is contradicted by the run: please report this")
    return [_capital(one) for one in found]


def spoken(scenario: Scenario) -> str:
    """A scenario's name as words."""
    return scenario.value.replace("_", " ")


def signed(value: float, form: str) -> str:
    """A number with a true minus sign."""
    return f"{value:{form}}".replace("-", "−")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
