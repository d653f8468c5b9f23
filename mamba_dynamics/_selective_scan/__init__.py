"""The S6 recurrence, its chunked form for heads with one decay rate (SSD), and its hidden attention (theory section 1).

Symbols, for L tokens in D channels with N states:

    x (L, D), B (L, N), C (L, N)     tokens and their projections
    delta (L, D)                     step sizes, positive
    a (D, N)                         decay rates, A = -a

    h_{d,l} = exp(-a_d delta_ld) h_{d,l-1} + delta_ld B_l x_ld,      y_{dl} = C_l . h_{d,l}

(zero-order hold on A, Euler on B: what the reference implementations compute). In Mamba-2 a head of P channels shares
one step size and one rate, and the heads of a group share B and C:

    x (L, H, P), B, C (L, G, N), delta (L, H), a (H,)       head h uses group h // (H / G)

A scan of one decay rate per state is a kernel where the program runs on a CUDA GPU (`kernels`), elsewhere a loop.
"""

from .attention import hidden_attention
from .recurrence import scan_with_sizes, selective_scan
from .state_space_duality import state_space_dual
from .trainable import trainable_scan

__all__ = ["hidden_attention", "scan_with_sizes", "selective_scan", "state_space_dual", "trainable_scan"]
