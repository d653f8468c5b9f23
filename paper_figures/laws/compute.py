"""The three scenarios, each quantity rescaled so that its law is a constant or a straight line of slope one."""

import numpy as np

from mamba_dynamics import S6Layer, ScalarSystem, TokenTrajectory, solve, token_dynamics
from mamba_dynamics.theorems.fast_divergence import slow_variable

#: Fast divergence with l* = 2: token 3 keeps a ratio to it, tokens 4 and 5 have the first two iterated logarithms.
FAST = (0.5, 3.0, -1.5, 1.5, 0.1)
CONVERGENT, SLOW = (0.3, 1.2, -0.5, 2.0), (1.0, 1.0, 1.0, 1.0)


def compute(seed: int) -> dict[str, np.ndarray]:
    return _convergent() | _slow() | _fast()


def _convergent() -> dict[str, np.ndarray]:
    """2 |mu| delta_0 t x_l^2 along ln t."""
    mu, a, delta_0 = -1.58, 1.08, np.log(2)
    run = solve(token_dynamics(S6Layer.scalar(mu=mu, S_Delta=-0.17, a=a)), CONVERGENT, log_until=40.0)
    log_t, log_abs = run.log_t[1:], run.log_abs[1:]
    scale = np.log(2 * abs(mu) * delta_0)
    constants = np.exp(scale + log_t[:, None] + 2 * log_abs)
    return {"convergent_log_t": log_t, "convergent": constants, "decay": np.asarray(a * delta_0)}


def _slow() -> dict[str, np.ndarray]:
    """|s x_l| / ln t along ln t, and the ratios x_l / x_1 in the end."""
    run = solve(token_dynamics(S6Layer.scalar(mu=1.0, S_Delta=-1.0, a=1.0)), SLOW, log_until=1e5)
    late = run.log_t > 1.0
    log_t, log_abs = run.log_t[late], run.log_abs[late]
    ratios = np.exp(log_abs[-1] - log_abs[-1, 0])
    return {"slow_log_t": log_t, "slow": np.exp(log_abs) / log_t[:, None], "ratios": ratios}


def _fast() -> dict[str, np.ndarray]:
    """(3 mu |s| (T* - t))^(1/3) |x_l| along ln 1/(T* - t), and F(|x_l|) - F(|x_l(0)|) of the slower tokens."""
    layer = S6Layer.scalar(mu=1.0, S_Delta=1.0, a=1.0)
    run = solve(token_dynamics(layer), FAST)
    log_remaining = _remaining(run)
    system = ScalarSystem.of(layer, np.array(FAST))
    F = {f"F_{token + 1}": slow_variable(system, token, run.log_abs[:, token]) for token in (3, 4)}
    return {
        "fast_depth": -log_remaining,
        "fast": np.exp((np.log(3.0) + log_remaining[:, None]) / 3 + run.log_abs),
        "fast_log_abs": run.log_abs,
        **{name: values - values[0] for name, values in F.items()},
    }


def _remaining(run: TokenTrajectory) -> np.ndarray:
    if run.log_remaining is None:
        raise RuntimeError(f"expected a blow-up, found: {run.why}")
    return run.log_remaining
