"""An implicit integration in u = ln(1 + t), for stiff runs of few tokens: dx/du = (1 + t) f(x), t = e^u - 1.

Independent of `solve`, its coordinates and its clock: plain tokens, another method. For tokens that keep within
float64's range while t grows to e^30.
"""

from dataclasses import dataclass

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._trajectory import FloatArray
from ..dynamics import AbstractTokenDynamics

#: Where the integration ends, and at how many points it is kept.
LOG_UNTIL, KEPT = 30.0, 61
_RTOL, _ATOL, _MAX_STEPS = 1e-8, 1e-10, 8192


@dataclass(frozen=True, eq=False)
class LogTimeRun:
    """ln t (S,) and ln|x_l| (S, L), the initial point left out; S = 0 if the budget ended before e^30."""

    log_t: FloatArray
    log_norms: FloatArray


@eqx.filter_jit
def _integrate(dynamics, x0, readings):
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda u, x, _: jnp.exp(u) * dynamics(0.0, x, None)),
        diffrax.Kvaerno5(),
        0.0,
        readings[-1],
        1e-3,
        x0,
        saveat=diffrax.SaveAt(ts=readings),
        stepsize_controller=diffrax.PIDController(rtol=_RTOL, atol=_ATOL),
        max_steps=_MAX_STEPS,
        throw=False,
    )
    return solution.ys, diffrax.is_successful(solution.result)


def integrate_in_log_time(dynamics: AbstractTokenDynamics, x0: FloatArray) -> LogTimeRun:
    """Tokens x0 (L, D) followed to t = e^30."""
    readings = np.linspace(0.0, LOG_UNTIL, KEPT)
    with jax.enable_x64(True):
        ys, arrived = _integrate(dynamics, jnp.asarray(x0), jnp.asarray(readings))
    if not arrived or ys is None:
        return LogTimeRun(np.zeros(0), np.zeros((0, len(x0))))
    with np.errstate(divide="ignore"):
        log_norms = np.log(np.linalg.norm(np.asarray(ys), axis=2))
    return LogTimeRun(np.log(np.expm1(readings[1:])), log_norms[1:])
