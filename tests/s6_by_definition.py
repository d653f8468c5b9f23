"""The S6 layer straight from the theory's formulas, in plain numpy loops: an oracle, slow on purpose."""

import math

import numpy as np


def softplus(z: float) -> float:
    return math.log1p(math.exp(-abs(z))) + max(z, 0.0)


def attention_by_definition(layer, x):
    """P_dlj of theory section 1 for a one-group layer without norms, x (L, D); shape (D, L, L)."""
    S_B, S_C, S_Delta, b, a = layer.S_B[0], layer.S_C[0], layer.S_Delta(), layer.dt_bias[0], layer.a[0]
    L, D = x.shape
    N = S_B.shape[0]
    P = np.zeros((D, L, L))
    for d in range(D):
        delta = [softplus(float(S_Delta[d] @ x[l]) + float(b[d])) for l in range(L)]
        for l in range(L):
            for j in range(l + 1):
                since = sum(delta[j + 1 : l + 1])
                P[d, l, j] = delta[j] * sum(
                    (S_C[n] @ x[l]) * (S_B[n] @ x[j]) * math.exp(-a[d, min(n, a.shape[1] - 1)] * since)
                    for n in range(N)
                )
    return P


def field_by_definition(layer, x):
    """dx_ld/dt = sum_j P_dlj x_jd."""
    return np.einsum("dlj,jd->ld", attention_by_definition(layer, x), x)
