"""Meters of the hidden attention P_lj along a run (theory 3.2 to 3.4), in logarithms because most of it underflows."""

import numpy as np

from ..._rates import Estimate, limiting_slope, limiting_value
from ..._trajectory import FloatArray
from ..measured import Meter
from ..run import Run


def _log_attention(run: Run) -> FloatArray:
    """ln|P_lj| along the run, (S, L, L); -inf above the diagonal."""
    found = run.trajectory
    return np.asarray(run.dynamics.log_hidden_attention(found.log_norms, found.sign))  # pyright: ignore


def exponent(run: Run, token: int | None) -> Estimate | None:
    """The largest of the limits of d ln|P_lj| / d ln t over j, for row l."""
    log_t, rows = run.trajectory.log_t, _log_attention(run)[:, token, : (token or 0) + 1]
    found = [limiting_slope(rows[:, j], log_t, log_t) for j in range(rows.shape[1]) if np.isfinite(rows[-1, j])]
    return None if not found or None in found else max(found, key=lambda one: one.value)  # pyright: ignore


def times_t(run: Run, token: int | None) -> FloatArray:
    """t P_lj at the end of the run with its sign, (L,) for row l."""
    found = run.trajectory
    sign = np.sign(run.system.mu_bar) * found.sign[-1, token] * found.sign[-1]
    return sign * np.exp(found.log_t[-1] + _log_attention(run)[-1, token])


def sink_constant(run: Run, token: int | None) -> Estimate | None:
    """The limit of |P_l1| t ln t."""
    found = run.trajectory
    late = found.log_t > 1
    log_t = found.log_t[late]
    return limiting_value(np.exp(_log_attention(run)[late, token, 0] + log_t + np.log(log_t)), log_t)


def diagonal_exponent(run: Run, token: int | None) -> Estimate | None:
    """The limit of d ln|P_ll| / d ln t."""
    log_t = run.trajectory.log_t
    return limiting_slope(_log_attention(run)[:, token, token], log_t, log_t)


def _share(run: Run, column: int) -> FloatArray:
    """|P_lj| / sum_i |P_li| of column j at the end of the run, (L,)."""
    last = _log_attention(run)[-1]
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
    values = np.exp(np.log(3) + found.log_remaining + _log_attention(run)[:, token, token])
    return limiting_value(values, -found.log_remaining)


METERS: dict[str, Meter] = {
    "slope of ln|P_lj| in ln t, largest in row l": exponent,
    "t P_lj": times_t,
    "|P_l1| t ln t": sink_constant,
    "slope of ln|P_ll| in ln t": diagonal_exponent,
    "share of token 1 in row l": share_of_first,
    "share of token l* in row l": share_of_blow_up,
    "3 (T* - t) P_ll": blow_up_constant,
}
