"""Minifloat arithmetic inside compiled loops: codes to binary32 and back, by integer operations on bits.

Inside the engine a code is in offset binary: `zero`, half its range, stands for 0. Columns of a row: MAGNITUDES is the
greatest code, SHIFT how many of binary32's mantissa bits are dropped, RULE 1 where ties go to even, ZERO_POINT and
OUTPUT_ZERO_POINT the bits of the number whose fields are all 0, 2**-bias, of which equations (M1) and (M2) are sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.half import SIGN, bits_of, limit, number_of
from intlower.kernels.movement import share
from intlower.kernels.table import (
    CHANNELS,
    HEIGHT,
    HIGH,
    INNER,
    INPUT,
    INPUT_BYTES,
    LOW,
    MAGNITUDES,
    OUTER,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    OUTPUT_ZERO_POINT,
    PAD_LEFT,
    PAD_TOP,
    RULE,
    SECOND_INPUT,
    SECOND_ZERO_POINT,
    SHIFT,
    WIDTH,
    ZERO_POINT,
)

Array = Any


@part
def number_of_code(code: Any, zero: Any, shift: Any, origin: Any) -> Any:
    """Return the float32 of a code in offset binary, equation (M2)."""
    signed = np.int32(code) - np.int32(zero)
    magnitude = np.uint32(-signed if signed < 0 else signed)
    sign = SIGN if signed < 0 else np.uint32(0)
    bits = np.uint32(np.uint32(magnitude << shift) + origin)
    return number_of(np.uint32(bits | sign) if magnitude else np.uint32(0))


@part
def code_of_number(
    value: Any, zero: Any, shift: Any, even: Any, origin: Any, greatest: Any
) -> Any:
    """Return the code, in offset binary, of a finite float32, equation (M1)."""
    bits = bits_of(np.float32(value))
    magnitude = np.uint32(bits & ~SIGN)
    half = np.uint32(np.uint32(1) << np.uint32(shift - np.uint32(1)))
    odd = np.uint32(np.uint32(magnitude >> shift) & np.uint32(1))
    below = np.uint32(half - np.uint32(1)) + odd if even else half
    rounded = np.int32(np.uint32(np.uint32(magnitude + np.uint32(below)) >> shift))
    code = rounded - np.int32(np.uint32(origin >> shift))
    code = np.int32(0) if code < 0 else code
    code = np.int32(greatest) if code > greatest else code
    return np.int32(zero) - code if bits & SIGN else np.int32(zero) + code


@part
def minifloat_widen(
    row: Array, codes: Array, singles: Array, thread: Any, threads: Any
) -> None:
    """Copy an image of codes to float32, with a border of +0."""
    channels, width, size = row[CHANNELS], row[WIDTH], row[INPUT_BYTES]
    shift, origin = np.uint32(row[SHIFT]), np.uint32(row[ZERO_POINT])
    zero = np.int32(row[MAGNITUDES] + 1)
    source, target = row[INPUT] // size, row[OUTPUT] // 4
    first, last = share(row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], thread, threads)
    for pixel in range(first, last):
        y = pixel // row[OUTPUT_WIDTH] - row[PAD_TOP]
        x = pixel % row[OUTPUT_WIDTH] - row[PAD_LEFT]
        d = np.uint64(target + pixel * channels)
        if 0 <= y < row[HEIGHT] and 0 <= x < width:
            s = np.uint64(source + (y * width + x) * channels)
            for c in range(channels):
                i = np.uint64(c)
                singles[d + i] = number_of_code(codes[s + i], zero, shift, origin)
        else:
            for c in range(channels):
                singles[d + np.uint64(c)] = np.float32(0)


@part
def minifloat_add(
    row: Array, inputs: Array, outputs: Array, floats: Array, thread: Any, threads: Any
) -> None:
    """Add two tensors, [OUTER, CHANNELS, INNER] as they lie in memory, limited by channel."""
    channels, inner, size = row[CHANNELS], row[INNER], row[INPUT_BYTES]
    shift, even = np.uint32(row[SHIFT]), row[RULE]
    origin_a, origin_b = np.uint32(row[ZERO_POINT]), np.uint32(row[SECOND_ZERO_POINT])
    origin, greatest = np.uint32(row[OUTPUT_ZERO_POINT]), np.int32(row[MAGNITUDES])
    zero = np.int32(greatest + 1)
    low, high = np.uint64(row[LOW] // 4), np.uint64(row[HIGH] // 4)
    first, last = share(row[OUTER], thread, threads)
    for outer in range(first, last):
        start = outer * channels * inner
        a, b = (
            np.uint64(row[INPUT] // size + start),
            np.uint64(row[SECOND_INPUT] // size + start),
        )
        d = np.uint64(row[OUTPUT] // row[OUTPUT_BYTES] + start)
        for j in range(inner):
            for c in range(channels):
                i, k = np.uint64(c * inner + j), np.uint64(c)
                x = number_of_code(inputs[a + i], zero, shift, origin_a)
                y = number_of_code(inputs[b + i], zero, shift, origin_b)
                value = limit(x + y, floats[low + k], floats[high + k])
                outputs[d + i] = code_of_number(value, zero, shift, even, origin, greatest)


@part
def minifloat_clip(
    row: Array, inputs: Array, outputs: Array, floats: Array, thread: Any, threads: Any
) -> None:
    """Limit a tensor, [OUTER, CHANNELS, INNER] as it lies in memory, by channel, under another exponent bias."""
    channels, inner, size = row[CHANNELS], row[INNER], row[INPUT_BYTES]
    shift, even = np.uint32(row[SHIFT]), row[RULE]
    origin_a, origin = np.uint32(row[ZERO_POINT]), np.uint32(row[OUTPUT_ZERO_POINT])
    greatest = np.int32(row[MAGNITUDES])
    zero = np.int32(greatest + 1)
    low, high = np.uint64(row[LOW] // 4), np.uint64(row[HIGH] // 4)
    first, last = share(row[OUTER], thread, threads)
    for outer in range(first, last):
        start = outer * channels * inner
        s = np.uint64(row[INPUT] // size + start)
        d = np.uint64(row[OUTPUT] // row[OUTPUT_BYTES] + start)
        for j in range(inner):
            for c in range(channels):
                i, k = np.uint64(c * inner + j), np.uint64(c)
                x = number_of_code(inputs[s + i], zero, shift, origin_a)
                value = limit(x, floats[low + k], floats[high + k])
                outputs[d + i] = code_of_number(value, zero, shift, even, origin, greatest)
