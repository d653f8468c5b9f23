"""Meters of the hidden attention P_lj along a run (theory 3.2 to 3.4), in logarithms because most of it underflows."""

from dataclasses import replace

import numpy as np

from ..._rates import Estimate, limiting_factor, limiting_slope
from ..._trajectory import FloatArray
from ..measured import Curve, Meter
from ..run import Run


def _log_attention(run: Run) -> FloatArray:
    """ln|P_lj| along the run, (S, L, L); -inf above the diagonal."""
    found = run.trajectory
    return np.asarray(run.dynamics.log_hidden_attention(found.log_norms, found.sign))  # pyright: ignore


def largest_in_row(run: Run, token: int | None) -> Curve:
    """The largest ln|P_lj| over j, for row l, as a function of ln t."""
    return Curve(run.trajectory.log_t, _log_attention(run)[:, token, : (token or 0) + 1].max(axis=1))


def times_t(run: Run, token: int | None) -> tuple[Estimate | None, ...]:
    """The limits of t P_lj with their signs, j = 1, ..., l, for row l."""
    found, here = run.trajectory, token or 0
    signs = np.sign(run.system.mu_bar) * found.sign[-1, here] * found.sign[-1]
    rows = _log_attention(run)[:, here]
    limits = [_limit(found.log_t + rows[:, j], found.log_t) for j in range(here + 1)]
    return tuple(one and replace(one, value=float(signs[j]) * one.value) for j, one in enumerate(limits))


def _limit(log_size: FloatArray, log_t: FloatArray) -> Estimate | None:
    """The limit of a size given by its logarithm; exactly 0 where it is 0 all along."""
    if np.all(log_size[1:] == -np.inf):
        return Estimate(0.0, 0.0, (float(log_t[0]), float(log_t[-1])))
    return limiting_factor(log_size, log_t)


def sink_constant(run: Run, token: int | None) -> Estimate | None:
    """The limit of |P_l1| t ln t."""
    found = run.trajectory
    late = found.log_t > 1
    log_t = found.log_t[late]
    return limiting_factor(_log_attention(run)[late, token, 0] + log_t + np.log(log_t), log_t)


def diagonal_exponent(run: Run, token: int | None) -> Estimate | None:
    """The limit of d ln|P_ll| / d ln t."""
    log_t = run.trajectory.log_t
    return limiting_slope(_log_attention(run)[:, token, token], log_t, log_t)


def _share(run: Run, column: int) -> FloatArray:
    """|P_lj| / sum_i |P_li| of column j at the end of the run, (L,)."""
    last = _log_attention(run)[-1]
    with np.errstate(invalid="ignore"):  # a zero token has no attention to share out
        return np.exp(last[:, column] - np.logaddexp.reduce(last, axis=1))


def share_of_first(run: Run, token: int | None) -> float:
    """What token 1 receives of row l's attention at the end of the run."""
    return float(_share(run, 0)[token or 0])


def share_of_blow_up(run: Run, token: int | None) -> float | None:
    """What the token that blows up first receives of row l's attention at the end of the run."""
    found = run.trajectory.blow_up
    return None if found is None else float(_share(run, found.token)[token or 0])


def blow_up_constant(run: Run, token: int | None) -> Estimate | None:
    """The limit of 3 (T* - t) P_ll."""
    found = run.trajectory
    if found.log_remaining is None:
        return None
    values = np.log(3) + found.log_remaining + _log_attention(run)[:, token, token]
    return limiting_factor(values, -found.log_remaining)


METERS: dict[str, Meter] = {
    "largest ln|P_lj| in row l along ln t": largest_in_row,
    "t P_lj": times_t,
    "|P_l1| t ln t": sink_constant,
    "slope of ln|P_ll| in ln t": diagonal_exponent,
    "share of token 1 in row l": share_of_first,
    "share of token l* in row l": share_of_blow_up,
    "3 (T* - t) P_ll": blow_up_constant,
}
