"""From the growth clock back to time: t = int ds / rho, in logarithms.

Along a solved trajectory f(s) = -ln rho is smooth, so it is interpolated by Chebyshev polynomials on
pieces of the solver's steps (split until the last coefficients are negligible), and each piece's
exp(f) is integrated to rounding error from its polynomial alone. e^f may vary over a piece by a factor
of e^(10^4) (slow divergence) or sum up to T* - t = 1e-250 (blow-up): sums are taken with logaddexp,
forwards for ln t and backwards for ln(T* - t), and no digit is lost to cancellation.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Chebyshev nodes (both ends included) on each piece.
NODES = 9
#: A piece is split in two at most this often.
MAX_SPLITS = 8
#: Halving a smooth piece divides its last coefficients by 2^7 and more. Where they stay above this share, and below
#: so many tolerances, they are rounding errors of ln rho, which no splitting resolves.
NOISE_SHARE, NOISE = 0.25, 1e3
#: Integrals of exp(f) done at once, which bounds the memory (11 kB each).
ROWS = 2048

_ANGLES = 0.5 * (1 - np.cos(np.pi * np.arange(NODES) / (NODES - 1)))
_TO_COEFFICIENTS = np.linalg.inv(chebyshev.chebvander(2 * _ANGLES - 1, NODES - 1))


def _graded_rule(panels: int = 44, points: int = 16) -> tuple[FloatArray, FloatArray]:
    """Quadrature on [0, 1] with panels halving towards both ends, where exp(f) has its mass."""
    x, w = np.polynomial.legendre.leggauss(points)
    edges = np.concatenate([[0.0], 0.5 ** np.arange(panels, 0, -1)])
    left = edges[:-1, None] + np.diff(edges)[:, None] * (x + 1) / 2
    weights = np.diff(edges)[:, None] * w / 2
    return np.concatenate([left.ravel(), 1 - left.ravel()]), np.concatenate([weights.ravel()] * 2)


_POINTS, _WEIGHTS = _graded_rule()


@dataclass(frozen=True)
class LogClock:
    """ln(1/rho) as a piecewise polynomial of the clock s, and the time it amounts to.

    `edges` (P + 1,) are the pieces' ends in s; `coefficients` (P, NODES) the Chebyshev coefficients
    of -ln rho on each; `log_durations` (P,) ln of the time each takes; `evaluations` how often rho was
    evaluated for it.
    """

    edges: FloatArray
    coefficients: FloatArray
    log_durations: FloatArray
    evaluations: int

    def extended(self, later: "LogClock") -> "LogClock":
        return LogClock(
            np.concatenate([self.edges, later.edges[1:]]),
            np.concatenate([self.coefficients, later.coefficients]),
            np.concatenate([self.log_durations, later.log_durations]),
            self.evaluations + later.evaluations,
        )

    def log_times(self) -> FloatArray:
        """ln t at every edge, (P + 1,); -inf at the first."""
        with np.errstate(invalid="ignore"):
            return np.concatenate([[-np.inf], np.logaddexp.accumulate(self.log_durations)])

    def log_tail(self) -> float:
        """ln of the time still to come after the last edge if rho goes on growing as it does there.

        At a blow-up rho is exponential in s but for iterated logarithms, so this is ln(T* - t). Repeated partial
        integration with f = -ln rho, r = -f' gives int e^f ds = e^f (1/r + f''/r^3 + (f''' r + 3 f''^2)/r^5 + ...);
        +inf where rho is not growing.
        """
        scale = 2 / (self.edges[-1] - self.edges[-2])
        last = self.coefficients[-1]
        f1, f2, f3 = (scale**m * float(chebyshev.chebval(1.0, chebyshev.chebder(last, m))) for m in (1, 2, 3))
        if f1 >= 0:
            return np.inf
        # Divided by f1 at a time: its fifth power would leave float64's range before it does.
        g, h = f2 / f1 / f1, f3 / f1 / f1 / f1
        return float(last.sum() - np.log(-f1) + np.log(1 + g + 3 * g**2 - h))

    def log_remaining(self) -> FloatArray:
        """ln(T* - t) at every edge, summed backwards from the tail, (P + 1,)."""
        backwards = np.concatenate([[self.log_tail()], self.log_durations[::-1]])
        return np.logaddexp.accumulate(backwards)[::-1]

    def at(self, s: FloatArray, edge_values: FloatArray, *, backwards: bool = False) -> FloatArray:
        """ln t (or, backwards, ln(T* - t)) at clock readings s, given its values at the edges."""
        piece = np.clip(np.searchsorted(self.edges, s, side="right") - 1, 0, len(self.coefficients) - 1)
        width = self.edges[piece + 1] - self.edges[piece]
        part = (s - self.edges[piece]) / width
        lower, upper = (part, np.ones_like(part)) if backwards else (np.zeros_like(part), part)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = log_integral_exp(self.coefficients[piece], lower, upper) + np.log(width)
            return np.logaddexp(edge_values[piece + 1] if backwards else edge_values[piece], inside)

    def when(self, log_time: float) -> float:
        """The clock reading s at which ln t reaches `log_time` (which must lie within the edges)."""
        times = self.log_times()
        piece = int(np.clip(np.searchsorted(times, log_time) - 1, 0, len(self.coefficients) - 1))
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            s = np.array([self.edges[piece] + middle * (self.edges[piece + 1] - self.edges[piece])])
            early = self.at(s, times)[0] < log_time
            low, high = (middle, high) if early else (low, middle)
        return float(self.edges[piece] + high * (self.edges[piece + 1] - self.edges[piece]))


def log_integral_exp(
    coefficients: FloatArray, lower: FloatArray | float = 0.0, upper: FloatArray | float = 1.0
) -> FloatArray:
    """ln int_lower^upper exp(p(c)) dc for Chebyshev polynomials p on [0, 1], one per row; lower, upper in [0, 1]."""
    lower, span = (np.broadcast_to(one, len(coefficients)) for one in (lower, np.subtract(upper, lower)))
    blocks = [slice(start, start + ROWS) for start in range(0, len(coefficients), ROWS)]
    return np.concatenate([_log_integral_exp(coefficients[rows], lower[rows], span[rows]) for rows in blocks])


def _log_integral_exp(coefficients: FloatArray, lower: FloatArray, span: FloatArray) -> FloatArray:
    where = lower[None] + span[None] * _POINTS[:, None]
    values = chebyshev.chebval(2 * where - 1, coefficients.T[:, None, :], tensor=False)
    largest = values.max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return largest + np.log(_WEIGHTS @ np.exp(values - largest)) + np.log(span)


def resolve(log_rate: Callable[[FloatArray], FloatArray], steps: FloatArray, tolerance: float) -> LogClock:
    """The clock along a trajectory whose ln rho can be evaluated at any s within `steps` (S + 1,).

    Pieces are split until the last two Chebyshev coefficients of ln rho are below `tolerance`, relative
    to its range over the piece where that exceeds 1, or are noise.
    """
    low, high = steps[:-1], steps[1:]
    done: list[tuple[FloatArray, FloatArray]] = []
    evaluations, before = 0, np.full(len(low), np.inf)
    for depth in range(MAX_SPLITS + 1):
        points = low[:, None] + (high - low)[:, None] * _ANGLES
        values = -log_rate(points.ravel()).reshape(points.shape)
        evaluations += points.size
        coefficients = values @ _TO_COEFFICIENTS.T
        scale = np.maximum(np.ptp(values, axis=1), 1.0)
        last = np.abs(coefficients[:, -2:]).max(axis=1) / scale
        noise = (last > NOISE_SHARE * before) & (last < NOISE * tolerance)
        rough = (last > tolerance) & ~noise
        if depth == MAX_SPLITS:
            rough[:] = False
        done.append((low[~rough], coefficients[~rough]))
        if not rough.any():
            break
        middle = 0.5 * (low[rough] + high[rough])
        low, high = np.concatenate([low[rough], middle]), np.concatenate([middle, high[rough]])
        before = np.tile(last[rough], 2)
    starts = np.concatenate([start for start, _ in done])
    order = np.argsort(starts)
    edges = np.append(starts[order], steps[-1])
    coefficients = np.concatenate([c for _, c in done])[order]
    # Steps that are shorter than the clock's own rounding take no time.
    with np.errstate(divide="ignore"):
        log_widths = np.log(np.diff(edges))
    return LogClock(edges, coefficients, log_integral_exp(coefficients) + log_widths, evaluations)


def constant_rates(edges: FloatArray, log_durations: FloatArray) -> LogClock:
    """The clock where time runs evenly on each piece: between `edges` (P + 1,) it takes e^log_durations (P,)."""
    coefficients = np.zeros((len(log_durations), NODES))
    coefficients[:, 0] = log_durations - np.log(np.diff(edges))
    return LogClock(edges, coefficients, log_durations, 0)
