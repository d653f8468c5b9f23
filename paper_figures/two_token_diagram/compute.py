"""Two tokens with mu > 0: scenario, first token to blow up and T* over their starts; where l* changes from 1 to 2.

Symbols: z_l = s x_l; mu = s = 1, b = 0 (other mu and s only rescale time and tokens); k = z_2 / z_1 on the boundary.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mamba_dynamics import Horizon, Outcome, Runs, S6Layer, classify, solve_many

#: The grid of starts: even, so that it avoids the axes.
SIZE, EXTENT = 32, 3.0
RATES = (0.5, 1.0, 2.0)
#: The right panel's starts z_1, and how often k is halved in between (1 - 2^-a)^(1/2) and 1.
STARTS, BISECTIONS = np.geomspace(0.03, 6.0, 9), 10
#: Slow divergence and blow-up differ from the start on (nothing else is possible for mu > 0): decided early.
HORIZON = Horizon(log_t_growing=100.0, log_rate=150.0)
#: The separatrix runs down to this z_1, in this many Runge-Kutta steps of ln z_1, written at every tenth.
LEAST, STEPS, EVERY = 1e-3, 8000, 10
#: Starts with a zero token, and at the origin.
DEGENERATE = np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])

SLOW = 0


def compute(seed: int) -> dict[str, np.ndarray]:
    axis = EXTENT * ((np.arange(SIZE) + 0.5) * 2 / SIZE - 1)
    first, time = _map(axis)
    data = {"axis": axis, "first": first, "blow_up_time": time, "rates": np.array(RATES), "starts": STARTS}
    rates, starts = np.meshgrid(RATES, STARTS, indexing="ij")
    data["bisected"] = _bisected(rates.ravel(), starts.ravel()).reshape(rates.shape)
    curves = [separatrix(a) for a in RATES]
    data |= {"curve_z": np.array([z for z, _ in curves]), "curve_k": np.array([k for _, k in curves])}
    return data | _degenerate()


def _first(rates: ArrayLike, starts: np.ndarray, **options: Any) -> tuple[np.ndarray, Runs]:
    """(the first token to blow up, 1 or 2, or SLOW where none does; the runs) from starts (2, B)."""
    runs = solve_many(mu=1.0, s_delta=1.0, a=rates, x0=starts, horizon=HORIZON, rtol=1e-9, atol=1e-9, **options)
    first = runs.blow_up_token + 1
    slow = [one is Outcome.DIVERGES_SLOWLY for one in runs.outcomes()]
    if not np.array_equal(first == SLOW, slow):
        raise AssertionError(f"expected slow or fast divergence, found {sorted(set(runs.outcomes()))}")
    return first, runs


def _map(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(first token to blow up, T* or NaN) over [row of z_2, column of z_1]."""
    z1, z2 = np.meshgrid(axis, axis)
    first, runs = _first(1.0, np.array([z1.ravel(), z2.ravel()]))
    return first.reshape(z1.shape), runs.blow_up_time.reshape(z1.shape)


def _bisected(rates: np.ndarray, z1: np.ndarray) -> np.ndarray:
    """k where the first token to blow up changes from 1 (below) to 2, by integrating, one for each rate and start."""
    low, high = np.sqrt(-np.expm1(-rates * np.log(2))), np.ones(len(rates))
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        ahead = _first(rates, np.array([z1, middle * z1]), errors=False)[0] == 1
        low, high = np.where(ahead, middle, low), np.where(ahead, high, middle)
    return 0.5 * (low + high)


def separatrix(a: float) -> tuple[np.ndarray, np.ndarray]:
    """(z_1, k) along the boundary, from token 2's equation with z_1 as independent variable.

    With t eliminated, d ln z_2 / d ln z_1 = k^2 Delta(z_2) / Delta(z_1) + e^(-a Delta(z_2)). As z_1 grows the
    exponential vanishes and k -> 1; perturbations there grow like z_1^3, to token 2 running ahead or staying behind,
    so the boundary is what backward integration from k = 1 converges to.
    """

    def slope(w: float, k: float) -> float:
        z1, z2 = np.exp(w), k * np.exp(w)
        own, other = np.logaddexp(0.0, z2), np.logaddexp(0.0, z1)
        return k * (k**2 * own / other + np.exp(-a * own) - 1)

    # At z_1 = 40 / a the exponential is below rounding.
    w = np.linspace(np.log(40 / a), np.log(LEAST), STEPS + 1)
    h, k = w[1] - w[0], np.ones(STEPS + 1)
    for n in range(STEPS):
        k1 = slope(w[n], k[n])
        k2 = slope(w[n] + h / 2, k[n] + h / 2 * k1)
        k3 = slope(w[n] + h / 2, k[n] + h / 2 * k2)
        k4 = slope(w[n] + h, k[n] + h * k3)
        k[n + 1] = k[n] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return np.exp(w[::EVERY]), k[::EVERY]


def _degenerate() -> dict[str, np.ndarray]:
    layer = S6Layer.scalar(mu=1.0, S_Delta=1.0, a=1.0)
    verdicts = [classify(layer, start) for start in DEGENERATE]
    ends = [verdict.trajectory.blow_up for verdict in verdicts]
    return {
        "degenerate": DEGENERATE,
        "degenerate_scenario": np.array([verdict.simulated.value for verdict in verdicts]),
        "degenerate_theory": np.array([verdict.prediction.scenario.value for verdict in verdicts]),
        "degenerate_first": np.array([end.token + 1 if end else SLOW for end in ends]),
    }
