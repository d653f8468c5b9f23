"""Theory and simulation meet: scenarios, laws and constants agree on one-dimensional systems of every kind."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mamba_dynamics import _verdict
from mamba_dynamics._layer import S6Layer
from mamba_dynamics._outcomes import Outcome, Scenario, TokenFate, Truth
from mamba_dynamics._solve import Horizon
from mamba_dynamics._verdict import classify
from mamba_dynamics.theorems import LawName, Prediction


def verdict(x0, mu=1.0, s=1.0, a=1.0, b=0.0, **options):
    return classify(S6Layer.scalar(mu=mu, S_Delta=s, a=a, dt_bias=b), x0, **options)


@pytest.mark.parametrize(
    ("case", "scenario"),
    [
        (dict(x0=np.ones(6), mu=-1.58, s=-0.17, a=1.08), Scenario.CONVERGENT),
        (dict(x0=[1.0, 0.0, -2.0, 0.3], mu=-0.5, s=2.0, b=-1.0), Scenario.CONVERGENT),
        (dict(x0=np.ones(5), mu=[-1.0, -0.5], s=0.5, a=[0.2, 3.0]), Scenario.CONVERGENT),
        (dict(x0=np.ones(5), mu=[0.9, -1.0], s=0.5, a=[2.0, 0.05]), Scenario.CONVERGENT),
        (dict(x0=np.ones(4), s=-1.0), Scenario.SLOW_DIVERGENCE),
        (dict(x0=[0.3, 5.0, 0.0, 1.0], s=-0.6, mu=2.0, b=1.0, max_steps=1024), Scenario.SLOW_DIVERGENCE),
        (dict(x0=[0.5, 3.0, 1.5, 0.1]), Scenario.FAST_DIVERGENCE),
        (dict(x0=[-0.5, 2.0, -1.5, 0.1, 0.0, 0.3], a=0.5), Scenario.FAST_DIVERGENCE),
        (dict(x0=[1.0], s=0.0), Scenario.FAST_DIVERGENCE),
        (dict(x0=[1.0, 0.5], mu=0.0), Scenario.CONSTANT),
        (dict(x0=[0.0, 0.0]), Scenario.CONSTANT),
    ],
)
def test_theory_and_simulation_agree(case, scenario):
    found = verdict(**case)
    assert found.prediction.scenario is scenario
    assert found.simulated is scenario
    assert found.agreement is Truth.HOLDS
    assert all(token.agreement is Truth.HOLDS for token in found.tokens)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.floats(0.05, 3).map(lambda v: round(v, 3)), min_size=4, max_size=4),
    st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4),
    st.floats(0.1, 3),
    st.floats(0.1, 2),
    st.floats(0.1, 2),
    st.floats(-2, 2),
    st.sampled_from([-1, 1]),
)
@example([1.0, 1.0, 1.0, 1.0], [1, 1, 1, 1], 1.0, 1.0, 1.0, 0.0, 1)
def test_the_dichotomy_holds_for_random_systems(sizes, signs, mu, s, a, b, side):
    found = verdict(np.array(sizes) * signs, mu=side * mu, s=s, a=a, b=b)
    assert found.simulated is found.prediction.scenario
    assert all(token.agreement is not Truth.FAILS for token in found.tokens)


def test_the_hierarchy_of_rates_after_a_blow_up():
    found = verdict([0.5, 3.0, 1.5, 0.1])
    names = [token.law.name for token in found.tokens]
    assert names == [LawName.BOUNDED, LawName.POWER_OF_REMAINING_TIME, *2 * [LawName.ITERATED_LOGARITHM]]
    assert [token.exponent.value for token in found.tokens] == pytest.approx([0.0, -1 / 3, 1.0, 1.0], abs=1e-6)
    assert [token.fate for token in found.tokens] == [
        TokenFate.BOUNDED_AT_BLOW_UP,
        TokenFate.FAST_DIVERGENCE,
        *2 * [TokenFate.SLOWER_AT_BLOW_UP],
    ]


def test_a_wrong_theory_is_caught(monkeypatch):
    """kappa off by one factor of q, and 1/3 replaced by 1/2: both must be refuted, not undecided."""
    real = _verdict.theorems.convergent.kappa
    monkeypatch.setattr(_verdict.theorems.convergent, "kappa", lambda system: (real(system)[0] * 0.98, real(system)[1]))
    assert verdict(np.ones(3), mu=-1.0).agreement is Truth.FAILS
    monkeypatch.setattr(_verdict.theorems.fast_divergence, "power", lambda system: -0.5)
    assert verdict([1.0, 0.5]).agreement is Truth.FAILS


def test_a_run_cut_short_cannot_refute_an_asymptotic_law():
    found = verdict([1.0, 0.5], mu=-1.0, until=10.0)
    assert found.trajectory.outcome is Outcome.REACHED_UNTIL
    assert found.agreement is Truth.UNDECIDED
    assert verdict([1.0, 0.5], mu=-1.0, log_until=80.0).agreement is Truth.HOLDS


def test_early_slopes_far_from_the_law_do_not_refute_it():
    """At ln(1 + t) = 1 the slopes are nowhere near -K / 2, with tight errors: still only undecided."""
    found = verdict(np.ones(3), mu=[0.9, -1.0], s=0.5, a=[2.0, 0.05], log_until=1.0)
    assert abs(found.tokens[1].exponent.value - found.tokens[1].law.exponent) > 1.0
    assert [token.agreement for token in found.tokens].count(Truth.FAILS) == 0
    assert found.agreement is Truth.UNDECIDED


def test_a_wrong_scenario_is_caught(monkeypatch):
    layer = S6Layer.from_matrices(S_B=np.eye(2), S_C=np.eye(2), S_Delta=np.eye(2), a=1.0)
    assert classify(layer, [[1.0, 0.5]]).agreement is Truth.HOLDS
    wrong = Prediction(Scenario.CONVERGENT, "a mistake", "nowhere")
    monkeypatch.setattr(_verdict.theorems, "predict_from_definiteness", lambda *_: wrong)
    assert classify(layer, [[1.0, 0.5]]).agreement is Truth.FAILS


def test_the_second_order_expansion_of_slow_divergence():
    """|s x_1| = ln t + 3 ln ln t + ln(mu e^b / s^2) + o(1): at ln t = 1e5, o(1) is under 1e-3, so 1e-8 relative."""
    found = verdict(np.ones(3), mu=2.0, s=-0.5, b=0.7)
    assert found.tokens[0].constant.value == pytest.approx(1.0, abs=1e-8)


def test_no_theorem_no_agreement():
    found = verdict([1.0, 0.5], mu=[2.0, -1.0], s=-0.3, a=[1.0, 2.0])
    assert found.prediction.scenario is Scenario.UNDECIDED
    assert found.simulated is Scenario.SLOW_DIVERGENCE
    assert found.agreement is Truth.UNDECIDED


def test_a_token_that_escapes_behind_a_zero_token_is_not_called_convergent():
    """Token 3 grows like t^(|phi(delta_0)| / 2); every token before the zero one converges."""
    found = verdict([1.0, 0.0, 30.0], mu=[-2.0, 1.0], s=-1.0, a=[5.0, 0.01])
    assert found.prediction.scenario is Scenario.UNDECIDED
    assert found.agreement is Truth.UNDECIDED
    assert found.trajectory.growth[-1, 2] > 0


EXTREMES = [
    *(dict(x0=[x, 1.0, x], mu=mu, s=s) for x in (1e-300, 1e-30, 1e5, 1e150) for mu in (-1.0, 1.0) for s in (1.0, -1.0)),
    *(dict(x0=[1.0, 0.5], mu=mu, s=s) for s in (1e-300, -1e-300, 1e12, 1e300) for mu in (-1.0, 1.0)),
    *(dict(x0=[1.0, 0.5], mu=mu) for mu in (1e300, -1e300, 1e-300, -1e-300)),
    *(dict(x0=[1.0, 0.5, -2.0], mu=mu, a=a) for a in (0.0, 1e3, 1e300) for mu in (-1.0, 1.0)),
    *(dict(x0=[1.0, 0.5, -2.0], mu=mu, b=b) for b in (-700.0, 50.0, 700.0) for mu in (-1.0, 1.0)),
]


#: Their laws hold, but where they speak is out of reach: long transients behind zero tokens, tokens that start late.
OUT_OF_REACH = [
    dict(x0=[1.0, 0.0, 2.0, 3.0], s=-1.0, a=1e-6),
    dict(x0=[1.0, 0.0, 2.0], mu=[1.0, 1.0], s=-1.0, a=[0.01, 0.02]),
    dict(x0=[1e6, 1.0, 1.0, 1.0], s=-1.0),
    dict(x0=[-800.0, 0.5], mu=-1.0),
    dict(x0=[1.0, 0.5], mu=-1.0, s=1e-200, a=[0.3], b=-800.0),
    dict(
        x0=[-77.63208985356258, 0.0, 12.552157851438949],
        mu=-2.737180276214034,
        s=56.20946703823722,
        a=4.806360858322698,
        b=-1.8315795486781852,
    ),
]


@pytest.mark.parametrize("case", OUT_OF_REACH, ids=repr)
def test_laws_beyond_the_run_are_undecided(case):
    assert verdict(**case).agreement is Truth.UNDECIDED


@pytest.mark.parametrize(
    ("case", "constants"),
    [
        (dict(x0=[1.0, 0.0, 2.0], s=-1.0, a=0.0), [1.0, None]),
        (dict(x0=[1.0, 0.0, 2.0], s=-1.0, a=1.0), [1.0, 1.0]),
        (dict(x0=[1.0, 0.0, 2.0], mu=[1.0, 1.0], s=-1.0, a=[0.5, 2.0]), [1.0, 1.0]),
        (dict(x0=[0.0, 1.0, 2.0], s=-1.0, a=0.0), [1.0, None]),
    ],
)
def test_behind_a_zero_token_the_ratio_tends_to_one_where_the_zero_token_weakens(case, constants):
    """Where nothing decays nothing is weakened, and the ratio freezes at a number that theory does not give."""
    found = verdict(**case)
    active = [token for token in found.tokens if token.law.name is not LawName.ZERO]
    assert [token.law.constant for token in active] == constants
    assert found.agreement is Truth.HOLDS
    law = found.asymptotics.tokens[active[1].index]
    assert law.told == (() if constants[1] else (f"c_{active[1].index + 1}",))


def test_signs_are_those_of_the_stored_weights_not_of_rounded_products():
    """The products S_C S_B round to a positive sum; exactly it is -3.6e-16."""
    texts = ("-0x1.4f1146b0020eap+0", "-0x1.45140608fbd40p+0", "-0x1.dcf57219828cep+0")
    S_B = np.array([[float.fromhex(one)] for one in texts])
    texts = ("0x1.e19d58cca37b6p+0", "0x1.82bda95b2a161p+0", "-0x1.2cf6acf20c2c8p+1")
    S_C = np.array([[float.fromhex(one)] for one in texts])
    for rates in ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]):
        found = classify(S6Layer.from_matrices(S_B=S_B, S_C=S_C, S_Delta=[[1.0]], a=[rates]), [1.0, 0.5])
        assert found.prediction.scenario is Scenario.CONVERGENT
        assert found.certificate.scenario in (Scenario.CONVERGENT, None)
        assert found.agreement is not Truth.FAILS
        assert not found.contradicted


def test_a_product_of_weights_that_underflows_is_not_zero():
    found = classify(S6Layer.from_matrices(S_B=[[1e-200]], S_C=[[1e-200]], S_Delta=[[1.0]], a=1.0), [1.0])
    assert found.prediction.scenario is Scenario.FAST_DIVERGENCE
    assert found.certificate.scenario is Scenario.FAST_DIVERGENCE
    assert (found.simulated, found.agreement) == (Scenario.UNDECIDED, Truth.UNDECIDED)


def test_an_unknown_error_of_the_blow_up_time_contradicts_nothing():
    found = verdict([1.0, 0.5])
    for error, contradicted in ((1e-30, True), (np.inf, False)):
        run = replace(found.trajectory, blow_up=replace(found.trajectory.blow_up, time=0.1, error=error))
        assert replace(found, trajectory=run).contradicted is contradicted


@pytest.mark.parametrize("case", EXTREMES, ids=repr)
def test_extreme_systems_are_never_judged_wrongly(case):
    """Their asymptotic regime can lie beyond float64: undecided then, but no failure of a true theorem, no crash."""
    found = verdict(**case, max_steps=1024)
    assert found.agreement is not Truth.FAILS
    assert found.simulated is not Scenario.EQUILIBRIUM


@pytest.mark.parametrize(
    ("second", "scenario"),
    [(1.0, Scenario.EQUILIBRIUM), (np.nextafter(1, 2), Scenario.UNDECIDED), (np.nextafter(1, 0), Scenario.UNDECIDED)],
)
def test_a_token_beside_the_null_cone_is_not_at_rest(second, scenario):
    """One bit beside it the token creeps to zero, or away to infinity, in a time of 1e16."""
    layer = S6Layer.from_matrices(S_B=np.eye(2), S_C=np.diag([1.0, -1.0]), S_Delta=np.eye(2), a=1.0)
    assert classify(layer, np.array([[1.0, second]])).simulated is scenario


def test_a_token_that_came_to_rest_is_at_rest():
    layer = S6Layer.from_matrices(S_B=np.eye(2), S_C=np.diag([1.0, -1.0]), S_Delta=np.diag([-1.0, 1.0]), a=1.0)
    verdict = classify(layer, np.array([[1.0, 0.8]]))
    assert verdict.simulated is Scenario.EQUILIBRIUM
    assert verdict.trajectory.log_norms[-1, 0] != verdict.trajectory.log_norms[0, 0]


def test_tokens_that_settle_late_are_waited_for():
    """Theory 3.3 with phi(delta_0) = 0.987: the later tokens come to their laws like t^-0.013, so by ln t = 3000."""
    layer = S6Layer.scalar(mu=-1.35, S_Delta=1.81, a=2.0, dt_bias=-5.0)
    x0 = np.array([2.52, -1.257, 0.56, 0.485, 1.276])
    found = classify(layer, x0)
    assert found.agreement is Truth.HOLDS
    assert all(token.agreement is Truth.HOLDS for token in found.tokens)
    assert found.trajectory.log_t[-1] > 2900
    # A horizon of one's own is kept.
    short = classify(layer, x0, horizon=Horizon())
    assert (short.simulated, short.agreement) == (Scenario.CONVERGENT, Truth.UNDECIDED)


@pytest.mark.parametrize("count", [1, 2])
def test_rates_beyond_float64_are_no_rest(count):
    """S_Delta x overflows, so nobody knows the rates: that is no equilibrium."""
    layer = S6Layer.from_matrices(S_B=np.eye(2), S_C=np.eye(2), S_Delta=10 * np.array([[1.0, -1.0], [1.0, 1.0]]), a=1.0)
    found = classify(layer, np.full((count, 2), 1e308))
    assert found.trajectory.outcome is Outcome.SOLVER_FAILED
    assert "float64" in found.trajectory.why
    assert found.simulated is Scenario.UNDECIDED
    assert {token.fate for token in found.tokens} == {TokenFate.UNDECIDED}
    at_rest = classify(replace(layer, S_B=np.zeros((1, 2, 2))), np.ones((count, 2)))
    assert at_rest.trajectory.outcome is Outcome.CONVERGED_TO_EQUILIBRIUM
