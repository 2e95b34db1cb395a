"""Convolutions and matrix products by plain loops over taps: sums of 64 bits, or of 32 that saturate at every product.

The types of the arrays say which: what is done in 64 bits is done on int64 sums and int32 weights, what saturates on int32
sums and int16 weights. Output channels lie in lanes.
"""

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
def accumulate_tap(
    saturating: Any,
    row: Array,
    inputs: Array,
    accumulators: Array,
    weights: Array,
    source: Any,
    start: Any,
    tap: Any,
    outputs_each: Any,
) -> None:
    """Add the products of one input pixel with the weights of one tap, channel after channel; equation (19) if it saturates.

    Args:
        saturating: whether sums are limited to VALUE after each product.
        row: the instruction.
        inputs: the arena as input codes.
        accumulators: int64, or int32.
        weights: int32, or int16.
        source: index of the pixel's first code.
        start: index of the first accumulator.
        tap: index of the tap's first weight.
        outputs_each: output channels of one group.
    """
    number = accumulators.dtype.type
    depth, zero_point, greatest = row[DEPTH], number(row[ZERO_POINT]), number(row[VALUE])
    least = number(-greatest - number(1))
    a, w, s = np.uint64(start), np.uint64(tap), np.uint64(source)
    if depth == 1 and outputs_each == 1:  # depthwise: channels side by side
        for c in range(row[CHANNELS]):
            i = np.uint64(c)
            value = number(number(inputs[s + i]) - zero_point)
            total = number(accumulators[a + i] + number(value * number(weights[w + i])))
            if saturating:
                total = clamp_integer(total, least, greatest)
            accumulators[a + i] = total
        return
    n = np.uint64(outputs_each)
    for _group in range(row[GROUPS]):
        for _c in range(depth):
            value = number(number(inputs[s]) - zero_point)
            for o in range(outputs_each):
                i = np.uint64(o)
                total = number(accumulators[a + i] + number(value * number(weights[w + i])))
                if saturating:
                    total = clamp_integer(total, least, greatest)
                accumulators[a + i] = total
            s += np.uint64(1)
            w += n
        a += n


@part
def plain_product(
    saturating: Any,
    row: Array,
    inputs: Array,
    outputs: Array,
    accumulators: Array,
    weights: Array,
    biases: Array,
    integers: Array,
    floats: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run one convolution or matrix product, output pixel by output pixel.

    Args:
        saturating: see `accumulate_tap`.
        row: the instruction; its weights are [kh][kw][groups][depth][outputs of a group].
        inputs: the arena as input codes.
        outputs: the arena as output codes.
        accumulators: the arena as int64, or as int32.
        weights: the constants as int32, or as int16.
        biases: the constants as the accumulators are.
        integers: the constants as int32.
        floats: the constants as float32.
        scratch: byte offset of this thread's scratch.
        thread: which of `threads` this is.
        threads: how many work on this instruction.
    """
    channels, outputs_all = row[CHANNELS], row[OUTPUT_CHANNELS]
    outputs_each = outputs_all // row[GROUPS]
    source, target = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    start = (scratch + row[ACCUMULATORS]) // accumulators.itemsize
    a, b = np.uint64(start), np.uint64(row[BIAS] // biases.itemsize)
    tap_size = row[DEPTH] * outputs_all
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X] - row[PAD_LEFT]
        for o in range(outputs_all):
            accumulators[a + np.uint64(o)] = biases[b + np.uint64(o)]
        tap = row[WEIGHTS] // weights.itemsize
        for v in range(row[KERNEL_HEIGHT]):
            for u in range(row[KERNEL_WIDTH]):
                vertical, horizontal = y + v * row[DILATION_Y], x + u * row[DILATION_X]
                if 0 <= vertical < row[HEIGHT] and 0 <= horizontal < row[WIDTH]:
                    at = source + (vertical * row[WIDTH] + horizontal) * channels
                    accumulate_tap(
                        saturating,
                        row,
                        inputs,
                        accumulators,
                        weights,
                        at,
                        start,
                        tap,
                        outputs_each,
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
