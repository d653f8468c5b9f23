"""Stacks of K identical residual S6 layers, x^(k+1) = x^k + (T/K) S6(x^k), against the flow of the ODE up to time T."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mamba_dynamics import S6Layer, solve, token_dynamics
from mamba_dynamics.dynamics import AbstractTokenDynamics

LAYERS = 2 ** np.arange(2, 15)
#: Stacks drawn layer by layer, and the points of the flow beneath them.
DRAWN, POINTS = (4, 16, 64), 60
#: Where tokens blow up the stacks end at this share of T*.
SHARE = 0.95


@dataclass(frozen=True)
class Case:
    """A layer, its tokens, and T, unless they blow up before: then SHARE of T* is taken."""

    layer: S6Layer
    x0: np.ndarray
    time: float


def cases(seed: int) -> dict[str, Case]:
    tokens = np.array([1.0, 0.8, 0.6])
    rng = np.random.default_rng(seed)
    S_B, S_C, S_Delta = 0.5 * rng.standard_normal((3, 3, 3))
    vectors = S6Layer.from_matrices(S_B=S_B, S_C=S_C, S_Delta=S_Delta, a=rng.uniform(0.5, 2.0, (3, 3)))
    return {
        "convergent": Case(S6Layer.scalar(mu=-1.0, S_Delta=0.5, a=1.0), tokens, 5.0),
        "slow": Case(S6Layer.scalar(mu=1.0, S_Delta=-1.0, a=1.0), tokens, 5.0),
        "fast": Case(S6Layer.scalar(mu=1.0, S_Delta=1.0, a=1.0), tokens, 1.0),
        "vectors": Case(vectors, rng.standard_normal((3, 3)), 1.0),
    }


def compute(seed: int) -> dict[str, np.ndarray]:
    data = {"layers": LAYERS}
    for name, case in cases(seed).items():
        data |= {f"{name}_{key}": value for key, value in _errors(case).items()}
    fast = cases(seed)["fast"]
    return data | _drawn(token_dynamics(fast.layer), fast.x0, float(data["fast_time"]))


@eqx.filter_jit
def _stack(dynamics: AbstractTokenDynamics, x0, time, count):
    """The output of `count` layers."""

    def layer(_, x):
        return x + time / count * dynamics(0.0, x, None)

    return jax.lax.fori_loop(0, count, layer, x0)


def stack(dynamics: AbstractTokenDynamics, x0: np.ndarray, time: float, count: int) -> np.ndarray:
    """The output of `count` layers of step `time / count`, in float64."""
    with jax.enable_x64(True):
        return np.asarray(_stack(dynamics, jnp.asarray(x0), jnp.asarray(time), jnp.asarray(count)))


def _errors(case: Case) -> dict[str, np.ndarray]:
    """max_l |x_l^K - x_l(T)| / |x_l(T)| for every K, and what it was measured on."""
    dynamics = token_dynamics(case.layer)
    blow_up = solve(dynamics, case.x0, until=case.time).blow_up
    time = SHARE * blow_up.time if blow_up else case.time
    end = solve(dynamics, case.x0, until=time).x[-1]
    outputs = np.array([stack(dynamics, case.x0, time, int(count)) for count in LAYERS])
    rows = end.reshape(len(end), -1)
    apart = np.linalg.norm(outputs.reshape(len(LAYERS), *rows.shape) - rows, axis=2)
    error = np.max(apart / np.linalg.norm(rows, axis=1), axis=1)
    return {"x0": case.x0, "time": np.array(time), "end": end, "outputs": outputs, "error": error}


def _drawn(dynamics: AbstractTokenDynamics, x0: np.ndarray, time: float) -> dict[str, np.ndarray]:
    """The flow, and every layer's output of the drawn stacks."""
    at = np.linspace(0.0, time, POINTS)
    data = {"flow_time": at, "flow": np.array([solve(dynamics, x0, until=t).x[-1] for t in at])}
    for count in DRAWN:
        path = [x0]
        for _ in range(count):
            path.append(stack(dynamics, path[-1], time / count, 1))
        data[f"stack_{count}"] = np.array(path)
    return data
