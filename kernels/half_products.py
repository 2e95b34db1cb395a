"""Half-precision convolutions, matrix products and means: sums in one order, a lane for each output channel.

All read a widened image: float32 [H, W, C] with its padding of +0 around it, so that a window is a list of offsets. Lanes
are output channels, and each lane adds its own products in the order of the oracle; nothing is added across lanes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.half import half_bits, limit, round_half, single_of_half, thresholds
from intlower.kernels.movement import share
from intlower.kernels.table import (
    ACCUMULATORS,
    BIAS,
    CHANNELS,
    DEPTH,
    GROUP_BYTES,
    GROUPS,
    HEIGHT,
    HIGH,
    INPUT,
    LOW,
    MULTIPLIER,
    OUTPUT,
    OUTPUT_CHANNELS,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    PAD_LEFT,
    PAD_TOP,
    PADDED_CHANNELS,
    RULE,
    STRIDE_X,
    STRIDE_Y,
    TAPS,
    UNIFORM,
    WEIGHTS,
    WIDTH,
    WORDS,
)

Array = Any


@part
def widen(row: Array, halves: Array, singles: Array, thread: Any, threads: Any) -> None:
    """Copy an image of halves to float32, with a border of +0."""
    channels, width = row[CHANNELS], row[WIDTH]
    source, target = row[INPUT] // 2, row[OUTPUT] // 4
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] - row[PAD_LEFT]
        d = np.uint64(target + pixel * channels)
        if 0 <= y < row[HEIGHT] and 0 <= x < width:
            s = np.uint64(source + (y * width + x) * channels)
            for c in range(channels):
                i = np.uint64(c)
                singles[d + i] = single_of_half(halves[s + i])
        else:
            for c in range(channels):
                singles[d + np.uint64(c)] = np.float32(0)


@part
def store_pixel(
    row: Array,
    sums: Array,
    a: Any,
    floats: Array,
    first: Any,
    channels: Any,
    halves: Array,
    target: Any,
) -> None:
    """Write the sums of one pixel: plus bias, limited, rounded once."""
    before, after, over = thresholds(row[RULE])
    b = np.uint64(row[BIAS] // 4 + first)
    low, high = np.uint64(row[LOW] // 4 + first), np.uint64(row[HIGH] // 4 + first)
    o = np.uint64(target)
    for c in range(channels):
        i = np.uint64(c)
        value = limit(sums[a + i] + floats[b + i], floats[low + i], floats[high + i])
        halves[o + i] = half_bits(round_half(value, before, after, over))


@part
def half_dense(
    row: Array,
    images: Array,
    halves: Array,
    sums: Array,
    floats: Array,
    offsets: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a convolution or matrix product.

    Args:
        row: its row.
        images: the arena as float32, in which the widened input lies.
        halves: the arena as output codes.
        sums: the arena as float32, in which the accumulators lie.
        floats: constants; weights are [groups, taps, padded channels], taps by channel, row and column.
        offsets: constants as int64: of each tap, from a window's first element.
        scratch: byte offset of the thread's scratch.
        thread: which of `threads` this is.
        threads: how many share the pixels.
    """
    before, after, over = thresholds(row[RULE])
    half_sums = row[RULE] & 1
    groups, columns, taps = row[GROUPS], row[PADDED_CHANNELS], row[WORDS]
    outputs = row[OUTPUT_CHANNELS] // groups
    a = np.uint64((scratch + row[ACCUMULATORS]) // 4)
    t = np.uint64(row[TAPS] // 8)
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X]
        corner = row[INPUT] // 4 + (y * row[WIDTH] + x) * row[CHANNELS]
        for group in range(groups):
            s = corner + group * row[DEPTH]
            w = np.uint64((row[WEIGHTS] + group * row[GROUP_BYTES]) // 4)
            for c in range(columns):
                sums[a + np.uint64(c)] = np.float32(0)
            if half_sums:
                for k in range(taps):
                    value = images[np.uint64(s + offsets[t + np.uint64(k)])]
                    for c in range(columns):
                        i = np.uint64(c)
                        product = round_half(value * floats[w + i], before, after, over)
                        sums[a + i] = round_half(sums[a + i] + product, before, after, over)
                    w += np.uint64(columns)
            else:
                _add_products(row, images, sums, floats, offsets, s, w, a, t)
            target = row[OUTPUT] // 2 + pixel * row[OUTPUT_CHANNELS] + group * outputs
            store_pixel(row, sums, a, floats, group * outputs, outputs, halves, target)


@part
def _add_products(
    row: Array,
    images: Array,
    sums: Array,
    floats: Array,
    offsets: Array,
    s: Any,
    w: Any,
    a: Any,
    t: Any,
) -> None:
    """Add a window's products to the sums, four taps at a time: a sum is loaded and stored once for four."""
    columns, taps = row[PADDED_CHANNELS], row[WORDS]
    n = np.uint64(columns)
    for k in range(0, taps - 3, 4):
        j = t + np.uint64(k)
        x0 = images[np.uint64(s + offsets[j])]
        x1 = images[np.uint64(s + offsets[j + np.uint64(1)])]
        x2 = images[np.uint64(s + offsets[j + np.uint64(2)])]
        x3 = images[np.uint64(s + offsets[j + np.uint64(3)])]
        for c in range(columns):
            i = np.uint64(c)
            total = sums[a + i] + x0 * floats[w + i]
            total = total + x1 * floats[w + n + i]
            total = total + x2 * floats[w + n + n + i]
            sums[a + i] = total + x3 * floats[w + n + n + n + i]
        w += np.uint64(4) * n
    for k in range(taps - taps % 4, taps):
        x0 = images[np.uint64(s + offsets[t + np.uint64(k)])]
        for c in range(columns):
            i = np.uint64(c)
            sums[a + i] = sums[a + i] + x0 * floats[w + i]
        w += n


@part
def half_depthwise(
    row: Array,
    images: Array,
    halves: Array,
    sums: Array,
    floats: Array,
    offsets: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a convolution with one filter for each channel; arguments as `half_dense`, weights [taps, channels]."""
    before, after, over = thresholds(row[RULE])
    half_sums = row[RULE] & 1
    channels, taps = row[CHANNELS], row[WORDS]
    a = np.uint64((scratch + row[ACCUMULATORS]) // 4)
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X]
        corner = row[INPUT] // 4 + (y * row[WIDTH] + x) * channels
        for c in range(channels):
            sums[a + np.uint64(c)] = np.float32(0)
        for k in range(taps):
            s = np.uint64(corner + offsets[np.uint64(row[TAPS] // 8 + k)])
            w = np.uint64(row[WEIGHTS] // 4 + k * channels)
            if half_sums:
                for c in range(channels):
                    i = np.uint64(c)
                    product = round_half(images[s + i] * floats[w + i], before, after, over)
                    sums[a + i] = round_half(sums[a + i] + product, before, after, over)
            else:
                for c in range(channels):
                    i = np.uint64(c)
                    sums[a + i] = sums[a + i] + images[s + i] * floats[w + i]
        target = row[OUTPUT] // 2 + pixel * channels
        store_pixel(row, sums, a, floats, 0, channels, halves, target)


@part
def half_average_pool(
    row: Array,
    images: Array,
    halves: Array,
    sums: Array,
    floats: Array,
    offsets: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Take the mean of each window; arguments as `half_dense`, without weights and bias."""
    before, after, over = thresholds(row[RULE])
    half_sums = row[RULE] & 1
    channels, taps = row[CHANNELS], row[WORDS]
    a = np.uint64((scratch + row[ACCUMULATORS]) // 4)
    low, high = np.uint64(row[LOW] // 4), np.uint64(row[HIGH] // 4)
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X]
        corner = row[INPUT] // 4 + (y * row[WIDTH] + x) * channels
        for c in range(channels):
            sums[a + np.uint64(c)] = np.float32(0)
        for k in range(taps):
            s = np.uint64(corner + offsets[np.uint64(row[TAPS] // 8 + k)])
            for c in range(channels):
                i = np.uint64(c)
                total = sums[a + i] + images[s + i]
                sums[a + i] = round_half(total, before, after, over) if half_sums else total
        count = floats[np.uint64(row[MULTIPLIER] // 4 + (0 if row[UNIFORM] else pixel))]
        o = np.uint64(row[OUTPUT] // 2 + pixel * channels)
        for c in range(channels):
            i = np.uint64(c)
            value = limit(sums[a + i] / count, floats[low + i], floats[high + i])
            halves[o + i] = half_bits(round_half(value, before, after, over))
