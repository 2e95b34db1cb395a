"""Sums of products in an accumulator that saturates: a loop over taps and channels, one product at a time."""

from __future__ import annotations

from intlower.compiler.onnx_functions.arithmetic import clamp
from intlower.compiler.onnx_functions.body import Body, Value
from intlower.compiler.onnx_functions.requantization import per_channel
from intlower.kernels.signature import KernelKey


def saturating_conv2d(body: Body, key: KernelKey) -> Value:
    """Write a convolution, equation (19): each step cuts one channel of one tap out of the padded input.

    The input is seen as [N, groups, channels of a group, H, W], the sums as [N, groups, outputs of a group, H', W'].
    """
    x, w = _codes(body, key)
    pads = body.attributes("pads")
    zeros = body.constant((0, 0), "int64")
    x = body.apply(
        "Pad",
        x,
        body.concatenate(zeros, _part(body, pads, 0, 2), zeros, _part(body, pads, 2, 4)),
    )
    groups, size = _vector(body, body.attribute("groups")), w.dimensions(1, 4)
    depth, height, width = (size.part(i) for i in range(3))
    split = x.reshape(
        body.concatenate(x.dimensions(0, 1), groups, w.dimensions(1, 2), x.dimensions(2, 4))
    )
    filters = w.reshape(body.concatenate(groups, body.constant((-1,), "int64"), size))
    strides, dilations = body.attributes("strides"), body.attributes("dilations")
    reach = dilations * (w.dimensions(2, 4) - 1) + 1
    windows = (x.dimensions(2, 4) - reach) // strides + 1
    spread = (windows - 1) * strides + 1
    bias = body.parameter("bias", "int32").cast("int64")
    shape = body.concatenate(groups, body.constant((-1, 1, 1), "int64"))
    start = body.apply(
        "Expand",
        bias.reshape(shape),
        body.concatenate(x.dimensions(0, 1), groups, filters.dimensions(1, 2), windows),
    )
    axes = body.constant((2, 3, 4), "int64")
    steps = body.concatenate(body.constant((1,), "int64"), strides)
    least, greatest = _limits(body)

    def step(inside: Body, number: Value, state: Value) -> Value:
        def seen(value: Value) -> Value:
            return inside.seen(value)

        channel = number - (number // seen(depth)) * seen(depth)
        tap = number // seen(depth)
        row = tap // seen(width)
        column = tap - row * seen(width)
        place = inside.concatenate(_vector(inside, row), _vector(inside, column))
        corner = place * seen(dilations)
        first = inside.concatenate(_vector(inside, channel), corner)
        last = inside.concatenate(_vector(inside, channel + 1), corner + seen(spread))
        seen_x = inside.apply("Slice", seen(split), first, last, seen(axes), seen(steps))
        begin = inside.concatenate(_vector(inside, channel), place)
        weight = inside.apply("Slice", seen(filters), begin, begin + 1, seen(axes))
        # [groups, outputs, 1, 1, 1] beside [N, groups, 1, H', W']
        product = seen_x * inside.apply("Squeeze", weight, inside.constant((4,), "int64"))
        return clamp(state + product, seen(least), seen(greatest))

    sums = body.loop(depth * height * width, start, step)
    whole = body.concatenate(x.dimensions(0, 1), body.constant((-1,), "int64"), windows)
    # the sums hold the bias already, which `per_channel` adds
    sums = sums.reshape(whole) - bias.unsqueeze(1, 2)
    return per_channel(body, key, sums, axes=(1, 2))


def saturating_gemm(body: Body, key: KernelKey) -> Value:
    """Write a matrix product, equation (19): each step takes one column of the input."""
    x, w = _codes(body, key)
    columns = body.apply("Transpose", w, perm=(1, 0))
    bias = body.parameter("bias", "int32").cast("int64")
    start = body.apply("Expand", bias, body.concatenate(x.dimensions(0, 1), w.dimensions(0, 1)))
    least, greatest = _limits(body)

    def step(inside: Body, number: Value, state: Value) -> Value:
        seen_x = inside.apply("Gather", inside.seen(x), _vector(inside, number), axis=1)
        weight = inside.apply("Gather", inside.seen(columns), number, axis=0)
        return clamp(state + seen_x * weight, inside.seen(least), inside.seen(greatest))

    sums = body.loop(w.dimensions(1, 2).part(0), start, step)
    return per_channel(body, key, sums - bias, axes=())


def _codes(body: Body, key: KernelKey) -> tuple[Value, Value]:
    """Return input and weights less their zero points, int64."""
    assert key.weight is not None  # the key proves it
    x = body.parameter("input", key.activation.dtype_name).cast("int64")
    w = body.parameter("weights", key.weight.dtype_name).cast("int64")
    return x - body.attribute("input_zero_point"), w - body.attribute("weight_zero_point")


def _limits(body: Body) -> tuple[Value, Value]:
    """Return the least and the greatest sum."""
    one = body.constant(1, "uint64")
    bits = (body.attribute("accumulator_bits") - 1).cast("uint64")
    limit = (one << bits).cast("int64")
    return limit * -1, limit - 1


def _part(body: Body, vector: Value, start: int, end: int) -> Value:
    return body.apply(
        "Slice", vector, body.constant((start,), "int64"), body.constant((end,), "int64")
    )


def _vector(body: Body, scalar: Value) -> Value:
    return scalar.reshape(body.constant((1,), "int64"))
