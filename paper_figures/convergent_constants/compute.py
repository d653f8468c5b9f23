"""kappa_l = lim 2 |mu| delta_0 t x_l^2 and the limits of t P_lj, measured at t = 1e200 over a grid of decay rates."""

import numpy as np

from mamba_dynamics import S6Layer, solve, token_dynamics

MU, S, BIAS = -1.5, 0.5, 0.3
DELTA_0 = np.logaddexp(0.0, BIAS)
#: a delta_0; below 0.1 the constants settle like t^(-a delta_0), too slowly for any float.
DECAYS = np.array([0.1, 0.3, 0.6, 1.0, 1.5, 2.2, 3.0])
TOKENS = {
    "plain": np.array([1.0, -0.6, 1.5, 0.4, -2.0, 0.9, -0.3]),
    "zeros": np.array([1.0, 0.0, 0.7, -1.2, 0.0, 0.0, 1.5]),
}
#: ln t = ln 1e200.
LOG_T = 460.5


def compute(seed: int) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {"decay": DECAYS}
    for name, x0 in TOKENS.items():
        measured = [_limits(float(decay / DELTA_0), x0) for decay in DECAYS]
        kappa, attention = (np.array(one) for one in zip(*measured, strict=True))
        found |= {f"{name}_x0": x0, f"{name}_kappa": kappa, f"{name}_attention": attention}
    return found


def _limits(a: float, x0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(2 |mu| delta_0 t x_l^2 (L,), t P_lj (L, L)) at the end of a run."""
    dynamics = token_dynamics(S6Layer.scalar(mu=MU, S_Delta=S, a=a, dt_bias=BIAS))
    run = solve(dynamics, x0, log_until=LOG_T)
    log_t, log_abs, sign = run.log_t[-1], run.log_abs[-1], run.sign[-1]
    kappa = np.exp(np.log(2 * abs(MU) * DELTA_0) + log_t + 2 * log_abs)
    signs = np.sign(MU) * np.outer(sign, sign)
    return kappa, signs * np.exp(log_t + np.asarray(dynamics.log_hidden_attention(log_abs, sign)))  # pyright: ignore
