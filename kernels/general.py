"""Kernels of products of activations, normalizations, quotients, constants, conversions and interpolated tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.extended import scaled_product
from intlower.kernels.jitable import (
    affine,
    interpolated,
    normalized,
    octave_index,
    octave_place,
    quotient,
    scale_single_rounding,
)
from intlower.kernels.movement import share
from intlower.kernels.numerics_general import SEGMENT_BITS
from intlower.kernels.requantization import clamp_integer
from intlower.kernels.table import (
    ACCUMULATORS,
    BIAS,
    CHANNELS,
    HEIGHT,
    HIGH,
    INPUT,
    INPUT_BYTES,
    KERNEL_WIDTH,
    LEFT_SHIFT,
    LENGTH,
    LOW,
    MULTIPLIER,
    OUTER,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_STRIDES,
    OUTPUT_ZERO_POINT,
    READ_OUT_SHIFT,
    RULE,
    SCALE,
    SECOND_INPUT,
    SECOND_ZERO_POINT,
    SHIFT,
    STRIDE_X,
    STRIDE_Y,
    TABLE,
    VALUE,
    WIDTH,
    ZERO_POINT,
)

Array = Any


@part
def matmul(
    row: Array,
    inputs: Array,
    outputs: Array,
    narrow: Array,
    wide: Array,
    integers: Array,
    floats: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Multiply matrices [OUTER, HEIGHT, WIDTH] and [OUTER, WIDTH, CHANNELS], one row of the product at a time.

    The sums are int32 where VALUE is 0, which is where they fit.
    """
    height, depth, columns = row[HEIGHT], row[WIDTH], row[CHANNELS]
    a, b = row[INPUT] // row[INPUT_BYTES], row[SECOND_INPUT] // row[INPUT_BYTES]
    zero_a, zero_b = np.int64(row[ZERO_POINT]), np.int64(row[SECOND_ZERO_POINT])
    zero = np.int32(row[OUTPUT_ZERO_POINT])
    rule, low, high = row[RULE], row[LOW], row[HIGH]
    multiplier, shift = integers[row[MULTIPLIER] // 4], integers[row[SHIFT] // 4]
    scale = floats[row[SCALE] // 4]
    n = np.uint64((scratch + row[ACCUMULATORS]) // 4)
    w = np.uint64((scratch + row[ACCUMULATORS]) // 8)
    first, last = share(row[OUTER] * height, thread, threads)
    for index in range(first, last):
        outer, m = index // height, index % height
        d = row[OUTPUT] // row[OUTPUT_BYTES] + outer * row[OUTPUT_STRIDES]
        d += m * row[OUTPUT_STRIDES + 1]
        step = row[OUTPUT_STRIDES + 2]
        if row[VALUE] == 0:
            for p in range(columns):
                narrow[n + np.uint64(p)] = 0
            for k in range(depth):
                x = np.int32(np.int64(inputs[np.uint64(a + index * depth + k)]) - zero_a)
                s = np.uint64(b + (outer * depth + k) * columns)
                for p in range(columns):
                    i = np.uint64(p)
                    narrow[n + i] += x * (np.int32(inputs[s + i]) - np.int32(zero_b))
            for p in range(columns):
                total = np.int64(narrow[n + np.uint64(p)])
                code = scaled_product(rule, total, multiplier, shift, scale, low, high)
                outputs[np.uint64(d + p * step)] = code + zero
        else:
            for p in range(columns):
                wide[w + np.uint64(p)] = 0
            for k in range(depth):
                y = np.int64(inputs[np.uint64(a + index * depth + k)]) - zero_a
                s = np.uint64(b + (outer * depth + k) * columns)
                for p in range(columns):
                    i = np.uint64(p)
                    wide[w + i] += y * (np.int64(inputs[s + i]) - zero_b)
            for p in range(columns):
                total = wide[w + np.uint64(p)]
                code = scaled_product(rule, total, multiplier, shift, scale, low, high)
                outputs[np.uint64(d + p * step)] = code + zero


@part
def normalize(
    row: Array, inputs: Array, outputs: Array, integers: Array, thread: Any, threads: Any
) -> None:
    """Normalize each row of [OUTER, LENGTH], equations (G3) and (G4)."""
    length, dropped = row[LENGTH], row[LEFT_SHIFT]
    middle, zero = row[ZERO_POINT], row[OUTPUT_ZERO_POINT]
    first, last = share(row[OUTER], thread, threads)
    for r in range(first, last):
        s = np.uint64(row[INPUT] // row[INPUT_BYTES] + r * length)
        d = np.uint64(row[OUTPUT] // row[OUTPUT_BYTES] + r * length)
        total, squares = np.int64(0), np.int64(0)
        for i in range(length):
            x = (np.int64(inputs[s + np.uint64(i)]) - middle) >> dropped
            total += x
            squares += x * x
        variance = length * squares - total * total + row[VALUE]
        for i in range(length):
            x = (np.int64(inputs[s + np.uint64(i)]) - middle) >> dropped
            normal = normalized(length * x - total, variance)
            place = r * row[STRIDE_Y] + i * row[STRIDE_X]
            code = affine(
                normal,
                np.int64(integers[np.uint64(row[MULTIPLIER] // 4 + place)]),
                np.int64(integers[np.uint64(row[BIAS] // 4 + place)]),
                row[READ_OUT_SHIFT],
                row[SHIFT],
            )
            outputs[d + np.uint64(i)] = clamp_integer(code, row[LOW], row[HIGH]) + zero


@part
def lrn(
    row: Array, inputs: Array, outputs: Array, table: Array, thread: Any, threads: Any
) -> None:
    """Multiply each channel of [LENGTH, CHANNELS] by a tabled function of its neighbours' squares, equation (G5)."""
    channels, size = row[CHANNELS], row[KERNEL_WIDTH]
    before, after = (size - 1) // 2, size // 2
    zero, zero_y = row[ZERO_POINT], row[OUTPUT_ZERO_POINT]
    t = row[TABLE] // 4
    first, last = share(row[LENGTH], thread, threads)
    for pixel in range(first, last):
        s = row[INPUT] // row[INPUT_BYTES] + pixel * channels
        d = row[OUTPUT] // row[OUTPUT_BYTES] + pixel * channels
        total = np.int64(0)
        for c in range(min(after, channels)):
            x = np.int64(inputs[np.uint64(s + c)]) - zero
            total += x * x
        for c in range(channels):
            if c + after < channels:
                x = np.int64(inputs[np.uint64(s + c + after)]) - zero
                total += x * x
            if c - before - 1 >= 0:
                x = np.int64(inputs[np.uint64(s + c - before - 1)]) - zero
                total -= x * x
            reduced = total >> row[LEFT_SHIFT]
            place = octave_place(reduced)
            i = np.uint64(t + octave_index(reduced, place))
            factor = interpolated(
                np.int64(table[i]),
                np.int64(table[i + np.uint64(1)]),
                reduced & ((np.int64(1) << place) - 1),
                place,
            )
            x = np.int64(inputs[np.uint64(s + c)]) - zero
            code = scale_single_rounding(x, factor, row[SHIFT])
            outputs[np.uint64(d + c)] = clamp_integer(code, row[LOW], row[HIGH]) + zero_y


@part
def divide(row: Array, inputs: Array, outputs: Array, thread: Any, threads: Any) -> None:
    """Divide one tensor by another, equation (G6)."""
    a, b = row[INPUT] // row[INPUT_BYTES], row[SECOND_INPUT] // row[INPUT_BYTES]
    d = row[OUTPUT] // row[OUTPUT_BYTES]
    zero = row[OUTPUT_ZERO_POINT]
    first, last = share(row[LENGTH], thread, threads)
    for i in range(first, last):
        x = np.int64(inputs[np.uint64(a + i)]) - row[ZERO_POINT]
        y = np.int64(inputs[np.uint64(b + i)]) - row[SECOND_ZERO_POINT]
        code = quotient(x, y, row[MULTIPLIER], row[SHIFT])
        outputs[np.uint64(d + i)] = clamp_integer(code, row[LOW], row[HIGH]) + zero


@part
def load_constant(row: Array, outputs: Array, codes: Array, thread: Any, threads: Any) -> None:
    """Copy constants into a tensor."""
    d, t = row[OUTPUT] // row[OUTPUT_BYTES], row[TABLE] // 4
    first, last = share(row[LENGTH], thread, threads)
    for i in range(first, last):
        outputs[np.uint64(d + i)] = codes[np.uint64(t + i)]


@part
def convert(row: Array, inputs: Array, outputs: Array, thread: Any, threads: Any) -> None:
    """Put codes on another grid, equation (12) in 64 bits."""
    s, d = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    zero = row[OUTPUT_ZERO_POINT]
    first, last = share(row[LENGTH], thread, threads)
    for i in range(first, last):
        x = np.int64(inputs[np.uint64(s + i)]) - row[ZERO_POINT]
        code = scale_single_rounding(x, row[MULTIPLIER], row[SHIFT])
        outputs[np.uint64(d + i)] = clamp_integer(code, row[LOW], row[HIGH]) + zero


@part
def interpolate(
    row: Array, inputs: Array, outputs: Array, table: Array, thread: Any, threads: Any
) -> None:
    """Replace each code by what lies between two entries of a table, equation (G7)."""
    s, d = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    t = row[TABLE] // 4
    first, last = share(row[LENGTH], thread, threads)
    for i in range(first, last):
        place = np.int64(inputs[np.uint64(s + i)])
        e = np.uint64(t + (place >> SEGMENT_BITS))
        outputs[np.uint64(d + i)] = interpolated(
            np.int64(table[e]),
            np.int64(table[e + np.uint64(1)]),
            place & ((1 << SEGMENT_BITS) - 1),
            SEGMENT_BITS,
        )
