"""Numbers that stand for all numbers of a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Numbers kept at most. Every third is kept when they become more: three divides few sizes of feature maps, so that no position
# or channel is left out for good.
MOST = 1 << 16
THINNING = 3

# Extreme numbers kept on each side.
EXTREMES = 64


@dataclass(frozen=True, slots=True, eq=False)
class WeightedNumbers:
    """Numbers and how much each counts.

    Attributes:
        values: float64 [n].
        weights: float64 [n], not negative.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def equal(cls, values: NDArray[Any]) -> WeightedNumbers:
        """Return numbers that count alike."""
        flat = values.astype(np.float64).ravel()
        return cls(flat, np.ones(flat.size))


def _none() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Every `stride`-th number of a stream, and its extremes: the same for the same numbers, however they are batched.

    Attributes:
        values: float64 [at most MOST].
        stride: a power of THINNING.
        count: numbers seen.
        greatest: the EXTREMES greatest numbers, ascending; fewer where fewer were seen.
        least: likewise the least, ascending.
    """

    values: NDArray[np.float64] = field(default_factory=_none)
    stride: int = 1
    count: int = 0
    greatest: NDArray[np.float64] = field(default_factory=_none)
    least: NDArray[np.float64] = field(default_factory=_none)

    @property
    def numbers(self) -> WeightedNumbers:
        """The numbers kept, each counting alike."""
        return WeightedNumbers.equal(self.values)

    def including(self, array: NDArray[Any]) -> Sample:
        """Return the sample with a batch more.

        Args:
            array: finite numbers, any shape.
        """
        flat = array.astype(np.float64).ravel()
        stride, kept = self.stride, self.values
        added = flat[-self.count % stride :: stride]
        kept = np.concatenate([kept, added])
        while len(kept) > MOST:
            stride, kept = stride * THINNING, kept[::THINNING]
        greatest = np.sort(np.concatenate([self.greatest, _top(flat)]))[-EXTREMES:]
        least = np.sort(np.concatenate([self.least, -_top(-flat)]))[:EXTREMES]
        return Sample(kept, stride, self.count + flat.size, greatest, least)


def _top(flat: NDArray[np.float64]) -> NDArray[np.float64]:
    if flat.size <= EXTREMES:
        return flat
    return np.asarray(np.partition(flat, flat.size - EXTREMES)[-EXTREMES:])
