"""The reparametrised x_proj of the paper's WikiText models (refinement 1, theory section 7).

Their checkpoints hold the raw parameter X (R + 2N, D) of a torch parametrisation. The rows read

    X[:R]               S_Delta's low-rank factor, used as it is
    X[R : R + N]        its part above the diagonal, with ones put on the diagonal, is U
    X[R + N :, 0]       raw, one number per state; the other columns are never used

    S_C = U,   S_B = diag(lambda) U,   M = U^T diag(lambda) U

    positive   lambda = softplus(raw) + 0.7
    negative   lambda = -softplus(raw) - 0.7
    mixed      lambda = softplus(raw), negated for the states from N // 2 on

Which of the three maps applies is a property of the code that saved the file, not of the file,
so the caller has to say it.

    Vo, Pham, Tong, Nguyen: Demystifying the Token Dynamics of Deep Selective State Space Models,
    ICLR 2025, arXiv:2410.03292; the layout is that of the official code, github.com/Fsoft-AIC/Mamba-token-dynamic.
"""

import numpy as np

from .._layer import FloatArray

VARIANTS = ("positive", "negative", "mixed")
SUFFIX = "x_proj.parametrizations.weight.original"
THRESHOLD = 0.7


def effective_x_proj(raw: FloatArray, rank: int, d_state: int, variant: str) -> FloatArray:
    """The weight (R + 2N, D) that the model uses, rows [dt; B; C], from the stored parameter."""
    U = np.triu(raw[rank : rank + d_state])
    np.fill_diagonal(U, 1.0)
    eigenvalues = _signed(np.logaddexp(0.0, raw[rank + d_state :, 0]), variant)
    return np.concatenate([raw[:rank], eigenvalues[:, None] * U, U])


def _signed(magnitude: FloatArray, variant: str) -> FloatArray:
    if variant == "positive":
        return magnitude + THRESHOLD
    if variant == "negative":
        return -magnitude - THRESHOLD
    return np.where(np.arange(magnitude.size) < magnitude.size // 2, magnitude, -magnitude)
