"""The catalogue: every theorem and every sharp statement, one file each."""

from ..contract import Theorem
from . import convergent_constants

CATALOGUE: dict[str, Theorem] = {module.THEOREM.name: module.THEOREM for module in (convergent_constants,)}
