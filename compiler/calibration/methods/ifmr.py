"""Ascend's IFMR: the greatest number scaled so that the squared error is least.

Source: hicann/amct amct_pytorch/custom_op/ifmr/ifmr_impl.py. The documentation says that the least number is searched as well;
the published code, followed here, keeps it.
"""

from __future__ import annotations

import numpy as np

from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.sample import Sample, WeightedNumbers

# The share of numbers between which the search begins.
PERCENTILE = 0.999999

# Ratios of the greatest number: 0.70, 0.71, ... 1.30. The float arithmetic of the source's arange includes the end.
RATIOS = 0.7 + 0.01 * np.arange(61)

# A scale below float32's epsilon is replaced by 1 (process_scale).
LEAST_SCALE = 1.1920929e-7


def search_ends(sample: Sample) -> tuple[float, float]:
    """Return the least and the greatest number of the middle PERCENTILE, 0 included.

    The n-th least and greatest for n = count - trunc(PERCENTILE * count); at most as many as a sample keeps, which is
    enough for 64 million numbers.

    Args:
        sample: of the value, not empty.
    """
    n = sample.count - int(PERCENTILE * sample.count)
    n = min(max(n, 1), len(sample.greatest))
    return min(float(sample.least[n - 1]), 0.0), max(float(sample.greatest[-n]), 0.0)


def ifmr_range(
    numbers: WeightedNumbers, minimum: float, maximum: float, form: GridForm
) -> tuple[float, float]:
    """Return the range whose upper end, one of RATIOS of `maximum`, has the least squared error; the first of equals.

        error = sum of weight * (s * half_even(clip(x) / s) - x)**2

    with s = (end - minimum) / steps; symmetric, s = end / 127 of the greater magnitude, / 128 where that is negative (8 bits).

    Args:
        numbers: representative.
        minimum: where the search begins, at most 0.
        maximum: likewise, at least 0.
        form: of the grid.
    """
    x, weights = numbers.values, numbers.weights
    bound, codes = max(maximum, -minimum), form.positive_steps + (maximum < -minimum)
    best, least = (minimum, maximum), np.inf
    for ratio in RATIOS:
        if form.symmetric:
            high = ratio * bound
            low, scale = -high, high / codes
        else:
            low, high = minimum, ratio * maximum
            scale = (high - low) / form.steps
        if scale < LEAST_SCALE:
            scale = 1.0
        error = float(
            np.dot(weights, np.square(np.rint(np.clip(x, low, high) / scale) * scale - x))
        )
        if error < least:
            least = error
            # A symmetric grid of ours takes its scale from the range and its greatest code.
            reach = scale * form.positive_steps
            best = (-reach, reach) if form.symmetric else (low, low + scale * form.steps)
    return best
