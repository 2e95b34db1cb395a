"""Operators that see each element by itself, or along one axis: add, requantize, softmax."""

from __future__ import annotations

from intlower.compiler.onnx_functions.arithmetic import (
    divide_half_up,
    sum_double_rounding,
    sum_float32,
    sum_power,
    sum_single_rounding,
)
from intlower.compiler.onnx_functions.body import Body, Value
from intlower.compiler.onnx_functions.requantization import per_tensor, stored
from intlower.kernels.signature import KernelKey, Requantize


def add(body: Body, key: KernelKey) -> Value:
    """Write the sum of two tensors with scales of their own."""
    dtype = key.activation.dtype_name
    zero_points = body.attributes("input_zero_points")
    a = body.parameter("input_0", dtype).cast("int64") - zero_points.part(0)
    b = body.parameter("input_1", dtype).cast("int64") - zero_points.part(1)
    multiplier, shift = body.attributes("multiplier"), body.attributes("shift")
    rule = key.requantize
    assert rule is not None  # the key proves it
    if rule.single_precision:
        total = sum_float32(
            a, multiplier.part(0), shift.part(0), b, multiplier.part(1), shift.part(1)
        )
    elif rule.power_of_two:
        total = sum_power(rule, a, b, multiplier, shift)
    elif rule is Requantize.MUL31SINGLE:
        total = sum_single_rounding(a, b, multiplier, shift)
    else:
        total = sum_double_rounding(a, b, multiplier, shift, body.attribute("left_shift"))
    return stored(body, key, total, body.attribute("minimum"), body.attribute("maximum"))


def requantize(body: Body, key: KernelKey) -> Value:
    """Write the codes of a tensor on another grid."""
    x = body.parameter("input", key.activation.dtype_name).cast("int64")
    return per_tensor(
        body,
        key,
        x - body.attribute("input_zero_point"),
        body.attribute("multiplier"),
        body.attribute("shift"),
    )


def softmax(body: Body, key: KernelKey) -> Value:
    """Write exp(x) / sum(exp(x)) by a table of exponentials and a rounded division."""
    codes = body.parameter("input", key.activation.dtype_name).cast("int64")
    axis = body.attribute("axis").unsqueeze(0)
    table = body.parameter("table", "int32").cast("int64")
    below_greatest = body.apply("ReduceMax", codes, axis) - codes
    exponentials = body.apply("Gather", table, below_greatest, axis=0)
    total = body.apply("ReduceSum", exponentials, axis)
    maximum = body.attribute("maximum")
    quotient = divide_half_up(exponentials * maximum, total)
    return quotient.minimum(key.output.limits[1]).cast(key.output.dtype_name)
