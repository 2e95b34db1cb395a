"""How far a sum of products can go, whatever the input codes are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.row_blocks import row_blocks


def product_bounds(
    codes: NDArray[Any], weight_zero_point: int | NDArray[np.int64], low: int, high: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, per output channel, between what values every partial sum of products lies, in any order.

    Each product w * x lies between min(w * low, w * high) <= 0 and max(...) >= 0, since real 0 is a code; so the sum of
    the minima and the sum of the maxima bound all partial sums, and some input reaches each.

    Args:
        codes: weight codes, [O, ...].
        weight_zero_point: theirs, one or [O].
        low: the least input code less the input's zero point, not positive.
        high: the greatest alike, not negative.
    """
    flat = codes.reshape(codes.shape[0], -1)
    zero_points = np.broadcast_to(np.reshape(weight_zero_point, (-1, 1)), (len(flat), 1))
    lowest, highest = np.empty(len(flat), np.int64), np.empty(len(flat), np.int64)
    for rows in row_blocks(flat.shape):
        w = flat[rows].astype(np.int64) - zero_points[rows]
        lowest[rows] = np.minimum(w * low, w * high).sum(axis=1)
        highest[rows] = np.maximum(w * low, w * high).sum(axis=1)
    return lowest, highest


# Widths of an accumulator that saturates at every product.
SATURATING_BITS = (16, 31)


def saturates(bits: int, bias: NDArray[np.int64], product: int) -> bool:
    """Return whether biases lie in an accumulator that saturates, and no sum leaves int32 before it does.

    Args:
        bits: its width.
        bias: [O].
        product: the greatest magnitude of one product.
    """
    limit = 1 << (bits - 1)
    inside = bool((bias >= -limit).all() and (bias < limit).all())
    return inside and limit + product < 1 << 31
