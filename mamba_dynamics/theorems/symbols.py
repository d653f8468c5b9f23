"""Symbols of section 3 for the proofs, with the assumptions under which sympy may use them."""

import sympy as sp

#: Sizes: |x_l|, a later token's, the earlier tokens' drive g_{l-1}, |mu|, decay rate, |s|, time, a constant step.
x, y, g, mu, a, S, t, delta = sp.symbols("x y g mu a S t delta", positive=True)
#: Free signs: the step size's slope and bias.
s, b = sp.symbols("s b", real=True)
#: Other positive constants.
c, k, w = sp.symbols("c k w", positive=True)
#: An entry of the causal mask: 0 or 1, here any number.
m = sp.Symbol("m", nonnegative=True)
#: The kept share e^{-a delta_0} of one step, in (0, 1) for the numbers.
q = sp.Symbol("q", positive=True)


def SOFTPLUS(z: sp.Expr) -> sp.Expr:
    """ln(1 + e^z)."""
    return sp.log(1 + sp.exp(z))
