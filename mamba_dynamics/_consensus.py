"""How far tokens point the same way: two measures of the Gram matrix of their directions (theory section 9).

With unit tokens z_l and eigenvalues lambda_k of the Gram matrix <z_l, z_m> / L, which add up to 1:

* **leading share**: the largest of them, 1 for collinear tokens, 1 / L for orthogonal ones;
* **participation ratio** 1 / sum lambda_k^2: how many directions the tokens fill, from 1 to L.

Both are blind to the sign and the size of a token.

    @article{silvestre2026attention,
      title={The Attention Within: Consensus Dynamics in Selective State Space Models},
      author={Silvestre and Rodr{\\'i}guez Abella and Tabuada},
      year={2026}
    }
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Consensus:
    """Both measures of one set of tokens; NaN where every token is zero."""

    leading_share: float
    participation_ratio: float

    @classmethod
    def of(cls, tokens: NDArray[np.floating]) -> "Consensus":
        """The measures of tokens (L, d); zero tokens, which have no direction, are left out."""
        tokens = np.asarray(tokens, np.float64)
        sizes = np.linalg.norm(tokens, axis=1)
        units = tokens[sizes > 0] / sizes[sizes > 0, None]
        if not len(units):
            return cls(np.nan, np.nan)
        shares = np.linalg.svd(units, compute_uv=False) ** 2 / len(units)
        return cls(float(shares[0]), float(1 / np.sum(shares**2)))
