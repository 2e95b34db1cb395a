"""Kernels of tables for each channel, gathering, products of tensors and resampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.movement import share
from intlower.kernels.requantization import (
    clamp_float,
    requantize_uniform,
    round_half_even,
    scale_doubled,
    scale_power,
    scale_single,
)
from intlower.kernels.table import (
    ACCUMULATORS,
    CHANNELS,
    F32BIAS,
    F32EVEN,
    HIGH,
    INNER,
    INPUT,
    INPUT_BYTES,
    INPUT_STRIDES,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    LENGTH,
    LOOPS,
    LOW,
    MAGNITUDES,
    MUL31DOUBLE,
    MUL31SINGLE,
    MULTIPLIER,
    OUTER,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_HEIGHT,
    OUTPUT_STRIDES,
    OUTPUT_WIDTH,
    OUTPUT_ZERO_POINT,
    RULE,
    SCALE,
    SECOND_INPUT,
    SECOND_ZERO_POINT,
    SHIFT,
    SIZES,
    TABLE,
    WEIGHTS,
    WIDTH,
    ZERO_POINT,
)

Array = Any


@part
def look_up_channels(
    row: Array, inputs: Array, outputs: Array, table: Array, thread: Any, threads: Any
) -> None:
    """Replace each code by its entry in its channel's table, over [OUTER, CHANNELS, INNER]."""
    channels, inner, codes = row[CHANNELS], row[INNER], row[MAGNITUDES]
    source, target = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    first, last = share(row[OUTER], thread, threads)
    for i in range(first, last):
        for c in range(channels):
            t = np.uint64(row[TABLE] // 4 + c * codes)
            place = (i * channels + c) * inner
            s, d = np.uint64(source + place), np.uint64(target + place)
            for k in range(inner):
                j = np.uint64(k)
                outputs[d + j] = table[t + np.uint64(inputs[s + j])]


@part
def gather(
    row: Array, codes: Array, indices: Array, width: Any, thread: Any, threads: Any
) -> None:
    """Copy chosen slices along the middle of [OUTER, WIDTH, INNER] to [OUTER, LENGTH, INNER]."""
    length, size, inner = row[LENGTH], row[WIDTH], row[INNER]
    source, target = row[INPUT] // width, row[OUTPUT] // width
    t = row[TABLE] // 4
    first, last = share(row[OUTER] * length, thread, threads)
    for place in range(first, last):
        chosen = place // length * size + np.int64(indices[np.uint64(t + place % length)])
        s, d = np.uint64(source + chosen * inner), np.uint64(target + place * inner)
        for k in range(inner):
            codes[d + np.uint64(k)] = codes[s + np.uint64(k)]


@part
def scaled_product(
    rule: Any, product: Any, multiplier: Any, shift: Any, scale: Any, low: Any, high: Any
) -> Any:
    """Return an int64 product of codes under a requantization rule, limited to [low, high].

    Under MUL31DOUBLE it is an int32 (`instruction_rules_extended.py` proves it).
    """
    if rule in (F32EVEN, F32BIAS):
        limited = clamp_float(np.float32(product) * scale, np.float32(low), np.float32(high))
        return round_half_even(limited)
    if rule == MUL31DOUBLE:
        return scale_doubled(
            np.int32(product), multiplier, shift, np.int32(low), np.int32(high)
        )
    if rule == MUL31SINGLE:
        return scale_single(product, multiplier, shift, low, high)
    return scale_power(rule, product, multiplier, shift, low, high)


@part
def multiply(
    row: Array,
    inputs: Array,
    outputs: Array,
    integers: Array,
    floats: Array,
    thread: Any,
    threads: Any,
) -> None:
    """Multiply two tensors that broadcast, over six loops of the output, each input with strides of its own."""
    outer = np.int64(1)
    for level in range(LOOPS - 1):
        outer *= row[SIZES + level]
    inner = row[SIZES + LOOPS - 1]
    step_a, step_b = row[INPUT_STRIDES + LOOPS - 1], row[OUTPUT_STRIDES + LOOPS - 1]
    zero_a, zero_b = np.int64(row[ZERO_POINT]), np.int64(row[SECOND_ZERO_POINT])
    zero = np.int32(row[OUTPUT_ZERO_POINT])
    rule, low, high = row[RULE], row[LOW], row[HIGH]
    multiplier, shift = integers[row[MULTIPLIER] // 4], integers[row[SHIFT] // 4]
    scale = floats[row[SCALE] // 4]
    first, last = share(outer, thread, threads)
    for index in range(first, last):
        a, b = row[INPUT] // row[INPUT_BYTES], row[SECOND_INPUT] // row[INPUT_BYTES]
        rest = np.int64(index)
        for back in range(LOOPS - 1):
            level = LOOPS - 2 - back
            place = rest % row[SIZES + level]
            rest = rest // row[SIZES + level]
            a += place * row[INPUT_STRIDES + level]
            b += place * row[OUTPUT_STRIDES + level]
        d = np.uint64(row[OUTPUT] // row[OUTPUT_BYTES] + index * inner)
        for k in range(inner):
            x = np.int64(inputs[np.uint64(a + k * step_a)]) - zero_a
            y = np.int64(inputs[np.uint64(b + k * step_b)]) - zero_b
            code = scaled_product(rule, x * y, multiplier, shift, scale, low, high)
            outputs[d + np.uint64(k)] = code + zero


@part
def resample(
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
    """Sum weighted pixels of [H, W, C] exactly, then scale."""
    channels, taps, across = row[CHANNELS], row[KERNEL_HEIGHT], row[KERNEL_WIDTH]
    height, width = row[OUTPUT_HEIGHT], row[OUTPUT_WIDTH]
    row_indices = row[WEIGHTS] // 4
    row_weights = row_indices + height * taps
    column_indices = row_weights + height * taps
    column_weights = column_indices + width * across
    source, target = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    zero = np.int32(row[ZERO_POINT])
    a = np.uint64((scratch + row[ACCUMULATORS]) // 4)
    first, last = share(height * width, thread, threads)
    for pixel in range(first, last):
        y, x = pixel // width, pixel % width
        for c in range(channels):
            accumulators[a + np.uint64(c)] = 0
        for t in range(taps):
            v = np.int64(integers[np.uint64(row_indices + y * taps + t)])
            vertical = integers[np.uint64(row_weights + y * taps + t)]
            for u in range(across):
                weight = np.int32(
                    vertical * integers[np.uint64(column_weights + x * across + u)]
                )
                if weight == 0:
                    continue
                h = np.int64(integers[np.uint64(column_indices + x * across + u)])
                s = np.uint64(source + (v * row[WIDTH] + h) * channels)
                for c in range(channels):
                    i = np.uint64(c)
                    accumulators[a + i] += weight * (np.int32(inputs[s + i]) - zero)
        requantize_uniform(
            row[RULE],
            accumulators,
            a,
            integers[row[MULTIPLIER] // 4],
            integers[row[SHIFT] // 4],
            floats[row[SCALE] // 4],
            row[LOW],
            row[HIGH],
            row[OUTPUT_ZERO_POINT],
            channels,
            outputs,
            target + pixel * channels,
        )
