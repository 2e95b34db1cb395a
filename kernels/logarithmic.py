"""Kernels of logarithmic codes and linear numbers, by plain loops over [H, W, C].

Products are looked up by the sum of a code's magnitude and an index that a weight was packed to: the table lists the
products of positive weights, then zeros for a weight that is zero, then the negated products, and all that once more
with the other sign, for negative codes. So a product costs one addition and two loads; codes that are zero cost nothing.

Linear numbers are int32, which the engine keeps in offset binary: with the highest bit turned.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.jitable import (
    add_saturating,
    divide_half_away,
    read_out_narrow,
    read_out_wide,
)
from intlower.kernels.movement import share
from intlower.kernels.requantization import clamp_integer
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
    INPUT,
    INPUT_BYTES,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    LENGTH,
    LOW,
    MAGNITUDES,
    MANTISSA,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_CHANNELS,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    PAD_LEFT,
    PAD_TOP,
    PANEL,
    READ_OUT_SHIFT,
    SECOND_INPUT,
    STRIDE_X,
    STRIDE_Y,
    TABLE,
    UNIFORM,
    VALUE,
    WEIGHTS,
    WIDTH,
)

Array = Any

# What offset binary adds to a linear number.
OFFSET = 1 << 31


@part
def linear_of(stored: Any) -> Any:
    """Return the linear number of an element of the engine."""
    return np.int64(stored) - np.int64(OFFSET)


@part
def log_dense(
    row: Array,
    inputs: Array,
    outputs: Array,
    accumulators: Array,
    weights: Array,
    numbers: Array,
    limits: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run one convolution or matrix product of codes, output pixel by output pixel.

    Args:
        row: the instruction; its weights are int16 indices [groups][kh][kw][C/groups][O/groups].
        inputs: the arena as codes.
        outputs: the arena as linear numbers.
        accumulators: the arena as int64.
        weights: the constants as int16.
        numbers: the constants as int64: biases and the table of products.
        limits: the constants as int32.
        scratch: byte offset of this thread's scratch.
        thread: which of `threads` this is.
        threads: how many work on this instruction.
    """
    groups, depth = row[GROUPS], row[DEPTH]
    columns = row[OUTPUT_CHANNELS] // groups
    zero = row[MAGNITUDES]
    source, target = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    a = np.uint64((scratch + row[ACCUMULATORS]) // 8)
    t, negated = row[TABLE] // 8, 5 * zero - 2
    listed = (scratch + row[PANEL]) // 8
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X] - row[PAD_LEFT]
        tap = row[WEIGHTS] // 2
        for group in range(groups):
            b = np.uint64(row[BIAS] // 8 + group * columns)
            for o in range(columns):
                accumulators[a + np.uint64(o)] = numbers[b + np.uint64(o)]
            # List what is not zero: where in the table of products, and where among the weights. Every code is written,
            # and the next over it where it was zero: no processor foresees which codes are.
            count = np.int64(0)
            for v in range(row[KERNEL_HEIGHT]):
                for u in range(row[KERNEL_WIDTH]):
                    vertical, horizontal = y + v * row[DILATION_Y], x + u * row[DILATION_X]
                    if not (0 <= vertical < row[HEIGHT] and 0 <= horizontal < row[WIDTH]):
                        tap += depth * columns
                        continue
                    place = vertical * row[WIDTH] + horizontal
                    s = np.uint64(source + place * row[CHANNELS] + group * depth)
                    for c in range(depth):
                        code = np.int64(inputs[s + np.uint64(c)]) & (2 * zero - 1)
                        start = code + np.int64(code > zero) * (negated - zero)
                        accumulators[np.uint64(listed + 2 * count)] = t + start
                        accumulators[np.uint64(listed + 2 * count + 1)] = tap
                        count += np.int64(code != zero)
                        tap += columns
            entry = listed
            for _ in range(count // 4):
                k0, w0 = list_entry(accumulators, entry)
                k1, w1 = list_entry(accumulators, entry + 2)
                k2, w2 = list_entry(accumulators, entry + 4)
                k3, w3 = list_entry(accumulators, entry + 6)
                entry += 8
                for o in range(columns):
                    i = np.uint64(o)
                    accumulators[a + i] += (
                        numbers[k0 + np.uint64(weights[w0 + i])]
                        + numbers[k1 + np.uint64(weights[w1 + i])]
                        + numbers[k2 + np.uint64(weights[w2 + i])]
                        + numbers[k3 + np.uint64(weights[w3 + i])]
                    )
            for _ in range(count % 4):
                k0, w0 = list_entry(accumulators, entry)
                entry += 2
                for o in range(columns):
                    i = np.uint64(o)
                    accumulators[a + i] += numbers[k0 + np.uint64(weights[w0 + i])]
            d = target + pixel * row[OUTPUT_CHANNELS] + group * columns
            read_out_channels(
                row, accumulators, a, limits, group * columns, columns, outputs, d
            )


@part
def list_entry(numbers: Array, entry: Any) -> Any:
    """Return an entry of the list of codes that are not zero: where products begin, and where weights begin."""
    return (
        np.uint64(numbers[np.uint64(entry)]),
        np.uint64(numbers[np.uint64(entry + 1)]),
    )


@part
def log_depthwise(
    row: Array,
    inputs: Array,
    outputs: Array,
    accumulators: Array,
    weights: Array,
    numbers: Array,
    limits: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run one depthwise convolution of codes; its weights are int16 indices [kh][kw][C]. See `log_dense`."""
    channels, zero = row[CHANNELS], row[MAGNITUDES]
    source, target = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    a, b = np.uint64((scratch + row[ACCUMULATORS]) // 8), np.uint64(row[BIAS] // 8)
    t = row[TABLE] // 8
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X] - row[PAD_LEFT]
        for c in range(channels):
            accumulators[a + np.uint64(c)] = numbers[b + np.uint64(c)]
        tap = row[WEIGHTS] // 2
        for v in range(row[KERNEL_HEIGHT]):
            for u in range(row[KERNEL_WIDTH]):
                vertical, horizontal = y + v * row[DILATION_Y], x + u * row[DILATION_X]
                if 0 <= vertical < row[HEIGHT] and 0 <= horizontal < row[WIDTH]:
                    s = np.uint64(source + (vertical * row[WIDTH] + horizontal) * channels)
                    w = np.uint64(tap)
                    for c in range(channels):
                        i = np.uint64(c)
                        code = np.int64(inputs[s + i]) & (2 * zero - 1)
                        k = t + (code & (zero - 1)) + np.int64(weights[w + i])
                        sign = np.int64(code < zero) - np.int64(code > zero)
                        accumulators[a + i] += sign * numbers[np.uint64(k)]
                tap += channels
        read_out_channels(
            row, accumulators, a, limits, 0, channels, outputs, target + pixel * channels
        )


@part
def read_out_channels(
    row: Array,
    accumulators: Array,
    a: Any,
    limits: Array,
    channel: Any,
    count: Any,
    outputs: Array,
    target: Any,
) -> None:
    """Store sums as linear numbers, equation (L4), each channel clamped.

    Args:
        row: the instruction.
        accumulators: the arena as int64.
        a: where the sums begin.
        limits: the constants as int32.
        channel: the first one.
        count: of channels.
        outputs: the arena as linear numbers.
        target: where they begin.
    """
    mantissa, shift = row[MANTISSA], row[READ_OUT_SHIFT]
    low, high = row[LOW] // 4 + channel, row[HIGH] // 4 + channel
    for c in range(count):
        i = np.uint64(c)
        if shift > 16:
            linear = read_out_wide(accumulators[a + i], mantissa, shift)
        else:
            linear = read_out_narrow(accumulators[a + i], mantissa, shift)
        least = np.int64(limits[np.uint64(low + c)])
        greatest = np.int64(limits[np.uint64(high + c)])
        outputs[np.uint64(target + c)] = clamp_integer(linear, least, greatest) + OFFSET


@part
def log_encode(
    row: Array, inputs: Array, outputs: Array, thresholds: Array, thread: Any, threads: Any
) -> None:
    """Replace linear numbers by codes, equation (L6): the last threshold that is not above is searched by halving."""
    first, last = share(row[LENGTH], thread, threads)
    s, d = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    t, zero, negative = row[TABLE] // 4, row[MAGNITUDES], row[VALUE]
    least = np.int64(thresholds[np.uint64(t)])
    for i in range(first, last):
        value = linear_of(inputs[np.uint64(s + i)])
        magnitude = abs(value)
        k = np.int64(0)
        step = zero >> 1
        while step > 0:
            reached = np.int64(thresholds[np.uint64(t + k + step)]) <= magnitude
            k += step * np.int64(reached)
            step >>= 1
        code = zero
        if value >= 0:
            if value >= least:
                code = k
        elif magnitude >= negative:
            code = zero + max(k, 1)
        outputs[np.uint64(d + i)] = code


@part
def linear_add(row: Array, inputs: Array, outputs: Array, thread: Any, threads: Any) -> None:
    """Add two tensors of linear numbers, equation (L8), and clamp."""
    first, last = share(row[LENGTH], thread, threads)
    a, b, d = row[INPUT] // 4, row[SECOND_INPUT] // 4, row[OUTPUT] // 4
    for i in range(first, last):
        total = add_saturating(
            linear_of(inputs[np.uint64(a + i)]), linear_of(inputs[np.uint64(b + i)])
        )
        outputs[np.uint64(d + i)] = clamp_integer(total, row[LOW], row[HIGH]) + OFFSET


@part
def linear_clamp(row: Array, inputs: Array, outputs: Array, thread: Any, threads: Any) -> None:
    """Clamp linear numbers."""
    first, last = share(row[LENGTH], thread, threads)
    s, d = row[INPUT] // 4, row[OUTPUT] // 4
    for i in range(first, last):
        value = linear_of(inputs[np.uint64(s + i)])
        outputs[np.uint64(d + i)] = clamp_integer(value, row[LOW], row[HIGH]) + OFFSET


@part
def linear_average_pool(
    row: Array,
    inputs: Array,
    outputs: Array,
    accumulators: Array,
    counts: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Average windows of linear numbers, equation (L9), and clamp."""
    channels, width = row[CHANNELS], row[WIDTH]
    a = np.uint64((scratch + row[ACCUMULATORS]) // 8)
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X] - row[PAD_LEFT]
        for c in range(channels):
            accumulators[a + np.uint64(c)] = 0
        for v in range(max(y, 0), min(y + row[KERNEL_HEIGHT], row[HEIGHT])):
            for u in range(max(x, 0), min(x + row[KERNEL_WIDTH], width)):
                s = np.uint64(row[INPUT] // 4 + (v * width + u) * channels)
                for c in range(channels):
                    i = np.uint64(c)
                    accumulators[a + i] += linear_of(inputs[s + i])
        place = 0 if row[UNIFORM] else pixel
        count = np.int64(counts[np.uint64(row[TABLE] // 4 + place)])
        d = np.uint64(row[OUTPUT] // 4 + pixel * channels)
        for c in range(channels):
            i = np.uint64(c)
            mean = divide_half_away(accumulators[a + i], count)
            outputs[d + i] = clamp_integer(mean, row[LOW], row[HIGH]) + OFFSET
