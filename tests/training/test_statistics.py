"""Statistics against scipy's own tests, worked examples and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from mamba_dynamics.training.statistics import detectable, holm, paired_effect, pairs_needed, power


def test_a_paired_effect_is_scipy_s_paired_t_test():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.3, 1, 9), rng.normal(0, 1, 9)
    found, wanted = paired_effect(first - second), stats.ttest_rel(first, second)
    interval = wanted.confidence_interval(0.95)
    np.testing.assert_allclose([found.p, found.low, found.high], [wanted.pvalue, interval.low, interval.high])
    assert found.pairs == 9
    np.testing.assert_allclose(found.mean, np.mean(first) - np.mean(second))


def test_an_interval_covers_the_truth_19_times_in_20():
    rng = np.random.default_rng(1)
    effects = [paired_effect(rng.normal(0.5, 2.0, 5)) for _ in range(2000)]
    covered = np.mean([one.low < 0.5 < one.high for one in effects])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


def test_few_or_equal_differences():
    assert paired_effect([]).pairs == 0
    one = paired_effect([0.25])
    assert one.mean == 0.25
    assert math.isnan(one.p)
    assert paired_effect([0.0, 0.0, 0.0]).p == 1
    assert paired_effect([0.5, 0.5]).p == 0


def test_holm_s_correction_of_a_worked_example():
    # Four hypotheses: 4 x 0.005, 3 x 0.01, 2 x 0.03, 1 x 0.04, never less than the one before.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairs_needed_is_the_well_known_table():
    # dz = 0.5 and 0.8, two-sided 5 %, power 80 %: 34 and 15 pairs in every textbook.
    assert [pairs_needed(0.5, 1.0), pairs_needed(0.8, 1.0), pairs_needed(0.005, 0.01)] == [34, 15, 34]


@pytest.mark.parametrize("pairs", [2, 5, 8])
def test_detectable_is_found_four_times_in_five(pairs):
    size = detectable(2.0, pairs)
    np.testing.assert_allclose(power(size, 2.0, pairs), 0.8, rtol=1e-6)
    rng = np.random.default_rng(pairs)
    found = stats.ttest_1samp(rng.normal(size, 2.0, (4000, pairs)), 0, axis=1).pvalue < 0.05
    assert abs(np.mean(found) - 0.8) < 4 * math.sqrt(0.8 * 0.2 / 4000)


def test_nothing_is_detectable_without_pairs_or_spread():
    assert math.isnan(detectable(1.0, 1))
    assert math.isnan(detectable(0.0, 5))
