"""The threshold with the least squared error."""

from __future__ import annotations

import numpy as np

from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.magnitudes import Magnitudes

# The first bin whose centre is tried as a threshold. Source: NVIDIA Model Optimizer 0.47,
# modelopt/torch/quantization/calib/histogram.py, start_bin.
START = 128


def mse_threshold(
    magnitudes: Magnitudes, minimum: float, maximum: float, form: GridForm
) -> float:
    """Return the bin centre c, from bin START on, with the least sum of counts * (q(x) - x)**2 over bin centres x.

        q(x) = s * min(half_even(x / s), greatest code),  s = c / greatest code

    The first of equals. On an asymmetric grid s is what the range, limited to c, leaves for each of its steps: our
    definition, the published rule has symmetric grids and unsigned ones. 0 where nothing but 0 was seen.
    Source: as START, _compute_amax_mse.

    Args:
        magnitudes: the histogram.
        minimum: the least number seen.
        maximum: the greatest number seen.
        form: of the grid.
    """
    if magnitudes.width == 0.0:
        return 0.0
    x, counts = magnitudes.centres, magnitudes.counts
    low, high = min(minimum, 0.0), max(maximum, 0.0)
    best, least = float(x[-1]), np.inf
    for c in x[START:]:
        if form.symmetric:
            step = c / form.positive_steps
        else:
            step = (min(high, c) - max(low, -c)) / form.steps
        quantized = np.minimum(np.rint(x / step) * step, c)
        error = float(np.dot(counts, np.square(quantized - x)))
        if error < least:
            best, least = float(c), error
    return best
