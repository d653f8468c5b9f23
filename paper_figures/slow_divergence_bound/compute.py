"""Slowly diverging tokens up to ln t = 1e5, and the power of ln t by which each grows."""

import numpy as np

from mamba_dynamics import S6Layer, solve, token_dynamics

TOKENS = 4
LOG_T = 1e5


def compute(seed: int) -> dict[str, np.ndarray]:
    layer = S6Layer.scalar(mu=1.0, S_Delta=-1.0, a=1.0)
    run = solve(token_dynamics(layer), np.ones(TOKENS), log_until=LOG_T)
    late = run.log_t > 1.0
    log_log_t, log_sx = np.log(run.log_t[late]), run.log_abs[late]
    return {
        "log_t": run.log_t[late],
        "log_sx": log_sx,
        "middle": np.exp((log_log_t[1:] + log_log_t[:-1]) / 2),
        "power": np.diff(log_sx, axis=0) / np.diff(log_log_t)[:, None],
    }
