"""Half-precision and minifloat convolutions, matrix products and means: sums in one order, a lane for each output channel.

All read a widened image: float32 [H, W, C] with its padding of +0 around it, so that a window is a list of offsets. Lanes
are output channels, and each lane adds its own products in the order of the oracle; nothing is added across lanes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.half import HALF_SUMS, single_of_half, thresholds
from intlower.kernels.movement import share
from intlower.kernels.simd_half import (
    LANES,
    PIXELS,
    add_products,
    add_products_across,
    add_rounded_products,
    add_rounded_products_across,
)
from intlower.kernels.simd_half_store import store_halves, store_minifloats
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
    MAGNITUDES,
    MULTIPLIER,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_CHANNELS,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    OUTPUT_ZERO_POINT,
    PAD_LEFT,
    PAD_TOP,
    PANEL,
    RULE,
    SHIFT,
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
def half_products(
    across: Any,
    minifloat: Any,
    row: Array,
    images: Array,
    codes: Array,
    sums: Array,
    corners: Array,
    floats: Array,
    offsets: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a convolution, a matrix product or an average pooling, PIXELS by LANES outputs at a time.

    Args:
        across: whether each output channel reads only the input channel of its number: depthwise filters and means.
        minifloat: whether the outputs are minifloats, whose sums are all in binary32; otherwise they are halves.
        row: its row.
        images: the arena as float32, in which the widened input lies.
        codes: the arena as output codes.
        sums: the arena as float32, in which the accumulators lie.
        corners: the arena as int64, in which the places of a tile's windows lie.
        floats: constants; weights are [groups, columns / LANES, taps, LANES], taps by channel, row and column.
        offsets: constants as int64: of each tap, from a window's first element.
        scratch: byte offset of the thread's scratch.
        thread: which of `threads` this is.
        threads: how many share the pixels.
    """
    before, after, over = thresholds(row[RULE])
    half_sums = not minifloat and row[RULE] & HALF_SUMS
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
                if across:
                    if half_sums:
                        add_rounded_products_across(
                            images,
                            corners,
                            places,
                            offsets,
                            t,
                            taps,
                            floats,
                            w,
                            sums,
                            a,
                            before,
                            after,
                            over,
                        )
                    else:
                        add_products_across(
                            images,
                            corners,
                            places,
                            offsets,
                            t,
                            taps,
                            floats,
                            w,
                            sums,
                            a,
                            before,
                            after,
                            over,
                        )
                    for i in range(PIXELS):
                        corners[np.uint64(places + i)] += LANES
                elif half_sums:
                    add_rounded_products(
                        images,
                        corners,
                        places,
                        offsets,
                        t,
                        taps,
                        floats,
                        w,
                        sums,
                        a,
                        before,
                        after,
                        over,
                    )
                else:
                    add_products(
                        images,
                        corners,
                        places,
                        offsets,
                        t,
                        taps,
                        floats,
                        w,
                        sums,
                        a,
                        before,
                        after,
                        over,
                    )
                w += taps * LANES
                channel = group * outputs + column
                for i in range(count):
                    window = 0 if row[UNIFORM] else pixel + i
                    divisor = floats[np.uint64(row[MULTIPLIER] // 4 + window)]
                    place = (pixel + i) * row[OUTPUT_CHANNELS] + channel
                    lanes = min(outputs - column, LANES)
                    if minifloat:
                        store_minifloats(
                            sums,
                            a + i * LANES,
                            divisor,
                            floats,
                            row[BIAS] // 4 + channel,
                            row[LOW] // 4 + channel,
                            row[HIGH] // 4 + channel,
                            np.uint32(row[SHIFT]),
                            np.uint32(row[RULE]),
                            np.uint32(row[OUTPUT_ZERO_POINT]),
                            np.uint32(row[MAGNITUDES]),
                            codes,
                            row[OUTPUT] // row[OUTPUT_BYTES] + place,
                            lanes,
                        )
                    else:
                        store_halves(
                            sums,
                            a + i * LANES,
                            divisor,
                            floats,
                            row[BIAS] // 4 + channel,
                            row[LOW] // 4 + channel,
                            row[HIGH] // 4 + channel,
                            before,
                            after,
                            over,
                            codes,
                            row[OUTPUT] // 2 + place,
                            lanes,
                        )
