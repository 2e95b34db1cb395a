"""TensorRT's entropy calibration: the threshold whose 128 levels tell least apart from the numbers seen.

    P(i)  the first i bins, everything beyond added to bin i - 1
    Q(i)  the first i bins summed up in L levels, each level's sum spread evenly over its bins that are not empty
    D(i)  = KL(P(i) || Q(i)), both made to sum to 1

The first bin is replaced by the second before (after ReLU it holds nearly all numbers, and they are exact anyway); i runs from
128 to the number of bins, and the last i with the least D wins. An i that leaves more numbers beyond it than within is passed
over (our definition): where none are near 0, as behind a sigmoid, all of P and of Q lie in one bin once i reaches the least of
them, so that D = 0 and everything would be clipped. Source: NVIDIA Model Optimizer 0.47,
modelopt/torch/quantization/calib/histogram.py, _compute_amax_entropy; S. Migacz, 8-bit Inference with TensorRT, GTC 2017.
"""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.magnitudes import Magnitudes

START = 128

# Divergences this close are equal: sums in another order differ by less.
TOLERANCE = 1e-12


class ThresholdForm(enum.Enum):
    """Which magnitude stands for the first i bins.

    EDGE: i * width, as in Model Optimizer. HALF_BIN: (i + 0.5) * width, as on the slides of 2017 and in caches that
    TensorRT writes: of a softmax, whose greatest number is 1, they hold the scale 0x3c010a14 = 2048.5 / 2048 / 127.
    """

    EDGE = "edge"
    HALF_BIN = "half_bin"


def entropy_threshold(
    magnitudes: Magnitudes, minimum: float, form: GridForm, threshold: ThresholdForm
) -> float:
    """Return the magnitude at which to clip; 0 where nothing but 0 was seen.

    Args:
        magnitudes: the histogram.
        minimum: the least number seen; an unsigned grid has twice the levels.
        form: of the grid; L is 2**(bits - 1), for numbers without sign on an asymmetric grid 2**bits.
        threshold: which magnitude stands for the winning number of bins.
    """
    if magnitudes.width == 0.0:
        return 0.0
    levels = 1 << (form.bits - 1 + form.is_unsigned(minimum))
    found = divergences(magnitudes.counts, levels)
    last = int(np.flatnonzero(found <= found.min() + TOLERANCE)[-1]) + START
    return magnitudes.width * (last + (0.5 if threshold is ThresholdForm.HALF_BIN else 0.0))


def divergences(counts: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """Return D(i) for i = START to the number of bins.

        D = (sum p log p) / T - log T - (sum over levels of p * log q) / T + log S

    with the sums of p over the bins of P before division by T = all counts, and S = the counts of the first i bins. All
    sums over bins are differences of running sums, so that each i costs O(levels). Infinite where P has numbers in a bin
    that is empty in Q, and where more numbers lie beyond the first i bins than in them.

    Args:
        counts: [bins], not negative; at least START bins.
        levels: L, at least 1.
    """
    p = counts.copy()
    p[0] = p[1]
    running = _running(p)
    filled = _running((p > 0).astype(np.float64))
    logarithms = _running(_x_log_x(p))
    total = running[-1]
    if total == 0.0:  # all numbers lie in the first bin
        return np.zeros(len(p) - START + 1)
    found = np.full(len(p) - START + 1, np.inf)
    for i in range(START, len(p) + 1):
        inside, last = running[i], p[i - 1]
        beyond = total - inside
        if beyond > inside or (beyond > 0 and last == 0.0):
            continue
        # Bin j is in level floor(j * L / i): level k starts at ceil(k * i / L).
        bounds = -(-np.arange(levels + 1) * i // levels)
        sums, bins = np.diff(running[bounds]), np.diff(filled[bounds])
        mean = sums / np.maximum(bins, 1.0)
        cross = float((sums * np.log(np.where(mean > 0, mean, 1.0))).sum())
        if beyond > 0:
            cross += beyond * float(np.log(mean[(i - 1) * levels // i]))
        own = logarithms[i] - _x_log_x(last) + _x_log_x(last + beyond)
        found[i - START] = (own - cross) / total - np.log(total) + np.log(inside)
    return found


def _running(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(terms)])


def _x_log_x(x: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(x * np.log(np.where(np.asarray(x) > 0, x, 1.0)))
