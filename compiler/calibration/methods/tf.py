"""Qualcomm's two rules: `tf`, the extremes, and `enhanced`, saturation weighed against rounding.

Source: SNPE documentation, Quantized models, for `tf`; for `enhanced` quic/aimet ModelOptimizations/DlQuantization/src/
TfEnhancedEncodingAnalyzer.cpp and math_functions.cpp, as released in aimet-onnx 2.42, whose encodings the tests hold. Against the
older sources that release has three times the bins, edges at multiples of the width, and treats each candidate on its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.form import GridForm

MINIMUM_RANGE = 0.01

# How far the density reaches, in ranges of the first batch, for it is never moved again; 512 bins lie within that range.
REACH = 3
BINS = REACH * 512

# The price of saturation in units of rounding error, GAMMA.
SATURATION_PRICE = 3.0

# Candidates: 17 scales of sixteenths times 21 offsets; symmetric, 101 scales of hundredths.
SCALES, OFFSETS, SYMMETRIC_SCALES = 16, 20, 100


def tf_range(minimum: float, maximum: float) -> tuple[float, float]:
    """Return the range seen with 0 in it, and at least MINIMUM_RANGE wide.

    >>> tf_range(5.0, 10.0), tf_range(-2.0, -1.0), tf_range(0.0, 0.001)
    ((0.0, 10.0), (-2.0, 0.0), (0.0, 0.01))
    """
    low, high = min(minimum, 0.0), max(maximum, 0.0)
    return low, max(high, low + MINIMUM_RANGE)


def _no_shares() -> NDArray[np.float64]:
    return np.zeros(BINS)


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """The share of numbers in each of BINS bins, the mean over batches.

    The first batch that is not all 0 fixes the bins: its range, widened three times about its middle, down to a multiple of the
    width. What later batches hold beyond is not counted.

    Attributes:
        left: the first edge.
        width: of a bin, positive; 0 while nothing but 0 was seen.
        shares: float64 [BINS].
        batches: how many were seen since.
    """

    left: float = 0.0
    width: float = 0.0
    shares: NDArray[np.float64] = field(default_factory=_no_shares)
    batches: int = 0

    @classmethod
    def over(cls, minimum: float, maximum: float) -> Density:
        """Return the empty density whose first batch has these extremes."""
        if minimum == 0.0 and maximum == 0.0:
            return cls()
        if minimum == maximum:
            maximum = minimum + 0.01
        middle, half = (maximum + minimum) / 2, REACH * (maximum - minimum) / 2
        width = 2 * half / BINS
        return cls(math.floor((middle - half) / width) * width, width)

    def including(self, array: NDArray[Any]) -> Density:
        """Return the density with a batch more.

        Args:
            array: finite numbers, any shape, at least one.
        """
        if self.width == 0.0:
            started = Density.over(float(array.min()), float(array.max()))
            return self if started.width == 0.0 else started.including(array)
        quotient = (array.astype(np.float64).ravel() - self.left) / self.width
        inside = quotient[(quotient >= 0) & (quotient < BINS)]
        counts = np.bincount(inside.astype(np.int64), minlength=BINS)
        shares = (self.shares * self.batches + counts / array.size) / (self.batches + 1)
        return Density(self.left, self.width, shares, self.batches + 1)


def enhanced_range(density: Density, form: GridForm) -> tuple[float, float]:
    """Return the range of the candidate grid with the least cost, the first of equals.

        cost = 3 * (squared distance of saturated numbers to the end of the grid) + (squared rounding error of the rest)

    over the middles of the bins, of any number. Candidates: asymmetric, scales of 1/16 to 17/16 of the observed one with 21 offsets each,
    drawn into the observed range, and the observed grid; symmetric, scales of 1/100 to 101/100.

    Args:
        density: of the value; where it has seen nothing but 0, the result is [0, MINIMUM_RANGE].
        form: of the grid.
    """
    if density.width == 0.0:
        return tf_range(0.0, 0.0)
    points = density.left + density.width * np.arange(len(density.shares))
    filled = np.flatnonzero(density.shares > 0)
    low, high = tf_range(float(points[filled[0]]), float(points[max(int(filled[-1]), 1)]))
    candidates = (_symmetric if form.symmetric else _asymmetric)(low, high, form.steps)
    best, least = (0.0, 0), math.inf
    for scale, offset in candidates:
        cost = _cost(density, scale, offset, form.steps)
        if cost < least:
            best, least = (scale, offset), cost
    scale, offset = best
    if (
        form.symmetric
    ):  # the scale of our symmetric grids is the greatest number / the greatest code
        return -scale * form.positive_steps, scale * form.positive_steps
    return scale * offset, scale * (offset + form.steps)


def _asymmetric(low: float, high: float, steps: int) -> Iterator[tuple[float, int]]:
    observed = (high - low) / steps
    observed_offset = _half_away(low / observed)
    low = observed * observed_offset
    high = low + observed * steps
    for f in range(1, SCALES + 2):
        scale = f / SCALES * observed
        for i in range(OFFSETS + 1):
            offset = math.trunc(-steps + steps / OFFSETS * i)
            start, end = scale * offset, scale * (offset + steps)
            if start < low and end > high:
                continue
            start, end = max(low, start), min(high, end)
            narrowed = (end - start) / steps
            if narrowed > 0:
                yield narrowed, _half_away(start / narrowed)
    yield observed, observed_offset


def _symmetric(low: float, high: float, steps: int) -> Iterator[tuple[float, int]]:
    greatest = 2 * max(high, -low) / steps
    for f in range(1, SYMMETRIC_SCALES + 2):
        yield f / SYMMETRIC_SCALES * greatest, math.floor(-steps / 2)


def _cost(density: Density, scale: float, offset: int, steps: int) -> float:
    bins = len(density.shares)
    middles = density.left + density.width * (np.arange(bins) + 0.5)
    first, last = (
        min(max(math.floor((end - density.left) / density.width), 0), bins - 1)
        for end in (scale * offset, scale * (offset + steps))
    )
    below = np.square(middles[:first] - middles[first])
    above = np.square(middles[last:] - middles[last])
    x = middles[first:last]
    codes = x / scale - offset
    rounded = np.copysign(np.floor(np.abs(codes) + 0.5), codes)
    rounding = np.square(x - scale * (rounded + offset))
    shares = density.shares
    saturation = np.dot(shares[:first], below) + np.dot(shares[last:], above)
    return float(SATURATION_PRICE * saturation + np.dot(shares[first:last], rounding))


def _half_away(x: float) -> int:
    return int(math.copysign(math.floor(abs(x) + 0.5), x))
