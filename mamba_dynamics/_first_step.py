"""The first step of an integration as a traced number, in programs that JAX can keep in its compilation cache."""

from typing import Any

import diffrax


class PIDFirstStep(diffrax.PIDController):
    """`diffrax.PIDController` that tries `first_step` (a scalar) first; `diffeqsolve` is given dt0 = None.

    The sign of a traced dt0 is checked by a callback into Python, and a program with a callback is not kept: every
    process would compile it anew.
    """

    first_step: Any = None

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        return super().init(terms, t0, t1, y0, self.first_step, args, func, error_order)
