"""`verify`: how measurements are judged, that the work is the same however it is cut, and what users see of it."""

import json
import os
from dataclasses import replace
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
import sympy as sp
from click.testing import CliRunner

from mamba_dynamics import S6Layer, solve, token_dynamics
from mamba_dynamics._errors import HypothesisError, SolveError
from mamba_dynamics._outcomes import Outcome, Truth
from mamba_dynamics._rates import Estimate, limiting_slope, significance
from mamba_dynamics.cli import app
from mamba_dynamics.cli.progress import progress_on_stderr
from mamba_dynamics.theorems.catalogue import CATALOGUE
from mamba_dynamics.theorems.contract import Expected, Origin, Relation
from mamba_dynamics.theorems.steps import Identity
from mamba_dynamics.theorems.vector_pools import matrix_case
from mamba_dynamics.verification import certified
from mamba_dynamics.verification import verify as verification
from mamba_dynamics.verification.certified import CERTIFICATES
from mamba_dynamics.verification.document import verification_document
from mamba_dynamics.verification.judge import judge
from mamba_dynamics.verification.measured import Curve, compare
from mamba_dynamics.verification.meters import METERS
from mamba_dynamics.verification.run import Run
from mamba_dynamics.verification.verify import verify

CHEAP = ("scaling_symmetry", "zero_mu", "spectral_identities")


def expected(value, relation=Relation.LIMIT, tolerance=1e-8):
    return Expected("anything", value, 0, relation, tolerance)


def estimate(value, error):
    return Estimate(value, error, (1.0, 2.0))


@pytest.mark.parametrize(
    ("wanted", "found", "truth"),
    [
        (expected(0.5), estimate(0.5, 1e-4), Truth.HOLDS),
        (expected(0.5), estimate(0.5, 0.1), Truth.UNDECIDED),  # right, but not narrow
        (expected(0.5), estimate(0.45, 1e-4), Truth.FAILS),
        (expected(0.5), estimate(0.45, 0.01), Truth.UNDECIDED),
        (expected(0.5, Relation.AT_MOST), estimate(0.4, 1e-4), Truth.HOLDS),
        (expected(0.5, Relation.AT_MOST), estimate(0.6, 1e-4), Truth.FAILS),
        (expected(0.5, Relation.AT_LEAST), estimate(0.6, 1e-4), Truth.HOLDS),
        (expected(0.5, Relation.AT_LEAST), estimate(0.4, 1e-4), Truth.FAILS),
        (expected("zero"), "zero", Truth.HOLDS),
        (expected("zero"), "infinity", Truth.FAILS),
        (expected("zero"), "undecided", Truth.UNDECIDED),
        (expected(1.0), None, Truth.UNDECIDED),
        (expected(1.0, Relation.EQUAL), np.array([1.0, 1.0 + 1e-9]), Truth.HOLDS),
        (expected(1.0, Relation.EQUAL), np.array([1.0, 1.0 + 1e-7]), Truth.FAILS),
        (expected(1.0, Relation.EQUAL), np.array([1.0, np.nan]), Truth.UNDECIDED),
        (expected(1.0, Relation.EQUAL), np.zeros(0), Truth.UNDECIDED),
        (expected(-np.inf, Relation.EQUAL), -np.inf, Truth.HOLDS),
        (expected(0.0, Relation.EQUAL), -np.inf, Truth.FAILS),
        (expected(np.sqrt, Relation.AT_MOST), Curve(np.array([1.0, 4.0]), np.array([1.0, 1.9])), Truth.HOLDS),
        (expected(np.sqrt, Relation.AT_MOST), Curve(np.array([1.0, 4.0]), np.array([1.0, 2.1])), Truth.FAILS),
        (expected(np.sqrt, Relation.AT_LEAST), Curve(np.array([1.0, 4.0]), np.array([1.0, 2.1])), Truth.HOLDS),
        (expected(np.sqrt, Relation.AT_LEAST), Curve(np.array([1.0, 4.0]), np.array([0.9, 2.1])), Truth.FAILS),
    ],
)
def test_comparisons(wanted, found, truth):
    judgement = compare(wanted, found)
    assert judgement.truth is truth
    if truth is Truth.HOLDS:
        assert judgement.deviation <= 1


def test_a_word_is_not_compared_with_a_number():
    with pytest.raises(TypeError, match="expected a word"):
        compare(expected("zero"), 1.0)


def scalar_run(mu, s, x0, a=1.0, b=0.0):
    layer = S6Layer.scalar(mu=mu, S_Delta=s, a=a, dt_bias=b)
    return solve(token_dynamics(layer), np.array(x0))


def test_slow_divergence_is_told_from_the_squared_logarithm():
    """The paper's bound for l = 2 is (ln t)^2; token 2 of a real run is ln t, and the run says so."""
    found = scalar_run(1.0, -1.0, [1.0, 2.0, 0.5])
    log_t = found.log_t[found.log_t > 1]
    for token in range(3):
        slope = limiting_slope(found.log_norms[found.log_t > 1, token], np.log(log_t + 3 * np.log(log_t)), log_t)
        assert significance(slope, 1.0) < 3
        assert significance(slope, 2.0) > 1e4


def test_the_third_power_is_told_from_the_square_root():
    """(T* - t)^(-1/3) against (T* - t)^(-1/2), and the reverse where the step size is constant (s = 0)."""
    for s, right, wrong in ((1.0, -1 / 3, -1 / 2), (0.0, -1 / 2, -1 / 3)):
        found = scalar_run(1.0, s, [1.0, 0.5])
        slope = limiting_slope(found.log_norms[:, 0], found.log_remaining, -found.log_remaining)
        assert significance(slope, right) < 3
        assert significance(slope, wrong) > 1e4


def test_iterated_logarithms_are_confirmed_through_F_at_tiny_distances():
    """At T* - t <= 1e-200, F(|x_2|) = ln|x_2| + e^b Ei(|s x_2|) (a = 1) grows like ln|x_1|, to 1 %; F by mpmath."""
    found = scalar_run(1.0, 1.0, [1.0, 0.5], b=0.3)
    late = found.log_remaining < -200 * np.log(10)
    assert late.sum() >= 3
    x2 = np.exp(found.log_norms[late, 1])
    F = np.array([float(mpmath.log(x) + mpmath.exp(0.3) * mpmath.ei(x)) for x in x2])
    first = found.log_norms[late, 0]
    local = np.diff(F) / np.diff(first)
    np.testing.assert_allclose(local, 1.0, rtol=0.01)
    # ... and it is ln ln that F straightens: x_2 itself has all but stopped.
    assert 0 < x2[-1] - x2[0] < 0.01 * (first[-1] - first[0])


def test_the_result_does_not_depend_on_the_number_of_processes():
    seen = []
    alone = verify(CHEAP, cases=25, seed=3, processes=1, progress=lambda *args: seen.append(args))
    together = verify(CHEAP, cases=25, seed=3, processes=2)
    one, two = verification_document(alone), verification_document(together)
    del one["wall_seconds"], two["wall_seconds"]
    assert one == two
    done, total, _ = zip(*seen, strict=True)
    assert list(done) == list(range(1, total[0] + 1))
    assert set(total) == {len(seen)}


def test_seeds_change_the_cases_and_nothing_else_does():
    first, again, other = (verify(CHEAP[:1], cases=3, seed=seed, processes=1).theorems[0] for seed in (0, 0, 1))
    deviations = [[case.worst.deviation for case in one.cases] for one in (first, again, other)]
    assert deviations[0] == deviations[1] != deviations[2]


def test_theorems_of_one_pool_share_each_simulation(monkeypatch):
    runs = []
    monkeypatch.setattr(
        "mamba_dynamics.verification.run.solve", lambda *args, **kw: runs.append(1) or solve(*args, **kw)
    )
    names = [name for name, one in CATALOGUE.items() if one.pool.name == CATALOGUE["blow_up_power"].pool.name]
    assert len(names) > 1
    theorems = [CATALOGUE[name] for name in names]
    piece = verification._Piece(tuple(names), theorems[0].pool.name, 0, 0, 2)
    verification._do(piece)
    assert len(runs) == 2


def test_unknown_theorems_are_named_with_the_nearest():
    with pytest.raises(HypothesisError, match="did you mean 'dichotomy'"):
        verify(["dichotomi"])


def test_without_cases_nothing_is_decided():
    found = verify(["blow_up_time"], cases=0)
    report = found.theorems[0]
    assert report.certificate["status"] == "undecided"
    assert report.numeric is found.truth is Truth.UNDECIDED
    for name in CERTIFICATES:
        assert CERTIFICATES[name](CATALOGUE[name], 0, 0)["status"] == "undecided"
    assert (verify([]).truth, verify([]).complete) == (Truth.UNDECIDED, False)


def test_a_theorem_named_twice_is_checked_once():
    found = verify(["zero_mu", "spectral_identities", "zero_mu"], cases=2)
    assert [one.theorem.name for one in found.theorems] == ["zero_mu", "spectral_identities"]
    assert [len(one.cases) for one in found.theorems] == [2, 2]


@pytest.mark.long
def test_an_unknown_error_of_the_blow_up_time_agrees_with_nothing(monkeypatch):
    def run(case, index):
        found = Run(case, index)
        return SimpleNamespace(
            system=found.system,
            scenario=found.scenario,
            trajectory=replace(found.trajectory, blow_up=replace(found.trajectory.blow_up, error=np.inf)),
        )

    monkeypatch.setattr(certified, "Run", run)
    for name in ("blow_up_time", "fast_divergence_existence"):
        assert CERTIFICATES[name](CATALOGUE[name], 0, 1)["status"] == "undecided"


def test_a_case_that_cannot_be_computed_is_undecided_and_the_rest_goes_on(monkeypatch):
    def breaks_down(layer, x0, told):
        raise ZeroDivisionError("float division by zero")

    with_theorem(monkeypatch, "zero_mu", conclusion=breaks_down)
    found = document("--theorem", "zero_mu", "--theorem", "spectral_identities", "--cases", "2", code=3)["theorems"]
    assert found[0]["numeric"]["undecided"] == 2
    assert found[0]["numeric"]["exceptions"][0]["why"] == "ZeroDivisionError: float division by zero"
    assert found[1]["status"] == "holds"


def test_what_lies_late_is_not_measured_where_the_run_stops_early(monkeypatch):
    """limsup of t |x|^2: nothing for a run that stops, infinity for one that blows up; zero would confirm any bound."""
    limsup, spread = METERS["limsup of t |x|^2"], METERS["range of ln(t |x|^2) at late times"]
    grows = Run(matrix_case(np.eye(2), np.zeros((2, 2)), 0.0, [1.0, 1.0]))
    assert limsup(grows, 0) == np.inf
    assert spread(grows, 0) is None
    monkeypatch.setattr(Run, "until", lambda run, log_until: SimpleNamespace(outcome=Outcome.BUDGET_EXHAUSTED))
    assert limsup(grows, 0) is None


def ended_from_outside(piece):
    os._exit(9)


@pytest.mark.long
def test_a_lost_process_is_an_error_in_one_line(monkeypatch):
    monkeypatch.setattr(verification, "_do", ended_from_outside)
    with pytest.raises(SolveError, match="ended from outside"):
        verify(CHEAP, cases=2, processes=2)


def run_cli(*arguments):
    return CliRunner().invoke(app, ["verify", "--processes", "1", *arguments])


def document(*arguments, code=0):
    result = run_cli("--json", *arguments)
    assert result.exit_code == code, result.stderr
    assert result.stdout.count("\n") == 1, "one JSON document on stdout, nothing else"
    return json.loads(result.stdout, parse_constant=lambda token: pytest.fail(f"bare {token} in JSON"))


def test_the_json_contract():
    found = document("--theorem", "spectral_identities", "--theorem", "blow_up_time", "--cases", "3", "--seed", "5")
    assert found["schema_version"] == 1
    assert [one["name"] for one in found["theorems"]] == ["spectral_identities", "blow_up_time"]
    for one in found["theorems"]:
        fields = {"name", "statement", "source", "symbolic", "numeric", "counterexamples_to_weaker_claim", "certified"}
        assert one.keys() >= fields
        assert one["symbolic"]["status"] == "holds"
        assert one["symbolic"]["steps"]
        numeric = one["numeric"]
        assert (numeric["cases"], numeric["held"], numeric["failed"], numeric["undecided"]) == (3, 3, 0, 0)
        assert numeric["worst"]["status"] == "holds"
        for claim in one["counterexamples_to_weaker_claim"]:
            assert claim["refuted"]
            assert claim["system"]["x0"]
    assert found["theorems"][1]["certified"]["agree"] == 3


def test_the_text_is_one_table():
    result = run_cli("--theorem", "slow_divergence_bound", "--cases", "2")
    assert result.exit_code == 0
    assert "slow_divergence_bound" in result.stdout
    assert "2/2" in result.stdout
    assert "claims of the paper that are not sharp, or fail" in result.stdout
    assert "1 theorems, 2 cases each, seed 0" in result.stdout


def test_bad_input_is_one_line():
    result = run_cli("--theorem", "nope")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "expected the name of a theorem, found 'nope'" in result.stderr
    assert run_cli("--cases", "0").exit_code == 2


def test_progress_in_a_log_is_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr("mamba_dynamics.cli.progress.BETWEEN_LINES", 0.0)
    with progress_on_stderr("pieces") as show:
        show(1, 3, "first")
        show(3, 3, "last")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("1 of 3 pieces, about ")
    assert captured.err.count("\n") == 1, "no line when all is done"


def with_theorem(monkeypatch, name, **changes):
    monkeypatch.setitem(CATALOGUE, name, replace(CATALOGUE[name], **changes))


def test_a_failing_step_fails_the_theorem_with_exit_code_3(monkeypatch):
    theorem = CATALOGUE["zero_mu"]
    with_theorem(monkeypatch, "zero_mu", steps=(*theorem.steps, Identity(says="1 = 2", left=sp.S(1), right=sp.S(2))))
    found = document("--theorem", "zero_mu", "--cases", "2", code=3)["theorems"][0]
    assert (found["status"], found["symbolic"]["status"], found["numeric"]["status"]) == ("fails", "fails", "holds")
    assert "step fails: 1 = 2" in run_cli("--theorem", "zero_mu", "--cases", "2").stdout


def test_a_wrong_conclusion_fails_and_its_cases_are_listed(monkeypatch):
    wrong = (Expected("scenario", "convergent", relation=Relation.EQUAL),)
    with_theorem(monkeypatch, "zero_mu", conclusion=lambda *_: wrong)
    found = document("--theorem", "zero_mu", "--cases", "2", code=3)["theorems"][0]
    assert found["numeric"]["failed"] == 2
    assert found["numeric"]["exceptions"][0]["comparison"]["found"] == "constant"
    assert "case 0 fails" in run_cli("--theorem", "zero_mu", "--cases", "2").stdout


def test_a_claim_that_is_not_refuted_is_undecided_and_said(monkeypatch):
    theorem = CATALOGUE["slow_divergence_bound"]
    right = tuple(replace(claim, expected=(replace(claim.expected[0], value=1.0),)) for claim in theorem.weaker[:1])
    with_theorem(monkeypatch, theorem.name, weaker=right)
    found = document("--theorem", theorem.name, "--cases", "2", code=3)["theorems"][0]
    assert found["status"] == "undecided"
    assert "NOT refuted" in run_cli("--theorem", theorem.name, "--cases", "2").stdout


def test_undecided_cases_are_not_done(monkeypatch):
    """At 95 % decided a theorem holds, but the command still does not end with 0."""
    monkeypatch.setitem(METERS, "scenario", lambda run, token: "undecided" if run.index == 0 else run.scenario.value)
    with_theorem(monkeypatch, "zero_mu", conclusion=lambda *_: (Expected("scenario", "constant"),))
    found = document("--theorem", "zero_mu", "--cases", "25", code=3)["theorems"][0]
    assert (found["status"], found["numeric"]["undecided"], found["numeric"]["failed"]) == ("holds", 1, 0)
    few = document("--theorem", "zero_mu", "--cases", "5", code=3)["theorems"][0]
    assert few["status"] == "undecided", "4 of 5 are too few"


def test_a_case_outside_the_hypotheses_decides_nothing(monkeypatch):
    theorem = CATALOGUE["zero_mu"]
    broken = next(iter(theorem.breaks.values()))
    with_theorem(monkeypatch, "zero_mu", pool=replace(theorem.pool, draw=lambda rng: broken))
    found = document("--theorem", "zero_mu", "--cases", "2", code=3)["theorems"][0]
    assert found["numeric"]["undecided"] == 2
    assert "not all hypotheses hold" in found["numeric"]["exceptions"][0]["why"]


PAPERS = {
    "slow_divergence_bound": "(ln t)^l",
    "eigenvalue_rule": "all eigenvalues of M negative",
    "fast_divergence_existence": "all tokens diverge",
    "equilibria": "tokens either tend to zero or diverge",
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_weaker_claims_are_listed_and_refuted(name):
    claims = [one for one in CATALOGUE[name].weaker if one.origin is Origin.PAPER and PAPERS[name] in one.claim]
    assert claims
    for claim in claims:
        assert any(one.truth is Truth.FAILS for one in judge(Run(claim.case), claim.expected))
