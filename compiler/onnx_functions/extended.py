"""Tables, rearrangement, products of tensors and resampling, in standard integer ONNX."""

from __future__ import annotations

from collections.abc import Callable

from intlower.compiler.onnx_functions.body import Body, Reference, Value
from intlower.compiler.onnx_functions.requantization import per_tensor
from intlower.kernels.signature import KernelKey


def lookup(body: Body, key: KernelKey) -> Value:
    """Write a table's entry for each code."""
    place = body.parameter("input", key.activation.dtype_name).cast("int64")
    table = body.parameter("table", key.output.dtype_name)
    return body.apply("Gather", table, place - key.activation.limits[0], axis=0)


def lookup_channels(body: Body, key: KernelKey) -> Value:
    """Write an entry of each channel's table: the tables end to end, a channel's begins at channel * codes."""
    low, high = key.activation.limits
    codes = body.parameter("input", key.activation.dtype_name).cast("int64")
    table = body.parameter("table", key.output.dtype_name)
    zero, one = (body.constant(value, "int64") for value in (0, 1))
    images = codes.reshape(body.constant((0, 0, -1), "int64"))  # [N, C, all else]
    channels = images.dimensions(1, 2).part(0)
    starts = body.apply("Range", zero, channels, one) * (high - low + 1)
    flat = table.reshape(body.constant((-1,), "int64"))
    found = body.apply("Gather", flat, images - low + starts.unsqueeze(1), axis=0)
    return found.reshape(body.apply("Shape", codes, dtype="int64"))


def transpose(body: Body, key: KernelKey) -> Value:
    """Write the codes with their axes in another order."""
    x = body.parameter("input", key.activation.dtype_name)
    return body.apply("Transpose", x, perm=Reference("permutation"))


def gather(body: Body, key: KernelKey) -> Value:
    """Write chosen codes along an axis."""
    x = body.parameter("input", key.activation.dtype_name)
    indices = body.parameter("indices", "int32")
    return body.apply("Gather", x, indices, axis=Reference("axis", many=False))


def multiply(body: Body, key: KernelKey) -> Value:
    """Write the product of two tensors, scaled."""
    dtype = key.activation.dtype_name
    zero_points = body.attributes("input_zero_points")
    a = body.parameter("input_0", dtype).cast("int64") - zero_points.part(0)
    b = body.parameter("input_1", dtype).cast("int64") - zero_points.part(1)
    return per_tensor(body, key, a * b, body.attribute("multiplier"), body.attribute("shift"))


def resample(body: Body, key: KernelKey) -> Value:
    """Write weighted sums of rows and columns, scaled."""
    x = body.parameter("input", key.activation.dtype_name).cast("int64")
    x = x - body.attribute("input_zero_point")
    rows = body.apply("Gather", x, body.parameter("row_indices", "int32"), axis=2)
    weights = body.parameter("row_weights", "int32").cast("int64").unsqueeze(2)
    rows = _summed(rows * weights, axis=3)
    columns = body.apply("Gather", rows, body.parameter("column_indices", "int32"), axis=3)
    total = _summed(columns * body.parameter("column_weights", "int32").cast("int64"), axis=4)
    return per_tensor(body, key, total, body.attribute("multiplier"), body.attribute("shift"))


def _summed(x: Value, axis: int) -> Value:
    return x.body.apply("ReduceSum", x, x.body.constant((axis,), "int64"), keepdims=0)


EXTENDED_WRITERS: dict[str, Callable[[Body, KernelKey], Value]] = {
    "lookup": lookup,
    "lookup_channels": lookup_channels,
    "transpose": transpose,
    "gather": gather,
    "multiply": multiply,
    "resample": resample,
}

EXTENDED_MEANINGS = {
    "lookup": "A function of each {x} code, as a table of {y} codes",
    "lookup_channels": "A function of each {x} code, for each channel a table of {y} codes",
    "transpose": "The same {x} codes with their axes in another order",
    "gather": "Chosen {x} codes along an axis",
    "multiply": "Product of two tensors of {x} codes",
    "resample": "Weighted sums of a few rows and columns of {x} codes",
}
