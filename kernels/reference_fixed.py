"""The oracle of TFLite's means and softmax. `reference.py` says how to read it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels import numerics
from intlower.kernels.numerics_fixed import SUM_INTEGER_BITS, share_of_total
from intlower.kernels.numerics_log import divide_half_away
from intlower.kernels.reference_movement import stored, windows
from intlower.kernels.signature import KernelKey

Codes = NDArray[Any]


def mean_pool(
    key: KernelKey,
    codes: Codes,
    *,
    kernel_shape: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    minimum: int,
    maximum: int,
) -> Codes:
    """Return the mean code of each window, on the input's grid, equation (L9).

        y = clamp(divide_half_away(sum of the codes, how many there are), minimum, maximum)

    Ties are away from code 0, which need not be real 0.

    Args:
        key: names the element type.
        codes: [N, C, H, W].
        kernel_shape: (height, width) of the window.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right); neither summed nor counted.
        minimum: least output code.
        maximum: greatest output code.
    """
    border = ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3]))
    padded = np.pad(codes.astype(np.int64), border)
    counted = np.pad(np.ones((1, 1, *codes.shape[2:]), np.int64), border)
    total, count = (
        windows(x, kernel_shape, strides, (1, 1)).sum(axis=(-2, -1)) for x in (padded, counted)
    )
    return stored(key.output, divide_half_away(total, count), minimum, maximum)


def softmax_fixed(
    key: KernelKey, codes: Codes, *, table: NDArray[np.int32], axis: int
) -> Codes:
    """Return exp(x) / sum(exp(x)) in fixed point, equations (F1) and (F2).

        e_i = table[max_j q_j - q_i],   y_i = share_of_total(e_i, sum_j shift_half_away(e_j, 12), 8) + least code

    Args:
        key: names the element type, of 8 bits.
        codes: any shape, fewer than 4096 along the axis.
        table: int32 [256], Q31: exp(-scale * d) of each difference of codes d, 2**31 - 1 for 0.
        axis: along which to normalise.

    The output's scale is 1/256, its zero point the least code.
    """
    q = codes.astype(np.int64)
    exponentials = table.astype(np.int64)[q.max(axis=axis, keepdims=True) - q]
    shortened = numerics.shift_half_away(exponentials, SUM_INTEGER_BITS)
    total = shortened.sum(axis=axis, keepdims=True)
    low, high = key.output.limits
    return stored(key.output, share_of_total(exponentials, total, 8) + low, low, high)
