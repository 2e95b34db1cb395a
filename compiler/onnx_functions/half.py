"""Half-precision operators, in standard ONNX on float32 and float16.

Sums are those of `float_sums.py`. Cast rounds to nearest, ties to even (ONNX's specification of Cast; the
tests try it on every kind of number). A flush is written as a comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from intlower.compiler.onnx_functions.arithmetic import power_of_two
from intlower.compiler.onnx_functions.body import Body, Reference, Value
from intlower.compiler.onnx_functions.float_sums import (
    Accumulate,
    channel_shape,
    convolution_sums,
    equal,
    padded,
    product_sums,
    where,
    window_sums,
)
from intlower.kernels.half_rule import HalfRule, Subnormals
from intlower.kernels.signature import KernelKey

LEAST_NORMAL = 2.0**-14
GREATEST = 65504.0

# What stands for -0, infinity and NaN where halves are compared as multiples of 2**-25, of which none reaches 2**42.
_MINUS_ZERO, _INFINITE, _NAN = -1.0, 2.0**42, 2.0**43


def half_conv2d(body: Body, key: KernelKey) -> Value:
    """Write a convolution."""
    rule = _rule(key)
    weights = body.parameter("weights", "float16").cast("float32")
    image = padded(body, body.parameter("input", "float16").cast("float32"))
    total = convolution_sums(body, image, weights, _accumulation(rule))
    return _finished(body, total + _along_channels(body, "bias", 4), rule, 4)


def half_gemm(body: Body, key: KernelKey) -> Value:
    """Write a matrix product."""
    rule = _rule(key)
    x = body.parameter("input", "float16").cast("float32")
    weights = body.parameter("weights", "float16").cast("float32")
    total = product_sums(body, x, weights, _accumulation(rule))
    return _finished(body, total + _along_channels(body, "bias", 2), rule, 2)


def half_average_pool(body: Body, key: KernelKey) -> Value:
    """Write window means: their sums, then one division."""
    rule = _rule(key)
    image = padded(body, body.parameter("input", "float16").cast("float32"))
    total = window_sums(body, image, _accumulation(rule))
    mean = total // body.parameter("count", "int32").cast("float32")
    return _finished(body, mean, rule, 0)


def half_add(body: Body, key: KernelKey) -> Value:
    """Write a sum of two tensors."""
    a, b = (body.parameter(f"input_{i}", "float16").cast("float32") for i in range(2))
    return _finished(body, a + b, _rule(key), 0)


def half_clip(body: Body, key: KernelKey) -> Value:
    """Write a standalone activation."""
    x = body.parameter("input", "float16").cast("float32")
    return _limited(body, x, 0).cast("float16")


def half_max_pool(body: Body, key: KernelKey) -> Value:
    """Write window maxima in the order (H3), on multiples of 2**-25 in float64, where that order is the numbers' own."""
    x = body.parameter("input", "float16").cast("float64")
    scaled = (x * 2.0**25).maximum(-_INFINITE).minimum(_INFINITE)
    reciprocal = body.constant(1.0, "float64") // x
    scaled = where(reciprocal < -(2.0**1023), _MINUS_ZERO, scaled)
    scaled = where(_is_nan(x), _NAN, scaled)
    greatest = body.apply(
        "MaxPool",
        scaled,
        kernel_shape=Reference("kernel_shape"),
        strides=Reference("strides"),
        pads=Reference("pads"),
        dilations=Reference("dilations"),
    )
    y = greatest // 2.0**25
    y = where(equal(greatest, _INFINITE), math.inf, y)
    y = where(equal(greatest, -_INFINITE), -math.inf, y)
    y = where(equal(greatest, _NAN), math.nan, y)
    other = body.apply("Not", equal(greatest, _MINUS_ZERO))
    return (y * other.cast("float64")).cast("float32").cast("float16")


def half_pad(body: Body, key: KernelKey) -> Value:
    """Write a border of one number."""
    x = body.parameter("input", "float16").cast("float32")
    value = body.parameter("value", "float16").cast("float32").part(0)
    return body.apply("Pad", x, body.attributes("pads"), value).cast("float16")


def half_dequantize(body: Body, key: KernelKey) -> Value:
    """Write integers times a scale; float32 holds the multiplier and the power of two exactly, and so their quotient."""
    codes = body.parameter("input", "int32").cast("float32")
    divisor = power_of_two(body.parameter("shift", "int32").cast("int64")).cast("float32")
    scale = body.parameter("multiplier", "int32").cast("float32") // divisor
    along = channel_shape(body, codes)
    return _finished(body, codes * scale.reshape(along), _rule(key), 0)


def half_quantize(body: Body, key: KernelKey) -> Value:
    """Write halves as integers; Round ties to even."""
    x = body.parameter("input", "float16").cast("float32")
    divisor = power_of_two(body.attribute("shift")).cast("float32")
    product = x * (body.attribute("multiplier").cast("float32") // divisor)
    rounded = where(_is_nan(product), 0.0, body.apply("Round", product))
    small = rounded.maximum(-(2.0**17)).minimum(2.0**17).cast("int32")
    bounds = [body.attribute(name).cast("int32") for name in ("minimum", "maximum")]
    shifted = small + body.attribute("output_zero_point").cast("int32")
    return shifted.maximum(bounds[0]).minimum(bounds[1]).cast(key.output.dtype_name)


def rounded(values: Value, rule: HalfRule) -> Value:
    """Return float32 numbers rounded to binary16, as float32, equations (H1) and (H2)."""
    halves = values.cast("float16").cast("float32")
    if rule.saturate:
        halves = halves.maximum(-GREATEST).minimum(GREATEST)
    if rule.subnormals is Subnormals.KEPT:
        return halves
    judged = halves if rule.subnormals is Subnormals.FLUSHED else values
    kept = judged.body.apply("Not", abs(judged) < LEAST_NORMAL)
    return halves * kept.cast("float32")  # times 1, or times 0: a zero of the same sign


def _rule(key: KernelKey) -> HalfRule:
    assert key.half is not None  # the key proves it
    return key.half


def _accumulation(rule: HalfRule) -> Accumulate:
    """Return how a term is added: with binary16 sums, the term and the sum are rounded."""
    if not rule.half_sums:
        return lambda total, term: total + term
    return lambda total, term: rounded(total + rounded(term, rule), rule)


def _finished(body: Body, values: Value, rule: HalfRule, rank: int) -> Value:
    """Return float32 numbers limited, rounded, and every NaN the one of 0x7E00."""
    result = rounded(_limited(body, values, rank), rule)
    return _select(_is_nan(result), math.nan, result).cast("float16")


def _limited(body: Body, values: Value, rank: int) -> Value:
    low, high = (_along_channels(body, name, rank, values) for name in ("minimum", "maximum"))
    raised = _select(values < low, low, values)
    return _select(high < raised, high, raised)


def _along_channels(body: Body, name: str, rank: int, like: Value | None = None) -> Value:
    """Return a float16 [C] parameter as float32 that broadcasts along axis 1; of a tensor's rank, where that is open."""
    array = body.parameter(name, "float16").cast("float32")
    if rank:
        return array.unsqueeze(*range(1, rank - 1)) if rank > 2 else array
    assert like is not None  # given by every caller with an open rank
    return array.reshape(channel_shape(body, like))


def _select(condition: Value, value: Value | float, otherwise: Value) -> Value:
    """Return `value` where a condition holds, by copying elements.

    onnxruntime's Where takes -0 for an empty place and gives +0 for it (seen in 1.31).

    Args:
        condition: of the shape of `otherwise`.
        value: a number, or what broadcasts to that shape.
        otherwise: float32.
    """
    body = condition.body
    if not isinstance(value, Value):
        value = body.constant(value, otherwise.dtype)
    shape = body.apply("Shape", otherwise, dtype="int64")
    expanded = body.apply("Expand", value, shape)
    both = body.apply("Concat", expanded.unsqueeze(-1), otherwise.unsqueeze(-1), axis=-1)
    place = body.apply("Not", condition).cast("int64").unsqueeze(-1)
    return body.apply("GatherElements", both, place, axis=-1).reshape(shape)


def _is_nan(x: Value) -> Value:
    return x.body.apply("IsNaN", x, dtype="bool")


HALF_WRITERS: dict[str, Callable[[Body, KernelKey], Value]] = {
    "half_conv2d": half_conv2d,
    "half_gemm": half_gemm,
    "half_average_pool": half_average_pool,
    "half_add": half_add,
    "half_clip": half_clip,
    "half_max_pool": half_max_pool,
    "half_pad": half_pad,
    "half_dequantize": half_dequantize,
    "half_quantize": half_quantize,
}

HALF_MEANINGS = {
    "half_conv2d": "2-d convolution of {x}, its sums in one order: channels, rows, columns",
    "half_gemm": "Product of {x} with a matrix, its sums in the order of the columns",
    "half_average_pool": "Mean of each window of {x}, summed by rows, divided once",
    "half_add": "Sum of two tensors of {x}",
    "half_clip": "{x} limited to the bounds of each channel",
    "half_max_pool": "Maximum of each window of {x}; -0 is below +0, NaN above all, padding never wins",
    "half_pad": "{x} with a border of one number",
    "half_dequantize": "{x} codes times a single-precision scale of each channel",
    "half_quantize": "{x} as codes: times a single-precision scale, ties to even, plus a zero point",
}
