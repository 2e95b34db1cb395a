"""Products of activations, normalizations, quotients, constants and conversions, in standard integer ONNX.

Independent of `kernels/numerics_general.py`: the same equations, other algorithms.
"""

from __future__ import annotations

from collections.abc import Callable

from intlower.compiler.onnx_functions.arithmetic import (
    clamp,
    floor_divide,
    power_of_two,
    scale_single_rounding,
)
from intlower.compiler.onnx_functions.body import Body, Value
from intlower.compiler.onnx_functions.requantization import per_tensor, stored
from intlower.kernels.signature import KernelKey


def matmul(body: Body, key: KernelKey) -> Value:
    """Write the matrix product of two tensors, scaled.

    onnxruntime's MatMul of int64 is exact.
    """
    a, b = _operands(body, key)
    product = body.apply("MatMul", a, b)
    return per_tensor(body, key, product, body.attribute("multiplier"), body.attribute("shift"))


def normalize(body: Body, key: KernelKey) -> Value:
    """Write rows less their means, over the roots of their variances, scaled and shifted."""
    middle = (sum(key.activation.limits) + 1) // 2
    codes = body.parameter("input", key.activation.dtype_name).cast("int64") - middle
    x = floor_divide(codes, power_of_two(body.attribute("input_shift")))
    count = x.dimensions(2, 3).part(0)
    total, squares = _row_sum(x), _row_sum(x * x)
    variance = squares * count - total * total + body.attribute("epsilon")
    # Both ends of the root's search are exact: it is the greatest number whose square is no more than the variance.
    length = _bit_length(variance, 62)
    even = (length * -1 + 62) // 2
    reduced = variance * power_of_two(even * 2)
    root = _square_root(reduced)
    numerator = (x * count - total) * power_of_two(even + 16)
    normal = _divide_half_up(numerator, root)
    multiplier = body.parameter("multiplier", "int32").cast("int64")
    bias = body.parameter("bias", "int32").cast("int64")
    shifted = bias * power_of_two(body.attribute("bias_shift"))
    divisor = power_of_two(body.attribute("shift"))
    scaled = floor_divide(normal * multiplier + shifted + divisor // 2, divisor)
    return stored(body, key, scaled, body.attribute("minimum"), body.attribute("maximum"))


def lrn(body: Body, key: KernelKey) -> Value:
    """Write each number times a tabled function of its neighbours' squares; their sums are differences of running sums."""
    codes = body.parameter("input", key.activation.dtype_name).cast("int64")
    x = codes - body.attribute("input_zero_point")
    size = body.attribute("size")
    before = ((size - 1) // 2 + 1).unsqueeze(0)
    after = (size // 2).unsqueeze(0)
    none = body.constant([0], "int64")
    pads = body.concatenate(none, before, none, none, none, after, none, none)
    padded = body.apply("Pad", x * x, pads)
    running = body.apply("CumSum", padded, body.constant(1, "int64"))
    window, channel = size.unsqueeze(0), body.constant([1], "int64")
    end = body.constant([(1 << 62)], "int64")
    later = body.apply("Slice", running, window, end, channel)
    earlier = body.apply("Slice", running, none, window * -1, channel)
    total = floor_divide(later - earlier, power_of_two(body.attribute("sum_shift")))
    # Below 64 the number is its entry; else its five bits after the leading one choose, 32 entries for each octave.
    octave = _bit_length(total, 31) - 6
    octave = octave * ((octave < 0).cast("int64") * -1 + 1)
    part = power_of_two(octave)
    index = total // part + octave * 32
    table = body.parameter("table", "int32").cast("int64")
    first, following = (
        body.apply("Gather", table, place, axis=0) for place in (index, index + 1)
    )
    between = (following - first) * (total - total // part * part)
    factor = first + floor_divide(between + part // 2, part)
    scaled = scale_single_rounding(x, factor, body.attribute("shift"))
    return stored(body, key, scaled, body.attribute("minimum"), body.attribute("maximum"))


def divide(body: Body, key: KernelKey) -> Value:
    """Write quotients rounded to nearest; over 0 they are past every code on the numerator's side."""
    a, b = _operands(body, key)
    negative = (b < 0).cast("int64")
    sign = negative * -2 + 1
    magnitude = abs(b)
    none = (magnitude < 1).cast("int64")
    denominator = (magnitude + none) * power_of_two(body.attribute("shift"))
    numerator = a * sign * body.attribute("multiplier")
    zero = body.constant(0, "int64")
    side = (a < 0).cast("int64") * -1 + (zero < a).cast("int64")
    finite = _divide_half_up(numerator, denominator)
    found = finite * (none * -1 + 1) + side * none * (1 << 40)
    return stored(body, key, found, body.attribute("minimum"), body.attribute("maximum"))


def constant(body: Body, key: KernelKey) -> Value:
    """Write the constant once for each sample."""
    like = body.parameter("input", key.activation.dtype_name)
    codes = body.parameter("codes", key.output.dtype_name).unsqueeze(0)
    ones = body.apply("Shape", codes, dtype="int64", start=1) * 0 + 1
    return body.apply("Expand", codes, body.concatenate(like.dimensions(0, 1), ones))


def convert(body: Body, key: KernelKey) -> Value:
    """Write a tensor's codes on another grid."""
    codes = body.parameter("input", key.activation.dtype_name).cast("int64")
    x = codes - body.attribute("input_zero_point")
    scaled = scale_single_rounding(x, body.attribute("multiplier"), body.attribute("shift"))
    return stored(body, key, scaled, body.attribute("minimum"), body.attribute("maximum"))


def lookup_interpolated(body: Body, key: KernelKey) -> Value:
    """Write what lies between two entries of a table."""
    low = key.activation.limits[0]
    place = body.parameter("input", key.activation.dtype_name).cast("int64") - low
    table = body.parameter("table", "int32").cast("int64")
    index = place // 128
    first, following = (
        body.apply("Gather", table, entry, axis=0) for entry in (index, index + 1)
    )
    found = first + floor_divide((following - first) * (place - index * 128) + 64, 128)
    least, greatest = (body.constant(limit, "int64") for limit in key.output.limits)
    return clamp(found, least, greatest).cast(key.output.dtype_name)


def _operands(body: Body, key: KernelKey) -> tuple[Value, Value]:
    """Return both inputs less their zero points."""
    dtype = key.activation.dtype_name
    zero_points = body.attributes("input_zero_points")
    a = body.parameter("input_0", dtype).cast("int64") - zero_points.part(0)
    b = body.parameter("input_1", dtype).cast("int64") - zero_points.part(1)
    return a, b


def _row_sum(x: Value) -> Value:
    return x.body.apply("ReduceSum", x, x.body.constant([-1], "int64"), keepdims=1)


def _bit_length(x: Value, bits: int) -> Value:
    """Return the length in bits of numbers in [0, 2**bits), by halves."""
    length, rest, step = x * 0, x.cast("uint64"), 32
    while step:
        if step < bits:
            longer = (rest >> step).cast("int64").minimum(1)
            longer = (longer * -1 < 0).cast("int64")
            length = length + longer * step
            rest = rest >> (longer * step).cast("uint64")
        step //= 2
    return length + rest.cast("int64")


def _square_root(x: Value) -> Value:
    """Return the integer square roots of numbers below 2**62, bit by bit."""
    root = x * 0
    for bit in reversed(range(31)):
        larger = root + (1 << bit)
        above = (x < larger * larger).cast("int64")
        root = root + (above * -1 + 1) * (1 << bit)
    return root


def _divide_half_up(numerator: Value, denominator: Value) -> Value:
    """Return a quotient rounded to nearest, ties up, for a numerator of either sign and a positive denominator.

    ONNX divides toward 0: the floor is one less where the numerator is negative and something remains.
    """
    twice, divisor = numerator * 2 + denominator, denominator * 2
    quotient = twice // divisor
    return quotient - (twice < quotient * divisor).cast("int64")


GENERAL_WRITERS: dict[str, Callable[[Body, KernelKey], Value]] = {
    "matmul": matmul,
    "normalize": normalize,
    "lrn": lrn,
    "divide": divide,
    "constant": constant,
    "convert": convert,
    "lookup_interpolated": lookup_interpolated,
}

GENERAL_MEANINGS = {
    "matmul": "Matrix product of two tensors of {x} codes",
    "normalize": "Rows of {x} codes less their means, over their standard deviations, scaled and shifted, as {y}",
    "lrn": "{x} codes times a tabled function of their neighbours' squares, as {y}",
    "divide": "Quotient of two tensors of {x} codes, as {y}",
    "constant": "Constant {y} codes for each sample",
    "convert": "{x} codes as {y} on another grid, rounded half up",
    "lookup_interpolated": "A function of each {x} code, linear between tabled {y} codes",
}
