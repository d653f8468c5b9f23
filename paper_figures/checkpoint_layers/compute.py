"""What the weights of the bundled sample say layer by layer, and the alignments of a text's tokens."""

import numpy as np

from mamba_dynamics import Report, Scenario, TokenStatistics, classify_checkpoint, sample_path

TEXT = '''def mean(values):
    """Return the mean of the values."""
    total = 0.0
    for value in values:
        total += value
    return total / len(values)
'''


def compute(seed: int) -> dict[str, np.ndarray]:
    report = classify_checkpoint(sample_path(), text=TEXT, integrate=0)
    weights = [layer.weights for layer in report.layers if layer.weights is not None]
    statistics = [layer.tokens.statistics for layer in report.layers if layer.tokens is not None]
    groups = [one.groups[0] for one in weights]
    return {
        **_eigenvalues(report),
        "convergent": np.array([group.channels_convergent for group in groups]),
        "slow_or_fast": np.array([group.channels_divergent for group in groups]),
        "degenerate": np.array([group.channels_degenerate for group in groups]),
        "alignment": np.stack([one.alignment[0] for one in statistics]),
        "spectral": np.array([one.spectral.value for one in weights]),
        "certified": np.array([one.certified.value for one in weights]),
        "tokens": np.array([_scenario_by_q(one).value for one in statistics]),
    }


def _eigenvalues(report: Report) -> dict[str, np.ndarray]:
    """Real parts and signs (0 within rounding), (layers, eigenvalues), of M and of sym(M)."""
    found = {}
    for which in ("spectrum", "symmetric_part"):
        each = [getattr(one.weights.groups[0], which).spectrum for one in report.layers if one.weights is not None]
        real = np.stack([one.eigenvalues.real for one in each])
        margins = np.stack([one.margins for one in each])
        found |= {which: real, f"{which}_sign": np.where(np.abs(real) > margins, np.sign(real), 0).astype(int)}
    return found


def _scenario_by_q(tokens: TokenStatistics) -> Scenario:
    """What the signs of q say of the tokens' own growth; of tokens on which they differ, that they are mixed."""
    if np.all(tokens.q < 0):
        return Scenario.CONVERGENT
    return Scenario.DIVERGENT if np.all(tokens.q > 0) else Scenario.MIXED
