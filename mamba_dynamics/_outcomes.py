"""What can be said of a layer, a run or a claim: enumerations, one sentence each.

The value of a member is its name in JSON; `.sentence` is what a person reads.
"""

import enum


class _Worded(enum.StrEnum):
    """A string enumeration whose members carry a sentence."""

    sentence: str

    def __new__(cls, value: str, sentence: str):
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


class Scenario(_Worded):
    """What tokens do as t grows, in the paper's words (and four more that it lacks)."""

    CONVERGENT = "convergent", "Every token tends to zero."
    SLOW_DIVERGENCE = "slow_divergence", "Tokens grow without bound, but only as t tends to infinity."
    FAST_DIVERGENCE = "fast_divergence", "At least one token becomes infinite at a finite time."
    DIVERGENT = "divergent", "Tokens grow without bound; this evidence does not tell slow from fast."
    EQUILIBRIUM = "equilibrium", "Tokens tend to a non-zero point (only in two or more dimensions)."
    CONSTANT = "constant", "Nothing moves: M is zero, or every token is zero."
    MIXED = "mixed", "Different tokens do different things."
    UNDECIDED = "undecided", "The evidence does not decide."


class TokenFate(_Worded):
    """What one token does in a run."""

    CONVERGENT = "convergent", "It tends to zero."
    EQUILIBRIUM = "equilibrium", "It tends to a non-zero point."
    SLOW_DIVERGENCE = "slow_divergence", "It grows without bound, at infinite time."
    FAST_DIVERGENCE = "fast_divergence", "It becomes infinite at the blow-up time, like a power of T* - t."
    SLOWER_AT_BLOW_UP = "slower_at_blow_up", "It still grows as T* is approached, slower than any power of T* - t."
    BOUNDED_AT_BLOW_UP = "bounded_at_blow_up", "It has a finite limit at the blow-up time of another token."
    ZERO = "zero", "It is zero and stays zero."
    UNDECIDED = "undecided", "The run does not decide."


class Outcome(_Worded):
    """How an integration ended."""

    CONVERGED_TO_ZERO = "converged_to_zero", "Every token decays to zero at a settled rate."
    CONVERGED_TO_EQUILIBRIUM = "converged_to_equilibrium", "The tokens have come to rest at a non-zero point."
    DIVERGES_SLOWLY = "diverges_slowly", "A token grows without bound, at infinite time."
    BLEW_UP = "blew_up", "A token became infinite at a finite time."
    REACHED_UNTIL = "reached_until", "The requested time was reached."
    BUDGET_EXHAUSTED = "budget_exhausted", "The budget of right-hand sides was used up before a decision."
    SOLVER_FAILED = "solver_failed", "The numerical solver could not go on."


class Truth(_Worded):
    """Three-valued truth: `UNDECIDED` is an answer, never rounded to one of the others."""

    HOLDS = "holds", "It is so."
    FAILS = "fails", "It is not so."
    UNDECIDED = "undecided", "It was not decided."


class KnownBy(_Worded):
    """How a fact is known."""

    ASSUMED = "assumed", "Taken as given."
    CHECKED = "checked", "Computed in floating point, beyond a stated margin."
    CERTIFIED = "certified", "Proved by ball arithmetic from the exact stored numbers."
