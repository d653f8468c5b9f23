"""Ten tokens in plain time, and the hidden attention among them at the end of it, in four situations.

Tokens are drawn with sizes spread evenly, so that their curves can be told apart.
"""

from dataclasses import dataclass

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from mamba_dynamics import AbstractTokenDynamics, S6Layer, solve, token_dynamics

TOKENS, TIMES = 10, 400
#: Blow-ups are shown until this share of T* is left.
LEFT = 1e-4


@dataclass(frozen=True)
class Situation:
    """mu and s; the initial sizes' range; the tokens' signs; the end of the time shown, None for just before T*."""

    mu: float
    s: float
    sizes: tuple[float, float]
    signs: tuple[int, ...]
    end: float | None = None


SITUATIONS = {
    "convergent": Situation(-1.0, 1.0, (0.4, 2.2), (1, -1, 1, 1, -1, -1, 1, -1, 1, -1), 6.0),
    "slow": Situation(1.0, -1.0, (1.0, 2.0), (1,) * TOKENS, 20.0),
    "one": Situation(1.0, 1.0, (0.2, 1.1), (-1, -1, -1, 1, -1, -1, -1, -1, -1, -1)),
    "several": Situation(1.0, 1.0, (0.2, 1.1), (1, -1, 1, 1, -1, 1, -1, -1, 1, -1)),
}


def compute(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {}
    for name, situation in SITUATIONS.items():
        x0 = rng.permutation(np.linspace(*situation.sizes, TOKENS)) * situation.signs
        found |= {f"{name}_{key}": value for key, value in _course(situation, x0).items()}
    return found


def _course(situation: Situation, x0: np.ndarray) -> dict[str, np.ndarray]:
    dynamics = token_dynamics(S6Layer.scalar(mu=situation.mu, S_Delta=situation.s, a=1.0))
    blow_up = solve(dynamics, x0).blow_up if situation.end is None else None
    t = np.linspace(0.0, situation.end, TIMES) if blow_up is None else _until(blow_up.time)
    x = _tokens(dynamics, x0, t)
    with jax.enable_x64(True):
        attention = dynamics.hidden_attention(jnp.asarray(x[-1]))
    told = (np.nan, np.nan, -1) if blow_up is None else (blow_up.time, blow_up.error, blow_up.token)
    blown = dict(zip(("blow_up_time", "blow_up_error", "first_token"), told, strict=True))
    course = {"t": t, "x": x, "attention": attention, "mu_s": (situation.mu, situation.s), **blown}
    return {name: np.asarray(value) for name, value in course.items()}


def _until(blow_up_time: float) -> np.ndarray:
    """Times up to just before T*, closer together towards it, where tokens bend."""
    left = np.geomspace(1.0, LEFT, TIMES // 2)
    return blow_up_time * np.unique(np.concatenate([1 - left, np.linspace(0, 1 - LEFT, TIMES // 2)]))


def _tokens(dynamics: AbstractTokenDynamics, x0: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Tokens at times t, (times, tokens), by the ODE as it stands."""
    with jax.enable_x64(True):
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(dynamics),
            diffrax.Dopri8(),
            t[0],
            t[-1],
            None,
            jnp.asarray(x0),
            saveat=diffrax.SaveAt(ts=jnp.asarray(t)),
            stepsize_controller=diffrax.PIDController(rtol=1e-12, atol=1e-12),
        )
    return np.asarray(found.ys)
