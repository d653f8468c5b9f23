"""Meters for several dimensions (theory 4): the first token's coordinates, q(x), profiles, and spectra.

`token` is a 0-based coordinate of token 1 where a quantity is said to be of a coordinate x_d, else a token.
"""

import numpy as np

from ..._linalg import quadratic_form, spectrum_of_M, spectrum_of_symmetric_part
from ..._outcomes import Outcome, Scenario
from ..._rates import Estimate, limiting_factor, limiting_slope
from ..._trajectory import FloatArray
from ..measured import Meter
from ..run import Run
from .field import field, points

#: Eigenvalues from a dense matrix are good to this, relative to the largest.
DENSE_ROUNDING = 1e-9
#: Late times end at this ln t.
LATE = 200.0


def _q(run: Run, x: FloatArray) -> FloatArray:
    layer = run.layer
    return layer.gain * quadratic_form(layer.B_map(), layer.C_map(), x)


def coordinate_on_hyperplane(run: Run, token: int | None) -> float:
    """The largest |dx_1d/dt| where x_1d = 0, over coordinates and random points."""
    worst = 0.0
    for x in points(run):
        for d in range(x.shape[1]):
            on = x.copy()
            on[0, d] = 0.0
            worst = max(worst, float(np.abs(field(run.dynamics, on)[0, d])))
    return worst


def speed_along_q(run: Run, token: int | None) -> FloatArray:
    """sign(q) x_1d dx_1d/dt over coordinates and random points."""
    return np.concatenate([np.sign(_q(run, x)[0]) * x[0] * field(run.dynamics, x)[0] for x in points(run)])


def first_token_defect(run: Run, token: int | None) -> float:
    """The largest relative difference of dx_1d/dt and q(x_1) Delta_d(x_1) x_1d, computed densely in numpy."""
    layer, worst = run.layer, 0.0
    for x in points(run):
        delta = np.logaddexp(0.0, layer.S_Delta() @ x[0] + layer.dt_bias[0])
        wanted = float(x[0] @ layer.input_output_matrix() @ x[0]) * delta * x[0]
        gap = float(np.max(np.abs(field(run.dynamics, x)[0] - wanted)))
        worst = max(worst, gap and gap / max(float(np.max(np.abs(wanted))), np.finfo(float).tiny))
    return worst


def sign_changes(run: Run, token: int | None) -> float:
    """How many coordinates of a token change sign along the run."""
    signs = np.sign(run.trajectory.x[:, token or 0])
    return float(np.sum(np.any(signs * signs[0] < 0, axis=0)))


def destination(run: Run, token: int | None) -> str:
    """Where the tokens of a run go: to zero, to infinity, or to a point."""
    words = {
        Scenario.CONVERGENT: "zero",
        Scenario.SLOW_DIVERGENCE: "infinity",
        Scenario.FAST_DIVERGENCE: "infinity",
        Scenario.EQUILIBRIUM: "a point",
    }
    return words.get(run.scenario, "undecided")


def coordinate_at_end(run: Run, token: int | None) -> float:
    """|x_1d| at the end of the run."""
    return float(np.abs(run.trajectory.x[-1, 0, token or 0]))


def coordinate_exponent(run: Run, token: int | None) -> Estimate | None:
    """The limit of d ln|x_1d| / d ln t."""
    found = run.trajectory
    return limiting_slope(found.log_abs[:, 0, token], found.log_t, found.log_t)


def coordinate_constant(run: Run, token: int | None) -> Estimate | None:
    """The limit of 2 |M_dd| delta_d t x_1d^2, delta_d = softplus(b_d)."""
    found, layer, d = run.trajectory, run.layer, token or 0
    scale = np.log(2 * abs(layer.input_output_matrix()[d, d]) * np.logaddexp(0.0, layer.dt_bias[0, d]))
    return limiting_factor(scale + found.log_t + 2 * found.log_abs[:, 0, d], found.log_t)


def norm_constant(run: Run, token: int | None) -> Estimate | None:
    """The limit of 2 |q(x_1 / |x_1|)| softplus(b) t |x_1|^2, all biases equal."""
    found, layer = run.trajectory, run.layer
    q = np.abs(_q(run, _direction(run)))
    with np.errstate(divide="ignore"):
        scale = np.log(2 * q * np.logaddexp(0.0, layer.dt_bias[0, 0]))
    return limiting_factor(scale + found.log_t + 2 * found.log_norms[:, 0], found.log_t)


def _direction(run: Run) -> FloatArray:
    """x_1 / |x_1| along the run, (S, D)."""
    found = run.trajectory
    return found.sign[:, 0] * np.exp(found.log_abs[:, 0] - found.log_norms[:, :1])


def profile_constant(run: Run, token: int | None) -> Estimate | None:
    """The limit of 3 q(v) c (T* - t) |x_1|^3, v = x_1 / |x_1| and c the largest (S_Delta v)_d."""
    found = run.trajectory
    if found.log_remaining is None:
        return None
    v = _direction(run)
    q, c = _q(run, v), np.max(v @ run.layer.S_Delta().T, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.log(3 * q * c) + found.log_remaining + 3 * found.log_norms[:, 0]
    return limiting_factor(values, -found.log_remaining)


def _late_log_size(run: Run, token: int | None) -> FloatArray | None:
    """ln(t |x_l|^2) over the second half, in ln t, of a run to ln t = LATE; None if it did not get there."""
    found = run.until(LATE)
    if found.outcome is not Outcome.REACHED_UNTIL:
        return None
    return (found.log_t + 2 * found.log_norms[:, token])[found.log_t > LATE / 2]


def limsup_size(run: Run, token: int | None) -> float | None:
    """The largest t |x_l|^2 at late times; infinite where a token blows up before."""
    if run.until(LATE).outcome is Outcome.BLEW_UP:
        return np.inf
    late = _late_log_size(run, token)
    return None if late is None else float(np.exp(late.max()))


def size_range(run: Run, token: int | None) -> float | None:
    """By how much ln(t |x_l|^2) still varies at late times."""
    late = _late_log_size(run, token)
    return None if late is None else float(np.ptp(late))


def escape_exponent(run: Run, token: int | None) -> Estimate | None:
    """The limit of d ln|x_l| / d ln t, from an implicit integration (the run is stiff)."""
    found = run.stiff
    return limiting_slope(found.log_norms[:, token], found.log_t, found.log_t)


def _dense_symmetric(run: Run) -> FloatArray:
    M = run.layer.input_output_matrix()
    return np.asarray(np.linalg.eigvalsh((M + M.T) / 2), float)


def positive_eigenvalues(run: Run, token: int | None) -> float | None:
    """How many eigenvalues of sym(M) are positive, from the dense matrix; None where rounding does not tell."""
    return _count(run, 1.0)


def negative_eigenvalues(run: Run, token: int | None) -> float | None:
    return _count(run, -1.0)


def _count(run: Run, side: float) -> float | None:
    """Eigenvalues of sym(M) on one side; None if more than the D - 2 N zeros of its rank are near zero."""
    found = _dense_symmetric(run)
    clear = np.abs(found) > DENSE_ROUNDING * np.abs(found).max()
    if np.sum(~clear) > max(0, run.layer.channels - 2 * run.layer.d_state):
        return None
    return float(np.sum(side * found[clear] > 0))


def spectrum_gap(run: Run, token: int | None) -> float:
    """Distance between the non-zero eigenvalues of S_B S_C^T and the eigenvalues of the dense M, over the largest."""
    dense = np.linalg.eigvals(run.layer.input_output_matrix())
    small = spectrum_of_M(run.layer.B_map(), run.layer.C_map()).eigenvalues * run.layer.gain
    return _gap(dense, small)


def symmetric_spectrum_gap(run: Run, token: int | None) -> float:
    """As `spectrum_gap`, for sym(M) and the 2N x 2N problem."""
    small = spectrum_of_symmetric_part(run.layer.B_map(), run.layer.C_map()).eigenvalues * run.layer.gain
    return _gap(_dense_symmetric(run).astype(complex), small)


def _gap(dense, small) -> float:
    """Every eigenvalue of the small problem, and zeros for the rest, paired with the nearest left of the dense one."""
    left = list(dense)
    worst = 0.0
    for wanted in sorted([*small, *[0.0] * (len(dense) - len(small))], key=abs, reverse=True):
        nearest = int(np.argmin(np.abs(np.asarray(left) - wanted)))
        worst = max(worst, float(abs(left.pop(nearest) - wanted)))
    return worst and worst / max(float(np.abs(dense).max()), float(np.abs(small).max()))


METERS: dict[str, Meter] = {
    "dx_1d/dt where x_1d = 0": coordinate_on_hyperplane,
    "sign(q) x_1d dx_1d/dt": speed_along_q,
    "defect of dx_1d/dt = q Delta_d x_1d": first_token_defect,
    "coordinates that change sign": sign_changes,
    "where the tokens go": destination,
    "|x_1d| at the end": coordinate_at_end,
    "slope of ln|x_1d| in ln t": coordinate_exponent,
    "2 |M_dd| delta_d t x_1d^2": coordinate_constant,
    "2 |q(v)| delta t |x_1|^2": norm_constant,
    "3 q(v) c (T* - t) |x_1|^3": profile_constant,
    "limsup of t |x|^2": limsup_size,
    "range of ln(t |x|^2) at late times": size_range,
    "slope of ln|x| in ln t, stiff": escape_exponent,
    "positive eigenvalues of sym(M)": positive_eigenvalues,
    "negative eigenvalues of sym(M)": negative_eigenvalues,
    "gap between the spectra of S_B S_C^T and M": spectrum_gap,
    "gap between the spectra of the 2N x 2N problem and sym(M)": symmetric_spectrum_gap,
}
