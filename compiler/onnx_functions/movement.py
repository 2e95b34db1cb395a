"""Operators that choose and arrange codes without arithmetic: max_pool, concat, pad, slice, reshape."""

from __future__ import annotations

from intlower.compiler.onnx_functions.body import Body, Reference, Value
from intlower.kernels.signature import ElementType, KernelKey

# Pad and MaxPool of onnxruntime take these; other codes make a detour.
_BYTES = (ElementType.INT8, ElementType.UINT8)


def max_pool(body: Body, key: KernelKey) -> Value:
    """Write window maxima; padding never wins."""
    x = body.parameter("input", key.activation.dtype_name)
    if key.activation in _BYTES:
        return body.apply(
            "MaxPool",
            x,
            kernel_shape=Reference("kernel_shape"),
            strides=Reference("strides"),
            pads=Reference("pads"),
            dilations=Reference("dilations"),
        )
    pads = body.attributes("pads")
    zeros = body.constant((0, 0), "int64")
    begin, end = _entries(pads, 0, 2), _entries(pads, 2, 4)
    least = body.constant(key.activation.limits[0], "int32")
    padded = body.apply(
        "Pad", x.cast("int32"), body.concatenate(zeros, begin, zeros, end), least
    )
    rows = _maxima_along(body, padded, axis=2)
    return _maxima_along(body, rows, axis=3).cast(key.output.dtype_name)


def concat(body: Body, key: KernelKey, arity: int) -> Value:
    """Write the joining of tensors along an axis."""
    dtype = key.activation.dtype_name
    tensors = [body.parameter(f"input_{i}", dtype) for i in range(arity)]
    return body.apply("Concat", *tensors, axis=Reference("axis", many=False))


def pad(body: Body, key: KernelKey) -> Value:
    """Write a border of one code."""
    dtype = key.activation.dtype_name
    storage = dtype if key.activation in _BYTES else "int32"
    x = body.parameter("input", dtype).cast(storage)
    value = body.attribute("value").cast(storage)
    return body.apply("Pad", x, body.attributes("pads"), value).cast(dtype)


def slice_(body: Body, key: KernelKey) -> Value:
    """Write codes[..., start:end:step, ...]."""
    x = body.parameter("input", key.activation.dtype_name)
    bounds = (body.attributes(name) for name in ("starts", "ends", "axes", "steps"))
    return body.apply("Slice", x, *bounds)


def reshape(body: Body, key: KernelKey) -> Value:
    """Write the same codes under another shape; ONNX, too, reads a 0 as the input's own size."""
    return body.parameter("input", key.activation.dtype_name).reshape(body.attributes("shape"))


def _entries(vector: Value, start: int, end: int) -> Value:
    body = vector.body
    return body.apply(
        "Slice", vector, body.constant((start,), "int64"), body.constant((end,), "int64")
    )


def _maxima_along(body: Body, x: Value, axis: int) -> Value:
    """Return the maxima of windows along one axis (2 or 3) of a padded tensor.

    Gathers position * stride + offset * dilation, one row for each window, and reduces the offsets.
    """
    size = x.dimensions(axis, axis + 1)
    kernel, stride, dilation = (
        body.attributes(name).part(axis - 2)
        for name in ("kernel_shape", "strides", "dilations")
    )
    extent = (kernel - 1) * dilation + 1
    count = (size - extent) // stride + 1
    starts = _counting(count.part(0)) * stride
    offsets = _counting(kernel) * dilation
    windows = starts.unsqueeze(1) + offsets.unsqueeze(0)
    gathered = body.apply("Gather", x, windows, axis=axis)
    return body.apply("ReduceMax", gathered, body.constant((axis + 1,), "int64"), keepdims=0)


def _counting(count: Value) -> Value:
    """Return 0, 1, ..., count - 1."""
    body = count.body
    return body.apply("Range", body.constant(0, "int64"), count, body.constant(1, "int64"))
