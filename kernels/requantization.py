"""From accumulators to codes: the loops of every requantization rule, for per-channel and for uniform scales.

Codes are in offset binary (see `table.py`). Limits are given without the zero point, `low = minimum - zero_point`, so
that every rule clamps first and adds the zero point last: nothing past the limits is ever formed.

Indices are unsigned: Numba then leaves out the test for negative ones, and LLVM vectorises the loops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.jitable import (
    scale_power_half_away,
    scale_power_half_even,
    scale_power_half_up,
    scale_single_rounding,
)
from intlower.kernels.table import (
    F32BIAS,
    F32EVEN,
    MUL31DOUBLE,
    MUL31SINGLE,
    POWERAWAY,
    POWERUP,
)

Array = Any

# Adding 1.5 * 2**23 to a float32 of magnitude up to 2**22 leaves no fraction bits: the sum is rounded to an integer,
# ties to even, by the addition itself.
MAGIC = np.float32(12582912.0)


@part
def round_half_even(value: Any) -> Any:
    """Return a float32 of magnitude up to 2**22 as an int32, ties to even."""
    return np.int32((value + MAGIC) - MAGIC)


@part
def clamp_float(value: Any, low: Any, high: Any) -> Any:
    """Return a float32 limited to [low, high]."""
    value = low if value < low else value
    return high if value > high else value


@part
def clamp_integer(value: Any, low: Any, high: Any) -> Any:
    """Return an integer limited to [low, high]."""
    value = low if value < low else value
    return high if value > high else value


@part
def scale_float(accumulator: Any, scale: Any, low: Any, high: Any) -> Any:
    """Return equation (8) in the float unit, limited to [low, high].

    The conversion of the int32, the product and the last rounding are IEEE operations in the order of the equation; a
    clamp to integers may stand before the last rounding, which is monotonic.
    """
    return round_half_even(clamp_float(np.float32(accumulator) * scale, low, high))


@part
def scale_float_biased(accumulator: Any, bias: Any, scale: Any, low: Any, high: Any) -> Any:
    """Return equation (15) in the float unit, limited to [low, high]; see `scale_float`."""
    total = np.float32(accumulator) + np.float32(bias)
    return round_half_even(clamp_float(total * scale, low, high))


@part
def scale_power(
    rule: Any, accumulator: Any, power: Any, shift: Any, low: Any, high: Any
) -> Any:
    """Return equation (16) under one of the POWER rules, limited to [low, high]."""
    a, p, n = np.int64(accumulator), np.int64(power), np.int64(shift)
    if rule == POWERUP:
        scaled = scale_power_half_up(a, p, n)
    elif rule == POWERAWAY:
        scaled = scale_power_half_away(a, p, n)
    else:
        scaled = scale_power_half_even(a, p, n)
    return np.int32(clamp_integer(scaled, np.int64(low), np.int64(high)))


@part
def scale_doubled(accumulator: Any, multiplier: Any, shift: Any, low: Any, high: Any) -> Any:
    """Return equation (11) on int32, limited to [low, high].

    The product takes 64 bits; all else fits 32, so that vectors hold twice the lanes. Equation (3) is written with a
    mask, since x + 2**(n-1) may not fit: floor(x / 2**n) plus one where the remainder is past the half.
    """
    exponent = np.int32(31) - shift
    left = exponent if exponent > 0 else np.int32(0)
    right = left - exponent
    product = np.int64(np.int32(accumulator << left)) * np.int64(multiplier)
    high_half = np.int32((product + (np.int64(1) << 30)) >> 31)
    mask = np.int32((np.int64(1) << right) - 1)
    threshold = (mask >> 1) + (np.int32(1) if high_half < 0 else np.int32(0))
    carry = np.int32(1) if (high_half & mask) > threshold else np.int32(0)
    return clamp_integer(np.int32(high_half >> right) + carry, low, high)


@part
def scale_single(accumulator: Any, multiplier: Any, shift: Any, low: Any, high: Any) -> Any:
    """Return equation (12), limited to [low, high]."""
    scaled = scale_single_rounding(np.int64(accumulator), np.int64(multiplier), np.int64(shift))
    return np.int32(clamp_integer(scaled, np.int64(low), np.int64(high)))


@part
def requantize_channels(
    rule: Any,
    accumulators: Array,
    start: Any,
    integers: Array,
    floats: Array,
    multiplier: Any,
    shift: Any,
    low: Any,
    high: Any,
    scale: Any,
    low_float: Any,
    high_float: Any,
    zero_point: Any,
    channels: Any,
    output: Array,
    target: Any,
) -> None:
    """Write the codes of one pixel, each channel with its own scale and limits.

    Args:
        rule: see `table`.
        accumulators: int32.
        start: index of the pixel's first accumulator.
        integers: int32 constants.
        floats: float32 constants.
        multiplier: index of the first channel's multiplier in `integers`; shift, low, high alike.
        shift: see multiplier.
        low: see multiplier.
        high: see multiplier.
        scale: index of the first channel's scale in `floats`; low_float, high_float alike.
        low_float: see scale.
        high_float: see scale.
        zero_point: of the output.
        channels: how many.
        output: uint8 or uint16 codes.
        target: index of the pixel's first code.
    """
    zero = np.int32(zero_point)
    a, o = np.uint64(start), np.uint64(target)
    if rule == F32EVEN:
        s, lf, hf = np.uint64(scale), np.uint64(low_float), np.uint64(high_float)
        for c in range(channels):
            i = np.uint64(c)
            code = scale_float(
                accumulators[a + i], floats[s + i], floats[lf + i], floats[hf + i]
            )
            output[o + i] = code + zero
        return
    m, n = np.uint64(multiplier), np.uint64(shift)
    if rule == F32BIAS:
        s, lf, hf = np.uint64(scale), np.uint64(low_float), np.uint64(high_float)
        for c in range(channels):
            i = np.uint64(c)
            code = scale_float_biased(
                accumulators[a + i],
                integers[m + i],
                floats[s + i],
                floats[lf + i],
                floats[hf + i],
            )
            output[o + i] = code + zero
        return
    li, hi = np.uint64(low), np.uint64(high)
    if rule == MUL31DOUBLE:
        for c in range(channels):
            i = np.uint64(c)
            code = scale_doubled(
                accumulators[a + i],
                integers[m + i],
                integers[n + i],
                integers[li + i],
                integers[hi + i],
            )
            output[o + i] = code + zero
        return
    if rule == MUL31SINGLE:
        for c in range(channels):
            i = np.uint64(c)
            code = scale_single(
                accumulators[a + i],
                integers[m + i],
                integers[n + i],
                integers[li + i],
                integers[hi + i],
            )
            output[o + i] = code + zero
        return
    for c in range(channels):
        i = np.uint64(c)
        code = scale_power(
            rule,
            accumulators[a + i],
            integers[m + i],
            integers[n + i],
            integers[li + i],
            integers[hi + i],
        )
        output[o + i] = code + zero


@part
def requantize_uniform(
    rule: Any,
    accumulators: Array,
    start: Any,
    multiplier: Any,
    shift: Any,
    scale: Any,
    low: Any,
    high: Any,
    zero_point: Any,
    channels: Any,
    output: Array,
    target: Any,
) -> None:
    """Write the codes of one pixel whose channels share a scale; arguments are the numbers themselves."""
    zero, least, greatest = np.int32(zero_point), np.int32(low), np.int32(high)
    a, o = np.uint64(start), np.uint64(target)
    if rule in (F32EVEN, F32BIAS):
        least_float, greatest_float = np.float32(low), np.float32(high)
        for c in range(channels):
            i = np.uint64(c)
            code = scale_float(accumulators[a + i], scale, least_float, greatest_float)
            output[o + i] = code + zero
    elif rule == MUL31DOUBLE:
        for c in range(channels):
            i = np.uint64(c)
            code = scale_doubled(accumulators[a + i], multiplier, shift, least, greatest)
            output[o + i] = code + zero
    elif rule == MUL31SINGLE:
        for c in range(channels):
            i = np.uint64(c)
            code = scale_single(accumulators[a + i], multiplier, shift, least, greatest)
            output[o + i] = code + zero
    else:
        for c in range(channels):
            i = np.uint64(c)
            code = scale_power(rule, accumulators[a + i], multiplier, shift, least, greatest)
            output[o + i] = code + zero
