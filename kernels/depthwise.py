"""Depthwise convolution over [H, W, C]: one filter for each channel, channels in lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.movement import share
from intlower.kernels.requantization import requantize_channels
from intlower.kernels.simd_depthwise import depthwise_pixels
from intlower.kernels.simd_epilogue import requantize_block
from intlower.kernels.table import (
    ACCUMULATORS,
    BIAS,
    BLOCK_ROWS,
    BORDER_TAPS,
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
    PAD_ROW,
    PAD_TOP,
    PADDED_CHANNELS,
    RULE,
    SCALE,
    SHIFT,
    STRIDE_X,
    STRIDE_Y,
    TAPS,
    WEIGHTS,
    WIDTH,
    ZERO_POINT,
)

Array = Any


@part
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


@part
def depthwise_pairs(
    isa: Any,
    row: Array,
    arena: Array,
    outputs: Array,
    constants: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run one depthwise convolution of 8-bit codes with vectors.

    Codes are multiplied with their zero point; the bias has its part taken out. Taps outside the input read a row of
    zero points, so that every window has all its taps.

    Args:
        isa: chooses the instruction.
        row: the instruction; its weights are int16 [pairs of taps][C][2].
        arena: uint8.
        outputs: the arena as output codes.
        constants: uint8.
        scratch: byte offset of this thread's scratch.
        thread: which of `threads` this is.
        threads: how many work on this instruction.
    """
    channels, padded, width = row[CHANNELS], row[PADDED_CHANNELS], row[OUTPUT_WIDTH]
    step = row[STRIDE_X] * channels
    taps = row[KERNEL_HEIGHT] * row[KERNEL_WIDTH]
    pairs = (taps + 1) // 2
    border, blank = scratch + row[BORDER_TAPS], scratch + row[PAD_ROW]
    sums, target = scratch + row[ACCUMULATORS], row[OUTPUT] // row[OUTPUT_BYTES]
    offsets = arena.view(np.int64)
    for c in range(padded):
        arena[np.uint64(blank + c)] = row[ZERO_POINT]
    # Output columns whose windows lie inside the input.
    inner = min(-(-row[PAD_LEFT] // row[STRIDE_X]), width)
    reach = row[WIDTH] + row[PAD_LEFT] - row[DILATION_X] * (row[KERNEL_WIDTH] - 1)
    outer = max(min((reach + row[STRIDE_X] - 1) // row[STRIDE_X], width), inner)
    first, last = share(row[OUTPUT_HEIGHT], thread, threads)
    for line in range(first, last):
        y = line * row[STRIDE_Y] - row[PAD_TOP]
        inside = y >= 0 and y + row[DILATION_Y] * (row[KERNEL_HEIGHT] - 1) < row[HEIGHT]
        column = 0
        while column < width:
            x = column * row[STRIDE_X] - row[PAD_LEFT]
            if inside and inner <= column < outer:
                count = min(outer - column, row[BLOCK_ROWS])
                source = row[INPUT] + (y * row[WIDTH] + x) * channels
                depthwise_pixels(
                    isa,
                    arena,
                    constants,
                    constants,
                    source,
                    step,
                    row[TAPS],
                    pairs,
                    row[WEIGHTS],
                    row[BIAS],
                    count,
                    padded,
                    sums,
                )
            else:
                count = 1
                for tap in range(2 * pairs):
                    v = y + min(tap, taps - 1) // row[KERNEL_WIDTH] * row[DILATION_Y]
                    u = x + min(tap, taps - 1) % row[KERNEL_WIDTH] * row[DILATION_X]
                    place = blank
                    if 0 <= v < row[HEIGHT] and 0 <= u < row[WIDTH]:
                        place = row[INPUT] + (v * row[WIDTH] + u) * channels
                    offsets[np.uint64(border // 8 + tap)] = place
                depthwise_pixels(
                    isa,
                    arena,
                    constants,
                    arena,
                    0,
                    0,
                    border,
                    pairs,
                    row[WEIGHTS],
                    row[BIAS],
                    1,
                    padded,
                    sums,
                )
            requantize_block(
                isa,
                row[RULE],
                arena,
                sums,
                padded * 4,
                count,
                channels,
                constants,
                row[MULTIPLIER],
                row[SHIFT],
                row[LOW],
                row[HIGH],
                row[SCALE],
                row[LOW_FLOAT],
                row[HIGH_FLOAT],
                row[OUTPUT_ZERO_POINT],
                outputs,
                target + (line * width + column) * channels,
                channels,
            )
            column += count
