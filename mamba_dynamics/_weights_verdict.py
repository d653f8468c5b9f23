"""What the weights of one S6 layer say by themselves: no tokens, no JAX.

Three levels (theory 4.7), each with how it is known, and where they disagree:

* spectral: the paper's rule. All non-zero eigenvalues of M negative: convergent; one positive: divergent.
  Observed in the paper in two dimensions, false for non-normal M (theory 4.3).
* certified: definiteness of sym(M). Positive definite: the first token grows without bound. Negative definite: it
  tends to zero, no token blows up, and every token tends to zero if step sizes are bounded below (else a later one may
  escape). A generic pretrained layer is indefinite: what happens then depends on the token.
* channels: each channel alone is a one-dimensional layer, classified by the sign of mu_d = M_dd (theory 3.6).
"""

from dataclasses import dataclass

import numpy as np

from ._layer import S6Layer
from ._linalg import Factors, FloatArray, Spectrum, spectrum_of_M, spectrum_of_symmetric_part
from ._outcomes import KnownBy, Scenario
from .certificates import SignCounts, channel_signs, eigenvalue_signs, symmetric_signs

#: A layer is dead when |S_B|_F |S_C|_F, which bounds |q(x)| / |x|^2, is below this: tokens of any usual size
#: cannot move by one rounding error of float64.
DEAD = 1e-20


@dataclass(frozen=True, eq=False)
class SignSummary:
    """A spectrum with its counts by sign, and how the counts are known."""

    spectrum: Spectrum
    positive: int
    negative: int
    zero: int
    known_by: KnownBy

    @classmethod
    def of(cls, spectrum: Spectrum, certified: SignCounts | None, gain: float) -> "SignSummary":
        """Certified counts where there are any, of `gain` times the matrix whose spectrum and counts are given."""
        scaled = spectrum.scaled(gain)
        if certified is None:
            return cls(scaled, scaled.positive, scaled.negative, scaled.zero, KnownBy.CHECKED)
        positive, negative = certified.positive, certified.negative
        if gain < 0:
            positive, negative = negative, positive
        return cls(scaled, positive, negative, certified.zero, KnownBy.CERTIFIED)


@dataclass(frozen=True, eq=False)
class GroupVerdict:
    """One group's M: spectra, channels (convergent, slow or fast, degenerate) and the scenarios they imply."""

    spectrum: SignSummary
    symmetric_part: SignSummary
    definiteness: str
    channels_convergent: int
    channels_divergent: int
    channels_degenerate: int
    spectral: Scenario
    certified: Scenario
    dead: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class WeightsVerdict:
    """The verdict on a layer's weights: its groups, what they say together, and what a report tells of the layer.

    `channels`, `group_axis`, `closed`, `dropped` and `step_size_at_zero` (GROUPS, STEPS) are the layer's own; its
    matrices are not kept.
    """

    groups: tuple[GroupVerdict, ...]
    spectral: Scenario
    certified: Scenario
    known_by: KnownBy
    disagreements: tuple[str, ...]
    warnings: tuple[str, ...]
    channels: int
    group_axis: str
    closed: bool
    dropped: tuple[str, ...]
    step_size_at_zero: FloatArray


def weights_verdict(layer: S6Layer) -> WeightsVerdict:
    """Judge a layer by its weights: O(D N^2) time and O(D N) memory per group."""
    groups = tuple(_judge_group(layer, group) for group in range(layer.groups))
    spectral, certified = _common([g.spectral for g in groups]), _common([g.certified for g in groups])
    dead = [group for group, one in enumerate(groups) if one.dead]
    warnings = list(layer.warnings) + [note for one in groups[:1] for note in one.notes]
    if dead:
        which = "" if layer.groups == 1 else f" ({layer.group_axis} {', '.join(str(g + 1) for g in dead)})"
        warnings.append(f"dead layer{which}: |S_B| |S_C| is below {DEAD:g}, so M is zero to working precision")
    if layer.norms.any:
        warnings.append("signs are before the norms on B, C or Delta: they stay, but rates change with the token")
    certain = all(one.symmetric_part.known_by is KnownBy.CERTIFIED for one in groups)
    return WeightsVerdict(
        groups=groups,
        spectral=spectral,
        certified=certified,
        known_by=KnownBy.CERTIFIED if certain else KnownBy.CHECKED,
        disagreements=_disagreements(layer, groups),
        warnings=tuple(dict.fromkeys(warnings)),
        channels=layer.channels,
        group_axis=layer.group_axis,
        closed=layer.closed,
        dropped=layer.dropped,
        step_size_at_zero=layer.step_size_at_zero(),
    )


def _judge_group(layer: S6Layer, group: int) -> GroupVerdict:
    B, C, gain = layer.B_map(group), layer.C_map(group), layer.gain
    factors = Factors.of(B, C)
    maps = B, C, factors
    symmetric = SignSummary.of(spectrum_of_symmetric_part(*maps), symmetric_signs(*maps), gain)
    spectrum = SignSummary.of(spectrum_of_M(*maps), eigenvalue_signs(*maps), gain)
    counts = SignCounts(symmetric.positive, symmetric.negative, symmetric.zero)
    channels = np.sign(gain) * channel_signs(*maps)
    dead = _dead(factors)
    certain = symmetric.known_by is KnownBy.CERTIFIED
    definiteness = counts.definiteness if certain else "undecided"
    bounded = definiteness == "negative_definite" and layer.step_sizes_bounded_below(group)
    constant = _is_zero(B, C, factors)
    return GroupVerdict(
        spectrum=spectrum,
        symmetric_part=symmetric,
        definiteness=definiteness,
        channels_convergent=int(np.sum(channels < 0)),
        channels_divergent=int(np.sum(channels > 0)),
        channels_degenerate=int(np.sum(channels == 0)),
        spectral=Scenario.CONSTANT if constant else _spectral_rule(spectrum, min(B.shape)),
        certified=Scenario.CONSTANT if constant else _certified_scenario(definiteness, dead, bounded),
        dead=dead,
        notes=_notes(definiteness, bounded),
    )


def _is_zero(B, C, factors: Factors) -> bool:
    """Whether M = sum_n c_n b_n^T is exactly zero because every term is."""
    if np.diagonal(factors.gram).all():
        return False
    return not np.any(B.any(axis=1) & C.any(axis=1))


def _dead(factors: Factors) -> bool:
    size_B, size_C = factors.norms
    with np.errstate(over="ignore", under="ignore"):
        return bool(np.ldexp(size_B * size_C, factors.exponent) < DEAD)


def _spectral_rule(found: SignSummary, rank: int) -> Scenario:
    """The paper's rule on the `rank` eigenvalues that may be non-zero."""
    if found.positive:
        return Scenario.DIVERGENT
    if found.negative == rank:
        return Scenario.CONVERGENT
    return Scenario.UNDECIDED


def _certified_scenario(definiteness: str, dead: bool, bounded: bool) -> Scenario:
    """What is proved of every token; `bounded`: step sizes are bounded below."""
    return {
        "negative_definite": Scenario.CONVERGENT if bounded else Scenario.UNDECIDED,
        "positive_definite": Scenario.DIVERGENT,
        "indefinite": Scenario.UNDECIDED if dead else Scenario.MIXED,
    }.get(definiteness, Scenario.UNDECIDED)


def _notes(definiteness: str, bounded: bool) -> tuple[str, ...]:
    if definiteness == "negative_definite" and not bounded:
        return (
            "sym(M) is negative definite: the first token tends to zero and no token blows up, but a later one may "
            "escape where its step sizes shut (theorem negative_definite_escape)",
        )
    return {
        "positive_semidefinite": ("q(x) >= 0 for every token: the first token's coordinates never shrink",),
        "negative_semidefinite": ("q(x) <= 0 for every token: the first token's coordinates never grow",),
        "zero": ("q(x) = 0 for every token: the first token does not move",),
        "undecided": ("the signs of sym(M) could not be certified",),
    }.get(definiteness, ())


def _common(scenarios: list[Scenario]) -> Scenario:
    return scenarios[0] if len(set(scenarios)) == 1 else Scenario.MIXED


def _disagreements(layer: S6Layer, groups: tuple[GroupVerdict, ...]) -> tuple[str, ...]:
    found = []
    for index, group in enumerate(groups):
        where = "" if len(groups) == 1 else f"{layer.group_axis} {index + 1}: "
        both_signs = group.definiteness == "indefinite"
        if group.spectral in (Scenario.CONVERGENT, Scenario.DIVERGENT) and both_signs:
            found.append(
                f"{where}the eigenvalue rule says {group.spectral}, but sym(M) is indefinite: tokens with q(x) of both "
                "signs exist, and what happens depends on the token"
            )
        other = group.channels_divergent if group.spectral is Scenario.CONVERGENT else group.channels_convergent
        if group.spectral in (Scenario.CONVERGENT, Scenario.DIVERGENT) and other:
            against = "divergent" if group.spectral is Scenario.CONVERGENT else "convergent"
            found.append(
                f"{where}the eigenvalue rule says {group.spectral}, but {other} of {layer.channels} channels alone "
                f"are {against}"
            )
    return tuple(found)
