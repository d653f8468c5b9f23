"""The catalogue as a whole: every theorem fulfils the contract, and its checks notice what they should."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mamba_dynamics._layer import S6Layer
from mamba_dynamics._outcomes import KnownBy, Truth
from mamba_dynamics.theorems.base import PAPER
from mamba_dynamics.theorems.catalogue import CATALOGUE
from mamba_dynamics.theorems.catalogue.negative_definite import CANCELLING
from mamba_dynamics.theorems.contract import Case, Origin, Relation
from mamba_dynamics.theorems.pools import scalar_case
from mamba_dynamics.theorems.vector_pools import matrix_case
from mamba_dynamics.verification.judge import judge, judge_case
from mamba_dynamics.verification.meters import METERS
from mamba_dynamics.verification.run import Run

THEOREMS = pytest.mark.parametrize("theorem", CATALOGUE.values(), ids=CATALOGUE)
BREAKS = [
    pytest.param(theorem, name, id=f"{theorem.name}: {name}")
    for theorem in CATALOGUE.values()
    for name in theorem.breaks
]
#: What the paper or a plausible reading of it says and is not so.
REFUTED_CLAIMS_OF_THE_PAPER = {
    "slow_divergence_bound",
    "eigenvalue_rule",
    "negative_definite",
    "fast_divergence_existence",
    "equilibria",
}


@THEOREMS
def test_it_is_complete(theorem):
    assert theorem.name.isidentifier()
    assert theorem.title
    assert theorem.statement
    assert theorem.section
    assert theorem.bibtex == PAPER
    assert len(theorem.steps) >= 3, "a proof has steps"
    assert len({step.says for step in theorem.steps}) == len(theorem.steps)
    assert theorem.weaker, "every statement has a limit worth showing"


@THEOREMS
def test_every_step_holds(theorem):
    settled = [step.settle() for step in theorem.steps]
    assert [one.truth for one in settled] == [Truth.HOLDS] * len(settled)


@THEOREMS
def test_every_hypothesis_has_a_case_that_breaks_it(theorem):
    case = theorem.pool.case(0, 0)
    hypotheses = theorem.hypotheses(case.layer, case.x0)
    assert {one.name for one in hypotheses} == set(theorem.breaks)
    for one in hypotheses:
        assert one.known_by in (KnownBy.CERTIFIED, KnownBy.CHECKED)
        assert one.margin is None or one.margin >= 0


@pytest.mark.parametrize(("theorem", "name"), BREAKS)
def test_a_broken_hypothesis_is_noticed(theorem, name):
    """The hypothesis fails, by name, and the theorem claims nothing about the case."""
    case = theorem.breaks[name]
    found = {one.name: one for one in theorem.hypotheses(case.layer, case.x0)}
    # What is only computed, not certified, is broken by a case on its edge.
    on_the_edge = found[name].known_by is KnownBy.CHECKED and found[name].margin == pytest.approx(0.0, abs=1e-12)
    assert found[name].truth is (Truth.UNDECIDED if on_the_edge else Truth.FAILS)
    verdict = judge_case(theorem, Run(case))
    assert verdict.truth is Truth.UNDECIDED
    assert name in verdict.why


@THEOREMS
@given(seed=st.integers(0, 2**32 - 1), index=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_random_cases_satisfy_the_hypotheses(theorem, seed, index):
    case = theorem.pool.case(seed, index)
    assert theorem.applies(case.layer, case.x0) is Truth.HOLDS


@THEOREMS
@given(seed=st.integers(1, 2**32 - 1))
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_hypotheses_satisfied_then_the_conclusion_holds(theorem, seed):
    case = theorem.pool.case(seed, 0)
    verdict = judge_case(theorem, Run(case))
    worst = verdict.worst
    assert worst is not None
    found = f"{worst.expected.quantity} of {worst.expected.token}: {worst.found} +- {worst.standard_error}"
    # The few per mille of cases that no rate decides within the budget are counted by `verify`, not here.
    assert verdict.truth is not Truth.FAILS, found


@THEOREMS
def test_every_weaker_claim_is_refuted_on_its_counterexample(theorem):
    for claim in theorem.weaker:
        judgements = judge(Run(claim.case), claim.expected)
        assert Truth.FAILS in [one.truth for one in judgements], claim.claim
        assert claim.because


def test_the_claims_of_the_paper_that_fail_are_among_them():
    found = {theorem.name for theorem in CATALOGUE.values() for one in theorem.weaker if one.origin is Origin.PAPER}
    assert found >= REFUTED_CLAIMS_OF_THE_PAPER


@THEOREMS
def test_what_is_expected_can_be_measured_and_can_fail(theorem):
    """Every quantity has a meter, and the measurement refutes a prediction that is off by a tenth and more."""
    case = theorem.pool.case(0, 1)
    run = Run(case, 1)
    expected = theorem.conclusion(case.layer, case.x0, run.told)
    assert expected
    for one in expected:
        assert one.quantity in METERS
    noticed = [judgement.truth is Truth.FAILS for one in expected for judgement in judge(run, (_shifted(one),))]
    assert any(noticed), "no prediction of this theorem can fail"


def _shifted(one):
    """A prediction on the wrong side of what is measured."""
    value = one.value
    if isinstance(value, str):
        return replace(one, value="something else")
    sign = {Relation.AT_MOST: -1.0, Relation.AT_LEAST: 1.0}.get(one.relation, 1.0)
    shift = 0.1 if one.relation in (Relation.LIMIT, Relation.EQUAL) else 1e6
    if callable(value):
        return replace(one, value=lambda argument: value(argument) + sign * shift)
    return replace(
        one, value=np.asarray(value, float) + sign * shift * np.maximum(1.0, np.abs(np.asarray(value, float)))
    )


#: Systems no pool draws: single tokens, zeros at the ends, rates and biases at the edge, cancelling mu_n.
UNUSUAL = {
    "one token, convergent": scalar_case(-1.0, 0.5, 1.0, 0.0, [0.7]),
    "one token, slow": scalar_case(1.0, -0.5, 1.0, 0.0, [0.7]),
    "one token, fast": scalar_case(1.0, 0.5, 1.0, 0.0, [0.7]),
    "one token, constant step": scalar_case(1.0, 0.0, 1.0, 0.0, [0.7]),
    "constant step, token 3 blows up first": scalar_case(1.0, 0.0, 0.3, 0.0, [0.1, 0.2, 5.0, 0.1]),
    "equal tokens": scalar_case(-1.0, 0.5, 1.0, 0.0, [1.0] * 5),
    "tiny a": scalar_case(-1.0, 0.5, 1e-3, 0.0, [1.0, 0.5, 2.0]),
    "huge a": scalar_case(1.0, 0.5, 50.0, 0.0, [1.0, 0.5, 2.0]),
    "large negative bias": scalar_case(-1.0, 0.5, 1.0, -10.0, [1.0, 0.5, 2.0]),
    "large positive bias": scalar_case(1.0, 0.5, 0.1, 10.0, [1.0, 0.5, 2.0]),
    "tiny tokens": scalar_case(1.0, 1.0, 1.0, 0.0, [1e-6, 2e-6, -1e-6]),
    "large tokens": scalar_case(-1.0, 1.0, 1.0, 0.0, [30.0, -20.0, 10.0]),
    "slow after a zero token": scalar_case(1.0, -1.0, 1.0, 0.0, [0.0, 1.0, 2.0]),
    "fast between zero tokens": scalar_case(1.0, 1.0, 1.0, 0.0, [1.0, 0.0, 2.0, 0.0]),
    "cancelling states": scalar_case([1.0, -1.0 - 1e-6], 0.5, [0.5, 2.0], 0.0, [1.0, 0.5]),
    "mixed signs, large behind a zero token": scalar_case([-2.0, 1.0], -1.0, [5.0, 0.01], 0.0, [1.0, 0.0, 30.0]),
    "slow behind a zero token, nothing decays": scalar_case(1.0, -1.0, 0.0, 0.0, [1.0, 0.0, 2.0]),
    "slow behind a zero token, little decays": scalar_case(1.0, -1.0, 1e-6, 0.0, [1.0, 0.0, 2.0, 3.0]),
    "slow behind a zero token, two states": scalar_case([1.0, 1.0], -1.0, [0.01, 0.02], 0.0, [1.0, 0.0, 2.0]),
    "two states of one rate": scalar_case([3.0, -2.0], -1.0, [1.0, 1.0], 0.0, [1.0, 0.5]),
    "three states that cancel exactly": scalar_case([1.1, 2.2, -3.3000000000000003], 1.0, [1.0] * 3, 0.0, [1.0, 0.5]),
    "constant step, nothing decays": scalar_case(1.0, 0.0, 0.0, 0.0, [1.0, 0.5]),
    "constant step, almost nothing decays": scalar_case(1.0, 0.0, 1e-18, 0.0, [1.0, 0.5]),
    "mu = 0": scalar_case(0.0, 1.0, 1.0, 0.0, [1.0, 0.5]),
    "a step size that underflows": scalar_case(-1.0, 1.0, 1.0, 0.0, [-800.0, 0.5]),
    "followers that stay open": scalar_case(1.0, 1.0, 5.0, 2.0, [1.0, -0.1, -0.3, -0.2]),
    "a first token that never moves": scalar_case(1.0, -1.0, 1.0, 0.0, [1e6, 1.0, 1.0, 1.0]),
    "slow, s beyond reach": scalar_case(1.0, 1e-150, 1.0, 0.0, [-1.0, -0.5]),
    "slow, one token, s beyond reach": scalar_case(1.0, 1e-150, 1.0, 0.0, [-1.0]),
    "fast, s beyond reach": scalar_case(1.0, 1e-150, 1.0, 0.0, [1.0]),
    "convergent, late to settle": scalar_case(
        -0.0032730658775996114,
        117.37100109659907,
        0.016117008444812692,
        7.216367699132791,
        [-0.603669004745254, -0.015873644197600845, 5.094579575334017],
    ),
    "three tokens that blow up together": scalar_case(0.2448865, -0.00120486, 99.0, 7.284, [-0.0736324] * 3),
    "convergent, the first token last": scalar_case(
        -2.737180276214034,
        56.20946703823722,
        4.806360858322698,
        -1.8315795486781852,
        [-77.63208985356258, 0.0, 12.552157851438949],
    ),
    "F beyond the digits of its sum": scalar_case(
        0.4689288556221251,
        0.3373934888638183,
        3.3707227022746307,
        20.0,
        [0.14009595660677207, -0.4902431615729538, 0.007309568135357741],
    ),
    "states that cancel in M": CANCELLING,
    "M = 0": matrix_case(np.zeros((2, 2)), np.zeros((2, 2)), 0.0, [1.0, 1.0]),
    "biases next to each other": matrix_case(-np.eye(2), np.zeros((2, 2)), np.array([0.0, 1e-9]), [1.0, 1.0]),
    "an eigenvalue within rounding of zero": Case(
        S6Layer.from_matrices(S_B=[[1, 0, 0]], S_C=[[1, 1e-6, 0]], S_Delta=np.zeros((3, 3)), a=1.0), np.ones((1, 3))
    ),
    "negative definite, from the far side of the clock": matrix_case(
        -np.eye(2), np.zeros((2, 2)), 0.0, [[1e-150, 1.0], [1.0, 1e150]]
    ),
}


@pytest.mark.parametrize("case", UNUSUAL.values(), ids=UNUSUAL)
def test_no_theorem_fails_on_an_unusual_system(case):
    """Undecided is an answer there; a failure would be a wrong theorem or a wrong measurement."""
    run = Run(case)
    verdicts = {theorem.name: judge_case(theorem, run) for theorem in CATALOGUE.values()}
    found = {name: one.truth for name, one in verdicts.items()}
    assert Truth.FAILS not in found.values(), [name for name, truth in found.items() if truth is Truth.FAILS]
    assert Truth.HOLDS in found.values()
    assert not [one.why for one in verdicts.values() if "Error" in one.why or "Warning" in one.why], "nothing crashes"


def test_cases_are_the_same_whatever_was_drawn_before():
    pool = CATALOGUE["dichotomy"].pool
    one, again = pool.case(3, 7), pool.case(3, 7)
    np.testing.assert_array_equal(one.x0, again.x0)
    assert not np.array_equal(one.x0, pool.case(3, 8).x0)
    assert isinstance(one, Case)


def test_the_catalogue_follows_the_theory():
    """Every section from 2 to 4.8 that makes a statement has its theorem."""
    sections = {theorem.section.split(",")[0] for theorem in CATALOGUE.values()}
    for wanted in ("2", "3", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "4.1", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8"):
        assert wanted in sections, wanted
