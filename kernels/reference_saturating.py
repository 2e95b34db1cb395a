"""The oracle of sums that saturate at every product; `reference.py` says how to read it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[Any]
Accumulators = NDArray[np.int64]


def saturating_sums(
    codes: Codes,
    *,
    weights: Codes,
    bias: Codes,
    input_zero_point: int,
    weight_zero_point: int,
    accumulator_bits: int,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Accumulators:
    """Return the sums of a convolution, [N, O, H', W'], or matrix product, [N, O], that saturate, equation (19).

        a = bias;  for u, for v, for c:  a = clamp(a + x[c, u, v] * w[c, u, v], -2**(bits-1), 2**(bits-1) - 1)

    The bias is within these limits, and taps that meet padding add 0, as if left out.

    Source: EE.VMULAS.S8.QACC, ESP32-S3 Technical Reference Manual; the order is that of espressif/esp-dl
    esp-dl/dl/base/isa/tie728/dl_tie728_s8_conv2d.S.

    Args:
        codes: [N, C, H, W] or [N, I].
        weights: [O, C/groups, kh, kw] or [O, I].
        bias: [O].
        input_zero_point: code of real 0 in the input.
        weight_zero_point: code of real 0 in the weights.
        accumulator_bits: its width, two's complement.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), of real zeros.
        dilations: (vertical, horizontal).
        groups: of channels.
    """
    x = codes.astype(np.int64) - input_zero_point
    w = weights.astype(np.int64) - weight_zero_point
    if x.ndim == 2:
        sums = _image_sums(
            x[:, :, None, None], w[:, :, None, None], bias, (1, 1), (1, 1), 1, accumulator_bits
        )
        return sums[:, :, 0, 0]
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    return _image_sums(padded, w, bias, strides, dilations, groups, accumulator_bits)


def _image_sums(
    x: Accumulators,
    weights: Accumulators,
    bias: Codes,
    strides: tuple[int, int],
    dilations: tuple[int, int],
    groups: int,
    accumulator_bits: int,
) -> Accumulators:
    outputs, depth, kernel_height, kernel_width = weights.shape
    height = (x.shape[2] - dilations[0] * (kernel_height - 1) - 1) // strides[0] + 1
    width = (x.shape[3] - dilations[1] * (kernel_width - 1) - 1) // strides[1] + 1
    limit = 1 << (accumulator_bits - 1)
    images = x.reshape(len(x), groups, 1, depth, *x.shape[2:])
    filters = weights.reshape(1, groups, outputs // groups, depth, kernel_height, kernel_width)
    sums = np.broadcast_to(
        bias.astype(np.int64).reshape(1, groups, -1, 1, 1),
        (len(x), groups, outputs // groups, height, width),
    )
    for u in range(kernel_height):
        rows = slice(
            u * dilations[0], u * dilations[0] + (height - 1) * strides[0] + 1, strides[0]
        )
        for v in range(kernel_width):
            left = v * dilations[1]
            columns = slice(left, left + (width - 1) * strides[1] + 1, strides[1])
            for c in range(depth):
                products = (
                    images[:, :, :, c, rows, columns] * filters[:, :, :, c, u, v, None, None]
                )
                sums = np.clip(sums + products, -limit, limit - 1)
    return sums.reshape(len(x), outputs, height, width)
