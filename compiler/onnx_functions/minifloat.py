"""Minifloat operators, in standard ONNX: codes to float32, sums in float32 in one order, and codes again.

ONNX has no view of a float's bits before its opset 26, so a number's exponent is found by comparisons with powers of two.
They and the rounding run in float64, where each of their steps is exact.
"""

from __future__ import annotations

from collections.abc import Callable

from intlower.compiler.onnx_functions.arithmetic import power_of_two
from intlower.compiler.onnx_functions.body import Body, Value
from intlower.compiler.onnx_functions.float_sums import (
    channel_shape,
    convolution_sums,
    padded,
    product_sums,
    where,
    window_sums,
)
from intlower.kernels.minifloat_rule import MinifloatRule
from intlower.kernels.signature import KernelKey


def minifloat_conv2d(body: Body, key: KernelKey) -> Value:
    """Write a convolution."""
    image = padded(body, _input(body, key))
    total = convolution_sums(body, image, _weights(body, key), _plain_sum)
    return _finished(body, key, total + _bias(body).unsqueeze(1, 2))


def minifloat_gemm(body: Body, key: KernelKey) -> Value:
    """Write a matrix product."""
    total = product_sums(body, _input(body, key), _weights(body, key), _plain_sum)
    return _finished(body, key, total + _bias(body))


def minifloat_average_pool(body: Body, key: KernelKey) -> Value:
    """Write window means: their sums, then one division."""
    total = window_sums(body, padded(body, _input(body, key)), _plain_sum)
    return _finished(body, key, total // body.parameter("count", "int32").cast("float32"))


def minifloat_add(body: Body, key: KernelKey) -> Value:
    """Write a sum of two tensors."""
    biases = body.attributes("input_exponent_biases")
    a, b = (
        _numbers(
            body.parameter(f"input_{i}", key.activation.dtype_name), _rule(key), biases.part(i)
        )
        for i in range(2)
    )
    return _finished(body, key, a + b)


def minifloat_clip(body: Body, key: KernelKey) -> Value:
    """Write a standalone activation, or a change of the exponent bias."""
    return _finished(body, key, _input(body, key))


def _plain_sum(total: Value, term: Value) -> Value:
    return total + term


def _rule(key: KernelKey) -> MinifloatRule:
    assert key.minifloat is not None  # the key proves it
    return key.minifloat


def _input(body: Body, key: KernelKey) -> Value:
    codes = body.parameter("input", key.activation.dtype_name)
    return _numbers(codes, _rule(key), body.attribute("input_exponent_bias"))


def _weights(body: Body, key: KernelKey) -> Value:
    codes = body.parameter("weights", key.activation.dtype_name)
    return _numbers(codes, _rule(key), body.attribute("weight_exponent_bias"))


def _bias(body: Body) -> Value:
    """Return bias / 2**shift as float32, which holds both and their quotient exactly."""
    divisor = power_of_two(body.parameter("shift", "int32").cast("int64")).cast("float32")
    return body.parameter("bias", "int32").cast("float32") // divisor


def _numbers(codes: Value, rule: MinifloatRule, bias: Value) -> Value:
    """Return codes as float32, equation (M2).

    2**E has up to 63 octaves: the greater ones are a power of 32 octaves apart.
    """
    q = codes.cast("int32")
    fields = abs(q).cast("uint32")
    exponent = (fields >> rule.mantissa_bits).cast("int64")
    mantissa = (fields & ((1 << rule.mantissa_bits) - 1)) + (1 << rule.mantissa_bits)
    upper = (exponent // 32).cast("float64")
    octaves = power_of_two(exponent & 31).cast("float64") * (upper * (2.0**32 - 1) + 1.0)
    magnitude = mantissa.cast("float64") * octaves * 2.0**-rule.mantissa_bits
    sign = q.maximum(-1).minimum(1).cast("float64")
    return (_scaled(magnitude, bias, -1) * sign).cast("float32")


def _finished(body: Body, key: KernelKey, numbers: Value) -> Value:
    """Return float32 numbers as codes, equation (M1), limited by channel.

    The fraction s in [1, 2) and the exponent field E of |x| * 2**bias are found a bit of E at a time; what is past all
    fields keeps a greater fraction, and saturates.
    """
    rule = _rule(key)
    fraction = _scaled(abs(numbers).cast("float64"), body.attribute("output_exponent_bias"), 1)
    below = (fraction < 1.0).cast("float64")
    code = fraction * 0.0
    for bit in reversed(range(rule.exponent_bits)):
        octaves = 1 << bit
        above = body.apply("Not", fraction < 2.0**octaves)
        fraction = where(above, fraction * 2.0**-octaves, fraction)
        code = code + above.cast("float64") * float(octaves << rule.mantissa_bits)
    scaled = fraction * 2.0**rule.mantissa_bits
    rounded = body.apply("Round", scaled) if rule.even else body.apply("Floor", scaled + 0.5)
    exact = code + rounded - 2.0**rule.mantissa_bits
    magnitude = exact.minimum(float(rule.greatest)) * (below * -1.0 + 1.0)
    sign = (numbers < 0.0).cast("float64") * -2.0 + 1.0
    codes = (magnitude * sign).cast("int32")
    shape = channel_shape(body, numbers)
    low, high = (
        body.parameter(name, "int32").reshape(shape) for name in ("minimum", "maximum")
    )
    return codes.maximum(low).minimum(high).cast(key.output.dtype_name)


def _scaled(values: Value, bias: Value, direction: int) -> Value:
    """Return float64 values times 2**(direction * bias)."""
    up, down = (
        power_of_two((bias * sign).maximum(0)).cast("float64")
        for sign in (direction, -direction)
    )
    return values * up // down


MINIFLOAT_WRITERS: dict[str, Callable[[Body, KernelKey], Value]] = {
    "minifloat_conv2d": minifloat_conv2d,
    "minifloat_gemm": minifloat_gemm,
    "minifloat_average_pool": minifloat_average_pool,
    "minifloat_add": minifloat_add,
    "minifloat_clip": minifloat_clip,
}

MINIFLOAT_MEANINGS = {
    "minifloat_conv2d": "2-d convolution of {x} codes, its sums in one order: channels, rows, columns",
    "minifloat_gemm": "Product of {x} codes with a matrix, its sums in the order of the columns",
    "minifloat_average_pool": "Mean of each window of {x} codes, summed by rows, divided once",
    "minifloat_add": "Sum of two tensors of {x} codes, each with an exponent bias of its own",
    "minifloat_clip": "{x} codes with another exponent bias, limited to the bounds of each channel",
}
