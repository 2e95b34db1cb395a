"""Pooling kernels over [H, W, C]: each output pixel sums or compares whole rows of channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.movement import share
from intlower.kernels.requantization import requantize_uniform
from intlower.kernels.table import (
    ACCUMULATORS,
    CHANNELS,
    DILATION_X,
    DILATION_Y,
    HEIGHT,
    HIGH,
    INPUT,
    INPUT_BYTES,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    LOW,
    MULTIPLIER,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    OUTPUT_ZERO_POINT,
    PAD_LEFT,
    PAD_TOP,
    RULE,
    SCALE,
    SHIFT,
    STRIDE_X,
    STRIDE_Y,
    UNIFORM,
    WIDTH,
    ZERO_POINT,
)

Array = Any


@part
def average_pool(
    row: Array,
    inputs: Array,
    outputs: Array,
    accumulators: Array,
    integers: Array,
    floats: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Sum each window exactly, then scale; padding is real zero and adds nothing."""
    channels, width = row[CHANNELS], row[WIDTH]
    source, target = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    a = np.uint64((scratch + row[ACCUMULATORS]) // 4)
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X] - row[PAD_LEFT]
        top, bottom = max(y, 0), min(y + row[KERNEL_HEIGHT], row[HEIGHT])
        left, right = max(x, 0), min(x + row[KERNEL_WIDTH], width)
        offset = np.int32(-row[ZERO_POINT] * (bottom - top) * (right - left))
        for c in range(channels):
            accumulators[a + np.uint64(c)] = offset
        for v in range(top, bottom):
            for u in range(left, right):
                s = np.uint64(source + (v * width + u) * channels)
                for c in range(channels):
                    i = np.uint64(c)
                    accumulators[a + i] += np.int32(inputs[s + i])
        scale = 0 if row[UNIFORM] else pixel
        requantize_uniform(
            row[RULE],
            accumulators,
            a,
            integers[row[MULTIPLIER] // 4 + scale],
            integers[row[SHIFT] // 4 + scale],
            floats[row[SCALE] // 4 + scale],
            row[LOW],
            row[HIGH],
            row[OUTPUT_ZERO_POINT],
            channels,
            outputs,
            target + pixel * channels,
        )


@part
def max_pool(row: Array, codes: Array, width: Any, thread: Any, threads: Any) -> None:
    """Keep the greatest code of each window; padding takes no part."""
    channels = row[CHANNELS]
    source, target = row[INPUT] // width, row[OUTPUT] // width
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X] - row[PAD_LEFT]
        d = np.uint64(target + pixel * channels)
        for c in range(channels):
            codes[d + np.uint64(c)] = 0  # the least code in offset binary
        for v in range(row[KERNEL_HEIGHT]):
            for u in range(row[KERNEL_WIDTH]):
                vertical, horizontal = y + v * row[DILATION_Y], x + u * row[DILATION_X]
                if 0 <= vertical < row[HEIGHT] and 0 <= horizontal < row[WIDTH]:
                    s = np.uint64(source + (vertical * row[WIDTH] + horizontal) * channels)
                    for c in range(channels):
                        i = np.uint64(c)
                        codes[d + i] = max(codes[d + i], codes[s + i])
