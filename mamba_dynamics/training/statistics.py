"""How sure a comparison of two ways to train is: runs paired by seed, Student's t, Holm's correction.

    effect = paired_effect([b - a for a, b in zip(first, second)])
    holm([effect.p, ...])                        p values corrected for how many there are
    detectable(effect.sd, pairs=8)               the smallest difference that 8 pairs would likely find
    pairs_needed(0.004, sd=0.005)                how many pairs a difference asks for

@article{holm1979simple,
  title={A simple sequentially rejective multiple test procedure},
  author={Holm, Sture},
  journal={Scandinavian Journal of Statistics},
  volume={6},
  number={2},
  pages={65--70},
  year={1979}
}
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

#: Errors of the first kind that all comparisons of a study together may make, and of the second kind that one may.
ALPHA, BETA = 0.05, 0.2


@dataclass(frozen=True)
class PairedEffect:
    """The mean of paired differences, its 95 % interval, their standard deviation, and the two-sided p value of 0.

    With fewer than two pairs all but the mean are NaN; with differences that are all the same the interval is a point.
    """

    pairs: int
    mean: float
    low: float
    high: float
    sd: float
    p: float


def paired_effect(differences: Sequence[float]) -> PairedEffect:
    """Student's t for the mean of differences, one a pair."""
    values = np.asarray(differences, float)
    count, mean = len(values), float(np.mean(values)) if len(values) else math.nan
    if count < 2:
        return PairedEffect(count, mean, math.nan, math.nan, math.nan, math.nan)
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(1 - ALPHA / 2, count - 1)) * sd / math.sqrt(count)
    # Differences that are all the same leave no room for chance.
    p = float(2 * stats.t.sf(abs(mean) / (sd / math.sqrt(count)), count - 1)) if sd > 0 else float(mean == 0)
    return PairedEffect(count, mean, mean - half, mean + half, sd, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values: comparing each with alpha keeps the chance of any false alarm among all below alpha."""
    count = len(p_values)
    order = sorted(range(count), key=lambda index: p_values[index])
    steps = [min(1.0, (count - rank) * p_values[index]) for rank, index in enumerate(order)]
    adjusted = [math.nan] * count
    for index, value in zip(order, itertools.accumulate(steps, max), strict=True):
        adjusted[index] = value
    return adjusted


def power(difference: float, sd: float, pairs: int) -> float:
    """The chance that a paired t test at ALPHA finds a true difference."""
    freedom, shift = pairs - 1, abs(difference) / sd * math.sqrt(pairs)
    limit = float(stats.t.ppf(1 - ALPHA / 2, freedom))
    # Of a difference found with the wrong sign; scipy gives NaN where that is below anything that can be told from 0.
    wrong_sign = np.nan_to_num(stats.nct.cdf(-limit, freedom, shift))
    return float(stats.nct.sf(limit, freedom, shift) + wrong_sign)


def detectable(sd: float, pairs: int) -> float:
    """The smallest true difference that a paired t test finds with a chance of 1 - BETA, in sd's unit."""
    if pairs < 2 or not sd > 0:
        return math.nan
    # Two pairs, the fewest there can be, find 12 standard deviations.
    found = optimize.root_scalar(lambda size: power(size, 1.0, pairs) - (1 - BETA), bracket=(1e-3, 20.0))
    return sd * found.root


def pairs_needed(difference: float, sd: float) -> int:
    """How many pairs find a true difference with a chance of 1 - BETA."""
    return next(pairs for pairs in itertools.count(2) if power(difference, sd, pairs) >= 1 - BETA)
