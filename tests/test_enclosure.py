"""Validated enclosures, against closed forms, another integrator and the project's own simulation."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from flint import acb, arb
from scipy.integrate import solve_ivp

from mamba_dynamics import HypothesisError, S6Layer, Scenario, solve, token_dynamics
from mamba_dynamics.certificates import enclose, enclosure, own_blow_up_time, proved_scenario
from mamba_dynamics.certificates.blow_up_time import precision
from mamba_dynamics.certificates.enclosure import _largest, _softplus
from mamba_dynamics.theorems import ScalarSystem
from mamba_dynamics.theorems.constant_step import ConstantStep


def field(mu, s, a, b):
    mu, a = np.atleast_1d(mu), np.atleast_1d(a)

    def of(_, x):
        delta = np.logaddexp(0.0, s * x + b)
        g, out = np.zeros(len(mu)), []
        for one, step in zip(x, delta, strict=True):
            g = one**2 * step + np.exp(-a * step) * g
            out.append(one * (mu @ g))
        return np.array(out)

    return of


def by_taylor_series(a, x0, clock=3.0):
    """T* of mu = s = 1, b = 0 by mpmath's Taylor method in log-amplitudes, and the integral of what is left.

    After this clock token 2 is so large that what token 1 adds is below e^-50.
    """

    def velocity(_, state):
        drive, drives = mpmath.mpf(0), []
        for y, sign in zip(state[:-1], np.sign(x0), strict=True):
            step = mpmath.log1p(mpmath.exp(float(sign) * mpmath.exp(y)))
            drive = mpmath.exp(2 * y) * step + mpmath.exp(-a * step) * drive
            drives.append(drive)
        return [one / sum(drives) for one in drives] + [1 / sum(drives)]

    with mpmath.workdps(22):
        start = [mpmath.log(abs(mpmath.mpf(one))) for one in x0]
        *y, time = mpmath.odefun(velocity, 0, [*start, mpmath.mpf(0)], tol=mpmath.mpf(10) ** -18)(clock)
        last, time = mpmath.nstr(mpmath.exp(y[-1]), 20), mpmath.nstr(time, 20)
    with precision(128):
        return arb(time) + own_blow_up_time(1.0, 1.0, 0.0, arb(last), digits=15)


@pytest.mark.parametrize(("a", "x0"), [(1.0, [0.5, 2.0]), pytest.param(0.5, [-0.5, 2.5], marks=pytest.mark.long)])
def test_brackets_contain_what_another_method_finds(a, x0):
    wanted = by_taylor_series(a, x0)
    found = enclose(1.0, 1.0, a, 0.0, x0, width=1e-11)
    assert found.scenario is Scenario.FAST_DIVERGENCE
    assert found.blow_up_time.rad() <= 0.5e-11 * found.blow_up_time.mid()
    assert found.blow_up_time.overlaps(wanted + arb(0, 1e-17))


@pytest.mark.parametrize("x0", [pytest.param([0.5, 3.0, 1.5, 0.1], marks=pytest.mark.long), [-0.5, 2.0, -1.5]])
def test_brackets_agree_with_the_simulation_to_its_own_error(x0):
    found = enclose(1.0, 1.0, 0.8, 0.1, x0)
    assert found.blow_up_time.rad() <= 0.5e-10 * found.blow_up_time.mid()
    simulated = solve(token_dynamics(S6Layer.scalar(mu=1.0, S_Delta=1.0, a=0.8, dt_bias=0.1)), x0).blow_up
    assert found.blow_up_time.overlaps(arb(simulated.time, simulated.error))


def test_one_token_contains_its_integral():
    assert enclose(0.8, -1.2, 1.0, 0.4, [-0.7]).blow_up_time.contains(own_blow_up_time(0.8, -1.2, 0.4, -0.7))


@pytest.mark.parametrize("x0", [[1.0, 0.5], [0.3, 2.0]])
def test_closed_form_for_a_constant_step_size(x0):
    """Token 1 first, then token 2 first; theory 3.5."""
    exact = ConstantStep.of(ScalarSystem(np.array([0.9]), np.array([0.7]), 0.0, 0.3, np.array(x0)))
    found = enclose(0.9, 0.0, 0.7, 0.3, x0)
    assert found.blow_up_time.overlaps(arb(exact.blow_up_time, 1e-13))


@pytest.mark.parametrize(
    ("mu", "s", "a", "x0", "scenario"),
    [
        (-1.3, 0.7, 0.9, [1.0, -0.5, 0.0, 2.0], Scenario.CONVERGENT),
        (0.8, -1.0, 0.5, [0.5, 1.0, 2.0], Scenario.SLOW_DIVERGENCE),
        ([-1.0, -0.5], 0.5, [0.2, 3.0], [1.0, 0.5], Scenario.CONVERGENT),
    ],
)
def test_states_contain_the_solution(mu, s, a, x0, scenario):
    """The tokens that are not zero at a validated time, against DOP853; a zero token weakens those after it."""
    found = enclose(mu, s, a, 0.2, x0, clock=1.5)
    assert found.scenario is scenario
    assert found.blow_up_time is None
    run = solve_ivp(field(mu, s, a, 0.2), (0, float(found.time)), x0, method="DOP853", rtol=1e-13, atol=1e-15)
    sizes = np.abs(run.y[:, -1])
    for log_abs, size in zip(found.log_abs, sizes[sizes > 0], strict=True):
        assert log_abs.rad() < 1e-9
        assert log_abs.overlaps(arb(float(np.log(size)), 1e-11))


SYSTEMS = [
    ([1.0], 1.0, [1.0], 0.0, [1.0, 0.5]),  # a large token and one behind it
    ([1.0], 1.0, [0.8], 0.1, [-0.5, 2.0, -1.5]),
    ([0.5, 0.2], 0.5, [1.0, 2.0], 0.0, [1.0, 0.0, 0.7]),
    ([3.0, -1.0], -1.0, [0.2, 3.0], 0.0, [1.0, 0.5]),
    ([-1.3], 0.7, [0.9], 0.2, [1.0, -0.5, 0.0, 2.0]),
    ([1.0], -3.0, [0.0], 2.0, [0.3, 5.0, 5.1]),  # a step size that opens within the disc
]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_field_is_bounded_on_the_polydisc(system):
    """Cauchy's estimate needs |dy/ds| <= m and |1 / rho| <= m_t there: at random points of its edge, in plain numpy."""
    mu, s, a, b, x0 = system
    rng = np.random.default_rng(0)
    with precision(128):
        inner = enclosure._field(*system)
        for shift in (0.0, 1.0, 3.0):
            y = [(one + shift).mid() for one in inner.log_abs()]
            _, radius, speed, slowness = inner._analytic(y, 0)
            center, r = np.array([float(one) for one in y]), float(radius)
            z = center + r * np.exp(2j * np.pi * rng.random((2000, len(y))))
            velocity, inverse = complex_field(mu, s, a, b, np.array(x0), z)
            assert np.abs(velocity).max() <= float(speed) * (1 + 1e-12)
            assert np.abs(inverse).max() <= float(slowness) * (1 + 1e-12)
            # ... and the bound is worth something: real speeds reach the largest share of one token.
            assert float(speed) < 3 * np.abs(velocity).max()


def complex_field(mu, s, a, b, x0, y):
    """(dy_l/ds (P, L), 1 / rho (P,)) at P complex points of the tokens that are not zero."""
    mu, a = np.array(mu), np.array(a)
    g, pushes, rho, active = np.zeros((len(y), len(mu)), complex), [], 0, iter(y.T)
    for token in x0:
        one = next(active) if token else None
        delta = np.log1p(np.exp(b if one is None else s * np.sign(token) * np.exp(one) + b))
        g = np.exp(-a * np.reshape(delta, (-1, 1))) * g
        if one is not None:
            g = g + (np.exp(2 * one) * delta)[:, None]
            pushes.append(g @ mu)
            rho = rho + g @ np.abs(mu)
    return np.stack(pushes, axis=1) / rho[:, None], 1 / rho


def test_a_ball_that_meets_the_branch_cut_of_softplus_has_no_value():
    """1 + e^z turns about 0 on it: ln(1 + e^z) is no single function there, so no bound of it may be used."""
    with precision(128):
        assert _softplus(acb(arb(0.5, 0.2), arb(0, 1.0))).is_finite()
        assert not _softplus(acb(arb(0.0, 0.2), arb(3.6, 0.5))).is_finite()
        assert not _softplus(acb(arb(1.0, 1.2), arb(0, 3.5))).is_finite()
        assert _softplus(acb(arb(500, 100), arb(0, 90))).is_finite()


def test_a_small_token_behind_a_large_one_does_not_shorten_the_steps():
    """What it gets from the large one is a share of that one's drive, however uncertain the large one's size is."""
    alone, followed = enclose(1.0, 1.0, 1.0, 0.0, [1.0]), enclose(1.0, 1.0, 1.0, 0.0, [1.0, 0.1])
    assert followed.steps < 2 * alone.steps


@pytest.mark.parametrize("radius", [1e-6, 1e-2])
def test_uncertain_tokens_stay_within_their_enclosure(radius):
    """Both ends of an uncertain token are solutions that the enclosure of the ball must contain."""
    with precision(128):
        found = enclose(-1.3, 0.7, 0.9, 0.2, [arb(1.0, radius), -0.5], clock=0.5)
    for first in (1.0 - radius, 1.0, 1.0 + radius):
        run = solve_ivp(
            field(-1.3, 0.7, 0.9, 0.2), (0, float(found.time)), [first, -0.5], method="DOP853", rtol=1e-12, atol=1e-14
        )
        # The ball of the time is that of its uncertainty, which |dy/dt| < 1 here turns into one of y.
        for log_abs, value in zip(found.log_abs, run.y[:, -1], strict=True):
            assert log_abs.overlaps(arb(float(np.log(abs(value))), float(found.time.rad()) + 1e-11))
            assert radius / 10 < log_abs.rad() < 10 * radius


def test_tokens_that_are_not_known_at_all_are_refused():
    with (
        precision(128),
        pytest.raises(HypothesisError, match=r"expected (solutions that stay together|a field|finite)"),
    ):
        enclose(-1.3, 0.7, 0.9, 0.2, [arb(1.0, 0.999), -0.5], clock=0.5)


def test_an_error_that_cannot_be_bounded_ends_the_run(monkeypatch):
    """Not a state without numbers: no step is short enough."""
    unbounded = arb("nan")
    monkeypatch.setattr(enclosure._Field, "_sensitivity", lambda *_: (unbounded, unbounded))
    with pytest.raises(HypothesisError, match=r"expected solutions that stay together for a step, .* too uncertain"):
        enclose(1.0, 1.0, 1.0, 0.0, [1.0, -1.0])


def test_a_tampered_field_is_not_enclosed():
    """The same comparison with another decay rate must not hold: the enclosures are narrow enough to tell."""
    found = enclose(-1.3, 0.7, 0.9, 0.2, [1.0, -0.5], clock=1.5)
    run = solve_ivp(field(-1.3, 0.7, 0.9001, 0.2), (0, float(found.time)), [1.0, -0.5], method="DOP853", rtol=1e-13)
    assert not found.log_abs[1].overlaps(arb(float(np.log(-run.y[1, -1])), 1e-11))


def test_what_signs_alone_do_not_prove_is_left_open():
    found = enclose([3.0, -1.0], -1.0, [0.2, 3.0], 0.0, [1.0, 0.5])
    assert found.scenario is None
    assert "both signs" in found.proof
    assert enclose([3.0, -1.0], 1.0, [0.2, 3.0], 0.0, [1.0, -0.5]).scenario is Scenario.FAST_DIVERGENCE
    assert enclose(0.0, 1.0, 1.0, 0.0, [1.0]).scenario is Scenario.CONSTANT
    assert enclose(1.0, 1.0, 1.0, 0.0, [0.0]).scenario is Scenario.CONSTANT


@pytest.mark.parametrize(
    ("mu", "s", "x0", "scenario"),
    [
        (1.0, arb(0, 0.1), [1.0], None),
        (1.0, arb(0.05, 0.1), [1.0], None),
        (1.0, 1.0, [arb(0.5, 1)], None),
        (1.0, 0.0, [arb(0, 1)], None),
        (arb(0, 1), 1.0, [1.0], None),
        (arb(0, 1), -1.0, [1.0], None),
        (-1.0, 1.0, [arb(0.5, 1)], Scenario.CONVERGENT),
        (1.0, 1.0, [arb(0.5, 1), 1.0], Scenario.FAST_DIVERGENCE),
        (1.0, arb(-1, 0.1), [1.0, 2.0], Scenario.SLOW_DIVERGENCE),
    ],
)
def test_a_ball_of_no_certain_sign_proves_nothing(mu, s, x0, scenario):
    assert proved_scenario(mu, s, 1.0, 0.0, x0)[0] is scenario


def test_exact_rationals_keep_their_sign_at_any_size():
    big, tiny = Fraction(10) ** 60, Fraction(1, 10**60)
    assert proved_scenario([big, -big - tiny], 1.0, [1.0, 2.0], 0.0, [1.0])[0] is None
    assert proved_scenario([big, tiny - big], 1.0, [1.0, 2.0], 0.0, [1.0])[0] is Scenario.FAST_DIVERGENCE
    assert own_blow_up_time(Fraction(1, 3), 1, 0, 1).rel_accuracy_bits() >= 3.3 * 30


def test_the_largest_of_balls_is_found_beyond_the_digits_of_floats():
    close = [arb(1), arb(1) + arb(2) ** -100]
    with precision(128):
        assert _largest([close[0], arb(1) + arb(2) ** -100]) > 1
        assert _largest([arb(1) + arb(2) ** -100, close[0]]) > 1


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(HypothesisError, match="at most 8 tokens, found 9"):
        enclose(1.0, 1.0, 1.0, 0.0, [1.0] * 9)
    with pytest.raises(HypothesisError, match="finite"):
        enclose(1.0, 1.0, 1.0, 0.0, [float("nan")])
    with pytest.raises(HypothesisError, match="as many"):
        enclose([1.0, 1.0], 1.0, 1.0, 0.0, [1.0])
    with pytest.raises(HypothesisError, match=">= 0"):
        enclose(1.0, 1.0, -1.0, 0.0, [1.0])
