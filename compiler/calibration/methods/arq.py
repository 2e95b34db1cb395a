"""Ascend's ARQ: the scales of weights.

Source: hicann/amct amct_pytorch/custom_op/arq/arq_impl.py and custom_op/utils.py (process_scale).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.ifmr import LEAST_SCALE


def arq_scales(
    weights: NDArray[Any], bits: int = 8, axis: int | None = 0
) -> NDArray[np.float32]:
    """Return max|w| / 127 of each channel, or max|w| / 128 where the number of that magnitude is negative (8 bits).

    So the least code, -128, is used where it helps. A channel all but 0 has the scale 1.

    Args:
        weights: [out, ...].
        bits: of a code.
        axis: of the channels; None for one scale, of shape [].

    >>> arq_scales(np.array([[1.27, -1.0], [0.5, -1.28], [0.0, 0.0]])).round(4).tolist()
    [0.009999999776482582, 0.009999999776482582, 1.0]
    """
    w = weights.astype(np.float64)
    rows = (
        w.reshape(1, -1) if axis is None else np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1)
    )
    high, low = rows.max(axis=1), rows.min(axis=1)
    greatest = (1 << (bits - 1)) - 1
    scale = np.where(
        np.abs(high) >= np.abs(low), np.abs(high) / greatest, np.abs(low) / (greatest + 1)
    )
    scale = np.where(scale < LEAST_SCALE, 1.0, scale).astype(np.float32)
    return scale[0] if axis is None else scale
