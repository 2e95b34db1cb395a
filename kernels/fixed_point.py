"""Kernels of TFLite's means and softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.jitable import divide_half_away, share_of_total, shift_half_away
from intlower.kernels.movement import share
from intlower.kernels.numerics_fixed import SUM_INTEGER_BITS
from intlower.kernels.requantization import clamp_integer
from intlower.kernels.table import (
    ACCUMULATORS,
    CHANNELS,
    HEIGHT,
    HIGH,
    INNER,
    INPUT,
    INPUT_BYTES,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    LENGTH,
    LOW,
    OUTER,
    OUTPUT,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    PAD_LEFT,
    PAD_TOP,
    STRIDE_X,
    STRIDE_Y,
    TABLE,
    WIDTH,
    ZERO_POINT,
)

Array = Any


@part
def mean_pool(
    row: Array, codes: Array, accumulators: Array, scratch: Any, thread: Any, threads: Any
) -> None:
    """Sum the codes of each window and divide by their number; padding takes no part."""
    channels, width = row[CHANNELS], row[WIDTH]
    source, target = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[INPUT_BYTES]
    a = np.uint64((scratch + row[ACCUMULATORS]) // 4)
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X] - row[PAD_LEFT]
        top, bottom = max(y, 0), min(y + row[KERNEL_HEIGHT], row[HEIGHT])
        left, right = max(x, 0), min(x + row[KERNEL_WIDTH], width)
        count = (bottom - top) * (right - left)
        offset = np.int32(-row[ZERO_POINT] * count)
        for c in range(channels):
            accumulators[a + np.uint64(c)] = offset
        for v in range(top, bottom):
            for u in range(left, right):
                s = np.uint64(source + (v * width + u) * channels)
                for c in range(channels):
                    i = np.uint64(c)
                    accumulators[a + i] += np.int32(codes[s + i])
        d = np.uint64(target + pixel * channels)
        for c in range(channels):
            i = np.uint64(c)
            mean = divide_half_away(np.int64(accumulators[a + i]), count)
            codes[d + i] = clamp_integer(mean, row[LOW], row[HIGH]) + row[ZERO_POINT]


@part
def softmax_fixed(row: Array, codes: Array, table: Array, thread: Any) -> None:
    """Take each tabled exponential's share of their sum, along the middle of [OUTER, LENGTH, INNER].

    The first thread does it alone. Codes have one byte; in offset binary the least is 0.
    """
    if thread > 0:
        return
    length, inner = row[LENGTH], row[INNER]
    t = np.uint64(row[TABLE] // 4)
    for i in range(row[OUTER]):
        for k in range(inner):
            s = row[INPUT] + i * length * inner + k
            d = row[OUTPUT] + i * length * inner + k
            greatest = np.int64(0)
            for j in range(length):
                greatest = max(greatest, np.int64(codes[np.uint64(s + j * inner)]))
            total = np.int64(0)
            for j in range(length):
                difference = greatest - np.int64(codes[np.uint64(s + j * inner)])
                exponential = np.int64(table[t + np.uint64(difference)])
                total += shift_half_away(exponential, SUM_INTEGER_BITS)
            for j in range(length):
                difference = greatest - np.int64(codes[np.uint64(s + j * inner)])
                exponential = np.int64(table[t + np.uint64(difference)])
                code = share_of_total(exponential, total, 8)
                codes[np.uint64(d + j * inner)] = clamp_integer(
                    code, np.int64(0), np.int64(255)
                )
