"""`AbstractReordering`: the order in which a mixer's scan sees its tokens; see `mamba_dynamics.refinements`.

The mixer asks for a matrix P (L, L) after convolution and SiLU, and scans P x instead of x: B, C and the step sizes are
those of P x, and so is the token that the skip term adds. What happens around the scan is the `mode`:

    "x"             nothing: gate, output and residual stream stay in the order of the text
    "x_and_gate"    the gate is reordered as well, so row i of the output belongs to the i-th token scanned
    "restored"      the scan's output goes back, P^T (scan + D P x), before it meets the gate

P^T is P's inverse for a permutation only.
"""

import abc
from typing import Literal

import equinox as eqx
from jaxtyping import Array, Float

Mode = Literal["x", "x_and_gate", "restored"]
MODES: tuple[Mode, ...] = ("x", "x_and_gate", "restored")


class AbstractReordering(eqx.Module):
    """A rule for the order of the tokens, from the raw step sizes S_Delta x + b of each."""

    mode: eqx.AbstractVar[Mode]

    @abc.abstractmethod
    def order(self, raw_step_sizes: Float[Array, "L E"]) -> Float[Array, "L L"]:
        """P, whose row i weighs the tokens that the scan sees i-th."""
