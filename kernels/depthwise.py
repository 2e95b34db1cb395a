"""Depthwise convolution over [H, W, C]: one filter for each channel, channels in lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import compiled
from intlower.kernels.movement import share
from intlower.kernels.requantization import requantize_channels
from intlower.kernels.table import (
    ACCUMULATORS,
    BIAS,
    CHANNELS,
    DILATION_X,
    DILATION_Y,
    HEIGHT,
    HIGH,
    HIGH_FLOAT,
    INPUT,
    INPUT_BYTES,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    LOW,
    LOW_FLOAT,
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
    WEIGHTS,
    WIDTH,
    ZERO_POINT,
)

Array = Any


@compiled
def depthwise(
    row: Array,
    inputs: Array,
    outputs: Array,
    accumulators: Array,
    weights: Array,
    integers: Array,
    floats: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run one depthwise convolution, output pixel by output pixel.

    Args:
        row: the instruction; its weights are int16 [kh][kw][C].
        inputs: the arena as input codes.
        outputs: the arena as output codes.
        accumulators: the arena as int32.
        weights: the constants as int16.
        integers: the constants as int32.
        floats: the constants as float32.
        scratch: byte offset of this thread's scratch.
        thread: which of `threads` this is.
        threads: how many work on this instruction.
    """
    channels, zero_point = row[CHANNELS], np.int32(row[ZERO_POINT])
    source, target = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    start = (scratch + row[ACCUMULATORS]) // 4
    a, b = np.uint64(start), np.uint64(row[BIAS] // 4)
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X] - row[PAD_LEFT]
        for c in range(channels):
            accumulators[a + np.uint64(c)] = integers[b + np.uint64(c)]
        tap = row[WEIGHTS] // 2
        for v in range(row[KERNEL_HEIGHT]):
            for u in range(row[KERNEL_WIDTH]):
                vertical, horizontal = y + v * row[DILATION_Y], x + u * row[DILATION_X]
                if 0 <= vertical < row[HEIGHT] and 0 <= horizontal < row[WIDTH]:
                    s = np.uint64(source + (vertical * row[WIDTH] + horizontal) * channels)
                    w = np.uint64(tap)
                    for c in range(channels):
                        i = np.uint64(c)
                        value = np.int32(inputs[s + i]) - zero_point
                        accumulators[a + i] += np.int32(value * np.int32(weights[w + i]))
                tap += channels
        requantize_channels(
            row[RULE],
            accumulators,
            start,
            integers,
            floats,
            row[MULTIPLIER] // 4,
            row[SHIFT] // 4,
            row[LOW] // 4,
            row[HIGH] // 4,
            row[SCALE] // 4,
            row[LOW_FLOAT] // 4,
            row[HIGH_FLOAT] // 4,
            row[OUTPUT_ZERO_POINT],
            channels,
            outputs,
            target + pixel * channels,
        )
