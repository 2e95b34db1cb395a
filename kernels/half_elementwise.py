"""Half-precision kernels that see each code by itself, or compare codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.half import half_bits, limit, round_half, single_of_half, thresholds
from intlower.kernels.movement import share
from intlower.kernels.table import (
    CHANNELS,
    DILATION_X,
    DILATION_Y,
    HEIGHT,
    HIGH,
    INNER,
    INPUT,
    INPUT_BYTES,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    LOW,
    OUTER,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    OUTPUT_ZERO_POINT,
    PAD_LEFT,
    PAD_TOP,
    RULE,
    SCALE,
    SECOND_INPUT,
    STRIDE_X,
    STRIDE_Y,
    WIDTH,
)

Array = Any


@part
def half_add(
    row: Array, inputs: Array, outputs: Array, floats: Array, thread: Any, threads: Any
) -> None:
    """Add two tensors, [OUTER, CHANNELS, INNER] as they lie in memory, limited by channel."""
    before, after, over = thresholds(row[RULE])
    channels, inner = row[CHANNELS], row[INNER]
    low, high = np.uint64(row[LOW] // 4), np.uint64(row[HIGH] // 4)
    first, last = share(row[OUTER], thread, threads)
    for outer in range(first, last):
        start = outer * channels * inner
        a, b = np.uint64(row[INPUT] // 2 + start), np.uint64(row[SECOND_INPUT] // 2 + start)
        d = np.uint64(row[OUTPUT] // 2 + start)
        for j in range(inner):
            for c in range(channels):
                i, k = np.uint64(c * inner + j), np.uint64(c)
                total = single_of_half(inputs[a + i]) + single_of_half(inputs[b + i])
                value = limit(total, floats[low + k], floats[high + k])
                outputs[d + i] = half_bits(round_half(value, before, after, over))


@part
def half_clip(
    row: Array, inputs: Array, outputs: Array, floats: Array, thread: Any, threads: Any
) -> None:
    """Limit a tensor, [OUTER, CHANNELS, INNER] as it lies in memory, by channel."""
    channels, inner = row[CHANNELS], row[INNER]
    low, high = np.uint64(row[LOW] // 4), np.uint64(row[HIGH] // 4)
    first, last = share(row[OUTER], thread, threads)
    for outer in range(first, last):
        start = outer * channels * inner
        s, d = np.uint64(row[INPUT] // 2 + start), np.uint64(row[OUTPUT] // 2 + start)
        for j in range(inner):
            for c in range(channels):
                i, k = np.uint64(c * inner + j), np.uint64(c)
                value = single_of_half(inputs[s + i])
                outputs[d + i] = half_bits(limit(value, floats[low + k], floats[high + k]))


@part
def half_dequantize(
    row: Array, inputs: Array, outputs: Array, floats: Array, thread: Any, threads: Any
) -> None:
    """Multiply int32 codes, in offset binary, by the scale of their channel."""
    before, after, over = thresholds(row[RULE])
    channels, inner = row[CHANNELS], row[INNER]
    scale = np.uint64(row[SCALE] // 4)
    low, high = np.uint64(row[LOW] // 4), np.uint64(row[HIGH] // 4)
    first, last = share(row[OUTER], thread, threads)
    for outer in range(first, last):
        start = outer * channels * inner
        s, d = np.uint64(row[INPUT] // 4 + start), np.uint64(row[OUTPUT] // 2 + start)
        for j in range(inner):
            for c in range(channels):
                i, k = np.uint64(c * inner + j), np.uint64(c)
                code = np.int32(inputs[s + i] ^ np.uint32(0x80000000))
                product = np.float32(code) * floats[scale + k]
                value = limit(product, floats[low + k], floats[high + k])
                outputs[d + i] = half_bits(round_half(value, before, after, over))


@part
def half_quantize(
    row: Array, inputs: Array, outputs: Array, floats: Array, thread: Any, threads: Any
) -> None:
    """Multiply, round to an integer, ties to even, add the zero point; NaN gives the zero point."""
    scale = floats[np.uint64(row[SCALE] // 4)]
    low, high = np.float32(row[LOW]), np.float32(row[HIGH])
    zero = np.int32(row[OUTPUT_ZERO_POINT])
    first, last = share(row[OUTER], thread, threads)
    s, d = np.uint64(row[INPUT] // 2), np.uint64(row[OUTPUT] // row[OUTPUT_BYTES])
    for j in range(first, last):
        i = np.uint64(j)
        value = single_of_half(inputs[s + i]) * scale
        value = value if value == value else np.float32(0)  # NaN alone differs from itself
        outputs[d + i] = np.int32(np.rint(limit(value, low, high))) + zero


@part
def half_max_pool(row: Array, inputs: Array, outputs: Array, thread: Any, threads: Any) -> None:
    """Keep the greatest number of each window in the order (H3); padding takes no part."""
    channels = row[CHANNELS]
    source, target = row[INPUT] // row[INPUT_BYTES], row[OUTPUT] // row[OUTPUT_BYTES]
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] * row[STRIDE_X] - row[PAD_LEFT]
        d = np.uint64(target + pixel * channels)
        for c in range(channels):
            outputs[d + np.uint64(c)] = 0xFFFF  # the least in the order
        for v in range(row[KERNEL_HEIGHT]):
            for u in range(row[KERNEL_WIDTH]):
                vertical, horizontal = y + v * row[DILATION_Y], x + u * row[DILATION_X]
                if 0 <= vertical < row[HEIGHT] and 0 <= horizontal < row[WIDTH]:
                    s = np.uint64(source + (vertical * row[WIDTH] + horizontal) * channels)
                    for c in range(channels):
                        i = np.uint64(c)
                        greatest, code = outputs[d + i], inputs[s + i]
                        keep = _order(greatest) >= _order(code)
                        outputs[d + i] = greatest if keep else code


@part
def _order(half: Any) -> Any:
    """Return equation (H3)."""
    bits = np.int32(half)
    return bits if bits < 0x8000 else np.int32(0x7FFF) - bits
