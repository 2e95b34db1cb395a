"""A histogram of |x| that grows with what it sees."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Bins between 0 and the greatest magnitude of the first batch. Source: NVIDIA Model Optimizer 0.47,
# modelopt/torch/quantization/calib/histogram.py, num_bins.
BINS = 2048

# Bins at most: a later batch that reaches further than eight times the first makes the bins wider. Our definition; the
# published collector appends without a limit.
MOST_BINS = 8 * BINS


def _no_counts() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class Magnitudes:
    """How often each magnitude was seen.

    The first batch that is not all 0 fixes the width, its greatest magnitude / BINS; a later batch that reaches further appends
    bins of that width. Source: as BINS, `collect`.

    Attributes:
        width: of a bin, positive; 0 while nothing but 0 was seen.
        counts: float64 [n], bin i holds magnitudes in [i * width, (i + 1) * width), the last one its end as well.
        zeros: how many 0 were seen while the width was 0.
    """

    width: float = 0.0
    counts: NDArray[np.float64] = field(default_factory=_no_counts)
    zeros: int = 0

    @property
    def edges(self) -> NDArray[np.float64]:
        """The ends of the bins, [n + 1]."""
        return np.asarray(self.width * np.arange(len(self.counts) + 1), np.float64)

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin, [n]."""
        return np.asarray(self.width * (np.arange(len(self.counts)) + 0.5), np.float64)

    def including(self, array: NDArray[Any]) -> Magnitudes:
        """Return the histogram with a batch more.

        Args:
            array: finite numbers, any shape, at least one.
        """
        magnitudes = np.abs(array.astype(np.float64).ravel())
        greatest = float(magnitudes.max())
        if self.width == 0.0:
            if greatest == 0.0:
                return Magnitudes(zeros=self.zeros + magnitudes.size)
            started = np.zeros(BINS)
            started[0] = self.zeros
            return Magnitudes(greatest / BINS, started).including(array)
        width, counts = self.width, self.counts
        while greatest > width * MOST_BINS:
            width *= 2
            counts = np.pad(counts, (0, len(counts) % 2)).reshape(-1, 2).sum(axis=1)
        size = max(len(counts), min(math.ceil(greatest / width), MOST_BINS))
        index = np.minimum((magnitudes / width).astype(np.int64), size - 1)
        grown = np.bincount(index, minlength=size).astype(np.float64)
        grown[: len(counts)] += counts
        return Magnitudes(width, grown)
