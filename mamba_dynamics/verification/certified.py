"""What ball arithmetic proves of the catalogue: one entry per theorem that has a certificate beyond its hypotheses."""

from collections.abc import Callable
from typing import Any

from ..theorems.contract import Theorem

Certificate = Callable[[Theorem, int, int], dict[str, Any]]

CERTIFICATES: dict[str, Certificate] = {}
