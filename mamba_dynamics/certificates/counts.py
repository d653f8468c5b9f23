"""`SignCounts`: how many eigenvalues of a matrix have a positive, a negative and a zero real part."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SignCounts:
    """How many eigenvalues have positive, negative and zero real part: each proved, their sum the size."""

    positive: int
    negative: int
    zero: int

    @property
    def definiteness(self) -> str:
        """What the counts say of a symmetric matrix."""
        size = self.positive + self.negative + self.zero
        if self.positive and self.negative:
            return "indefinite"
        if not self.positive and not self.negative:
            return "zero"
        sign = "positive" if self.positive else "negative"
        return f"{sign}_definite" if not self.zero and size else f"{sign}_semidefinite"
