"""What a whole block does to its tokens, beside what its S6-only ODE would do.

The change (S_C, D, W_out) -> (-S_C, -D, -W_out) leaves a block's function exactly as it is and flips the sign of M, so
the scenario of the S6-only ODE belongs to a *representative* of the block (theory section 8). So M's sign is reported
beside what the change flips with it, and beside what it leaves alone:

* the mean sign of the skip D flips together with M;
* the correlation of the scan's output with D x, over tokens and channels, does not: negative where the scan works
  against the skip, whatever the representative. It is the sign of D relative to M as the tokens see it;
* the **radial rate** <u, Block(u)> / |u|^2 of each token is read from the block's function: does this block grow or
  shrink this token in the residual stream?
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .models import Visit

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BlockFacts:
    """One block on one text: `radial_rates` (L,), the skip beside the scan, and whether M's sign is a convention.

    `skip_sign_mean` is the mean of sign(D); `skip_correlation` that of the scan's output with D x, NaN where one of
    them does not vary. `sign_is_convention`: whether the change of representative above exists (not in Mamba-2, where
    C passes SiLU).
    """

    radial_rates: FloatArray
    skip_sign_mean: float
    skip_correlation: float
    sign_is_convention: bool

    @property
    def growing(self) -> float:
        """The share of tokens that the block lengthens in the residual stream."""
        return float(np.mean(self.radial_rates > 0))

    @classmethod
    def of(cls, visit: "Visit") -> "BlockFacts":
        """The facts of one layer of a walk."""
        from .models.mixers import Mamba1Selection

        selection, stages = visit.block.mixer.selection, visit.stages
        D = np.asarray(selection.D_skip, np.float64)
        scan, skip = np.asarray(stages.scan, np.float64).ravel(), (D * np.asarray(stages.x, np.float64)).ravel()
        residual, update = np.asarray(visit.residual, np.float64), np.asarray(stages.out, np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = np.einsum("ld,ld->l", residual, update) / np.einsum("ld,ld->l", residual, residual)
            correlation = float(np.corrcoef(scan, skip)[0, 1])
        return cls(rates, float(np.mean(np.sign(D))), correlation, isinstance(selection, Mamba1Selection))
