"""`nearest_definite`: the definite M closest to a layer's own, in the Frobenius norm, without any D x D matrix.

    M = S_C^T S_B                              (D, D), rank N, never formed
    sym(M) = Q K Q^T                           K (2N, 2N) from a QR factorisation of [S_C; S_B]^T
    X = R^T diag(sign) R                       what is sought; R (N, D) upper trapezoidal, R_nn > 0
    lambda_n = sign_n (R_nn / g)^2,  U_n = R_n / R_nn

Any symmetric X has |M - X|^2 = |sym(M) - X|^2 + |skew(M)|^2. Without a threshold the closest X with at most p
positive and q negative eigenvalues keeps the p largest positive and the q most negative ones of sym(M) (Higham 1988
for the semidefinite case), and R is its factor: from QR where all signs are equal, by elimination without pivoting
where they are not.

A threshold on |lambda| is a bound on R's diagonal and on nothing else, R_nn >= g sqrt(threshold). So R_nn is raised and
the rest of the row is left: raising lambda_n with U fixed would multiply the whole row, whose other D - n entries are
each as large as R_nn. From there a projected gradient descent on R goes on to a stationary point. The set is not
convex, so that is a local optimum; the distance without the threshold bounds from below what any other could reach.

    Higham: Computing a nearest symmetric positive semidefinite matrix, Linear Algebra and its Applications 103 (1988).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._errors import HypothesisError, LayerShapeError
from .definite import DefiniteProjection, Sign, paper_threshold, sign_pattern

FloatArray = NDArray[np.float64]

#: Rows of a factor this much smaller than the largest are rounding errors of zero rows.
_ZERO_ROW = 1e-12
#: Without pivoting, a pivot this much smaller than its row leaves no digits.
_ZERO_PIVOT = 1e-10


@dataclass(frozen=True, eq=False)
class NearestDefinite:
    """A definite projection and how far it lies from the layer it replaces, in the Frobenius norm of M.

    `distance` = |M - X|; `relative_distance` is that over |M|; `lower_bound` the distance of the closest matrix with
    these signs and no threshold. `raised`: the states (0-based) whose |lambda| the threshold raised.
    `lambdas_without_threshold` (N,): lambda of the closest matrix without it, 0 for a state it does not have.
    """

    projection: DefiniteProjection
    distance: float
    relative_distance: float
    lower_bound: float
    raised: tuple[int, ...]
    lambdas_without_threshold: FloatArray


def nearest_definite(
    S_B: ArrayLike,
    S_C: ArrayLike,
    sign: Sign,
    *,
    threshold: float | None = None,
    scale: float = 1.0,
    headroom: float = 1e-3,
    descent_steps: int = 500,
) -> NearestDefinite:
    """The definite projection whose M is closest to S_C^T S_B, for S_B, S_C of shape (N, D): O(D N^2) per step.

    Args:
        sign: "positive", "negative" or "mixed"; mixed keeps N // 2 positive eigenvalues, but which states carry them
            is for the factorisation to say (`projection.signs`).
        threshold: least |lambda|; default that of the paper, see `paper_threshold`. lambda is measured beside a U with
            ones on its diagonal, so with scale 1 a threshold of 0.7 is far above trained weights.
        scale: g of `DefiniteProjection`; M = g^2 U^T diag(lambda) U.
        headroom: raised |lambda| end this much above the threshold, where softplus still has a gradient.
        descent_steps: how many steps of projected gradient descent at most, where the threshold raised anything.

    Raises:
        LayerShapeError: shapes do not fit. HypothesisError: the closest mixed matrix has no factor without pivoting.
    """
    B, C = np.asarray(S_B, np.float64), np.asarray(S_C, np.float64)
    if B.ndim != 2 or B.shape != C.shape or B.shape[0] > B.shape[1]:
        raise LayerShapeError(f"expected S_B and S_C of one shape (N, D), N <= D, found {B.shape} and {C.shape}")
    threshold = paper_threshold(sign) if threshold is None else threshold
    closest, signs = _closest_factor(B, C, np.array(sign_pattern(sign, len(B))))
    lower_bound = _distance(closest, B, C, signs)
    R, signs = (_by_qr(closest), signs) if len(set(signs)) == 1 else _by_elimination(closest, signs)
    floor = float(scale * np.sqrt(threshold + headroom))
    feasible = _raised(R, floor)
    raised = np.flatnonzero(np.diagonal(R) < floor)
    if raised.size:
        feasible = _descend(feasible, B, C, signs, floor, descent_steps)
    heights = np.diagonal(feasible)
    projection = DefiniteProjection.from_factors(
        signs * (heights / scale) ** 2, feasible / heights[:, None], threshold=threshold, scale=scale
    )
    distance, size = _distance(feasible, B, C, signs), _distance(np.zeros_like(B), B, C, signs)
    return NearestDefinite(
        projection=projection,
        distance=distance,
        relative_distance=distance / size if size else np.inf,
        lower_bound=lower_bound,
        raised=tuple(raised.tolist()),
        lambdas_without_threshold=signs * (np.diagonal(R) / scale) ** 2,
    )


def _closest_factor(B: FloatArray, C: FloatArray, signs: NDArray[np.int_]) -> tuple[FloatArray, NDArray[np.int_]]:
    """(F, signs) of the closest F^T diag(signs) F; rows of zeros where sym(M) lacks eigenvalues of a sign."""
    states = len(B)
    Q, R = np.linalg.qr(np.vstack([C, B]).T)
    half = 0.5 * R[:, :states] @ R[:, states:].T
    eigenvalues, vectors = np.linalg.eigh(half + half.T)
    positive = int(np.sum(signs > 0))
    order = [*range(len(eigenvalues) - 1, len(eigenvalues) - 1 - positive, -1), *range(states - positive)]
    sizes = np.sqrt(np.maximum(signs * eigenvalues[order], 0.0))
    return sizes[:, None] * (Q @ vectors[:, order]).T, signs


def _by_qr(factor: FloatArray) -> FloatArray:
    """R upper trapezoidal with R^T R = F^T F and a diagonal >= 0."""
    R = np.triu(_triangle(factor))
    sizes = np.linalg.norm(R, axis=1)
    R[sizes <= _ZERO_ROW * sizes.max()] = 0.0
    return np.where(np.diagonal(R) < 0, -1.0, 1.0)[:, None] * R


def _by_elimination(factor: FloatArray, signs: NDArray[np.int_]) -> tuple[FloatArray, NDArray[np.int_]]:
    """(R, its signs) with R^T diag(its signs) R = F^T diag(signs) F, by Gaussian elimination of the first N rows."""
    states = len(factor)
    rows = (factor[:, :states].T * signs) @ factor
    pivots = np.zeros(states)
    for n in range(states):
        pivots[n] = rows[n, n]
        if abs(pivots[n]) <= _ZERO_PIVOT * np.abs(rows[n]).max():
            raise HypothesisError(
                f"expected leading minors that are not zero, found a pivot of {pivots[n]:g} in state {n}: the "
                "closest matrix with these signs has no factors lambda, U without pivoting; take a single sign"
            )
        rows[n + 1 :] -= np.outer(rows[n + 1 :, n] / pivots[n], rows[n])
    U = np.triu(rows) / pivots[:, None]
    return np.sqrt(np.abs(pivots))[:, None] * U, np.sign(pivots).astype(int)


def _raised(R: FloatArray, floor: float) -> FloatArray:
    """The closest upper trapezoidal matrix with a diagonal of at least `floor`."""
    raised = np.triu(R)
    np.fill_diagonal(raised, np.maximum(np.diagonal(raised), floor))
    return raised


def _descend(R: FloatArray, B: FloatArray, C: FloatArray, signs, floor: float, steps: int) -> FloatArray:
    """Projected gradient descent on |sym(M) - R^T diag(signs) R|^2, with Barzilai and Borwein's step lengths.

    A step that does not lower the value by Armijo's rule is halved, so the result is never further than the start.
    """
    value, gradient = _value_and_gradient(R, B, C, signs)
    step = 1.0 / max(np.linalg.norm(gradient), np.finfo(float).tiny)
    for _ in range(steps):
        for _ in range(60):
            candidate = _raised(R - step * gradient, floor)
            moved = candidate - R
            found, slope = _value_and_gradient(candidate, B, C, signs)
            if found <= value - 1e-4 / step * np.sum(moved * moved):
                break
            step /= 2
        else:
            return R
        if np.linalg.norm(moved) <= 1e-12 * np.linalg.norm(R):
            return candidate
        curvature = np.sum(moved * (slope - gradient))
        step = np.sum(moved * moved) / curvature if curvature > 0 else 2 * step
        R, value, gradient = candidate, found, slope
    return R


def _value_and_gradient(R: FloatArray, B: FloatArray, C: FloatArray, signs) -> tuple[float, FloatArray]:
    """|sym(M) - X|^2 - |sym(M)|^2 and its gradient on the upper trapezoid, X = R^T diag(signs) R."""
    along_B, along_C = R @ B.T, R @ C.T
    gram = R @ R.T
    products = signs[:, None] * gram * signs
    value = -2.0 * np.sum(signs * np.sum(along_B * along_C, axis=1)) + np.sum(products * gram)
    gradient = 4.0 * products @ R - 2.0 * signs[:, None] * (along_B @ C + along_C @ B)
    return float(value), np.triu(gradient)


def _distance(R: FloatArray, B: FloatArray, C: FloatArray, signs) -> float:
    """|S_C^T S_B - R^T diag(signs) R| in the Frobenius norm, in the span of all the rows."""
    states = len(B)
    small = _triangle(np.vstack([C, B, R]).T)
    c, b, r = small[:, :states], small[:, states : 2 * states], small[:, 2 * states :]
    return float(np.linalg.norm(c @ b.T - (r * signs) @ r.T))


def _triangle(matrix: FloatArray) -> FloatArray:
    """R of a QR factorisation."""
    return np.asarray(np.linalg.qr(matrix, mode="r"))
