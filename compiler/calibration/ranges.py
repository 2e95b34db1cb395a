"""What a range is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from intlower.compiler.errors import CalibrationError


@dataclass(frozen=True, slots=True)
class Range:
    """An interval of reals and where it came from.

    Attributes:
        minimum: finite.
        maximum: finite, at least `minimum`.
        source: in words, for reports: "batch-norm moments", "samples (min-max)", ...
    """

    minimum: float
    maximum: float
    source: str

    def __post_init__(self) -> None:
        if not (
            math.isfinite(self.minimum)
            and math.isfinite(self.maximum)
            and self.minimum <= self.maximum
        ):
            raise CalibrationError(
                f"a range must be finite and ordered, not [{self.minimum}, {self.maximum}] "
                f"(from {self.source})"
            )

    def clipped(self, low: float, high: float) -> Range:
        """Return the range after a limiter, an activation for example."""
        return Range(
            min(max(self.minimum, low), high), min(max(self.maximum, low), high), self.source
        )

    def joined(self, other: Range) -> Range:
        """Return the least range that holds both."""
        return Range(
            min(self.minimum, other.minimum), max(self.maximum, other.maximum), self.source
        )


# One range for every value of a graph, by value name.
Ranges = Mapping[str, Range]
