"""Percentiles: all but a small share of the numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.magnitudes import Magnitudes

# The share of numbers that is left out: at each end of a range, or at the top of magnitudes. Source: 99.99 %, the default
# of NVIDIA Model Optimizer 0.47, modelopt/torch/quantization/calib/histogram.py, compute_amax.
TAIL = 1e-4


def without_tails(
    histogram: NDArray[np.int64], low: float, high: float, tail: float = TAIL
) -> tuple[float, float]:
    """Return the edges of the bins that hold all but `tail` of the numbers at each end.

    Args:
        histogram: counts of equal bins between `low` and `high`, at least one number.
        low: the least number.
        high: the greatest number.
        tail: in [0, 0.5).
    """
    edges = np.linspace(low, high, len(histogram) + 1)
    share = np.cumsum(histogram) / histogram.sum()
    first = int(np.searchsorted(share, tail, side="right"))
    last = int(np.searchsorted(share, 1 - tail, side="left"))
    return float(edges[first]), float(edges[min(last, len(histogram) - 1) + 1])


def weighted_tails(
    values: NDArray[np.float64], weights: NDArray[np.float64], tail: float = TAIL
) -> tuple[float, float]:
    """Return the least and the greatest number after `tail` of the weight at each end is left out.

    Args:
        values: [n], any order.
        weights: [n], not negative, not all 0.
        tail: in [0, 0.5).
    """
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    last = len(order) - 1
    first, end = np.searchsorted(share, [tail, 1 - tail])
    return float(values[order[min(int(first), last)]]), float(
        values[order[min(int(end), last)]]
    )


def magnitude_percentile(magnitudes: Magnitudes, tail: float = TAIL) -> float:
    """Return the lower edge of the bin in which the share of magnitudes reaches 1 - tail.

    0 where nothing but 0 was seen, and where all but the tail lies in the first bin. Source: NVIDIA Model Optimizer 0.47,
    modelopt/torch/quantization/calib/histogram.py, _compute_amax_percentile.

    Args:
        magnitudes: the histogram.
        tail: in [0, 1).
    """
    if magnitudes.width == 0.0:
        return 0.0
    share = np.cumsum(magnitudes.counts / magnitudes.counts.sum())
    index = int(np.searchsorted(share, 1 - tail))
    return float(magnitudes.edges[min(index, len(share))])
