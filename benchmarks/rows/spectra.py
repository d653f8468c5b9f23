"""The spectra of M alone, all layers, weights in memory: N x N problems against eigenvalues of the D x D product."""

import numpy as np

from .base import OURS, Row
from .checkpoints import SHAPES

STATES = 16


def _factors(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    layers, width = SHAPES[name]
    rng = np.random.default_rng(0)
    return [tuple(rng.standard_normal((2, STATES, 2 * width)).astype("float32")) for _ in range(layers)]


def _ours(name: str):
    from mamba_dynamics._linalg import spectrum_of_M

    factors = [(S_B.astype(float), S_C.astype(float)) for S_B, S_C in _factors(name)]
    return lambda: np.array([_sums(spectrum_of_M(*pair).eigenvalues) for pair in factors])


def _naive(name: str):
    factors = _factors(name)
    # One layer stands for all: each takes seconds, and they are alike.
    S_B, S_C = (one.astype(float) for one in factors[0])

    def run():
        eigenvalues = np.linalg.eigvals(S_C.T @ S_B)
        return {"answer": np.array([_sums(eigenvalues)]), "repeated": len(factors)}

    return run


def _sums(eigenvalues: np.ndarray) -> list[float]:
    """Power sums, which do not depend on the order."""
    return [float(np.sum(eigenvalues**k).real) for k in (1, 2)]


SPECTRA = Row(
    name="spectra",
    title="Spectra of M, all layers",
    sides={OURS: _ours, "numpy eigvals of S_C^T S_B": _naive},
    sizes=("mamba-130m",),
    tolerance=1e-9,
    note="the naive side does one layer; its time is multiplied by the number of layers",
)
