"""Two decay rates: exponents and constants of convergent tokens as mu_1 passes from one sign to the other."""

import numpy as np

from mamba_dynamics import S6Layer, limiting_slope, solve, token_dynamics

#: mu = (m, -1): the state that forgets fast has the weight m, the one that remembers has -1; their sum is negative.
MU_2, RATES, S, DELTA_0 = -1.0, np.array([2.0, 0.05]), 0.5, np.log(2)
WEIGHTS = np.array([-1.0, -0.75, -0.5, -0.3, -0.15, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.82, 0.88])
SHOWN = 0.75
X0 = np.array([1.0, 0.8, -1.2, 0.9])
#: ln t = ln 1e200.
LOG_T = 460.5


def compute(seed: int) -> dict[str, np.ndarray]:
    runs = [_run(weight) for weight in WEIGHTS]
    shown = runs[list(WEIGHTS).index(SHOWN)]
    return {
        "weight": WEIGHTS,
        "rates": RATES,
        "shown": np.asarray(SHOWN),
        "exponents": np.array([_exponents(run) for run in runs]),
        "kappa": np.array([_constants(run, weight) for run, weight in zip(runs, WEIGHTS, strict=True)]),
        "log_t": shown.log_t[1:],
        "log_abs": shown.log_abs[1:],
    }


def _run(weight: float):
    layer = S6Layer.scalar(mu=[weight, MU_2], S_Delta=S, a=RATES)
    return solve(token_dynamics(layer), X0, log_until=LOG_T)


def _exponents(run) -> list[float]:
    """lim d ln|x_l| / d ln t of every token; NaN where the run does not tell."""
    found = [limiting_slope(log_abs, run.log_t, run.log_t) for log_abs in run.log_abs.T]
    return [np.nan if one is None else one.value for one in found]


def _constants(run, weight: float) -> np.ndarray:
    """2 |mu_1 + mu_2| delta_0 t x_l^2 at the end."""
    return np.exp(np.log(2 * abs(weight + MU_2) * DELTA_0) + run.log_t[-1] + 2 * run.log_abs[-1])
