"""Convolutions and matrix products in an accumulator that saturates at every product: output channels in lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.movement import share
from intlower.kernels.requantization import clamp_integer, requantize_channels
from intlower.kernels.table import (
    ACCUMULATORS,
    BIAS,
    CHANNELS,
    DEPTH,
    DILATION_X,
    DILATION_Y,
    GROUPS,
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
    OUTPUT_CHANNELS,
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
    VALUE,
    WEIGHTS,
    WIDTH,
    ZERO_POINT,
)

Array = Any


@part
def saturate_tap(
    row: Array,
    inputs: Array,
    accumulators: Array,
    weights: Array,
    source: Any,
    start: Any,
    tap: Any,
    outputs_each: Any,
) -> None:
    """Add the products of one input pixel with the weights of one tap, channel after channel, equation (19).

    Args:
        row: the instruction.
        inputs: the arena as input codes.
        accumulators: int32.
        weights: int16.
        source: index of the pixel's first code.
        start: index of the first accumulator.
        tap: index of the tap's first weight.
        outputs_each: output channels of one group.
    """
    depth, zero_point = row[DEPTH], np.int32(row[ZERO_POINT])
    greatest = np.int32(row[VALUE])
    least = np.int32(-greatest - np.int32(1))
    a, w, s = np.uint64(start), np.uint64(tap), np.uint64(source)
    if depth == 1 and outputs_each == 1:  # depthwise: channels side by side
        for c in range(row[CHANNELS]):
            i = np.uint64(c)
            value = np.int32(inputs[s + i]) - zero_point
            total = np.int32(accumulators[a + i] + np.int32(value * np.int32(weights[w + i])))
            accumulators[a + i] = clamp_integer(total, least, greatest)
        return
    n = np.uint64(outputs_each)
    for _group in range(row[GROUPS]):
        for _c in range(depth):
            value = np.int32(inputs[s]) - zero_point
            for o in range(outputs_each):
                i = np.uint64(o)
                total = np.int32(
                    accumulators[a + i] + np.int32(value * np.int32(weights[w + i]))
                )
                accumulators[a + i] = clamp_integer(total, least, greatest)
            s += np.uint64(1)
            w += n
        a += n


@part
def saturating_product(
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
    """Run one convolution or matrix product, output pixel by output pixel.

    Args:
        row: the instruction; its weights are int16 [kh][kw][groups][depth][outputs of a group].
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
    channels, outputs_all = row[CHANNELS], row[OUTPUT_CHANNELS]
    outputs_each = outputs_all // row[GROUPS]
    source, target = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    start = (scratch + row[ACCUMULATORS]) // 4
    a, b = np.uint64(start), np.uint64(row[BIAS] // 4)
    tap_size = row[DEPTH] * outputs_all
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X] - row[PAD_LEFT]
        for o in range(outputs_all):
            accumulators[a + np.uint64(o)] = integers[b + np.uint64(o)]
        tap = row[WEIGHTS] // 2
        for v in range(row[KERNEL_HEIGHT]):
            for u in range(row[KERNEL_WIDTH]):
                vertical, horizontal = y + v * row[DILATION_Y], x + u * row[DILATION_X]
                if 0 <= vertical < row[HEIGHT] and 0 <= horizontal < row[WIDTH]:
                    at = source + (vertical * row[WIDTH] + horizontal) * channels
                    saturate_tap(
                        row, inputs, accumulators, weights, at, start, tap, outputs_each
                    )
                tap += tap_size
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
            outputs_all,
            outputs,
            target + pixel * outputs_all,
        )
