"""Orbits of token 1 in the plane, where they end, and the null cone of q on which they may stop.

Symbols: q(x) = x^T M x; Delta_d(x) = softplus((S_Delta x)_d); rate = x^T sym(M) (Delta * x), half the only eigenvalue
of the flow across the cone, so that the cone attracts where rate < 0.
"""

from dataclasses import dataclass

import diffrax
import numpy as np

from mamba_dynamics import Horizon, S6Layer, solve, token_dynamics
from mamba_dynamics.dynamics import AbstractTokenDynamics

#: Tokens that grow are followed to ln t = 500, where the default goes to 1e5: beyond those that decay (460.5), as the
#: later of the two ends a run.
HORIZON = Horizon(log_t_growing=500.0)
GRID, RAY = 41, 200


@dataclass(frozen=True)
class Panel:
    """One system, the square it is drawn in, and the ring its orbits start from (angles in degrees)."""

    M: list[list[float]]
    S_Delta: list[list[float]]
    window: tuple[float, float]
    radius: float
    angles: np.ndarray

    def layer(self) -> S6Layer:
        return S6Layer.from_matrices(S_B=self.M, S_C=np.eye(2), S_Delta=self.S_Delta, a=1.0)

    def starts(self) -> np.ndarray:
        angles = np.deg2rad(self.angles)
        return self.radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


_RING = np.arange(16) * 22.5 + 11.25
_EYE = [[1.0, 0.0], [0.0, 1.0]]
# The ring through (1, 0.5) and (0.5, 1), whose ends theory 4.4 gives.
_QUARTER = np.array([8.0, *np.rad2deg(np.arctan([0.25, 0.5, 0.75, 1.4, 2.0])), 75.0, 84.0])
PANELS = {
    "a": Panel([[1.0, 0.5], [0.5, 1.0]], _EYE, (-2.0, 2.0), 0.9, _RING),
    "b": Panel([[1.0, 0.5], [0.5, -1.0]], _EYE, (-2.0, 2.0), 0.9, _RING),
    "c": Panel([[-1.0, -0.5], [-0.5, -1.0]], _EYE, (-2.0, 2.0), 1.6, _RING),
    "d": Panel([[1.0, 0.0], [0.0, -1.0]], [[-1.0, 0.0], [0.0, 1.0]], (0.0, 2.0), np.sqrt(1.25), _QUARTER),
}


def compute(seed: int) -> dict[str, np.ndarray]:
    data = {}
    for name, panel in PANELS.items():
        layer = panel.layer()
        parts = {
            "M": layer.input_output_matrix(),
            "S_Delta": layer.S_Delta(),
            **_field(layer, np.linspace(*panel.window, GRID)),
            **_cone(layer, np.linspace(0.0, 1.5 * np.abs(panel.window).max(), RAY)[1:]),
            **_orbits(token_dynamics(layer), panel.starts()),
        }
        data |= {f"{name}_{key}": value for key, value in parts.items()}
    return data


def _field(layer: S6Layer, axis: np.ndarray) -> dict[str, np.ndarray]:
    """The flow's direction on a square grid, [row of x_2, column of x_1, channel], and q there."""
    x = np.stack(np.meshgrid(axis, axis), axis=-1)
    q = np.einsum("...i,ij,...j", x, layer.input_output_matrix(), x)
    velocity = q[..., None] * _step_sizes(layer, x) * x
    speed = np.linalg.norm(velocity, axis=-1, keepdims=True)
    direction = np.divide(velocity, speed, out=np.zeros_like(velocity), where=speed > 0)
    return {"axis": axis, "q": q, "direction": direction}


def _cone(layer: S6Layer, radii: np.ndarray) -> dict[str, np.ndarray]:
    """The rays on which q = 0, (rays, radii, 2) with none where M is definite, and the rate across them."""
    M = layer.input_output_matrix()
    symmetric = 0.5 * (M + M.T)
    (low, high), axes = np.linalg.eigh(symmetric)
    rays = np.zeros((0, 2))
    if low < 0 < high:
        # low u^2 + high v^2 = 0 in the eigenbasis, with all four choices of signs.
        rays = np.array([[u, v] for u in (-1, 1) for v in (-1, 1)]) * np.sqrt([high, -low]) @ axes.T
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    x = rays[:, None, :] * radii[:, None]
    rate = np.einsum("...i,ij,...j", x, symmetric, _step_sizes(layer, x) * x)
    return {"cone": x, "cone_rate": rate}


def _step_sizes(layer: S6Layer, x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, layer.raw_step_sizes(x.reshape(-1, 2))).reshape(x.shape)


def _orbits(dynamics: AbstractTokenDynamics, starts: np.ndarray) -> dict[str, np.ndarray]:
    """From each start: `path` (starts, S, 2) at `time` (starts, S), both NaN after the end; `fate`, and T*."""
    # A method of lower order takes the shorter steps that a smooth curve needs.
    runs = [solve(dynamics, start[None], horizon=HORIZON, solver=diffrax.Tsit5(), rtol=1e-10) for start in starts]
    longest = max(map(len, runs))
    path, time = np.full((len(runs), longest, 2), np.nan), np.full((len(runs), longest), np.nan)
    for k, run in enumerate(runs):
        path[k, : len(run)], time[k, : len(run)] = run.x[:, 0], run.t
    return {
        "start": starts,
        "path": path,
        "time": time,
        "end": np.array([run.x[-1, 0] for run in runs]),
        "fate": np.array([run.outcome.value for run in runs]),
        "blow_up_time": np.array([run.blow_up.time if run.blow_up else np.inf for run in runs]),
    }
