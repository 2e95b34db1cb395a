"""The oracle of sums that saturate at every product; `reference.py` says how to read it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels.signature import KernelKey

Codes = NDArray[Any]
Accumulators = NDArray[np.int64]


def saturating_sums(
    x: Accumulators,
    weights: Accumulators,
    bias: Codes,
    *,
    strides: tuple[int, int],
    dilations: tuple[int, int],
    groups: int,
    accumulator_bits: int,
) -> Accumulators:
    """Return a convolution's sums, [N, O, H', W'], in an accumulator that saturates, equation (19).

        a = bias;  for u, for v, for c:  a = clamp(a + x[c, u, v] * w[c, u, v], -2**(bits-1), 2**(bits-1) - 1)

    The bias is within these limits, and taps that meet padding add 0, as if left out.

    Source: EE.VMULAS.S8.QACC, ESP32-S3 Technical Reference Manual; the order is that of espressif/esp-dl
    esp-dl/dl/base/isa/tie728/dl_tie728_s8_conv2d.S.

    Args:
        x: [N, C, H, W], padded, zero point removed.
        weights: [O, C/groups, kh, kw], zero point removed.
        bias: [O].
        strides: (vertical, horizontal).
        dilations: (vertical, horizontal).
        groups: of channels.
        accumulator_bits: its width, two's complement.
    """
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


def as_images(
    key: KernelKey, codes: Codes, zero_point: int, pads: tuple[int, ...]
) -> Accumulators:
    """Return codes less their zero point, padded by real zeros; a matrix becomes images of one pixel."""
    x = codes.astype(np.int64) - zero_point
    if x.ndim == 2:
        return x[:, :, None, None]
    top, left, bottom, right = pads
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
