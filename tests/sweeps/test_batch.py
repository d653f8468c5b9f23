"""The batch engine: against `solve` run by run, closed forms of the theory, and itself in other company."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

from mamba_dynamics import Horizon, Outcome, S6Layer, solve, token_dynamics
from mamba_dynamics._errors import LayerShapeError, SolveError
from mamba_dynamics._integrate import CHUNK
from mamba_dynamics.sweeps import batch, solve_many, stepping

TOKENS, STATES = 4, 2


def cells(count=24, seed=0):
    """Systems of every scenario: two states, starts of both signs, some tokens zero."""
    rng = np.random.default_rng(seed)
    mu = rng.uniform(0.2, 2, (STATES, count)) * rng.choice([-1.0, 1.0], count)
    # One system in three has states of both signs, which no theorem covers.
    mu[1, ::3] *= -0.4
    x0 = rng.normal(size=(TOKENS, count))
    s = rng.uniform(0.3, 2, count) * rng.choice([-1.0, 1.0], count)
    x0[:, : count // 3] = -np.abs(x0[:, : count // 3]) * np.sign(s[: count // 3])
    x0[1, ::5] = 0.0
    return {
        "mu": mu,
        "a": rng.uniform(0.1, 3, (STATES, count)),
        "s_delta": s,
        "dt_bias": rng.uniform(-2, 1, count),
        "x0": x0,
    }


def take(some, chosen):
    return {name: value[..., chosen] for name, value in some.items()}


def one_by_one(some, i, **options):
    layer = S6Layer.scalar(
        mu=some["mu"][:, i], S_Delta=some["s_delta"][i], a=some["a"][:, i], dt_bias=some["dt_bias"][i]
    )
    return solve(token_dynamics(layer), some["x0"][:, i], throw=False, **options)


def fields(runs):
    return {name: getattr(runs, name) for name in runs.__dataclass_fields__}


def same_bits(one, other):
    for name, value in fields(one).items():
        assert value.tobytes() == getattr(other, name).tobytes(), name


@pytest.fixture(scope="module", autouse=True)
def few_lanes():
    """What a lane computes does not depend on how many there are: few are cheaper."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepping, "LANES", 32)
        patch.setattr(stepping, "FEWEST_LANES", 8)
        yield


@pytest.fixture(scope="module")
def many(few_lanes):
    some = cells()
    return some, solve_many(**some)


def test_every_scenario_is_there(many):
    found = set(many[1].outcomes())
    assert {Outcome.CONVERGED_TO_ZERO, Outcome.DIVERGES_SLOWLY, Outcome.BLEW_UP} <= found


@pytest.mark.parametrize("i", range(2, 24, 4))
def test_a_batch_is_its_runs_one_by_one(many, i):
    some, runs = many
    alone = one_by_one(some, i)
    assert runs.outcomes()[i] is alone.outcome
    np.testing.assert_array_equal(runs.sign[:, i], alone.sign[-1])
    if alone.blow_up is not None:
        both = runs.blow_up_time_error[i] + alone.blow_up.error
        assert abs(runs.blow_up_time[i] - alone.blow_up.time) <= both < 1e-8 * alone.blow_up.time
        assert runs.blow_up_token[i] == alone.blow_up.token
        return
    assert np.isnan(runs.blow_up_time[i])
    assert runs.blow_up_token[i] == -1
    # The two stop at different times: compared at the batch's.
    there = one_by_one(some, i, log_until=runs.log1p_t[i], max_steps=20_000)
    np.testing.assert_allclose(runs.log_abs_x[:, i], there.log_abs[-1], rtol=1e-8, atol=1e-8)


def test_a_cell_is_the_same_in_any_company(many):
    some, runs = many
    order = np.random.default_rng(1).permutation(24)
    shuffled = solve_many(**take(some, order))
    for name, value in fields(runs).items():
        assert value[..., order].tobytes() == getattr(shuffled, name).tobytes(), name
    alone = solve_many(**take(some, [7]))
    for name, value in fields(runs).items():
        assert value[..., [7]].tobytes() == getattr(alone, name).tobytes(), name


def test_more_cells_than_lanes(many):
    """Refilling lanes changes nothing."""
    some, runs = many
    chosen = np.concatenate([np.full(40, 5), np.arange(24), np.full(40, 8)])
    repeated = solve_many(**take(some, chosen))
    for name, value in fields(runs).items():
        assert value[..., chosen].tobytes() == getattr(repeated, name).tobytes(), name


def test_more_cells_than_a_device_is_given_at_once(many):
    """Lanes are emptied and filled many times over, some by runs that are ten times as long as others."""
    some, runs = many
    assert runs.steps.max() > 10 * runs.steps.min()
    chosen = np.random.default_rng(2).integers(0, 24, 3 * batch.WAITING * stepping.LANES + 5)
    repeated = solve_many(**take(some, chosen))
    for name, value in fields(runs).items():
        assert value[..., chosen].tobytes() == getattr(repeated, name).tobytes(), name


def test_a_run_settles_by_its_own_steps(few_lanes):
    """Convergence is not told before CHUNK steps on end have shrunk, however many did in the lane before."""
    early = Horizon(log_t_decaying=0.0, shrinking=0.1)
    runs = scalar(-1.0, 0.5, 1.0, 0.0, np.tile([[1.0], [0.5], [-0.5], [0.25]], 3 * stepping.LANES), horizon=early)
    assert set(runs.outcomes()) == {Outcome.CONVERGED_TO_ZERO}
    assert runs.steps.min() >= CHUNK
    assert len(set(runs.steps.tolist())) == 1


def test_a_lane_forgets_what_it_held(many):
    """After cells that do not move, whose rates are 0 / 0, those that come next are what they are."""
    some, runs = many
    still = take(some, np.zeros(96, int)) | {"mu": np.zeros((STATES, 96))}
    both = {name: np.concatenate([still[name], some[name]], axis=-1) for name in some}
    after = solve_many(**both)
    assert set(after.outcomes()[:96]) == {Outcome.CONVERGED_TO_EQUILIBRIUM}
    for name, value in fields(runs).items():
        assert getattr(after, name)[..., 96:].tobytes() == value.tobytes(), name


def scalar(mu, s, a, b, x0, **options):
    """One state, padded to two that are one."""
    x0 = np.asarray(x0, float).reshape(TOKENS, -1)
    return solve_many(mu=[[mu], [0.0]], s_delta=s, a=[[a], [a]], dt_bias=b, x0=x0, **options)


def test_convergent_constants():
    """Theory 3.2: 2 |mu| delta_0 t x^2 -> 1 and 1 - e^(-a delta_0)."""
    runs = scalar(-1.58, -0.17, 1.08, 0.0, np.ones(TOKENS), log_until=np.log1p(1e16))
    assert runs.outcomes() == [Outcome.REACHED_UNTIL]
    assert runs.log1p_t[0] == pytest.approx(np.log1p(1e16), rel=1e-13)
    constants = 2 * 1.58 * np.log(2) * np.exp(runs.log_t + 2 * runs.log_abs_x[:, 0])
    np.testing.assert_allclose(constants, [1.0] + 3 * [1 - 2**-1.08], rtol=1e-6)
    np.testing.assert_allclose(runs.slope[:, 0], -0.5, rtol=1e-6)


def test_slow_divergence():
    """Theory 10: the frozen ratios, and z = ln t + 3 ln ln t + o(1)."""
    runs = scalar(1.0, -1.0, 1.0, 0.0, np.ones(TOKENS), log_until=1e5)
    ratios = np.exp(runs.log_abs_x[1:, 0] - runs.log_abs_x[0, 0])
    np.testing.assert_allclose(ratios, [2.2162757, 3.66388535, 5.26381071], rtol=1e-8)
    assert np.exp(runs.log_abs_x[0, 0]) == pytest.approx(1e5 + 3 * np.log(1e5), abs=0.01)


def test_a_run_is_not_called_a_blow_up_before_its_step_size_has_shut():
    x0 = np.array([[-1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 0.0, 2.0]])
    runs = solve_many(mu=1.0, s_delta=[1e-200, 1e-290, -1e-5, 1e-100], a=1.0, dt_bias=[0, 2.0, 0, 0], x0=x0)
    assert runs.outcomes() == [Outcome.DIVERGES_SLOWLY] * 3 + [Outcome.BLEW_UP]
    assert runs.blow_up_token.tolist() == [-1, -1, -1, 1]


def test_general_decay_rates():
    """Theory 3.6: kappa_l from K_l."""
    runs = solve_many(mu=[[-1.0], [-0.5]], a=[[0.2], [3.0]], s_delta=0.5, x0=np.ones((TOKENS, 1)), log_until=100.0)
    constants = 2 * 1.5 * np.log(2) * np.exp(runs.log_t + 2 * runs.log_abs_x[:, 0])
    np.testing.assert_allclose(constants, [1, 0.37797, 0.25445, 0.2083], atol=5e-5)


@pytest.mark.parametrize("mu", [-1.3, 0.8])
def test_constant_step_size_is_solvable(mu):
    """s = 0 (theory 3.5): x_1 in closed form, x_2 by a linear equation for x_2^-2; x_3 = x_4 = 0."""
    a, b, x1, x2 = 0.6, 0.4, 1.1, -0.7
    delta = np.logaddexp(0.0, b)
    end = 50.0 if mu < 0 else 0.9 / (2 * mu * delta * x1**2)
    runs = scalar(mu, 0.0, a, b, [x1, x2, 0, 0], until=end)
    c, q = 2 * mu * delta, np.exp(-a * delta)
    w = 1 - c * x1**2 * end
    x = runs.sign[:, 0] * np.exp(runs.log_abs_x[:, 0])
    assert x[0] == pytest.approx(x1 / np.sqrt(w), rel=1e-10)
    assert x[1] == pytest.approx(-1 / np.sqrt(w**q / x2**2 + (w - w**q) / (x1**2 * (1 - q))), rel=1e-10)
    np.testing.assert_array_equal(x[2:], 0)


@pytest.mark.parametrize("tolerance", [1e-5, 1e-8, 1e-11])
def test_errors_are_what_was_asked_for(tolerance):
    """Of eight tokens on their way to zero, against another method in ln(1 + t) at far tighter tolerances."""
    x0 = np.random.default_rng(5).uniform(0.2, 2.0, (8, 6)) * [1.0, -1.0, 1.0, 1.0, -1.0, 1.0]
    goal = 8.0
    runs = solve_many(mu=-1.0, s_delta=1.0, a=1.0, x0=x0, log_until=goal, rtol=tolerance, atol=tolerance)

    def field(s, y, sign):
        x, h, rates = sign * np.exp(y), 0.0, []
        for one, delta in zip(x, np.logaddexp(0.0, x), strict=True):
            h = one * one * delta + np.exp(-delta) * h
            rates.append(-h * np.exp(s))
        return rates

    worst = 0.0
    for i, one in enumerate(x0.T):
        sign = np.sign(one)
        run = solve_ivp(field, (0, goal), np.log(np.abs(one)), "DOP853", args=(sign,), rtol=1e-13, atol=1e-14)
        allowed = tolerance * (1 + np.abs(run.y[:, -1]))
        worst = max(worst, np.max(np.abs(runs.log_abs_x[:, i] - run.y[:, -1]) / allowed))
    assert 1e-4 < worst < 1


@pytest.mark.parametrize(("s", "b", "x0"), [(1.0, 0.0, 0.05), (-2.0, -3.0, 1.3), (0.3, 4.0, 20.0)])
def test_the_blow_up_time_of_one_token_is_a_quadrature(s, b, x0):
    """T_1 = int dx / (mu x^3 softplus(|s| x + b)) from |x_0| on (theory 3.4); the last token runs alone."""
    runs = scalar(0.9, s, 1.0, b, [0, 0, 0, np.sign(s) * x0])
    with mpmath.workdps(30):
        exact = mpmath.quad(
            lambda y: mpmath.exp(-2 * y) / (mpmath.mpf("0.9") * mpmath.log1p(mpmath.exp(abs(s) * mpmath.exp(y) + b))),
            [mpmath.log(x0) + k for k in (0, 1, 2, 3, 4, 6, 10, 30)] + [80],
        )
    assert runs.outcomes() == [Outcome.BLEW_UP]
    assert runs.blow_up_token[0] == 3
    assert runs.blow_up_time[0] == pytest.approx(float(exact), rel=1e-10)
    assert abs(runs.blow_up_time[0] - float(exact)) <= runs.blow_up_time_error[0]
    assert runs.slope[3, 0] == pytest.approx(-1 / 3, rel=1e-6)


def test_a_time_long_after_the_start_and_one_at_it():
    x0 = np.tile([[1.0], [0.5], [-0.5], [0.25]], 4)
    runs = scalar(-1.0, 0.5, 1.0, 0.0, x0, log_until=np.array([0.0, 1e-9, 3.0, 300.0]))
    assert set(runs.outcomes()) == {Outcome.REACHED_UNTIL}
    np.testing.assert_allclose(runs.log1p_t, [0.0, 1e-9, 3.0, 300.0], rtol=1e-12)
    np.testing.assert_array_equal(runs.log_abs_x[:, 0], np.log(np.abs(x0[:, 0])))
    first = quad(lambda x: 1 / (x**3 * np.log1p(np.exp(0.5 * x))), np.exp(runs.log_abs_x[0, 2]), 1.0, epsabs=1e-13)[0]
    assert first == pytest.approx(np.expm1(3.0), rel=1e-9)


def test_a_requested_time_is_landed_on_in_few_steps():
    """Times from before the first step's end to the asymptotic regime: each later one takes about one step more."""
    until = np.geomspace(0.1, 1e6, 100)
    x0 = np.tile([[0.7], [-1.2], [0.4]], (1, 100))
    runs = solve_many(mu=-1.0, s_delta=1.0, a=1.0, x0=x0, until=until, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(runs.log1p_t, np.log1p(until), rtol=1e-15)
    assert np.max(np.abs(np.diff(runs.steps))) <= 1
    assert runs.steps.max() <= 10
    assert runs.steps.mean() <= 6


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8, 1e-10, 1e-12])
@pytest.mark.parametrize("mu", [-1.3, 0.8])
def test_where_a_run_lands_and_its_slope_there(mu, tolerance):
    """One token with a constant step size: x^-2 = x0^-2 - 2 mu Delta t, at times about where steps end and between."""
    delta, x0, rng = np.log1p(np.exp(0.3)), 0.9, np.random.default_rng(3)
    if mu < 0:
        until = np.exp(rng.uniform(-6, 20, 400))
    else:
        until = -np.expm1(-np.exp(rng.uniform(-9, 1, 400))) / (2 * mu * delta * x0**2)
    runs = solve_many(mu=mu, s_delta=0.0, dt_bias=0.3, a=1.0, x0=[x0], until=until, rtol=tolerance, atol=tolerance)
    assert set(runs.outcomes()) == {Outcome.REACHED_UNTIL}
    square = 1 / (x0**-2 - 2 * mu * delta * until)
    log_abs_x, slope = 0.5 * np.log(square), mu * delta * square * until
    # Before a blow-up, what is left of the time is known by so much less.
    known = np.maximum(tolerance, 1e-14) * np.maximum(1.0, np.abs(slope))
    assert np.max(np.abs(runs.log_abs_x[0] - log_abs_x) / (known * (1 + np.abs(log_abs_x)))) < 1
    assert np.max(np.abs(runs.slope[0] / slope - 1) / (known * (1 + np.abs(log_abs_x)))) < 10


def test_slopes_are_the_field_s_where_runs_land(x64):
    """d ln|x_l| / d ln t = t F_l(x) / x_l, by the field of a single run."""
    until, x0 = np.geomspace(0.1, 1e3, 40), [[0.7], [-1.2], [0.4]]
    runs = solve_many(
        mu=-1.0, s_delta=1.0, a=1.0, dt_bias=0.3, x0=np.tile(x0, (1, 40)), until=until, rtol=1e-10, atol=1e-10
    )
    field = token_dynamics(S6Layer.scalar(mu=-1.0, S_Delta=1.0, a=1.0, dt_bias=0.3))
    for k, t in enumerate(until):
        x = runs.sign[:, k] * np.exp(runs.log_abs_x[:, k])
        np.testing.assert_allclose(runs.slope[:, k], t * np.asarray(field(t, x, None)).ravel() / x, rtol=1e-9)


def test_nothing_moves():
    runs = scalar(0.0, 1.0, 1.0, 0.0, [1.0, 2.0, 3.0, 4.0])
    assert runs.outcomes() == [Outcome.CONVERGED_TO_EQUILIBRIUM]
    runs = scalar(1.0, 1.0, 1.0, 0.0, np.zeros(TOKENS))
    assert runs.outcomes() == [Outcome.CONVERGED_TO_ZERO]
    assert np.all(np.isneginf(runs.log_abs_x))


def test_a_zero_token_needs_no_absolute_tolerance():
    options = dict(until=10.0, rtol=1e-9)
    relative, absolute = (
        scalar(-1.0, 1.0, 1.0, 0.0, [1.0, 0.0, 0.5, 2.0], atol=atol, **options) for atol in (0.0, 1e-9)
    )
    assert relative.outcomes() == [Outcome.REACHED_UNTIL]
    np.testing.assert_allclose(relative.log_abs_x, absolute.log_abs_x, rtol=1e-7)


def test_a_budget_that_is_too_small_decides_nothing(many):
    some, runs = many
    short = solve_many(**some, max_steps=np.where(np.arange(24) % 2, 4096, 20))
    assert set(short.outcomes()[::2]) == {Outcome.BUDGET_EXHAUSTED}
    assert short.outcomes()[1::2] == runs.outcomes()[1::2]
    assert np.all(short.steps[::2] == 20)


def test_looser_tolerances_know_their_error(many):
    some, tight = many
    loose = solve_many(**some, rtol=1e-7, atol=1e-7)
    assert loose.outcomes() == tight.outcomes()
    blew_up = np.isfinite(tight.blow_up_time)
    gap = np.abs(loose.blow_up_time - tight.blow_up_time)[blew_up]
    assert np.all(gap <= loose.blow_up_time_error[blew_up])
    assert np.all(loose.steps <= tight.steps)
    assert loose.steps.sum() < tight.steps.sum()
    unknown = solve_many(**some, rtol=1e-7, atol=1e-7, errors=False)
    np.testing.assert_array_equal(unknown.blow_up_time, loose.blow_up_time)
    assert np.all(np.isnan(unknown.blow_up_time_error))


def test_a_nearer_horizon_is_reached_sooner(many):
    some, far = many
    near = solve_many(**some, horizon=Horizon(log_t_growing=100.0, log_rate=150.0, log_t_decaying=200.0))
    assert near.outcomes() == far.outcomes()
    assert np.all(near.steps <= far.steps)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x0": np.zeros((4, 3))}, "one number of cells"),
        ({"x0": np.full((4, 2), np.nan)}, "x0 should be finite"),
        ({"a": [-1.0, 1.0]}, "a >= 0"),
        ({"s_delta": 1e-320}, "s_delta of 0 or of at least"),
        ({"mu": [1.0, -5e-324]}, "mu of 0 or of at least"),
        ({"rtol": 0.0}, "rtol > 0"),
        ({"until": 1.0, "log_until": 1.0}, "one end time"),
        ({"log_until": -1.0}, "the end time >= 0"),
        ({"log_until": np.nan}, "the end time >= 0"),
        ({"max_steps": 0}, "max_steps >= 1"),
        ({"x0": np.zeros((0, 2))}, "at least one"),
    ],
)
def test_what_makes_no_sense_is_refused(change, says):
    good = {"mu": 1.0, "s_delta": [1.0, 2.0], "a": 1.0, "x0": np.ones((4, 2))}
    with pytest.raises((LayerShapeError, SolveError), match=says):
        solve_many(**good | change)
