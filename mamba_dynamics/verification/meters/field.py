"""Meters of the vector field itself, where theory speaks of every point and no integration is needed."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._layer import S6Layer
from ..._outcomes import Outcome
from ..._rates import Estimate
from ..._trajectory import FloatArray
from ...dynamics import AbstractTokenDynamics, token_dynamics
from ..measured import Meter
from ..run import Run

#: Points tried per case.
POINTS = 4
#: Depths of the discrete stacks.
DEPTHS = (128, 256, 512, 1024)
#: Share of the tokens' own time scale that short integrations last, and the most e-folds they may grow in it.
SHORT, GROWN = 0.25, 1.0


@eqx.filter_jit
def _field_at(dynamics: AbstractTokenDynamics, x):
    return dynamics(0.0, x, None)


def field(dynamics: AbstractTokenDynamics, x: FloatArray) -> FloatArray:
    """dx/dt at tokens x in float64."""
    with jax.enable_x64(True):
        return np.asarray(_field_at(dynamics, jnp.asarray(x)))


def points(run: Run) -> list[FloatArray]:
    """The initial tokens and other random ones of the same shape."""
    rng = np.random.default_rng([run.index, 7])
    return [run.x0, *(run.x0 * np.exp(rng.normal(size=run.x0.shape)) for _ in range(POINTS - 1))]


def _with_value(x: FloatArray, token: int, value: float) -> FloatArray:
    changed = x.copy()
    changed[token] = value
    return changed


def field_on_hyperplanes(run: Run, token: int | None) -> float:
    """The largest |dx_l/dt| where x_l = 0, over tokens and random points."""
    return max(
        float(np.abs(field(run.dynamics, _with_value(x, l, 0.0))[l]).max())
        for x in points(run)
        for l in range(len(x))  # noqa: E741
    )


def noncausal_change(run: Run, token: int | None) -> float:
    """The largest relative change of dx_l/dt, over l, when the last token alone is changed."""
    worst = 0.0
    for x in points(run):
        before, after = field(run.dynamics, x)[:-1], field(run.dynamics, _with_value(x, len(x) - 1, -7.0))[:-1]
        worst = max(worst, float(np.max(np.abs(before - after) / np.maximum(np.abs(before), 1e-300), initial=0.0)))
    return worst


def signed_speed(run: Run, token: int | None) -> FloatArray:
    """sign(mu) x_l dx_l/dt over tokens and random points."""
    return np.concatenate([np.sign(run.system.mu_bar) * x * field(run.dynamics, x) for x in points(run)])


def backward_motion(run: Run, token: int | None) -> float:
    """The largest step of ln|x_l| against the sign of mu along the run."""
    moving = run.trajectory.log_norms[:, run.system.active]
    rises = np.sign(run.system.mu_bar) * np.diff(moving, axis=0)
    return float(np.max(-rises, initial=0.0))


def _relative(one: FloatArray, other: FloatArray) -> float:
    return float(np.max(np.abs(one - other) / np.maximum(np.abs(other), 1e-300)))


def _scalar(run: Run, *, mu=1.0, s=1.0) -> AbstractTokenDynamics:
    """The run's system with mu and s multiplied by factors."""
    system = run.system
    return token_dynamics(S6Layer.scalar(mu=mu * system.mu, S_Delta=s * system.s, a=system.a, dt_bias=system.b))


def _defect(run: Run, x: FloatArray, one: FloatArray, other: FloatArray) -> float:
    """The largest difference of two fields, relative to the terms that each sums up (which mu_n may let cancel)."""
    system = run.system
    terms = token_dynamics(S6Layer.scalar(mu=np.abs(system.mu), S_Delta=system.s, a=system.a, dt_bias=system.b))
    share = np.abs(field(run.dynamics, x)) / np.maximum(np.abs(field(terms, x)), 1e-300)
    return float(np.max(np.abs(one - other) / np.maximum(np.abs(other), 1e-300) * share))


def scaling_defect(run: Run, token: int | None) -> float:
    """The largest relative difference of f(c x; s / c, mu / c^2) and c f(x; s, mu)."""
    c = float(np.exp(np.random.default_rng([run.index, 8]).normal()))
    scaled = _scalar(run, mu=c**-2, s=1 / c)
    return max(_defect(run, x, field(scaled, c * x), c * field(run.dynamics, x)) for x in points(run))


def flip_defect(run: Run, token: int | None) -> float:
    """The largest relative difference of f(-x; -s) and -f(x; s)."""
    flipped = _scalar(run, s=-1.0)
    return max(_defect(run, x, field(flipped, -x), -field(run.dynamics, x)) for x in points(run))


def slope_sign_defect(run: Run, token: int | None) -> float:
    """The largest relative difference of f(x; -s) and f(x; s)."""
    flipped = _scalar(run, s=-1.0)
    return max(_relative(field(flipped, x), field(run.dynamics, x)) for x in points(run))


def time_scale_defect(run: Run, token: int | None) -> float:
    """The largest relative difference of f / |mu| and the field of the system with mu / |mu|."""
    size = abs(run.system.mu_bar)
    unit = _scalar(run, mu=1 / size)
    return max(_defect(run, x, field(unit, x), field(run.dynamics, x) / size) for x in points(run))


def largest_speed(run: Run, token: int | None) -> float:
    """The largest |dx_l/dt| over tokens and random points."""
    return max(float(np.abs(field(run.dynamics, x)).max()) for x in points(run))


def _short_run(run: Run) -> tuple[float, FloatArray] | None:
    """(a time in which the tokens move by a fair part of themselves, but do not run away; the tokens then)."""
    speed = float((np.abs(field(run.dynamics, run.x0)) / np.maximum(np.abs(run.x0), 1e-300)).max())
    if speed == 0:
        return None
    for end in SHORT / speed * 4.0 ** -np.arange(10):
        found = run.until(float(np.log1p(end)))
        with np.errstate(invalid="ignore"):
            grown = np.nan_to_num(found.log_norms[-1] - found.log_norms[0], nan=0.0)
        if found.outcome is Outcome.REACHED_UNTIL and np.abs(grown).max() < GROWN:
            return float(end), found.x[-1]
    return None


@eqx.filter_jit
def _plain(dynamics, x0, end):
    return diffrax.diffeqsolve(
        diffrax.ODETerm(dynamics),
        diffrax.Dopri8(),
        0.0,
        end,
        None,
        x0,
        stepsize_controller=diffrax.PIDController(rtol=1e-12, atol=1e-14),
        throw=False,
    ).ys


def plain_gap(run: Run, token: int | None) -> float | None:
    """The relative distance between the run in logarithms and one in plain x and t, after a short time."""
    short = _short_run(run)
    if short is None:
        return None
    end, logarithmic = short
    with jax.enable_x64(True):
        ys = _plain(run.dynamics, jnp.asarray(run.x0), jnp.asarray(end))
    assert ys is not None
    return _relative(logarithmic, np.asarray(ys)[-1])


@eqx.filter_jit
def _stack(dynamics, x0, step, depth):
    return jax.lax.fori_loop(0, depth, lambda _, x: x + step * dynamics(0.0, x, None), x0)


def depth_order(run: Run, token: int | None) -> Estimate | None:
    """The limit of -d ln(gap) / d ln K: the order at which a stack of K layers approaches the flow."""
    short = _short_run(run)
    if short is None:
        return None
    end, flow = short
    with jax.enable_x64(True):
        x0 = jnp.asarray(run.x0)
        stacks = [np.asarray(_stack(run.dynamics, x0, jnp.asarray(end / k), jnp.asarray(k))) for k in DEPTHS]
    gaps = np.array([np.abs(stack - flow).max() for stack in stacks])
    orders = -np.diff(np.log2(gaps))
    # The next term of the gap is of order 1 / K^2, so one Richardson step removes it.
    extrapolated = 2 * orders[1:] - orders[:-1]
    error = abs(extrapolated[-1] - extrapolated[-2])
    return Estimate(float(extrapolated[-1]), float(error), (DEPTHS[0], DEPTHS[-1]))


METERS: dict[str, Meter] = {
    "dx_l/dt where x_l = 0": field_on_hyperplanes,
    "change of dx_l/dt by later tokens": noncausal_change,
    "sign(mu) x_l dx_l/dt": signed_speed,
    "step of ln|x| against the sign of mu": backward_motion,
    "defect of the scaling symmetry": scaling_defect,
    "defect of the flip symmetry": flip_defect,
    "defect of s -> -s alone": slope_sign_defect,
    "defect of the time scale 1 / |mu|": time_scale_defect,
    "largest |dx_l/dt|": largest_speed,
    "gap between logarithmic and plain integration": plain_gap,
    "order of the depth limit": depth_order,
}
