"""Ranges: the least and the greatest real number that each value is expected to take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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


# One range for every value of a graph, by value name.
Ranges = Mapping[str, Range]
