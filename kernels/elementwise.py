"""Kernels on whole tensors: addition and the integer softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.jitable import (
    divide_half_up,
    sum_double_rounding,
    sum_power_half_away,
    sum_power_half_even,
    sum_power_half_up,
    sum_single_rounding,
)
from intlower.kernels.movement import share
from intlower.kernels.requantization import clamp_float, clamp_integer, round_half_even
from intlower.kernels.table import (
    F32BIAS,
    F32EVEN,
    HIGH,
    INNER,
    INPUT,
    INPUT_BYTES,
    LEFT_SHIFT,
    LENGTH,
    LOW,
    MUL31DOUBLE,
    MUL31SINGLE,
    MULTIPLIER,
    OUTER,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_ZERO_POINT,
    POWERAWAY,
    POWERUP,
    RULE,
    SCALE,
    SECOND_INPUT,
    SECOND_ZERO_POINT,
    SHIFT,
    TABLE,
    VALUE,
    ZERO_POINT,
)

Array = Any


@part
def add(
    row: Array,
    inputs: Array,
    outputs: Array,
    integers: Array,
    floats: Array,
    thread: Any,
    threads: Any,
) -> None:
    """Add two tensors of different scales, equation (9) in the float unit, or (13), (17), (18)."""
    first, last = share(row[LENGTH], thread, threads)
    a = np.uint64(row[INPUT] // row[INPUT_BYTES])
    b = np.uint64(row[SECOND_INPUT] // row[INPUT_BYTES])
    d = np.uint64(row[OUTPUT] // row[OUTPUT_BYTES])
    zero_a, zero_b = np.int32(row[ZERO_POINT]), np.int32(row[SECOND_ZERO_POINT])
    zero = np.int32(row[OUTPUT_ZERO_POINT])
    rule = row[RULE]
    if rule in (F32EVEN, F32BIAS):
        scale_a, scale_b = floats[row[SCALE] // 4], floats[row[SCALE] // 4 + 1]
        low, high = np.float32(row[LOW]), np.float32(row[HIGH])
        for i in range(first, last):
            j = np.uint64(i)
            x = np.float32(np.int32(inputs[a + j]) - zero_a) * scale_a
            y = np.float32(np.int32(inputs[b + j]) - zero_b) * scale_b
            outputs[d + j] = round_half_even(clamp_float(x + y, low, high)) + zero
        return
    m, n, left_shift = row[MULTIPLIER] // 4, row[SHIFT] // 4, row[LEFT_SHIFT]
    multiplier_a, multiplier_b = np.int64(integers[m]), np.int64(integers[m + 1])
    shift_a, shift_b = np.int64(integers[n]), np.int64(integers[n + 1])
    multiplier, shift = np.int64(integers[m + 2]), np.int64(integers[n + 2])
    for i in range(first, last):
        j = np.uint64(i)
        x = np.int64(inputs[a + j]) - zero_a
        y = np.int64(inputs[b + j]) - zero_b
        if rule == MUL31DOUBLE:
            total = sum_double_rounding(
                x,
                multiplier_a,
                shift_a,
                y,
                multiplier_b,
                shift_b,
                multiplier,
                shift,
                left_shift,
            )
        elif rule == MUL31SINGLE:
            total = sum_single_rounding(
                x, multiplier_a, shift_a, y, multiplier_b, shift_b, shift
            )
        elif rule == POWERUP:
            total = sum_power_half_up(x, multiplier_a, y, multiplier_b, shift_a)
        elif rule == POWERAWAY:
            total = sum_power_half_away(x, multiplier_a, y, multiplier_b, shift_a)
        else:
            total = sum_power_half_even(x, multiplier_a, y, multiplier_b, shift_a)
        outputs[d + j] = clamp_integer(total, row[LOW], row[HIGH]) + zero


@part
def softmax(row: Array, codes: Array, width: Any, table: Array, thread: Any) -> None:
    """Divide tabled exponentials by their sum, equation (14), along the middle of [OUTER, LENGTH, INNER].

    The first thread does it alone.
    """
    if thread > 0:
        return
    length, inner = row[LENGTH], row[INNER]
    t = np.uint64(row[TABLE] // 4)
    for i in range(row[OUTER]):
        for k in range(inner):
            s = row[INPUT] // width + i * length * inner + k
            d = row[OUTPUT] // width + i * length * inner + k
            greatest = np.int64(0)
            for j in range(length):
                greatest = max(greatest, np.int64(codes[np.uint64(s + j * inner)]))
            total = np.int64(0)
            for j in range(length):
                difference = greatest - np.int64(codes[np.uint64(s + j * inner)])
                total += np.int64(table[t + np.uint64(difference)])
            for j in range(length):
                difference = greatest - np.int64(codes[np.uint64(s + j * inner)])
                exponential = np.int64(table[t + np.uint64(difference)])
                share_of_one = divide_half_up(exponential * row[VALUE], total)
                code = clamp_integer(share_of_one, np.int64(0), row[HIGH])
                codes[np.uint64(d + j * inner)] = code + row[OUTPUT_ZERO_POINT]
