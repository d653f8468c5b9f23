"""Two counterexamples to the eigenvalue rule, and how many directions diverge as M = [[-1, c], [0, -1]] leaves normal.

With S_Delta = 0 and b = 0 the step size is ln 2 and token 1 keeps its direction: only |x| moves.
"""

import numpy as np

from mamba_dynamics import Horizon, Outcome, S6Layer, solve, token_dynamics
from mamba_dynamics.dynamics import AbstractTokenDynamics

#: The counterexamples of theory 4.3, both from (1, 1).
EXAMPLES = {"negative": [[-1.0, 10.0], [0.0, -1.0]], "positive": [[0.1, -10.0], [0.0, 0.1]]}
START = np.ones(2)
#: (a): points up to this time, or until T* - t is this share of T*.
POINTS, UNTIL, REMAINING = 13, 0.25, 1e-4
ANGLES = 361
#: (c): values of c, which avoid 2, and directions of the half circle (x and -x do the same).
NON_NORMALITY = np.arange(17) * 0.6 + 0.5
SPACING, BISECTIONS = np.pi / 40, 10
DIRECTIONS = (np.arange(40) + 0.5) * SPACING
#: The direction is kept, so growth and decay are powers from the start on, and a short run decides between them.
SHORT = Horizon(log_t_decaying=20.0, shrinking=5.0, log_rate=50.0)
#: Time within which an edge direction's growth is told from decay: far below T* there, as q is small.
MOMENT = 0.1


def compute(seed: int) -> dict[str, np.ndarray]:
    angle = np.linspace(0.0, np.pi, ANGLES)
    diverges, fraction = zip(*map(_directions, NON_NORMALITY), strict=True)
    data = {"angle": angle, "c": NON_NORMALITY, "direction": DIRECTIONS}
    data |= {"diverges": np.array(diverges), "fraction": np.array(fraction)}
    for name, M in EXAMPLES.items():
        data |= {f"{name}_{key}": value for key, value in _example(np.array(M), angle).items()}
    return data


def _layer(M) -> S6Layer:
    return S6Layer.from_matrices(S_B=M, S_C=np.eye(2), S_Delta=np.zeros((2, 2)), a=1.0)


def _example(M: np.ndarray, angle: np.ndarray) -> dict[str, np.ndarray]:
    """The token's norm at some times, T* (inf where there is none), and q over the directions."""
    dynamics = token_dynamics(_layer(M))
    decided = solve(dynamics, START[None])
    blow_up_time = decided.blow_up.time if decided.blow_up else np.inf
    time = UNTIL * np.linspace(0.0, 1.0, POINTS)
    if decided.blow_up:
        time = blow_up_time * (1 - np.geomspace(1.0, REMAINING, POINTS))
    v = np.stack([np.cos(angle), np.sin(angle)])
    return {
        "M": M,
        "eigenvalues": np.linalg.eigvals(M),
        "range": np.linalg.eigvalsh(0.5 * (M + M.T)),
        "q": np.einsum("in,ij,jn->n", v, M, v),
        "time": time,
        "norm": np.exp([solve(dynamics, START[None], until=t).log_norms[-1, 0] for t in time]),
        "outcome": np.array(decided.outcome.value),
        "blow_up_time": np.array(blow_up_time),
    }


def _directions(c: float) -> tuple[np.ndarray, float]:
    """Whether token 1 blows up from each direction, and from which fraction of all of them it does."""
    dynamics = token_dynamics(_layer([[-1.0, c], [0.0, -1.0]]))
    diverges = np.array([_blows_up(dynamics, angle) for angle in DIRECTIONS])
    if not diverges.any():
        return diverges, 0.0
    first, last = np.flatnonzero(diverges)[[0, -1]]
    low = _edge(dynamics, DIRECTIONS[first], DIRECTIONS[first] - SPACING)
    high = _edge(dynamics, DIRECTIONS[last], DIRECTIONS[last] + SPACING)
    return diverges, (high - low) / np.pi


def _edge(dynamics: AbstractTokenDynamics, inside: float, outside: float) -> float:
    """The direction between two at which growth ends."""
    for _ in range(BISECTIONS):
        middle = 0.5 * (inside + outside)
        inside, outside = (middle, outside) if _grows(dynamics, middle) else (inside, middle)
    return 0.5 * (inside + outside)


def _grows(dynamics: AbstractTokenDynamics, angle: float) -> bool:
    run = solve(dynamics, _unit(angle), until=MOMENT)
    return bool(run.log_norms[-1, 0] > run.log_norms[0, 0])


def _blows_up(dynamics: AbstractTokenDynamics, angle: float) -> bool:
    outcome = solve(dynamics, _unit(angle), horizon=SHORT, rtol=1e-8, atol=1e-8).outcome
    if outcome not in (Outcome.BLEW_UP, Outcome.CONVERGED_TO_ZERO):
        raise AssertionError(f"expected a token that blows up or tends to zero, found {outcome}")
    return outcome is Outcome.BLEW_UP


def _unit(angle: float) -> np.ndarray:
    """One token, (1, 2), in that direction."""
    return np.array([[np.cos(angle), np.sin(angle)]])
