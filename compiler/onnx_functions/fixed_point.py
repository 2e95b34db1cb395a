"""TFLite's means and softmax in standard integer ONNX, independent of `kernels/numerics_fixed.py`."""

from __future__ import annotations

from intlower.compiler.onnx_functions.arithmetic import (
    clamp,
    floor_divide,
    power_of_two,
    with_sign_of,
)
from intlower.compiler.onnx_functions.body import Body, Value
from intlower.compiler.onnx_functions.products import window_sums
from intlower.kernels.signature import ElementType, KernelKey

# 48/17 and -32/17 with 29 fraction bits, rounded: where Newton's division begins.
_GUESS, _SLOPE = round(48 / 17 * 2**29), round(-32 / 17 * 2**29)


def mean_pool(body: Body, key: KernelKey) -> Value:
    """Write the mean code of each window: sums of codes over sums of ones, ties away from 0."""
    x = body.parameter("input", key.activation.dtype_name)
    total = window_sums(body, x, key.activation, body.constant(0, "int64"))
    ones = (x.cast("int64") * 0 + 1).cast("uint8")
    count = window_sums(body, ones, ElementType.UINT8, body.constant(0, "int64"))
    mean = with_sign_of(total, (abs(total) + count // 2) // count)
    limited = clamp(mean, body.attribute("minimum"), body.attribute("maximum"))
    return limited.cast(key.output.dtype_name)


def softmax_fixed(body: Body, key: KernelKey) -> Value:
    """Write exp(x) / sum(exp(x)) by a table of exponentials and Newton's division."""
    codes = body.parameter("input", key.activation.dtype_name).cast("int64")
    axis = body.attribute("axis").unsqueeze(0)
    table = body.parameter("table", "int32").cast("int64")
    below_greatest = body.apply("ReduceMax", codes, axis) - codes
    exponentials = body.apply("Gather", table, below_greatest, axis=0)
    total = body.apply("ReduceSum", (exponentials + (1 << 11)) // (1 << 12), axis)
    digits = _digits(body, total)
    half = (total * power_of_two(digits * -1 + 32)) // 2
    x = _high(half, body.constant(_SLOPE, "int64")) + _GUESS
    for _ in range(3):
        rest = _high(half, x) * -1 + (1 << 29)
        x = x + _high(x, rest) * 4
    limit = body.constant((1 << 31) - 1, "int64")
    inverse = clamp(x * 2, body.constant(0, "int64"), limit)
    # The leading zeros of the total, 32 - digits, are taken from its 12 integer bits; 23 = 31 - 8.
    divisor = power_of_two(digits - 20 + 23)
    share = (_high(exponentials, inverse) + divisor // 2) // divisor
    low, high = key.output.limits
    limited = clamp(share + low, body.constant(low, "int64"), body.constant(high, "int64"))
    return limited.cast(key.output.dtype_name)


def _high(a: Value, b: Value) -> Value:
    """Return a * b / 2**31 rounded to nearest, ties up."""
    return floor_divide(a * b + (1 << 30), 1 << 31)


def _digits(body: Body, total: Value) -> Value:
    """Return the length in bits of numbers below 2**31: how many powers of two they reach."""
    powers = body.constant([1 << n for n in range(31)], "int64")
    below = (total.unsqueeze(-1) < powers).cast("int64")
    last = body.constant([-1], "int64")
    missing = body.apply("ReduceSum", below, last, keepdims=0)
    return missing * -1 + 31
