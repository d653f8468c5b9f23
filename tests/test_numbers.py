"""Numbers that float64 trips over: verdicts are right or undecided, refusals are one line, and nothing hangs.

A slice of `fifty_digits.py`, whose docstring says what is compared with what; the whole of it is

    python tests/fifty_digits.py --cases 10000 --simulate-every 10
"""

import numpy as np
import pytest
from fifty_digits import Tally, check, check_run, draw_scalar, scalar_scenario

from mamba_dynamics import HypothesisError, LayerShapeError, S6Layer, classify, weights_verdict
from mamba_dynamics._outcomes import Scenario, Truth
from mamba_dynamics._simulation_document import simulation_document


def test_verdicts_on_extreme_numbers_are_right_or_undecided():
    tally = check(600, simulate_every=0, seed=1)
    assert tally.wrong == []
    for what, count in tally.away.items():
        assert count >= 20, what
        assert tally.undecided[what] <= 0.05 * count, what


def test_runs_from_extreme_numbers_are_right_or_undecided():
    """Few, because every number of tokens and states is another program to compile."""
    tally, rng = Tally(), np.random.default_rng(2)
    while tally.simulated < 30:
        one = draw_scalar(rng, np.float64)
        if len(one.x0) == 2 and len(one.B) == 1:
            check_run(one, tally)
    assert tally.wrong == []
    assert tally.away["first token"] >= 10
    assert tally.undecided["simulation"] <= 0.05 * tally.away["simulation"]


def test_the_oracle_itself_on_the_theory_s_own_examples():
    def scenario(mu, s, x0, a=(1.0,)):
        from fifty_digits import Scalar

        arrays = (np.ones(len(mu)), np.array(mu), np.array(a))
        return scalar_scenario(Scalar(*arrays, s, 0.0, np.array(x0)))

    assert scenario([-1.58], -0.17, [1.0, 2.0]) == "convergent"
    assert scenario([1.0], -1.0, [1.0] * 4) == "slow_divergence"
    assert scenario([1.0], 1.0, [0.5, 2.0, -1.5, 0.1]) == "fast_divergence"
    assert scenario([0.9, -1.0], 0.5, [1.0], (2.0, 0.05)) == "convergent"
    assert scenario([0.9, -0.9], 0.5, [1.0], (2.0, 0.05)) == "constant"
    assert scenario([1.0], 0.0, [1.0]) == "fast_divergence"
    assert scenario([1.0, -1.0], 1.0, [1.0, 1.0], (1.0, 2.0)) is None


def test_tokens_that_do_not_move_hold_their_law_to_the_last_digit():
    """exp(ln x) is not x for a third of all numbers."""
    for x0 in (*np.random.default_rng(0).normal(size=(20, 3)), np.array([2.30e-308, 3.00e-310, 5e-324])):
        verdict = classify(S6Layer.scalar(mu=0.0, S_Delta=1.0, a=1.0), x0)
        assert (verdict.simulated, verdict.agreement) == (Scenario.CONSTANT, Truth.HOLDS)


@pytest.mark.parametrize("s", [1e-160, -1e-160])
def test_slow_and_fast_are_told_apart_however_small_the_slope(s):
    """|s x| is 1e-30 when x has grown to 1e130, and until then slow divergence looks like a blow-up."""
    verdict = classify(S6Layer.scalar(mu=1.0, S_Delta=s, a=0.0, dt_bias=-700.0), [3.0])
    assert verdict.prediction.scenario is (Scenario.FAST_DIVERGENCE if s > 0 else Scenario.SLOW_DIVERGENCE)
    assert verdict.simulated is verdict.prediction.scenario
    assert verdict.agreement is not Truth.FAILS


def test_a_token_at_a_standstill_does_not_vouch_for_one_that_runs():
    verdict = classify(S6Layer.scalar(mu=8.5e8, S_Delta=-0.6, a=0.3, dt_bias=-5.0), [1e9, 3.45e-308])
    assert verdict.prediction.scenario is Scenario.SLOW_DIVERGENCE
    assert verdict.simulated in (Scenario.UNDECIDED, Scenario.SLOW_DIVERGENCE)
    assert verdict.agreement is not Truth.FAILS


@pytest.mark.parametrize(("x0", "log_time"), [(1e-170, 340 * np.log(10)), (1e170, -340 * np.log(10))])
def test_a_blow_up_time_beyond_float64_is_given_as_a_logarithm(x0, log_time):
    """s = 0: T* = 1 / (2 ln 2 x0^2)."""
    document = simulation_document(classify(S6Layer.scalar(mu=1.0, S_Delta=0.0, a=1.0), [x0]))
    assert document["log_blow_up_time"] == pytest.approx(log_time - np.log(2 * np.log(2)), rel=1e-10)
    assert document["blow_up_time"] in (0.0, np.inf)


@pytest.mark.parametrize("x0", [[np.nan], [np.inf, 1.0], []])
def test_tokens_that_are_no_numbers_are_refused(x0):
    with pytest.raises(LayerShapeError, match="x0 should"):
        classify(S6Layer.scalar(mu=1.0, S_Delta=1.0, a=1.0), x0)


def test_weights_outside_the_theory_are_refused():
    with pytest.raises(HypothesisError, match="a >= 0"):
        classify(S6Layer.scalar(mu=1.0, S_Delta=1.0, a=-1.0), [1.0])
    for mu in (np.nan, np.inf):
        with pytest.raises(LayerShapeError, match="finite"):
            S6Layer.scalar(mu=mu, S_Delta=1.0, a=1.0)


def test_a_nearly_defective_matrix_is_judged_without_a_warning():
    B, C = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[-1.0, -1.0], [0.0, 1.0]])
    verdict = weights_verdict(S6Layer.from_matrices(S_B=B, S_C=C, S_Delta=np.zeros((2, 2)), a=1.0))
    assert verdict.groups[0].spectrum.zero == 2  # M = [[0, 0], [1, 0]], nilpotent


def test_the_widest_layer_is_judged_by_its_weights():
    B, C = np.random.default_rng(0).normal(size=(2, 16, 16384))
    layer = S6Layer.from_matrices(S_B=B, S_C=C, S_Delta=(np.zeros((16384, 1)), np.zeros((1, 16384))), a=1.0)
    assert weights_verdict(layer).certified is Scenario.MIXED  # 2 N < D independent rows


@pytest.mark.slow
def test_twenty_thousand_tokens_end_with_their_budget():
    x0 = np.random.default_rng(0).normal(size=20_000)
    verdict = classify(S6Layer.scalar(mu=-1.0, S_Delta=0.5, a=1.0), x0, max_steps=8)
    assert verdict.prediction.scenario is Scenario.CONVERGENT
    assert verdict.simulated in (Scenario.UNDECIDED, Scenario.CONVERGENT)
    assert verdict.trajectory.steps < 100  # a chunk more than the budget at most
