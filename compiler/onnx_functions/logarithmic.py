"""Logarithmic codes and linear numbers as ONNX functions, in int64; equations (L3) to (L9) of `kernels/numerics_log.py`.

A sum of products runs as a Scan over output channels: magnitudes are added, products gathered from the table, signs
multiplied, and each window summed. A pad is the code of exact zero.
"""

from __future__ import annotations

from onnx import TensorProto, helper

from intlower.compiler.onnx_functions.arithmetic import clamp, floor_divide, power_of_two
from intlower.compiler.onnx_functions.body import Body, Value
from intlower.kernels.numerics_log import LINEAR_HIGH, LINEAR_LOW, LogFormat, format_of
from intlower.kernels.reference_log import BIAS_DIGIT_BITS
from intlower.kernels.signature import KernelKey

# A digit of the sums when they are read out: products with a mantissa of 15 bits stay far below 63 bits.
_DIGIT_BITS = 24


def log_conv2d(body: Body, key: KernelKey) -> Value:
    """Write a convolution of codes: its windows gathered, then summed for each output channel."""
    layout = format_of(key.activation)
    codes = body.parameter("input", key.activation.dtype_name).cast("int32")
    weights = body.parameter("weights", layout.element.dtype_name)
    strides, dilations = body.attributes("strides"), body.attributes("dilations")
    x = _padded(codes, layout.magnitudes)
    for position, axis in enumerate((2, 4)):
        x = _windows(
            x,
            axis,
            weights.dimensions(2 + position, 3 + position).part(0),
            strides.part(position),
            dilations.part(position),
        )
    # [N, C, H', kh, W', kw] to [groups, N, C/groups * kh * kw, H' * W']
    height, width = x.dimensions(2, 3), x.dimensions(4, 5)
    rows = weights.reshape(
        body.concatenate(weights.dimensions(0, 1), body.constant((-1,), "int64"))
    )
    groups = body.attribute("groups")
    shape = body.concatenate(
        x.dimensions(0, 1),
        groups.unsqueeze(0),
        rows.dimensions(1, 2),
        body.constant((-1,), "int64"),
    )
    patches = _transposed(_transposed(x, (0, 1, 3, 5, 2, 4)).reshape(shape), (1, 0, 2, 3))
    per_group = weights.dimensions(0, 1) // groups
    group = _counting(weights.dimensions(0, 1).part(0)) // per_group
    sums = _sums_of_products(body, layout, patches, rows, group)
    total = _transposed(sums, (1, 0, 2)).reshape(
        body.concatenate(x.dimensions(0, 1), weights.dimensions(0, 1), height, width)
    )
    return _linear_outputs(body, total, axes=(1, 2))


def log_gemm(body: Body, key: KernelKey) -> Value:
    """Write a product of codes with a matrix of codes."""
    layout = format_of(key.activation)
    codes = body.parameter("input", key.activation.dtype_name).cast("int32")
    weights = body.parameter("weights", layout.element.dtype_name)
    patches = codes.unsqueeze(0, 3)  # [1 group, N, I, 1 position]
    first = body.constant(0, "int64")
    group = _counting(weights.dimensions(0, 1).part(0)) * first
    sums = _sums_of_products(body, layout, patches, weights, group)  # [O, N, 1]
    shape = body.concatenate(codes.dimensions(0, 1), weights.dimensions(0, 1))
    return _linear_outputs(body, _transposed(sums, (1, 0, 2)).reshape(shape), axes=())


def log_encode(body: Body, key: KernelKey) -> Value:
    """Write the codes of linear numbers: the greatest threshold that is not above, bit by bit."""
    layout = format_of(key.output)
    value = body.parameter("input", "int32").cast("int64")
    thresholds = body.parameter("thresholds", "int32").cast("int64")
    magnitude = abs(value)
    k = magnitude * 0
    for bit in reversed(range(layout.magnitude_bits)):
        threshold = body.apply("Gather", thresholds, k + (1 << bit), axis=0)
        k = k + _unless(magnitude < threshold, 1 << bit)
    zero = body.constant(layout.magnitudes, "int64")
    positive = body.apply("Where", magnitude < thresholds.part(0), zero, k, dtype="int64")
    negative = body.apply(
        "Where",
        magnitude < body.attribute("negative_threshold"),
        zero,
        k.maximum(1) + layout.magnitudes,
        dtype="int64",
    )
    code = body.apply("Where", value < 0, negative, positive, dtype="int64")
    return code.cast(key.output.dtype_name)


def log_decode(body: Body, key: KernelKey) -> Value:
    """Write the level of each code."""
    layout = format_of(key.activation)
    codes = body.parameter("input", key.activation.dtype_name).cast("int64")
    levels = body.parameter("levels", "int32")
    return body.apply("Gather", levels, codes & (layout.codes - 1), axis=0)


def linear_add(body: Body, key: KernelKey) -> Value:
    """Write a saturated sum of linear numbers, clamped: the clamp is the narrower."""
    a, b = (body.parameter(f"input_{i}", "int32").cast("int64") for i in range(2))
    return _clamped(body, a + b)


def linear_clamp(body: Body, key: KernelKey) -> Value:
    """Write clamped linear numbers."""
    return _clamped(body, body.parameter("input", "int32").cast("int64"))


def linear_average_pool(body: Body, key: KernelKey) -> Value:
    """Write means over windows: summed along columns and rows, divided, ties away from zero."""
    x = _padded(body.parameter("input", "int32"), 0).cast("int64")
    for position, axis in enumerate((2, 3)):
        kernel, stride = (
            body.attributes(name).part(position) for name in ("kernel_shape", "strides")
        )
        windows = _windows(x, axis, kernel, stride, body.constant(1, "int64"))
        x = body.apply("ReduceSum", windows, body.constant((axis + 1,), "int64"), keepdims=0)
    count = body.parameter("counts", "int32").cast("int64")
    magnitude = (abs(x) * 2 + count) // (count * 2)
    negative = (x < 0).cast("int64")
    return _clamped(body, magnitude * (negative * -2 + 1))


def _sums_of_products(
    body: Body, layout: LogFormat, patches: Value, rows: Value, group: Value
) -> Value:
    """Return the sums of products for each output channel, int64 [O, N, P].

    Args:
        body: the function, with the parameter mantissas and the attribute product_shift.
        layout: of the codes.
        patches: int32 codes [groups, N, K, P].
        rows: codes of the weights, [O, K].
        group: int64 [O], which of the groups each output channel reads.
    """
    table = _product_table(body, layout)
    magnitude, sign = _parts(patches, layout)
    row_magnitude, row_sign = _parts(rows.cast("int32"), layout)
    inner = Body(prefix="scanned_")
    one_magnitude, one_sign = (inner.parameter(n, "int32") for n in ("row_k", "row_sign"))
    one_group = inner.parameter("row_group", "int64")

    def chosen(name: Value) -> Value:
        outer = inner.parameter(name.name, name.dtype)  # a subgraph sees what is around it
        return inner.apply("Gather", outer, one_group, axis=0)

    k = chosen(magnitude) + one_magnitude.unsqueeze(1)
    products = inner.apply("Gather", inner.parameter(table.name, "int64"), k, axis=0)
    signs = (chosen(sign) * one_sign.unsqueeze(1)).cast("int64")
    window = inner.constant((1,), "int64")
    total = inner.apply("ReduceSum", products * signs, window, keepdims=0)
    # Sizes without names: onnxruntime takes equal names, in all calls of the function, for equal sizes.
    inputs = [
        helper.make_tensor_value_info("row_k", TensorProto.INT32, [None]),
        helper.make_tensor_value_info("row_sign", TensorProto.INT32, [None]),
        helper.make_tensor_value_info("row_group", TensorProto.INT64, []),
    ]
    outputs = [helper.make_tensor_value_info(total.name, TensorProto.INT64, [None, None])]
    return body.apply(
        "Scan",
        row_magnitude,
        row_sign,
        group,
        dtype="int64",
        num_scan_inputs=3,
        body=inner.graph("channel", inputs, outputs),
    )


def _product_table(body: Body, layout: LogFormat) -> Value:
    """Return the magnitudes of products, equation (L3), int64 [2 K - 1]: the octave and the dropped bits make one shift."""
    mantissas = body.parameter("mantissas", "int32").cast("int64")
    k = _counting(body.constant(2 * layout.magnitudes - 1, "int64"))
    shift = k // layout.steps - body.attribute("product_shift")
    left, right = shift.maximum(0), (shift * -1).maximum(0)
    mantissa = body.apply("Gather", mantissas, k & (layout.steps - 1), axis=0)
    return mantissa * power_of_two(left) // power_of_two(right)


def _parts(codes: Value, layout: LogFormat) -> tuple[Value, Value]:
    """Return the magnitudes of int32 codes, and their signs: 1, -1, or 0 for exact zero."""
    body = codes.body
    magnitude = codes & (layout.magnitudes - 1)
    above = (codes & (layout.codes - 1)) - layout.magnitudes
    negative = (body.constant(0, "int32") < above).cast("int32")
    return magnitude, (above < 0).cast("int32") - negative


def _linear_outputs(body: Body, sums: Value, axes: tuple[int, ...]) -> Value:
    """Return sums with their bias, read out as linear numbers and clamped for each channel."""

    def parameter(name: str) -> Value:
        value = body.parameter(name, "int32").cast("int64")
        return value.unsqueeze(*axes) if axes else value

    bias = parameter("bias_high") * (1 << BIAS_DIGIT_BITS) + parameter("bias_low")
    linear = _read_out(sums + bias, body.attribute("mantissa"), body.attribute("shift"))
    return clamp(linear, parameter("minimum"), parameter("maximum")).cast("int32")


def _read_out(accumulator: Value, mantissa: Value, shift: Value) -> Value:
    """Return accumulator * mantissa / 2**shift, ties up, saturated to int32, equation (L4).

    The product is x = high * 2**24 + low with 0 <= low < 2**24. Where the shift is above 24, the low digit is below the
    last bit that decides. Elsewhere x is first limited to where it saturates anyhow, and has fewer than 59 bits.
    """
    body = accumulator.body
    digit = 1 << _DIGIT_BITS
    above = floor_divide(accumulator, digit)
    below = (accumulator - above * digit) * mantissa
    carry = below // digit
    high, low = above * mantissa + carry, below - carry * digit

    wide = (shift - (_DIGIT_BITS + 1)).maximum(0)
    far = floor_divide(high + power_of_two(wide), power_of_two(wide + 1))

    narrow = shift.minimum(_DIGIT_BITS).maximum(0)
    unit, left = power_of_two(narrow), power_of_two((shift * -1).maximum(0))
    limit = unit * (1 << 33)
    whole = clamp(high, limit * -1, limit) * digit + low
    near = floor_divide(clamp(whole, limit * -1, limit) + unit // 2, unit) * left

    chosen = body.apply("Where", shift < _DIGIT_BITS + 1, near, far, dtype="int64")
    least, greatest = (body.constant(n, "int64") for n in (LINEAR_LOW, LINEAR_HIGH))
    return clamp(chosen, least, greatest)


def _clamped(body: Body, x: Value) -> Value:
    return clamp(x, body.attribute("minimum"), body.attribute("maximum")).cast("int32")


def _padded(x: Value, value: int) -> Value:
    """Return an int32 image with its pads."""
    body = x.body
    zeros = body.constant((0, 0), "int64")
    pads = body.attributes("pads")
    begin, end = (
        body.apply(
            "Slice",
            pads,
            body.constant((first,), "int64"),
            body.constant((first + 2,), "int64"),
        )
        for first in (0, 2)
    )
    around = body.concatenate(zeros, begin, zeros, end)
    return body.apply("Pad", x, around, body.constant(value, "int32"))


def _windows(x: Value, axis: int, kernel: Value, stride: Value, dilation: Value) -> Value:
    """Return the windows along an axis: in its place stand two, of windows and of positions in one."""
    body = x.body
    size = x.dimensions(axis, axis + 1).part(0)
    count = (size - (kernel - 1) * dilation - 1) // stride + 1
    starts, offsets = _counting(count) * stride, _counting(kernel) * dilation
    return body.apply("Gather", x, starts.unsqueeze(1) + offsets.unsqueeze(0), axis=axis)


def _transposed(x: Value, order: tuple[int, ...]) -> Value:
    return x.body.apply("Transpose", x, perm=order)


def _unless(condition: Value, number: int) -> Value:
    """Return the number where a condition does not hold, else 0."""
    return condition.cast("int64") * -number + number


def _counting(count: Value) -> Value:
    """Return 0, 1, ..., count - 1."""
    body = count.body
    return body.apply("Range", body.constant(0, "int64"), count, body.constant(1, "int64"))
