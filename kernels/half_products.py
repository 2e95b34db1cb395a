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
from intlower.kernels.simd_half import LANES, PIXELS, add_products
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
    PANEL,
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
    corners: Array,
    floats: Array,
    offsets: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a convolution or matrix product, PIXELS by LANES outputs at a time.

    Args:
        row: its row.
        images: the arena as float32, in which the widened input lies.
        halves: the arena as output codes.
        sums: the arena as float32, in which the accumulators lie.
        corners: the arena as int64, in which the places of a tile's windows lie.
        floats: constants; weights are [groups, columns / LANES, taps, LANES], taps by channel, row and column.
        offsets: constants as int64: of each tap, from a window's first element.
        scratch: byte offset of the thread's scratch.
        thread: which of `threads` this is.
        threads: how many share the pixels.
    """
    groups, taps = row[GROUPS], row[WORDS]
    outputs = row[OUTPUT_CHANNELS] // groups
    a = (scratch + row[ACCUMULATORS]) // 4
    places, t = (scratch + row[PANEL]) // 8, row[TAPS] // 8
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last, PIXELS):
        count = min(last - pixel, PIXELS)
        for group in range(groups):
            for i in range(PIXELS):  # a tile past the end computes its last window again
                here = pixel + min(i, count - 1)
                y = here // row[OUTPUT_WIDTH] * row[STRIDE_Y]
                x = here % row[OUTPUT_WIDTH] * row[STRIDE_X]
                corner = row[INPUT] // 4 + (y * row[WIDTH] + x) * row[CHANNELS]
                corners[np.uint64(places + i)] = corner + group * row[DEPTH]
            w = (row[WEIGHTS] + group * row[GROUP_BYTES]) // 4
            for column in range(0, outputs, LANES):
                if row[RULE] & 1:
                    _round_products(
                        row, images, corners, places, offsets, t, floats, w, sums, a
                    )
                else:
                    add_products(images, corners, places, offsets, t, taps, floats, w, sums, a)
                w += taps * LANES
                channel = group * outputs + column
                channels = min(outputs - column, LANES)
                for i in range(count):
                    target = row[OUTPUT] // 2 + (pixel + i) * row[OUTPUT_CHANNELS] + channel
                    total = np.uint64(a + i * LANES)
                    store_pixel(row, sums, total, floats, channel, channels, halves, target)


@part
def _round_products(
    row: Array,
    images: Array,
    corners: Array,
    places: Any,
    offsets: Array,
    t: Any,
    floats: Array,
    w: Any,
    sums: Array,
    a: Any,
) -> None:
    """Do what `add_products` does, with every product and every sum rounded to binary16."""
    before, after, over = thresholds(row[RULE])
    for i in range(PIXELS):
        corner, total = corners[np.uint64(places + i)], np.uint64(a + i * LANES)
        for c in range(LANES):
            sums[total + np.uint64(c)] = np.float32(0)
        for k in range(row[WORDS]):
            value = images[np.uint64(corner + offsets[np.uint64(t + k)])]
            factor = np.uint64(w + k * LANES)
            for c in range(LANES):
                j = np.uint64(c)
                product = round_half(value * floats[factor + j], before, after, over)
                sums[total + j] = round_half(sums[total + j] + product, before, after, over)


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
    """Run a convolution with one filter for each channel; `half_dense`'s arguments, weights [taps, channels]."""
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
