"""What a rule has to know of the grid that will be laid over its range."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GridForm:
    """The number of levels and where they lie.

    Attributes:
        bits: width of a code, 2 to 16.
        symmetric: levels -2**(bits-1) to 2**(bits-1) - 1 around 0, the scale from the greatest magnitude; otherwise
            2**bits levels from the least to the greatest number, 0 among them.
    """

    bits: int = 8
    symmetric: bool = True

    @property
    def positive_steps(self) -> int:
        """The greatest code of the symmetric grid."""
        return (1 << (self.bits - 1)) - 1

    @property
    def steps(self) -> int:
        """Steps from the least to the greatest code."""
        return (1 << self.bits) - 1

    def is_unsigned(self, minimum: float) -> bool:
        """Return whether numbers from `minimum` up use all codes on one side of 0."""
        return not self.symmetric and minimum >= 0


def within(minimum: float, maximum: float, bound: float) -> tuple[float, float]:
    """Return the range seen, its magnitudes limited to `bound`.

    The side of the greater magnitude ends at `bound` exactly, which may lie past what was seen: so a symmetric grid gets the
    threshold that the rule chose.

    >>> within(-1.0, 8.0, 4.0), within(0.0, 1.0, 1.5)
    ((-1.0, 4.0), (0.0, 1.5))
    """
    if maximum >= -minimum:
        return max(minimum, -bound), bound
    return -bound, min(maximum, bound)
