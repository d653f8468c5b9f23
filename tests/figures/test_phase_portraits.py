"""Phase portraits: orbits and their fates against scipy, equilibria on the cone and on their invariant curves."""

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq

PANELS = "abcd"
EVERY = pytest.mark.parametrize("name", PANELS)


@pytest.fixture(scope="module")
def panels(data):
    found = data("phase_portraits")
    return {name: {key[2:]: value for key, value in found.items() if key.startswith(f"{name}_")} for name in PANELS}


def q_of(panel, x):
    return np.einsum("...i,ij,...j", x, panel["M"], x)


def steps_of(panel, x):
    return np.logaddexp(0.0, x @ panel["S_Delta"].T)


def velocity(panel, x):
    return q_of(panel, x)[..., None] * steps_of(panel, x) * x


def fate_by_scipy(panel, start):
    """Follow dy/du = +-Delta(e^y), u = int |q| dt, in which nothing is singular, until q = 0, decay or growth."""
    up, signs = np.sign(q_of(panel, start)), np.sign(start)

    def field(u, y):
        return up * steps_of(panel, signs * np.exp(y))

    def reaches_cone(u, y):
        v = signs * np.exp(y - y.max())
        return q_of(panel, v)

    def vanishes(u, y):
        return y.max() + 20.0

    def grows(u, y):
        return y.max() - np.log(100.0)

    events = [reaches_cone, vanishes, grows]
    for event in events:
        event.terminal = True
    # Where Delta ~ e^-|x|, u grows to e^100 on the way to |x| = 100.
    run = solve_ivp(field, (0.0, 1e50), np.log(np.abs(start)), "LSODA", rtol=1e-10, atol=1e-12, events=events)
    (event,) = [k for k in range(3) if run.t_events[k].size]
    end = signs * np.exp(run.y[:, -1])
    if event < 2:
        return ("converged_to_equilibrium", "converged_to_zero")[event], end
    # Far out the step sizes tell: some of them as large as the token, or all of them vanishing.
    return "blew_up" if steps_of(panel, end).max() > 1.0 else "diverges_slowly", end


def test_definite_matrices_decide_and_the_indefinite_one_shows_every_fate(panels):
    assert (np.linalg.eigvalsh(panels["a"]["M"]) > 0).all()
    assert (np.linalg.eigvalsh(panels["c"]["M"]) < 0).all()
    assert set(panels["a"]["fate"]) == {"blew_up", "diverges_slowly"}
    assert set(panels["c"]["fate"]) == {"converged_to_zero"}
    assert len(set(panels["b"]["fate"])) == 4


@EVERY
def test_every_fate_is_the_one_scipy_finds(panels, name):
    panel = panels[name]
    for start, fate, end in zip(panel["start"], panel["fate"], panel["end"], strict=True):
        expected, where = fate_by_scipy(panel, start)
        assert fate == expected, f"from {start}"
        if fate == "converged_to_equilibrium":
            np.testing.assert_allclose(end, where, rtol=1e-7)


@EVERY
def test_fates_follow_the_sign_of_q_and_the_cone(panels, name):
    panel = panels[name]
    growing = q_of(panel, panel["start"]) > 0
    stops = panel["fate"] == "converged_to_equilibrium"
    assert np.isin(panel["fate"][growing & ~stops], ["blew_up", "diverges_slowly"]).all()
    assert (panel["fate"][~growing & ~stops] == "converged_to_zero").all()
    for end in panel["end"][stops]:
        v = end / np.linalg.norm(end)
        symmetric = 0.5 * (panel["M"] + panel["M"].T)
        assert abs(q_of(panel, v)) < 1e-9
        assert v @ symmetric @ (steps_of(panel, end) * v) < 0, "tokens stop where the cone attracts"


def test_theorys_two_equilibria(panels):
    panel = panels["d"]
    for start, limit in (((1.0, 0.5), 1.2465), ((0.5, 1.0), 0.2066)):
        (k,) = np.flatnonzero(np.isclose(panel["start"], start).all(axis=1))
        np.testing.assert_allclose(panel["end"][k], [limit, limit], atol=5e-5)


@pytest.mark.parametrize("name", ["b", "d"])
def test_equilibria_lie_on_their_invariant_curve(panels, name):
    # d ln x_1 / Delta_1 = d ln x_2 / Delta_2: from start to end both integrals are the same, for diagonal S_Delta.
    panel = panels[name]
    slopes = np.diag(panel["S_Delta"])
    assert (panel["S_Delta"] == np.diag(slopes)).all()

    def passed(d, start, end):
        signs = np.sign(start[d])
        low, high = np.log(abs(start[d])), np.log(abs(end[d]))
        return quad(lambda y: 1 / np.logaddexp(0.0, slopes[d] * signs * np.exp(y)), low, high, epsabs=1e-13)[0]

    found = np.flatnonzero(panel["fate"] == "converged_to_equilibrium")
    assert found.size >= 3
    for k in found:
        start, end = panel["start"][k], panel["end"][k]

        def gap(scale, start=start, ray=end):
            return passed(0, start, scale * ray) - passed(1, start, scale * ray)

        assert abs(brentq(gap, 0.5, 2.0, xtol=1e-13) - 1) < 1e-8, f"from {start}"


@EVERY
def test_orbits_are_those_of_dop853_and_keep_their_signs(panels, name):
    panel = panels[name]

    def field(t, x):
        return velocity(panel, x)

    for start, path, time, end in zip(panel["start"], panel["path"], panel["time"], panel["blow_up_time"], strict=True):
        inside = np.isfinite(time) & (time < min(20.0, 0.95 * end))
        known = path[np.isfinite(path).all(axis=1)]
        assert inside.sum() > 5
        assert ((np.sign(known) == np.sign(start)) | (known == 0)).all()
        run = solve_ivp(field, (0, time[inside][-1]), start, "DOP853", rtol=1e-11, atol=1e-13, t_eval=time[inside])
        np.testing.assert_allclose(path[inside], run.y.T, rtol=1e-7)


@EVERY
def test_the_drawn_field_and_cone_are_those_of_the_system(panels, name):
    panel = panels[name]
    x = np.stack(np.meshgrid(panel["axis"], panel["axis"]), axis=-1)
    speed = np.linalg.norm(velocity(panel, x), axis=-1)
    np.testing.assert_allclose(panel["q"], q_of(panel, x), atol=1e-13)
    np.testing.assert_allclose(panel["direction"] * speed[..., None], velocity(panel, x), atol=1e-12)
    assert len(panel["cone"]) == (4 if np.linalg.det(panel["M"]) < 0 else 0)
    assert np.abs(q_of(panel, panel["cone"])).max(initial=0.0) < 1e-13


@pytest.mark.parametrize("name", ["b", "d"])
def test_the_cones_rate_is_half_the_eigenvalue_of_the_jacobian(panels, name):
    # On the cone the Jacobian is (Delta * x) grad q^T, of rank one: its trace is the eigenvalue across the cone.
    panel, h = panels[name], 1e-6
    for ray, rates in zip(panel["cone"], panel["cone_rate"], strict=True):
        for x, rate in zip(ray[::40], rates[::40], strict=True):
            trace = sum((velocity(panel, x + h * e) - velocity(panel, x - h * e)) @ e for e in np.eye(2)) / (2 * h)
            assert abs(trace - 2 * rate) < 1e-8 * (1 + x @ x)
    # In (b) each line of the cone attracts on the side where x_1 < x_2 and repels on the other.
    if name == "b":
        assert ((panel["cone_rate"] < 0) == (panel["cone"][..., 0] < panel["cone"][..., 1])).all()
