"""Hidden attention of slowly diverging tokens up to ln t = 1e5, in logarithms because most of it underflows."""

import numpy as np

from mamba_dynamics import S6Layer, solve, token_dynamics

TOKENS, LOG_T = 4, 1e5


def compute(seed: int) -> dict[str, np.ndarray]:
    dynamics = token_dynamics(S6Layer.scalar(mu=1.0, S_Delta=-1.0, a=1.0))
    run = solve(dynamics, np.ones(TOKENS), log_until=LOG_T)
    log_t, log_abs = run.log_t[1:], run.log_abs[1:]
    log_attention = np.asarray(dynamics.log_hidden_attention(log_abs, run.sign[1:]))  # pyright: ignore
    return {
        "log_t": log_t,
        "log_abs": log_abs,
        "log_attention": log_attention,
        "ratios": np.exp(log_abs[-1] - log_abs[-1, 0]),
    }
