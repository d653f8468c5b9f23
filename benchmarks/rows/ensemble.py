"""Ensembles: many initial states of eight tokens in the convergent scenario, to t = 1e6, all within 1e-8 in ln|x_l|.

Ours integrates in the growth clock, as `solve_many` always does. heyoka integrates y = ln|x| against ln(1 + t), in its
batch mode, one trajectory a SIMD lane; scipy and diffrax do the same in plain t, scipy one by one, diffrax vmapped.
Those two do a sample of the states, and their time is multiplied. Each side runs at the loosest rtol that keeps every
trajectory of a small sample within 1e-8 of a reference at rtol = 1e-13.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from .base import OURS, Row
from .trajectory import RTOLS, field_of

MU, S, A, BIAS, TOKENS = -1.0, 1.0, 1.0, 0.0, 8
END, WITHIN, SAMPLE = 1e6, 1e-8, 64
#: States that vmapped diffrax does at most: more take as much time each, and gigabytes.
VMAPPED = 100_000


def states(count: int) -> np.ndarray:
    """x0 (L, B): sizes between 0.2 and 2, signs at random."""
    rng = np.random.default_rng(0)
    return rng.uniform(0.2, 2.0, (TOKENS, count)) * rng.choice([-1.0, 1.0], (TOKENS, count))


Run = Callable[[], np.ndarray]


def _ours(x0: np.ndarray) -> Iterator[Run]:
    from mamba_dynamics.sweeps import solve_many

    def at(rtol: float) -> Run:
        return lambda: solve_many(mu=MU, s_delta=S, a=A, dt_bias=BIAS, x0=x0, until=END, rtol=rtol, atol=rtol).log_abs_x

    yield from map(at, RTOLS)


def _heyoka(x0: np.ndarray) -> Iterator[Run]:
    import heyoka as hy

    width = hy.recommended_simd_size()
    padding = -x0.shape[1] % width
    blocks = np.concatenate([x0, x0[:, :padding]], axis=1).reshape(TOKENS, -1, width)
    y = [hy.make_vars(f"y{i}") for i in range(TOKENS)]
    # The sign of a token is a parameter, so that one compiled integrator serves all.
    h, system = hy.expression(0.0), []
    for i, one in enumerate(y):
        delta = hy.log1p(hy.exp(S * hy.par[i] * hy.exp(one) + BIAS))
        h = hy.exp(2.0 * one) * delta + hy.exp(-A * delta) * h
        system.append((one, MU * h * hy.exp(hy.time)))

    def at(tol: float) -> Run:
        integrator = hy.taylor_adaptive_batch(
            system, np.zeros((TOKENS, width)), tol=tol, pars=np.zeros((TOKENS, width))
        )

        def run():
            found = np.empty_like(blocks)
            for k in range(blocks.shape[1]):
                integrator.set_time(0.0)
                integrator.state[:] = np.log(np.abs(blocks[:, k]))
                integrator.pars[:] = np.sign(blocks[:, k])
                integrator.propagate_until(math.log1p(END))
                found[:, k] = integrator.state
            return found.reshape(TOKENS, -1)[:, : x0.shape[1]]

        return run

    yield from map(at, RTOLS)


def _scipy(x0: np.ndarray) -> Iterator[Run]:
    from scipy.integrate import solve_ivp

    field, some = field_of(MU, S), x0[:, :SAMPLE]

    def at(rtol: float) -> Run:
        def run():
            ends = [solve_ivp(field, (0.0, END), one, method="DOP853", rtol=rtol, atol=0.0).y[:, -1] for one in some.T]
            return np.log(np.abs(np.array(ends).T))

        return run

    yield from map(at, RTOLS)


def _diffrax(x0: np.ndarray) -> Iterator[Run]:
    import diffrax
    import jax

    jax.config.update("jax_enable_x64", True)
    from mamba_dynamics import S6Layer, token_dynamics

    dynamics = token_dynamics(S6Layer.scalar(mu=MU, S_Delta=S, a=A, dt_bias=BIAS))

    def at(rtol: float) -> Run:
        @jax.jit
        @jax.vmap
        def ends(one):
            return diffrax.diffeqsolve(
                diffrax.ODETerm(dynamics),
                diffrax.Dopri8(),
                t0=0.0,
                t1=END,
                dt0=1e-3,
                y0=one,
                stepsize_controller=diffrax.PIDController(rtol=rtol, atol=0.0),
                max_steps=100_000,
            ).ys[-1]

        return lambda: np.log(np.abs(np.asarray(ends(x0[:, :VMAPPED].T)).T))

    yield from map(at, RTOLS)


def _loosest(runs: Callable[[np.ndarray], Iterator[Run]], most: int | None = None):
    """Prepare a side at its loosest rtol; with `most` it does only so many states, and its time is multiplied."""

    def prepare(count: int):
        from mamba_dynamics.sweeps import solve_many

        x0 = states(count)
        some = x0[:, :SAMPLE]
        reference = solve_many(
            mu=MU, s_delta=S, a=A, dt_bias=BIAS, x0=some, until=END, rtol=RTOLS[-1], atol=RTOLS[-1]
        ).log_abs_x
        for one_sample, all_of_them in zip(runs(some), runs(x0), strict=True):
            if np.abs(one_sample() - reference).max() <= WITHIN:
                done = min(count, most or count)
                # Sides are compared by the sample, which all of them do.
                return lambda: {"answer": all_of_them()[:, : min(SAMPLE, count)], "repeated": count / done}
        raise RuntimeError(f"nowhere within {WITHIN:g} of the answer, at any rtol from 1e-3 to 1e-13")

    return prepare


ENSEMBLE = Row(
    name="ensemble",
    title=f"Ensembles of {TOKENS} tokens, convergent, to t = 1e6",
    sides={
        OURS: _loosest(_ours),
        "heyoka, batch": _loosest(_heyoka),
        "scipy DOP853": _loosest(_scipy, most=SAMPLE),
        "diffrax, vmapped": _loosest(_diffrax, most=VMAPPED),
    },
    sizes=(1_000, 10_000, 100_000, 1_000_000),
    label=lambda count: f"{count} states",
    scale=float,
    tolerance=1e-6,
    headline=1,
    one_core=True,
    note=f"all on one core; scipy does {SAMPLE} states, diffrax at most {VMAPPED}, and their time is multiplied;"
    " heyoka's time a state is not the same in all processes: those of two sizes may differ by a quarter",
)
